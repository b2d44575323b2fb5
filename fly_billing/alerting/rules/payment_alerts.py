"""The texts of alerts about failed payments, one alert per cause."""

from __future__ import annotations

from collections.abc import Sequence

from fly_billing.alerting.rules.alerts import Alert, FailedInvoice, failure_alerts

HEADINGS = {
    "payment_failed": "Payment failed, Stripe will retry",
    "payment_given_up": "Payment failed, Stripe has given up",
    "finalization_failed": "Stripe could not finalize",
    "uncollectible": "Written off in Stripe as uncollectible",
    "voided_by_hand": "Voided manually in Stripe",
    "paid_elsewhere": "Paid on a Stripe invoice that is not the one we billed",
    "unreadable_invoice": "Stripe's status of our invoice can't be recorded",
    "disagreement": "Stripe's status contradicts ours",
}


def payment_alerts(failures: Sequence[FailedInvoice]) -> list[Alert]:
    """Make one alert per cause, as for all failures, with a subject that says what happened to the payment."""
    return failure_alerts("Payment", failures, HEADINGS)
