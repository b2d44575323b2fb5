"""The competitor: a month as a careful author writes it in SQL, with DuckDB for usage and Postgres for invoices.

Plain SQL files in `sql_month` run in a fixed order, as dbt-duckdb would run its models and tests; variables are put
into their text, as dbt does. dbt itself is not used, so its own time is not in it.

It refuses wrong rows with reasons, finds duplicates in the month, adds up exactly, prices by version, tiers, packages
and allowances, applies discounts and minimums, writes tables with real primary and foreign keys, and corrects a final
month. It leaves out:
  - duplicates of events of earlier landings, and rows with the same key that say different things
  - landing a day again, versions of the usage table, and snapshots of what was billed
  - explanations of items, the rollups of each item, and shares of the rounded total
  - taxes, credits, payers, negotiated prices, fees in advance, volume prices and other models
  - more than one price change in a month, versions with different allowances, and other currencies than of two decimals
  - blocks: one organization that can't be billed stops the month; and locks, audit, ledger and approval of corrections
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from fly_billing.postgres.database import driver_connection
from tests.bench.month_stages import Facts, Order
from tests.bench.realistic_month import CORRECTED_AT
from tests.bench.sample_of_size import FIRST_MONTH, MONTH, NOW

FOLDER = Path(__file__).parent / "sql_month"
BLOCK = 1 << 20
TEMPORARY = ("price_list", "usage_kinds", "priced_kinds", "usage_charges", "lines")
MODELS = (*TEMPORARY, "discounts", "minimums", "invoices", "invoice_items")
TESTS = tuple(path.stem for path in sorted((FOLDER / "postgres" / "tests").glob("*.sql")))
MONTH_VARIABLES = {
    "month": MONTH.first_day,
    "month_start": MONTH.start,
    "month_end": MONTH.end,
    "first_month": FIRST_MONTH.start,
}
ROLLUPS = (
    "organization_id", "month", "meter", "app", "region", "preset", "memory", "segment_start", "quantity", "events",
)  # fmt: skip
SOURCES = {
    "organizations": "select id, created_at from organizations",
    "meters": "select key, array_to_string(dimensions, ' ') as dimensions from meters",
}
PRICE_CHANGE = """
select max(effective_from) from prices where meter is not null and effective_from > %s and effective_from < %s
"""


class SqlMonth:
    """The SQL month of an order: a DuckDB file and folders in its work folder, and the schema `sql_month`."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.folder = Path(order.work) / "sql_month"
        self.folder.mkdir(exist_ok=True)

    def duck(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(str(self.folder / "month.duckdb"))
        connection.execute("set TimeZone = 'UTC'")
        return connection

    def run_duck(self, duck: duckdb.DuckDBPyConnection, *models: str, **more: Any) -> None:
        for model in models:
            duck.execute(self._rendered(model, more))

    def write(self, duck: duckdb.DuckDBPyConnection, model: str, path: Path, **more: Any) -> None:
        """Write what a query finds into a file, as dbt-duckdb does for an external model."""
        duck.execute(f"copy ({self._rendered(model, more)}) to '{path}'")

    def _rendered(self, model: str, more: Mapping[str, Any]) -> str:
        return rendered("duckdb", model, {**MONTH_VARIABLES, "judged_files": self.judged, **more}, "$")

    @property
    def judged(self) -> str:
        return str(self.folder / "judged-*.parquet")

    def copy_in(self, driver: psycopg.Connection[Any], table: str, columns: Sequence[str], path: Path) -> None:
        names = f" ({', '.join(columns)})" if columns else ""
        statement = f"copy {table}{names} from stdin (format csv, header)"
        with path.open("rb") as file, driver.cursor() as cursor, cursor.copy(statement) as copy:
            while block := file.read(BLOCK):
                copy.write(block)


def rendered(folder: str, model: str, variables: Mapping[str, Any], sign: str = ":") -> str:
    """Return the statement of a model, with its variables as literals."""
    text = (FOLDER / folder / f"{model}.sql").read_text(encoding="utf-8")
    return re.sub(rf"(?<![:\w]){re.escape(sign)}([a-z_]+)", lambda found: _literal(variables[found[1]]), text)


def _literal(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):  # also true and false
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, value))}]"
    text = "'{}'".format(str(value).replace("'", "''"))
    return f"timestamptz {text}" if hasattr(value, "tzinfo") else text


def run_postgres(driver: psycopg.Connection[Any], *models: str, **more: Any) -> None:
    for model in models:
        driver.execute(rendered("postgres", model, MONTH_VARIABLES | more).encode())
        if model in TEMPORARY:
            driver.execute(f"analyze {model}".encode())


