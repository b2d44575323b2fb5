"""Assembles the code location. It has no logic; tests pass their own resources to `build_defs`."""

from collections.abc import Mapping
from typing import Any

from dagster import AssetsDefinition, AssetSpec, Definitions, definitions

from fly_billing.assets.catalog import catalogued
from fly_billing.assets.external import organizations, price_books, usage_sources
from fly_billing.assets.finance_months import finance_months
from fly_billing.assets.invoices import invoices
from fly_billing.assets.stripe_invoices import stripe_invoices
from fly_billing.assets.stripe_reconciliation import stripe_account, stripe_reconciliation
from fly_billing.assets.usage_events import usage_events
from fly_billing.assets.usage_rollups import usage_rollups
from fly_billing.executors import chosen_executor
from fly_billing.jobs import JOBS, SCHEDULES
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.clock import Clock
from fly_billing.resources.heartbeat import Heartbeat
from fly_billing.resources.reports import Reports
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore
from fly_billing.sensors import SENSORS
from fly_billing.settings import Settings

ASSETS: list[AssetsDefinition | AssetSpec] = [
    usage_sources,
    usage_events,
    organizations,
    price_books,
    usage_rollups,
    invoices,
    stripe_invoices,
    stripe_account,
    stripe_reconciliation,
    finance_months,
]


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> Definitions:
    """Build the code location. `resource_overrides` replace resources by name, for tests and rehearsals."""
    resources = {
        "alerts": Alerts(),
        "billing_postgres": BillingPostgres(),
        "billing_terms": BillingTerms(),
        "clock": Clock(),
        "heartbeat": Heartbeat(),
        "reports": Reports(),
        "stripe_account": StripeAccount(),
        "usage_store": UsageStore(),
    }
    settings = Settings.from_environment()
    return Definitions(
        assets=[catalogued(asset, settings) for asset in ASSETS],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={**resources, **(resource_overrides or {})},
        executor=chosen_executor(settings),
    )


@definitions
def defs() -> Definitions:
    """Return the code location to Dagster. It is a function so that importing this module reads no settings."""
    return build_defs()
