"""All requests of the product and all responses of the sandbox conform to Stripe's OpenAPI schema."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import stripe

import fly_billing
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sandbox.endpoints import ENDPOINTS
from tests.support.stripe_flows import (
    RecordedSandbox,
    credit_an_invoice,
    follow_a_payment,
    go_through_cards,
    go_through_credit_notes,
    go_through_customer_balances,
    go_through_customers,
    go_through_disputes,
    go_through_invoice_items,
    go_through_invoices,
    go_through_payments_and_events,
    go_through_refunds,
    go_through_search_and_webhook_endpoints,
    hooked,
    meet_every_fault,
    meet_every_refusal,
    send_complete_invoices,
    sync_and_repair_june,
)
from tests.support.stripe_openapi import Exchange, Json, stripe_schema
from tests.support.stripe_recorder import recording

PACKAGE = Path(fly_billing.__file__).parent
BY_HAND = (
    go_through_customers,
    go_through_customer_balances,
    go_through_invoices,
    go_through_invoice_items,
    go_through_cards,
    go_through_refunds,
    go_through_credit_notes,
    go_through_disputes,
    go_through_search_and_webhook_endpoints,
    go_through_payments_and_events,  # the last one lists the events of all
)
EVENT_TYPES = {
    "charge.failed",
    "charge.succeeded",
    "invoice.overpaid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
    "payment_intent.canceled",
    "payment_intent.payment_failed",
    "payment_intent.succeeded",
    "customer.tax_id.created",
    "customer.tax_id.deleted",
    "customer.deleted",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "charge.refunded",
    "credit_note.created",
    "credit_note.updated",
    "credit_note.voided",
    "customer.updated",
    "invoice.created",
    "invoice.finalization_failed",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.sent",
    "invoice.updated",
    "invoice.voided",
    "payment_method.attached",
    "payment_method.detached",
    "refund.created",
    "refund.failed",
    "refund.updated",
}
REFUSALS = {
    (400, "idempotency_error", None),
    (400, "invalid_request_error", None),
    (400, "invalid_request_error", "invoice_not_editable"),
    (400, "invalid_request_error", "parameter_invalid_empty"),
    (400, "invalid_request_error", "parameter_invalid_integer"),
    (400, "invalid_request_error", "parameter_missing"),
    (400, "invalid_request_error", "parameter_unknown"),
    (400, "invalid_request_error", "resource_missing"),
    (400, "invalid_request_error", "email_invalid"),
    (401, "invalid_request_error", None),
    (402, "card_error", "card_declined"),
    (404, "invalid_request_error", None),
    (404, "invalid_request_error", "resource_missing"),
    (429, "invalid_request_error", "rate_limit"),
}
FAULTY_ANSWERS = {
    (402, "card_error", "card_declined"),
    (409, "invalid_request_error", "idempotency_key_in_use"),
    (429, "invalid_request_error", "lock_timeout"),
    (429, "invalid_request_error", "rate_limit"),
    (500, "api_error", None),
}
REASONS = {"global-rate", "global-concurrency", "endpoint-rate", "endpoint-concurrency", "resource-specific"}

Name = tuple[str, str]


@dataclass(frozen=True)
class Recorded:
    """The exchanges of each part, and the events delivered."""

    product: list[Exchange]
    by_hand: list[Exchange]
    faults: list[Exchange]
    refused: list[Exchange]
    events: list[Json]


@pytest.fixture(scope="module")
def recorded(
    server: SandboxServer, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recorded]:
    """Record each part once, over a separate database."""
    server.control.reset()
    server.control.settings(new_customers_have_a_card=True)
    create_database(postgres, "billing_openapi", template="billing_template")
    database = BillingDatabase(postgres.url("billing_openapi"))
    with recording(server.url) as recorder:
        sandbox = RecordedSandbox(database, tmp_path_factory.mktemp("openapi"), server, recorder)

        def exchanges_of(*ways: Any) -> list[Exchange]:
            for way in ways:
                way(sandbox)
            found = recorder.exchanges[:]
            recorder.exchanges.clear()
            return found

        with hooked(sandbox):
            product, by_hand = (
                exchanges_of(sync_and_repair_june, follow_a_payment, send_complete_invoices, credit_an_invoice),
                exchanges_of(*BY_HAND),
            )
        yield Recorded(
            product, by_hand, exchanges_of(meet_every_fault), exchanges_of(meet_every_refusal), recorder.deliveries
        )
    database.engine.dispose()
    drop_database(postgres, "billing_openapi")


def refusals(exchanges: list[Exchange]) -> set[tuple[int, str, str | None]]:
    """List (status, type, code) of the errors among the answers."""
    bad = [exchange for exchange in exchanges if exchange.status not in (None, 200)]
    errors = [(exchange.status or 0, json.loads(exchange.answer)["error"]) for exchange in bad]
    return {(status, error["type"], error.get("code")) for status, error in errors}


# Exchanges ----------------------------------------------------------------------------------------------------------


def test_every_request_of_the_product_is_valid_for_stripe(recorded: Recorded) -> None:
    assert [problem for exchange in recorded.product for problem in stripe_schema().problems(exchange)] == []


def test_every_response_of_the_sandbox_is_valid_for_stripe(recorded: Recorded) -> None:
    assert {exchange.status for exchange in recorded.by_hand} == {200, 402}  # 402: the declining card
    assert [problem for exchange in recorded.by_hand for problem in stripe_schema().problems(exchange)] == []


def test_every_response_of_a_fault_is_valid_for_stripe(recorded: Recorded) -> None:
    assert refusals(recorded.faults) == FAULTY_ANSWERS
    assert [problem for exchange in recorded.faults for problem in stripe_schema().problems(exchange)] == []


def test_every_refusal_has_the_form_of_stripes_errors(recorded: Recorded) -> None:
    assert [exchange.name for exchange in recorded.refused if exchange.status == 200] == []
    assert refusals(recorded.refused) == REFUSALS
    problems = [
        problem for exchange in recorded.refused for problem in stripe_schema().problems(exchange, judge_request=False)
    ]
    assert problems == []


def test_every_response_names_its_request_and_every_429_its_limit(recorded: Recorded) -> None:
    exchanges = [*recorded.product, *recorded.by_hand, *recorded.faults, *recorded.refused]
    answered = [exchange for exchange in exchanges if exchange.status]
    assert [exchange.name for exchange in answered if not exchange.headers["request-id"].startswith("req_")] == []
    limited = [exchange for exchange in answered if exchange.status == 429]
    reasons = {
        (json.loads(exchange.answer)["error"]["code"], exchange.headers.get("stripe-rate-limited-reason"))
        for exchange in limited
    }
    assert reasons == {("lock_timeout", None), *(("rate_limit", reason) for reason in REASONS)}


def test_every_delivered_event_and_its_object_are_valid_for_stripe(recorded: Recorded) -> None:
    assert {event["type"] for event in recorded.events} == EVENT_TYPES
    assert [problem for event in recorded.events for problem in stripe_schema().problems_of_event(event)] == []


def test_every_listed_event_and_its_object_are_valid_for_stripe(recorded: Recorded) -> None:
    pages = [json.loads(exchange.answer) for exchange in recorded.by_hand if exchange.target.startswith("/v1/events?")]
    listed = [event for page in pages for event in page["data"]]
    assert {event["type"] for event in listed} == EVENT_TYPES
    assert [problem for event in listed for problem in stripe_schema().problems_of_event(event)] == []


# Completeness -------------------------------------------------------------------------------------------------------


def answered_well(exchanges: list[Exchange]) -> set[Name]:
    """List the endpoints, as Stripe writes their paths, that were called and answered without a problem."""
    good = [exchange for exchange in exchanges if exchange.status == 200 and not stripe_schema().problems(exchange)]
    found = [stripe_schema().find(exchange.method, urlsplit(exchange.target).path) for exchange in good]
    return {(operation.method, operation.path) for operation in found if operation}


def test_every_endpoint_of_the_sandbox_is_stripes_and_was_checked(recorded: Recorded) -> None:
    offered = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}
    assert answered_well([*recorded.product, *recorded.by_hand]) == offered


def test_every_endpoint_that_the_product_calls_was_checked_as_the_product_calls_it(recorded: Recorded) -> None:
    called = {name for path in PACKAGE.rglob("*.py") for name in calls_in(path)}
    assert answered_well(recorded.product) == called


def test_a_call_of_stripe_is_found_under_any_name_of_its_service(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "self._tools.client.v1.refunds.create({})\n"
        "client.v1.invoices.line_items.list('in_1', after)\n"
        "self._notes = client.v1.credit_notes\n"
        "self._notes.void_credit_note('cn_1')\n"
        "notes = self._tools.client.v1.credit_notes\n"
        "notes.list({}).data\n",
        encoding="utf-8",
    )
    assert calls_in(module) == {
        ("POST", "/v1/refunds"),
        ("GET", "/v1/invoices/{invoice}/lines"),
        ("POST", "/v1/credit_notes/{id}/void"),
        ("GET", "/v1/credit_notes"),
    }


def calls_in(path: Path) -> set[Name]:
    """Find the calls of stripe-python's services in a module, `client.v1.invoices.list(...)`, with their endpoints."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    # Services that the module assigns to its own name: `self._invoices = client.v1.invoices`.
    kept = {
        _words(target)[-1]: service
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and (service := _service(_words(node.value), {}))
        for target in node.targets
    }
    asked = [_words(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {_endpoint(service, words[-1]) for words in asked if (service := _service(words[:-1], kept))}


def _words(node: ast.expr) -> list[str]:
    """Return the words of `a.b.c`, those before a call or an index left out."""
    if isinstance(node, ast.Attribute):
        return [*_words(node.value), node.attr]
    return [node.id] if isinstance(node, ast.Name) else []


def _service(words: list[str], kept: Mapping[str, Any]) -> Any:
    service = kept.get(words[-1]) if words else None
    if "v1" in words:
        service = stripe.StripeClient("sk_test_never_used").v1
        for word in words[words.index("v1") + 1 :]:
            service = getattr(service, word)
    return service


def _endpoint(service: Any, method: str) -> Name:
    asked = re.search(r'self\._request\(\s*"(\w+)",\s*"(/v1/[^"]+)"', inspect.getsource(getattr(service, method)))
    assert asked, f"stripe-python's {method} names its endpoint"
    return asked[1].upper(), asked[2]
