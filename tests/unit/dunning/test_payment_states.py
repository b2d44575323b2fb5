"""The state of a payment and its words for the customer. September's 70.00 is due by 18 October 2026."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from fly_billing.dunning.rules.payment_states import PaymentState, payment_state
from tests.support.builders import at

DUE = date(2026, 10, 18)


def state(now: str, status: str = "finalized", cents: int = 7000, **facts: datetime | None) -> PaymentState | None:
    return payment_state(status, "USD", cents, DUE, at(now), **facts)


@pytest.mark.parametrize(
    ("now", "status", "facts", "name", "words"),
    [
        ("2026-10-18T23:59:59", "finalized", {}, "due", "$70.00 is due by 2026-10-18."),
        (
            "2026-10-19", "finalized", {}, "past due",
            "$70.00 was due on 2026-10-18, 1 day ago. If it is on its way already, thank you.",
        ),
        (
            "2026-11-01", "finalized", {}, "past due",
            "$70.00 was due on 2026-10-18, 14 days ago. If it is on its way already, thank you.",
        ),
        (
            "2026-10-12", "finalized", {"next_attempt_at": at("2026-10-15T08:00:00")}, "retried",
            "We will try to collect $70.00 again on 2026-10-15.",
        ),
        (
            "2026-10-20", "finalized", {"next_attempt_at": at("2026-10-25")}, "retried",
            "We will try to collect $70.00 again on 2026-10-25. It was due on 2026-10-18, 2 days ago.",
        ),
        (
            "2026-10-26", "finalized", {"next_attempt_at": at("2026-10-25")}, "past due",
            "$70.00 was due on 2026-10-18, 8 days ago. If it is on its way already, thank you.",
        ),
        (
            "2026-12-01", "uncollectible", {}, "given up",
            "$70.00 was not paid, and we no longer try to collect it. Please contact us to settle it.",
        ),
        (
            "2026-12-01", "paid", {"paid_at": at("2026-10-10T12:00:00")}, "paid",
            "$70.00 was paid on 2026-10-10. Thank you.",
        ),
    ],
)  # fmt: skip
def test_a_payment_has_one_state_and_a_kind_and_exact_sentence(
    now: str, status: str, facts: dict[str, Any], name: str, words: str
) -> None:
    found = state(now, status, **facts)
    assert found is not None
    assert (found.name, found.in_words()) == (name, words)


@pytest.mark.parametrize(("status", "cents"), [("open", 7000), ("void", 7000), ("finalized", 0), ("finalized", -500)])
def test_an_invoice_that_asks_for_nothing_has_no_state(status: str, cents: int) -> None:
    assert state("2026-11-01", status, cents) is None
