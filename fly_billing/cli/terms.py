"""Writes terms: `coupon`, `commit`, `tax`, `link`."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fly_billing.cli.change_options import ChangeOptions
from fly_billing.cli.changes import Work, make
from fly_billing.cli.terminal import Terminal
from fly_billing.customers.commitments import add_commitment
from fly_billing.customers.coupons import give_coupons, write_coupons
from fly_billing.customers.known import typed_amount_of
from fly_billing.customers.links import link_organization
from fly_billing.customers.rules.terms import (
    CommitmentTerms,
    CouponTerms,
    DiscountTerms,
    TaxTerms,
)
from fly_billing.customers.taxes import change_tax_status, set_tax
from fly_billing.customers.writing import CustomerRefused, Written
from fly_billing.money import counted, from_cents, parse_typed_amount
from fly_billing.periods import BillingMonth


def add_coupon(
    console: Terminal, options: ChangeOptions, code: str, amount: str | None, currency: str | None, **terms: Any
) -> None:
    """Add a coupon or change it. `terms`: other fields of CouponTerms."""

    def act(work: Work) -> Sequence[Written]:
        unit = (currency or "USD").upper() if amount is not None else currency
        off = None if amount is None or unit is None else from_cents(parse_typed_amount(amount, unit), unit)
        return write_coupons(work.connection, work.actor, [CouponTerms(code, amount=off, currency=unit, **terms)])

    make(console, options, act)


def give_coupon(
    console: Terminal, options: ChangeOptions, organization: str, code: str, first: BillingMonth | None,
    last: BillingMonth | None,
) -> None:  # fmt: skip
    """Give a coupon to an organization, from this month or another one on."""

    def act(work: Work) -> Sequence[Written]:
        return give_coupons(work.connection, work.actor, [DiscountTerms(organization, code, first or work.month, last)])

    make(console, options, act)


def commit(
    console: Terminal, options: ChangeOptions, organization: str, amount: str, first: BillingMonth | None,
    description: str | None, **terms: Any,
) -> None:  # fmt: skip
    """Agree on a minimum or maximum. `terms`: other fields of CommitmentTerms."""

    def act(work: Work) -> Sequence[Written]:
        bound, currency = typed_amount_of(work.connection, organization, amount)
        said = description or _commitment_text(bound, currency, terms["kind"], terms["months"])
        one = CommitmentTerms(organization, said, bound, first or work.month, **terms)
        return add_commitment(work.connection, work.actor, one)

    make(console, options, act)


def _commitment_text(bound: Decimal, currency: str, kind: str, months: int) -> str:
    least = "At least" if kind == "minimum" else "At most"
    return f"{least} {bound:f} {currency} " + ("a month" if months == 1 else f"in {counted(months, 'month')}")


def add_tax(
    console: Terminal, options: ChangeOptions, organization: str, name: str, percent: Decimal,
    first: BillingMonth | None, **terms: Any,
) -> None:  # fmt: skip
    """Tax an organization; its present rate of that tax ends before. `terms`: other fields of TaxTerms."""

    def act(work: Work) -> Sequence[Written]:
        return set_tax(work.connection, work.actor, TaxTerms(organization, name, percent, first or work.month, **terms))

    make(console, options, act)


def set_tax_status(
    console: Terminal, options: ChangeOptions, organization: str, first: BillingMonth | None, location: str | None,
    kind: str | None,
) -> None:  # fmt: skip
    """Say where an organization is and of which kind, from this month or another one on."""

    if location is None and kind is None:
        raise CustomerRefused(["give a --location, a --kind or both"])

    def act(work: Work) -> Sequence[Written]:
        return change_tax_status(work.connection, work.actor, organization, first or work.month, location, kind)

    make(console, options, act)


def link(
    console: Terminal, options: ChangeOptions, organization: str, payer: str, first: BillingMonth | None,
    last: BillingMonth | None,
) -> None:  # fmt: skip
    """Link an organization to a payer, or end its link."""
    make(
        console, options,
        lambda work: link_organization(work.connection, work.actor, organization, payer, first, last),
    )  # fmt: skip
