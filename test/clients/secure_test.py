"""boto3 against a server with everything on: credentials, TLS, encryption, audit. Run by secure_test.go."""
import json
import os
import time
import unittest

import boto3
import botocore.config
import botocore.exceptions

KEYS = json.loads(os.environ["FLUORO_KEYS"])  # by role: id and secret


def client(role, secret=None, verify=os.environ["FLUORO_CA"]):
    return boto3.client("xray", endpoint_url=os.environ["FLUORO_ENDPOINT"], region_name="us-east-1", aws_access_key_id=KEYS[role][0], aws_secret_access_key=secret or KEYS[role][1],
                        verify=verify, config=botocore.config.Config(retries={"max_attempts": 1, "mode": "standard"}))


class Secure(unittest.TestCase):
    def code(self, call, **more):
        with self.assertRaises(botocore.exceptions.ClientError) as caught:
            call(**more)
        return caught.exception.response["Error"]["Code"]

    def test_roles(self):
        now = time.time()
        trace_id = "1-%08x-%024x" % (int(now), 0xB0704)
        document = json.dumps({"trace_id": trace_id, "id": "00000000000000ab", "name": "secure", "start_time": now - 1, "end_time": now})
        self.assertEqual(client("writer").put_trace_segments(TraceSegmentDocuments=[document])["UnprocessedTraceSegments"], [])
        self.assertEqual(client("viewer").batch_get_traces(TraceIds=[trace_id])["Traces"][0]["Id"], trace_id)
        self.assertEqual(self.code(client("writer").batch_get_traces, TraceIds=[trace_id]), "AccessDeniedException")
        self.assertEqual(self.code(client("viewer").put_trace_segments, TraceSegmentDocuments=[document]), "AccessDeniedException")
        self.assertEqual(self.code(client("viewer", secret="wrong").get_groups), "InvalidSignatureException")

    def test_certificate(self):
        with self.assertRaises(botocore.exceptions.SSLError):
            client("viewer", verify=True).get_groups()

    # The calls that Terraform's provider makes for aws_xray_group, aws_xray_sampling_rule,
    # aws_xray_encryption_config and aws_xray_resource_policy: create, read, tags, update, delete, read again.
    def test_terraform(self):
        xray = client("administrator")
        arn = xray.create_group(GroupName="infra", FilterExpression="fault", InsightsConfiguration={"InsightsEnabled": False, "NotificationsEnabled": False}, Tags=[{"Key": "team", "Value": "infra"}])["Group"]["GroupARN"]
        self.assertEqual(xray.get_group(GroupARN=arn)["Group"]["FilterExpression"], "fault")
        self.assertEqual(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "team", "Value": "infra"}])
        xray.update_group(GroupARN=arn, FilterExpression="error")
        xray.untag_resource(ResourceARN=arn, TagKeys=["team"])
        xray.tag_resource(ResourceARN=arn, Tags=[{"Key": "team", "Value": "web"}])
        self.assertEqual(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "team", "Value": "web"}])
        self.assertEqual(self.code(client("viewer").delete_group, GroupARN=arn), "AccessDeniedException")
        xray.delete_group(GroupARN=arn)
        self.assertEqual(self.code(xray.get_group, GroupARN=arn), "InvalidRequestException")
        rule = dict(RuleName="infra", ResourceARN="*", Priority=9, FixedRate=0.1, ReservoirSize=1, ServiceName="*", ServiceType="*", Host="*", HTTPMethod="*", URLPath="*", Version=1)
        arn = xray.create_sampling_rule(SamplingRule=rule, Tags=[{"Key": "team", "Value": "infra"}])["SamplingRuleRecord"]["SamplingRule"]["RuleARN"]
        rules = [r for page in xray.get_paginator("get_sampling_rules").paginate() for r in page["SamplingRuleRecords"]]
        self.assertIn("infra", [r["SamplingRule"]["RuleName"] for r in rules])
        self.assertEqual(xray.list_tags_for_resource(ResourceARN=arn)["Tags"], [{"Key": "team", "Value": "infra"}])
        xray.update_sampling_rule(SamplingRuleUpdate={"RuleName": "infra", "Priority": 10})
        xray.delete_sampling_rule(RuleName="infra")
        self.assertEqual(xray.put_encryption_config(Type="NONE")["EncryptionConfig"]["Type"], "NONE")
        deadline = time.time() + 20  # the provider waits for it, too
        while (status := xray.get_encryption_config()["EncryptionConfig"]["Status"]) == "UPDATING" and time.time() < deadline:
            time.sleep(0.1)
        self.assertEqual(status, "ACTIVE")
        policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "xray:PutTraceSegments", "Resource": "*"}]})
        revision = xray.put_resource_policy(PolicyName="infra", PolicyDocument=policy)["ResourcePolicy"]["PolicyRevisionId"]
        self.assertEqual([p["PolicyName"] for p in xray.list_resource_policies()["ResourcePolicies"]], ["infra"])
        xray.delete_resource_policy(PolicyName="infra", PolicyRevisionId=revision)


if __name__ == "__main__":
    unittest.main()
