"""Counts what a statement asks of Postgres, in the driver's trace of its messages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event

from fly_billing.periods import BillingMonth
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import NOW, Platform


@contextmanager
def _messages(platform: Platform, folder: Path) -> Iterator[list[str]]:
    """Yield a list that has, after the block, the names of the messages between this process and Postgres."""
    path, found = folder / "messages", list[str]()

    def start(driver: Any, *rest: object) -> None:
        driver.pgconn.trace(file.fileno())

    def stop(driver: Any, *rest: object) -> None:
        driver.pgconn.untrace()

    engine = platform.database.engine
    with path.open("wb") as file:
        event.listen(engine, "checkout", start)
        event.listen(engine, "checkin", stop)
        try:
            yield found
        finally:
            event.remove(engine, "checkout", start)
            event.remove(engine, "checkin", stop)
    found += [line.split("\t")[3] for line in path.read_text(encoding="utf-8").splitlines() if line.count("\t") >= 3]


def database_cost(platform: Platform, folder: Path, month: BillingMonth | None = None) -> tuple[int, int]:
    """Return the number of SQL statements, and of waits for an answer, of acme's statement."""
    with _messages(platform, folder) as found:
        read_statement(platform.database, "acme", NOW, month)
    return found.count("Execute"), found.count("ReadyForQuery")
