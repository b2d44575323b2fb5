"""The Stripe account, or the sandbox, as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.settings import Settings
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncRules, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rate_limiter import Pace
from fly_billing.stripe_sync.reader import StripeReader


class StripeAccount(ConfigurableResource[Any]):
    """The Stripe account, or the sandbox (STRIPE_API_KEY, STRIPE_API_BASE), at the pace its limits allow."""

    api_key: str | None = None
    api_base: str | None = None

    def sync_tools(self, database: BillingDatabase, clock: Clock, run_id: str) -> SyncTools:
        """Return what a sync needs. Raises SettingsError where the key is missing or must not be used here."""
        settings = Settings.from_environment()
        return SyncTools(
            journal=StripeJournal(database, run_id),
            client=make_stripe_client(
                self.api_key or settings.stripe_api_key,
                self.api_base or settings.stripe_api_base,
                production=settings.production,
            ),
            pace=Pace(database, settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint),
            clock=clock.now,
            rules=SyncRules(workers=settings.stripe_workers),
        )

    def reader(self, tools: SyncTools) -> StripeReader:
        return tools.reader()
