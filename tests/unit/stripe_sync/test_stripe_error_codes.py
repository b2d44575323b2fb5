"""Every error code of Stripe has its texts, or a reason why it can't occur here."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

import stripe

from fly_billing.stripe_sync.rules import payment_failures, sync_failures

# Codes that can't come from what we call (customers, invoices and their lines, events, invoice payments) nor be the
# reason why Stripe could not collect an invoice. If one occurs, the general text is shown.
NOT_HERE = {
    "opening accounts and acting for others (Connect), which we don't": """
        account_country_invalid_address account_error_country_change_requires_additional_steps
        account_information_mismatch account_invalid account_token_required_for_v2_account application_fees_not_allowed
        country_code_invalid country_unsupported invoice_on_behalf_of_not_editable not_allowed_on_standard_account
        ownership_declaration_not_allowed platform_account_required progressive_onboarding_limit_exceeded siret_invalid
        state_unsupported storer_capability_missing storer_capability_not_active
    """,
    "moving the account's own money: payouts, transfers, financial accounts, issued cards": """
        anomalous_money_movement_request balance_insufficient balance_invalid_parameter bank_account_exists
        cardholder_phone_number_required clearing_code_unsupported financial_account_balance_does_not_support_currency
        financial_account_capability_not_enabled financial_account_capability_restricted
        instant_payouts_config_disabled instant_payouts_currency_disabled instant_payouts_limit_exceeded
        instant_payouts_unsupported payout_reconciliation_not_ready payouts_limit_exceeded payouts_not_allowed
        transfer_source_balance_parameters_mismatch transfers_not_allowed
    """,
    "charges, captures, refunds and disputes, made one by one": """
        alipay_upgrade_required bitcoin_upgrade_required capture_charge_authorization_expired
        capture_unauthorized_payment charge_already_captured charge_already_refunded charge_disputed
        charge_expired_for_capture charge_invalid_parameter charge_not_refundable dispute_evidence_page_limit_exceeded
        invalid_source_usage missing payment_evaluation_on_api_version_not_supported refund_disputed_payment
        smart_disputes_not_available
    """,
    "steering a payment intent by hand; Stripe makes those of invoices": """
        intent_invalid_state intent_verification_method_missing payment_intent_invalid_parameter
        payment_intent_konbini_rejected_confirmation_number payment_method_invalid_parameter_testmode
        return_intent_already_processed
    """,
    "giving Stripe a card or bank account: the customer does that on Stripe's pages": """
        acss_debit_session_incomplete customer_max_payment_methods customer_session_expired
        financial_connections_account_inactive financial_connections_account_pending_account_numbers
        financial_connections_account_unavailable_account_numbers financial_connections_consent_locale_invalid
        financial_connections_consent_locale_unsupported financial_connections_no_successful_transaction_refresh
        forwarding_api_inactive forwarding_api_invalid_parameter forwarding_api_retryable_upstream_error
        forwarding_api_upstream_connection_error forwarding_api_upstream_connection_timeout
        forwarding_api_upstream_error invalid_mandate_reference_prefix_format
        payment_method_bank_account_already_verified payment_method_microdeposit_failed
        payment_method_microdeposit_processing_error payment_method_microdeposit_verification_amounts_invalid
        payment_method_microdeposit_verification_amounts_mismatch
        payment_method_microdeposit_verification_attempts_exceeded
        payment_method_microdeposit_verification_descriptor_code_mismatch
        payment_method_microdeposit_verification_timeout setup_attempt_failed setup_intent_authentication_failure
        setup_intent_invalid_parameter setup_intent_mandate_invalid setup_intent_mobile_wallet_unsupported
        setup_intent_setup_attempt_expired setup_intent_unexpected_state token_already_used token_card_network_invalid
        token_in_use
    """,
    "subscriptions, coupons, previews, products, orders and shipping: made at home or not at all": """
        coupon_expired customer_max_subscriptions invalid_canceled_subscription_fields
        invoice_no_subscription_line_items invoice_upcoming_none out_of_inventory product_inactive
        service_period_coupon_with_metered_tiered_item_unsupported shipping_address_invalid shipping_calculation_failed
        sku_inactive subscription_update_trial_after_billing_cycle_anchor
    """,
    "parameters that we never send: web addresses, ids of our choice": """
        resource_already_exists url_invalid
    """,
    "card readers": """
        terminal_location_country_unsupported terminal_reader_busy terminal_reader_hardware_fault
        terminal_reader_invalid_location_for_activation terminal_reader_invalid_location_for_payment
        terminal_reader_offline terminal_reader_timeout
    """,
}

# Stripe's decline codes for cards that are not present in its list of error codes (docs.stripe.com/declines/codes, read
# in 2026). Left out are those about PINs: they need a card reader.
DECLINE_CODES = set(
    """
    approve_with_id authentication_not_handled authentication_required call_issuer card_not_supported
    card_velocity_exceeded currency_not_supported do_not_honor do_not_try_again duplicate_transaction expired_card
    fraudulent generic_decline incorrect_address incorrect_cvc incorrect_number incorrect_zip insufficient_funds
    invalid_account invalid_amount invalid_cvc invalid_expiry_month invalid_expiry_year invalid_number
    issuer_not_available lost_card merchant_blacklist new_account_information_available no_action_taken not_permitted
    pickup_card processing_error reenter_transaction restricted_card revocation_of_all_authorizations
    revocation_of_authorization security_violation service_not_allowed stolen_card stop_payment_order testmode_decline
    transaction_not_allowed try_again_later withdrawal_count_limit_exceeded
    """.split()
)

# Our codes, for failures without a code of Stripe's.
OURS = set(
    """
    amount_not_chargeable authentication conflict customer_missing customer_unknown differs_in_stripe
    duplicate_in_stripe finalization_failed idempotency_error no_answer over_stripe_limit rate_limited server_error
    verify_mismatch
    unreadable_invoice voided_in_stripe
    """.split()
)


def codes_of(owner: type) -> set[str]:
    """Return the values that stripe-python's types, made from Stripe's API description, allow for an error's `code`."""
    (literals,) = [part for part in get_args(owner.__annotations__["code"]) if get_origin(part) is Literal]
    return set(get_args(literals))


STRIPES = codes_of(stripe.Invoice.LastFinalizationError)


def not_here() -> list[str]:
    return [code for codes in NOT_HERE.values() for code in codes.split()]


def test_stripes_list_is_the_same_for_invoices_and_payments() -> None:
    assert codes_of(stripe.PaymentIntent.LastPaymentError) == STRIPES
    assert len(STRIPES) > 200


def test_every_error_code_of_stripe_has_an_explanation_or_a_reason_not_to_occur() -> None:
    events = sync_failures.KNOWN_CODES | payment_failures.KNOWN_CODES
    assert STRIPES - events - set(not_here()) == set(), "decide what to tell of these"
    assert sorted(events & set(not_here())) == []


def test_no_text_or_reason_is_stored_for_a_code_that_stripe_does_not_have() -> None:
    assert sync_failures.KNOWN_CODES - STRIPES == OURS
    assert payment_failures.KNOWN_CODES - STRIPES <= DECLINE_CODES
    assert set(not_here()) <= STRIPES


def test_every_code_has_exactly_one_decision() -> None:
    assert len(not_here()) == len(set(not_here()))
    assert set() == sync_failures.KNOWN_CODES & payment_failures.KNOWN_CODES


def test_every_decline_code_of_stripe_has_an_explanation() -> None:
    assert set() == DECLINE_CODES - payment_failures.KNOWN_CODES
