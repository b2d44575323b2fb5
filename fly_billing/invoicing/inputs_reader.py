"""Reads what a month's invoices are made of: who pays for whom, what they used and bought, and on which terms.

Set-based: one statement per kind of record for all of a month's payers. Keeps out: how amounts come about
(`invoicing.rules.assembly`), and writing them (`invoicing`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import refuse_unreadable
from fly_billing.errors import BillingError, not_computable
from fly_billing.invoicing.rules.inputs import (
    CREDITABLE,
    Adjustment,
    Commitment,
    CreditGrant,
    CreditPaid,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, isolate_failures, unreadable
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import open_price_books
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import TaxCustomer, TaxRate, differ_by_item, rates_for

T = TypeVar("T")
_READ_TO_BE_REFUSED = frozenset({"first_month", "last_month", "redeemed_at", "occurred_at"})
Grouped = Mapping[str, list[T]]


@dataclass(frozen=True)
class Payer:
    """Who gets an invoice for the month, and where that invoice stands. `members` are rows: the payer itself first."""

    organization_id: str
    currency: str
    revision: int
    invoice_status: str | None
    members: Sequence[Row]

    @property
    def is_final(self) -> bool:
        return self.invoice_status not in (None, "open")

    @property
    def member_names(self) -> list[str]:
        return [row["id"] for row in self.members]

    @property
    def snapshots(self) -> list[UUID]:
        return [row["snapshot_id"] for row in self.members if row["snapshot_id"]]


@dataclass(frozen=True)
class BillingRecords:
    """What was used, bought and agreed, by organization (usage, purchases) or payer (terms)."""

    month: BillingMonth
    rollups: Grouped[UsageRollup]
    subscriptions: Grouped[Subscription]
    one_offs: Grouped[OneOffItem]
    adjustments: Grouped[Adjustment]
    discounts: Grouped[Discount]
    commitments: Grouped[Commitment]
    credits: Grouped[CreditGrant]
    taxes: Grouped[TaxRate]
    earlier_taxes: Mapping[BillingMonth, Grouped[TaxRate]]
    # Organization -> the first of its records that can't be calculated with.
    unreadable: Mapping[str, BillingError]

    def taxes_by_item(self, payer: Payer) -> bool:
        """Return True if the payer's items are taxed at different rates."""
        rates = [self.taxes[payer.organization_id], *self.earlier_taxes_of(payer).values()]
        return any(differ_by_item(one) for one in rates)

    def earlier_taxes_of(self, payer: Payer) -> dict[BillingMonth, Sequence[TaxRate]]:
        """Return the payer's rates of the month before, and of each that charged fees whose interval is not over."""
        fees = [one for row in payer.members for one in self.subscriptions[row["id"]]]
        months = {charged.month for one in fees for charged in one.charged}
        return {
            month: rates[payer.organization_id]
            for month, rates in self.earlier_taxes.items()
            if month in months or month == self.month.plus(-1)
        }

    def refuse_unreadable(self, payer: Payer) -> None:
        """Raise BillingError where a record of the payer, or of one it pays for, can't be calculated with."""
        for row in payer.members:
            if row["id"] in self.unreadable:
                raise self.unreadable[row["id"]]


def read_payers(connection: Connection, month: BillingMonth, groups: Sequence[str]) -> list[Payer]:
    """Read who of these billing groups gets an invoice for the month, with everybody it pays for."""
    found = rows(connection, "billed_members", groups=list(groups), month=month.first_day, month_end=month.end)
    by_payer: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        by_payer[row["payer_id"]].append(row)
    return [
        Payer(name, members[0]["currency"], members[0]["revision"], members[0]["invoice_status"], members)
        for name, members in by_payer.items()
    ]


def refuse_damaged_usage(row: Row) -> None:
    """Raise BillingError where the rollups of this member are not what it used, as `rollups` found."""
    if row["rollup_problem"]:
        raise not_computable("usage_rollups_damaged", row["rollup_problem"], retryable=True)


def read_each(
    payers: Sequence[Payer], connection: Connection, read: Callable[[Sequence[Payer]], BillingRecords]
) -> tuple[list[tuple[Payer, BillingRecords]], list[tuple[str, BillingError]]]:
    """Read the records of these payers: each with those it was read with, and those whose records can't be read."""
    done, failed = isolate_failures(connection, payers, read)
    return (
        [(payer, records) for some, records in done for payer in some],
        [(payer.organization_id, unreadable(payer.organization_id, problem)) for payer, problem in failed],
    )


def read_books(connection: Connection) -> PriceBooks:
    return open_price_books(connection)


