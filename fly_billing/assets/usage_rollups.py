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
from fly_billing.partitions import BillingPartition, billing_partitions, month_by_org
from fly_billing.resources.dagster_resources import BillingPostgres, Clock, UsageStore
from fly_billing.resources.postgres import BillingDatabase
from fly_billing.resources.rollups import roll_up
from fly_billing.resources.usage_lake import UsageLake, sum_by_meter

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
            description="Events and quantity per meter are the same in the rollups as in the usage table, added up"
            " there once more. If it fails, somebody would be billed too much or too little: materialize the month"
            " again.",
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
    for part in billing_partitions(context):
        result = roll_up(database, lake, part.month, part.groups, clock.now())
        metadata[str(part.month)] = (
            f"{result.events:,} events of {result.organizations:,} organizations -> {result.rollups:,} rollups"
            f" ({result.changed:,} organizations changed), table version {result.lake_version}"
        )
        context.log.info(f"{part.month}: {metadata[str(part.month)]}")
        wrong += not_rolled_up(database, lake, part)
    yield from report(context, metadata, [check("usage_rollups", ROLLED_UP, wrong, **metadata)], failed_keys=set())


def not_rolled_up(database: BillingDatabase, lake: UsageLake, part: BillingPartition) -> list[Mapping[str, Any]]:
    """List meters whose rollups do not hold exactly the events and the quantity that the usage table holds."""
    ids = [row["id"] for row in database.rows("organization_ids_of_groups", groups=list(part.groups))]
    _, used = sum_by_meter(lake, part.month, ids)
    found = database.rows("rolled_up_events", month=part.month.first_day, groups=list(part.groups))
    rolled_up = {row["meter"]: (row["events"], row["quantity"]) for row in found}
    return [
        {"month": str(part.month), "meter": meter, "in_usage_table": used.get(meter), "rolled_up": rolled_up.get(meter)}
        for meter in sorted(used.keys() | rolled_up.keys())
        if used.get(meter) != rolled_up.get(meter)
    ]
