"""The second stage: a month's events become exact quantities per organization, meter and dimensions."""

from collections.abc import Iterator, Mapping
from typing import Any

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetCheckSpec,
    AssetDep,
    AssetExecutionContext,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from fly_billing.assets.outcomes import check, report
from fly_billing.assets.usage_events import usage_events
from fly_billing.partitions import billing_partitions, month_by_org, partition_key
from fly_billing.resources.dagster_resources import BillingPostgres, Clock, UsageStore
from fly_billing.resources.rollups import RollupMismatch, roll_up

ROLLED_UP = "every_accepted_event_is_in_exactly_one_rollup"


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    # An event of a month may land on any day after it, so every landing day is upstream of every month.
    deps=[AssetDep(usage_events, partition_mapping=AllPartitionMapping())],
    check_specs=[
        AssetCheckSpec(
            ROLLED_UP,
            asset="usage_rollups",
            description="Events and quantity of every organization and meter are the same in the rollups as in the"
            " usage table, added up there once more. If it fails, somebody would be billed too much or too little:"
            " nothing was written, and no invoice is computed from it.",
            blocking=True,
        )
    ],
    kinds={"duckdb", "postgres"},
    group_name="fly_billing",
)
def usage_rollups(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, usage_store: UsageStore, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """What each organization used in the month: an exact sum per meter and dimensions.

    Made anew from the usage table as often as you like; usage that did not change leaves everything as it was. What a
    finalized invoice billed is kept beside it.
    """
    database, lake = billing_postgres.database(), usage_store.lake()
    metadata: dict[str, Any] = {}
    wrong: list[Mapping[str, Any]] = []
    failed: set[str] = set()
    parts = billing_partitions(context)
    with usage_store.open_engine() as engine:
        for number, part in enumerate(parts, start=1):
            context.log.info(f"{part.month} ({number} of {len(parts)})")
            try:
                result = roll_up(database, lake, part.month, part.groups, clock.now(), engine)
            except RollupMismatch as mismatch:
                wrong += mismatch.rows
                failed |= {str(partition_key(part.month, group)) for group in part.groups}
                continue
            metadata[str(part.month)] = (
                f"{result.events:,} events of {result.organizations:,} organizations -> {result.rollups:,} rollups"
                f" ({result.changed:,} organizations changed), table version {result.lake_version}"
            )
            context.log.info(f"{part.month}: {metadata[str(part.month)]}")
    checks = [check("usage_rollups", ROLLED_UP, wrong, **metadata)]
    yield from report(context, metadata, checks, failed, wrong, are_recorded=False)
