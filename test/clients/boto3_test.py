"""Every operation, through boto3 with only the endpoint changed.

Run by clients_test.go with the endpoint in AWS_ENDPOINT_URL_XRAY.
"""
import datetime
import json
import sys
import time
import unittest

import boto3
import botocore.config
import botocore.exceptions

xray = boto3.client("xray")
# Sends requests that boto3 itself would refuse.
unchecked = boto3.client("xray", config=botocore.config.Config(parameter_validation=False))
NOW = int(time.time())
HOUR = {"StartTime": NOW - 3600, "EndTime": NOW + 60}


def trace_id(n):
    return "1-%08x-%024x" % (NOW, 0xB0703000000 + n)


def put(*documents):
    return xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(d) for d in documents])


def shop(n, **more):
    """A front segment that calls a database and a DynamoDB table."""
    return {
        "trace_id": trace_id(n), "id": "%016x" % (0xF0 + n), "name": "front", "start_time": NOW - 10.0, "end_time": NOW - 9.0 + n / 1000,
        "http": {"request": {"method": "GET", "url": "http://shop.example.com/cart"}, "response": {"status": 200}},
        "annotations": {"cart": n}, "user": "ada",
        "subsegments": [
            {"id": "%016x" % (0xF000 + n), "name": "DynamoDB", "namespace": "aws", "start_time": NOW - 9.9, "end_time": NOW - 9.5,
             "aws": {"operation": "GetItem", "table_name": "carts"}},
        ], **more,
    }


