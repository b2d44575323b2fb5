"""Reads Stripe's objects that change what a customer owes or has paid besides the invoices themselves. Pure functions.

They are made in Stripe's dashboard or by banks: credit notes, refunds, disputes, and changes of the customer balance.
Source: the objects of the same names on docs.stripe.com/api. Not here: fetching them (`stripe_sync.money_reader`), and
the entries that they make (`ledger.rules.events`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fly_billing.invoicing.rules.chargeable_amounts import from_stripe

CREDIT_NOTE, REFUND, DISPUTE, BALANCE = "credit_note", "refund", "dispute", "customer_balance_transaction"
KINDS = (CREDIT_NOTE, REFUND, DISPUTE, BALANCE)
# A payment of an invoice. It is not a state of its own here: the amounts of its invoice include it.
PAYMENT = "invoice_payment"

CUSTOMER_DELETED = "customer.deleted"
# The type of the change by which we record that a balance was deleted with its customer. It is none of Stripe's.
DELETED_WITH_CUSTOMER = "deleted_with_customer"

# The events after which an object of each kind must be read again. An event is only a hint: events arrive late, twice
# and out of order, and the object has the truth.
EVENTS_OF = {
    CREDIT_NOTE: ("credit_note.created", "credit_note.updated", "credit_note.voided"),
    REFUND: ("refund.created", "refund.updated", "refund.failed"),
    DISPUTE: (
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    ),
    BALANCE: ("customer.updated", CUSTOMER_DELETED),
    PAYMENT: ("invoice_payment.paid",),
}
MONEY_EVENTS = tuple(event for events in EVENTS_OF.values() for event in events)


class UnreadableMoney(ValueError):
    """The text is not an object that Stripe's API would send."""


@dataclass(frozen=True)
class CreditedLine:
    """A line of an invoice that a credit note names: the days `[first_day, end_day)` that it supplied, before tax."""

    first_day: date
    end_day: date
    cents: int

    def as_data(self) -> dict[str, Any]:
        """Return it as it is stored."""
        return {"first_day": str(self.first_day), "end_day": str(self.end_day), "cents": self.cents}


@dataclass(frozen=True)
class MoneyObject:
    """A Stripe object as it was when it was read. Amounts are in our minor units.

    Attributes:
        id: Stripe's id.
        kind: One of `KINDS`.
        status: Stripe's status (`issued`, `succeeded`, `lost`); of a balance transaction its type (`adjustment`).
        currency: ISO 4217, upper case.
        amount_cents: The whole amount. A balance transaction is below zero if it gives the customer credit.
        customer: The Stripe customer; None for refunds and disputes, which do not name it.
        stripe_invoice_id: The Stripe invoice; None if there is none or the object does not name it.
        payment_intent: The payment of a refund or a dispute.
        unpaid_cents: The part of a credit note that lowered what an open invoice asks for.
        refunded_cents: The part of a credit note that refunds pay back.
        credited_cents: The part of a credit note that is credited to the customer balance.
        out_of_band_cents: The part of a credit note that is paid back outside Stripe.
        tax_cents: The tax in a credit note, added or contained.
        named_lines: The ids of the invoice's lines that a credit note names, each with its cents before tax.
        credited_lines: The same with the days of what each line supplied, once the invoice is read (`credited_lines`).
        balance_cents: The customer balance after a balance transaction.
        reason: Stripe's reason, or the description of a balance transaction.
    """

    id: str
    kind: str
    status: str
    currency: str
    amount_cents: int
    created_at: datetime
    customer: str | None = None
    stripe_invoice_id: str | None = None
    payment_intent: str | None = None
    unpaid_cents: int | None = None
    refunded_cents: int | None = None
    credited_cents: int | None = None
    out_of_band_cents: int | None = None
    tax_cents: int | None = None
    named_lines: tuple[tuple[str, int], ...] = ()
    credited_lines: tuple[CreditedLine, ...] = ()
    balance_cents: int | None = None
    reason: str | None = None


def kind_of_event(event: str) -> str | None:
    """Return the kind of object that an event of this type is about, or None."""
    return next((kind for kind, events in EVENTS_OF.items() if event in events), None)


def changes_balance(body: Mapping[str, Any]) -> bool:
    """Return False if a `customer.updated` event names what changed, and no balance in any currency is part of it."""
    before = body["data"].get("previous_attributes")
    return not before or "balance" in before or "invoice_credit_balance" in before


