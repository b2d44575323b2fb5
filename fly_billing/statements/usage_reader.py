"""Reads the quantities behind a month's items, by day and by app and region, as the statement splits their amounts.

Not here: the amounts (`statements.rules.spend`), and single events (`statements.billed_events`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.round_trips import round_trip


@dataclass(frozen=True)
class UsageOfPlace:
    """The usage of an item with one app and region; None if the meter has no such dimension.

    Attributes:
        others: The number of apps and regions that this row adds up; 0 for a single one.
    """

    item_id: UUID
    app: str | None
    region: str | None
    quantity: Decimal
    others: int = 0


@dataclass(frozen=True)
class UsageOfDay:
    """The usage of an item on one day of the month, counted from 1; None for usage without days."""

    item_id: UUID
    day: int | None
    quantity: Decimal


@dataclass(frozen=True)
class UsageQuantities:
    """The usage of some items, by item. An item without usage is left out.

    Attributes:
        by_place: The largest first; the last row may add up all others.
    """

    by_place: Mapping[UUID, Sequence[UsageOfPlace]]
    by_day: Mapping[UUID, Sequence[UsageOfDay]]


def read_quantities(database: BillingDatabase, items: Sequence[UUID], most_places: int) -> UsageQuantities:
    """Read the usage that these items bill. Of each item, at most `most_places` apps and regions are listed."""
    with database.consistent_read() as connection, round_trip(connection) as trip:
        places = trip.records(UsageOfPlace, "usage_of_items", items=list(items), most=most_places)
        days = trip.records(UsageOfDay, "daily_usage_of_items", items=list(items))
    return UsageQuantities(_by_item(places.all()), _by_item(days.all()))


Usage = TypeVar("Usage", UsageOfPlace, UsageOfDay)


def _by_item(found: Iterable[Usage]) -> dict[UUID, list[Usage]]:
    grouped: defaultdict[UUID, list[Usage]] = defaultdict(list)
    for each in found:
        grouped[each.item_id].append(each)
    return dict(grouped)
