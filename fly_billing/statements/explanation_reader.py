"""Finds an item by id or position, and reads the records that explain it from Postgres.

Not here: the sums (`statements.rules.explanation`), and the single events, which are in the usage table
(`statements.billed_events`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.corrections.rules.adjustment_record import read_adjustment_record
from fly_billing.errors import ActionableError
from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records
from fly_billing.pricing.negotiated_prices import read_negotiated_price
from fly_billing.pricing.price_books import read_price
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.statements.rules.explanation import Explanation, explain_item
from fly_billing.statements.rules.rounding import explain_rounding

# Six hexadecimal digits identify one of 16 million items. Fewer digits could match another item tomorrow.
SHORTEST = 6
_ID = re.compile(rf"[0-9a-f-]{{{SHORTEST},36}}", re.IGNORECASE)


class NoSuchItem(ActionableError):
    """No item matches, or more than one. The message lists the items to choose from."""


@dataclass(frozen=True)
class ListedItem:
    """An item in a list, and its place on an invoice.

    Attributes:
        organization_id: The organization that used or bought it.
        payer_id: The organization whose invoice it is on.
        position: Its place on the invoice, from 1.
    """

    id: UUID
    organization_id: str
    payer_id: str
    month: BillingMonth
    revision: int
    status: str
    position: int
    kind: str
    product: str
    description: str
    amount: Decimal
    amount_cents: int
    currency: str

    @property
    def short_id(self) -> str:
        return str(self.id)[:8]

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {**vars(self), "id": str(self.id), "month": str(self.month), "amount": plain(self.amount)}


@dataclass(frozen=True)
class BilledRollup:
    """A rollup that an item prices, and the number of events in it."""

    usage: UsageRollup
    events: int


@dataclass(frozen=True)
class BilledUsage:
    """The usage that an item bills: an organization's rollups of one meter, from one version of the usage table.

    Attributes:
        unit: The meter's unit.
        aggregation: How the meter combines events.
        priced: (price key, dimensions) of all the organization's usage of the meter on the invoice, which determines
            the aggregation groups (`usage.rules.aggregation_groups`).
    """

    organization_id: str
    month: BillingMonth
    meter: str
    unit: str
    aggregation: Aggregation
    usage_table_version: int
    rolled_up_at: datetime
    rollups: tuple[BilledRollup, ...]
    priced: tuple[tuple[str, Mapping[str, str]], ...] = ()

    @property
    def events(self) -> int:
        return sum(rollup.events for rollup in self.rollups)

    @property
    def distinguished_by(self) -> str | None:
        """The property of an event's data that the aggregation names (`unique_of` or `series`), or None."""
        return self.aggregation.unique_of or self.aggregation.series

    @property
    def is_summed(self) -> bool:
        """Return True if the quantity is the sum of the events' quantities."""
        return self.aggregation.name == "sum"


@dataclass(frozen=True)
class ExplainedItem:
    """An item's explanation, with its invoice and its usage.

    Attributes:
        number: The invoice's number; None while it is open.
        usage: None for an item that bills no usage.
    """

    explanation: Explanation
    payer_id: str
    month: BillingMonth
    revision: int
    number: str | None
    status: str
    position: int
    total_cents: int
    usage: BilledUsage | None

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; exact numbers are text."""
        return {
            **self.explanation.as_data(),
            "invoice": {
                "organization_id": self.payer_id,
                "month": str(self.month),
                "revision": self.revision,
                "number": self.number,
                "status": self.status,
                "position": self.position,
                "total_cents": self.total_cents,
            },
            "rollups": [_rollup_data(rollup, self.usage) for rollup in self.usage.rollups] if self.usage else [],
        }


def find_item(database: BillingDatabase, text: str) -> UUID:
    """Return the id of the one item whose id is `text`, or begins with it. Raises NoSuchItem."""
    if not _ID.fullmatch(text):
        raise NoSuchItem(
            f"{text!r} is not an item id. Give at least the first {SHORTEST} digits (0-9, a-f) of one, or an"
            " organization and a month: fly-billing explain ORG YYYY-MM lists the items"
        )
    digits = text.replace("-", "").lower()
    if len(digits) > 32:
        raise NoSuchItem(f"{text!r} is longer than an item id")
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    items = database.records(_listed_item, "items_by_id", first=first, last=last)
    if not items:
        raise NoSuchItem(
            f"no item id begins with {text!r} (billing an open month again can replace its items)."
            f" If it is an organization, add the month: fly-billing explain {text} YYYY-MM"
        )
    if len(items) > 1:
        listed = "\n".join(f"  {item.id}  {item.organization_id} {item.month}  {item.description}" for item in items)
        raise NoSuchItem(f"{len(items)} item ids begin with {text!r}; give more digits:\n{listed}")
    return items[0].id


def list_items(database: BillingDatabase, organization_id: str, month: BillingMonth) -> list[ListedItem]:
    """Return the items of an organization's month, in the invoice's order. Raises NoSuchItem if there are none."""
    items = database.records(_listed_item, "items_of_month", organization_id=organization_id, month=month.first_day)
    if not items:
        raise NoSuchItem(
            f"{organization_id!r} has no items in {month}: fly-billing statement {organization_id} lists its months"
        )
    return items


def find_item_at(database: BillingDatabase, organization_id: str, month: BillingMonth, position: int) -> UUID:
    """Return the id of the item at this position (from 1) of the organization's month. Raises NoSuchItem."""
    items = list_items(database, organization_id, month)
    item_ids = [item.id for item in items if item.position == position]
    if not item_ids:
        positions = sorted(item.position for item in items)
        raise NoSuchItem(
            f"{organization_id!r} has no item {position} in {month}, only {positions[0]} to {positions[-1]}:"
            f" fly-billing explain {organization_id} {month} lists them"
        )
    return item_ids[0]


