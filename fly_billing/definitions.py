"""Assembles the code location. It has no logic; tests pass their own resources to `build_defs`."""

from collections.abc import Mapping, Sequence
from typing import Any

from dagster import AssetsDefinition, AssetSpec, Definitions, definitions

from fly_billing.assets.catalog import catalogued
from fly_billing.assets.declared_sources import source_assets
from fly_billing.assets.external import organizations, platform_database, price_books, usage_sources
from fly_billing.assets.finance_journals import finance_journals
from fly_billing.assets.finance_months import finance_months
from fly_billing.assets.invoices import invoices
from fly_billing.assets.platform_records import platform_records
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.assets.stripe_money import stripe_money
from fly_billing.assets.stripe_reconciliation import stripe_account, stripe_reconciliation
from fly_billing.assets.usage_events import usage_events
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.assets.usage_table_files import usage_table_files
from fly_billing.executors import chosen_executor
from fly_billing.jobs import JOBS, SCHEDULES
from fly_billing.partition_start import month_or_all, starting_in
from fly_billing.periods import BillingMonth
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.customer_alerts import CustomerAlerts
from fly_billing.resources.heartbeat import Heartbeat
from fly_billing.resources.reports import Reports
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.sensors import SENSORS
from fly_billing.sensors.keep_open_months_current import update_sensors
from fly_billing.settings import Settings
from fly_billing.worklist.due import closed_until, first_month_with_work

ASSETS: list[AssetsDefinition | AssetSpec] = [
    platform_database,
    platform_records,
    usage_sources,
    usage_events,
    usage_table_files,
    organizations,
    price_books,
    usage_rollups,
    invoices,
    stripe_invoices,
    stripe_account,
    stripe_reconciliation,
    stripe_money,
    finance_months,
    finance_journals,
]


def build_defs(
    resource_overrides: Mapping[str, Any] | None = None, first_month: BillingMonth | None = None
) -> Definitions:
    """Build the code location.

    Args:
        resource_overrides: Replace resources by name, for tests and rehearsals.
        first_month: The first month with partitions; None: the first one with usage, an invoice or something to bill.
    """
    resources = {
        "alerts": Alerts(),
        "billing_postgres": BillingPostgres(),
        "billing_terms": BillingTerms(),
        "clock": Clock(),
        "customer_alerts": CustomerAlerts(),
        "heartbeat": Heartbeat(),
        "reports": Reports(),
        "stripe_account": StripeAccount(),
        "usage_store": UsageStore(),
        "workspace_folder": WorkspaceFolder(),
    }
    used = {**resources, **(resource_overrides or {})}
    declared = source_assets(used["workspace_folder"].folder())
    settings, first = Settings.from_environment(), first_month or month_or_all(lambda: _first_month(used))
    return Definitions(
        assets=[starting_in(first, catalogued(asset, settings)) for asset in [*declared, *_fed_by(declared)]],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=[*SENSORS, *update_sensors(settings.update_minutes)],
        resources=used,
        executor=chosen_executor(settings),
    )


def _fed_by(declared: Sequence[AssetSpec]) -> list[AssetsDefinition | AssetSpec]:
    """Return our assets, with these sources upstream of the landing folder."""
    fed = usage_sources.merge_attributes(deps=[source.key for source in declared])
    return [fed if asset is usage_sources else asset for asset in ASSETS]


def _first_month(resources: Mapping[str, Any]) -> BillingMonth | None:
    database, landing = resources["billing_postgres"].database(), resources["usage_store"].landing()
    closed = closed_until(resources["clock"].now(), resources["billing_terms"].terms().grace)
    try:
        return first_month_with_work(database, landing, closed)
    finally:
        database.engine.dispose()  # a process that only shows or launches runs keeps no connection


@definitions
def defs() -> Definitions:
    """Return the code location to Dagster. It is a function so that importing this module reads no settings."""
    return build_defs()
