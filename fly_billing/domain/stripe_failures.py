"""What a failed step at Stripe means, told to the customer and to whoever is on call. Keeps out: telling them.

Codes are Stripe's (docs.stripe.com/error-codes) or ours for answers that never came.
"""

from __future__ import annotations

from dataclasses import dataclass

WAITING = (
    "Your invoice is ready and its amount is final; handing it to our payment provider is delayed."
    " Nothing is lost or charged twice."
)
ACCOUNT = (
    "Your invoice is ready and its amount is final, but our payment provider can't take it for your account yet."
    " We are looking into it; you need not do anything now."
)


@dataclass(frozen=True)
class StripeFailure:
    """One failure of one invoice. `retryable`: trying again unchanged can help."""

    code: str
    customer_text: str
    operator_text: str
    retryable: bool


_KNOWN = {
    "no_answer": (WAITING, "no answer came: sent again with the same key by the next run; check Stripe's status", True),
    "server_error": (WAITING, "Stripe failed (5xx): sent again with the same key by the next run", True),
    "conflict": (WAITING, "Stripe was still at work on the same request: the next run asks again", True),
    "rate_limited": (WAITING, "Stripe limits our rate: the pace slows down by itself, the next run goes on", True),
    "lock_timeout": (WAITING, "Stripe's object was locked by another request: the next run goes on", True),
    "authentication": (
        WAITING,
        "Stripe refused the API key: check STRIPE_API_KEY, then launch sync_month again",
        False,
    ),
    "customer_missing": (
        ACCOUNT,
        "Stripe has no such customer: correct organizations.stripe_customer_id (or set it to null, to have one made),"
        " then launch the partition again",
        False,
    ),
    "customer_unknown": (
        ACCOUNT,
        "whether Stripe made the customer is unknown and it can't be found: look for the organization in Stripe's"
        " dashboard, write its id into organizations.stripe_customer_id, then launch the partition again",
        False,
    ),
    "verify_mismatch": (
        WAITING,
        "the draft in Stripe does not add up to our invoice, twice over: compare the two; nothing was finalized",
        False,
    ),
    "duplicate_in_stripe": (
        ACCOUNT,
        "Stripe holds more than one invoice for this one: `fly-billing repair MONTH` voids all but ours, then launch"
        " the partition again",
        False,
    ),
    "differs_in_stripe": (
        ACCOUNT,
        "the finalized invoice in Stripe has another total or currency than ours: `fly-billing repair MONTH` voids it"
        " and makes it anew. Voided in the dashboard it would count as taken back, and void here too",
        False,
    ),
}


def stripe_failure(code: str, message: str, request_id: str | None) -> StripeFailure:
    """Return the texts for a code; Stripe's own message and request id are kept for the operator."""
    customer, operator, retryable = _KNOWN.get(
        code,
        (ACCOUNT, "Stripe refused the request: mend what its message says, then launch the partition again", False),
    )
    said = f" Stripe said: {message}" if message else ""
    request = f" (request {request_id})" if request_id else ""
    return StripeFailure(code, customer, f"{operator}.{said}{request}", retryable)
