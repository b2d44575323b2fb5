"""A command with a month that can't be billed says so before it reads or writes anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from tests.support.builders import Platform

# The arguments of every command that takes a month or a day; {path} is the test's folder.
WRITING = {
    "land": ["{month}"],
    "bill": ["{month}"],
    "backfill": ["{month}", "{month}"],
    "sync": ["{month}"],
    "compare": ["{month}"],
    "finance report": ["{month}"],
    "rebill": ["acme", "{month}", "--why", "test"],
    "approve": ["{month}", "--total", "1.00", "--by", "ann"],
}
OTHERS = {
    "statement": ["acme", "{month}"],
    "explain": ["acme", "{month}"],
    "totals": ["--from", "{month}", "--to", "{month}"],
    "corrections": ["{month}"],
    "approve-corrections": ["{month}", "--total", "1.00", "--by", "ann", "--why", "test"],
    "export-focus": ["{month}", "--out", "{path}/focus.csv"],
    "reconcile": ["{month}"],
    "repair": ["{month}", "--dry-run"],
    "shadow": ["{month}", "--price-book", "{path}"],
    "prices negotiated": ["--at", "{month}-01"],
    "prices show": ["--at", "{month}-01"],
    "reserve": ["acme", "reservation/shared/5", "iad", "--from", "{month}"],
}
# The constraints of the database allow months from 1970-01 to 2199-12.
FUTURE, PAST = ("2199-12", "9998-12"), ("2022-12", "1969-12", "0001-01")


@pytest.fixture
def installed(
    platform: Platform, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    create_database(postgres, "months_dagster")
    billing = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", billing)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", postgres.url("months_dagster", "postgresql"))
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLY_BILLING_LAKE_DIR", str(platform.usage_table.path))
    monkeypatch.setenv("FLY_BILLING_LANDING_DIR", str(platform.landing_dir))
    yield platform
    drop_database(postgres, "months_dagster")


def run(command: str, month: str, path: Path) -> tuple[BaseException | None, str]:
    """Return a command's error and everything that it prints, in one line."""
    arguments = (WRITING | OTHERS)[command]
    done = CliRunner().invoke(app, [*command.split(), *(text.format(month=month, path=path) for text in arguments)])
    return done.exception, " ".join(f"{done.output} {done.exception}".replace("│", " ").split())


def test_a_command_that_writes_to_a_month_refuses_one_that_has_not_begun(installed: Platform, tmp_path: Path) -> None:
    for command in WRITING:
        for month in FUTURE:
            assert f"{month} has not begun" in run(command, month, tmp_path)[1], command
    for table in ("landing_days", "invoices", "sync_approvals", "rollup_failures"):
        assert installed.query(f"select from {table}") == [], table


def test_a_command_that_writes_to_a_month_refuses_one_before_the_first_billable_month(
    installed: Platform, tmp_path: Path
) -> None:
    for command in WRITING:
        for month in PAST:
            expected = f"{month} is before 2023-01, the first month that can be billed"
            assert expected in run(command, month, tmp_path)[1], command


def test_a_command_that_writes_to_a_month_names_the_last_valid_one(installed: Platform, tmp_path: Path) -> None:
    last = BillingMonth.containing(datetime.now(UTC))
    for command in WRITING:
        printed = run(command, FUTURE[0], tmp_path)[1]
        assert f"The last month that can be billed is {last}" in printed, (command, printed)


@pytest.mark.parametrize(
    "arguments", [["backfill", "2026-03", "2026-02"], ["totals", "--from", "2026-03", "--to", "2026-02"]]
)
def test_a_reversed_range_is_refused(installed: Platform, arguments: list[str]) -> None:
    done = CliRunner().invoke(app, arguments)
    assert "the range 2026-03 to 2026-02 is reversed" in str(done.exception)


@pytest.mark.parametrize("command", OTHERS)
def test_no_command_shows_an_error_message_of_postgres_or_python(
    installed: Platform, tmp_path: Path, command: str
) -> None:
    for month in (FUTURE[-1], PAST[-1]):
        error, output = run(command, month, tmp_path)
        assert isinstance(error, ActionableError | SystemExit | None), (month, repr(error))
        assert "constraint" not in output, (month, output)


def test_a_reservation_that_would_last_beyond_the_years_of_the_database_is_refused(
    installed: Platform, tmp_path: Path
) -> None:
    """It lasts 12 months: one from 2199-01 ends in 2199-12, one from 2199-02 in 2200-01."""
    _, refused = run("reserve", "2199-02", tmp_path)
    assert "a reservation from 2199-02 would last beyond 2199-12: choose an earlier month" in refused
    _, accepted = run("reserve", "2199-01", tmp_path)
    assert "would last beyond" not in accepted
