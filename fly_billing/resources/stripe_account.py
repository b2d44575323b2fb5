"""The Stripe account, or the sandbox, as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.clock import Clock
from fly_billing.settings import Settings
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncRules, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import StripeReader


class StripeAccount(ConfigurableResource[Any]):
    """The Stripe account, or the sandbox, with its rate limits.

    Attributes:
        api_key, api_base: STRIPE_API_KEY, STRIPE_API_BASE.
        environment: `production` allows live keys only, `development` test keys only (FLY_BILLING_ENV).
        requests_per_second, requests_per_endpoint, workers: STRIPE_REQUESTS_PER_SECOND,
            STRIPE_REQUESTS_PER_ENDPOINT, STRIPE_WORKERS.
    """

    api_key: str | None = None
    api_base: str | None = None
    environment: str | None = None
    requests_per_second: int | None = None
    requests_per_endpoint: int | None = None
    workers: int | None = None

    def sync_tools(self, database: BillingDatabase, clock: Clock, run_id: str) -> SyncTools:
        """Return the tools of a sync. Raises SettingsError if the key is missing or may not be used here."""
        settings = self._settings()
        return SyncTools(
            journal=StripeJournal(database, run_id),
            client=make_stripe_client(
                settings.stripe_api_key, settings.stripe_api_base, production=settings.production
            ),
            limiter=RateLimiter(database, settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint),
            clock=clock.now,
            rules=SyncRules(workers=settings.stripe_workers),
            livemode=settings.production,
        )

    def _settings(self) -> Settings:
        given = {f"STRIPE_{name.upper()}": getattr(self, name) for name in StripeAccount.model_fields}
        given["FLY_BILLING_ENV"] = given.pop("STRIPE_ENVIRONMENT")
        return Settings.from_environment({name: str(value) for name, value in given.items() if value is not None})

    def reader(self, tools: SyncTools) -> StripeReader:
        return tools.reader()
