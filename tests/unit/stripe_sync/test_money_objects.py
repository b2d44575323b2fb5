"""Credit notes, refunds, disputes and balance changes are read from Stripe to the cent, in each currency's unit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fly_billing.stripe_sync.rules.money_objects import (
    EVENTS_OF,
    KINDS,
    PAYMENT,
    UnreadableMoney,
    balances_of,
    changes_balance,
    kind_of_event,
    pays_a_part,
    read_money_object,
)

NOON = int(datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp())


def credit_note(**changes: Any) -> dict[str, Any]:
    """A credit note over $9.00 on a paid invoice: $4.00 refunded, $3.00 to the balance, $2.00 outside Stripe."""
    return {
        "object": "credit_note", "id": "cn_1", "status": "issued", "currency": "usd", "amount": 900, "created": NOON,
        "customer": "cus_1", "invoice": "in_1", "reason": "order_change", "pre_payment_amount": 0,
        "post_payment_amount": 900, "refunds": [{"refund": "re_1", "amount_refunded": 400}], "out_of_band_amount": 200,
    } | changes  # fmt: skip


def refund(**changes: Any) -> dict[str, Any]:
    return {
        "object": "refund", "id": "re_1", "status": "succeeded", "currency": "usd", "amount": 400, "created": NOON,
        "payment_intent": "pi_1", "reason": None,
    } | changes  # fmt: skip


def balance_change(**changes: Any) -> dict[str, Any]:
    """A credit of $40.00 given in the dashboard, on top of $2.00."""
    return {
        "object": "customer_balance_transaction", "id": "cbtxn_1", "type": "adjustment", "currency": "usd",
        "amount": -4000, "ending_balance": -4200, "created": NOON, "customer": "cus_1", "invoice": None,
        "description": "sorry for the outage",
    } | changes  # fmt: skip


def test_a_credit_note_on_a_paid_invoice_is_split_into_refund_balance_and_outside() -> None:
    note = read_money_object(credit_note())
    assert (note.amount_cents, note.unpaid_cents) == (900, 0)
    assert (note.refunded_cents, note.credited_cents, note.out_of_band_cents) == (400, 300, 200)
    assert (note.customer, note.stripe_invoice_id, note.created_at.hour) == ("cus_1", "in_1", 12)


def test_a_credit_note_on_an_open_invoice_lowers_what_it_asks_for() -> None:
    note = read_money_object(
        credit_note(pre_payment_amount=900, post_payment_amount=0, refunds=[], out_of_band_amount=None)
    )
    assert (note.unpaid_cents, note.refunded_cents, note.credited_cents, note.out_of_band_cents) == (900, 0, 0, 0)


def test_a_credit_given_in_the_dashboard_is_below_zero_and_keeps_the_balance_after_it() -> None:
    change = read_money_object(balance_change())
    assert (change.status, change.amount_cents, change.balance_cents) == ("adjustment", -4000, -4200)
    assert change.reason == "sorry for the outage"


def test_shillings_have_no_cents_and_dinars_have_three_decimals() -> None:
    """Stripe writes 101 Ugandan shillings as 10100, and 1.230 Kuwaiti dinars as 1230."""
    assert read_money_object(refund(currency="ugx", amount=10_100)).amount_cents == 101
    assert read_money_object(refund(currency="kwd", amount=1_230)).amount_cents == 1_230


def test_half_a_shilling_is_refused() -> None:
    with pytest.raises(UnreadableMoney, match=r"refund re_1 .*10150 is not a whole amount of UGX"):
        read_money_object(refund(currency="ugx", amount=10_150))


def test_an_expanded_payment_is_its_id() -> None:
    assert read_money_object(refund(payment_intent={"id": "pi_1", "amount": 400})).payment_intent == "pi_1"


@pytest.mark.parametrize(
    "wrong", [{}, {"object": "charge", "id": "ch_1"}, {"amount": "4.00"}, {"amount": None}, {"amount": 4.0}]
)
def test_anything_else_is_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMoney, match="is not an object of Stripe's API"):
        read_money_object(refund() | wrong if wrong else {})


def test_each_kind_has_the_events_after_which_it_is_read_again() -> None:
    assert {kind_of_event(event) for events in EVENTS_OF.values() for event in events} == {*KINDS, PAYMENT}
    assert kind_of_event("invoice.paid") is None


def test_a_customers_balances_are_in_each_currency_and_below_zero_for_credit() -> None:
    """12.00 USD are carried over, and 40.00 EUR are credit: Stripe writes credit above zero where it has currencies."""
    customer = {"currency": "usd", "balance": 1200, "invoice_credit_balance": {"usd": -1200, "eur": 4000, "jpy": 0}}
    assert balances_of(customer) == {"USD": 1200, "EUR": -4000}
    assert balances_of({"currency": None, "balance": 0}) == {}


@pytest.mark.parametrize(
    ("payment", "is_part"),
    [
        ({"is_default": True, "amount_requested": 1200, "amount_paid": 1200}, False),  # invoice.paid says it
        ({"is_default": True, "amount_requested": 1200, "amount_paid": 700}, True),  # a transfer that was too small
        ({"is_default": False, "amount_requested": 700, "amount_paid": 700}, True),
    ],
)
def test_only_a_payment_of_a_part_is_read_again(payment: dict[str, Any], is_part: bool) -> None:
    assert pays_a_part(payment) is is_part


def test_the_tax_of_a_credit_note_is_what_stripe_says() -> None:
    """19.00 and 0.70 of 137.70, one added and one contained; a note without taxes has none."""
    taxes = [{"amount": 1900, "tax_behavior": "exclusive"}, {"amount": 70, "tax_behavior": "inclusive"}]
    assert read_money_object(credit_note(total_taxes=taxes)).tax_cents == 1970
    assert read_money_object(credit_note()).tax_cents == 0


def test_only_a_changed_balance_of_a_customer_matters() -> None:
    assert changes_balance({"data": {"previous_attributes": {"balance": 0}}})
    assert changes_balance({"data": {"previous_attributes": {"invoice_credit_balance": {}}}})  # in a second currency
    assert not changes_balance({"data": {"previous_attributes": {"email": None}}})
    assert changes_balance({"data": {}})  # it does not say what changed