def read_records(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    snapshots: Sequence[UUID] | None = None,
    *,
    is_final: bool = False,
) -> BillingRecords:
    """Read all that these payers' invoices are made of; usage from `snapshots`, or else what is current.

    What other invoices charged, drew or counted already is in it: the payers' own invoices of this month are left out.
    `is_final`: their invoices are final and to be worked out again, with the one-off items that they have.
    """
    members = [row["id"] for payer in payers for row in payer.members]
    names = [payer.organization_id for payer in payers]
    used = [one for payer in payers for one in payer.snapshots] if snapshots is None else list(snapshots)
    span = {"month_start": month.start, "month_end": month.end}
    bought = {"organizations": members, "month": month.first_day, **span}
    fees = {**bought, "next_end": month.next().end, "year_before": month.plus(-13).start}
    one_offs = "one_off_items_billed" if is_final else "one_off_items_to_bill"
    agreed = {"organizations": names, "month": month.first_day}
    wrong: dict[str, BillingError] = {}
    for payer in payers:
        for row in payer.members:
            _checked(row, "organizations", row["id"], lambda fields: None, wrong)

    def read(what: str, name: str, make: Callable[[dict[str, Any]], T | None], **parameters: Any) -> Grouped[T]:
        return group_readable(rows(connection, name, **parameters), what, make, wrong)

    subscriptions = _read_subscriptions(connection, wrong, **fees)
    charging = {one.month for some in subscriptions.values() for fee in some for one in fee.charged}
    return BillingRecords(
        month=month,
        rollups=read("usage_rollups", "rollups_to_price", _rollup, snapshots=used),
        subscriptions=subscriptions,
        one_offs=read("one_off_items", one_offs, _made(OneOffItem), **bought),
        adjustments=read_adjustments(
            connection, "adjustments_to_bill", wrong, organizations=members, month=month.first_day
        ),
        discounts=read("discounts", "discounts_in_force", _scoped(Discount, CHARGES), **agreed),
        commitments=read("commitments", "commitments_in_force", _scoped(Commitment, CHARGES), **agreed),
        credits=read(
            "credit_grants", "credits_to_draw", _scoped(CreditGrant, CREDITABLE), **agreed, **span, is_final=is_final
        ),
        taxes=read("tax_rates", "taxes_in_force", _tax_rate, **agreed),
        earlier_taxes={
            one: read("tax_rates", "taxes_in_force", _tax_rate, **agreed | {"month": one.first_day})
            for one in sorted(charging | {month.plus(-1)})
        },
        unreadable=wrong,
    )


@dataclass(frozen=True)
class UsageToBill:
    """Usage by organization, and the organizations whose usage can't be calculated with."""

    rollups: Grouped[UsageRollup]
    unreadable: Mapping[str, BillingError]


def read_rollups(connection: Connection, snapshots: Sequence[UUID]) -> UsageToBill:
    """Read the usage of these snapshots."""
    wrong: dict[str, BillingError] = {}
    found = rows(connection, "rollups_to_price", snapshots=list(snapshots))
    return UsageToBill(group_readable(found, "usage_rollups", _rollup, wrong), wrong)


def account_of(payer: Payer, month: BillingMonth, records: BillingRecords, books: PriceBooks) -> InvoiceInputs:
    """Put together what one payer's invoice is made of. Raises BillingError where a record of it is unreadable."""
    records.refuse_unreadable(payer)
    name = payer.organization_id
    members = [
        Member(
            row["id"],
            books.of(row["id"], row["price_book"]),
            records.rollups[row["id"]],
            records.subscriptions[row["id"]],
            records.one_offs[row["id"]],
            records.adjustments[row["id"]],
        )
        for row in payer.members
    ]
    return InvoiceInputs(
        name, payer.currency, month, members,
        discounts=records.discounts[name], commitments=records.commitments[name], credits=records.credits[name],
        taxes=records.taxes[name], earlier_taxes=records.earlier_taxes_of(payer), revision=payer.revision,
    )  # fmt: skip


def group_readable(
    found: Iterable[Row], what: str, make: Callable[[dict[str, Any]], T | None], wrong: dict[str, BillingError]
) -> Grouped[T]:
    """Group rows by organization; of a row that can't be calculated with, its organization is noted in `wrong`."""
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        name = fields.pop("organization_id")
        made = _checked(fields, what, name, make, wrong)
        if made is not None:
            grouped[name].append(made)
    return grouped


def _checked(
    fields: Mapping[str, Any], what: str, name: str, make: Callable[[Any], T | None], wrong: dict[str, BillingError]
) -> T | None:
    try:
        refuse_unreadable(fields)
        return make(fields)
    except BillingError as error:
        wrong.setdefault(name, error)
    except VALUE_ERRORS as problem:
        wrong.setdefault(name, unreadable(f"{name}: {what} {fields.get('id', '')}".rstrip(), problem))
    return None


def _made(kind: type[T]) -> Callable[[dict[str, Any]], T]:
    return lambda fields: kind(**_without_times(fields))


def _without_times(fields: dict[str, Any]) -> dict[str, Any]:
    """Leave out the times that decided whether the row is of this month: they are read to be refused."""
    return {name: value for name, value in fields.items() if name not in _READ_TO_BE_REFUSED}


