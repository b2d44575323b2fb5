"""The bare floor of a month: the least work that moves the same bytes.

It looks at no row, detects no duplicates, calculates nothing and writes into tables without keys. So it says what the
machine can do, not what billing can cost. Not here: our own way (`month_stages`) and the SQL month.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from fly_billing.postgres.database import driver_connection
from fly_billing.usage.usage_table import open_duckdb
from tests.bench.month_stages import Facts, Order
from tests.bench.sample_of_size import MONTH

BLOCK = 1 << 20
_INVOICES = f"(select id from invoices where month = '{MONTH.first_day}')"  # noqa: S608
OF_THE_MONTH = {
    "invoices": f"id in {_INVOICES}",
    "invoice_items": f"invoice_id in {_INVOICES}",
    "invoice_item_rollups": f"invoice_id in {_INVOICES}",
}


def results_for_floor(order: Order) -> Facts:
    """Write our invoices, items and links to files, because calculating them is not part of the floor."""
    with order.billing.transaction() as connection:
        driver = driver_connection(connection)
        for table, condition in OF_THE_MONTH.items():
            statement = f"copy (select * from {table} where {condition}) to stdout"  # noqa: S608
            with (Path(order.work) / f"{table}.copy").open("wb") as file, driver.cursor().copy(statement) as out:
                for part in out:
                    file.write(part)
    return {}


def floor(order: Order) -> Facts:
    """Run only the least work: files -> Parquet, Parquet -> sums, and COPY of rollups, invoices, items and links.

    The tables have no key, no index, no constraint, no trigger.
    """
    work = Path(order.work)
    files = [str(path) for path in sorted(order.sample.landing.rglob("*.parquet"))]
    with open_duckdb() as duck, order.billing.transaction() as connection:
        duck.execute(
            f"copy (select * replace (quantity::decimal(18, 6) as quantity) from read_parquet($files))"  # noqa: S608
            f" to '{work}/landed.parquet' (format parquet)",
            {"files": files},
        )
        duck.execute(
            f"copy (select subject, type, data, sum(quantity) as quantity, count(*) as events"  # noqa: S608
            f" from '{work}/landed.parquet' group by all) to '{work}/rollups.csv'"
        )
        driver = driver_connection(connection)
        driver.execute("create temp table rollups (subject text, type text, data jsonb, quantity numeric, events int)")
        _copy(driver, "copy rollups from stdin (format csv, header)", work / "rollups.csv")
        for table in OF_THE_MONTH:
            driver.execute(f"create temp table bare_{table} (like {table})")
            _copy(driver, f"copy bare_{table} from stdin", work / f"{table}.copy")
    return {}


def _copy(driver: psycopg.Connection[Any], statement: str, path: Path) -> None:
    with path.open("rb") as file, driver.cursor() as cursor, cursor.copy(statement) as copy:
        while block := file.read(BLOCK):
            copy.write(block)


STAGES = {stage.__name__: stage for stage in (results_for_floor, floor)}
