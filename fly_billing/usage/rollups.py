"""Rolls usage up: turns events of the usage table into exact quantities per organization, meter and dimensions.

A snapshot is everything that an organization used in a month, identified by its content. So rolling up unchanged usage
again changes nothing, and a snapshot stays forever once a finalized invoice bills it.

Not here: the aggregations (`pricing.rules.aggregations`), how events are aggregated (`aggregation`), prices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import duckdb
from sqlalchemy import Connection

from fly_billing.code_version import code_version
from fly_billing.errors import BillingError
from fly_billing.fingerprints import fingerprint_of
from fly_billing.money import counted, plain
from fly_billing.monthly_ids import month_number
from fly_billing.periods import BillingMonth
from fly_billing.postgres.copy_from_duckdb import copy_table
from fly_billing.postgres.database import (
    BillingDatabase,
    Row,
    lock_groups_until_commit,
    lock_until_commit,
    records,
    rows,
    values,
)
from fly_billing.postgres.isolation import isolate_failures, reason_of
from fly_billing.postgres.statements import sql
from fly_billing.pricing.price_books import open_price_books
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.usage.aggregation import PriceOf, aggregate, recount, register_terms
from fly_billing.usage.landing_ledger import open_against_ledger
from fly_billing.usage.opening_levels import load_opening_levels
from fly_billing.usage.unchanged_usage import confirm_unchanged, find_levels, find_unchanged
from fly_billing.usage.usage_table import UsageTable, open_duckdb

ROLLUP_COLUMNS = (
    "id", "snapshot_id", "meter", "dimensions", "segment_start", "segment_end", "quantity", "events", "daily",
)  # fmt: skip
# Limits the organizations whose snapshots are built at once.
ORGANIZATIONS_AT_ONCE = 2000
SNAPSHOT_COLUMNS = ("id", "organization_id", "fingerprint", "events")


@dataclass(frozen=True)
class RollupFailure:
    """An organization that can't be billed for the month, because its `usage_rollups` differ from its usage.

    Attributes:
        reason: The difference, and what to do.
    """

    organization_id: str
    reason: str


@dataclass(frozen=True)
class RollupReport:
    """The outcome of a roll-up.

    Attributes:
        groups: The billing groups that were rolled up.
        usage_table_version: The version of the usage table that all rollups are from, or a later one.
        organizations, events, rollups: Totals of what was rolled up, including those of `failures`.
        changed: The number of organizations with a new snapshot.
        failures: The organizations for which nothing was written.
        unchanged: The number of organizations that were not rolled up again, because nothing of theirs had changed.
    """

    groups: Sequence[str]
    usage_table_version: int
    organizations: int
    events: int
    rollups: int
    changed: int
    failures: Sequence[RollupFailure] = ()
    unchanged: int = 0

    @property
    def sentence(self) -> str:
        return (
            f"{counted(self.events, 'event')} of {counted(self.organizations, 'organization')} ->"
            f" {counted(self.rollups, 'rollup')} ({counted(self.changed, 'organization')} changed,"
            f" {self.unchanged} left as they are), table version {self.usage_table_version}"
        )


def roll_up(
    database: BillingDatabase,
    usage_table: UsageTable,
    month: BillingMonth,
    groups: Sequence[str],
    now: datetime,
    *,
    from_scratch: bool = False,
    is_open: bool = False,
    version: int | None = None,
) -> RollupReport:
    """Roll up the month for all organizations of these billing groups. An unfinished month is rolled up to `now`.

    Organizations whose usage and rules are those of their last roll-up are left as they are, while the month lasts. Not
    those with levels, whose quantities grow with time.

    Before the commit, the rollups in Postgres are compared with a second aggregation of the events. If they differ for
    an organization, it keeps its earlier snapshot, gets an entry in `rollup_failures`, and is not billed until it is
    fixed. The others are rolled up.

    Args:
        from_scratch: Roll up all organizations, as after the end of the month.
        is_open: Leave unchanged organizations as they are after the end of the month, too: nothing is closed yet.
        version: The version of the usage table; the last one by default, and if another run has read a later one.

    Raises:
        UsageTableMismatch: The usage table is not what the landings wrote.
    """
    with open_duckdb(usage_table.memory_mb) as duck, database.transaction() as connection:
        lock_until_commit(connection, f"usage_rollups {month}", is_shared=True)
        lock_groups_until_commit(connection, f"usage_rollups {month}", groups)
        table = open_against_ledger(connection, usage_table)
        organizations = records(
            connection, _Organization, "organizations_of_groups",
            groups=list(groups), month=month.first_day, month_end=month.end,
        )  # fmt: skip
        if version is not None and not _are_rolled_up_later(connection, month, organizations, version):
            table = table.opened_at(version)
        books = _books_of(connection, organizations)
        terms = _read_terms(connection, month)
        rules = _rules_of(terms, books)
        unchanged: set[str] = set()
        if not from_scratch and (now < month.end or is_open):
            unchanged = find_unchanged(connection, duck, table, month, rules)
        if unchanged and terms.level_meters:
            _register(duck, month, terms, books)
            load_opening_levels(duck, database, table, month)
            unchanged -= find_levels(connection, duck, table, month, terms.level_meters)
        if unchanged and len(unchanged) == len(books):
            confirm_unchanged(connection, month, rules, unchanged, table.version, now)
            return RollupReport(groups, table.version, 0, 0, 0, 0, [], len(unchanged))
        books = {name: book for name, book in books.items() if name not in unchanged}
        version = table.open_view(duck, "events", month, by_meter=True)
        names = _register(duck, month, terms, books)
        load_opening_levels(duck, database, table, month)
        aggregate(duck, month, now, _price_of(books))
        (random,) = values(connection, "has_random_ids", month=month.first_day)
        _snapshot(duck, month, has_random_ids=random)
        _stage(connection, duck)
        changed, failures = _write_each(connection, names, recount(duck), _Snapshot(month, version, now, rules))
        confirm_unchanged(connection, month, rules, unchanged, table.version, now)
        ((count, events),) = duck.execute("select count(*), sum(events)::bigint from snapshots").fetchall()
        ((rollups,),) = duck.execute("select count(*) from quantities").fetchall()
    return RollupReport(groups, version, count, events or 0, rollups, changed, failures, len(unchanged))


@dataclass(frozen=True)
class _Snapshot:
    """A roll-up: its month, version of the usage table and time, and the rules of each organization."""

    month: BillingMonth
    version: int
    now: datetime
    rules: Mapping[str, str]


@dataclass(frozen=True)
class _Organization:
    """An organization to roll up, with the name of its price book."""

    id: str
    price_book: str


@dataclass(frozen=True, slots=True)
class _RolledUpMeter:
    """A meter's current rollups of an organization and month, summed. `quantity_by_day` is the sum of their days."""

    organization_id: str
    meter: str
    events: int
    quantity: Decimal
    quantity_by_day: Decimal


