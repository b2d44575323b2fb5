"""Runs the project's jobs in this process: `fly-billing bill`, `sync`, `land`, `backfill` and `demo` use it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterError,
    DagsterEvent,
    DagsterExecutionInterruptedError,
    DagsterInstance,
)

from fly_billing.assets.failure_causes import cause_in_a_line, cause_of, failure_causes, raised_errors
from fly_billing.assets.partition_checks import ERRORS_IN_THIS_RUN, OTHER_MONTHS, WRONG_IN_THIS_RUN
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.run_origin import origin_tags, set_origin
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.definitions import build_defs
from fly_billing.errors import ActionableError
from fly_billing.jobs import landing_range, month_tags, register_groups, whole_month
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunRecord:
    """The failures of this process's runs.

    Attributes:
        failed_runs, failed_checks: A sentence for each.
        other_months: By check, the months that still failed after its last run and that the run did not cover.
    """

    failed_runs: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)
    other_months: dict[str, str] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return not self.failed_runs and not self.failed_checks


class Runs:
    """Runs jobs on a Dagster instance and records their failures."""

    def __init__(self, instance: DagsterInstance, database: BillingDatabase) -> None:
        self.instance = instance
        self._database = database
        try:
            # Every month, because people may bill one that Dagster has no partitions for yet.
            self._definitions = build_defs(first_month=FIRST_MONTH)
        except DagsterError as problem:
            raise ActionableError(f"Dagster can't load the project: {cause_of(problem).text}") from problem
        self.record = RunRecord()

    def register_organizations(self) -> None:
        """Add a partition for every billing group that has none."""
        register_groups(self.instance, self._database)

    def land(self, stretch: tuple[date, date], tags: Mapping[str, str] | None = None) -> None:
        """Land consecutive days, from the first to the last included, in one run."""
        first, last = stretch
        self._run("land_usage", f"{first} to {last}", {**landing_range(first, last), **(tags or {})})

    def bill(self, month: BillingMonth, tags: Mapping[str, str] | None = None) -> str | None:
        """Bill the month. Returns the run's id, or None if the run or one of its checks failed."""
        return self._run_month("bill_month", month, tags)

    def sync(self, month: BillingMonth) -> None:
        self._run_month("sync_month", month)

    def reconcile(self, month: BillingMonth) -> None:
        self._run("reconcile_month", str(month), whole_month(month))

    def report(self, month: BillingMonth) -> None:
        self._run("report_month", str(month), whole_month(month))

    def _run_month(self, job: str, month: BillingMonth, tags: Mapping[str, str] | None = None) -> str | None:
        return self._run(job, str(month), {**month_tags(self.instance, self._database, month), **(tags or {})})

    def _run(self, job: str, subject: str, tags: Mapping[str, str]) -> str | None:
        problems = len(self.record.failed_runs) + len(self.record.failed_checks)
        try:
            result = self._definitions.resolve_job_def(job).execute_in_process(
                run_config=QUIET, instance=self.instance, tags={**tags, **origin_tags()}, raise_on_error=False
            )
        except DagsterError as problem:  # the run did not start
            self.record.failed_runs.append(f"{job} {subject}: {cause_in_a_line([cause_of(problem)])}")
            return None
        set_origin(self.instance, result.run_id, job)
        if not result.success:
            _raise_if_interrupted(result.all_events)
            cause = cause_in_a_line(failure_causes(result.all_events), result.run_id)
            self.record.failed_runs.append(f"{job} {subject}: {cause}")
        for check in result.get_asset_check_evaluations():
            if _failed_here(check):
                self.record.failed_checks.append(_failed_check(check, subject))
            self.record.other_months.pop(check.check_name, None)
            if OTHER_MONTHS in check.metadata:
                self.record.other_months[check.check_name] = str(check.metadata[OTHER_MONTHS].value)
        is_clean = problems == len(self.record.failed_runs) + len(self.record.failed_checks)
        return result.run_id if is_clean else None


def stretch_name(stretch: tuple[date, date]) -> str:
    return f"({stretch[0]} to {stretch[1]})"


def _failed_here(check: AssetCheckEvaluation) -> bool:
    """Return True if the check failed, and not only as a warning, for what the run covered."""
    if ERRORS_IN_THIS_RUN in check.metadata:
        return bool(check.metadata[ERRORS_IN_THIS_RUN].value)
    return not check.passed and check.severity == AssetCheckSeverity.ERROR


def _failed_check(check: AssetCheckEvaluation, subject: str) -> str:
    number = check.metadata.get(WRONG_IN_THIS_RUN, check.metadata.get("wrong"))
    wrong = f": {number.value} wrong" if number else ""
    asset = check.asset_key.to_user_string()
    return f"{check.check_name} {subject}{wrong}; `make dev` shows each one and its fix, as a check of {asset}"


def _raise_if_interrupted(events: Sequence[DagsterEvent]) -> None:
    """Raise KeyboardInterrupt if Ctrl-C ended the run. To Dagster, that is a failure like others."""
    raised = (
        error for event in events if event.is_step_failure for error in raised_errors(event.step_failure_data.error)
    )
    if any(error.cls_name == DagsterExecutionInterruptedError.__name__ for error in raised):
        raise KeyboardInterrupt


@contextmanager
def open_runs(*, stripe: bool = False) -> Iterator[tuple[Runs, Settings, BillingDatabase]]:
    """Yield the runs of the local platform, its settings and its database. `stripe`: with the sandbox, if needed."""
    with local_platform(stripe=stripe) as settings, warnings.catch_warnings(), DagsterInstance.get() as instance:
        warnings.simplefilter("ignore")  # Dagster warns about its own beta parameters
        database = BillingDatabase(settings.database_url)
        yield Runs(instance, database), settings, database


def show_failures(console: Terminal, record: RunRecord) -> None:
    for failure in [*record.failed_runs, *record.failed_checks]:
        console.print(styled("failed", "red"), failure, soft_wrap=True)
    if record.other_months:
        others = "; ".join(f"{name}: {months}" for name, months in record.other_months.items())
        console.print(styled("still wrong", "yellow"), f"in other months: {others}", soft_wrap=True)
