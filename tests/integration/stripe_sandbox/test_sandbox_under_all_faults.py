"""All faults at once, from several clients: retrying with the same key until it is answered bills once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import stripe

from fly_billing.stripe_sandbox import SandboxControl

PASSING = ("apply_then_drop", "drop_before_apply", "conflict_409", "lock_timeout", "rate_limited")


def until_answered(call: Callable[[], stripe.Invoice]) -> stripe.Invoice:
    """Retry the same request until it is answered."""
    for _ in range(50):
        try:
            return call()
        except (stripe.APIConnectionError, stripe.APIError, stripe.RateLimitError):
            continue
    raise AssertionError("no answer in 50 attempts")


def bill(client: stripe.StripeClient, name: str) -> None:
    created: Any = {"customer": "cus_1234", "currency": "usd", "metadata": {"invoice_id": name}}
    lines: Any = {"lines": [{"amount": 1200}, {"amount": 2345}]}
    invoices = client.v1.invoices
    id = until_answered(lambda: invoices.create(created, {"idempotency_key": f"{name}-create"})).id
    until_answered(lambda: invoices.add_lines(id, lines, {"idempotency_key": f"{name}-lines"}))
    until_answered(lambda: invoices.finalize_invoice(id, {}, {"idempotency_key": f"{name}-finalize"}))


def test_retries_with_the_same_key_through_every_temporary_fault_make_each_invoice_exactly_once(
    control: SandboxControl, connect: Callable[..., stripe.StripeClient]
) -> None:
    for seed, effect in enumerate(PASSING):
        control.add_fault(effect, "invoices.*", probability=0.15, seed=seed, seconds=0.005)
    control.settings(concurrency=3, latency_seconds=0.005, latency_sigma=0.5)
    names = [f"our-{n}" for n in range(24)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: bill(connect(), name), names))

    held = control.invoices()
    assert sorted(invoice["metadata"]["invoice_id"] for invoice in held) == sorted(names)
    assert {(invoice["status"], invoice["total"], len(invoice["lines"])) for invoice in held} == {("open", 3545, 2)}
    assert all(rule["fired"] > 0 for rule in control.faults())
    assert control.call_counts(applied=True) == {
        "invoices.create": 24,
        "invoices.add_lines": 24,
        "invoices.finalize": 24,
    }
