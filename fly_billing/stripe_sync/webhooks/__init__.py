"""The service that receives Stripe's webhooks: `fly-billing webhooks`.

Not here: the effect of an event (`stripe_sync.rules.events`), and recording it (`stripe_sync.event_inbox`).
"""

from fly_billing.stripe_sync.webhooks.app import PATH, build_app
from fly_billing.stripe_sync.webhooks.server import serve

__all__ = ["PATH", "build_app", "serve"]
