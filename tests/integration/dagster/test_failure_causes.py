"""A failed run names its cause: the error that was raised, never the one that Dagster wraps around it."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from dagster import (
    AssetsDefinition,
    ConfigurableResource,
    DagsterEventType,
    DagsterInstance,
    Definitions,
    Failure,
    RunsFilter,
    asset,
    define_asset_job,
    job,
    op,
)

import fly_billing
from fly_billing.assets.failure_causes import cause_in_a_line, failure_causes
from fly_billing.assets.run_report import described_failures
from fly_billing.embedded_postgres import (
    EmbeddedPostgresError,
    PostgresServer,
    ServerInUseError,
    create_database,
    drop_database,
)
from fly_billing.errors import ActionableError, BillingError
from fly_billing.invoicing.month_closing import UsageNotLanded
from fly_billing.periods import BillingMonth
from fly_billing.sensors.alert_on_failed_run import run_alert
from fly_billing.sensors.finished_runs import events_of

COMMAND = str(Path(sys.executable).with_name("fly-billing"))
SENTENCE = "The folder [2026-10-05] of acme can't be read: give it back its read permission"


@pytest.fixture(scope="module")
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def line_of(instance: DagsterInstance, *steps: Callable[[], None]) -> str:
    """Run a job with these steps, and return the failure that the command line prints."""

    def as_asset(number: int, does: Callable[[], None]) -> AssetsDefinition:
        @asset(name=f"step_{number}")
        def step() -> None:
            does()

        return step

    definitions = Definitions(
        assets=[as_asset(number, body) for number, body in enumerate(steps, start=1)], jobs=[define_asset_job("job")]
    )
    result = definitions.resolve_job_def("job").execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    return cause_in_a_line(failure_causes(result.all_events), result.run_id)


def raising(error: BaseException, cause: BaseException | None = None) -> Callable[[], None]:
    def does() -> None:
        raise error from cause

    return does


def errors_of_the_project() -> list[type[Exception]]:
    for module in pkgutil.walk_packages(fly_billing.__path__, "fly_billing."):
        if not module.name.endswith(("__main__", "celery_workers")):
            importlib.import_module(module.name)
    found: list[type[Exception]] = [ActionableError, BillingError, EmbeddedPostgresError, ServerInUseError]
    for error_class in found:
        found += [subclass for subclass in error_class.__subclasses__() if subclass not in found]
    return found


@pytest.mark.parametrize("error", errors_of_the_project(), ids=lambda error: error.__name__)
def test_each_error_of_the_project_is_shown_as_its_sentence(error: type[Exception], instance: DagsterInstance) -> None:
    raised = error.__new__(error)
    Exception.__init__(raised, SENTENCE)  # without calling its constructor: only the sentence matters here
    assert line_of(instance, raising(raised, OSError("[Errno 13]"))) == SENTENCE


def test_a_librarys_error_is_shown_with_its_class_and_the_run(instance: DagsterInstance) -> None:
    line = line_of(instance, raising(OSError("no space left on device")))
    assert line.startswith("OSError: no space left on device (run ")
    assert "executing op" not in line


def test_the_first_error_is_shown_beside_the_one_it_caused(instance: DagsterInstance) -> None:
    line = line_of(instance, raising(RuntimeError("no file was written"), OSError("no space left on device")))
    assert "RuntimeError: no file was written; before that: OSError: no space left on device" in line


def test_an_error_during_cleanup_does_not_hide_the_one_before_it(instance: DagsterInstance) -> None:
    def does() -> None:
        try:
            raise ActionableError(SENTENCE)
        finally:
            raise RuntimeError("the connection is closed")

    assert line_of(instance, does) == SENTENCE


def test_a_cause_four_errors_deep_is_found(instance: DagsterInstance) -> None:
    def does() -> None:
        try:
            raising(RuntimeError("three"), ActionableError(SENTENCE))()
        except RuntimeError as problem:
            raise RuntimeError("two") from problem

    def around() -> None:
        try:
            does()
        except RuntimeError as problem:
            raise RuntimeError("one") from problem

    assert line_of(instance, around) == SENTENCE


def test_an_sql_error_is_shown_without_the_statement_and_its_parameters(instance: DagsterInstance) -> None:
    text = '(psycopg.errors.CheckViolation) relation "x"\nDETAIL:  Failing row contains (secret).\n[SQL: insert]'
    line = line_of(instance, raising(RuntimeError(text)))
    assert 'relation "x" (run' in line
    assert "secret" not in line


def test_each_of_several_failed_steps_is_shown_with_its_cause(instance: DagsterInstance) -> None:
    line = line_of(
        instance, raising(ActionableError("the share is away")), raising(ActionableError("no price for egress"))
    )
    assert line == "step_1: the share is away; step_2: no price for egress"


def test_a_failure_is_named_by_its_description(instance: DagsterInstance) -> None:
    assert line_of(instance, raising(Failure("The spending guard blocks 2026-10; nothing was sent"))) == (
        "The spending guard blocks 2026-10; nothing was sent"
    )


class Share(ConfigurableResource[None]):
    """A resource that can't be set up."""

    def setup_for_execution(self, context: object) -> None:
        raise ActionableError("the landing share is not mounted: mount it")


