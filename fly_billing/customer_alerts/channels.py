"""Builds the channels to customers and to the platform from the settings. An incomplete one is an error."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fly_billing.alerting.channels_from_settings import demand_all, email_address
from fly_billing.alerting.mail import MailServer
from fly_billing.alerting.signed_webhook import SignedWebhook, webhook_from_settings
from fly_billing.customer_alerts.customer_mail import CustomerMail
from fly_billing.customer_alerts.spend_caps import NAME as CAP_HOOK
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings, SettingsError, reveal

WEBHOOK = "customer webhook"
Made = TypeVar("Made")


def built(make: Callable[[], Made], problems: list[SettingsError]) -> Made | None:
    """Return the result of `make`. Add a wrong setting to the problems, so that other channels still work."""
    try:
        return make()
    except SettingsError as problem:
        problems.append(problem)
        return None


def customer_mail(settings: Settings, database: BillingDatabase) -> CustomerMail | None:
    """Return the e-mail to customers, if it is set. Raises SettingsError for a missing or invalid one."""
    sender = settings.customer_email_from
    if not sender:
        return None
    smtp_url, secrets = reveal(settings.smtp_url), settings.link_secrets
    demand_all(
        FLY_BILLING_CUSTOMER_EMAIL_FROM=sender,
        SMTP_URL=smtp_url,
        FLY_BILLING_PAGE_URL=settings.page_url,
        FLY_BILLING_LINK_SECRET=secrets[0] if secrets else None,
    )
    address = email_address("FLY_BILLING_CUSTOMER_EMAIL_FROM", sender)
    return CustomerMail(database, MailServer.from_url(smtp_url or ""), address, settings.page_url or "", secrets[0])


def customer_webhook(settings: Settings) -> SignedWebhook | None:
    """Return the platform's endpoint for customers' alerts, if it is set. Raises SettingsError."""
    url, secret = reveal(settings.customer_webhook_url), reveal(settings.customer_webhook_secret)
    return webhook_from_settings("FLY_BILLING_CUSTOMER_WEBHOOK", url, secret, WEBHOOK)


def cap_hook(settings: Settings) -> SignedWebhook | None:
    """Return the platform's endpoint for spending caps, if it is set. Raises SettingsError."""
    url, secret = reveal(settings.cap_hook_url), reveal(settings.cap_hook_secret)
    return webhook_from_settings("FLY_BILLING_CAP_HOOK", url, secret, CAP_HOOK, needs_acknowledgement=True)
