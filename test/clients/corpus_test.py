"""Traces of the corpus, sent and read back through boto3, with every paginator of
its X-Ray client, and through the AWS CLI, which pages by itself.

Run by clients_test.go with the endpoint in AWS_ENDPOINT_URL_XRAY and the corpus in
FLUORO_CORPUS.
"""
import glob
import gzip
import json
import os
import subprocess
import time
import unittest
import urllib.request

import boto3

xray = boto3.client("xray")
ENDPOINT = os.environ["AWS_ENDPOINT_URL_XRAY"].rstrip("/")
CORPUS = os.environ["FLUORO_CORPUS"]
NOW = int(time.time())


def paginate(operation, **arguments):
    return list(xray.get_paginator(operation).paginate(**arguments))


def cli(*arguments):
    out = subprocess.run(["/usr/bin/aws", "xray", "--endpoint-url", ENDPOINT, "--output", "json", *arguments], check=True, capture_output=True)
    return json.loads(out.stdout)


def entity_ids(documents):
    """The ids of segments and subsegments, at any depth."""
    ids, left = set(), list(documents)
    while left:
        d = left.pop()
        ids.add(d["id"])
        left += d.get("subsegments", [])
    return ids


class Corpus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sent = {}  # ids of entities, by trace
        starts = []
        for name in sorted(glob.glob(CORPUS + "/xray-traces/**/input.documents.json", recursive=True)):
            with open(name) as f:
                documents = json.load(f)
            for i in range(0, len(documents), 50):
                answer = xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(d) for d in documents[i:i + 50]])
                assert answer["UnprocessedTraceSegments"] == [], (name, answer)
            for d in documents:
                cls.sent.setdefault(d["trace_id"], set()).update(entity_ids([d]))
                starts.append(d["start_time"])
        cls.spans = {}  # ids of spans, by trace
        for name in sorted(glob.glob(CORPUS + "/datasets/*/input.otlp.jsonl.gz")):
            with gzip.open(name) as lines:
                for line in lines:
                    request = urllib.request.Request(ENDPOINT + "/v1/traces", data=line, headers={"Content-Type": "application/json"})
                    with urllib.request.urlopen(request) as answer:
                        assert "partialSuccess" not in json.load(answer), name
                    for resource in json.loads(line)["resourceSpans"]:
                        for scope in resource["scopeSpans"]:
                            for s in scope["spans"]:
                                t = s["traceId"]
                                cls.spans.setdefault("1-%s-%s" % (t[:8], t[8:]), set()).add(s["spanId"])
                                starts.append(int(s["startTimeUnixNano"]) / 1e9)
        assert len(cls.sent) >= 4 and len(cls.spans) >= 60, (len(cls.sent), len(cls.spans))
        cls.window = {"StartTime": min(starts) - 1, "EndTime": max(starts) + 1}
        cls.received = {"StartTime": NOW - 60, "EndTime": time.time() + 60}

    def every(self):
        return {**self.sent, **self.spans}

    def test_summaries(self):
        found = [s["Id"] for p in paginate("get_trace_summaries", **self.window) for s in p["TraceSummaries"]]
        self.assertEqual(sorted(found), sorted(self.every()))
        by_event = [s["Id"] for p in paginate("get_trace_summaries", **self.received, TimeRangeType="Event") for s in p["TraceSummaries"]]
        self.assertEqual(sorted(by_event), sorted(self.every()))

    def test_summaries_through_the_cli(self):
        window = ["--start-time", "%f" % self.window["StartTime"], "--end-time", "%f" % self.window["EndTime"]]
        found = [s["Id"] for s in cli("get-trace-summaries", *window)["TraceSummaries"]]
        self.assertEqual(sorted(found), sorted(self.every()))
        some, token = [], []
        while True:  # by hand, seven at a time
            page = cli("get-trace-summaries", *window, "--max-items", "7", *token)
            some += [s["Id"] for s in page["TraceSummaries"]]
            if "NextToken" not in page:
                break
            token = ["--starting-token", page["NextToken"]]
        self.assertEqual(sorted(some), sorted(self.every()))

    def test_traces(self):
        ids = sorted(self.every())
        for i in range(0, len(ids), 5):
            traces = [t for p in paginate("batch_get_traces", TraceIds=ids[i:i + 5]) for t in p["Traces"]]
            self.assertEqual([t["Id"] for t in traces], ids[i:i + 5])
            for t in traces:
                self.assertFalse(t["LimitExceeded"])
                documents = [json.loads(s["Document"]) for s in t["Segments"]]
                self.assertEqual([d["id"] for d in documents], [s["Id"] for s in t["Segments"]])
                missing = self.every()[t["Id"]] - entity_ids(documents)
                self.assertEqual(missing, set(), t["Id"])

    def test_traces_through_the_cli(self):
        ids = sorted(self.sent)[:5]
        for t in cli("batch-get-traces", "--trace-ids", *ids)["Traces"]:
            missing = self.sent[t["Id"]] - entity_ids([json.loads(s["Document"]) for s in t["Segments"]])
            self.assertEqual(missing, set())

    def test_trace_graphs(self):
        for trace in list(self.sent)[:5] + list(self.spans)[:5]:
            (page,) = paginate("get_trace_graph", TraceIds=[trace])
            (documents,) = [[json.loads(s["Document"]) for s in t["Segments"]] for t in xray.batch_get_traces(TraceIds=[trace])["Traces"]]
            names = {d["name"] for d in documents if not d.get("inferred")}
            self.assertEqual(names - {s["Name"] for s in page["Services"]}, set())

    def test_service_graph(self):
        services = [s for p in paginate("get_service_graph", **self.received) for s in p["Services"]]
        with open(glob.glob(CORPUS + "/datasets/*/expected.graph.json")[0]) as f:
            expected = json.load(f)["spans_per_service"]
        self.assertEqual(set(expected) - {s["Name"] for s in services}, set())
        self.assertEqual(len({s["ReferenceId"] for s in services}), len(services))
        known = {s["ReferenceId"] for s in services}
        for s in services:
            self.assertEqual({e["ReferenceId"] for e in s["Edges"]} - known, set())
        by_cli = cli("get-service-graph", "--start-time", "%f" % self.received["StartTime"], "--end-time", "%f" % self.received["EndTime"])
        self.assertEqual(sorted((s["Name"], s.get("Type") or "") for s in by_cli["Services"]), sorted((s["Name"], s.get("Type") or "") for s in services))

    def test_time_series(self):
        points = [p for page in paginate("get_time_series_service_statistics", **self.received) for p in page["TimeSeriesServiceStatistics"]]
        total = sum(p["EdgeSummaryStatistics"]["TotalCount"] for p in points if "EdgeSummaryStatistics" in p)
        clients = sum(e["SummaryStatistics"]["TotalCount"] for page in paginate("get_service_graph", **self.received) for s in page["Services"] if s.get("Type") == "client" for e in s["Edges"])
        self.assertEqual(total, clients)
        self.assertGreater(total, 0)

    def test_the_other_paginators(self):
        self.assertIn("Default", [g["GroupName"] for p in paginate("get_groups") for g in p["Groups"]])
        self.assertIn("Default", [r["SamplingRule"]["RuleName"] for p in paginate("get_sampling_rules") for r in p["SamplingRuleRecords"]])
        self.assertIsInstance([s for p in paginate("get_sampling_statistic_summaries") for s in p["SamplingStatisticSummaries"]], list)
        self.assertEqual([p for page in paginate("list_resource_policies") for p in page["ResourcePolicies"]], [])
        (group,) = [g["GroupARN"] for p in paginate("get_groups") for g in p["Groups"] if g["GroupName"] == "Default"]
        self.assertEqual([t for p in paginate("list_tags_for_resource", ResourceARN=group) for t in p["Tags"]], [])


if __name__ == "__main__":
    unittest.main()
