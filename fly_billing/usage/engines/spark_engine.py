"""Aggregates a month's events on Spark, per organization, meter and dimensions (`pricing.rules.aggregations`).

Spark reads the files of the usage table itself: events never pass through this process. Spark gets the small tables
from DuckDB and returns one row per rollup. Both engines share the statements for accepted events, levels and the
second aggregation. Where DuckDB saves memory by numbering totals, Spark has its own statements (`sql_spark/`).

Not here: the DuckDB engine (`duckdb_engine`), the Spark session (`spark_session`).
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
from fly_billing.settings import SettingsError
from fly_billing.usage.engines.duckdb_engine import (
    PriceOf,
    has_non_additive_meters,
    no_price,
    register_aggregation_groups,
    set_bounds,
)
from fly_billing.usage.engines.spark_errors import actionable_spark_errors
from fly_billing.usage.usage_table import EVENTS, UsageTableVersion

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

INPUT_TABLES = ("meters", "segments", "billed_organizations", "carried_levels")
USED = pa.schema(
    [
        *((name, pa.string()) for name in ("organization_id", "meter", "dimensions")),
        ("segment_start", pa.timestamp("us", "UTC")),
    ]
)
VARIABLES = ("month_start", "month_end", "counted_until")
SHARED = ("accepted_usage", "level_readings")
SPARK_STATEMENTS = ("usage_by_day", "level_time_by_day", "reduced_usage")


def path_for_spark(path: Path) -> str:
    """Escape a path so that Spark, which reads every path as a pattern, opens only this file."""
    return re.sub(r"([*?{}\[\]\\])", r"\\\1", str(path.resolve()))


class SparkEngine:
    """Runs on the machines of the Spark session."""

    def __init__(self, spark: SparkSession) -> None:
        self.spark = spark
        for function in sql_spark("as_duckdb").split(";\n"):
            spark.sql(function)

    @actionable_spark_errors()
    def read(self, duck: duckdb.DuckDBPyConnection, table: UsageTableVersion, month: BillingMonth) -> int:
        is_on_this_machine = (self.spark.sparkContext.master or "").startswith("local")
        if table.usage_table.is_in_store and not is_on_this_machine:
            raise SettingsError(
                "a Spark cluster can't read the usage table in an object store, whose files are copied to this machine:"
                " set SPARK_MASTER=local[*], FLY_BILLING_ROLLUP_ENGINE=duckdb, or a folder that all machines share"
            )
        version, files = table.files(month)
        events = (
            # Limits partition columns to the folders inside the table.
            self.spark.read.option("basePath", path_for_spark(table.usage_table.local_folder)).parquet(
                *map(path_for_spark, files)
            )
            if files
            else self.spark.createDataFrame(EVENTS.empty_table())
        )
        events.createOrReplaceTempView("landed")
        self.spark.sql(sql_spark("events_by_meter" if table.may_be_shared(month) else "events_as_landed"))
        return version

    @actionable_spark_errors()
    def aggregate(
        self, duck: duckdb.DuckDBPyConnection, month: BillingMonth, as_of: datetime, price_of: PriceOf = no_price
    ) -> None:
        bounds = set_bounds(duck, month, as_of)
        for name in VARIABLES:
            self.spark.sql(f"set variable {name} = cast(:moment as timestamp)", args={"moment": str(bounds[name])})
        for name in INPUT_TABLES:
            self._send_table(duck, name)
        for statement in map(sql, SHARED):
            self.spark.sql(statement)
        used = (
            self.spark.sql(sql("used_dimensions")).toArrow().cast(USED).to_pylist()
            if has_non_additive_meters(duck)
            else []
        )
        register_aggregation_groups(duck, [tuple(row.values()) for row in used], price_of)
        self._send_table(duck, "aggregation_groups")
        for statement in map(sql_spark, SPARK_STATEMENTS):
            self.spark.sql(statement)
        duck.register("reduced_usage", self.spark.table("reduced_usage").toArrow())
        duck.execute(sql("create_quantities"))
        duck.execute(sql("complete_quantities"))

    def _send_table(self, duck: duckdb.DuckDBPyConnection, name: str) -> None:
        self.spark.createDataFrame(duck.table(name).to_arrow_table()).createOrReplaceTempView(name)

    @actionable_spark_errors()
    def recount(self, duck: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], tuple[int, Decimal]]:
        found = self.spark.sql(sql("recount_usage")).collect()
        return {(organization, meter): (events, quantity) for organization, meter, events, quantity in found}
