"""The asset beside `usage_events`: its files, joined and cleaned up every night."""

from collections.abc import Iterator

from dagster import (
    AllPartitionMapping,
    AssetCheckResult,
    AssetDep,
    AssetExecutionContext,
    MaterializeResult,
    asset,
)

from fly_billing.assets.catalog import OWNERS, USAGE, WRITES_FILES
from fly_billing.assets.partition_metadata import of_maintenance
from fly_billing.assets.run_report import explains_failures
from fly_billing.assets.usage_events import usage_events
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.maintenance import maintain


@asset(
    deps=[AssetDep(usage_events, partition_mapping=AllPartitionMapping())],
    kinds={"deltalake"},
    group_name=USAGE,
    owners=OWNERS,
    tags=WRITES_FILES,
)
@explains_failures
def usage_table_files(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, usage_store: UsageStore, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """The data files of the usage table: few and large, and none that nothing refers to.

    Landings of every few minutes leave many small files. Every night, the files of each day that is over are joined,
    after every row was compared, and files that no version in use has are deleted 30 days after they were replaced. A
    version is in use while an invoice, a correction or a roll-up refers to it, so every final invoice can be explained
    and recalculated. If one of them can't be read, or other files are in the folder, the run fails and deletes nothing.
    `versions lost` are those in use that a table had which has been replaced since.
    """
    database, usage_table = billing_postgres.database(), usage_store.usage_table()
    maintained = maintain(database, usage_table, clock.now().date(), context.log.info)
    yield MaterializeResult(metadata=of_maintenance(maintained) if maintained else {})
