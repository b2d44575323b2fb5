"""The first asset: reads usage files from the landing folder into the usage table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from hashlib import sha256
from itertools import chain
from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    BackfillPolicy,
    FreshnessPolicy,
    MaterializeResult,
    asset,
)

from fly_billing.assets.catalog import OWNERS, USAGE, WRITES_FILES, usage_table
from fly_billing.assets.declared_sources import record_sources
from fly_billing.assets.external import observe_sources, usage_sources
from fly_billing.assets.partition_checks import PartitionCheck, partition_checks
from fly_billing.assets.partition_metadata import PARTITION_ROWS
from fly_billing.assets.platform_records import platform_records
from fly_billing.assets.run_report import REPORTED_BY_SENSOR, PartitionOutcomes, check, explains_failures, report, table
from fly_billing.checks.rules.failures import Place
from fly_billing.partitions import FROM_SCRATCH, landing_day_partitions, landing_days
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.usage.landing_run import LandingReport, count_rejected_rows, land_and_check
from fly_billing.usage.rejections import RejectedGroup, list_unresolved
from fly_billing.usage.rules.declared_sources import DeclaredSources
from fly_billing.worklist.due import list_landing_problems

ACCOUNTED_FOR = "every_landed_row_is_accepted_duplicate_or_rejected"
UNDERSTOOD = "everything_in_the_landing_folder_is_understood"
RESOLVED = "rejected_rows_are_fixed_or_waived"
WARN = AssetCheckSeverity.WARN
# A landing starts every hour; a late one is a warning, and half a working day without any is a failure.
LANDED_HOURLY = FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=6))


@asset(
    partitions_def=landing_days,
    backfill_policy=BackfillPolicy.single_run(),
    # A file of a landing day can be of any source. Events name organizations, which the platform's database may have.
    deps=[AssetDep(usage_sources, partition_mapping=AllPartitionMapping()), platform_records],
    check_specs=[
        AssetCheckSpec(
            ACCOUNTED_FOR,
            asset="usage_events",
            description="landed = accepted + duplicate + rejected, per landing day, counted again in the usage table"
            " and in rejected_usage. If it fails, usage was lost or doubled while landing: land the day again.",
        ),
        AssetCheckSpec(
            UNDERSTOOD,
            asset="usage_events",
            description="Every file in the landing folder is in a day's folder and can be read, and no folder of a day"
            " that landed is missing. If the check warns, restore, fix or remove the listed files and folders and run"
            " `fly-billing land`.",
        ),
        AssetCheckSpec(
            RESOLVED,
            asset="usage_events",
            description="No rejected row of any landing day waits for a decision. If the check warns, this usage is not"
            " billed: run `fly-billing rejected --list`, fix the files and land their days again, or waive the rows"
            " with `fly-billing waive`. The check passes at the next landing after that.",
        ),
    ],
    kinds={"deltalake", "duckdb"},
    group_name=USAGE,
    owners=OWNERS,
    tags=WRITES_FILES,
    metadata=usage_table(),
    freshness_policy=LANDED_HOURLY,
)
@explains_failures
def usage_events(
    context: AssetExecutionContext,
    billing_postgres: BillingPostgres,
    usage_store: UsageStore,
    workspace_folder: WorkspaceFolder,
    clock: Clock,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Every accepted usage event, landed once and never changed.

    A partition is a landing day: the files in that day's folder (JSONL, CSV, Parquet). Landing a day again replaces
    the events it had. If its files are as they landed, they are not read again, unless the run has the tag
    `fly_billing/from_scratch`; new files are added to it. `rejected_usage` lists rows that can't be billed, with file,
    line and reason: fix the file (or add the missing meter or organization) and materialize the day again.
    """
    database, landing = billing_postgres.database(), usage_store.landing()
    days = landing_day_partitions(context, clock.now())
    landed = _land(context, database, usage_store, days, workspace_folder.declared_sources(), clock.now())
    unclear = [asdict(problem) for problem in list_landing_problems(database, landing, clock.now())]
    unresolved = [_described(group) for group in list_unresolved(database)]
    failures = [_failure(day, landed.failures[day]) for day in sorted(landed.failures)]
    outcomes = _outcomes(database, days, landed)
    accounted = [PartitionCheck(ACCOUNTED_FOR, _by_day([*failures, *landed.unaccounted]))]
    places = [Place(day.isoformat()) for day in days]
    by_day = partition_checks(context, database, places, accounted, outcomes, clock.now())
    others = [
        check("usage_events", UNDERSTOOD, unclear, WARN, cause=cause_of(unclear)),
        # `alert_on_rejected_usage` alerts, per source and reason.
        check("usage_events", RESOLVED, unresolved, WARN, **{REPORTED_BY_SENSOR: True}),
    ]
    observe_sources(context, landed.files)
    record_sources(context, landed.sources, clock.now())
    yield from report(context, outcomes, chain(by_day, others), are_recorded=False)


def _land(
    context: AssetExecutionContext,
    database: BillingDatabase,
    usage_store: UsageStore,
    days: Sequence[date],
    declared: DeclaredSources,
    now: datetime,
) -> LandingReport:
    table, landing, again = usage_store.usage_table(), usage_store.landing(), FROM_SCRATCH in context.run.tags
    return land_and_check(
        database, table, landing, days, now, context.log.info, declared, from_scratch=again,
        processes=usage_store.most_processes(),
    )  # fmt: skip


def _by_day(rows: Sequence[Mapping[str, Any]]) -> dict[Place, list[Mapping[str, Any]]]:
    found: dict[Place, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(Place(row["landing_day"].isoformat()), []).append(row)
    return found


def _failure(day: date, message: str) -> Mapping[str, Any]:
    return {"landing_day": day, "what to do": message}


def _outcomes(database: BillingDatabase, days: Sequence[date], landed: LandingReport) -> PartitionOutcomes:
    outcomes = PartitionOutcomes([day.isoformat() for day in days])
    for day in landed.days:
        if day in landed.failures:
            outcomes.fail(day.isoformat(), _failure(day, landed.failures[day]))
        else:
            outcomes.done[day.isoformat()] = metadata_of_day(database, landed, day)
    return outcomes


def _described(group: RejectedGroup) -> dict[str, Any]:
    return {
        "source": group.source,
        "reason": group.reason,
        "rows": group.rows,
        "organizations": len(group.organizations),
        "first_landing_day": group.first_day,
        "last_landing_day": group.last_day,
        "estimate": group.estimate.in_words(),
    }


def metadata_of_day(database: BillingDatabase, landed: LandingReport, day: date) -> dict[str, Any]:
    """Return what landed on this day, whatever other days the run landed."""
    files = [file for file in landed.files if file.day == day]
    rejected = sum(file.rejected for file in files)
    return {
        "table_version": landed.table_version,
        "files": len(files),
        "empty_files": [file.path for file in files if file.landed == 0],
        "landed": sum(file.landed for file in files),
        "accepted": sum(file.accepted for file in files),
        "duplicate": sum(file.duplicate for file in files),
        "rejected": rejected,
        PARTITION_ROWS: sum(file.accepted for file in files),
        "rejected_by_reason": table(count_rejected_rows(database, [day]) if rejected else []),
    }


def cause_of(unclear: Sequence[Mapping[str, Any]]) -> str:
    """Return a text that differs as soon as another problem is listed, so that it is alerted on again."""
    listed = "\n".join(f"{problem['path']} {problem['message']}" for problem in unclear)
    return sha256(listed.encode()).hexdigest()
