"""The alert about a failed check: each reason once, what to do, and where to look."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.checks.rules.failures import FailedCheck
from fly_billing.sensors.alert_on_failed_check import month_alert

DOWN = "Stripe did not answer, so nothing was compared"


def failure(group: str, reason: str, asset: str = "stripe_invoices") -> FailedCheck:
    return FailedCheck(
        id=1,
        asset=asset,
        check_name="a_check",
        period="2026-10",
        billing_group=group,
        is_warning=False,
        wrong=1,
        reason=reason,
        is_reported=False,
        failed_since=datetime(2026, 11, 5, tzinfo=UTC),
        run_id="6f1c8c1e-7d5a-4f0e-9a53-0b6f0c7f1d11",
    )


def test_an_outage_of_stripe_is_one_sentence_with_the_number_of_billing_groups() -> None:
    groups = [f"org-{number:02}" for number in range(42)]
    alert = month_alert([*(failure(group, DOWN) for group in groups), failure("zeta", "the total differs by $1.00")])
    assert alert.body.splitlines()[:3] == [
        "43 rows wrong",
        f"- 42 billing groups (org-00, org-01, org-02, ...): {DOWN}",
        "- zeta: the total differs by $1.00",
    ]
    assert alert.text.count(DOWN) == 1


def test_more_reasons_than_an_alert_names_are_counted() -> None:
    alert = month_alert([failure(f"org-{number}", f"reason {number}") for number in range(13)])
    assert alert.body.splitlines()[11] == "- and 3 more"


def test_a_check_of_a_whole_month_names_its_report_and_the_command_that_checks_it_again() -> None:
    address = "https://reports.example.com/finance-2026-10.html"
    alert = month_alert([failure("", "USD: the tax differs by $0.01", "finance_months")], report_url=address)
    assert alert.body.splitlines() == [
        "1 row wrong",
        "USD: the tax differs by $0.01",
        "What to do: fix the cause, then check it again: fly-billing finance report 2026-10",
        f"Report: {address}",
        *alert.body.splitlines()[4:],
    ]
