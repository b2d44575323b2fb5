"""The first stage: landed usage files become events in the Delta table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from hashlib import sha256
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from fly_billing.assets.run_report import check, report, table
from fly_billing.partitions import landing_days
from fly_billing.periods import FIRST_MONTH
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.landing import DaysNotLanded, land_days
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.usage_table import UsageTableVersion, count_by_day
from fly_billing.worklist.due import needs_attention

ACCOUNTED_FOR = "every_landed_row_is_accepted_duplicate_or_rejected"
UNDERSTOOD = "everything_in_the_landing_folder_is_understood"
WARN = AssetCheckSeverity.WARN


@asset(
    partitions_def=landing_days,
    backfill_policy=BackfillPolicy.single_run(),
    check_specs=[
        AssetCheckSpec(
            ACCOUNTED_FOR,
            asset="usage_events",
            description="landed = accepted + duplicate + rejected, per landing day, counted again in the usage table"
            " and in rejected_usage. If it fails, usage was lost or doubled on the way: land the day again.",
        ),
        AssetCheckSpec(
            UNDERSTOOD,
            asset="usage_events",
            description="Nothing in the landing folder is left out or rejected as a whole: no folder that is named"
            " after no day, no file beside the day folders, none that can't be read. If it warns, fix or remove what"
            " is listed and run `fly-billing land`.",
        ),
    ],
    kinds={"deltalake", "duckdb"},
    group_name="fly_billing",
)
def usage_events(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, usage_store: UsageStore, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Every usage event that was ever accepted, landed once and never changed.

    A partition is a landing day: the files in that day's folder (JSONL, CSV, Parquet). Landing a day again replaces
    what it brought before. Rows that can't be billed are in `rejected_usage` with file, line and reason: mend the
    file (or add the missing meter or organization) and materialize the day again.
    """
    database, lake = billing_postgres.database(), usage_store.lake()
    days = [date.fromisoformat(key) for key in context.partition_keys]
    try:
        files = land_days(database, lake, usage_store.landing(), days, FIRST_MONTH, clock.now(), context.log.info)
        failed: dict[date, str] = {}
    except DaysNotLanded as problem:
        files, failed = problem.files, problem.failures
    failures = [{"landing_day": day, "message": failed[day]} for day in sorted(failed)]
    unclear = [asdict(one) for one in needs_attention(database, usage_store.landing(), clock.now())]
    accounts = [dict(row) for row in database.rows("accounted_usage", days=days)]
    table_now = open_usage_table(database, lake)
    metadata = {
        "table_version": table_now.version,
        "files": len(files),
        "empty_files": [f"{file.day}/{file.path}" for file in files if file.landed == 0],
        "landed": sum(file.landed for file in files),
        "accepted": sum(file.accepted for file in files),
        "duplicate": sum(file.duplicate for file in files),
        "rejected": sum(file.rejected for file in files),
        "rejected_by_reason": table([dict(row) for row in database.rows("reasons_of_rejection", days=days)]),
        "by_landing_day": table(accounts, most=31),
    }
    wrong = [*failures, *unaccounted(accounts, table_now, days)]
    checks = [
        check("usage_events", ACCOUNTED_FOR, wrong, landed=metadata["landed"]),
        check("usage_events", UNDERSTOOD, unclear, WARN, cause=cause_of(unclear)),
    ]
    failed_keys = {day.isoformat() for day in failed}
    yield from report(context, metadata, checks, failed_keys, failures, are_recorded=False)


def cause_of(unclear: Sequence[Mapping[str, Any]]) -> str:
    """Return a text that is another one as soon as something else is not understood, so that it is told of again."""
    listed = "\n".join(f"{one['path']} {one['message']}" for one in unclear)
    return sha256(listed.encode()).hexdigest()


def unaccounted(
    accounts: Sequence[Mapping[str, Any]], usage: UsageTableVersion, days: Sequence[date]
) -> list[Mapping[str, Any]]:
    """List landing days whose ledger disagrees with what is really in the usage table and in rejected_usage."""
    in_lake = count_by_day(usage, days)
    wrong: list[Mapping[str, Any]] = []
    for day in accounts:
        accepted, duplicate = in_lake.get(day["landing_day"], (0, 0))
        really = {"accepted_in_table": accepted, "duplicate_in_table": duplicate}
        if (day["accepted"], day["duplicate"], day["landed"]) != (
            accepted,
            duplicate,
            accepted + duplicate + day["rejected_rows"],
        ):
            wrong.append({**day, **really})
    return wrong
