"""Terms of billing and limits of its guards as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.corrections.approvals import guard_of
from fly_billing.corrections.rules.guard import CorrectionGuard
from fly_billing.invoicing.month_closing import Terms
from fly_billing.settings import Settings


class BillingTerms(ConfigurableResource[Any]):
    """The grace period, the payment term, the limits beyond which someone must approve, and how a month is calculated.

    Attributes:
        grace_hours: Hours from a month's end until it closes (FLY_BILLING_GRACE_HOURS).
        due_days: Days from finalization until an invoice is due (FLY_BILLING_DUE_DAYS).
        unresolved_rejections: `close` or `wait`: what a month with unresolved rejected usage does when it is due to
            close (FLY_BILLING_UNRESOLVED_REJECTIONS).
        guard_percent: The change of a month's total above which its sync needs an approval (FLY_BILLING_GUARD_PERCENT).
        correction_guard_percent, correction_guard_organization_percent, correction_guard_floor: The limits above which
            a correction in the customer's favor needs an approval (FLY_BILLING_CORRECTION_GUARD_*).
        processes: The most processes that calculate invoices at once (FLY_BILLING_PROCESSES).
        runs_per_month: The runs among which the schedules divide a month (FLY_BILLING_RUNS_PER_MONTH).
    """

    grace_hours: int | None = None
    due_days: int | None = None
    unresolved_rejections: str | None = None
    guard_percent: int | None = None
    correction_guard_percent: int | None = None
    correction_guard_organization_percent: int | None = None
    correction_guard_floor: int | None = None
    processes: int | None = None
    runs_per_month: int | None = None

    def terms(self) -> Terms:
        settings = self._settings()
        waits = settings.unresolved_rejections == "wait"
        return Terms(settings.grace, settings.due_days, waits_for_rejected_usage=waits, seller=settings.seller)

    def spending_guard_percent(self) -> int:
        return self._settings().guard_percent

    def correction_guard(self) -> CorrectionGuard:
        return guard_of(self._settings())

    def most_processes(self) -> int:
        return self._settings().processes

    def most_runs(self) -> int:
        return self._settings().runs_per_month

    def _settings(self) -> Settings:
        given = {name: getattr(self, name) for name in BillingTerms.model_fields}
        return Settings.from_environment(
            {f"FLY_BILLING_{name.upper()}": str(value) for name, value in given.items() if value is not None}
        )
