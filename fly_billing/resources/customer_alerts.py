"""The channels to customers and to the platform as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.alerting.channel import Channel
from fly_billing.customer_alerts.channels import cap_hook, customer_mail, customer_webhook
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings


class CustomerAlerts(ConfigurableResource[Any]):
    """E-mail to customers, and the platform's endpoints for their alerts and caps, as far as they are set.

    Attributes:
        fly_billing_first_alert: The first threshold of new organizations: see `.env.example`.
        fly_billing_page_url: The public address of `fly-billing api`, to which links in e-mails lead.
    """

    smtp_url: str | None = None
    fly_billing_first_alert: str | None = None
    fly_billing_customer_email_from: str | None = None
    fly_billing_link_secret: str | None = None
    fly_billing_page_url: str | None = None
    fly_billing_customer_webhook_url: str | None = None
    fly_billing_customer_webhook_secret: str | None = None
    fly_billing_cap_hook_url: str | None = None
    fly_billing_cap_hook_secret: str | None = None

    def channels(self, database: BillingDatabase, operators: list[Channel]) -> AlertChannels:
        """Read the settings again and return the channels that are set. Raises SettingsError if one is incomplete."""
        settings = self._settings()
        return AlertChannels(operators, customer_mail(settings, database), customer_webhook(settings))

    def cap_hook(self) -> Channel | None:
        """Return the platform's endpoint for caps, if it is set. Raises SettingsError if it is incomplete."""
        return cap_hook(self._settings())

    def terms(self) -> AlertTerms:
        """Return when a month is over, and the first alert of new organizations. Raises SettingsError."""
        settings = self._settings()
        return AlertTerms(settings.grace, settings.first_alert)

    def _settings(self) -> Settings:
        given = {name.upper(): value for name in CustomerAlerts.model_fields if (value := getattr(self, name))}
        return Settings.from_environment(given)
