"""The sender: a request is journaled, waits for its slot, is sent, its response is recorded, and then it is retried."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import stripe

import fly_billing.stripe_sync
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import StripeResponse, make_stripe_client
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.rules.requests import StripeRequest, create_customer_request
from fly_billing.stripe_sync.sender import StripeSender
from tests.support.stripe_builders import API_KEY, calls, query

REQUEST = create_customer_request("acme", "Acme Inc.")
KEY = "fly_billing/acme/0/create_customer/0"


class StepLog:
    """The steps in order: the sender's log, limiter, request and pause write into it."""

    def __init__(self, database: BillingDatabase, sandbox: SandboxServer) -> None:
        self.steps: list[str] = []
        self.client = make_stripe_client(API_KEY, sandbox.url)
        step_log = self

        class NotedLimiter(RateLimiter):
            def wait(self, endpoint: str) -> None:
                super().wait(endpoint)
                step_log.steps.append(f"slot for {endpoint}")

            def slow_down(self, endpoint: str, reason: str | None) -> float:
                step_log.steps.append(f"slow down {endpoint}: {reason}")
                return super().slow_down(endpoint, reason)

        self.sender = StripeSender(NotedLimiter(database, 1000, 1000), sleep=self.pause)

    def pause(self, seconds: float) -> None:
        self.steps.append(f"pause {seconds}")

    def begin(self, request: StripeRequest, key: str) -> int:
        self.steps.append(f"journal {request.step} under {key}")
        return len(self.steps)

    def end(self, attempt: int, response: StripeResponse) -> None:
        assert self.steps[attempt - 1].startswith("journal")
        self.steps.append(f"record {response.outcome} {response.code or ''}".strip())

    def create(self, key: str) -> stripe.StripeObject:
        self.steps.append(f"send under {key}")
        return self.client.v1.customers.create({"name": "Acme Inc."}, {"idempotency_key": key})

    def send(self) -> list[StripeResponse]:
        return self.sender.send(REQUEST, KEY, self.create, self)


@pytest.fixture
def step_log(billing_database: BillingDatabase, sandbox: SandboxServer) -> StepLog:
    return StepLog(billing_database, sandbox)


ATTEMPT = [f"journal create_customer under {KEY}", "slot for create_customer", f"send under {KEY}"]


def test_each_attempt_is_journaled_waits_for_a_slot_and_records_its_response_before_the_next(
    step_log: StepLog, sandbox: SandboxServer
) -> None:
    sandbox.control.add_fault("apply_then_drop", "customers.create", nth=1)
    responses = step_log.send()
    assert [response.outcome for response in responses] == ["unknown", "applied"]
    assert step_log.steps == [*ATTEMPT, "record unknown no_answer", "pause 0.5", *ATTEMPT, "record applied"]
    assert len(sandbox.control.objects("customer")) == 1


class FullJournal(StepLog):
    """A journal that can't be written."""

    def begin(self, request: StripeRequest, key: str) -> int:
        raise OSError("no space left on device")


def test_a_request_that_can_not_be_journaled_is_not_sent(
    billing_database: BillingDatabase, sandbox: SandboxServer
) -> None:
    step_log = FullJournal(billing_database, sandbox)
    with pytest.raises(OSError, match="no space left"):
        step_log.send()
    assert step_log.steps == []
    assert calls(sandbox) == []


def test_a_request_is_given_up_after_five_attempts(step_log: StepLog, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("drop_before_apply", "customers.create")
    assert [response.code for response in step_log.send()] == ["no_answer"] * 5
    assert [step for step in step_log.steps if step.startswith("pause")] == [
        "pause 0.5",
        "pause 1.0",
        "pause 2.0",
        "pause 4.0",
    ]
    assert calls(sandbox) == ["customers.create"] * 5


def test_a_refusal_is_sent_once(step_log: StepLog, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("error", "customers.create", status=400, type="invalid_request_error", message="No.")
    assert [response.code for response in step_log.send()] == ["invalid_request"]
    assert step_log.steps == [*ATTEMPT, "record not_applied invalid_request"]


def test_a_stored_failure_is_not_requested_a_third_time(step_log: StepLog, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("stored_500", "customers.create", nth=1)
    assert [(response.code, response.was_replayed) for response in step_log.send()] == [
        ("server_error", False),
        ("server_error", True),
    ]


def test_a_429_is_recorded_and_slows_its_endpoint_before_the_request_is_retried(
    step_log: StepLog, sandbox: SandboxServer, billing_database: BillingDatabase
) -> None:
    sandbox.control.add_fault("rate_limited", "customers.create", nth=1)
    assert step_log.send()[-1].outcome == "applied"
    recorded = step_log.steps.index("record not_applied rate_limited")
    assert step_log.steps[recorded + 1].startswith("slow down create_customer: ")
    assert step_log.steps[recorded + 2] == "pause 0.5"
    slowed = query(billing_database, "select bucket from stripe_pace where slowed_to is not null")
    assert [row["bucket"] for row in slowed] == ["create_customer"]


def test_a_read_is_retried_and_paced_like_a_change_but_not_journaled(step_log: StepLog, sandbox: SandboxServer) -> None:
    sandbox.control.seed_customer("cus_1234")
    sandbox.control.add_fault("error", "customers.retrieve", nth=1)
    assert (
        step_log.sender.read("retrieve_customer", lambda: step_log.client.v1.customers.retrieve("cus_1234")).outcome
        == "applied"
    )
    assert step_log.steps == ["slot for retrieve_customer", "pause 0.5", "slot for retrieve_customer"]


def test_no_other_module_sends_requests() -> None:
    def asks(module: Path) -> bool:
        tree = ast.parse(module.read_text(encoding="utf-8"))
        return any(isinstance(node, ast.Name) and node.id == "ask" for node in ast.walk(tree))

    folder = Path(fly_billing.stripe_sync.__path__[0])
    assert [module.name for module in sorted(folder.rglob("*.py")) if asks(module)] == ["sender.py"]
