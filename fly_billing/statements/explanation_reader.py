"""Reads from Postgres what an item's explanation is made of, and finds the item that a person means.

The sums are the domain's (`statements.rules.explanation`), the events one by one are in the usage table
(`billed_events`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.corrections.rules.adjusted import Adjusted, read_adjusted
from fly_billing.errors import ActionableError
from fly_billing.invoicing.rules.assembly import invoice_number
from fly_billing.invoicing.rules.inputs import UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, rows
from fly_billing.pricing.negotiated_prices import read_negotiated_price
from fly_billing.pricing.price_books import read_price
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.statements.rules.explanation import Explanation, explain_item
from fly_billing.statements.rules.rounding import explain_rounding

# Six hexadecimal digits tell 16 million items apart; fewer would mean another item tomorrow.
SHORTEST = 6
_ID = re.compile(rf"[0-9a-f-]{{{SHORTEST},36}}", re.IGNORECASE)


class NoSuchItem(ActionableError):
    """No item, or more than one, is what was asked for. The message says which there are."""


@dataclass(frozen=True)
class FoundItem:
    """An item in a list: where it is, and what it is called. `organization_id` is whose line it is."""

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
    """A rollup that an item prices: its usage, and how many events it was added up from."""

    usage: UsageRollup
    events: int


@dataclass(frozen=True)
class BilledUsage:
    """The usage behind an item: an organization's rollups of one meter, added up from one version of the usage table.

    `unit` is the meter's, `aggregation` how it adds up. `priced` has (price key, dimensions) of all its usage on the
    invoice: what counts together (`usage.rules.counted_together`).
    """

    organization_id: str
    month: BillingMonth
    meter: str
    unit: str
    aggregation: Aggregation
    lake_version: int
    rolled_up_at: datetime
    rollups: tuple[BilledRollup, ...]
    priced: tuple[tuple[str, Mapping[str, str]], ...] = ()

    @property
    def events(self) -> int:
        return sum(one.events for one in self.rollups)

    @property
    def told_apart_by(self) -> str | None:
        """The property of an event's data that the aggregation names, if it does: unique_of, series."""
        return self.aggregation.unique_of or self.aggregation.series

    @property
    def is_summed(self) -> bool:
        """Whether the quantity is the sum of the events' quantities."""
        return self.aggregation.name == "sum"


@dataclass(frozen=True)
class ExplainedItem:
    """An item's explanation, the invoice that it is on, and the usage behind it (None: it has none).

    `number` is the invoice's, None while it is open.
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
            "rollups": [_rollup_data(one, self.usage) for one in self.usage.rollups] if self.usage else [],
        }


def find_item(database: BillingDatabase, text: str) -> UUID:
    """Return the id of the one item whose id is `text`, or begins with it. Raises NoSuchItem."""
    if not _ID.fullmatch(text):
        raise NoSuchItem(
            f"{text!r} is no item's id: give at least its first {SHORTEST} digits (0-9, a-f), or an organization and a"
            " month: fly-billing explain ORG YYYY-MM lists their items"
        )
    digits = text.replace("-", "").lower()
    if len(digits) > 32:
        raise NoSuchItem(f"{text!r} is longer than an item's id")
    first, last = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = [_found(row) for row in database.rows("items_by_id", first=first, last=last)]
    if not found:
        raise NoSuchItem(
            f"no item's id begins with {text!r} (while a month is open, its items may come and go)."
            f" If it is an organization, name the month too: fly-billing explain {text} YYYY-MM"
        )
    if len(found) > 1:
        listed = "\n".join(f"  {one.id}  {one.organization_id} {one.month}  {one.description}" for one in found)
        raise NoSuchItem(f"{len(found)} items' ids begin with {text!r}; give more digits:\n{listed}")
    return found[0].id


def items_of_month(database: BillingDatabase, organization_id: str, month: BillingMonth) -> list[FoundItem]:
    """List the items of an organization's month, in its invoice's order. Raises NoSuchItem where there are none."""
    found = database.rows("items_of_month", organization_id=organization_id, month=month.first_day)
    if not found:
        raise NoSuchItem(f"{organization_id!r} has no items in {month}: fly-billing statement {organization_id}")
    return [_found(row) for row in found]


def item_at(database: BillingDatabase, organization_id: str, month: BillingMonth, position: int) -> UUID:
    """Return the id of the item at this position (from 1) of the organization's month. Raises NoSuchItem."""
    items = items_of_month(database, organization_id, month)
    found = [one.id for one in items if one.position == position]
    if not found:
        positions = sorted(one.position for one in items)
        raise NoSuchItem(
            f"{organization_id!r} has no item {position} in {month}, only {positions[0]} to {positions[-1]}:"
            f" fly-billing explain {organization_id} {month} lists them"
        )
    return found[0]