def test_a_resource_that_can_not_be_set_up_is_named(instance: DagsterInstance) -> None:
    @asset
    def needing(share: Share) -> None: ...

    definitions = Definitions(assets=[needing], jobs=[define_asset_job("job")], resources={"share": Share()})
    result = definitions.resolve_job_def("job").execute_in_process(instance=instance, raise_on_error=False)
    assert cause_in_a_line(failure_causes(result.all_events)) == "the landing share is not mounted: mount it"


def test_a_run_whose_process_was_killed_is_named_with_its_month() -> None:
    @op
    def nothing() -> None: ...

    @job
    def bill_month() -> None:
        nothing()

    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(bill_month, tags={"fly_billing/month": "2026-10"})
        instance.report_run_failed(run, "Run worker terminated unexpectedly with exit code -9")
        (run,) = instance.get_runs(RunsFilter(run_ids=[run.run_id]))
        alert = run_alert(run, failure_causes(events_of(instance, run, DagsterEventType.RUN_FAILURE)))
    assert alert.subject == "Run of bill_month failed: 2026-10"
    assert alert.body.startswith("Run worker terminated unexpectedly with exit code -9\nWhat to do: fix the cause")
    assert alert.body.endswith(f"Run in Dagster: {run.run_id}")


def test_a_run_without_any_event_is_not_reported_as_successful() -> None:
    assert cause_in_a_line(failure_causes([])).startswith("the run ended without an error; its process may have been")


OCTOBER = BillingMonth(2026, 10)


def test_a_refused_closing_names_the_missing_days_and_the_command_that_lands_them() -> None:
    missing = [date(2026, 10, 9), date(2026, 10, 5), date(2026, 10, 6), date(2026, 10, 7)]
    assert str(UsageNotLanded(OCTOBER, missing)) == (
        "2026-10 can't be closed: 4 landing days were not landed after the day ended, or changed since (2026-10-05 to"
        " 2026-10-07, 2026-10-09). Run `fly-billing land 2026-10` to land all of them, then"
        " `fly-billing bill 2026-10`; in Dagster, materialize usage_events for these days, then the month"
    )


def test_a_refused_closing_names_consecutive_missing_days_as_a_range() -> None:
    message = str(UsageNotLanded(OCTOBER, [date(2026, 10, day) for day in range(1, 32)]))
    assert "31 landing days were" in message
    assert "(2026-10-01 to 2026-10-31). Run `fly-billing land 2026-10` to land all" in message


def test_failures_of_organizations_name_the_month_the_organization_and_the_fix() -> None:
    rows = [
        {"month": "2026-10", "organization": name, "code": "no_price", "what to do": "add a price of egress_gb"}
        for name in ("acme", "beta", "gamma", "delta")
    ]
    assert described_failures(rows[:1]) == "2026-10 acme: add a price of egress_gb (no_price)"
    assert described_failures(rows).startswith("4 failed: 2026-10 acme: add a price")
    assert described_failures(rows).endswith("2026-10 gamma: add a price of egress_gb (no_price); and 1 more")


@pytest.fixture
def environment(postgres: PostgresServer, tmp_path: Path) -> Iterator[dict[str, str]]:
    names = ("causes_billing", "causes_dagster")
    for name in names:
        create_database(postgres, name)
    yield {
        **os.environ,
        "COLUMNS": "132",
        "FLY_BILLING_DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": postgres.url(names[0], "postgresql"),
        "DAGSTER_DATABASE_URL": postgres.url(names[1], "postgresql+psycopg2"),
    }
    for name in names:
        drop_database(postgres, name)


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=600, encoding="utf-8"
    )


def test_the_command_line_names_the_missing_days_of_a_month_and_fails(environment: dict[str, str]) -> None:
    """No day was landed: `bill` of a closed month and `backfill` both name the command that lands the missing days."""
    assert run(environment, "migrate").returncode == 0
    seeded = run(environment, "seed", "--months", "2", "--organizations", "1")
    assert seeded.returncode == 0, seeded.stderr
    month = BillingMonth.containing(datetime.now(UTC)).plus(-2)  # closed on any day of this month

    billed = run(environment, "bill", str(month))
    assert billed.returncode == 1
    assert f"failed bill_month {month}: {month} can't be closed: " in billed.stdout
    assert f"Run `fly-billing land {month}` to land all of them, then `fly-billing bill {month}`" in billed.stdout
    assert "executing op" not in billed.stdout

    landed = run(environment, "land", str(month))
    assert landed.returncode == 0, landed.stdout
    assert run(environment, "bill", str(month)).returncode == 0


def test_an_error_while_dagster_loads_the_project_is_shown_in_one_line(environment: dict[str, str]) -> None:
    assert run(environment, "migrate").returncode == 0
    billed = run({**environment, "FLY_BILLING_EXECUTOR": "celery"}, "bill", "2026-10")
    assert billed.returncode == 2
    assert "Celery needs DAGSTER_CELERY_BROKER_URL" in " ".join(billed.stderr.split())
    assert "Traceback" not in billed.stderr
