"""Runs the jobs of the code location in this process, as `fly-billing bill`, `sync` and `demo` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from fly_billing.definitions import build_defs
from fly_billing.errors import ActionableError
from fly_billing.jobs import landing_range, month_tags, register_groups
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class RunRecord:
    """What the runs of this process came to: names of jobs that failed, and of checks that did."""

    failed_runs: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not self.failed_runs and not self.failed_checks


class Runs:
    """Launches runs on a Dagster instance and keeps a record of them."""

    def __init__(self, instance: DagsterInstance, database: BillingDatabase) -> None:
        self._instance = instance
        self._database = database
        try:
            self._definitions = build_defs()
        except DagsterError as problem:
            raise ActionableError(f"Dagster can't load the project: {cause_of(problem).text}") from problem
        self.record = RunRecord()

    def register_organizations(self) -> None:
        """Make a partition of every billing group that has none yet."""
        register_groups(self._instance, self._database)

    def land(self, stretch: tuple[date, date]) -> None:
        """Land an unbroken stretch of days, both ends included, in one run."""
        first, last = stretch
        self._run("land_usage", f"{first} to {last}", landing_range(first, last))

    def bill(self, month: BillingMonth, tags: Mapping[str, str] | None = None) -> str | None:
        """Bill the month; return the run's id if the run and all its checks went well."""
        return self._run_month("bill_month", month, tags)

    def sync(self, month: BillingMonth) -> None:
        self._run_month("sync_month", month)

    def _run_month(self, job: str, month: BillingMonth, tags: Mapping[str, str] | None = None) -> str | None:
        return self._run(job, str(month), {**month_tags(self._instance, self._database, month), **(tags or {})})

    def _run(self, job: str, what: str, tags: Mapping[str, str]) -> str | None:
        problems = len(self.record.failed_runs) + len(self.record.failed_checks)
        try:
            result = self._definitions.resolve_job_def(job).execute_in_process(
                run_config=QUIET, instance=self._instance, tags=dict(tags), raise_on_error=False
            )
        except DagsterError as problem:  # it did not even start
            self.record.failed_runs.append(f"{job} {what}: {cause_in_a_line([cause_of(problem)])}")
            return None
        if not result.success:
            _raise_if_interrupted(result.all_events)
            cause = cause_in_a_line(failure_causes(result.all_events), result.run_id)
            self.record.failed_runs.append(f"{job} {what}: {cause}")
        for check in result.get_asset_check_evaluations():
            if not check.passed and check.severity == AssetCheckSeverity.ERROR:
                self.record.failed_checks.append(_failed_check(check, what))
        is_clean = problems == len(self.record.failed_runs) + len(self.record.failed_checks)
        return result.run_id if is_clean else None


def stretch_name(stretch: tuple[date, date]) -> str:
    return f"({stretch[0]} to {stretch[1]})"


def _failed_check(check: AssetCheckEvaluation, what: str) -> str:
    wrong = f": {check.metadata['wrong'].value} wrong" if "wrong" in check.metadata else ""
    asset = check.asset_key.to_user_string()
    return f"{check.check_name} {what}{wrong}; `make dev` shows them and what to do, as a check of {asset}"


def _raise_if_interrupted(events: Sequence[DagsterEvent]) -> None:
    """Raise KeyboardInterrupt where Ctrl-C ended the run: to Dagster it is a failure like others."""
    raised = (
        error for event in events if event.is_step_failure for error in raised_errors(event.step_failure_data.error)
    )
    if any(error.cls_name == DagsterExecutionInterruptedError.__name__ for error in raised):
        raise KeyboardInterrupt
