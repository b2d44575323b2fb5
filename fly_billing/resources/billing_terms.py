"""When months close, and how much a correction may give back, as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.corrections.approvals import guard_of
from fly_billing.corrections.rules.guard import CorrectionGuard
from fly_billing.invoicing.bill_run import Terms
from fly_billing.settings import Settings


class BillingTerms(ConfigurableResource[Any]):
    """When a month closes and when its invoices are due (FLY_BILLING_GRACE_HOURS, FLY_BILLING_DUE_DAYS).

    And how much a correction may give back without a person (FLY_BILLING_CORRECTION_GUARD_*).
    """

    def terms(self) -> Terms:
        settings = Settings.from_environment()
        return Terms(settings.grace, settings.due_days)

    def correction_guard(self) -> CorrectionGuard:
        return guard_of(Settings.from_environment())
