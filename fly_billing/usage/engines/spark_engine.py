"""Adds a month's events up on Spark, per organization, meter and dimensions, as `pricing.rules.aggregations` says.

Spark reads the usage table's files itself, so events never pass through here. It is handed what is small, out of
DuckDB, and gives back a row per rollup. What is accepted, what levels are told, and the second adding-up are the same
statements for both; where DuckDB numbers totals to save memory, Spark has statements of its own (`sql_spark/`). Keeps
out: DuckDB's way (`duckdb_engine`), the session (`spark_session`).
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from fly_billing.periods import BillingMonth
from fly_billing.postgres.statements import sql, sql_spark
from fly_billing.usage.engines.duckdb_engine import PriceOf, counts_together, no_prices, register_together, set_bounds
from fly_billing.usage.usage_table import EVENTS, UsageTableVersion

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HANDED_IN = ("meters", "segments", "billed_organizations", "carried_levels")
USED = pa.schema(
    [
        *((name, pa.string()) for name in ("organization_id", "meter", "dimensions")),
        ("segment_start", pa.timestamp("us", "UTC")),
    ]
)
VARIABLES = ("month_start", "month_end", "counted_until")
SHARED = ("accepted_usage", "told_levels")
OF_ITS_OWN = ("usage_by_day", "level_time_by_day", "reduced_usage")


def path_for_spark(path: Path) -> str:
    """Write a path so that Spark reads this file and no other: it takes every path for a pattern."""
    return re.sub(r"([*?{}\[\]\\])", r"\\\1", str(path.resolve()))


class OnSpark:
    """On as many machines as `spark` has."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        for function in sql_spark("as_duckdb").split(";\n"):
            spark.sql(function)

    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        version, files = table.files(month)
        events = (
            # Only the folders below the table's own are partitions of it.
            self.spark.read.option("basePath", path_for_spark(table.path)).parquet(*map(path_for_spark, files))
            if files
            else self.spark.createDataFrame(EVENTS.empty_table())
        )
        events.createOrReplaceTempView("landed")
        self.spark.sql(sql_spark("events_by_meter" if table.may_be_shared(month) else "events_as_landed"))
        return version

    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_prices
    ) -> None:
        bounds = set_bounds(duck, month, as_of)
        for name in VARIABLES:
            self.spark.sql(f"set variable {name} = cast(:moment as timestamp)", args={"moment": str(bounds[name])})
        for name in HANDED_IN:
            self._hand_in(duck, name)
        for statement in map(sql, SHARED):
            self.spark.sql(statement)
        used = self.spark.sql(sql("used_dimensions")).toArrow().cast(USED).to_pylist() if counts_together(duck) else []
        register_together(duck, [tuple(row.values()) for row in used], price_of)
        self._hand_in(duck, "counted_together")
        for statement in map(sql_spark, OF_ITS_OWN):
            self.spark.sql(statement)
        duck.register("reduced_usage", self.spark.table("reduced_usage").toArrow())
        duck.execute(sql("make_quantities"))
        duck.execute(sql("complete_quantities"))

    def _hand_in(self, duck: duckdb.DuckDBPyConnection, name: str) -> None:
        self.spark.createDataFrame(duck.table(name).to_arrow_table()).createOrReplaceTempView(name)

    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        found = self.spark.sql(sql("sum_usage_again")).collect()
        return {(row["organization_id"], row["meter"]): (row["events"], row["quantity"]) for row in found}
