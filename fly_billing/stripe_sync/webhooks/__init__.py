"""The service that Stripe's webhooks reach: `fly-billing webhooks`.

Keeps out: what an event means (`stripe_sync.rules.events`) and what it changes (`stripe_sync.event_inbox`).
"""

from fly_billing.stripe_sync.webhooks.app import PATH, build_app
from fly_billing.stripe_sync.webhooks.server import serve

__all__ = ["PATH", "build_app", "serve"]
