"""The amounts of an invoice at Stripe are read to the cent, in each currency's unit."""

from __future__ import annotations

from typing import Any

import pytest

from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import UnreadableMoney


def invoice(**changes: Any) -> dict[str, Any]:
    """An open invoice over $1.00 that also asks for $0.18 carried over from an earlier one."""
    return {
        "object": "invoice", "id": "in_1", "status": "open", "currency": "usd", "customer": "cus_1", "total": 100,
        "starting_balance": 18, "ending_balance": 0, "amount_due": 118, "amount_paid": 0, "amount_remaining": 118,
        "amount_overpaid": 0, "amount_paid_off_stripe": 0, "pre_payment_credit_notes_amount": 0,
        "post_payment_credit_notes_amount": 0,
    } | changes  # fmt: skip


def asked(**changes: Any) -> AskedAmounts:
    found = read_asked_amounts(invoice(**changes))
    assert found is not None
    return found


def test_an_amount_that_was_carried_over_is_asked_for_with_the_total() -> None:
    found = asked()
    assert (found.total_cents, found.starting_balance_cents, found.due_cents, found.remaining_cents) == (
        100,
        18,
        118,
        118,
    )


def test_a_draft_asks_for_nothing() -> None:
    assert read_asked_amounts(invoice(status="draft", ending_balance=None)) is None


def test_what_was_asked_for_at_first_includes_what_a_credit_note_took_off_since() -> None:
    """$1.18, of which a credit note takes $0.40 before it is paid."""
    found = asked(amount_due=78, amount_remaining=78, pre_payment_credit_notes_amount=40)
    assert (found.due_cents, found.unpaid_credited_cents, found.first_due_cents) == (78, 40, 118)


@pytest.mark.parametrize(
    ("said", "cents"),
    [
        ({"amount_paid_off_stripe": 118}, 118),
        ({"amount_paid_off_stripe": None}, 0),
    ],
)
def test_a_payment_outside_stripe_is_told_apart(said: dict[str, Any], cents: int) -> None:
    found = asked(status="paid", amount_paid=118, amount_remaining=0, **said)
    assert (found.paid_cents, found.out_of_band_cents) == (118, cents)


@pytest.mark.parametrize(
    ("said", "cents"), [({"paid_out_of_band": True}, 118), ({"paid_out_of_band": False}, 0), ({}, None)]
)
def test_older_api_versions_say_whether_all_was_paid_outside_stripe(said: dict[str, Any], cents: int | None) -> None:
    """Events have the API version of the webhook endpoint, which may be older than ours."""
    old = invoice(status="paid", amount_paid=118, amount_remaining=0) | said
    del old["amount_paid_off_stripe"]
    found = read_asked_amounts(old)
    assert found is not None
    assert found.out_of_band_cents == cents


def test_shillings_have_no_cents() -> None:
    """Stripe writes 101 Ugandan shillings as 10100."""
    found = asked(currency="ugx", total=10_100, starting_balance=0, amount_due=10_100, amount_remaining=10_100)
    assert (found.currency, found.total_cents, found.due_cents) == ("UGX", 101, 101)


@pytest.mark.parametrize("changes", [{"amount_due": 1.5}, {"currency": None, "total": None}, {"amount_paid": "118"}])
def test_other_values_are_refused_with_the_invoices_id(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMoney, match="invoice in_1 is not an object"):
        asked(**changes)
