"""boto3 and botocore with right and wrong credentials. Run by credentials_test.go."""
import datetime
import gzip
import json
import os
import time
import unittest
import urllib.error
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials
import botocore.exceptions

ENDPOINT = os.environ["FLUORO_ENDPOINT"]
GOOD, SECRET = "AKIAGOODGOODGOODGOOD", os.environ["FLUORO_SECRET"]


def client(key=GOOD, secret=SECRET, token=None, **more):
    return boto3.client("xray", endpoint_url=ENDPOINT, region_name=more.pop("region", "us-east-1"), aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token,
                        config=botocore.config.Config(retries={"max_attempts": 1, "mode": "standard"}, **more))


class clock:
    """Moves the clock of botocore's signatures."""

    def __init__(self, **delta):
        self.delta = datetime.timedelta(**delta)

    def __enter__(self):
        self.real = botocore.auth.get_current_datetime
        botocore.auth.get_current_datetime = lambda *a, **k: self.real(*a, **k) + self.delta

    def __exit__(self, *_):
        botocore.auth.get_current_datetime = self.real


class Credentials(unittest.TestCase):
    def fails(self, code, text, xray, status=403):
        for call in (lambda: xray.get_groups(), lambda: xray.put_trace_segments(TraceSegmentDocuments=["{}"]),
                     lambda: xray.get_trace_summaries(StartTime=1, EndTime=2)):
            with self.assertRaises(botocore.exceptions.ClientError) as caught:
                call()
            error = caught.exception.response
            self.assertEqual(error["Error"]["Code"], code)
            self.assertRegex(error["Error"]["Message"], text)
            self.assertEqual(error["ResponseMetadata"]["HTTPStatusCode"], status)
            self.assertTrue(error["ResponseMetadata"]["RequestId"])

    def test_good(self):
        now = time.time()
        for xray in (client(), client("ASIASESSIONSESSIONSE", token="session-token")):
            trace_id = "1-%08x-%024x" % (int(now), 0xB0703)
            document = {"trace_id": trace_id, "id": "00000000000000aa", "name": "größe 1 \u1234", "start_time": now - 1, "end_time": now}
            answer = xray.put_trace_segments(TraceSegmentDocuments=[json.dumps(document, ensure_ascii=False)] * 3 + ["x" * 100000])
            self.assertEqual(len(answer["UnprocessedTraceSegments"]), 1)
            self.assertEqual(xray.batch_get_traces(TraceIds=[trace_id])["Traces"][0]["Id"], trace_id)
            xray.get_trace_summaries(StartTime=now - 60, EndTime=now + 60, FilterExpression='service("größe 1 \u1234")')
            xray.create_group(GroupName="a", FilterExpression="fault")
            xray.delete_group(GroupName="a")

    def test_wrong_secret(self):
        self.fails("InvalidSignatureException", r"^The request signature we calculated does not match the signature you provided\.", client(secret="wrong"))

    def test_unknown(self):
        for xray in (client("AKIANOBODYNOBODYNOBO"), client("AKIADISABLEDDISABLED"), client(token="x"), client("ASIASESSIONSESSIONSE"), client("ASIASESSIONSESSIONSE", token="x")):
            self.fails("UnrecognizedClientException", r"^The security token included in the request is invalid\.$", xray)

    def test_expired(self):
        self.fails("ExpiredTokenException", r"^The security token included in the request is expired$", client("ASIAEXPIREDEXPIREDEX", token="session-token"))

    def test_region(self):
        self.fails("InvalidSignatureException", r"^Credential should be scoped to a valid region, not 'eu-west-3'\.$", client(region="eu-west-3"))

    def test_skew(self):
        with clock(minutes=-6):
            self.fails("InvalidSignatureException", r"^Signature expired: \d{8}T\d{6}Z is now earlier than \d{8}T\d{6}Z \(\d{8}T\d{6}Z - 5 min\.\)$", client())
        with clock(minutes=6):
            self.fails("InvalidSignatureException", r"^Signature not yet current: \d{8}T\d{6}Z is still later than \d{8}T\d{6}Z \(\d{8}T\d{6}Z \+ 5 min\.\)$", client())
        with clock(minutes=-4):
            client().get_groups()

    def test_unsigned(self):
        xray = boto3.client("xray", endpoint_url=ENDPOINT, region_name="us-east-1", config=botocore.config.Config(signature_version=botocore.UNSIGNED))
        self.fails("MissingAuthenticationTokenException", "^Missing Authentication Token$", xray)

    def test_otlp(self):
        """Spans, compressed and signed, as the distributions of AWS send them."""
        def send(key, secret, change=lambda body: body):
            body = gzip.compress(json.dumps({"resourceSpans": []}).encode())
            request = botocore.awsrequest.AWSRequest("POST", ENDPOINT + "/v1/traces", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, body)
            botocore.auth.SigV4Auth(botocore.credentials.Credentials(key, secret), "xray", "us-east-1").add_auth(request)
            try:
                return urllib.request.urlopen(urllib.request.Request(request.url, change(body), dict(request.headers), method="POST")).status
            except urllib.error.HTTPError as error:
                return error.code
        self.assertEqual(send(GOOD, SECRET), 200)
        self.assertEqual(send(GOOD, "wrong"), 401)
        self.assertEqual(send(GOOD, SECRET, lambda body: gzip.compress(b'{"resourceSpans":[{}]}')), 401)


if __name__ == "__main__":
    unittest.main()