def read_explanation(database: BillingDatabase, item_id: UUID) -> ExplainedItem:
    """Read an item and calculate its amount again. Raises NoSuchItem if the item no longer exists."""
    with database.transaction() as connection:
        invoices = records(connection, _InvoiceRow, "invoice_of_item", item_id=item_id)
        if not invoices:
            raise NoSuchItem(f"no item {item_id}")
        invoice = invoices[0]
        items = records(connection, _invoice_item, "explained_items", invoice_id=invoice.id)
        item = next(item for item in items if item.id == item_id)
        priced = records(connection, _PricedRow, "dimensions_by_price", item_id=item_id)
        rollup_rows = records(connection, _RollupRow, "rollups_of_item", item_id=item_id)
        usage = _usage(rollup_rows, _month(invoice.month), priced)
        facts = records(connection, _fact, "facts_of_item", item_id=item_id)
        price = read_price(connection, item.price_id) if item.price_id else None
        if price and item.negotiated_price_id:
            agreed = read_negotiated_price(connection, item.negotiated_price_id)
            price = agreed.over(price) if agreed else None
        adjusted = records(connection, read_adjustment_record, "adjustment_of_item", item_id=item_id)
    rounding = explain_rounding(items, invoice.currency)
    rollups = [rollup.usage for rollup in usage.rollups] if usage else []
    return ExplainedItem(
        explanation=explain_item(
            item, rounding[item_id], invoice.currency, rollups, price, facts, adjusted[0] if adjusted else None
        ),
        payer_id=invoice.organization_id,
        month=_month(invoice.month),
        revision=invoice.revision,
        number=invoice_number(invoice.organization_id, invoice.number) if invoice.number else None,
        status=invoice.status,
        position=invoice.position,
        total_cents=invoice.total_cents,
        usage=usage,
    )


@dataclass(frozen=True)
class _InvoiceRow:
    """The invoice that an item is on, and the item's position on it."""

    id: UUID
    organization_id: str
    month: date
    revision: int
    number: int | None
    origin: str
    status: str
    currency: str
    total_cents: int
    position: int


@dataclass(frozen=True)
class _PricedRow:
    """Dimensions that a price charged for."""

    price_key: str
    dimensions: Mapping[str, str]


@dataclass(frozen=True)
class _RollupRow:
    """A rollup that an item prices, with its meter and the usage snapshot that it is from."""

    id: UUID
    meter: str
    dimensions: Mapping[str, str]
    segment_start: datetime
    segment_end: datetime
    quantity: Decimal
    events: int
    unit: str
    aggregation: str
    unique_of: str | None
    series: str | None
    time_unit: int | None
    event_step: Decimal | None
    event_round: str | None
    snapshot_id: UUID
    organization_id: str
    lake_version: int
    rolled_up_at: datetime

    @property
    def billed(self) -> BilledRollup:
        usage = UsageRollup(self.id, self.meter, self.dimensions, self.segment_start, self.segment_end, self.quantity)
        return BilledRollup(usage, self.events)

    @property
    def meter_aggregation(self) -> Aggregation:
        rounding = EventRounding(self.event_step, self.event_round) if self.event_step and self.event_round else None
        return Aggregation(
            self.aggregation,
            unique_of=self.unique_of,
            series=self.series,
            time_unit=self.time_unit,
            round_each_event=rounding,
        )


def _usage(rollups: Sequence[_RollupRow], month: BillingMonth, priced: Sequence[_PricedRow]) -> BilledUsage | None:
    """Combine an item's rollups. Raises ActionableError if they are not of one snapshot and one meter."""
    if not rollups:
        return None
    snapshots = {str(row.snapshot_id) for row in rollups}
    if len(snapshots) > 1:
        raise ActionableError(f"an item bills usage of {len(snapshots)} snapshots, not of one: {sorted(snapshots)}")
    meters = {row.meter for row in rollups}
    if len(meters) > 1:
        raise ActionableError(f"an item bills usage of {len(meters)} meters, not of one: {sorted(meters)}")
    first = rollups[0]
    return BilledUsage(
        organization_id=first.organization_id,
        month=month,
        meter=first.meter,
        unit=first.unit,
        aggregation=first.meter_aggregation,
        usage_table_version=first.lake_version,
        rolled_up_at=first.rolled_up_at,
        rollups=tuple(row.billed for row in rollups),
        priced=tuple((row.price_key, row.dimensions) for row in priced),
    )


def _rollup_data(rollup: BilledRollup, billed: BilledUsage) -> dict[str, Any]:
    usage = rollup.usage
    return {
        "id": str(usage.id),
        "meter": usage.meter,
        "dimensions": dict(usage.dimensions),
        "segment_start": usage.segment_start.isoformat(),
        "segment_end": usage.segment_end.isoformat(),
        "aggregation": billed.aggregation.name,
        "quantity": plain(usage.quantity),
        "events": rollup.events,
    }


def _invoice_item(rollup_ids: Sequence[UUID], **columns: Any) -> InvoiceItem:
    return InvoiceItem(**columns, rollup_ids=tuple(rollup_ids))


def _listed_item(month: date, **columns: Any) -> ListedItem:
    return ListedItem(**columns, month=_month(month))


def _fact(name: str, text: str) -> tuple[str, str]:
    return name, text


def _month(first_day: date) -> BillingMonth:
    return BillingMonth(first_day.year, first_day.month)
