"""The asset before usage: organizations and their terms, as the platform's own database has them."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    Failure,
    MaterializeResult,
    asset,
)

from fly_billing.assets.catalog import BILLING, OWNERS, WRITES_POSTGRES, billing_table
from fly_billing.assets.external import platform_database
from fly_billing.assets.run_report import check, explains_failures, table
from fly_billing.corrections.correction import Actor
from fly_billing.platform_database.all_databases import PlatformReads, read_all_databases
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.workspace.rules.planning import ACTIONS

TAKEN = "every_row_of_the_platform_is_taken"
NAME = "platform_records"


@asset(
    name=NAME,
    check_specs=[
        AssetCheckSpec(
            TAKEN,
            asset=NAME,
            description="No row of the platform's database was refused. If the check fails, the organizations of the"
            " listed rows stay as they are, and are billed like that: correct the rows, or the query and `values` in"
            " sources.yaml. `fly-billing read-platform --dry-run` shows the result.",
        )
    ],
    deps=[platform_database],
    kinds={"sql", "postgres"},
    group_name=BILLING,
    owners=OWNERS,
    tags=WRITES_POSTGRES,
    metadata=billing_table("workspace_records"),
)
@explains_failures
def platform_records(
    context: AssetExecutionContext, billing_postgres: BillingPostgres, workspace_folder: WorkspaceFolder, clock: Clock
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Organizations, subscriptions and one-off items from the platform's own database.

    `databases` in the workspace's sources.yaml (FLY_BILLING_WORKSPACE) has the queries; without it, nothing is read.
    New and changed rows are written; a row that is gone ends its subscription, or closes its organization. If
    suspiciously many rows are gone, nothing is written and the run fails: `fly-billing read-platform --close-many`
    accepts the loss.
    """
    actor = Actor(NAME, clock.now(), f"read from the platform's database by run {context.run.run_id}")
    found = read_all_databases(billing_postgres.database(), workspace_folder.folder(), actor, workspace_folder.groups())
    if found.problems:
        raise Failure("; ".join(found.problems), metadata=_metadata_of(found), allow_retries=False)
    yield MaterializeResult(metadata=_metadata_of(found))
    refused = found.refused_rows()
    yield check(NAME, TAKEN, refused, cause=_cause_of(refused))


def _metadata_of(found: PlatformReads) -> dict[str, Any]:
    return {
        "databases": [read.database for read in found.reads],
        "rows": sum(sum(read.read.values()) for read in found.reads),
        **{action.replace(" ", "_"): found.total(action) for action in (*ACTIONS, "unchanged", "refused")},
        "differences": table(found.differences()),
        "refused_rows": table(found.refused_rows()),
        "final_invoices_that_wait": table(
            [{"what": month.notice} for read in found.reads for month in read.closed_months]
        ),
    }


def _cause_of(refused: list[dict[str, Any]]) -> str:
    """Return a text that differs as soon as another row is refused, so that it is alerted on again."""
    listed = sorted(f"{row['query']} {row['key']} {row['organization']} {row['problem']}" for row in refused)
    return sha256("\n".join(listed).encode()).hexdigest()
