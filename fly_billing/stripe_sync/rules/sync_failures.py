"""The texts for a failed sync step, for the customer and the on-call engineer.

Statement, Dagster and alerts share them. Codes are Stripe's (docs.stripe.com/error-codes) or ours, for missing answers
and for faults that we detect. Not here: failed payments (`payment_failures`).
"""

from __future__ import annotations

from dataclasses import dataclass

WAITING = (
    "Your invoice is ready and its amount is final, but sending it to our payment provider is delayed."
    " Nothing is lost or charged twice."
)
ACCOUNT = (
    "Your invoice is ready and its amount is final, but our payment provider can't accept it for your account yet."
    " We are looking into it; you don't need to do anything now."
)
ADDRESS = (
    "Your invoice is ready and its amount is final, but our payment provider can't calculate the tax for your address."
    " Please check the billing address and the tax ID in your account; nothing is charged until then."
)


@dataclass(frozen=True)
class StripeFailure:
    """One failure of one invoice. `retryable`: the next run can succeed without any change."""

    code: str
    customer_text: str
    operator_text: str
    retryable: bool


@dataclass(frozen=True)
class _Meaning:
    customer_text: str
    operator_text: str
    retryable: bool = False


_UNKNOWN = _Meaning(ACCOUNT, "Stripe refused the request: fix what its message says, then launch the partition again")

