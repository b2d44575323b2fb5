"""The asset after the report: the journal of an accounting month, which is written only while the books agree."""

from collections.abc import Iterator

from dagster import AssetCheckResult, AssetExecutionContext, BackfillPolicy, MaterializeResult, asset

from fly_billing.accounting.books import BooksDiffer
from fly_billing.assets.catalog import FINANCE, OWNERS, WRITES_FILES, billing_table
from fly_billing.assets.finance_months import finance_months
from fly_billing.assets.partition_metadata import of_journal
from fly_billing.assets.run_report import PartitionOutcomes, explains_failures, report
from fly_billing.finance.journal_files import write_journal
from fly_billing.partitions import month_key, month_partitions, months
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.reports import Reports


@asset(
    partitions_def=months,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[finance_months],
    kinds={"postgres", "csv"},
    group_name=FINANCE,
    owners=OWNERS,
    tags=WRITES_FILES,
    metadata=billing_table("finance_journal"),
)
@explains_failures
def finance_journals(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, reports: Reports, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """The journal of an accounting month for a general ledger, as CSV: debits and credits by account.

    The checks of `finance_months` block it: while the ledger differs from its sources or from what Stripe asks for, the
    files stay as they were, also those of months that were closed with such a difference. A run of this asset alone
    compares the same and fails with the differences, but writes closed months: their journals never change. The journal
    of a month is a draft until `fly-billing finance close-period`.
    """
    outcomes = PartitionOutcomes([month_key(month) for month in month_partitions(context, clock.now())])
    for month in month_partitions(context, clock.now()):
        try:
            written = write_journal(billing_postgres.database(), month, reports.folder(), clock.now())
        except BooksDiffer as problem:
            for line in problem.lines:
                outcomes.fail(month_key(month), {"month": str(month), "what": line})
            continue
        outcomes.done[month_key(month)] = of_journal(written, reports.link(written.path))
        context.log.info(f"{month}: journal written to {written.path}")
    yield from report(context, outcomes, [], are_recorded=False)
