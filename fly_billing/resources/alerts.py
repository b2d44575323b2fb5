"""The channels of alerts as Dagster resources."""

from typing import Any

from dagster import ConfigurableResource
from dagster_slack import SlackResource
from slack_sdk.web.client import WebClient

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.channels_from_settings import configured_channels
from fly_billing.dunning.webhook import past_due_channels
from fly_billing.settings import Settings


class SlackWorkspace(SlackResource):
    """Dagster's Slack resource with a configurable address, and without retries, because the outbox retries.

    Attributes:
        base_url: Slack's API, unless another one is set.
        patience: Seconds to wait for a response.
    """

    base_url: str | None = None
    patience: int = 10

    def get_client(self) -> WebClient:
        return WebClient(self.token, self.base_url or WebClient.BASE_URL, timeout=self.patience, retry_handlers=[])


class Alerts(ConfigurableResource[Any]):
    """The channels of alerts besides the log: each of webhook, Slack and e-mail that is set (see `.env.example`).

    Attributes:
        fly_billing_dagster_url: The address of Dagster's pages, to which alerts link.
        fly_billing_reports_url: The address that serves the folder of reports, to which alerts link.
    """

    alert_webhook_url: str | None = None
    slack_bot_token: str | None = None
    slack_channel: str | None = None
    slack_api_base: str | None = None
    smtp_url: str | None = None
    alert_email_from: str | None = None
    alert_email_to: str | None = None
    fly_billing_dagster_url: str | None = None
    fly_billing_reports_url: str | None = None

    def channels(self) -> list[Channel]:
        """Read the settings again and return the channels that are set. Raises SettingsError if one is incomplete."""
        return configured_channels(
            self._settings(), lambda token, base: SlackWorkspace(token=token, base_url=base).get_client()
        )

    def platform_channels(self) -> list[Channel]:
        """Return the platform's webhook about late payments, if it is set. Raises SettingsError if it is incomplete."""
        return past_due_channels(self._settings())

    def past_due_days(self) -> tuple[int, ...]:
        """Return the days past due at which the platform is called."""
        return self._settings().past_due_days

    def dagster_url(self) -> str | None:
        """Return the address of Dagster's pages, to which alerts link; None if it is not set."""
        return self._settings().dagster_url

    def reports_url(self) -> str | None:
        """Return the address that serves the folder of reports; None if it is not set."""
        return self._settings().reports_url

    def _settings(self) -> Settings:
        given = {name.upper(): value for name in Alerts.model_fields if (value := getattr(self, name))}
        return Settings.from_environment(given)
