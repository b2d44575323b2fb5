"""The time in which an item of an invoice was supplied: the one rule for Stripe's lines, the statement and revenue.

Not here: how an amount is spread over its time (`accounting.rules.recognition`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID, uuid5

from fly_billing.periods import BillingMonth, span_text


@dataclass(frozen=True, order=True)
class ServicePeriod:
    """The half-open time `[start, end)` in which something was supplied."""

    start: datetime
    end: datetime

    @classmethod
    def of_month(cls, month: BillingMonth) -> ServicePeriod:
        return cls(month.start, month.end)

    @property
    def days(self) -> tuple[int, int]:
        """Its UTC days as `[first, end)`, counted from the year 1: each day that it has a part of, at least one."""
        first = self.start.astimezone(UTC).toordinal()
        return first, max(first, (self.end.astimezone(UTC) - timedelta(microseconds=1)).toordinal()) + 1

    def __str__(self) -> str:
        return span_text(self.start, self.end)


class SuppliedItem(Protocol):
    """The columns of an item that decide: an `InvoiceItem`, or a row of it."""

    @property
    def kind(self) -> str: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def detail(self) -> Any: ...
    @property
    def period_start(self) -> datetime | None: ...
    @property
    def period_end(self) -> datetime | None: ...
    @property
    def interval_start(self) -> datetime | None: ...
    @property
    def interval_end(self) -> datetime | None: ...


def service_period(item: SuppliedItem, month: BillingMonth, sold: ServicePeriod | None = None) -> ServicePeriod:
    """Return the time in which the item was supplied.

    - A fee: its charged part of the interval. A fee given back: the unused rest of the interval, or else the part.
    - A one-off item: a time of its own, if it has one; otherwise `sold`.
    - An adjustment: the corrected month.
    - Everything else, such as usage: the month of the invoice. A discount, a maximum and a credit reduce other items,
      whose periods they share (`reduced_items`).

    Args:
        item: The item.
        month: The month of its invoice.
        sold: Of a one-off item: the day on which it occurred, or the term of a reservation (`one_off_period`).

    Raises:
        ValueError: An adjustment names no month.
    """
    match item.kind:
        case "subscription":
            return _of_fee(item, month)
        case "one_off":
            if item.period_start and item.period_end:
                return ServicePeriod(item.period_start, item.period_end)
            return sold or ServicePeriod.of_month(month)
        case "adjustment":
            return ServicePeriod.of_month(BillingMonth.parse(str(item.detail.get("month", month))))
        case _:
            return ServicePeriod.of_month(month)


def _of_fee(item: SuppliedItem, month: BillingMonth) -> ServicePeriod:
    start, end = item.period_start or month.start, item.period_end or month.end
    if item.amount < 0 and item.interval_end is not None and end < item.interval_end:
        return ServicePeriod(end, item.interval_end)
    return ServicePeriod(start, end)


def one_off_period(one_off_id: UUID, occurred_at: datetime, credits: Collection[UUID] = ()) -> ServicePeriod:
    """Return the day of a one-off item, or the months of a reservation.

    Args:
        one_off_id: `one_off_items.id`.
        occurred_at: When it occurred; a reservation begins with the month.
        credits: Ids of credits of the organization. Those of a reservation are made of its id and their month.
    """
    first = BillingMonth.containing(occurred_at)
    last = first
    while uuid5(one_off_id, str(last)) in credits:
        last = last.next()
    if last > first:
        return ServicePeriod(first.start, last.start)
    day = occurred_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return ServicePeriod(day, day + timedelta(days=1))


def reduced_items(detail: Any) -> dict[UUID, Decimal]:
    """Return the items that a discount, maximum or credit reduces, each with its part; empty for other items."""
    parts = detail.get("applied_to") or ()
    return {UUID(part["item"]): Decimal(part["amount"]) for part in parts}


def span_of_reduced(detail: Any, periods: Mapping[UUID, ServicePeriod]) -> ServicePeriod | None:
    """Return the time from the first to the last item that a discount, maximum or credit reduces; None without items.

    For one line of text: revenue recognition shares the amount out over the items.
    """
    reduced = [periods[item] for item in reduced_items(detail) if item in periods]
    if not reduced:
        return None
    return ServicePeriod(min(period.start for period in reduced), max(period.end for period in reduced))


class SoldItem(SuppliedItem, Protocol):
    """An item, and when a one-off item was supplied.

    Attributes:
        credit_ids: Credits of the organization, if they may be those of a reservation.
    """

    @property
    def id(self) -> UUID: ...
    @property
    def one_off_item_id(self) -> UUID | None: ...
    @property
    def occurred_at(self) -> datetime | None: ...
    @property
    def credit_ids(self) -> Collection[UUID] | None: ...


def service_periods(items: Collection[SoldItem], month: BillingMonth) -> dict[UUID, ServicePeriod]:
    """Return the time of each item of an invoice; a reduction has the span of what it reduces.

    Raises ValueError for a detail that can't be read.
    """
    periods = {item.id: service_period(item, month, _sold(item)) for item in items}
    spans = {item.id: span_of_reduced(item.detail, periods) for item in items if reduced_items(item.detail)}
    return periods | {id: span for id, span in spans.items() if span}


def _sold(item: SoldItem) -> ServicePeriod | None:
    if item.one_off_item_id is None or item.occurred_at is None:
        return None
    return one_off_period(item.one_off_item_id, item.occurred_at, item.credit_ids or ())
