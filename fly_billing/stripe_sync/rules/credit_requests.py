"""Credit notes that someone asks Stripe to make: which are allowed, and the request of each. Pure.

Stripe first lowers what an open invoice asks for. The paid part goes back to the card, to the customer's
balance, or outside Stripe, as requested. Source: docs.stripe.com/api/credit_notes. Not here: sending
(`stripe_sync.credit_notes`), and credit notes of corrections, which the next invoice uses (`corrections.credit_notes`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.invoicing.rules.chargeable_amounts import to_stripe
from fly_billing.money import format_cents
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts
from fly_billing.stripe_sync.rules.note_taxes import NoteTax, note_lines
from fly_billing.stripe_sync.rules.requests import StripeRequest

# The places that paid money goes back to, and Stripe's parameter for it.
TO_CARD, TO_BALANCE, OUTSIDE = "refund", "balance", "out_of_band"
PARAMETERS = {TO_CARD: "refund_amount", TO_BALANCE: "credit_amount", OUTSIDE: "out_of_band_amount"}
# In the metadata of Stripe's credit note: our id.
MARK = "fly_billing_credit"
# The states of a credit request: it waits for an approval, is to be sent, may have been sent, failed, is at Stripe, or
# is not to be made any more.
WAITING, PENDING, UNKNOWN, FAILED, ISSUED = "waiting", "pending", "unknown", "failed", "issued"
WITHDRAWN = "withdrawn"
# The statuses of a Stripe invoice that Stripe accepts credit notes for.
CREDITABLE = ("open", "paid")


@dataclass(frozen=True)
class CreditRequest:
    """A credit note to make at Stripe.

    Attributes:
        id: Follows from the invoice, amount, destination and reason, so that asking twice is one request.
        pays_back: Where the part goes that was paid: `refund`, `balance` or `out_of_band`.
        state, generation: As in the sync of an invoice.
        unpaid_cents: The part that lowers what the invoice asks for, as it is sent; None: not planned yet.
        taxes: The taxes in it, as they are sent (`NoteTax.as_data`); None: not planned yet, or by an earlier version.
        is_correction: It gives back a correction, whose taxes are known when it is asked for.
    """

    id: UUID
    invoice_id: UUID
    organization_id: str
    stripe_invoice_id: str
    currency: str
    amount_cents: int
    pays_back: str
    why: str
    made_by: str
    state: str
    generation: int = 0
    unpaid_cents: int | None = None
    taxes: Sequence[Mapping[str, Any]] | None = None
    stripe_credit_note_id: str | None = None
    failure: str | None = None
    is_correction: bool = False

    @property
    def note_taxes(self) -> list[NoteTax]:
        return [NoteTax(**tax) for tax in self.taxes or ()]

    @property
    def amount(self) -> str:
        return format_cents(self.amount_cents, self.currency)


def credit_request_id(invoice_id: UUID, amount_cents: int, pays_back: str, why: str) -> UUID:
    """Return the id of a request. The same credit for the same reason has the same id."""
    return uuid5(NAMESPACE_URL, f"fly_billing/credit/{invoice_id}/{amount_cents}/{pays_back}/{why.strip()}")


def why_not_creditable(
    asked: AskedAmounts | None, amount_cents: int, pays_back: str, credited_cents: int, returned_cents: int = 0
) -> str | None:
    """Return why the amount can't be credited, or None.

    Args:
        asked: What Stripe asks for with the invoice now; None if Stripe has no such invoice.
        credited_cents: What credit notes took off it already, here and at Stripe.
        returned_cents: What refunds and disputes gave back of it without a credit note.
    """
    if asked is None:
        return "Stripe does not have the invoice: sync it first, or correct it with `fly-billing rebill`"
    if asked.status not in CREDITABLE:
        return f"the invoice is {asked.status} at Stripe, and only open and paid invoices can be credited"
    if amount_cents <= 0:
        return "the amount of a credit note is more than 0"
    left = asked.total_cents - credited_cents
    if amount_cents > left:
        total, credited, rest = (
            format_cents(cents, asked.currency) for cents in (asked.total_cents, credited_cents, max(0, left))
        )
        return f"of the invoice's {total}, {credited} are credited already: at most {rest} can be credited"
    paid_back = amount_cents - unpaid_part(asked, amount_cents)
    still_here = max(0, left - (asked.remaining_cents if asked.status == "open" else 0) - returned_cents)
    if returned_cents and paid_back > still_here:
        returned, rest = (format_cents(cents, asked.currency) for cents in (returned_cents, still_here))
        return (
            f"{returned} went back to the customer by refunds or disputes without a credit note: at most {rest} of what"
            " was paid can be credited (to document such a refund, make its credit note in Stripe's dashboard)"
        )
    by_card = asked.paid_cents - (asked.out_of_band_cents or 0) - asked.paid_credited_cents
    if pays_back == TO_CARD and paid_back > max(0, by_card):
        return (
            f"only {format_cents(max(0, by_card), asked.currency)} were paid by card and not credited yet: credit the"
            " rest to the balance (--to balance) or pay it back yourself (--to out-of-band)"
        )
    return None


def unpaid_part(asked: AskedAmounts, amount_cents: int) -> int:
    """Return the part of a credit note that lowers what the invoice asks for; the rest was paid and goes back."""
    return min(amount_cents, asked.remaining_cents) if asked.status == "open" else 0


def needs_approval(amount_cents: int, limit_cents: int) -> bool:
    """Return True if someone else must approve a credit note of this amount, in the same minor units as the limit."""
    return amount_cents > limit_cents


def credit_note_request(credit: CreditRequest) -> StripeRequest:
    """Return the request that makes the credit note. `unpaid_cents` must be known: a resend has the same parameters."""
    assert credit.unpaid_cents is not None, "the split is recorded before it is sent"
    paid = credit.amount_cents - credit.unpaid_cents
    back = {PARAMETERS[credit.pays_back]: to_stripe(paid, credit.currency)} if paid else {}
    what: dict[str, Any] = {"amount": to_stripe(credit.amount_cents, credit.currency)}
    if credit.note_taxes or credit.is_correction:
        what = {"lines": note_lines(credit.note_taxes, credit.amount_cents, credit.currency, credit.why)}
    return StripeRequest(
        "credit_note",
        {
            "invoice": credit.stripe_invoice_id,
            **what,
            **back,
            "memo": credit.why,
            "metadata": {MARK: str(credit.id), "organization": credit.organization_id},
        },
    )


def is_of(credit: CreditRequest, body: Mapping[str, Any]) -> bool:
    """Return True if Stripe's credit note was made for this request."""
    return (body.get("metadata") or {}).get(MARK) == str(credit.id)


def is_as_requested(credit: CreditRequest, body: Mapping[str, Any]) -> bool:
    """Return True if Stripe's credit note has the invoice, the amount, the currency and the tax of the request."""
    taxes = sum(tax["amount"] for tax in body.get("total_taxes") or ())
    return bool(
        body["invoice"] == credit.stripe_invoice_id
        and body["amount"] == to_stripe(credit.amount_cents, credit.currency)
        and body["currency"] == credit.currency.lower()
        and (
            not (credit.taxes or credit.is_correction)
            or taxes == to_stripe(sum(tax.tax_cents for tax in credit.note_taxes), credit.currency)
        )
    )
