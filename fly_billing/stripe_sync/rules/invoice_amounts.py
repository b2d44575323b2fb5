"""Reads what Stripe asks for with an invoice: the total with the customer's balance, credit notes and payments. Pure.

Source: the invoice object on docs.stripe.com/api. Not here: recording it (`stripe_sync.money_inbox`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fly_billing.stripe_sync.rules.money_objects import UnreadableMoney, cents_of, id_of, place_of

DRAFT = "draft"


@dataclass(frozen=True)
class AskedAmounts:
    """The amounts of a finalized Stripe invoice in one state, in our minor units.

    Attributes:
        stripe_invoice_id: Stripe's id.
        status: Stripe's status: open, paid, void or uncollectible.
        currency: ISO 4217, upper case.
        total_cents: What was billed.
        starting_balance_cents, ending_balance_cents: The customer's balance before and after the invoice; below zero is
            credit.
        due_cents: The amount asked for, paid or not, after credit notes of unpaid amounts.
        paid_cents, remaining_cents: The parts of `due_cents` that are paid and not paid.
        out_of_band_cents: The part of `paid_cents` that was paid outside Stripe; None if Stripe does not say.
        overpaid_cents: What was paid beyond `due_cents`.
        unpaid_credited_cents: Credit notes issued before payment.
        paid_credited_cents: Credit notes issued after payment.
    """

    stripe_invoice_id: str
    customer: str | None
    status: str
    currency: str
    total_cents: int
    starting_balance_cents: int
    ending_balance_cents: int | None
    due_cents: int
    paid_cents: int
    remaining_cents: int
    out_of_band_cents: int | None
    overpaid_cents: int
    unpaid_credited_cents: int
    paid_credited_cents: int

    @property
    def first_due_cents(self) -> int:
        """Return what Stripe asked for when it finalized the invoice, before any credit note."""
        if not self.unpaid_credited_cents:
            return self.due_cents
        return self.total_cents + self.starting_balance_cents - (self.ending_balance_cents or 0)


def read_asked_amounts(body: Mapping[str, Any]) -> AskedAmounts | None:
    """Read the amounts of an invoice; None for a draft, which asks for nothing yet. Raises UnreadableMoney."""
    try:
        if body["status"] == DRAFT:
            return None
        currency = str(body["currency"]).upper()
        return AskedAmounts(
            stripe_invoice_id=str(body["id"]),
            customer=id_of(body.get("customer")),
            status=str(body["status"]),
            currency=currency,
            total_cents=cents_of(body["total"], currency),
            starting_balance_cents=cents_of(body["starting_balance"], currency),
            ending_balance_cents=_optional(body["ending_balance"], currency),
            due_cents=cents_of(body["amount_due"], currency),
            paid_cents=cents_of(body["amount_paid"], currency),
            remaining_cents=cents_of(body["amount_remaining"], currency),
            out_of_band_cents=_out_of_band(body, currency),
            overpaid_cents=cents_of(body.get("amount_overpaid") or 0, currency),
            unpaid_credited_cents=cents_of(body["pre_payment_credit_notes_amount"], currency),
            paid_credited_cents=cents_of(body["post_payment_credit_notes_amount"], currency),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as problem:
        raise UnreadableMoney(f"{place_of(body)} is not an object of Stripe's API: {problem!r}") from problem


def _out_of_band(body: Mapping[str, Any], currency: str) -> int | None:
    """Return what was paid outside Stripe. Until API version basil, `paid_out_of_band` means all that was paid."""
    if "amount_paid_off_stripe" in body:
        return cents_of(body["amount_paid_off_stripe"] or 0, currency)
    if "paid_out_of_band" in body:
        return cents_of(body["amount_paid"], currency) if body["paid_out_of_band"] else 0
    return None


def _optional(amount: int | None, currency: str) -> int | None:
    return None if amount is None else cents_of(amount, currency)
