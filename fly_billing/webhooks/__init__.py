"""The service that Stripe's webhooks reach: `fly-billing webhooks`.

Keeps out: what an event means (`domain.stripe_events`) and what it changes (`resources.stripe_events`).
"""

from fly_billing.webhooks.app import PATH, build_app
from fly_billing.webhooks.server import serve

__all__ = ["PATH", "build_app", "serve"]
