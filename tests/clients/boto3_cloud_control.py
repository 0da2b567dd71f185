"""boto3, unmodified, against the server that AWS_ENDPOINT_URL names.

It serves Formwork::Examples::File, Formwork::Tests::Thing (with Delay, an update
or a create takes two callbacks) and Formwork::Tests::Scripted (which does what its
desired state, or the name of the resource behind a `!`, says).
"""

import json
import unittest
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError

FILE = "Formwork::Examples::File"
THING = "Formwork::Tests::Thing"
SCRIPTED = "Formwork::Tests::Scripted"


def connect(service="cloudcontrol", region="us-east-1", attempts=1, mode="standard"):
    config = Config(retries={"total_max_attempts": attempts, "mode": mode})
    return boto3.client(service, region_name=region, config=config)


client = connect()


def create(type_name, state, **more):
    answer = client.create_resource(TypeName=type_name, DesiredState=json.dumps(state), **more)
    return answer["ProgressEvent"]


def update(type_name, identifier, *operations, **more):
    patch = json.dumps(operations)
    answer = client.update_resource(TypeName=type_name, Identifier=identifier, PatchDocument=patch, **more)
    return answer["ProgressEvent"]


def delete(type_name, identifier, **more):
    return client.delete_resource(TypeName=type_name, Identifier=identifier, **more)["ProgressEvent"]


def get(type_name, identifier):
    return client.get_resource(TypeName=type_name, Identifier=identifier)["ResourceDescription"]


def properties(type_name, identifier):
    return json.loads(get(type_name, identifier)["Properties"])


def status(event):
    answer = client.get_resource_request_status(RequestToken=event["RequestToken"])
    return answer["ProgressEvent"]


def wait(event, attempts=60):
    waiter = client.get_waiter("resource_request_success")
    waiter.wait(RequestToken=event["RequestToken"], WaiterConfig={"Delay": 1, "MaxAttempts": attempts})
    return status(event)


def name():
    return "a-" + uuid.uuid4().hex[:12]


