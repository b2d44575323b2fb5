"""What banks and cardholders do, as a person tries it out in Stripe's dashboard: a refund that fails.

It is part of the control API, and follows the rules of the objects. Not here: edits against the rules (`control`).
"""

from fly_billing.stripe_sandbox import refunds
from fly_billing.stripe_sandbox.pipeline import Pipeline
from fly_billing.stripe_sandbox.store import Json


def fail_refund(pipeline: Pipeline, ids: Json, given: Json) -> Json:
    """Let the customer's bank send a refund back."""
    with pipeline.store.transaction():
        return refunds.fail(pipeline.store, ids["id"], given.get("reason", "expired_or_canceled_card"))
