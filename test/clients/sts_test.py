"""Temporary credentials through boto3's own credential chain: only endpoints change."""
import os
import tempfile
import unittest

import boto3
import botocore.exceptions

URL = os.environ["FLUORO_URL"]
READER = "arn:aws:iam::000000000000:role/reader"
POD = "arn:aws:iam::000000000000:role/pod"


def file(text):
    f = tempfile.NamedTemporaryFile("w", delete=False)
    f.write(text)
    f.close()
    return f.name


class Chain(unittest.TestCase):
    def session(self, **env):
        """A new session with nothing but these variables."""
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update({
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1",
            "AWS_ENDPOINT_URL_STS": URL, "AWS_ENDPOINT_URL_XRAY": URL, "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", **env,
        })
        return boto3.session.Session()

    def alice(self):
        return {"AWS_ACCESS_KEY_ID": os.environ["FLUORO_KEY"], "AWS_SECRET_ACCESS_KEY": os.environ["FLUORO_SECRET"]}

    def refused(self, code, call, **arguments):
        with self.assertRaises(botocore.exceptions.ClientError) as failed:
            call(**arguments)
        self.assertEqual(failed.exception.response["Error"]["Code"], code)
        return failed.exception.response

    def test_caller_identity(self):
        got = self.session(**self.alice()).client("sts").get_caller_identity()
        self.assertEqual(got["Arn"], "arn:aws:iam::000000000000:user/alice")
        self.assertEqual(got["Account"], "000000000000")
        self.assertTrue(got["UserId"].startswith("AIDA"))
        self.assertTrue(got["ResponseMetadata"]["RequestId"])

    def test_wrong_credentials(self):
        sts = self.session(AWS_ACCESS_KEY_ID=os.environ["FLUORO_KEY"], AWS_SECRET_ACCESS_KEY="wrong").client("sts")
        self.refused("SignatureDoesNotMatch", sts.get_caller_identity)
        sts = self.session(AWS_ACCESS_KEY_ID="AKIAQAAAAAAAAAAAAAAA", AWS_SECRET_ACCESS_KEY="wrong").client("sts")
        self.assertEqual(self.refused("InvalidClientTokenId", sts.get_caller_identity)["ResponseMetadata"]["HTTPStatusCode"], 403)
        sts = self.session(**self.alice(), AWS_SESSION_TOKEN="wrong").client("sts")
        self.refused("InvalidClientTokenId", sts.get_caller_identity)

    def test_assume_role(self):
        sts = self.session(**self.alice()).client("sts")
        got = sts.assume_role(
            RoleArn=READER, RoleSessionName="till-1", DurationSeconds=900, Tags=[{"Key": "shop", "Value": "berlin"}], TransitiveTagKeys=["shop"],
            Policy='{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"xray:GetGroups","Resource":"*"}]}', SourceIdentity="alice",
        )
        self.assertEqual(got["AssumedRoleUser"]["Arn"], "arn:aws:sts::000000000000:assumed-role/reader/till-1")
        self.assertEqual(got["SourceIdentity"], "alice")
        self.assertGreater(got["PackedPolicySize"], 0)
        c = got["Credentials"]
        xray = self.session(AWS_ACCESS_KEY_ID=c["AccessKeyId"], AWS_SECRET_ACCESS_KEY=c["SecretAccessKey"], AWS_SESSION_TOKEN=c["SessionToken"]).client("xray")
        xray.get_groups()
        message = self.refused("AccessDeniedException", xray.get_sampling_rules)["Error"]["Message"]
        self.assertIn("because no session policy allows the xray:GetSamplingRules action", message)

    def test_assume_role_refusals(self):
        sts = self.session(**self.alice()).client("sts")
        self.refused("AccessDenied", sts.assume_role, RoleArn=POD, RoleSessionName="till-1")
        self.refused("AccessDenied", sts.assume_role, RoleArn=READER + "s", RoleSessionName="till-1")
        self.refused("ValidationError", sts.assume_role, RoleArn=READER, RoleSessionName="till 1")
        self.refused("ValidationError", sts.assume_role, RoleArn=READER, RoleSessionName="till-1", DurationSeconds=7200)
        self.refused("MalformedPolicyDocument", sts.assume_role, RoleArn=READER, RoleSessionName="till-1", Policy='{"Statement":1}')
        self.refused("PackedPolicyTooLarge", sts.assume_role, RoleArn=READER, RoleSessionName="till-1", Policy="{" + "x" * 2047 + "}")

    def test_session_token(self):
        c = self.session(**self.alice()).client("sts").get_session_token(DurationSeconds=900)["Credentials"]
        session = self.session(AWS_ACCESS_KEY_ID=c["AccessKeyId"], AWS_SECRET_ACCESS_KEY=c["SecretAccessKey"], AWS_SESSION_TOKEN=c["SessionToken"])
        self.assertEqual(session.client("sts").get_caller_identity()["Arn"], "arn:aws:iam::000000000000:user/alice")

    def test_profile_with_role(self):
        config = file(f"[profile till]\nrole_arn = {READER}\ncredential_source = Environment\nrole_session_name = from-profile\n")
        self.session(**self.alice(), AWS_CONFIG_FILE=config)
        session = boto3.session.Session(profile_name="till")
        self.assertEqual(session.client("sts").get_caller_identity()["Arn"], "arn:aws:sts::000000000000:assumed-role/reader/from-profile")

    def test_web_identity(self):
        session = self.session(AWS_WEB_IDENTITY_TOKEN_FILE=file(os.environ["FLUORO_JWT"]), AWS_ROLE_ARN=POD, AWS_ROLE_SESSION_NAME="pod-1")
        self.assertEqual(session.client("sts").get_caller_identity()["Arn"], "arn:aws:sts::000000000000:assumed-role/pod/pod-1")
        session.client("xray").get_groups()

    def test_web_identity_refusals(self):
        sts = self.session().client("sts")
        ask = {"RoleArn": POD, "RoleSessionName": "pod-1"}
        good = os.environ["FLUORO_JWT"]
        got = sts.assume_role_with_web_identity(**ask, WebIdentityToken=good)
        self.assertEqual((got["SubjectFromWebIdentityToken"], got["Audience"]), ("johndoe", "till"))
        self.assertEqual(got["Provider"], os.environ["FLUORO_PROVIDER"])
        head, body, signature = good.split(".")
        self.refused("InvalidIdentityToken", sts.assume_role_with_web_identity, **ask, WebIdentityToken=f"{head}.{body}.{signature[::-1]}")
        self.refused("InvalidIdentityToken", sts.assume_role_with_web_identity, **ask, WebIdentityToken=os.environ["FLUORO_JWT_OTHER"])
        self.refused("InvalidIdentityToken", sts.assume_role_with_web_identity, **ask, WebIdentityToken="nonsense")
        self.refused("AccessDenied", sts.assume_role_with_web_identity, RoleArn=READER, RoleSessionName="pod-1", WebIdentityToken=good)

    def test_container(self):
        session = self.session(AWS_CONTAINER_CREDENTIALS_FULL_URI=URL + "/container-credentials", AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=file(os.environ["FLUORO_TOKEN"]))
        self.assertIn(":assumed-role/reader/container-", session.client("sts").get_caller_identity()["Arn"])
        session.client("xray").get_groups()
        session = self.session(AWS_CONTAINER_CREDENTIALS_FULL_URI=URL + "/container-credentials", AWS_CONTAINER_AUTHORIZATION_TOKEN="wrong")
        with self.assertRaises(botocore.exceptions.BotoCoreError):
            session.client("sts").get_caller_identity()


if __name__ == "__main__":
    unittest.main()
