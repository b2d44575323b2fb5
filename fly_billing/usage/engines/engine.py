"""What adds a month's events up: DuckDB on this machine, or Spark on many. Which one is a setting.

Both say the same to the last digit. Keeps out: how either does it (`duckdb_engine`, `spark_engine`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Protocol

import duckdb

from fly_billing.periods import BillingMonth
from fly_billing.usage.engines.duckdb_engine import PriceOf, aggregate, no_prices, recount
from fly_billing.usage.usage_table import UsageTableVersion


class RollupEngine(Protocol):
    """Adds up where the events are. What is small is in `duck`: terms, carried levels, and what comes out."""

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        """Open the month's events. Returns the table version that all that follows is made from.

        `table` was compared with Postgres (`usage.landing_ledger`). Raises UsageTableMismatch where a file can't be
        read.
        """

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_prices
    ) -> None:
        """Make the table `quantities` in `duck`, as `duckdb_engine.aggregate` does."""

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        """Return (organization, meter) -> (events, quantity), added up another way, for the comparison."""


class OnDuckDB:
    """On this machine, within the memory that `usage.usage_table` allows and in files beyond that."""

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        return table.open_view(duck, "events", month, by_meter=True)

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_prices
    ) -> None:
        aggregate(duck, month, as_of, price_of)

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        return recount(duck)


@contextmanager
def open_engine(name: str, spark_master: str) -> Iterator[RollupEngine]:
    """Open `duckdb` or `spark`. Nothing of Spark is imported, or has to be installed, unless it is asked for."""
    if name != "spark":
        yield OnDuckDB()
        return
    from fly_billing.usage.engines.spark_engine import OnSpark
    from fly_billing.usage.engines.spark_session import open_spark

    with open_spark(spark_master) as spark:
        yield OnSpark(spark)
