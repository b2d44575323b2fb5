"""Rate limits, concurrency, object locks and latency: off until switched on, and then Stripe's."""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError

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


@pytest.mark.parametrize(
    ("limit", "named"), [("endpoint_per_second", "endpoint-rate"), ("global_per_second", "global-rate")]
)
def test_calls_past_the_rate_of_a_second_are_refused_by_name(
    client: stripe.StripeClient, control: SandboxControl, limit: str, named: str
) -> None:
    control.settings(**{limit: 5})
    outcomes = [reason(lambda: client.v1.customers.retrieve("cus_1234")) for _ in range(6)]
    assert outcomes == [None] * 5 + [named]
    other = reason(lambda: client.v1.invoices.list())
    assert other == (named if limit == "global_per_second" else None)
    time.sleep(1.05)
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
    connect: Callable[..., stripe.StripeClient], count: int, what: Callable[[stripe.StripeClient], object]
) -> Any:
    clients = [connect() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda client: reason(lambda: what(client)), clients))


def test_calls_past_the_concurrency_limit_are_refused(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.settings(concurrency=2, latency_seconds=0.4)
    outcomes = together(connect, 4, lambda each: each.v1.customers.retrieve("cus_1234"))
    assert sorted(outcomes, key=str) == [None, None, "global-concurrency", "global-concurrency"]


def test_one_change_at_a_time_per_customer_when_objects_are_locked(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.settings(object_locks=True, latency_seconds=0.3)
    outcomes = together(connect, 3, lambda each: each.v1.invoices.create(CREATE))
    assert sorted(outcomes, key=str) == [None, "lock_timeout", "lock_timeout"]
    assert len(control.invoices()) == 1


def test_latency_of_many_clients_runs_side_by_side(
    client: stripe.StripeClient, control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    control.settings(latency_seconds=0.3)
    started = time.monotonic()
    together(connect, 4, lambda each: each.v1.customers.retrieve("cus_1234"))
    assert 0.3 <= time.monotonic() - started < 1.0


def test_lognormal_latency_has_its_median_and_repeats_with_its_seed(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    def spent() -> list[float]:
        control.settings(latency_seconds=0.01, latency_sigma=0.8, latency_seed=5)
        control.clear_calls()
        for _ in range(30):
            client.v1.customers.retrieve("cus_1234")
        return [call["milliseconds"] for call in control.calls()]

    first, second = spent(), spent()
    assert 6 < statistics.median(first) < 25
    assert max(first) > 2 * min(first)
    assert statistics.median(abs(a - b) for a, b in zip(first, second, strict=True)) < 5


def test_there_is_no_dial_by_another_name(control: SandboxControl) -> None:
    with pytest.raises(SandboxError, match="no such setting: speed"):
        control.settings(speed=11)
