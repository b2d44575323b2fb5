"""Running the service: a database, a Stripe client to ask why a payment failed, an address. Keeps out: HTTP (`app`)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import uvicorn

from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings, SettingsError
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.event_inbox import payment_error, receive, settle_waiting_events
from fly_billing.stripe_sync.rate_limiter import RateLimiter
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.retries import RetryPolicy
from fly_billing.stripe_sync.sender import StripeSender
from fly_billing.stripe_sync.webhooks.app import PATH, build_app
from fly_billing.stripe_sync.webhooks.half_open import configuration

# Seconds to ask Stripe why a payment failed, twice (connect, read): Stripe waits some ten for our answer.
PATIENCE = 3


def serve(settings: Settings, host: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; a request that is being answered is finished first. Raises SettingsError."""
    if not settings.stripe_webhook_secret:
        raise SettingsError(
            "STRIPE_WEBHOOK_SECRET is not set: add an endpoint for the invoice.* events in Stripe's dashboard"
            f" (Webhooks), pointing at this service's {PATH}, and name its signing secret (whsec_...)"
        )
    database = BillingDatabase(settings.database_url)
    take_in = taker(database, _reader(settings, database))
    # The service's own log: every event in a line. No secret is ever in it.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    app = build_app(settings.stripe_webhook_secret.get_secret_value(), take_in)
    config = configuration(app, host=host, port=port, log_level="warning")
    say(f"Listening for Stripe webhooks at http://{host}:{port}{PATH} - press Ctrl-C to stop.")
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again that it has obeyed
        uvicorn.Server(config).run()


def taker(database: BillingDatabase, reader: StripeReader | None) -> Callable[[Mapping[str, Any]], str]:
    """Return what takes one event in: recorded and done, and those with it that waited for our sync."""

    def take_in(body: Mapping[str, Any]) -> str:
        why = (lambda invoice: payment_error(reader, invoice)) if reader else (lambda invoice: None)
        outcome = receive(database, body, "webhook", datetime.now(UTC), why)
        settle_waiting_events(database)
        return outcome

    return take_in


def _reader(settings: Settings, database: BillingDatabase) -> StripeReader | None:
    """Return a reader with little patience; None where there is no key: then alerts don't say why a payment failed."""
    if not settings.stripe_api_key:
        return None
    client = make_stripe_client(
        settings.stripe_api_key,
        settings.stripe_api_base,
        production=settings.production,
        timeout=(PATIENCE, PATIENCE),
    )
    pace = RateLimiter(database, settings.stripe_requests_per_second, settings.stripe_requests_per_endpoint)
    return StripeReader(client, StripeSender(pace, RetryPolicy(tries=1), livemode=settings.production))
