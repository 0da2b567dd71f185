"""The metrics of the server at AWS_ENDPOINT_URL, whose page is at METRICS_URL, after
a history that is known: boto3 makes it, Prometheus's own parser reads the page."""

import json
import os
import time
import unittest
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from prometheus_client.parser import text_string_to_metric_families

SCRIPTED = "Formwork::Tests::Scripted"
PAGE = os.environ["METRICS_URL"]
client = boto3.client("cloudcontrol", config=Config(retries={"total_max_attempts": 1}))


def create(name, *script):
    state = json.dumps({"Name": name, "Script": script})
    event = client.create_resource(TypeName=SCRIPTED, DesiredState=state)["ProgressEvent"]
    return event["RequestToken"]


def ended(token):
    while True:
        event = client.get_resource_request_status(RequestToken=token)["ProgressEvent"]
        if event["OperationStatus"] not in ("PENDING", "IN_PROGRESS", "CANCEL_IN_PROGRESS"):
            return event["OperationStatus"]
        time.sleep(0.1)


class Page:
    def __init__(self):
        with urllib.request.urlopen(PAGE) as answer:
            self.media_type = answer.headers["content-type"]
            self.text = answer.read().decode()
        self.families = list(text_string_to_metric_families(self.text))

    def value(self, name, **labels):
        """The sum of the samples of that name with these labels."""
        found = [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


class Cases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.before = Page()
        tokens = {
            "SUCCESS": create("chain", "in-progress:0", "success"),
            "FAILED": create("denied", "fail:AccessDenied:no"),
        }
        trapped = create("trapped", "attempts-trap:2")
        # A status is told for a second, and then it is for the caller to ask again.
        cls.ends = {status: ended(token) for status, token in tokens.items()}
        cls.trapped = ended(trapped)
        client.get_resource(TypeName=SCRIPTED, Identifier="a")
        try:
            client.get_resource(TypeName=SCRIPTED, Identifier="a!fail:NotFound")
        except ClientError:
            pass
        cls.waiting = create("waiting", "in-progress:3600", "success")
        cancelled = create("cancelled", "in-progress:3600", "success")
        client.cancel_resource_request(RequestToken=cancelled)
        cls.ends["CANCEL_COMPLETE"] = ended(cancelled)
        # A count of the store may be a second old.
        time.sleep(1.5)
        cls.page = Page()

    def count(self, expected, name, **labels):
        labels = {"type": SCRIPTED, **labels}
        self.assertEqual(self.page.value(name, **labels), expected, (name, labels))

    def test_the_history_is_the_one_that_is_meant(self):
        for wanted, found in self.ends.items():
            self.assertEqual(wanted, found)
        self.assertEqual(self.trapped, "SUCCESS")

    def test_the_page_is_that_of_prometheus(self):
        self.assertTrue(self.page.media_type.startswith("text/plain; version=0.0.4"))
        for family in self.page.families:
            self.assertTrue(family.documentation, family.name)
            self.assertTrue(family.name.startswith("formwork_"), family.name)
        self.assertIsNone(self.before.value("formwork_operations_accepted_total", type=SCRIPTED))

    def test_operations_are_counted_by_how_they_end(self):
        self.count(5, "formwork_operations_accepted_total", action="CREATE")
        self.count(2, "formwork_operations_ended_total", action="CREATE", status="SUCCESS")
        self.count(1, "formwork_operations_ended_total", action="CREATE", status="FAILED")
        self.count(1, "formwork_operations_ended_total", action="CREATE", status="CANCEL_COMPLETE")
        self.count(4, "formwork_operation_duration_seconds_count", action="CREATE")

    def test_invocations_are_counted_by_what_came_of_them(self):
        self.count(3, "formwork_invocations_total", action="CREATE", outcome="in_progress")
        self.count(2, "formwork_invocations_total", action="CREATE", outcome="success")
        self.count(1, "formwork_invocations_total", action="CREATE", outcome="failed")
        self.count(1, "formwork_invocations_total", action="CREATE", outcome="trapped")
        self.count(7, "formwork_invocation_duration_seconds_count", action="CREATE")
        self.count(1, "formwork_invocations_total", action="READ", outcome="success")
        self.count(1, "formwork_invocations_total", action="READ", outcome="failed")
        self.count(1, "formwork_handler_errors_total", action="CREATE", code="AccessDenied")
        self.count(1, "formwork_handler_errors_total", action="READ", code="NotFound")
        self.count(1, "formwork_traps_total", action="CREATE", kind="panic")
        self.count(1, "formwork_retries_total", action="CREATE")

    def test_what_is_late_and_how_long_things_take_is_measured(self):
        self.count(7, "formwork_fire_lag_seconds_count")
        self.assertEqual(self.page.value("formwork_commit_duration_seconds_count"), 7)
        lag = self.page.value("formwork_fire_lag_seconds_sum", type=SCRIPTED)
        self.assertTrue(0 <= lag < 60, lag)

    def test_the_queues_are_those_of_the_store(self):
        self.count(1, "formwork_operations", state="waiting")
        self.count(0, "formwork_operations", state="due")
        self.count(0, "formwork_operations", state="leased")
        self.count(1, "formwork_operations_live", status="IN_PROGRESS")
        self.count(0, "formwork_operations_live", status="PENDING")
        self.count(0, "formwork_operations_live", status="CANCEL_IN_PROGRESS")
        self.assertEqual(self.page.value("formwork_reports_pending"), 0)
        self.assertEqual(self.page.value("formwork_store_up"), 1)
        self.assertEqual(self.page.value("formwork_sandbox_slots_used"), 0)
        self.assertGreater(self.page.value("formwork_sandbox_slots"), 0)

    def test_the_connections_are_those_of_the_data_directory(self):
        name = "formwork_database_connections"
        self.assertEqual(self.page.value(f"{name}_max"), 4)
        used = self.page.value(name, pool="readers", state="in_use")
        idle = self.page.value(name, pool="readers", state="idle")
        self.assertTrue(1 <= used + idle <= 4, (used, idle))

    def test_components_are_counted(self):
        self.count(1, "formwork_components_loaded_total")


unittest.main()
