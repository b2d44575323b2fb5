"""Baselines for the same month: the floor, two common approaches, and everything inside Postgres.

Each is as simple as possible: no validation, no allowance, no tiers, no history, no explanation; the floor does not
even detect duplicates. Not here: our own way (`month_stages`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow.parquet as pq
from sqlalchemy import Connection, create_engine, text

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


def pandas_and_a_loop(order: Order) -> Facts:
    """Use pandas well: groupby over the files in memory, rollups by to_sql, and a query per organization.

    Nothing is landed: the events are gone when the process ends.
    """
    usage = _frame(order)
    rollups = usage.groupby(["subject", "type", "data"], as_index=False).agg(
        quantity=("quantity", "sum"), events=("quantity", "size")
    )
    with create_engine(order.billing.engine.url).begin() as connection:
        _make_people(connection)
        rollups.to_sql("rollups", connection, schema="people", index=False, chunksize=10_000)
        connection.execute(text("create index on people.rollups (subject)"))
        names = sorted(set(rollups["subject"]))
        for name in names:
            found = connection.execute(
                text("select type, data, quantity from people.rollups where subject = :name"), {"name": name}
            )
            _invoice(connection, name, found.all())
    return {"invoices": len(names)}


def to_sql_and_queries(order: Order) -> Facts:
    """Use pandas plainly: events into a table by to_sql; for each organization read_sql, groupby, inserts."""
    usage = _frame(order)
    with create_engine(order.billing.engine.url).begin() as connection:
        _make_people(connection)
        usage.to_sql("events", connection, schema="people", index=False, chunksize=10_000)
        connection.execute(text("create index on people.events (subject)"))
        names = sorted(set(usage["subject"]))
        query = text("select type, data, quantity from people.events where subject = :name")
        for name in names:
            events = pd.read_sql(query, connection, params={"name": name})
            rollups = events.groupby(["type", "data"], as_index=False)["quantity"].sum()
            _invoice(connection, name, list(rollups.itertuples(index=False)))
    return {"invoices": len(names)}


def _frame(order: Order) -> pd.DataFrame:
    frames = [pq.read_table(path).to_pandas() for path in sorted(order.sample.landing.rglob("*.parquet"))]
    usage: pd.DataFrame = pd.concat(frames, ignore_index=True).drop_duplicates(["source", "id"])
    usage["quantity"] = usage["quantity"].astype(float)
    return usage


def _make_people(connection: Connection) -> None:
    connection.execute(text("drop schema if exists people cascade; create schema people"))
    connection.execute(text("create table people.invoices (subject text, total numeric)"))
    connection.execute(text("create table people.items (subject text, name text, quantity numeric, amount numeric)"))


def _invoice(connection: Connection, name: str, rollups: Sequence[Any]) -> None:
    """Insert each item at one price for everything, and the total: floats, rounded line by line."""
    total = 0.0
    for kind, data, quantity in rollups:
        amount = round(quantity * 0.01, 2)
        total += amount
        connection.execute(
            text("insert into people.items values (:subject, :name, :quantity, :amount)"),
            {"subject": name, "name": kind + data, "quantity": quantity, "amount": amount},
        )
    connection.execute(text("insert into people.invoices values (:name, :total)"), {"name": name, "total": total})


def inside_postgres(order: Order) -> Facts:
    """Do everything inside Postgres: events by COPY with their key, then group by, then amounts by one join."""
    files = [str(path) for path in sorted(order.sample.landing.rglob("*.parquet"))]
    csv = Path(order.work) / "events.csv"
    with open_duckdb() as duck, order.billing.transaction() as connection:
        duck.execute(f"copy (from read_parquet($files)) to '{csv}'", {"files": files})
        driver = driver_connection(connection)
        driver.execute(
            "drop schema if exists inside cascade; create schema inside;"
            " create table inside.landed (id text, source text, type text, subject text, time timestamptz,"
            " quantity numeric, data jsonb);"
            " create table inside.events (like inside.landed, primary key (source, id));"
        )
        _copy(driver, "copy inside.landed from stdin (format csv, header)", csv)
        driver.execute("insert into inside.events select * from inside.landed on conflict do nothing")
        driver.execute(
            "create table inside.rollups as select subject, type, data, sum(quantity) as quantity, count(*) as events"
            " from inside.events group by subject, type, data;"
            " create table inside.items as select subject, type, data, quantity, quantity * 0.01 as amount"
            " from inside.rollups;"
            " create table inside.invoices as select subject, round(sum(amount), 2) as total from inside.items"
            " group by subject"
        )
    csv.unlink()
    return {}


STAGES = {
    stage.__name__: stage
    for stage in (results_for_floor, floor, pandas_and_a_loop, to_sql_and_queries, inside_postgres)
}
