"""Runs the webhook service with its database and a Stripe client that reads payment errors. Not here: HTTP (`app`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import uvicorn

from fly_billing.http_limits import configuration
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings, SettingsError
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.event_inbox import receive, settle_waiting_events
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.retries import RetryPolicy
from fly_billing.stripe_sync.sender import StripeSender
from fly_billing.stripe_sync.webhooks.app import PATH, build_app

# Seconds to connect, and to read a payment's error from Stripe. Stripe waits about ten seconds for our response.
READ_SECONDS = 3


def serve(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM, and finish the current requests. Raises SettingsError.

    Args:
        say: Called with a line for the terminal.
    """
    if not settings.stripe_webhook_secret:
        raise SettingsError(
            "STRIPE_WEBHOOK_SECRET is not set: in Stripe's dashboard (Webhooks), add an endpoint for the invoice.*,"
            " credit_note.*, refund.*, charge.dispute.* and customer.updated events, with this service's address and"
            f" {PATH}, and set its signing secret (whsec_...)"
        )
    database = BillingDatabase(settings.database_url)
    receive_event = make_receiver(database, _reader(settings, database))
    # The service's log has one line per event. It never contains a secret.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    app = build_app(settings.stripe_webhook_secret.get_secret_value(), receive_event)
    config = configuration(app, host=host, port=port, log_level="warning")
    say(f"Listening for Stripe webhooks at http://{host}:{port}{PATH} - press Ctrl-C to stop.")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again after it has stopped
        uvicorn.Server(config).run()


def make_receiver(database: BillingDatabase, reader: StripeReader | None) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that records and applies an event, and events that waited for our sync."""

    def receive_event(body: Mapping[str, Any]) -> str:
        outcome = receive(database, body, "webhook", datetime.now(UTC), reader)
        settle_waiting_events(database)
        return outcome

    return receive_event


def _reader(settings: Settings, database: BillingDatabase) -> StripeReader | None:
    """Return a reader with short timeouts, or None without an API key (see `event_inbox.receive`)."""
    if not settings.stripe_api_key:
        return None
    client = make_stripe_client(
        settings.stripe_api_key,
        settings.stripe_api_base,
        production=settings.production,
        timeout=(READ_SECONDS, READ_SECONDS),
    )
    limiter = RateLimiter(database, settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint)
    return StripeReader(client, StripeSender(limiter, RetryPolicy(tries=1), livemode=settings.production))
