"""The outside world as Dagster resources: thin, so that everything behind them works without Dagster too.

A field that is left None is read from the environment when a run needs it, never at import.
"""

from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import ConfigurableResource
from dagster_slack import SlackResource
from slack_sdk.web.client import WebClient

from fly_billing.domain.correction_guard import CorrectionGuard
from fly_billing.resources.alerting.channels import Channel
from fly_billing.resources.alerting.configured import configured_channels
from fly_billing.resources.database_check import check_migrated
from fly_billing.resources.invoicing import Terms
from fly_billing.resources.pacing import Pace
from fly_billing.resources.postgres import BillingDatabase
from fly_billing.resources.rollup_engines import RollupEngine, open_engine
from fly_billing.resources.settings import Settings
from fly_billing.resources.stripe_client import make_stripe_client
from fly_billing.resources.stripe_invoice_sync import SyncRules, SyncTools
from fly_billing.resources.stripe_journal import StripeJournal
from fly_billing.resources.stripe_reading import StripeReader
from fly_billing.resources.usage_lake import UsageLake


class Clock(ConfigurableResource[Any]):
    """The time of day, in UTC. `fixed_at` (ISO 8601 with offset) stops it, for tests and rehearsals."""

    fixed_at: str | None = None

    def now(self) -> datetime:
        return datetime.fromisoformat(self.fixed_at).astimezone(UTC) if self.fixed_at else datetime.now(UTC)


class BillingPostgres(ConfigurableResource[Any]):
    """The billing records (DATABASE_URL)."""

    url: str | None = None

    def database(self) -> BillingDatabase:
        """Return the database. Raises DatabaseProblem if its tables are not those that this code knows."""
        database = BillingDatabase(self.url or Settings.from_environment().database_url)
        check_migrated(database)
        return database


class UsageStore(ConfigurableResource[Any]):
    """Where usage files land, and the Delta table they become (FLY_BILLING_LANDING_DIR, FLY_BILLING_LAKE_DIR).

    And what adds that table up (FLY_BILLING_ROLLUP_ENGINE, SPARK_MASTER).
    """

    landing_dir: str | None = None
    lake_dir: str | None = None
    rollup_engine: str | None = None
    spark_master: str | None = None

    def landing(self) -> Path:
        return Path(self.landing_dir) if self.landing_dir else Settings.from_environment().landing_dir

    def lake(self) -> UsageLake:
        return UsageLake(Path(self.lake_dir) if self.lake_dir else Settings.from_environment().lake_dir)

    def open_engine(self) -> AbstractContextManager[RollupEngine]:
        """Open what adds events up. Raises SettingsError where it is not known or not installed."""
        settings = Settings.from_environment()
        return open_engine(self.rollup_engine or settings.rollup_engine, self.spark_master or settings.spark_master)


class BillingTerms(ConfigurableResource[Any]):
    """When a month closes and when its invoices are due (FLY_BILLING_GRACE_HOURS, FLY_BILLING_DUE_DAYS).

    And how much a correction may give back without a person (FLY_BILLING_CORRECTION_GUARD_*).
    """

    def terms(self) -> Terms:
        settings = Settings.from_environment()
        return Terms(settings.grace, settings.due_days)

    def correction_guard(self) -> CorrectionGuard:
        return Settings.from_environment().correction_guard


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


class SlackWorkspace(SlackResource):
    """Dagster's Slack resource with an address that can be set, and without retries: the outbox makes them."""

    base_url: str | None = None
    patience: int = 10  # seconds without an answer

    def get_client(self) -> WebClient:
        return WebClient(self.token, self.base_url or WebClient.BASE_URL, timeout=self.patience, retry_handlers=[])


class Alerts(ConfigurableResource[Any]):
    """Where alerts go besides the log: a webhook, Slack, e-mail; each one that is set (see `.env.example`)."""

    alert_webhook_url: str | None = None
    slack_bot_token: str | None = None
    slack_channel: str | None = None
    slack_api_base: str | None = None
    smtp_url: str | None = None
    alert_email_from: str | None = None
    alert_email_to: str | None = None

    def channels(self) -> list[Channel]:
        """Return the channels that are set, read anew each time. Raises SettingsError where one is set by halves."""
        given = {name: value for name in Alerts.model_fields if (value := getattr(self, name))}
        return configured_channels(
            replace(Settings.from_environment(), **given),
            lambda token, base: SlackWorkspace(token=token, base_url=base).get_client(),
        )
