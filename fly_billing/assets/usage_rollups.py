"""The second asset: aggregates a month's events into exact quantities per organization, meter and dimensions."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

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

from fly_billing.assets.catalog import OWNERS, USAGE, WRITES_POSTGRES, billing_table
from fly_billing.assets.external import organizations, price_books
from fly_billing.assets.partition_checks import PartitionCheck, month_places, partition_checks
from fly_billing.assets.partition_metadata import of_rollups
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report, runs_also
from fly_billing.assets.usage_events import usage_events
from fly_billing.invoicing.group_members import groups_by_organization, with_groups_paid_for
from fly_billing.partitions import FROM_SCRATCH, BillingPartition, billing_partitions, month_by_org, partition_key
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.rollup_totals import rollup_totals
from fly_billing.usage.rollups import RollupReport
from fly_billing.usage.rollups_in_parts import roll_up_in_parts

ROLLED_UP = "every_accepted_event_is_in_exactly_one_rollup"


@asset(
    partitions_def=month_by_org,
    backfill_policy=BackfillPolicy.single_run(),
    # An event of a month may land on any day after it, so every landing day is upstream of every month.
    deps=[AssetDep(usage_events, partition_mapping=AllPartitionMapping()), organizations, price_books],
    check_specs=[
        AssetCheckSpec(
            ROLLED_UP,
            asset="usage_rollups",
            description="The number of events and the quantity of every organization and meter that a run rolls up are"
            " the same in the rollups and in a second count of the usage table; every night, of all. An organization"
            " that fails would be billed too much or too little, so its rollups are not written and it gets no invoice;"
            " the others are billed.",
        )
    ],
    kinds={"duckdb", "postgres"},
    group_name=USAGE,
    owners=OWNERS,
    tags=WRITES_POSTGRES,
    metadata=billing_table("usage_rollups"),
)
@explains_failures
def usage_rollups(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, usage_store: UsageStore, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """The usage of each organization in the month: an exact quantity per meter and dimensions.

    While the month lasts, a run rebuilds the rollups of the organizations with new usage, prices or code from the usage
    table (of all, if it has the tag `fly_billing/from_scratch`); after its end, of all organizations. Also of
    organizations in other partitions that these ones pay for: their usage is on the same invoices. The rollups that
    a finalized invoice billed are kept. An organization whose rollups were edited manually keeps its old rollups and is
    not billed from the edited ones. In a run that also builds invoices, `invoices` fails its partition, because a
    failed step here would stop the invoices of all organizations.
    """
    database, usage_table = billing_postgres.database(), usage_store.usage_table()
    results: dict[BillingMonth, RollupReport] = {}
    parts = billing_partitions(context, clock.now())
    for number, part in enumerate(parts, start=1):
        context.log.info(f"{part.month} ({number} of {len(parts)})")
        results[part.month] = roll_up_in_parts(
            database, usage_table, part.month, with_groups_paid_for(database, part.month, part.groups), clock.now(),
            from_scratch=FROM_SCRATCH in context.run.tags, processes=usage_store.most_processes(),
        )  # fmt: skip
        context.log.info(f"{part.month}: {results[part.month].sentence}")
    outcomes = _outcomes(database, parts, results)
    failures = [row for rows in outcomes.failures.values() for row in rows]
    checks = _checks(context, database, outcomes, clock.now())
    if runs_also(context, "invoices") and len(failures) < sum(result.organizations for result in results.values()):
        for key in outcomes.failures:
            outcomes.done[key] = outcomes.explained(key, context.run.run_id)
        outcomes.failures = {}
    yield from report(context, outcomes, checks, are_recorded=False)


def _checks(
    context: AssetExecutionContext, database: BillingDatabase, outcomes: PartitionOutcomes, now: datetime
) -> Iterator[AssetCheckResult]:
    wrong = {place: rows for key, rows in outcomes.failures.items() for place in month_places([key])}
    # `invoices`, or this run if it builds none, fails because of these organizations, and that is alerted.
    rolled_up = PartitionCheck(ROLLED_UP, wrong, is_reported=True)
    checked = month_places(outcomes.requested)
    return partition_checks(context, database, checked, [rolled_up], outcomes, now)


def _outcomes(
    database: BillingDatabase, parts: Sequence[BillingPartition], results: Mapping[BillingMonth, RollupReport]
) -> PartitionOutcomes:
    groups = groups_by_organization(database)
    outcomes = PartitionOutcomes([key for part in parts for key in part.keys])
    for part in parts:
        totals = rollup_totals(database, part.month, part.groups)
        for group in part.groups:
            outcomes.done[str(partition_key(part.month, group))] = of_rollups(totals[group])
        for row in _failures(part.month, results[part.month]):
            # Others were rolled up because organizations of this run pay for them: their own partitions fail.
            if (group := groups[row["organization"]]) in part.groups:
                outcomes.fail(str(partition_key(part.month, group)), row)
    return outcomes


def _failures(month: BillingMonth, result: RollupReport) -> list[Mapping[str, str]]:
    return [
        {"month": str(month), "organization": failure.organization_id, "what to do": failure.reason}
        for failure in result.failures
    ]