def balances_of(body: Mapping[str, Any]) -> dict[str, int]:
    """Return a customer's balances by currency, without those that are 0. Below zero is credit, as in `balance`.

    Stripe's `invoice_credit_balance` has all currencies, with the opposite sign. Raises TypeError or ValueError.
    """
    own = {str(body.get("currency") or "usd"): body.get("balance") or 0}
    others = {name: -credit for name, credit in (body.get("invoice_credit_balance") or {}).items()}
    found = {name.upper(): cents_of(balance, name.upper()) for name, balance in {**others, **own}.items()}
    return {currency: cents for currency, cents in found.items() if cents}


def pays_a_part(payment: Mapping[str, Any]) -> bool:
    """Return False if a payment is the one that pays all that remains: then an event says that the invoice is paid."""
    return not payment.get("is_default") or (payment.get("amount_paid") or 0) < payment["amount_requested"]


def read_money_object(body: Mapping[str, Any]) -> MoneyObject:
    """Read one of Stripe's objects. Raises UnreadableMoney."""
    try:
        kind = str(body["object"])
        currency = str(body["currency"]).upper()
        return MoneyObject(
            id=str(body["id"]),
            kind=kind,
            status=str(body["type"] if kind == BALANCE else body["status"]),
            currency=currency,
            amount_cents=cents_of(body["amount"], currency),
            created_at=datetime.fromtimestamp(body["created"], UTC),
            customer=id_of(body.get("customer")),
            stripe_invoice_id=id_of(body.get("invoice")),
            payment_intent=id_of(body.get("payment_intent")),
            reason=body.get("description" if kind == BALANCE else "reason") or None,
            **_PARTS[kind](body, currency),
        )
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as problem:
        raise UnreadableMoney(f"{place_of(body)} is not an object of Stripe's API: {problem!r}") from problem


def credited_lines(
    named: Iterable[tuple[str, int]], invoice_lines: Iterable[Mapping[str, Any]]
) -> tuple[CreditedLine, ...]:
    """Return the lines that a credit note names with their days; without those that the invoice does not have.

    Stripe's periods include their last second. Raises KeyError, TypeError or ValueError.
    """
    periods = {line["id"]: line["period"] for line in invoice_lines}
    return tuple(
        CreditedLine(_day(periods[id]["start"]), _day(periods[id]["end"]) + timedelta(days=1), cents)
        for id, cents in named
        if id in periods
    )


def _day(seconds: int) -> date:
    return datetime.fromtimestamp(seconds, UTC).date()


def _named_lines(body: Mapping[str, Any], currency: str) -> tuple[tuple[str, int], ...]:
    lines = (body.get("lines") or {}).get("data") or ()
    return tuple(
        (str(line["invoice_line_item"]), cents_of(_before_tax(line), currency))
        for line in lines
        if line.get("invoice_line_item")
    )


def _before_tax(line: Mapping[str, Any]) -> int:
    contained = sum(tax["amount"] for tax in line.get("taxes") or () if tax.get("tax_behavior") == "inclusive")
    return int(line["amount"] - (line.get("discount_amount") or 0) - contained)


def _credit_note_parts(body: Mapping[str, Any], currency: str) -> dict[str, Any]:
    refunded = sum(refund["amount_refunded"] for refund in body.get("refunds") or ())
    outside = body.get("out_of_band_amount") or 0
    parts = {
        "unpaid_cents": body["pre_payment_amount"],
        "refunded_cents": refunded,
        "out_of_band_cents": outside,
        "credited_cents": body["post_payment_amount"] - refunded - outside,
        "tax_cents": sum(tax["amount"] for tax in body.get("total_taxes") or ()),
    }
    cents = {name: cents_of(amount, currency) for name, amount in parts.items()}
    return {**cents, "named_lines": _named_lines(body, currency)}


def _balance_parts(body: Mapping[str, Any], currency: str) -> dict[str, int]:
    return {"balance_cents": cents_of(body["ending_balance"], currency)}


def _no_parts(body: Mapping[str, Any], currency: str) -> dict[str, int]:
    return {}


_PARTS = {CREDIT_NOTE: _credit_note_parts, BALANCE: _balance_parts, REFUND: _no_parts, DISPUTE: _no_parts}


def cents_of(amount: Any, currency: str) -> int:
    """Convert an amount of Stripe. Raises TypeError or ValueError unless it is a whole amount of the currency."""
    if not isinstance(amount, int):
        raise TypeError(f"{amount!r} is not a whole number")
    cents, rest = from_stripe(amount, currency)
    if rest:
        raise ValueError(f"{amount} is not a whole amount of {currency}")
    return cents


def id_of(value: Any) -> str | None:
    """Return an id. Stripe sends the whole object instead if a request expands it."""
    if isinstance(value, Mapping):
        value = value["id"]
    return None if value is None else str(value)


def place_of(body: Any) -> str:
    """Name the object in an error: its kind and id."""
    return f"{body.get('object', '')} {body.get('id', '')}".strip() if isinstance(body, Mapping) else "the text"