def read_explanation(database: BillingDatabase, item_id: UUID) -> ExplainedItem:
    """Read an item and work it out again. Raises NoSuchItem where it is gone."""
    with database.transaction() as connection:
        heads = rows(connection, "invoice_of_item", item_id=item_id)
        if not heads:
            raise NoSuchItem(f"no item {item_id}")
        head = heads[0]
        items = [_item(row) for row in rows(connection, "explained_items", invoice_id=head["id"])]
        item = next(one for one in items if one.id == item_id)
        priced = rows(connection, "dimensions_by_price", item_id=item_id)
        usage = _usage(rows(connection, "rollups_of_item", item_id=item_id), _month(head["month"]), priced)
        facts = [(row["name"], row["text"]) for row in rows(connection, "facts_of_item", item_id=item_id)]
        price = read_price(connection, item.price_id) if item.price_id else None
        if price and item.negotiated_price_id:
            agreed = read_negotiated_price(connection, item.negotiated_price_id)
            price = agreed.over(price) if agreed else None
        adjusted = _adjusted(rows(connection, "adjustment_of_item", item_id=item_id))
    currency = head["currency"]
    rounding = explain_rounding(items, currency)
    rollups = [one.usage for one in usage.rollups] if usage else []
    return ExplainedItem(
        explanation=explain_item(item, rounding[item_id], currency, rollups, price, facts, adjusted),
        payer_id=head["organization_id"],
        month=_month(head["month"]),
        revision=head["revision"],
        number=head["number"] and invoice_number(head["organization_id"], head["number"]),
        status=head["status"],
        position=head["position"],
        total_cents=head["total_cents"],
        usage=usage,
    )


def _item(row: Row) -> InvoiceItem:
    return InvoiceItem(**{**row, "rollup_ids": tuple(row["rollup_ids"])})


def _adjusted(found: Sequence[Row]) -> Adjusted | None:
    return read_adjusted(found[0]["causes"], found[0]["detail"]) if found else None


def _usage(found: Sequence[Row], month: BillingMonth, priced: Sequence[Row]) -> BilledUsage | None:
    if not found:
        return None
    snapshots = {row["snapshot_id"] for row in found}
    if len(snapshots) > 1:
        raise ActionableError(
            f"an item bills usage of {len(snapshots)} snapshots at once: {sorted(map(str, snapshots))}"
        )
    meters = {row["meter"] for row in found}
    if len(meters) > 1:
        raise ActionableError(f"an item bills usage of {len(meters)} meters at once: {sorted(meters)}")
    names = ("id", "meter", "dimensions", "segment_start", "segment_end", "quantity")
    step, rounding = found[0]["event_step"], found[0]["event_round"]
    return BilledUsage(
        organization_id=found[0]["organization_id"],
        month=month,
        meter=found[0]["meter"],
        unit=found[0]["unit"],
        aggregation=Aggregation(
            **{name: found[0][name] for name in ("unique_of", "series", "time_unit")},
            name=found[0]["aggregation"],
            round_each_event=None if step is None else EventRounding(step, rounding),
        ),
        lake_version=found[0]["lake_version"],
        rolled_up_at=found[0]["rolled_up_at"],
        rollups=tuple(BilledRollup(UsageRollup(**{name: row[name] for name in names}), row["events"]) for row in found),
        priced=tuple((row["price_key"], row["dimensions"]) for row in priced),
    )


def _rollup_data(one: BilledRollup, behind: BilledUsage) -> dict[str, Any]:
    usage = one.usage
    return {
        "id": str(usage.id),
        "meter": usage.meter,
        "dimensions": dict(usage.dimensions),
        "segment_start": usage.segment_start.isoformat(),
        "segment_end": usage.segment_end.isoformat(),
        "aggregation": behind.aggregation.name,
        "quantity": plain(usage.quantity),
        "events": one.events,
    }


def _found(row: Row) -> FoundItem:
    return FoundItem(**{**row, "month": _month(row["month"])})


def _month(first_day: Any) -> BillingMonth:
    return BillingMonth(first_day.year, first_day.month)