def sql_land(order: Order) -> Facts:
    """Files -> a Parquet file of judged rows; refused rows also into Postgres, with their reasons."""
    month = SqlMonth(order)
    with month.duck() as duck, order.billing.transaction() as connection:
        driver = driver_connection(connection)
        _land(month, duck, driver, order.files, "judged-0", NOW)
        counts = duck.execute(rendered("duckdb", "landed_counts", {"judged_files": month.judged}, "$")).fetchone()
    assert counts is not None
    staged, accepted, refused, repeated = counts
    assert staged == accepted + refused + repeated, counts
    return {"events": accepted, "refused": refused, "repeated": repeated}


def _land(
    month: SqlMonth,
    duck: duckdb.DuckDBPyConnection,
    driver: psycopg.Connection[Any],
    files: Sequence[Path],
    name: str,
    now: datetime,
) -> None:
    for source, query in SOURCES.items():
        _fetch(duck, driver, source, query, month.folder / f"{source}.csv")
    suffix = files[0].suffix.removeprefix(".")
    month.run_duck(duck, f"staged_{suffix}", files=[str(path) for path in files])
    judged, refused = month.folder / f"{name}.parquet", month.folder / f"{name}-refused.csv"
    month.run_duck(duck, "described")
    month.write(duck, "judged", judged, now=now)
    month.run_duck(duck, "kept_copies", "accepted")
    month.write(duck, "refused", refused, judged_files=str(judged))
    month.copy_in(driver, "sql_month.refused_usage", (), refused)


def _fetch(duck: duckdb.DuckDBPyConnection, driver: psycopg.Connection[Any], name: str, query: str, path: Path) -> None:
    """Copy rows of Postgres into DuckDB, as its postgres extension does."""
    statement = f"copy ({query}) to stdout (format csv, header)".encode()
    with path.open("wb") as file, driver.cursor().copy(statement) as copy:
        for part in copy:
            file.write(part)
    duck.execute(f"create or replace table {name} as from read_csv('{path}', header = true)")


def sql_rollup(order: Order) -> Facts:
    """Add up the accepted events exactly, and COPY the sums into a table with keys."""
    month = SqlMonth(order)
    with month.duck() as duck, order.billing.transaction() as connection:
        driver = driver_connection(connection)
        _add_up(month, duck, driver, "sql_month.usage_rollups", only_staged=False)
        driver.execute("analyze sql_month.usage_rollups")
    return {}


def _add_up(
    month: SqlMonth, duck: duckdb.DuckDBPyConnection, driver: psycopg.Connection[Any], table: str, *, only_staged: bool
) -> None:
    path = month.folder / "rollups.csv"
    found = driver.execute(PRICE_CHANGE, (MONTH.start, MONTH.end)).fetchone()
    price_change = found[0] if found else None
    month.write(duck, "rollups", path, price_change=price_change, only_staged=only_staged)
    month.copy_in(driver, table, ROLLUPS, path)


def sql_invoice(order: Order) -> Facts:
    """Price the sums and write invoices and items, in one transaction."""
    with order.billing.transaction() as connection:
        run_postgres(driver_connection(connection), *MODELS)
    return {}


def sql_check(order: Order) -> Facts:
    """Run the tests: each is a query that finds nothing."""
    with order.billing.transaction() as connection:
        driver = driver_connection(connection)
        for test in TESTS:
            wrong = driver.execute(rendered("postgres", f"tests/{test}", MONTH_VARIABLES).encode()).fetchmany(3)
            assert not wrong, (test, wrong)
    return {}


def sql_correct(order: Order) -> Facts:
    """Land usage that arrives after the month was closed, and book the differences as adjustments.

    Organizations with such usage are added up again. All are priced again, and compared with their items.
    """
    month = SqlMonth(order)
    files = sorted(order.landing_after_close.rglob("*.parquet"))
    with month.duck() as duck, order.billing.transaction() as connection:
        driver = driver_connection(connection)
        _land(month, duck, driver, files, "judged-1", CORRECTED_AT)
        driver.execute("create temp table rollups_now (like sql_month.usage_rollups) on commit drop")
        driver.execute("alter table rollups_now drop column id")
        _add_up(month, duck, driver, "rollups_now", only_staged=True)
        run_postgres(driver, "replace_rollups", *TEMPORARY, "discounts", "minimums", "adjustments")
    return {}


def charges(driver: psycopg.Connection[Any], side: str, what: str = "charges") -> Facts:
    """Return the number of lines and the hash of what `ours` or `sql` charges, in items or in `adjustments`."""
    found = driver.execute(rendered("postgres", f"{what}_of_{side}", MONTH_VARIABLES).encode()).fetchone()
    assert found is not None
    return {"items": found[0], "hash": found[1]}


STAGES = {stage.__name__: stage for stage in (sql_land, sql_rollup, sql_invoice, sql_check, sql_correct)}
