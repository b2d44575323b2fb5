"""The texts for a failed payment: the customer's options, and its meaning for the on-call engineer.

Codes are Stripe's decline codes (docs.stripe.com/declines/codes) and its error codes for payments; the more precise one
counts. Not here: retries by Stripe (`events`), failures before the invoice is finalized (`sync_failures`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PaymentError:
    """Stripe's error for a payment: its message for the cardholder, and its decline code or else its error code."""

    message: str | None
    code: str | None


@dataclass(frozen=True)
class PaymentFailure:
    """The texts for one kind of payment failure.

    Attributes:
        what_to_do: Sentences for the customer.
        meaning: A sentence for the operator; empty if the code is unknown.
        may_be_quoted: Stripe's own message may be repeated to the customer.
    """

    what_to_do: str
    meaning: str = ""
    may_be_quoted: bool = True


PAY_ON_ITS_PAGE = "You can pay the invoice online at any time."
_BANK = f"Please ask your bank, or use another card. {PAY_ON_ITS_PAGE}"
_ANOTHER_CARD = f"Please use another card. {PAY_ON_ITS_PAGE}"

_UNKNOWN = PaymentFailure(PAY_ON_ITS_PAGE)

# By codes, with spaces between them.
_MEANINGS = {
    (
        "card_declined generic_decline do_not_honor call_issuer no_action_taken approve_with_id do_not_try_again"
        " not_permitted transaction_not_allowed bank_account_declined payment_method_customer_decline"
        " payment_method_provider_decline payment_intent_payment_attempt_failed"
    ): PaymentFailure(
        _BANK,
        "The customer's bank declined and gave no reason",
    ),
    # The holder of the card may not be its owner, so they must not see the reason (docs.stripe.com/declines/codes).
    (
        "fraudulent lost_card merchant_blacklist pickup_card restricted_card security_violation stolen_card"
        " payment_method_restricted"
    ): PaymentFailure(
        _BANK,
        "The card is reported lost, stolen or suspicious: don't tell the customer, and don't charge the card again",
        may_be_quoted=False,
    ),
    "insufficient_funds withdrawal_count_limit_exceeded card_velocity_exceeded": PaymentFailure(
        f"Please make sure there are sufficient funds, or use another card. {PAY_ON_ITS_PAGE}",
        "Not enough funds, or the card's limit is reached",
    ),
    "charge_exceeds_source_limit charge_exceeds_transaction_limit invalid_amount": PaymentFailure(
        f"Please ask your bank to raise the limit, or use another payment method. {PAY_ON_ITS_PAGE}",
        "The amount exceeds the limit of this payment method",
    ),
    "expired_card expired_payment_method": PaymentFailure(_ANOTHER_CARD, "The card has expired"),
    (
        "incorrect_address incorrect_cvc incorrect_number incorrect_postal_code incorrect_zip invalid_account"
        " invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number new_account_information_available"
        " payment_method_billing_details_address_missing"
    ): PaymentFailure(
        f"Please enter the card's details and billing address again. {PAY_ON_ITS_PAGE}",
        "The card's details or billing address are wrong or outdated",
    ),
    (
        "authentication_failure authentication_not_handled authentication_required"
        " invoice_payment_intent_requires_action payment_intent_action_required payment_intent_authentication_failure"
    ): PaymentFailure(
        "Your bank asks you to confirm this payment. Please do so on the invoice's page.",
        "The bank requires the customer to confirm the payment (3D Secure) on the invoice's page",
    ),
    (
        "card_not_supported currency_not_supported service_not_allowed invalid_card_type"
        " payment_intent_incompatible_payment_method payment_method_currency_mismatch payment_method_invalid_parameter"
        " payment_method_unexpected_state payment_method_unsupported_type"
        " three_d_secure_authentication_not_supported"
    ): PaymentFailure(
        _ANOTHER_CARD,
        "This card or payment method does not support this kind of payment or this currency",
    ),
    (
        "stop_payment_order revocation_of_authorization revocation_of_all_authorizations refer_to_customer"
        " billing_invalid_mandate debit_not_authorized india_recurring_payment_mandate_canceled"
        " payment_intent_mandate_invalid"
    ): PaymentFailure(
        f"Your bank no longer allows this payment: please authorize it again, or use another payment method."
        f" {PAY_ON_ITS_PAGE}",
        "The customer or their bank revoked the authorization to charge",
    ),
    (
        "account_closed account_number_invalid bank_account_bad_routing_numbers bank_account_restricted"
        " bank_account_unusable bank_account_unverified bank_account_verification_failed no_account"
        " payment_method_bank_account_blocked routing_number_invalid sepa_unsupported_account"
    ): PaymentFailure(
        f"Please check the bank account, or use another payment method. {PAY_ON_ITS_PAGE}",
        "The bank account can't be debited: closed, wrong, blocked or not verified",
    ),
    (
        "issuer_not_available processing_error reenter_transaction try_again_later card_decline_rate_limit_exceeded"
        " payment_intent_payment_attempt_expired payment_intent_rate_limit_exceeded payment_intent_unexpected_state"
        " payment_method_not_available payment_method_provider_timeout three_d_secure_authentication_upstream_error"
    ): PaymentFailure(
        f"The connection to your bank failed this time; there may be nothing wrong with your card. {PAY_ON_ITS_PAGE}",
        "A temporary problem between Stripe and the bank",
    ),
    "duplicate_transaction": PaymentFailure(
        PAY_ON_ITS_PAGE,
        "The bank saw the same amount a moment ago: check in the dashboard whether it is paid already",
    ),
    "testmode_decline": PaymentFailure(
        _ANOTHER_CARD,
        "A test card was used in live mode",
    ),
}

KNOWN_CODES = frozenset(code for codes in _MEANINGS for code in codes.split())
_KNOWN: Mapping[str | None, PaymentFailure] = {
    code: meaning for codes, meaning in _MEANINGS.items() for code in codes.split()
}


def payment_failure(code: str | None) -> PaymentFailure:
    """Return what a decline code (or error code) means; an unknown one, or none, still says how to pay."""
    return _KNOWN.get(code, _UNKNOWN)
