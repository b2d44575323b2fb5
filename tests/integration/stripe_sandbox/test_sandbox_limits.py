"""Rate limits, concurrency, object locks and latency: off until switched on, and then Stripe's."""

import math
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError

# Seconds after which a test fails: far longer than it waits on a slow machine.
PATIENCE = 120.0
CREATE: Any = {"customer": "cus_1234", "currency": "usd"}


def reason(call: Callable[[], object]) -> str | None:
    """Return the limiter that refused the call, the error's code, or None when it went through."""
    try:
        call()
    except stripe.RateLimitError as error:
        assert error.headers is not None
        assert error.error is not None
        return str(error.headers.get("Stripe-Rate-Limited-Reason", error.error.code))
    return None


def wait_until(happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, f"not in {PATIENCE} s"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("limit", "named"), [("endpoint_per_second", "endpoint-rate"), ("global_per_second", "global-rate")]
)
def test_calls_past_the_rate_of_a_second_are_refused_by_name(
    client: stripe.StripeClient, control: SandboxControl, limit: str, named: str
) -> None:
    control.settings(**{limit: 5}, rate_window_seconds=3600)  # a second that lasts for as long as the test may take
    outcomes = [reason(lambda: client.v1.customers.retrieve("cus_1234")) for _ in range(6)]
    assert outcomes == [None] * 5 + [named]
    other = reason(lambda: client.v1.invoices.list())
    assert other == (named if limit == "global_per_second" else None)
    control.settings(rate_window_seconds=0.01)
    time.sleep(0.02)
    assert reason(lambda: client.v1.customers.retrieve("cus_1234")) is None


def test_a_rate_limited_call_leaves_its_key_unused(client: stripe.StripeClient, control: SandboxControl) -> None:
    control.settings(endpoint_per_second=0)
    assert reason(lambda: client.v1.invoices.create(CREATE, {"idempotency_key": "k"})) == "endpoint-rate"
    control.settings(endpoint_per_second=None)
    assert client.v1.invoices.create(CREATE, {"idempotency_key": "k"}).last_response is not None
    assert [call["replayed"] for call in control.calls(idempotency_key="k")] == [0, 0]


def test_a_stored_result_is_not_replayed_to_a_rate_limited_call(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    client.v1.invoices.create(CREATE, {"idempotency_key": "k"})
    control.settings(endpoint_per_second=0)
    assert reason(lambda: client.v1.invoices.create(CREATE, {"idempotency_key": "k"})) == "endpoint-rate"


def together(
    connect: Callable[..., stripe.StripeClient], count: int, call: Callable[[stripe.StripeClient], object]
) -> Any:
    clients = [connect() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda client: reason(lambda: call(client)), clients))


def test_calls_past_the_concurrency_limit_are_refused(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    rule = control.add_fault("hold", "customers.retrieve")
    control.settings(concurrency=2)
    with ThreadPoolExecutor(2) as pool:
        let_in = [pool.submit(reason, lambda: connect().v1.customers.retrieve("cus_1234")) for _ in range(2)]
        wait_until(lambda: len(control.held()) == 2)
        refused = [reason(lambda: client.v1.customers.retrieve("cus_1234")) for _ in range(2)]
        control.clear_faults(rule["id"])
        assert [call.result() for call in let_in] == [None, None]
    assert refused == ["global-concurrency", "global-concurrency"]


def test_one_change_at_a_time_per_customer_when_objects_are_locked(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.settings(object_locks=True)
    control.add_fault("slow", "invoices.create", nth=1, seconds=10, after_apply=True)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(reason, lambda: connect().v1.invoices.create(CREATE))
        wait_until(control.invoices)  # it is applied, and its answer is delayed: the customer is still locked
        others = [reason(lambda: client.v1.invoices.create(CREATE)) for _ in range(2)]
        assert first.result() is None
    assert others == ["lock_timeout", "lock_timeout"]
    assert len(control.invoices()) == 1


def test_latency_of_many_clients_runs_side_by_side(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.settings(latency_seconds=2)
    started = time.monotonic()
    together(connect, 4, lambda requester: requester.v1.customers.retrieve("cus_1234"))
    assert 2 <= time.monotonic() - started < 8  # one after the other they would take at least 8 seconds


def test_lognormal_latency_has_its_median_and_repeats_with_its_seed(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    dice = random.Random(5)
    drawn = [1000 * dice.lognormvariate(math.log(0.01), 0.8) for _ in range(30)]
    assert 6 < statistics.median(drawn) < 25
    assert max(drawn) > 2 * min(drawn)
    for _ in range(2):
        control.settings(latency_seconds=0.01, latency_sigma=0.8, latency_seed=5)
        control.clear_calls()
        for _ in range(30):
            client.v1.customers.retrieve("cus_1234")
        # A busy machine takes longer, but never less: the clock of the event loop ticks in milliseconds.
        spent = [call["milliseconds"] for call in control.calls()]
        assert [at_least for took, at_least in zip(spent, drawn, strict=True) if took < at_least - 2] == []


def test_an_unknown_setting_is_refused(control: SandboxControl) -> None:
    with pytest.raises(SandboxError, match="no such setting: speed"):
        control.settings(speed=11)
