"""Alerts about payments that failed: one per cause."""

from __future__ import annotations

from collections.abc import Sequence

from fly_billing.alerting.rules.alerts import Alert, FailedInvoice, failure_alerts

HEADINGS = {
    "payment_failed": "Payment failed, Stripe tries again",
    "payment_given_up": "Payment failed, Stripe has given up",
    "finalization_failed": "Stripe could not finalize",
    "uncollectible": "Written off in Stripe as uncollectible",
    "voided_by_hand": "Voided by hand in Stripe",
    "paid_elsewhere": "Paid on an invoice in Stripe that is not the one we billed",
    "unreadable_invoice": "Stripe's word on our invoice can't be written down",
    "disagreement": "Stripe's status contradicts ours",
}


def payment_alerts(failures: Sequence[FailedInvoice]) -> list[Alert]:
    """Make one alert per cause, as for every other failure; only the first line says what happened in its own words."""
    return failure_alerts("Payment", failures, HEADINGS)