@dataclass(frozen=True, slots=True)
class _AddedSnapshot:
    """A snapshot that was written. `is_new` is False if it existed before."""

    organization_id: str
    is_new: bool


Used = Mapping[tuple[str, str], tuple[int, Decimal]]


def _are_rolled_up_later(
    connection: Connection, month: BillingMonth, organizations: Sequence[_Organization], version: int
) -> bool:
    """Return True if another run rolled up or confirmed a later version while this one waited for its locks.

    Going back would lose usage that is rolled up, and the month's confirmation would still name the later version.
    """
    names = [organization.id for organization in organizations]
    (is_later,) = values(
        connection, "are_rolled_up_later", month=month.first_day, organizations=names, lake_version=version
    )
    return bool(is_later)


def _books_of(connection: Connection, organizations: Sequence[_Organization]) -> dict[str, PriceBook]:
    """Return the price book that applies to each organization, with its negotiated prices."""
    books = open_price_books(connection)
    found = {}
    for organization in organizations:
        try:
            found[organization.id] = books.of(organization.id, organization.price_book)
        except BillingError:  # billing the organization reports it
            found[organization.id] = PriceBook([])
    return found


def _price_of(books: Mapping[str, PriceBook]) -> PriceOf:
    """Return a function that finds the key of the price that applies to an organization's usage."""

    def price_of(organization: str, meter: str, dimensions: Mapping[str, str], moment: datetime) -> str | None:
        try:
            return books[organization].for_usage(meter, dimensions, moment).key
        except BillingError:  # billing the organization reports it
            return None

    return price_of


@dataclass(frozen=True)
class _Terms:
    """What decides, besides prices, how events become quantities: the meters and the segments of the month."""

    meters: Sequence[Row]
    segments: Sequence[Row]

    @property
    def level_meters(self) -> list[str]:
        """The meters whose quantities grow with time, also without events."""
        return [meter["key"] for meter in self.meters if meter["aggregation"] == "time_weighted"]


def _read_terms(connection: Connection, month: BillingMonth) -> _Terms:
    segments = rows(connection, "price_segments", month_start=month.start, month_end=month.end)
    return _Terms(rows(connection, "meters"), segments)


def _rules_of(terms: _Terms, books: Mapping[str, PriceBook]) -> dict[str, str]:
    """Return the fingerprint of everything but the events that decides on the rollups of each organization."""
    all_have = fingerprint_of((code_version(), terms))
    return {name: fingerprint_of((all_have, book.fingerprint)) for name, book in books.items()}


def _snapshot(duck: duckdb.DuckDBPyConnection, month: BillingMonth, *, has_random_ids: bool) -> None:
    duck.execute("set variable month = $month", {"month": str(month)})
    first_digits = "" if has_random_ids else f"{month_number(month):04x}"
    duck.execute("set variable first_digits = $digits", {"digits": first_digits})
    duck.execute(sql("create_snapshots"))
    names = [name for (name,) in duck.execute("select id from billed_organizations order by id").fetchall()]
    for start in range(0, len(names), ORGANIZATIONS_AT_ONCE):
        block = names[start : start + ORGANIZATIONS_AT_ONCE]
        duck.execute(sql("snapshot_usage"), {"first": block[0], "last": block[-1]})


