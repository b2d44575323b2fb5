"""The light run of every few minutes: lands, rolls up and bills what changed, whatever partitions that concerns.

A run of assets would plan and record every partition of an open month: 264 billing groups, two assets, 288 times a day.
This one records the landing days that it landed, and per open month one observation of each asset with its numbers.
The hourly landing and the nightly billing record all partitions and evaluate all checks.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetMaterialization,
    AssetObservation,
    Failure,
    OpExecutionContext,
    in_process_executor,
    job,
    op,
)

from fly_billing.assets.declared_sources import record_sources, source_key
from fly_billing.assets.run_report import REPORTED_BY_SENSOR, described_failures, table
from fly_billing.assets.usage_events import metadata_of_day
from fly_billing.open_months.changes import find_changes
from fly_billing.open_months.update import Update, UpdatedMonth, UpdateReport, bring_up_to_date
from fly_billing.ops.old_runs import delete_old_runs
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.usage_store import UsageStore
from fly_billing.resources.workspace_folder import WorkspaceFolder

# Tags of a run. Prices or terms may have changed since the last one, so it bills all open months.
ALL_OPEN_MONTHS = "fly_billing/all_open_months"
# `Changes.terms` and `Changes.fingerprint` when the run was requested.
TERMS, CHANGES = "fly_billing/terms", "fly_billing/changes"
# Tag of a run that billed, with these terms, all that can be billed; it fails if an organization could not be.
BILLED = "fly_billing/billed"


@op(
    name="update_what_changed",
    description="Land the changed days, then roll up and bill the organizations that changed in the open months.",
)
def update_what_changed(
    context: OpExecutionContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
    workspace_folder: WorkspaceFolder,
    clock: Clock,
) -> None:
    database, terms, landing = billing_postgres.database(), billing_terms.terms(), usage_store.landing()
    changes = find_changes(database, landing, clock.now(), terms.grace)
    context.log.info(changes.sentence)
    all_months, declared = ALL_OPEN_MONTHS in context.run.tags, workspace_folder.declared_sources()
    update = Update(
        database, usage_store.usage_table(), landing, terms, context.run_id, clock.now, declared, context.log.info
    )  # fmt: skip
    report = bring_up_to_date(update, changes, all_months=all_months)
    context.instance.add_run_tags(context.run_id, {BILLED: "true"})
    _record(context, database, report, clock)
    sources = [source_key(source.name) for source in declared.sources]
    delete_old_runs(context.instance, context.job_name, datetime.now(UTC), sources)
    _refuse_failures(report)


@job(
    executor_def=in_process_executor,
    description="Land, roll up and bill what changed in the open months since the last run, in one light run.",
)
def update_open_months() -> None:
    update_what_changed()


def _record(context: OpExecutionContext, database: BillingDatabase, report: UpdateReport, clock: Clock) -> None:
    if report.landed:
        for day in report.landed.days:
            if day not in report.landed.failures:
                metadata = metadata_of_day(database, report.landed, day)
                context.log_event(AssetMaterialization("usage_events", partition=day.isoformat(), metadata=metadata))
        record_sources(context, report.landed.sources, clock.now())
    for updated in report.months:
        month, rolled_up = str(updated.month), updated.rolled_up
        usage = {"organizations_rolled_up": rolled_up.organizations, "table_version": rolled_up.usage_table_version}
        context.log_event(AssetObservation("usage_rollups", metadata={"month": month, **usage}))
        billed = {"invoices": len(updated.billed.invoices), "invoices_calculated": updated.changed}
        context.log_event(AssetObservation("invoices", metadata={"month": month, **billed}))


def _refuse_failures(report: UpdateReport) -> None:
    """Raise Failure if a day, an organization or a check failed. Everything else is done."""
    recorded = [row for updated in report.months for row in _failed_organizations(updated)]
    others = [*_failed_days(report), *(row for updated in report.months for row in updated.wrong)]
    if not recorded and not others:
        return
    rows = [*others, *recorded]
    # `alert_on_failed_invoices` alerts on organizations that could not be billed.
    reported = {} if others else {REPORTED_BY_SENSOR: True}
    raise Failure(
        f"{described_failures(rows)}; everything else is up to date",
        metadata={"failures": table(rows), **reported},
        allow_retries=False,
    )


def _failed_days(report: UpdateReport) -> Iterator[Mapping[str, Any]]:
    if report.landed:
        yield from ({"landing_day": day, "what to do": text} for day, text in sorted(report.landed.failures.items()))
        yield from report.landed.unaccounted


def _failed_organizations(updated: UpdatedMonth) -> Iterator[Mapping[str, Any]]:
    month, named = str(updated.month), set()
    for failure in updated.billed.failures:
        named.add(failure.organization_id)
        yield {
            "month": month, "organization": failure.organization_id, "code": failure.error.code,
            "what to do": failure.error.operator_text,
        }  # fmt: skip
    for damaged in updated.rolled_up.failures:
        if damaged.organization_id not in named:
            yield {"month": month, "organization": damaged.organization_id, "what to do": damaged.reason}
