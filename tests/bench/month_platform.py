"""A platform with a history, on which our month and the SQL month are billed again and again, in turn."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.postgres.database import BillingDatabase, driver_connection
from fly_billing.postgres.migrate import migrate
from tests.bench.history import add_history, forget_month
from tests.bench.month_stages import Order
from tests.bench.sample_formats import PARQUET, REALISTIC, landing_of
from tests.bench.sample_of_size import add_records
from tests.bench.server import checkpoint
from tests.bench.sql_month_stages import charges, run_postgres

OURS = ("land", "rollup", "invoice", "check")
SQL = ("sql_land", "sql_rollup", "sql_invoice", "sql_check")
CORRECT = ("correct", "sql_correct")
BESIDE = ("rebill_one", "statement", "monthly_totals")

Result = dict[str, Any]


class ChargesDiffer(Exception):
    """Our month and the SQL month do not charge the same."""


class Platform:
    """Organizations with a history, in a throw-away server; every run bills the same month again.

    Args:
        add_terms: Adds more records, such as prices and discounts, after the organizations.
        usage: The kind of landing files.
    """

    def __init__(
        self,
        server: PostgresServer,
        work: Path,
        cache: Path,
        organizations: int,
        usage: str = PARQUET,
        add_terms: Callable[[BillingDatabase, int], None] | None = None,
    ) -> None:
        self._server = server
        self._database = BillingDatabase(server.url("billing"))
        self._folders = work
        self._runs = 0
        migrate(self._database)
        add_records(self._database, organizations)
        if add_terms:
            add_terms(self._database, organizations)
        self._order = Order(
            str(cache), organizations, "", server.url("billing"), server.url("dagster", "postgresql+psycopg2", DAGSTER),
            server.pid, usage,
        )  # fmt: skip
        landing_of(self._order.sample, usage)  # made before anything is measured

    def grow_old(self, months: int, *, with_sql: bool = False) -> None:
        """Bill the month once, and copy it into `months` months of history."""
        if with_sql:
            self._in_sql("tables")
        if months:
            self._add_history(months, with_sql=with_sql)
        with self._database.transaction() as connection:
            connection.exec_driver_sql("analyze")  # as autovacuum does before long

    def _add_history(self, months: int, *, with_sql: bool) -> None:
        order = self.next_order()
        for stage in OURS[:3]:
            run_stage(stage, order)
        if with_sql:
            for stage in SQL[:3]:
                run_stage(stage, order)
            self.compare()
            self._in_sql("history", "forget", months=months)
            self._vacuum()
        add_history(self._database, months)

    def one_round(self, *, sql_first: bool) -> Iterator[tuple[str, Result]]:
        """Bill the month both ways and yield the cost of each stage. Raises ChargesDiffer."""
        order = self.next_order()
        for stage in (*SQL, *OURS) if sql_first else (*OURS, *SQL):
            yield stage, self.measured(stage, order)
        yield "charges", self.compare()
        if self._order.usage == REALISTIC:
            for stage in CORRECT[::-1] if sql_first else CORRECT:
                yield stage, self.measured(stage, order)
            yield "adjustments", self.compare("adjustments")

    def beside(self) -> Iterator[tuple[str, Result]]:
        """Yield what else is measured once on the billed month of the last round, and forget the month."""
        order = self.last_order
        for stage in BESIDE:
            yield stage, self.measured(stage, order)
        run_stage("results_for_floor", order)
        yield "floor", self.measured("floor", order)
        forget_month(self._database, landed=False)
        yield "dagster", self.measured("dagster", order)
        self.forget()

    def landings(self, kinds: tuple[str, ...]) -> Iterator[tuple[str, str, Result]]:
        """Land each kind of files both ways, and yield the kind, the stage and its cost."""
        for kind in kinds:
            order = replace(self.next_order(), usage=kind)
            landing_of(order.sample, kind)
            for stage in (OURS[0], SQL[0]):
                yield kind, stage, self.measured(stage, order)
            self.forget()

    def measured(self, stage: str, order: Order) -> Result:
        checkpoint(self._server)
        return run_stage(stage, order)

    def compare(self, what: str = "charges") -> Result:
        """Return the hash of what both sides charge, in items or in `adjustments`. Raises ChargesDiffer."""
        with self._database.transaction() as connection:
            driver = driver_connection(connection)
            ours, sql = charges(driver, "ours", what), charges(driver, "sql", what)
        if ours != sql or not ours["items"]:
            raise ChargesDiffer(f"{what}: ours are {ours}, those of the SQL month {sql}")
        return ours

    def forget(self) -> None:
        """Remove the month on both sides, so that it can be billed again."""
        forget_month(self._database, landed=True)
        self._in_sql("forget")
        self._vacuum()

    def next_order(self) -> Order:
        self._runs += 1
        work = self._folders / str(self._runs)
        work.mkdir()
        self.last_order = replace(self._order, work=str(work))
        return self.last_order

    def _in_sql(self, *models: str, **variables: Any) -> None:
        with self._database.transaction() as connection:
            run_postgres(driver_connection(connection), *models, **variables)

    def _vacuum(self) -> None:
        with self._database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for table in ("usage_rollups", "invoices", "invoice_items", "refused_usage", "adjustments"):
                connection.exec_driver_sql(f"vacuum analyze sql_month.{table}")


def run_stage(stage: str, order: Order) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.month_stages", stage, json.dumps(asdict(order))],
        capture_output=True, text=True, encoding="utf-8",
)  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{stage} of {order.organizations} organizations failed:\n{done.stderr[-3000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result
