"""The first month that has partitions, so that Dagster counts no month before the platform's first one as missing.

It is read when the code location loads, because Dagster's partitions can't change before the next load. Data of an
earlier month can come later: `fly-billing` bills every month, and an alert asks to reload the code location.
Not here: the partitions themselves (`partitions`), and which months can be billed at all (`periods.why_not_billable`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import date

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    DagsterInvariantViolationError,
    DailyPartitionsDefinition,
    RepositoryDefinition,
    RunStatusSensorContext,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
)
from sqlalchemy.exc import SQLAlchemyError

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.errors import ActionableError
from fly_billing.partitions import landing_days, month_by_org, months, partitions_from
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.settings import SettingsError

Context = ScheduleEvaluationContext | SensorEvaluationContext | RunStatusSensorContext

log = logging.getLogger(__name__)


def month_or_all(read: Callable[[], BillingMonth | None]) -> BillingMonth:
    """Return the month that `read` finds. If there is none, or it can't be read, every month has partitions."""
    try:
        return read() or FIRST_MONTH
    except SettingsError:  # no database is set, or not a valid one: a run says so
        return FIRST_MONTH
    except (ActionableError, SQLAlchemyError, OSError) as problem:
        log.warning(f"Dagster shows partitions from {FIRST_MONTH} on, because the first month can't be read: {problem}")
        return FIRST_MONTH


def starting_in(first: BillingMonth, definition: AssetsDefinition | AssetSpec) -> AssetsDefinition | AssetSpec:
    """Return the asset with partitions from this month on."""
    days, of_months, of_groups = partitions_from(first)
    replaced = {landing_days: days, months: of_months, month_by_org: of_groups}

    def start(spec: AssetSpec) -> AssetSpec:
        if spec.partitions_def is None:
            return spec
        return spec.replace_attributes(partitions_def=replaced[spec.partitions_def])

    return definition if isinstance(definition, AssetSpec) else definition.map_asset_specs(start)


def first_partition(context: Context) -> BillingMonth:
    """Return the first month with partitions in the loaded code location."""
    repository = _repository(context)
    days = repository and repository.asset_graph.get(AssetKey("usage_events")).partitions_def
    return BillingMonth.containing(days.start) if isinstance(days, DailyPartitionsDefinition) else FIRST_MONTH


def days_with_partition(context: Context, days: Iterable[date]) -> list[date]:
    """Return the landing days that have a partition, and log the others. `register_new_organizations` alerts on them.

    Days before the platform's first month are not landed to catch up: nothing could be billed for them.
    """
    first = first_partition(context).first_day
    early = sorted(day for day in days if day < first)
    if early:
        context.log.info(f"{early[0]} to {early[-1]}: before {first}, the first landing day with a partition")
    return [day for day in days if day >= first]


def why_no_partition(context: Context, month: BillingMonth) -> str | None:
    """Return why the month has no partition in the loaded code location; None if it has one."""
    first = first_partition(context)
    return None if month >= first else f"{month} is before {first}, where Dagster's partitions begin. {RELOAD}"


RELOAD = "Reload the code location in Dagster (Deployment > Reload), or restart it"


def earlier_month_alert(found: BillingMonth, first: BillingMonth) -> Alert:
    """Return the alert about a month with data that has no partition."""
    return Alert.of(
        "earlier_month",
        f"{found} has usage or invoices, but Dagster's partitions begin with {first}",
        [
            f"Schedules leave out months and landing days before {first}. Nothing is lost.",
            f"What to do: {RELOAD[0].lower()}{RELOAD[1:]}.",
            f"At once, without it: `fly-billing land`, then `fly-billing bill {found}`.",
        ],
    )


def _repository(context: Context) -> RepositoryDefinition | None:
    try:
        return context.repository_def
    except DagsterInvariantViolationError:  # the tick of a test, without a code location
        return None