class Operations(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        answer = put(*[shop(n) for n in range(1, 151)])
        assert answer["UnprocessedTraceSegments"] == [], answer
        put(shop(200, fault=True))

    def test_batch_get_traces(self):
        ids = [trace_id(1), trace_id(2), trace_id(999)]
        pages = list(xray.get_paginator("batch_get_traces").paginate(TraceIds=ids))
        traces = [t for p in pages for t in p["Traces"]]
        self.assertEqual([t["Id"] for t in traces], ids[:2])
        self.assertEqual([i for p in pages for i in p["UnprocessedTraceIds"]], [])
        self.assertAlmostEqual(traces[0]["Duration"], 1.001, 3)
        self.assertFalse(traces[0]["LimitExceeded"])
        documents = [json.loads(s["Document"]) for s in traces[0]["Segments"]]
        self.assertEqual({d["name"] for d in documents}, {"front", "DynamoDB"})

    def test_batch_get_traces_errors(self):
        with self.assertRaises(xray.exceptions.InvalidRequestException) as caught:
            xray.batch_get_traces(TraceIds=[trace_id(n) for n in range(6)])
        self.assertIn("Exceeding maximum query size: 5", str(caught.exception))
        with self.assertRaises(xray.exceptions.InvalidRequestException):
            xray.batch_get_traces(TraceIds=["1-1"])

    def test_get_trace_summaries_in_pages(self):
        pages = list(xray.get_paginator("get_trace_summaries").paginate(**HOUR, FilterExpression='service("front")'))
        found = [s for p in pages for s in p["TraceSummaries"]]
        self.assertEqual(len({s["Id"] for s in found}), 151)
        self.assertEqual(len(found), 151)
        self.assertGreater(len(pages), 1)
        self.assertIsInstance(pages[0]["ApproximateTime"], datetime.datetime)

    def test_get_trace_summaries_members(self):
        (one,) = xray.get_trace_summaries(**HOUR, FilterExpression="annotation[cart] = 7")["TraceSummaries"]
        self.assertEqual(one["Id"], trace_id(7))
        self.assertEqual(one["Http"]["HttpURL"], "http://shop.example.com/cart")
        self.assertEqual(one["Annotations"]["cart"][0]["AnnotationValue"], {"NumberValue": 7.0})
        self.assertEqual(one["Users"][0]["UserName"], "ada")
        self.assertAlmostEqual(one["ResponseTime"], 1.007, 3)
        self.assertEqual({s["Name"] for s in one["ServiceIds"]}, {"front", "carts"})
        (faulty,) = xray.get_trace_summaries(**HOUR, FilterExpression="fault")["TraceSummaries"]
        self.assertEqual((faulty["Id"], faulty["HasFault"]), (trace_id(200), True))
        for kind in ("TraceId", "Event", "Service"):
            self.assertTrue(xray.get_trace_summaries(**HOUR, TimeRangeType=kind)["TraceSummaries"], kind)

    def test_get_trace_summaries_errors(self):
        for change in ({"FilterExpression": "responsetime >"}, {"EndTime": NOW - 7200}, {"NextToken": "forged"}):
            with self.assertRaises(xray.exceptions.InvalidRequestException, msg=change):
                xray.get_trace_summaries(**{**HOUR, **change})

    def test_get_trace_graph(self):
        (page,) = xray.get_paginator("get_trace_graph").paginate(TraceIds=[trace_id(3)])
        self.assertEqual({(s["Name"], s.get("Type")) for s in page["Services"]},
                         {("front", "client"), ("front", None), ("carts", "AWS::DynamoDB::Table")})

    def test_get_service_graph(self):
        services = [s for p in xray.get_paginator("get_service_graph").paginate(**HOUR) for s in p["Services"]]
        (front,) = [s for s in services if s["Name"] == "front" and s.get("Type") != "client"]
        self.assertEqual(front["SummaryStatistics"]["TotalCount"], 151)
        self.assertEqual(front["SummaryStatistics"]["FaultStatistics"]["TotalCount"], 1)
        self.assertEqual(sum(b["Count"] for b in front["ResponseTimeHistogram"]), 151)
        self.assertEqual(front["Edges"][0]["SummaryStatistics"]["TotalCount"], 151)

    def test_put_trace_segments_keeps_the_good_ones(self):
        good, bad = shop(300), shop(301)
        del bad["trace_id"]
        answer = put(good, bad, {"hello": 1})
        refused = answer["UnprocessedTraceSegments"]
        self.assertEqual(len(refused), 2)
        self.assertEqual(refused[0].get("Id"), bad["id"])
        self.assertTrue(all(r["ErrorCode"] and r["Message"] for r in refused), refused)
        self.assertEqual(len(xray.batch_get_traces(TraceIds=[trace_id(300)])["Traces"]), 1)

    def test_put_telemetry_records(self):
        xray.put_telemetry_records(EC2InstanceId="i-1", Hostname="host", TelemetryRecords=[
            {"Timestamp": NOW, "SegmentsReceivedCount": 3, "BackendConnectionErrors": {"TimeoutCount": 1}}])

    def test_sampling(self):
        (page,) = xray.get_paginator("get_sampling_rules").paginate()
        rules = {r["SamplingRule"]["RuleName"]: r["SamplingRule"] for r in page["SamplingRuleRecords"]}
        self.assertEqual((rules["Default"]["FixedRate"], rules["Default"]["ReservoirSize"], rules["Default"]["Priority"]), (0.05, 1, 10000))
        answer = xray.get_sampling_targets(SamplingStatisticsDocuments=[
            {"RuleName": "Default", "ClientID": "0123456789abcdef01234567", "Timestamp": NOW, "RequestCount": 10, "SampledCount": 1, "BorrowCount": 0}])
        (target,) = answer["SamplingTargetDocuments"]
        self.assertEqual((target["RuleName"], target["FixedRate"]), ("Default", 0.05))
        self.assertIsInstance(answer["LastRuleModification"], datetime.datetime)
        list(xray.get_paginator("get_sampling_statistic_summaries").paginate())

    def test_sampling_rules(self):
        given = {"RuleName": "checkout", "Priority": 5, "FixedRate": 0.5, "ReservoirSize": 2, "ServiceName": "shop", "ServiceType": "*", "Host": "*", "HTTPMethod": "POST",
                 "URLPath": "/checkout/*", "ResourceARN": "*", "Version": 1, "Attributes": {"tier": "gold"}, "SamplingRateBoost": {"MaxRate": 0.9, "CooldownWindowMinutes": 5}}
        record = xray.create_sampling_rule(SamplingRule=given, Tags=[{"Key": "owner", "Value": "ada"}])["SamplingRuleRecord"]
        arn = record["SamplingRule"].pop("RuleARN")
        self.assertEqual(record["SamplingRule"], given)
        self.assertIsInstance(record["CreatedAt"], datetime.datetime)
        self.assertEqual(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "owner", "Value": "ada"}])
        with self.assertRaises(xray.exceptions.InvalidRequestException):
            xray.create_sampling_rule(SamplingRule=given)
        updated = xray.update_sampling_rule(SamplingRuleUpdate={"RuleARN": arn, "FixedRate": 0.25, "Attributes": {}})["SamplingRuleRecord"]["SamplingRule"]
        self.assertEqual((updated["FixedRate"], updated["Attributes"], updated["Priority"], "SamplingRateBoost" in updated), (0.25, {}, 5, False))
        for n in range(24):
            xray.create_sampling_rule(SamplingRule=dict(given, RuleName="more %d" % n))
        with self.assertRaises(xray.exceptions.RuleLimitExceededException):
            xray.create_sampling_rule(SamplingRule=dict(given, RuleName="one too many"))
        for n in range(24):
            xray.delete_sampling_rule(RuleName="more %d" % n)
        self.assertEqual(xray.delete_sampling_rule(RuleName="checkout")["SamplingRuleRecord"]["SamplingRule"], updated)
        (page,) = xray.get_paginator("get_sampling_rules").paginate()
        self.assertEqual([r["SamplingRule"]["RuleName"] for r in page["SamplingRuleRecords"]], ["Default"])

    def retrieve(self, ids):
        """The token of a complete retrieval."""
        token = xray.start_trace_retrieval(TraceIds=ids, **HOUR)["RetrievalToken"]
        until = time.time() + 20
        while time.time() < until:
            status = xray.list_retrieved_traces(RetrievalToken=token)["RetrievalStatus"]
            if status == "COMPLETE":
                return token
            self.assertIn(status, ("SCHEDULED", "RUNNING"))
            time.sleep(0.01)
        self.fail("not complete after 20 seconds")

    def test_trace_retrieval(self):
        ids = [trace_id(n) for n in range(1, 13)]
        token = self.retrieve(ids + [trace_id(999)])
        for form in ("XRAY", "OTEL"):
            pages, more = [], {}
            while True:
                page = xray.list_retrieved_traces(RetrievalToken=token, TraceFormat=form, **more)
                self.assertEqual((page["RetrievalStatus"], page["TraceFormat"]), ("COMPLETE", form))
                pages.append(page["Traces"])
                if "NextToken" not in page:
                    break
                more = {"NextToken": page["NextToken"]}
            self.assertEqual([len(p) for p in pages], [5, 5, 2])
            traces = [t for p in pages for t in p]
            self.assertEqual([t["Id"] for t in traces], ids)
            self.assertAlmostEqual(traces[0]["Duration"], 1.001, 3)
            for t in traces:
                documents = {s["Id"]: json.loads(s["Document"]) for s in t["Spans"]}
                self.assertEqual(len(documents), 2)
                if form == "XRAY":
                    self.assertEqual({d["name"] for d in documents.values()}, {"front", "DynamoDB"})
                    (batch,) = xray.batch_get_traces(TraceIds=[t["Id"]])["Traces"]
                    self.assertEqual({s["Id"]: s["Document"] for s in t["Spans"]}, {s["Id"]: s["Document"] for s in batch["Segments"]})
                else:
                    spans = [d["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for d in documents.values()]
                    self.assertEqual({(s["name"], s["kind"], s["traceId"]) for s in spans},
                                     {("front", 2, t["Id"][2:].replace("-", "")), ("DynamoDB", 3, t["Id"][2:].replace("-", ""))})
        graph = xray.get_retrieved_traces_graph(RetrievalToken=token)
        self.assertEqual(graph["RetrievalStatus"], "COMPLETE")
        found = {s["Service"]["Name"]: s for s in graph["Services"] if s["Service"].get("Type") != "client"}
        self.assertEqual(found["front"]["Service"]["SummaryStatistics"]["TotalCount"], 12)
        self.assertEqual(found["front"]["Links"], [])
        self.assertEqual(xray.cancel_trace_retrieval(RetrievalToken=token)["ResponseMetadata"]["HTTPStatusCode"], 200)
        for call in (xray.list_retrieved_traces, xray.get_retrieved_traces_graph, xray.cancel_trace_retrieval):
            with self.assertRaises(xray.exceptions.ResourceNotFoundException):
                call(RetrievalToken="nonsense")
        with self.assertRaises(xray.exceptions.InvalidRequestException):
            xray.start_trace_retrieval(TraceIds=["1-1"], **HOUR)

    def test_exceptions_are_typed(self):
        with self.assertRaises(xray.exceptions.InvalidRequestException) as caught:
            xray.put_trace_segments(TraceSegmentDocuments=[])
        answer = caught.exception.response
        self.assertEqual(answer["Error"], {"Code": "InvalidRequestException", "Message": "Segments can not be empty"})
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertEqual(len(answer["ResponseMetadata"]["RequestId"]), 36)

    def test_validation(self):
        required = "Value null at '%s' failed to satisfy constraint: Member must not be null"
        client_id = {"RuleName": "Default", "ClientID": "not-hex", "Timestamp": NOW}
        for call, code, text in (
            (lambda: unchecked.batch_get_traces(), "ValidationException", "1 validation error detected: " + required % "traceIds"),
            (lambda: unchecked.get_service_graph(), "ValidationException",
             "2 validation errors detected: " + required % "startTime" + "; " + required % "endTime"),
            (lambda: unchecked.get_sampling_targets(SamplingStatisticsDocuments=[client_id]), "ValidationException",
             "1 validation error detected: Value 'not-hex' at 'samplingStatisticsDocuments.1.member.clientID' failed to satisfy constraint: "
             "Member must have length greater than or equal to 24"),
            (lambda: xray.get_trace_summaries(**HOUR, TimeRangeType="Now"), "ValidationException",
             "1 validation error detected: Value 'Now' at 'timeRangeType' failed to satisfy constraint: "
             "Member must satisfy enum value set: [TraceId, Service, Event]"),
            (lambda: unchecked.put_trace_segments(TraceSegmentDocuments=[42]), "SerializationException", "NUMBER_VALUE can not be converted to a String"),
            (lambda: unchecked.batch_get_traces(TraceIds=[{}]), "SerializationException", "Start of structure or map found where not expected."),
        ):
            with self.assertRaises(botocore.exceptions.ClientError, msg=text) as caught:
                call()
            self.assertEqual(caught.exception.response["Error"], {"Code": code, "Message": text})


if __name__ == "__main__":
    unittest.main(argv=sys.argv)
