"""boto3, unmodified, against a server at AWS_ENDPOINT_URL that knows its callers.

The key AKIDWRITERWRITER may do all that is usual; AKIDREADERREADER needs its
session token and may only read files, as AKIDOTHEROTHER01 of the writer's account may.
"""

import json
import os
import unittest
import urllib.error
import urllib.request

import boto3
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

URL = os.environ["AWS_ENDPOINT_URL"]
FILE = "Formwork::Examples::File"
WRITER = ("AKIDWRITERWRITER", "s3cr3t/of+the writer")
READER = ("AKIDREADERREADER", "s3cr3t-of-the-reader", "t0ken")
OTHER = ("AKIDOTHEROTHER01", "s3cr3t-of-another")
INVOCATION = json.dumps({"action": "LIST", "requestData": {"resourceProperties": {}}})


def connect(service, key):
    return boto3.client(
        service,
        aws_access_key_id=key[0],
        aws_secret_access_key=key[1],
        aws_session_token=key[2] if len(key) > 2 else None,
        config=Config(retries={"total_max_attempts": 1}),
    )


def send(request):
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Cases(unittest.TestCase):
    def refused(self, code, status, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        answer = caught.exception.response
        self.assertEqual(answer["Error"]["Code"], code)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_a_key_does_what_it_may_on_every_surface(self):
        control = connect("cloudcontrol", WRITER)
        state = json.dumps({"Name": "a.txt", "Contents": "one"})
        event = control.create_resource(TypeName=FILE, DesiredState=state)["ProgressEvent"]
        self.assertEqual(event["OperationStatus"], "SUCCESS")
        found = connect("cloudformation", WRITER).describe_type(Type="RESOURCE", TypeName=FILE)
        self.assertEqual(found["TypeName"], FILE)
        self.assertIn(":eu-west-1:123456789012:", found["Arn"])
        self.assertEqual(connect("sts", WRITER).get_caller_identity()["Account"], "123456789012")
        for name in (FILE, "TypeFunction"):
            answer = connect("lambda", WRITER).invoke(FunctionName=name, Payload=INVOCATION)
            self.assertEqual(json.load(answer["Payload"])["status"], "SUCCESS")

    def test_a_key_does_not_do_what_it_may_not(self):
        control = connect("cloudcontrol", READER)
        self.refused("ResourceNotFoundException", 400, control.get_resource, TypeName=FILE, Identifier="none")
        self.refused("AccessDeniedException", 400, control.list_resources, TypeName=FILE)
        self.refused("AccessDeniedException", 400, control.create_resource, TypeName=FILE, DesiredState="{}")
        invoke = connect("lambda", READER).invoke
        self.refused("AccessDeniedException", 403, invoke, FunctionName="TypeFunction", Payload=INVOCATION)
        configure = connect("cloudformation", WRITER).set_type_configuration
        self.refused("AccessDenied", 403, configure, Type="RESOURCE", TypeName=FILE, Configuration="{}")

    def test_a_session_does_what_its_key_may(self):
        for ask in (
            lambda it: it.get_session_token(),
            lambda it: it.assume_role(RoleArn="arn:aws:iam::123456789012:role/any", RoleSessionName="me"),
        ):
            given = ask(connect("sts", READER))["Credentials"]
            session = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
            control = connect("cloudcontrol", session)
            self.refused("ResourceNotFoundException", 400, control.get_resource, TypeName=FILE, Identifier="none")
            self.refused("AccessDeniedException", 400, control.list_resources, TypeName=FILE)
            self.refused("AccessDenied", 403, connect("sts", session).get_session_token)
            other = connect("cloudcontrol", session[:2] + ("other",))
            self.refused("UnrecognizedClientException", 400, other.get_resource, TypeName=FILE, Identifier="none")

    def test_a_key_sees_only_the_requests_that_it_might_have_made(self):
        control = connect("cloudcontrol", WRITER)
        state = json.dumps({"Name": "seen.txt", "Contents": "secret"})
        token = control.create_resource(TypeName=FILE, DesiredState=state)["ProgressEvent"]["RequestToken"]
        control.get_resource_request_status(RequestToken=token)
        others = connect("cloudcontrol", OTHER)
        self.refused("AccessDeniedException", 400, others.get_resource_request_status, RequestToken=token)
        self.assertEqual(others.list_resource_requests()["ResourceRequestStatusSummaries"], [])

    def test_who_is_nobody_is_told_so_in_the_words_of_the_surface(self):
        calls = {
            "cloudcontrol": lambda it: it.list_resources(TypeName=FILE),
            "lambda": lambda it: it.invoke(FunctionName="TypeFunction", Payload=INVOCATION),
            "cloudformation": lambda it: it.list_types(),
        }
        unknown, other = "UnrecognizedClientException", "InvalidSignatureException"
        codes = {
            "cloudcontrol": (unknown, other, 400),
            "lambda": (unknown, other, 403),
            "cloudformation": ("InvalidClientTokenId", "SignatureDoesNotMatch", 403),
        }
        for service, call in calls.items():
            unknown, other, status = codes[service]
            self.refused(unknown, status, call, it=connect(service, ("AKIDNOBODYNOBODY", "x")))
            self.refused(unknown, status, call, it=connect(service, READER[:2]))
            self.refused(other, status, call, it=connect(service, (WRITER[0], "x")))

    def test_a_signed_url_is_good_for_its_path_and_body(self):
        # botocore puts what a body holds into the URL, so the body is empty.
        path = f"{URL}/2015-03-31/functions/TypeFunction/invocations"
        request = AWSRequest("POST", path)
        SigV4QueryAuth(Credentials(*WRITER), "lambda", "eu-west-1", expires=60).add_auth(request)
        status, body = send(urllib.request.Request(request.url, b""))
        self.assertEqual(status, 400, "the door is reached, and wants a payload: " + body)
        for url, body in (
            (request.url, b"{}"),
            (request.url.replace("TypeFunction", "TestEntrypoint"), b""),
            (request.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"), b""),
        ):
            status, body = send(urllib.request.Request(url, body))
            self.assertEqual(status, 403, body)
            self.assertIn("does not match", body)

    def test_a_signed_url_makes_a_call_of_the_query_protocol(self):
        url = connect("sts", WRITER).generate_presigned_url("get_caller_identity", HttpMethod="GET")
        status, body = send(url)
        self.assertEqual(status, 200, body)
        self.assertIn("<Account>123456789012</Account>", body)
        status, body = send(url.replace("GetCallerIdentity", "GetSessionToken"))
        self.assertEqual(status, 403, body)
        self.assertEqual(send(f"{URL}/?Action=GetCallerIdentity&Version=2011-06-15")[0], 403)

    def test_only_probes_need_no_key(self):
        self.assertEqual(send(f"{URL}/health")[0], 200)
        self.assertEqual(send(f"{URL}/ready")[0], 200)
        for path in ("/", "/none", "/2015-03-31/functions/TypeFunction/invocations"):
            status, body = send(urllib.request.Request(URL + path, b"{}"))
            self.assertEqual(status, 403, body)
            self.assertIn("missing Authentication Token", body)


if __name__ == "__main__":
    unittest.main()