def _write_each(
    connection: Connection, names: Sequence[str], used: Used, snapshot: _Snapshot
) -> tuple[int, list[RollupFailure]]:
    """Write the rollups of these organizations, except those whose rollups would differ from their usage."""
    failed: dict[str, str] = {}
    while True:
        savepoint = connection.begin_nested()
        left = [name for name in names if name not in failed]
        done, refused = isolate_failures(connection, left, lambda some: _write(connection, some, snapshot))
        failed |= {name: f"the database rejects the change: {reason_of(problem)}" for name, problem in refused}
        wrong = _differences(connection, [name for some, _ in done for name in some], used, snapshot.month)
        if not wrong:
            savepoint.commit()
            break
        savepoint.rollback()
        failed |= wrong
    # A difference says more than the database's reason.
    failed |= _differences(connection, list(failed), used, snapshot.month)
    rows(connection, "delete_unused_snapshots", month=snapshot.month.first_day, organizations=list(snapshot.rules))
    return sum(changed for _, changed in done), _record(connection, names, failed, snapshot)


def _record(
    connection: Connection, names: Sequence[str], failed: Mapping[str, str], snapshot: _Snapshot
) -> list[RollupFailure]:
    month = snapshot.month
    well = [name for name in names if name not in failed]
    rows(connection, "delete_rollup_failures", month=month.first_day, organizations=well)
    rows(connection, "keep_versions", month=month.first_day, organizations=list(failed))
    failures = [
        RollupFailure(
            name,
            f"usage_rollups of {name} {month} was changed outside of fly_billing: {failed[name]}. This usage is not"
            " billed until it is fixed. Ask the owner of the tables to restore the rows from a backup, then run"
            f" `fly-billing bill {month}`",
        )
        for name in sorted(failed)
    ]
    for failure in failures:
        rows(
            connection, "record_rollup_failure",
            organization_id=failure.organization_id, month=month.first_day, reason=failure.reason, now=snapshot.now,
        )  # fmt: skip
    return failures


def _differences(connection: Connection, names: Sequence[str], used: Used, month: BillingMonth) -> dict[str, str]:
    """Return the differences by organization. Compares events, quantities, and the sums of the daily quantities."""
    found = records(connection, _RolledUpMeter, "rolled_up_usage", month=month.first_day, organizations=list(names))
    rolled_up = {(row.organization_id, row.meter): row for row in found}
    looked_at = set(names)
    different: dict[str, list[str]] = {}
    for organization, meter in sorted(rolled_up.keys() | {key for key in used if key[0] in looked_at}):
        there, row = used.get((organization, meter)), rolled_up.get((organization, meter))
        events, quantity = there or (0, Decimal(0))
        here = row and (row.events, row.quantity, row.quantity_by_day)
        if there is None or here != (events, quantity, quantity):
            different.setdefault(organization, []).append(_difference(meter, events, quantity, row))
    return {organization: ", and ".join(texts) for organization, texts in different.items()}


def _difference(meter: str, events: int, quantity: Decimal, row: _RolledUpMeter | None) -> str:
    there = "none" if row is None else f"{plain(row.quantity)} from {counted(row.events, 'event')}"
    if row is not None and row.quantity_by_day != row.quantity:
        there += f" ({plain(row.quantity_by_day)} as the sum of its days)"
    here = f"{plain(quantity)} from {counted(events, 'event')}"
    return f"{meter} is {here} in the usage table, but {there} in usage_rollups"


def _register(
    duck: duckdb.DuckDBPyConnection, month: BillingMonth, terms: _Terms, books: Mapping[str, PriceBook]
) -> list[str]:
    """Register the terms in DuckDB. Returns the organizations to roll up."""
    cuts = {
        name: {meter: {edge for edge in some if month.start < edge < month.end} for meter, some in edges.items()}
        for name, book in books.items()
        if (edges := book.negotiated_edges())
    }
    register_terms(duck, terms.meters, terms.segments, list(books), cuts)
    return list(books)


def _stage(connection: Connection, duck: duckdb.DuckDBPyConnection) -> None:
    rows(connection, "create_rolled_up_tables")
    copy_table(duck, "snapshots", connection, "rolled_up_snapshots", SNAPSHOT_COLUMNS)
    copy_table(duck, "rollups", connection, "rolled_up_rollups", ROLLUP_COLUMNS)


def _write(connection: Connection, organizations: Sequence[str], snapshot: _Snapshot) -> int:
    """Write the snapshots of these organizations. Returns the number of new ones."""
    whose = {"organizations": list(organizations)}
    month = snapshot.month.first_day
    rows(connection, "retire_changed_snapshots", month=month, **whose)
    added = records(
        connection, _AddedSnapshot, "add_snapshots",
        month=month, lake_version=snapshot.version, now=snapshot.now,
        rules=[snapshot.rules[name] for name in organizations], **whose,
    )  # fmt: skip
    rows(connection, "add_rollups", **whose)
    return sum(snapshot.is_new for snapshot in added)
