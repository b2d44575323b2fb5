"""The engine that aggregates a month's events: DuckDB on this machine, or Spark on many. A setting chooses it.

Both give exactly the same quantities. Not here: the engines themselves (`duckdb_engine`, `spark_engine`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import duckdb

from fly_billing.periods import BillingMonth
from fly_billing.usage.engines.duckdb_engine import PriceOf, aggregate, no_price, recount
from fly_billing.usage.usage_table import UsageTableVersion


class RollupEngine(Protocol):
    """Aggregates where the events are. `duck` has the small tables: terms, opening levels and results."""

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        """Open the month's events. Returns the version of the usage table.

        Args:
            table: A table that was compared with Postgres (`usage.landing_ledger`).

        Raises:
            UsageTableMismatch: A file can't be read.
        """

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_price
    ) -> None:
        """Create the table `quantities` in `duck`, as `duckdb_engine.aggregate` does."""

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        """Aggregate again by a simpler method, to compare. Returns (events, quantity) by (organization, meter)."""


class DuckDBEngine:
    """Runs on this machine, within DuckDB's memory limit and with temporary files beyond it."""

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        return table.open_view(duck, "events", month, by_meter=True)

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_price
    ) -> None:
        aggregate(duck, month, as_of, price_of)

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        return recount(duck)


@contextmanager
def open_engine(name: str, spark_master: str) -> Iterator[RollupEngine]:
    """Open the engine `duckdb` or `spark`. Only `spark` imports pyspark, which may not be installed."""
    if name != "spark":
        yield DuckDBEngine()
        return
    from fly_billing.usage.engines.spark_engine import SparkEngine
    from fly_billing.usage.engines.spark_session import open_spark

    with open_spark(spark_master) as spark:
        yield SparkEngine(spark)