class Cases(unittest.TestCase):
    maxDiff = None

    def refused(self, exception, call, *args, **more):
        with self.assertRaises(ClientError) as caught:
            call(*args, **more)
        error = caught.exception.response["Error"]
        self.assertEqual(error["Code"], exception)
        modelled = getattr(client.exceptions, exception, None)
        if exception != "ValidationException":
            self.assertIsInstance(caught.exception, modelled)
        self.assertIn(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], (400, 500))
        return error["Message"]

    def test_the_life_of_a_resource(self):
        file = name()
        event = create(FILE, {"Name": file, "Contents": "one", "Secret": "s3cr3t"})
        # The handler is fast, so the first answer is the last.
        self.assertEqual(event["OperationStatus"], "SUCCESS")
        self.assertEqual((event["Identifier"], event["Operation"]), (file, "CREATE"))
        self.assertEqual(wait(event), event)
        self.assertNotIn("s3cr3t", json.dumps(event, default=str))
        self.assertEqual(properties(FILE, file)["Contents"], "one")
        # The patch leads with a slash or without, and the secret is added again.
        event = update(
            FILE,
            file,
            {"op": "replace", "path": "Contents", "value": "three"},
            {"op": "add", "path": "/Secret", "value": "s3cr3t"},
        )
        self.assertEqual(wait(event)["OperationStatus"], "SUCCESS")
        self.assertEqual(properties(FILE, file)["Size"], 5)
        pages = client.get_paginator("list_resources").paginate(TypeName=FILE)
        listed = [resource["Identifier"] for page in pages for resource in page["ResourceDescriptions"]]
        self.assertIn(file, listed)
        self.assertEqual(wait(delete(FILE, file))["Operation"], "DELETE")
        said = self.refused("ResourceNotFoundException", get, FILE, file)
        self.assertRegex(said, r"^Formwork::Examples::File Handler returned status FAILED: .*\(HandlerErrorCode: NotFound, RequestToken: [0-9a-f-]{36}\)$")
        event = delete(FILE, file)
        self.assertEqual((event["OperationStatus"], event["ErrorCode"]), ("FAILED", "NotFound"))
        self.assertEqual(event["Identifier"], file)

    def test_a_resource_that_takes_callbacks(self):
        thing = name()
        event = create(THING, {"Name": thing, "Delay": 2})
        self.assertEqual(event["OperationStatus"], "IN_PROGRESS")
        self.assertEqual(event["Identifier"], thing)
        waits = (event["RetryAfter"] - event["EventTime"]).total_seconds()
        self.assertTrue(2 <= waits < 30, waits)
        busy = [
            (delete, THING, thing),
            (create, THING, {"Name": thing}),
        ]
        for call, *args in busy:
            self.refused("ConcurrentOperationException", call, *args)
        event = wait(event)
        self.assertEqual(event["OperationStatus"], "SUCCESS")
        self.assertNotIn("RetryAfter", event)
        secondary = {"Id": properties(THING, thing)["Id"]}
        self.assertEqual(get(THING, json.dumps(secondary))["Identifier"], thing)
        self.assertEqual(wait(delete(THING, json.dumps(secondary)))["Identifier"], thing)

    def test_a_request_that_fails(self):
        event = create(SCRIPTED, {"Name": name(), "Script": ["fail:AlreadyExists:there is one"]})
        self.assertEqual((event["OperationStatus"], event["ErrorCode"]), ("FAILED", "AlreadyExists"))
        self.assertTrue(event["StatusMessage"].startswith("there is one"))
        with self.assertRaises(WaiterError) as caught:
            wait(event)
        self.assertIn("terminal failure", caught.exception.kwargs["reason"])
        self.assertEqual(caught.exception.last_response["ProgressEvent"], event)
        event = create(SCRIPTED, {"Name": name(), "Script": ["fail:InvalidTypeConfiguration:no"]})
        self.assertEqual(event["ErrorCode"], "InvalidRequest")

    def test_a_waiter_gives_up_on_a_request_that_goes_on(self):
        event = create(SCRIPTED, {"Name": name(), "Script": ["in-progress:3600"]})
        with self.assertRaises(WaiterError) as caught:
            wait(event, attempts=2)
        self.assertEqual(caught.exception.kwargs["reason"], "Max attempts exceeded")
        self.assertEqual(caught.exception.last_response["ProgressEvent"], event)
        client.cancel_resource_request(RequestToken=event["RequestToken"])

    def test_a_waiter_needs_one_call_for_a_request_that_has_ended(self):
        self.assertEqual(wait(create(SCRIPTED, {"Name": name()}), attempts=1)["OperationStatus"], "SUCCESS")

    def test_a_request_that_is_cancelled(self):
        event = create(SCRIPTED, {"Name": name(), "Script": ["in-progress:3600"]})
        token = {"RequestToken": event["RequestToken"]}
        for _ in range(2):
            cancelled = client.cancel_resource_request(**token)["ProgressEvent"]
            self.assertEqual(cancelled["OperationStatus"], "CANCEL_COMPLETE")
        with self.assertRaises(WaiterError):
            wait(event)
        done = create(SCRIPTED, {"Name": name()})
        said = self.refused(
            "ValidationException", client.cancel_resource_request, RequestToken=done["RequestToken"]
        )
        self.assertEqual(said, f"Request {done['RequestToken']} is already in status SUCCESS")

    def test_a_client_token_is_one_request(self):
        file, token = name(), uuid.uuid4().hex
        state = {"Name": file, "Contents": "one"}
        event = create(FILE, state, ClientToken=token)
        self.assertEqual(create(FILE, state, ClientToken=token), event)
        said = self.refused(
            "ClientTokenConflictException", create, FILE, {**state, "Contents": "two"}, ClientToken=token
        )
        self.assertEqual(
            said,
            f"ClientToken {token} is already associated with an existing operation"
            f" with RequestToken {event['RequestToken']}",
        )
        gone = delete(FILE, file, ClientToken=token + "-")
        self.assertEqual(delete(FILE, file, ClientToken=token + "-"), gone)
        # Another region is another place.
        elsewhere = connect(region="eu-west-1")
        answer = elsewhere.create_resource(TypeName=FILE, DesiredState=json.dumps(state), ClientToken=token)
        self.assertNotEqual(answer["ProgressEvent"]["RequestToken"], event["RequestToken"])
        said = self.refused(
            "RequestTokenNotFoundException",
            elsewhere.get_resource_request_status,
            RequestToken=event["RequestToken"],
        )
        self.assertEqual(said, f"Request with token {event['RequestToken']} was not found")

    def test_what_is_refused_at_once(self):
        file = name()
        create(FILE, {"Name": file, "Contents": "one"})
        said = self.refused("TypeNotFoundException", create, "Acme::Not::Served", {})
        self.assertEqual(said, "The type 'Acme::Not::Served' cannot be found.")
        said = self.refused("ValidationException", create, FILE, {"Name": file, "Contents": "", "Zip": 1})
        self.assertEqual(said, "Model validation failed (#: extraneous key [Zip] is not permitted)")
        said = self.refused("ValidationException", create, FILE, {"Name": False, "Contents": ""})
        self.assertEqual(said, "Model validation failed (#/Name: expected type: String, found: Boolean)")
        replace = {"op": "replace", "path": "/Name", "value": "b"}
        said = self.refused("NotUpdatableException", update, FILE, file, replace)
        self.assertEqual(
            said, "Invalid patch update: createOnlyProperties [/properties/Name] cannot be updated"
        )
        self.refused("ResourceNotFoundException", update, FILE, file + "-", replace)
        test = {"op": "test", "path": "/Contents", "value": "two"}
        write = {"op": "replace", "path": "/Contents", "value": "three"}
        self.refused("InvalidRequestException", update, FILE, file, write, test)
        self.assertEqual(properties(FILE, file)["Contents"], "one")

    def test_an_update_without_effect(self):
        thing = name()
        create(THING, {"Name": thing, "Size": 5})
        before = properties(THING, thing)
        replace = {"op": "replace", "path": "Size", "value": 5}
        for patch in [[], [replace], [{"op": "test", "path": "/Size", "value": 5}]]:
            event = update(THING, thing, *patch)
            self.assertEqual((event["OperationStatus"], event["Operation"]), ("SUCCESS", "UPDATE"))
            self.assertEqual((event["Identifier"], status(event)), (thing, event))
        # The handler was not invoked.
        self.assertEqual(properties(THING, thing), before)
        token = uuid.uuid4().hex
        event = update(THING, thing, ClientToken=token)
        self.assertEqual(update(THING, thing, ClientToken=token), event)

    def test_pages(self):
        pages = client.get_paginator("list_resources").paginate(TypeName=SCRIPTED)
        listed = [[one["Identifier"] for one in page["ResourceDescriptions"]] for page in pages]
        self.assertEqual(listed, [["item-0", "item-1"], ["item-2"]])
        tokens = [create(SCRIPTED, {"Name": name()})["RequestToken"] for _ in range(5)]
        filters = {"Operations": ["CREATE"], "OperationStatuses": ["SUCCESS"]}
        pages = client.get_paginator("list_resource_requests").paginate(
            ResourceRequestStatusFilter=filters, PaginationConfig={"PageSize": 2, "MaxItems": 1000}
        )
        pages = [page["ResourceRequestStatusSummaries"] for page in pages]
        self.assertTrue(all(len(page) == 2 for page in pages[:-1]))
        events = [event for page in pages for event in page]
        self.assertTrue(all(event["OperationStatus"] == "SUCCESS" for event in events))
        self.assertEqual([token for token in tokens if token in {event["RequestToken"] for event in events}], tokens)
        times = [event["EventTime"] for event in events]
        self.assertEqual(times, sorted(times, reverse=True))

    def test_every_code_of_a_handler_is_a_typed_exception(self):
        for code, exception, status in CODES:
            with self.subTest(code), self.assertRaises(getattr(client.exceptions, exception)) as caught:
                get(SCRIPTED, f"a!fail:{code}:no luck")
            response = caught.exception.response
            self.assertEqual(response["Error"]["Code"], exception)
            self.assertIn("no luck", response["Error"]["Message"])
            self.assertEqual(response["ResponseMetadata"]["HTTPStatusCode"], status)

    def test_retries_are_for_throttling_and_faults_of_the_server_alone(self):
        for mode, code, exception, retries in [
            ("legacy", "Throttling", "ThrottlingException", 2),
            ("legacy", "InternalFailure", "HandlerInternalFailureException", 2),
            ("legacy", "ResourceConflict", "ResourceConflictException", 0),
            ("standard", "Throttling", "ThrottlingException", 2),
            ("standard", "InternalFailure", "HandlerInternalFailureException", 2),
            ("standard", "NetworkFailure", "NetworkFailureException", 2),
            ("standard", "ResourceConflict", "ResourceConflictException", 0),
            ("standard", "AccessDenied", "AccessDeniedException", 0),
        ]:
            patient = connect(attempts=3, mode=mode)
            with self.subTest(mode=mode, code=code), self.assertRaises(ClientError) as caught:
                patient.get_resource(TypeName=SCRIPTED, Identifier=f"a!fail:{code}:no")
            response = caught.exception.response
            self.assertEqual(response["Error"]["Code"], exception)
            self.assertEqual(response["ResponseMetadata"]["RetryAttempts"], retries)

    def test_the_registry(self):
        registry = connect("cloudformation")
        described = registry.describe_type(Type="RESOURCE", TypeName=THING)
        schema = json.loads(described["Schema"])
        self.assertEqual(schema["typeName"], THING)
        self.assertEqual(schema["primaryIdentifier"], ["/properties/Name"])
        arn = "arn:aws:cloudformation:us-east-1:000000000000:type/resource/Formwork-Tests-Thing"
        self.assertEqual(described["Arn"], arn)
        self.assertIs(described["IsDefaultVersion"], True)
        self.assertEqual(registry.describe_type(Arn=arn)["Schema"], described["Schema"])
        with self.assertRaises(registry.exceptions.TypeNotFoundException):
            registry.describe_type(Type="RESOURCE", TypeName="Acme::Not::Served")
        pages = registry.get_paginator("list_types").paginate(PaginationConfig={"PageSize": 2})
        names = [one["TypeName"] for page in pages for one in page["TypeSummaries"]]
        self.assertEqual(names, [FILE, SCRIPTED, THING])
        listed = registry.list_types(Filters={"TypeNamePrefix": "Formwork::Tests"})
        self.assertEqual(len(listed["TypeSummaries"]), 2)
        self.assertEqual(registry.list_types(Visibility="PUBLIC")["TypeSummaries"], [])
        versions = registry.list_type_versions(Type="RESOURCE", TypeName=FILE)["TypeVersionSummaries"]
        self.assertEqual([version["VersionId"] for version in versions], [described["DefaultVersionId"]])

    def test_the_configuration_of_a_type(self):
        registry = connect("cloudformation")
        named = {"Type": "RESOURCE", "TypeName": SCRIPTED}
        answer = registry.batch_describe_type_configurations(TypeConfigurationIdentifiers=[named])
        self.assertEqual(answer["Errors"][0]["TypeConfigurationIdentifier"], named)
        with self.assertRaises(registry.exceptions.CFNRegistryException):
            registry.set_type_configuration(Configuration="?", **named)
        configuration = json.dumps(CONFIGURATION)
        arn = registry.set_type_configuration(Configuration=configuration, **named)["ConfigurationArn"]
        answer = registry.batch_describe_type_configurations(
            TypeConfigurationIdentifiers=[named, {"TypeConfigurationArn": arn}]
        )
        self.assertEqual([one["Configuration"] for one in answer["TypeConfigurations"]], [configuration] * 2)
        told = properties(SCRIPTED, "a!echo-request & success")["Note"]
        self.assertIn("7041", told)

    def test_sessions(self):
        sts = connect("sts")
        self.assertEqual(sts.get_caller_identity()["Account"], "000000000000")
        self.assertIn("SessionToken", sts.get_session_token()["Credentials"])
        role = "arn:aws:iam::123456789012:role/path/handler"
        user = sts.assume_role(RoleArn=role, RoleSessionName="me")["AssumedRoleUser"]
        self.assertEqual(user["Arn"], "arn:aws:sts::123456789012:assumed-role/path/handler/me")


CONFIGURATION = {"t": 7041}

# What a handler answers a read, and how that reaches the caller.
CODES = [
    ("AlreadyExists", "AlreadyExistsException", 400),
    ("GeneralServiceException", "GeneralServiceException", 400),
    ("HandlerInternalFailure", "HandlerInternalFailureException", 500),
    ("InternalFailure", "HandlerInternalFailureException", 500),
    ("InvalidCredentials", "InvalidCredentialsException", 400),
    ("InvalidRequest", "InvalidRequestException", 400),
    ("NetworkFailure", "NetworkFailureException", 500),
    ("NotFound", "ResourceNotFoundException", 400),
    ("NotStabilized", "NotStabilizedException", 400),
    ("NotUpdatable", "NotUpdatableException", 400),
    ("ResourceConflict", "ResourceConflictException", 400),
    ("ServiceInternalError", "ServiceInternalErrorException", 500),
    ("ServiceLimitExceeded", "ServiceLimitExceededException", 400),
    ("ServiceTimeout", "HandlerFailureException", 500),
    ("Throttling", "ThrottlingException", 400),
]

if __name__ == "__main__":
    unittest.main(verbosity=2)