def _rollup(fields: dict[str, Any]) -> UsageRollup:
    missing = [name for name, value in fields.items() if value is None]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return UsageRollup(**fields | {"dimensions": _dimensions(fields["dimensions"])})


@lru_cache(maxsize=65_536)
def _dimensions(text: str) -> Mapping[str, str]:
    """Read dimensions from JSON, once for all that have the same: read-only, as they are shared.

    Raises ValueError where they are no JSON object of texts.
    """
    read = json.loads(text)
    if not isinstance(read, dict) or not all(isinstance(value, str) for value in read.values()):
        raise ValueError("dimensions are no JSON object of texts")
    return MappingProxyType(read)


def _scoped(kind: type[T], kinds: tuple[str, ...]) -> Callable[[dict[str, Any]], T]:
    return lambda fields: kind(**_without_times(fields) | {"scope": Scope.from_data(fields["scope"], kinds)})


def _tax_rate(fields: dict[str, Any]) -> TaxRate | None:
    """Read a tax rate; None where it is for other customers. One that a final invoice was made with stays its own."""
    customer = TaxCustomer(fields.pop("location"), fields.pop("customer_kind"))
    was_used = fields.pop("is_of_final_invoice")
    rate = tax_rate_of(_without_times(fields))
    return rate if was_used or rates_for(customer, [rate]) else None


def tax_rate_of(fields: Mapping[str, Any]) -> TaxRate:
    """Make a tax rate of a row of `tax_rates`."""
    listed = {name: tuple(fields[name]) for name in ("locations", "customers")}
    return TaxRate(**{**fields, **listed, "scope": Scope.from_data(fields["scope"], CHARGES)})


def _read_subscriptions(
    connection: Connection, wrong: dict[str, BillingError], **parameters: Any
) -> Grouped[Subscription]:
    charged = _read_charged(connection, **parameters)
    found = rows(connection, "subscriptions_to_bill", **parameters, charged=list(charged))

    def made(fields: dict[str, Any]) -> Subscription:
        return Subscription(**fields, charged=tuple(charged.get(fields["id"], ())))

    return group_readable(found, "subscriptions", made, wrong)


def _read_charged(connection: Connection, **parameters: Any) -> Mapping[UUID, Sequence[FeeCharged]]:
    """Read by subscription what other invoices charged for intervals that are not over when the month begins."""
    found = rows(connection, "fees_charged", **parameters)
    subscriptions = list({row["subscription_id"] for row in found})
    if not subscriptions:
        return {}
    discounts: dict[tuple[UUID, datetime], list[DiscountTaken]] = defaultdict(list)
    for row in rows(connection, "discounts_of_fees", **parameters, subscriptions=subscriptions):
        fields = dict(row)
        discounts[fields.pop("subscription_id"), fields.pop("interval_start")].append(DiscountTaken(**fields))
    credits: dict[tuple[UUID, datetime], list[CreditPaid]] = defaultdict(list)
    for row in rows(connection, "credits_of_fees", **parameters, subscriptions=subscriptions):
        fields = dict(row)
        credits[fields.pop("subscription_id"), fields.pop("interval_start")].append(CreditPaid(**fields))
    charged: dict[UUID, list[FeeCharged]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        subscription, month = fields.pop("subscription_id"), fields.pop("month")
        at = subscription, fields["start"]
        charged[subscription].append(
            FeeCharged(
                **fields, month=BillingMonth(month.year, month.month),
                discounts=tuple(discounts[at]), credits=tuple(credits[at]),
            )
        )  # fmt: skip
    return charged


def read_adjustments(
    connection: Connection, statement: str, wrong: dict[str, BillingError], **parameters: Any
) -> Grouped[Adjustment]:
    """Run a statement that returns adjustments, by organization, and read the taxes of the months that they correct.

    Of one that can't be calculated with, its organization is noted in `wrong`.
    """
    found = rows(connection, statement, **parameters)
    taxes: dict[UUID, dict[UUID, TaxRate]] = defaultdict(dict)
    taxed: dict[UUID, list[dict[str, Any]]] = {}
    for row in rows(connection, "taxes_of_adjustments", ids=[row["id"] for row in found]) if found else ():
        fields = dict(row)
        adjustment = fields.pop("adjustment_id")
        taxed[adjustment] = fields.pop("taxed") or []
        taxes[adjustment][fields["id"]] = tax_rate_of(fields)

    def made(fields: dict[str, Any]) -> Adjustment:
        month = BillingMonth(fields["month"].year, fields["month"].month)
        own = taxes[fields["id"]]
        parts = tuple(
            (tuple(own[UUID(rate)] for rate in part["rates"]), Decimal(part["amount"]))
            for part in taxed.get(fields["id"], ())
        )
        changes = {"month": month, "causes": tuple(fields["causes"]), "taxes": tuple(own.values()), "taxed": parts}
        return Adjustment(**fields | changes)

    return group_readable(found, "adjustments", made, wrong)
