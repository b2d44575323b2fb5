"""Each fault of the sandbox: when it strikes, and the state that it leaves."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError, SandboxServer, spawn

CREATE: Any = {"customer": "cus_1234", "currency": "usd"}
# Seconds after which a test fails: far longer than it waits on a slow machine.
PATIENCE = 120.0
KEY: Any = {"idempotency_key": "invoice-1-create-g0"}


@pytest.fixture
def create(client: stripe.StripeClient) -> Callable[[], stripe.Invoice]:
    return lambda: client.v1.invoices.create(CREATE, KEY)


def replays(create: Callable[[], stripe.Invoice]) -> bool:
    """Return True if the same request gets the stored answer; False while the first one still runs."""
    try:
        return replayed(create())
    except stripe.APIError:
        return False


def replayed(invoice: stripe.Invoice) -> bool:
    assert invoice.last_response is not None
    return bool(invoice.last_response.headers.get("Idempotent-Replayed") == "true")


def test_drop_before_apply_closes_the_connection_without_applying_the_request(
    control: SandboxControl, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("drop_before_apply", "invoices.create", nth=1)
    with pytest.raises(stripe.APIConnectionError, match=r"without response|Connection aborted"):
        create()
    assert control.invoices() == []
    assert not replayed(create())


def test_apply_then_drop_applies_the_request_and_closes_the_connection(
    control: SandboxControl, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("apply_then_drop", "invoices.create", first=2)
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            create()
    [held] = control.invoices()
    found = create()
    assert (found.id, replayed(found)) == (held["id"], True)
    logged = control.calls(endpoint="invoices.create")
    assert [(call["dropped"], call["applied"], call["replayed"]) for call in logged] == [
        (1, 1, 0),
        (1, 0, 1),
        (0, 0, 1),
    ]


def test_applied_500_applies_the_request_and_replays_the_500(
    control: SandboxControl, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("applied_500", "invoices.create", nth=1, should_retry=False)
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            create()
        assert failed.value.http_status == 500
        assert failed.value.headers is not None
        assert failed.value.headers["Stripe-Should-Retry"] == "false"
    assert len(control.invoices()) == 1


def test_stored_500_applies_nothing_and_replays_for_a_day(
    control: SandboxControl, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("stored_500", "invoices.create")
    for _ in range(2):
        with pytest.raises(stripe.APIError):
            create()
    assert control.faults()[0]["fired"] == 1
    control.clear_faults()
    with pytest.raises(stripe.APIError):
        create()
    assert control.invoices() == []
    control.advance_clock(24 * 3600)
    assert create().status == "draft"


@pytest.mark.parametrize("stored", [True, False])
def test_lock_timeout_is_a_429_without_a_reason_that_may_be_stored_under_the_key(
    control: SandboxControl, create: Callable[[], stripe.Invoice], stored: bool
) -> None:
    control.add_fault("lock_timeout", "invoices.create", nth=1, stored=stored)
    with pytest.raises(stripe.RateLimitError) as locked:
        create()
    assert locked.value.error is not None
    assert locked.value.error.code == "lock_timeout"
    assert locked.value.headers is not None
    assert "Stripe-Rate-Limited-Reason" not in locked.value.headers
    if stored:
        with pytest.raises(stripe.RateLimitError):
            create()
        assert control.invoices() == []
    else:
        assert not replayed(create())


def test_conflict_409_is_temporary(control: SandboxControl, create: Callable[[], stripe.Invoice]) -> None:
    control.add_fault("conflict_409", "invoices.create", nth=1)
    with pytest.raises(stripe.APIError) as conflict:
        create()
    assert conflict.value.http_status == 409
    assert not replayed(create())


def test_a_plain_429_names_its_reason_and_no_time_to_retry(
    control: SandboxControl, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("rate_limited", "invoices.create", nth=1, reason="global-concurrency")
    with pytest.raises(stripe.RateLimitError) as limited:
        create()
    assert limited.value.headers is not None
    assert limited.value.headers["Stripe-Rate-Limited-Reason"] == "global-concurrency"
    assert "Retry-After" not in limited.value.headers
    assert not replayed(create())


@pytest.mark.parametrize("stored", [True, False])
def test_the_fault_error_answers_the_given_error(
    control: SandboxControl, create: Callable[[], stripe.Invoice], stored: bool
) -> None:
    declined = {"status": 402, "type": "card_error", "code": "card_declined", "message": "Your card was declined."}
    control.add_fault("error", "invoices.create", nth=1, stored=stored, **declined)
    with pytest.raises(stripe.CardError, match="declined") as refused:
        create()
    assert refused.value.code == "card_declined"
    if stored:
        with pytest.raises(stripe.CardError):
            create()
    else:
        assert not replayed(create())


@pytest.mark.parametrize("after_apply", [True, False])
def test_slow_answers_late_and_applies_the_request_even_if_the_client_has_gone(
    control: SandboxControl, server: SandboxServer, create: Callable[[], stripe.Invoice], after_apply: bool
) -> None:
    control.add_fault("slow", "invoices.create", nth=1, seconds=3, after_apply=after_apply)
    impatient = stripe.StripeClient(
        "sk_test_fly",
        base_addresses={"api": server.url},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=0.2),
    )
    with pytest.raises(stripe.APIConnectionError, match=r"timed out|Timeout"):
        impatient.v1.invoices.create(CREATE, KEY)
    assert after_apply or control.invoices() == []
    wait_until(lambda: control.calls(endpoint="invoices.create"))
    wait_until(lambda: len(control.invoices()) == 1)
    control.clear_faults()
    wait_until(lambda: replays(create))


def test_a_slow_answer_does_not_delay_others(
    control: SandboxControl, client: stripe.StripeClient, create: Callable[[], stripe.Invoice]
) -> None:
    control.add_fault("slow", "invoices.*", seconds=3)
    with ThreadPoolExecutor(1) as pool:
        started = time.monotonic()
        slow = pool.submit(create)
        wait_until(lambda: control.faults()[0]["fired"])
        client.v1.customers.retrieve("cus_1234")
        assert not slow.done()
        assert slow.result().status == "draft"
        assert time.monotonic() - started >= 3


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({"nth": 2}, [False, True, False, False]),
        ({"first": 3}, [True, True, True, False]),
        ({}, [True, True, True, True]),
        ({"probability": 0.5, "seed": 7}, None),
    ],
)
def test_a_rule_strikes_at_its_calls_or_with_its_probability(
    control: SandboxControl, client: stripe.StripeClient, when: dict[str, Any], struck: list[bool] | None
) -> None:
    def outcomes() -> list[bool]:
        control.clear_faults()
        control.add_fault("rate_limited", "GET /v1/customers/{customer}", **when)
        return [fails(lambda: client.v1.customers.retrieve("cus_1234")) for _ in range(4 if struck else 40)]

    first = outcomes()
    assert first == struck if struck else 5 < sum(first) < 35
    assert outcomes() == first
    [rule] = control.faults()
    assert (rule["matched"], rule["fired"]) == (len(first), sum(first))


def fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except stripe.StripeError:
        return True
    return False


def test_a_rule_may_name_one_customer_or_one_organization(control: SandboxControl, client: stripe.StripeClient) -> None:
    control.seed_customer("cus_other", metadata={"org": "other"})
    invoices = {
        customer: client.v1.invoices.create({"customer": customer, "metadata": {"org": org}})
        for customer, org in (("cus_1234", "fly"), ("cus_other", "other"))
    }
    for rule in ({"customer": "cus_1234"}, {"metadata": {"org": "fly"}}):
        control.clear_faults()
        control.add_fault("rate_limited", "invoices.finalize", **rule)
        assert fails(lambda: client.v1.invoices.finalize_invoice(invoices["cus_1234"].id))
    client.v1.invoices.finalize_invoice(invoices["cus_other"].id)


def test_one_fault_can_be_switched_off_and_an_invalid_one_is_refused(control: SandboxControl) -> None:
    kept, dropped = control.add_fault("slow", seconds=0.1), control.add_fault("stored_500")
    control.clear_faults(dropped["id"])
    assert [rule["id"] for rule in control.faults()] == [kept["id"]]
    with pytest.raises(SandboxError, match="effect must be one of"):
        control.add_fault("explode")
    with pytest.raises(SandboxError, match="has no colour"):
        control.add_fault("slow", colour="red")


def test_rules_and_their_counts_survive_a_restart(
    own_server: SandboxServer, connect: Callable[..., stripe.StripeClient], server: SandboxServer
) -> None:
    own_server.control.seed_customer("cus_1234")
    own_server.control.add_fault("rate_limited", "customers.retrieve", nth=2)
    connect(own_server.url).v1.customers.retrieve("cus_1234")
    own_server.stop()
    with spawn(own_server.store_path) as restarted:
        assert fails(lambda: connect(restarted.url).v1.customers.retrieve("cus_1234"))
        assert restarted.control.faults()[0]["fired"] == 1


@pytest.mark.parametrize("after_apply", [True, False])
def test_a_held_call_stays_open_until_its_rule_is_removed(
    control: SandboxControl, create: Callable[[], stripe.Invoice], after_apply: bool
) -> None:
    rule = control.add_fault("hold", "invoices.create", after_apply=after_apply)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(create)
        wait_until(control.held)
        assert [(held_call["rule"], held_call["endpoint"]) for held_call in control.held()] == [
            (rule["id"], "invoices.create")
        ]
        assert len(control.invoices()) == int(after_apply)
        assert not call.done()
        control.clear_faults(rule["id"])
        assert call.result(timeout=PATIENCE).status == "draft"
    assert (control.held(), len(control.invoices())) == ([], 1)


def test_the_concurrency_limit_refuses_the_next_call_while_one_is_held(
    control: SandboxControl, client: stripe.StripeClient, create: Callable[[], stripe.Invoice]
) -> None:
    rule = control.add_fault("hold", "invoices.create", times=1)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(create)
        wait_until(control.held)
        control.settings(concurrency=1)
        with pytest.raises(stripe.RateLimitError) as refused:
            client.v1.customers.retrieve("cus_1234")
        control.settings(concurrency=None)
        control.clear_faults(rule["id"])
        assert call.result(timeout=PATIENCE).status == "draft"
    assert refused.value.headers is not None
    assert refused.value.headers["Stripe-Rate-Limited-Reason"] == "global-concurrency"


def test_a_rule_about_one_caller_lets_the_others_through(
    control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.add_fault("error", "customers.retrieve", caller="sk_test_seat_*")
    assert connect(key="sk_test_fly").v1.customers.retrieve("cus_1234").id == "cus_1234"
    with pytest.raises(stripe.APIError):
        connect(key="sk_test_seat_1").v1.customers.retrieve("cus_1234")


def test_a_fault_preempted_by_another_strikes_the_next_call(
    control: SandboxControl, client: stripe.StripeClient
) -> None:
    control.add_fault("error", "customers.retrieve", nth=2, status=503)
    control.add_fault("error", "customers.retrieve", from_nth=2, times=1, status=500)
    outcomes = []
    for _ in range(4):
        try:
            client.v1.customers.retrieve("cus_1234")
            outcomes.append(200)
        except stripe.APIError as failed:
            outcomes.append(failed.http_status or 0)
    assert outcomes == [200, 503, 500, 200]


def test_a_rate_limit_of_a_long_second_is_a_number_of_calls(
    control: SandboxControl, client: stripe.StripeClient
) -> None:
    control.settings(endpoint_per_second=2, rate_window_seconds=3600)
    for _ in range(2):
        client.v1.customers.retrieve("cus_1234")
    with pytest.raises(stripe.RateLimitError):
        client.v1.customers.retrieve("cus_1234")


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not in {PATIENCE} s"
        time.sleep(0.01)
