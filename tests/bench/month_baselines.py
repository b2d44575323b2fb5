"""What the same month costs otherwise: the floor, what people write instead, and everything inside Postgres.

Each is as simple as it can be: no check of a row, no duplicates, no history, no allowance, no explanation. They come to
the same quantities where no event is sent twice. Keeps out: our own way (`month_stages`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pyarrow.parquet as pq
from sqlalchemy import create_engine, text

from fly_billing.resources.postgres import driver_connection
from fly_billing.resources.usage_lake import open_duckdb
from tests.bench.month_stages import Facts, Order

BLOCK = 1 << 20


def floor(order: Order) -> Facts:
    """The bare statements: files -> Parquet, Parquet -> sums, and a bare COPY of rollups, invoices, items and links.

    The invoices and their items are those that we made; the tables have no key, no index, no constraint, no trigger.
    """
    work = Path(order.work) / "floor"
    work.mkdir(exist_ok=True)
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
        with (work / "rollups.csv").open("rb") as file:
            _copy(driver, "copy rollups from stdin (format csv, header)", iter(lambda: file.read(BLOCK), b""))
        for table in ("invoices", "invoice_items", "invoice_item_rollups"):
            with driver.cursor() as cursor, cursor.copy(f"copy {table} to stdout") as out:
                parts = [bytes(part) for part in out]
            driver.execute(f"create temp table bare_{table} (like {table})")
            _copy(driver, f"copy bare_{table} from stdin", iter(parts))
    return {}


def _copy(driver: psycopg.Connection[Any], statement: str, blocks: Iterator[bytes]) -> None:
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for block in blocks:
            copy.write(block)


def pandas_and_a_loop(order: Order) -> Facts:
    """What people write: groupby, to_sql, and for each organization a query, a sum in Python and an insert per item."""
    frames = [pq.read_table(path).to_pandas() for path in sorted(order.sample.landing.rglob("*.parquet"))]
    usage = pd.concat(frames, ignore_index=True)
    usage["quantity"] = usage["quantity"].astype(float)
    rollups = usage.groupby(["subject", "type", "data"], as_index=False).agg(
        quantity=("quantity", "sum"), events=("quantity", "size")
    )
    engine = create_engine(order.billing.engine.url)
    invoices = 0
    with engine.begin() as connection:
        connection.execute(text("create schema people"))
        rollups.to_sql("rollups", connection, schema="people", index=False, chunksize=10_000)
        connection.execute(text("create index on people.rollups (subject)"))
        connection.execute(text("create table people.invoices (subject text, total numeric)"))
        connection.execute(
            text("create table people.items (subject text, name text, quantity numeric, amount numeric)")
        )
        for name in sorted(set(rollups["subject"])):
            items = connection.execute(
                text("select type, data, quantity from people.rollups where subject = :name"), {"name": name}
            ).all()
            total = 0.0
            for kind, data, quantity in items:
                amount = round(quantity * 0.01, 2)
                total += amount
                connection.execute(
                    text("insert into people.items values (:subject, :name, :quantity, :amount)"),
                    {"subject": name, "name": kind + data, "quantity": quantity, "amount": amount},
                )
            connection.execute(
                text("insert into people.invoices values (:name, :total)"), {"name": name, "total": total}
            )
            invoices += 1
    return {"invoices": invoices}


def inside_postgres(order: Order) -> Facts:
    """Everything inside Postgres: events by COPY with their key, then group by, then amounts by one join."""
    files = [str(path) for path in sorted(order.sample.landing.rglob("*.parquet"))]
    csv = Path(order.work) / "events.csv"
    with open_duckdb() as duck, order.billing.transaction() as connection:
        duck.execute(f"copy (from read_parquet($files)) to '{csv}'", {"files": files})
        driver = driver_connection(connection)
        driver.execute(
            "create schema inside;"
            " create table inside.landed (id text, source text, type text, subject text, time timestamptz,"
            " quantity numeric, data jsonb);"
            " create table inside.events (like inside.landed, primary key (source, id));"
        )
        with csv.open("rb") as file:
            _copy(driver, "copy inside.landed from stdin (format csv, header)", iter(lambda: file.read(BLOCK), b""))
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


STAGES = {one.__name__: one for one in (floor, pandas_and_a_loop, inside_postgres)}
