"""Reads what a month's invoices are made of: who pays for whom, what they used and bought, and on which terms.

Set-based: one statement per kind of record for all of a month's payers. Keeps out: how amounts come about
(`domain.invoices`), and writing them (`invoicing`).
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.domain.account import (
    CREDITABLE,
    Account,
    Adjustment,
    Commitment,
    CreditGrant,
    Discount,
    DiscountTaken,
    Member,
    OneOffItem,
    Subscription,
    TaxRate,
    UsageRollup,
)
from fly_billing.domain.invoice_items import CHARGES, Scope
from fly_billing.domain.periods import BillingMonth
from fly_billing.domain.prices import PriceBook
from fly_billing.resources.postgres import Row, rows
from fly_billing.resources.price_books import read_price_books

T = TypeVar("T")
Books = Mapping[str, PriceBook]
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
class Records:
    """What was used, bought and agreed, by organization (usage, purchases) or payer (terms)."""

    rollups: Grouped[UsageRollup]
    subscriptions: Grouped[Subscription]
    one_offs: Grouped[OneOffItem]
    adjustments: Grouped[Adjustment]
    discounts: Grouped[Discount]
    commitments: Grouped[Commitment]
    credits: Grouped[CreditGrant]
    taxes: Grouped[TaxRate]
    taxes_before: Grouped[TaxRate]


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


def read_books(connection: Connection) -> Books:
    return {name: PriceBook(prices) for name, prices in read_price_books(connection).items()}


def read_records(
    connection: Connection,
    month: BillingMonth,
    payers: Sequence[Payer],
    snapshots: Sequence[UUID] | None = None,
    *,
    is_final: bool = False,
) -> Records:
    """Read all that these payers' invoices are made of; usage from `snapshots`, or else what is current.

    What other invoices charged, drew or counted already is in it: the payers' own invoices of this month are left out.
    `is_final`: their invoices are final and to be worked out again, with the one-off items that they have.
    """
    members = [row["id"] for payer in payers for row in payer.members]
    names = [payer.organization_id for payer in payers]
    used = [one for payer in payers for one in payer.snapshots] if snapshots is None else list(snapshots)
    span = {"month_start": month.start, "month_end": month.end}
    bought = {"organizations": members, "month": month.first_day, **span}
    agreed = {"organizations": names, "month": month.first_day}
    return Records(
        rollups=_grouped(rows(connection, "rollups_to_price", snapshots=used), _rollup),
        subscriptions=_read_subscriptions(connection, **bought, next_end=month.next().end),
        one_offs=_grouped(
            rows(connection, "one_off_items_billed" if is_final else "one_off_items_to_bill", **bought),
            _made(OneOffItem),
        ),
        adjustments=read_adjustments(connection, "adjustments_to_bill", organizations=members, month=month.first_day),
        discounts=_grouped(rows(connection, "discounts_in_force", **agreed), _scoped(Discount, CHARGES)),
        commitments=_grouped(rows(connection, "commitments_in_force", **agreed), _scoped(Commitment, CHARGES)),
        credits=_grouped(
            rows(connection, "credits_to_draw", **agreed, **span, is_final=is_final), _scoped(CreditGrant, CREDITABLE)
        ),
        taxes=_grouped(rows(connection, "taxes_in_force", **agreed), _made(TaxRate)),
        taxes_before=_grouped(
            rows(connection, "taxes_in_force", organizations=names, month=month.plus(-1).first_day), _made(TaxRate)
        ),
    )


def account_of(payer: Payer, month: BillingMonth, records: Records, books: Books) -> Account:
    """Put together what one payer's invoice is made of."""
    name = payer.organization_id
    members = [
        Member(
            row["id"],
            books.get(row["price_book"], PriceBook([])),
            records.rollups[row["id"]],
            records.subscriptions[row["id"]],
            records.one_offs[row["id"]],
            records.adjustments[row["id"]],
        )
        for row in payer.members
    ]
    return Account(
        name, payer.currency, month, members,
        discounts=records.discounts[name], commitments=records.commitments[name], credits=records.credits[name],
        taxes=records.taxes[name], taxes_before=records.taxes_before[name], revision=payer.revision,
    )  # fmt: skip


def _grouped(found: Iterable[Row], make: Callable[[dict[str, Any]], T]) -> Grouped[T]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for row in found:
        fields = dict(row)
        grouped[fields.pop("organization_id")].append(make(fields))
    return grouped


def _made(kind: type[T]) -> Callable[[dict[str, Any]], T]:
    return lambda fields: kind(**fields)


def _rollup(fields: dict[str, Any]) -> UsageRollup:
    return UsageRollup(**fields | {"dimensions": _dimensions(fields["dimensions"])})


@lru_cache(maxsize=65_536)
def _dimensions(text: str) -> Mapping[str, str]:
    """Read dimensions from JSON, once for all that have the same: read-only, as they are shared."""
    return MappingProxyType(json.loads(text))


def _scoped(kind: type[T], kinds: tuple[str, ...]) -> Callable[[dict[str, Any]], T]:
    return lambda fields: kind(**fields | {"scope": Scope.from_data(fields["scope"], kinds)})


def _read_subscriptions(connection: Connection, **parameters: Any) -> Grouped[Subscription]:
    found = rows(connection, "subscriptions_to_bill", **parameters)
    charged = [row["id"] for row in found if row["billed_before"] or row["billed_ahead"]]
    discounts: dict[tuple[UUID, bool], list[DiscountTaken]] = defaultdict(list)
    for row in rows(connection, "discounts_of_fees", **parameters, subscriptions=charged) if charged else ():
        fields = dict(row)
        discounts[fields.pop("subscription_id"), fields.pop("is_ahead")].append(DiscountTaken(**fields))

    def made(fields: dict[str, Any]) -> Subscription:
        before, ahead = (tuple(discounts[fields["id"], is_ahead]) for is_ahead in (False, True))
        return Subscription(**fields, discounts_before=before, discounts_ahead=ahead)

    return _grouped(found, made)


def read_adjustments(connection: Connection, statement: str, **parameters: Any) -> Grouped[Adjustment]:
    """Run a statement that returns adjustments, by organization, and read the taxes of the months that they correct."""
    found = rows(connection, statement, **parameters)
    taxes: dict[UUID, list[TaxRate]] = defaultdict(list)
    for row in rows(connection, "taxes_of_adjustments", ids=[row["id"] for row in found]) if found else ():
        fields = dict(row)
        taxes[fields.pop("adjustment_id")].append(TaxRate(**fields))

    def made(fields: dict[str, Any]) -> Adjustment:
        month = BillingMonth(fields["month"].year, fields["month"].month)
        own = tuple(taxes[fields["id"]])
        return Adjustment(**fields | {"month": month, "causes": tuple(fields["causes"]), "taxes": own})

    return _grouped(found, made)
