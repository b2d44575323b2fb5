"""The read API: what an organization owes, and why, over HTTP.

It owns the answers' form, tokens, and what a token may read, and lets customers set alerts and caps. It does not
own amounts: the readers of `statements` give them, so that the API, the commands and the page always say the same. It
needs the billing database only, with the role that can only read: not Stripe, not Dagster, not the usage table.
"""

from fly_billing.api.app import ApiLimits, build_api
from fly_billing.api.server import database_limits, reading_pool, serve

__all__ = ["ApiLimits", "build_api", "database_limits", "reading_pool", "serve"]