# By codes, with spaces between them.
_MEANINGS = {
    # Temporary failures.
    "no_answer": _Meaning(
        WAITING,
        "Stripe did not answer: the next run sends the request again under the same key; check Stripe's status page",
        retryable=True,
    ),
    "server_error": _Meaning(
        WAITING,
        "Stripe failed (5xx): the next run sends the request again under the same key",
        retryable=True,
    ),
    "conflict idempotency_key_in_use": _Meaning(
        WAITING,
        "Stripe was still processing the same request: the next run sends it again",
        retryable=True,
    ),
    "rate_limited rate_limit": _Meaning(
        WAITING,
        "Stripe limits our request rate: the rate limiter slows down automatically, and the next run continues",
        retryable=True,
    ),
    "lock_timeout": _Meaning(
        WAITING,
        "the object in Stripe was locked by another request: the next run continues",
        retryable=True,
    ),
    "failed_tax_calculation taxes_calculation_failed": _Meaning(
        WAITING,
        "Stripe could not calculate the tax: the next run tries again",
        retryable=True,
    ),
    "resource_missing invoice_not_editable status_transition_invalid invoice_no_customer_line_items": _Meaning(
        WAITING,
        "somebody deleted, finalized or edited the draft in Stripe: the next run reads it and continues;"
        " `fly-billing reconcile MONTH` shows what Stripe has",
        retryable=True,
    ),
    # The key and the connection: every other invoice fails the same way.
    "authentication api_key_expired platform_api_key_expired secret_key_required": _Meaning(
        WAITING,
        "Stripe refused the API key: check STRIPE_API_KEY, then launch sync_month again",
    ),
    "livemode_mismatch testmode_charges_only": _Meaning(
        WAITING,
        "test and live mode are mixed, or the account is not activated for live mode: check STRIPE_API_KEY and"
        " organizations.stripe_customer_id, and the account in Stripe's dashboard, then launch sync_month again",
    ),
    "tls_version_unsupported": _Meaning(
        WAITING,
        "this machine's TLS is older than Stripe accepts (1.2): update Python and OpenSSL, then launch"
        " sync_month again",
    ),
    # The Stripe account.
    "capability_not_active": _Meaning(
        WAITING,
        "the Stripe account lacks a capability: complete what the dashboard asks for under account status, then launch"
        " sync_month again",
    ),
    "action_blocked request_blocked approval_required": _Meaning(
        WAITING,
        "Stripe or a rule of your account blocked the request: release it in the dashboard or ask Stripe's"
        " support, then launch the partition again",
    ),
    "invoice_no_payment_method_types payment_method_configuration_failures payment_method_unactivated": _Meaning(
        ACCOUNT,
        "no payment method of the account fits this invoice: enable one for its currency and country in the dashboard"
        " (payment methods), then launch the partition again",
    ),
    "stripe_tax_inactive": _Meaning(
        WAITING,
        "automatic tax is on, but Stripe Tax is not set up: finish the setup in the dashboard, or turn"
        " automatic tax off, then launch sync_month again",
    ),
    # The customer.
    "customer_missing": _Meaning(
        ACCOUNT,
        "Stripe has no such customer: correct organizations.stripe_customer_id (or set it to null, and the next run"
        " creates one), then launch the partition again",
    ),
    "customer_unknown": _Meaning(
        ACCOUNT,
        "Stripe may have created the customer, but it can't be found: look for the organization in Stripe's dashboard,"
        " write the customer's id into organizations.stripe_customer_id, then launch the partition again",
    ),
    "customer_tax_location_invalid invalid_tax_location postal_code_invalid tax_id_invalid tax_id_prohibited": _Meaning(
        ADDRESS,
        "Stripe can't tax this customer: correct their address or tax ID in billing_details, or in Stripe's dashboard"
        " if you keep it there (ask the customer if you don't know it), then launch the partition again",
    ),
    "email_invalid": _Meaning(
        ACCOUNT,
        "Stripe does not accept the customer's e-mail address: correct billing_details.email, then launch the partition"
        " again",
    ),
    "over_stripe_limit": _Meaning(
        ACCOUNT,
        "a text of the invoice is longer than Stripe takes, so nothing was sent: shorten it in billing_details, then"
        " launch the partition again",
    ),
    # The amount.
    "amount_too_large": _Meaning(
        ACCOUNT,
        "the total is more than Stripe accepts in this currency: ask Stripe's support to raise the limit and launch the"
        " partition again, or collect it another way",
    ),
    "amount_too_small invalid_charge_amount": _Meaning(
        ACCOUNT,
        "Stripe does not accept this total (too small for the currency, or not a whole number of its minor unit):"
        " collect it another way, or credit it on the open month",
    ),
    "amount_not_chargeable": _Meaning(
        ACCOUNT,
        "the total has more decimals than Stripe charges (BHD, JOD, KWD, OMR and TND: the third must be 0), so nothing"
        " was sent. The invoice was finalized before totals were rounded to that: `fly-billing rebill ORG MONTH"
        " --reissue` issues it again, rounded",
    ),
    # Stripe's automatic finalization failed without one of the codes above.
    "finalization_failed": _Meaning(ACCOUNT, "fix what its message says, then launch sync_month again"),
    # Our own requests, and their results in Stripe.
    (
        "parameter_invalid_empty parameter_invalid_integer parameter_invalid_string_blank"
        " parameter_invalid_string_empty parameter_missing parameter_unknown parameters_exclusive invalid_characters"
    ): _Meaning(
        ACCOUNT,
        "Stripe rejected one of our parameters: correct the data that its message names (an organization's name, an"
        " item's description) or else the request in stripe_sync/rules/requests.py, then launch the partition again",
    ),
    "idempotency_error": _Meaning(
        ACCOUNT,
        "Stripe has this idempotency key with other parameters: compare `fly-billing reconcile MONTH` with the"
        " invoice's rows in stripe_attempts, then launch the partition again",
    ),
    "unreadable_invoice": _Meaning(
        WAITING,
        "the invoice's rows in invoices or invoice_items can't be read (a null, or a value that is not a"
        " JSON object): correct them, then launch the partition again",
    ),
    "verify_mismatch": _Meaning(
        WAITING,
        "the draft in Stripe still differs from our invoice after it was recreated: compare the two; nothing was"
        " finalized",
    ),
    "duplicate_in_stripe": _Meaning(
        ACCOUNT,
        "Stripe has more than one invoice for this one: `fly-billing repair MONTH` voids all but ours, then launch"
        " the partition again",
    ),
    "voided_in_stripe": _Meaning(
        ACCOUNT,
        "Stripe has this invoice, but void, and our journal (a restored backup?) never sent it: find out why it was"
        " voided before anything is sent again",
    ),
    "differs_in_stripe": _Meaning(
        ACCOUNT,
        "the finalized invoice in Stripe has a different total or currency than ours: `fly-billing repair MONTH` voids"
        " and recreates it. Don't void it in the dashboard: that would void our invoice too",
    ),
}

_KNOWN = {code: meaning for codes, meaning in _MEANINGS.items() for code in codes.split()}
KNOWN_CODES = frozenset(_KNOWN)


def stripe_failure(
    code: str, message: str, request_id: str | None, log_url: str | None = None, detail: str = ""
) -> StripeFailure:
    """Return the texts for a code. The operator's text adds Stripe's message, request id and a link to its log.

    Args:
        detail: The fault of this invoice.
    """
    known = _KNOWN.get(code, _UNKNOWN)
    said = f" Stripe said: {message}" if message else ""
    link = f", {log_url}" if log_url else ""
    request = f" (request {request_id}{link})" if request_id else ""
    about = f" ({detail})" if detail else ""
    return StripeFailure(code, known.customer_text, f"{known.operator_text}{about}.{said}{request}", known.retryable)


def request_log_url(request_id: str, *, livemode: bool) -> str:
    """Return the dashboard page of a request, for responses without a link."""
    return f"https://dashboard.stripe.com/{'' if livemode else 'test/'}logs/{request_id}"
