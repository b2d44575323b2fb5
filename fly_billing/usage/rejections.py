"""Unresolved rejected usage: lists it, estimates the money at stake, and records waivers.

A rejected row is unresolved until its day lands again without it, or a person waives it. A waiver covers the rows that
are unresolved at that moment, with their content and place; later rows need another one. Not here: landing (`landing`),
and the rule of the estimate (`usage.rules.rejected_amounts`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import groupby

from sqlalchemy import Connection

from fly_billing.errors import ActionableError, BillingError
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, values
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.pricing.negotiated_prices import PriceBooks
from fly_billing.pricing.price_books import open_price_books
from fly_billing.pricing.rules.prices import Price
from fly_billing.usage.rules.rejected_amounts import Estimate, PricedRows, estimate_amounts

# The number of organizations that a sentence names.
MOST_NAMED = 5
_PLACE = re.compile(r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})/(?P<path>.+):(?P<line>[0-9]{1,18})", re.DOTALL)


class NothingToWaive(ActionableError):
    """No unresolved rejected row fits."""


@dataclass(frozen=True)
class RejectedGroup:
    """The unresolved rows of one source with one reason.

    Attributes:
        source: The path of the files below their landing day's folder; a `#` stands for each number in it.
        organizations: As the rows name them, known or not.
        unnamed_rows: The rows whose organization can't be read.
        first_day, last_day: Landing days.
        landed_at: The last time that one of these landing days landed.
    """

    source: str
    reason: str
    organizations: tuple[str, ...]
    unnamed_rows: int
    rows: int
    first_day: date
    last_day: date
    landed_at: datetime
    estimate: Estimate

    @property
    def named_organizations(self) -> str:
        """The first organizations, and the number of the others: `acme, labs, 7 more`. Empty if no row names one."""
        more = len(self.organizations) - MOST_NAMED
        return ", ".join([*self.organizations[:MOST_NAMED], *([f"{more:,} more"] if more > 0 else [])])

    @property
    def sentence(self) -> str:
        """The group in words: `usage.jsonl, bad_time: 2 rows of acme, labs; estimate $0.30`."""
        return f"{self.source}, {self.details}"

    @property
    def details(self) -> str:
        """The sentence without the source."""
        rows = counted(self.rows, "row") + (f" of {named}" if (named := self.named_organizations) else "")
        return f"{self.reason}: {rows}; estimate {self.estimate.in_words()}"


@dataclass(frozen=True)
class RejectedRow:
    """An unresolved row. `line` 0 is a whole file."""

    landing_day: date
    usage_source: str
    path: str
    line: int
    reason: str
    message: str
    organization_id: str | None
    meter: str | None
    event_id: str | None
    happened_at: datetime | None
    quantity: Decimal | None


@dataclass(frozen=True)
class RowPlace:
    """The place of a rejected row."""

    landing_day: date
    path: str
    line: int

    @classmethod
    def parse(cls, text: str) -> RowPlace:
        """Parse `2026-09-15/proxy/usage.jsonl:3`. Raises ValueError."""
        if found := _PLACE.fullmatch(text):
            with suppress(ValueError):  # there is no such day
                return cls(date.fromisoformat(found["day"]), found["path"], int(found["line"]))
        raise ValueError(f"{text!r} is not the place of a row: write DAY/FILE:LINE, as `rejected --list` shows it")


@dataclass(frozen=True)
class _Quantities:
    """A row of `unresolved_quantities`."""

    usage_source: str
    reason: str
    organization_id: str | None
    meter: str | None
    dimensions: str | None
    usage_day: date
    first_landing: date
    last_landing: date
    landed_at: datetime
    rows: int
    readable: int
    quantity: Decimal
    aggregation: str | None
    price_book: str | None


def list_unresolved(
    database: BillingDatabase, month: BillingMonth | None = None, source: str | None = None
) -> list[RejectedGroup]:
    """List the unresolved rows of a month, or of all months, by source and reason.

    Args:
        source: Only those of this source of files, or of events with this CloudEvents `source`.
    """
    with database.consistent_read() as connection:
        return read_unresolved(connection, month, source)


def read_unresolved(
    connection: Connection, month: BillingMonth | None = None, source: str | None = None
) -> list[RejectedGroup]:
    """Like `list_unresolved`, in this transaction."""
    found = records(connection, _Quantities, "unresolved_quantities", source=source, **_days_of(month))
    books = open_price_books(connection) if found else PriceBooks({})
    return [_group(list(parts), books) for _, parts in groupby(found, lambda row: (row.usage_source, row.reason))]


def list_rows(
    database: BillingDatabase, month: BillingMonth | None = None, source: str | None = None
) -> list[RejectedRow]:
    """List the unresolved rows of a month, or of all months, by landing day, file and line. `source` as above."""
    return database.records(RejectedRow, "unresolved_rows", source=source, **_days_of(month))


def list_days(database: BillingDatabase) -> list[date]:
    """List the landing days with unresolved rows, ascending."""
    return database.values("days_with_rejections")


def waive(
    database: BillingDatabase,
    by: str,
    because: str,
    at: datetime,
    *,
    source: str | None = None,
    reason: str | None = None,
    row: RowPlace | None = None,
    month: BillingMonth | None = None,
) -> int:
    """Record that the rows that are unresolved now will not be billed. Returns their number.

    Args:
        by: The person who decides.
        because: Why.
        source, reason: Only the rows of this source and reason.
        row: Only this row.
        month: Only the rows of this month.

    Raises:
        NothingToWaive: No unresolved row fits.
        ActionableError: The person or the reason is missing, or nothing says which rows.
    """
    if not by.strip() or not because.strip():
        raise ActionableError("a waiver needs a person and a reason: give --by NAME and --because TEXT")
    if row is None and (source is None or reason is None):
        raise ActionableError("name the rows to waive: --source and --reason, or --row DAY/FILE:LINE")
    with database.transaction() as connection:
        lock_until_commit(connection, "land_usage")  # so that no row of a landing in progress is waived unseen
        (number,) = values(
            connection, "waive_rejections",
            because=because, waived_by=by, waived_at=at, usage_source=source, reason=reason,
            landing_day=row.landing_day if row else None, path=row.path if row else None,
            line=row.line if row else None, **_days_of(month),
        )  # fmt: skip
        if not number:
            raise NothingToWaive("no unresolved rejected row fits: `fly-billing rejected --list` shows all of them")
    return int(number)


def _days_of(month: BillingMonth | None) -> dict[str, date | None]:
    if month is None:
        return {"first": None, "until": None}
    return {"first": month.first_day, "until": month.next().first_day}


def _group(parts: Sequence[_Quantities], books: PriceBooks) -> RejectedGroup:
    priced = [(part, _price_of(part, books)) for part in parts]
    return RejectedGroup(
        source=parts[0].usage_source,
        reason=parts[0].reason,
        organizations=tuple(sorted({part.organization_id for part in parts if part.organization_id})),
        unnamed_rows=sum(part.rows for part in parts if not part.organization_id),
        rows=sum(part.rows for part in parts),
        first_day=min(part.first_landing for part in parts),
        last_day=max(part.last_landing for part in parts),
        landed_at=max(part.landed_at for part in parts),
        estimate=_estimate(priced),
    )


def _estimate(priced: Iterable[tuple[_Quantities, Price | None]]) -> Estimate:
    rows: list[PricedRows] = []
    unknown = 0
    for part, price in priced:
        rated = part.rows if part.aggregation == "count" else part.readable
        if price is None or not part.organization_id:
            rated = 0
        elif rated:
            quantity = Decimal(part.rows) if part.aggregation == "count" else part.quantity
            rows.append(PricedRows(part.organization_id, f"{part.usage_day:%Y-%m}", price, quantity))
        unknown += part.rows - rated
    return estimate_amounts(rows, unknown)


def _price_of(part: _Quantities, books: PriceBooks) -> Price | None:
    """Return the price of these rows. None if it is unknown, or if their quantities don't add up to usage."""
    if part.organization_id is None or part.price_book is None or part.meter is None or part.dimensions is None:
        return None
    if part.aggregation not in ("sum", "count"):
        return None
    given = {name: value for name, value in json.loads(part.dimensions).items() if value is not None}
    moment = datetime.combine(part.usage_day, time(), UTC)
    try:
        return books.of(part.organization_id, part.price_book).for_usage(part.meter, given, moment)
    except (BillingError, *VALUE_ERRORS):
        return None
