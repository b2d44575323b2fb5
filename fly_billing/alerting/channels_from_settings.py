"""Builds the channels from the settings. An incomplete channel is an error, so that no alert is lost silently."""

from __future__ import annotations

from collections.abc import Callable
from email.errors import MessageError
from email.headerregistry import Address
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from slack_sdk.web.client import WebClient

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.mail import MailChannel, MailServer
from fly_billing.alerting.slack import SlackChannel
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.credentials import check_secret_address
from fly_billing.settings import Settings, SettingsError, reveal

# Makes a client from a bot token and an API address (None: Slack's own).
SlackClient = Callable[[str, str | None], WebClient]


def configured_channels(settings: Settings, slack_client: SlackClient) -> list[Channel]:
    """Return every channel that is set. Raises SettingsError naming each missing or invalid setting."""
    return [*_webhook(settings), *_slack(settings, slack_client), *_mail(settings)]


def _webhook(settings: Settings) -> list[Channel]:
    if not settings.alert_webhook_url:
        return []
    return [WebhookChannel(check_secret_address("ALERT_WEBHOOK_URL", settings.alert_webhook_url.get_secret_value()))]


def _slack(settings: Settings, slack_client: SlackClient) -> list[Channel]:
    token = reveal(settings.slack_bot_token)
    demand_all(SLACK_BOT_TOKEN=token, SLACK_CHANNEL=settings.slack_channel)
    if not token or not settings.slack_channel:
        return []
    if settings.slack_api_base:
        check_secret_address("SLACK_API_BASE", settings.slack_api_base, is_base=True)
        _refuse_proxy(settings.slack_api_base)
    client = slack_client(token, settings.slack_api_base)
    return [SlackChannel(client, settings.slack_channel, dagster_url=settings.dagster_url)]


def _refuse_proxy(base: str) -> None:
    """Raise SettingsError if Slack's client would send the bot's token through a proxy in the clear.

    The client uses the environment's proxies for http too, and has no option against it.
    """
    address = urlsplit(base)
    if address.scheme == "http" and getproxies().keys() & {"http", "https"} and not proxy_bypass(address.netloc):
        raise SettingsError(
            f"SLACK_API_BASE is http, so a proxy (HTTP_PROXY, HTTPS_PROXY) would read the bot's token:"
            f" add {address.hostname} to NO_PROXY, or use https"
        )


def _mail(settings: Settings) -> list[Channel]:
    sender, to, url = settings.alert_email_from, settings.alert_email_to, reveal(settings.smtp_url)
    if not sender and not to and settings.customer_email_from:
        return []  # only customers get e-mail
    demand_all(ALERT_EMAIL_TO=to, ALERT_EMAIL_FROM=sender, SMTP_URL=url)
    if not sender or not to or not url:
        return []
    server = MailServer.from_url(url)
    sender = email_address("ALERT_EMAIL_FROM", sender)
    recipients = [email_address("ALERT_EMAIL_TO", address) for address in to.split(",") if address.strip()]
    return [MailChannel(server, sender, recipient) for recipient in dict.fromkeys(recipients)]


def demand_all(**settings: str | None) -> None:
    """Raise SettingsError if some of the settings are given and some are not."""
    missing = [name for name, value in settings.items() if not value]
    if missing and len(missing) < len(settings):
        named = [name for name, value in settings.items() if value]
        raise SettingsError(f"{' and '.join(missing)} must be set if {' and '.join(named)} is set: see .env.example")


def email_address(name: str, text: str) -> str:
    """Return the e-mail address in a setting. Raises SettingsError that names the setting."""
    try:
        found = Address(addr_spec=text.strip())
    except (MessageError, ValueError, IndexError):
        found = Address()
    if not found.username or not found.domain:
        raise SettingsError(f"{name}: {text.strip()!r} is not an e-mail address such as oncall@example.com")
    return found.addr_spec
