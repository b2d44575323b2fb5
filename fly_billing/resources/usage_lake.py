"""The usage lake: a Delta table of every accepted usage event, partitioned by usage month and landing day.

DuckDB reads it through the table's file list. A table version never changes, so what was rolled up from a version can
be rolled up again. Keeps out: file formats (`landing_files`), Postgres (`landing`), prices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import gettempdir

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.statements import sql

# Quantities have up to 15 decimals; a sum of them has room for 23 digits before the point.
QUANTITY = pa.decimal128(38, 15)
EVENTS = pa.schema(
    [
        pa.field("usage_month", pa.string(), nullable=False),
        pa.field("landing_day", pa.date32(), nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("meter", pa.string(), nullable=False),
        pa.field("organization_id", pa.string(), nullable=False),
        pa.field("time", pa.timestamp("us", "UTC"), nullable=False),
        pa.field("quantity", QUANTITY, nullable=False),
        pa.field("dimensions", pa.string(), nullable=False),
        pa.field("data", pa.string()),
        pa.field("is_duplicate", pa.bool_(), nullable=False),
    ]
)
PARTITIONS = ["usage_month", "landing_day"]


# What DuckDB may hold in memory before it goes on in files of the system's temporary folder: a month's size is not ours
# to know, that of the machine is.
MEMORY = "1500MB"


def open_duckdb() -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB whose clock is UTC, whatever the machine's zone is, with the macro `utc(moment)`.

    `utc` gives the same moment as a timestamp without a zone: its calendar parts take a quarter of the time, or less.
    """
    connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": f"{gettempdir()}/fly_billing-duckdb"})
    connection.execute("set TimeZone = 'UTC'")
    # It keeps what a statement reads twice, here all events of a month: to read them again costs half of that at most.
    connection.execute("set disabled_optimizers = 'common_subplan'")
    connection.execute("create temp macro utc(moment) as make_timestamp(epoch_us(moment))")
    return connection


@dataclass(frozen=True)
class UsageLake:
    """The Delta table at `path`. Duplicates are kept in it, marked, so that none can be lost when a day lands again."""

    path: Path

    def create(self) -> None:
        """Make the empty table where there is none (version 0)."""
        if not self.exists():
            self.path.mkdir(parents=True, exist_ok=True)
            DeltaTable.create(str(self.path), EVENTS, partition_by=PARTITIONS, mode="ignore")

    def exists(self) -> bool:
        return DeltaTable.is_deltatable(str(self.path))

    def table(self, version: int | None = None) -> DeltaTable:
        self.create()
        return DeltaTable(str(self.path), version=version)

    def version(self) -> int:
        return self.table().version()

    def replace_days(self, days: Sequence[date], events: pa.RecordBatchReader) -> int:
        """Make `events` the whole content of these landing days, in one atomic commit. Returns the new version."""
        self.create()
        listed = ", ".join(f"'{day.isoformat()}'" for day in days)
        write_deltalake(
            str(self.path),
            events,
            mode="overwrite",
            predicate=f"landing_day in ({listed})",
            partition_by=PARTITIONS,
        )
        return self.version()

    def open_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        view: str,
        month: BillingMonth | None = None,
        days: Sequence[date] = (),
        version: int | None = None,
        since: date | None = None,
    ) -> int:
        """Make `view` in `connection`: that month's events (or all), of those landing days (or all), landed `since`.

        Returns the table version read. An empty selection gives an empty view.
        """
        read, files = self.files(month, days, version, since)
        relation = (
            connection.read_parquet(files, hive_partitioning=True)
            if files
            else connection.from_arrow(EVENTS.empty_table())
        )
        # The partition columns come from the folder names, where DuckDB guesses their types.
        typed = relation.project("* replace (usage_month::varchar as usage_month, landing_day::date as landing_day)")
        typed.create_view(view, replace=True)
        return read

    def files(
        self,
        month: BillingMonth | None = None,
        days: Sequence[date] = (),
        version: int | None = None,
        since: date | None = None,
    ) -> tuple[int, list[str]]:
        """Return the table version, and its Parquet files of that month, those landing days, landed `since`."""
        table = self.table(version)
        filters: list[tuple[str, str, str | list[date]]] = [("usage_month", "=", str(month))] if month else []
        if days:
            filters.append(("landing_day", "in", list(days)))
        if since:
            filters.append(("landing_day", ">=", since.isoformat()))
        return table.version(), table.file_uris(file_pruning_predicate=filters or None)


def count_by_day(lake: UsageLake, days: Sequence[date]) -> dict[date, tuple[int, int]]:
    """Count what the table holds per landing day: (accepted, duplicate)."""
    with open_duckdb() as duck:
        lake.open_view(duck, "events", days=days)
        found = duck.execute(sql("count_lake_by_day"), {"days": list(days)}).fetchall()
    return {day: (accepted, duplicate) for day, accepted, duplicate in found}
