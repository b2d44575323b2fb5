"""An alert names the failure, its organizations, the amount at stake and the fix."""

from dataclasses import replace

from fly_billing.alerting.rules.alerts import FailedInvoice, failure_alerts, recovery_alert


def failed(
    name: str, cents: int | None = 1200, code: str = "no_answer", currency: str = "USD", month: str = "2023-06"
) -> FailedInvoice:
    return FailedInvoice(name, month, code, f"{code}: look at it.", currency, cents)


def test_the_alert_of_one_failed_invoice_has_its_amount_and_the_fix() -> None:
    (alert,) = failure_alerts("Stripe sync", [failed("acme")])
    assert alert.text == (
        "Stripe sync failed (no_answer): 1 invoice, $12.00\n- acme 2023-06: $12.00\nWhat to do: no_answer: look at it."
    )


def test_failures_of_one_cause_make_one_alert() -> None:
    failures = [failed("acme"), failed("bolt", 500, "customer_missing"), failed("crux", 300)]
    assert [alert.subject for alert in failure_alerts("Stripe sync", failures)] == [
        "Stripe sync failed (customer_missing): 1 invoice, $5.00",
        "Stripe sync failed (no_answer): 2 invoices, $15.00",
    ]


def test_an_alert_names_the_ten_largest_failures_and_counts_the_rest() -> None:
    (alert,) = failure_alerts("Stripe sync", [failed(f"org-{n:02d}", n * 100) for n in range(1, 13)])
    lines = alert.body.splitlines()
    assert alert.subject == "Stripe sync failed (no_answer): 12 invoices, $78.00"
    assert (lines[0], lines[9], lines[10]) == ("- org-12 2023-06: $12.00", "- org-03 2023-06: $3.00", "- and 2 more")
    assert lines[11].startswith("What to do: ")


def test_an_alert_names_all_of_ten_failures() -> None:
    (alert,) = failure_alerts("Stripe sync", [failed(f"org-{n}") for n in range(10)])
    assert "more" not in alert.body
    assert "more" not in recovery_alert("Stripe sync", [failed(f"org-{n}") for n in range(10)]).body


def test_thousands_of_failures_make_one_short_message() -> None:
    (alert,) = failure_alerts("Stripe sync", [failed(f"org-{n}") for n in range(30_000)])
    assert alert.subject == "Stripe sync failed (no_answer): 30,000 invoices, $360,000.00"
    assert len(alert.text) < 1000


def test_an_alert_never_adds_amounts_in_different_currencies() -> None:
    failures = [failed("acme"), failed("kyoto", 1200, currency="JPY")]
    (alert,) = failure_alerts("Stripe sync", failures)
    assert alert.subject == "Stripe sync failed (no_answer): 2 invoices, JPY 1,200 + $12.00"


def test_an_alert_calls_a_missing_amount_unknown() -> None:
    (alert,) = failure_alerts("Billing", [failed("acme", None)])
    assert alert.subject == "Billing failed (no_answer): 1 invoice, amount unknown"
    assert "- acme 2023-06: amount unknown" in alert.body


def test_an_alert_carries_its_cause_and_all_its_organizations_named_or_not() -> None:
    (alert,) = failure_alerts("Stripe sync", [failed(f"org-{n:02d}") for n in range(12)])
    assert (alert.code, len(alert.invoices)) == ("no_answer", 12)


def test_equal_amounts_are_sorted_by_organization_and_month_and_unknown_ones_come_last() -> None:
    names = [("bolt", "2023-06"), ("acme", "2023-07"), ("acme", "2023-05")]
    unknown = failed("abel", None)
    (alert,) = failure_alerts("Billing", [unknown, *(failed(name, 1, month=month) for name, month in names)])
    assert alert.body.splitlines()[:4] == [
        "- acme 2023-05: $0.01", "- acme 2023-07: $0.01", "- bolt 2023-06: $0.01", "- abel 2023-06: amount unknown",
    ]  # fmt: skip


def test_the_count_of_unnamed_failures_has_a_thousands_separator() -> None:
    many = [failed(f"org-{n}") for n in range(1_010)]
    (alert,) = failure_alerts("Stripe sync", many)
    assert "- and 1,000 more" in alert.body.splitlines()
    assert recovery_alert("Stripe sync", many).body.endswith(" and 1,000 more")


def test_an_alert_has_the_fix_of_the_largest_failure() -> None:
    small, large = failed("acme", 100), replace(failed("bolt", 900), operator_text="write to bolt")
    (alert,) = failure_alerts("Stripe sync", [small, large])
    assert alert.body.splitlines()[2] == "What to do: write to bolt"


def test_failures_of_one_code_with_different_reasons_are_listed_separately() -> None:
    failures = [replace(failed("acme"), reason="expired_card"), failed("bolt")]
    assert [alert.subject for alert in failure_alerts("Payment", failures, {"no_answer": "It failed"})] == [
        "It failed: 1 invoice, $12.00",
        "It failed (expired_card): 1 invoice, $12.00",
    ]


def test_no_failures_make_no_alert() -> None:
    assert failure_alerts("Stripe sync", []) == []


def test_a_recovery_names_the_alerted_organizations() -> None:
    alert = recovery_alert("Stripe sync", [failed("acme"), failed("bolt", 300, month="2023-05")])
    assert alert.text == "Stripe sync recovered: 2 invoices, $15.00\nacme 2023-06, bolt 2023-05"
    assert (alert.code, [invoice.organization_id for invoice in alert.invoices]) == ("recovered", ["acme", "bolt"])


def test_a_recovery_of_many_organizations_names_ten() -> None:
    alert = recovery_alert("Stripe sync", [failed(f"org-{n:02d}") for n in range(12)])
    assert alert.body.endswith("org-09 2023-06 and 2 more")


def test_organizations_that_fail_with_one_code_for_different_reasons_each_get_their_fix() -> None:
    acme, bolt = failed("acme", 900), replace(failed("bolt", 500), operator_text="bolt: quantity NaN: correct it")
    (alert,) = failure_alerts("Billing", [acme, bolt, failed("crux", 300)])
    assert alert.body.splitlines()[3:] == [
        "What to do: no_answer: look at it.",
        "What to do for bolt 2023-06: bolt: quantity NaN: correct it",
    ]


RUN, OTHER_RUN = "0fae4c9e-6f1e-4c53-9a0e-0d3e3f5f0a11", "b7d5f6d2-52f9-4d0c-8a63-0a8a2f1c1e22"


def test_an_alert_links_to_the_runs_in_which_its_invoices_failed_the_largest_first() -> None:
    small, large = replace(failed("acme", 100), run_id=OTHER_RUN), replace(failed("bolt", 900), run_id=RUN)
    (alert,) = failure_alerts("Billing", [small, large, replace(small, organization_id="crux")], None, "https://dag")
    assert alert.body.splitlines()[-1] == f"Runs: https://dag/runs/{RUN} https://dag/runs/{OTHER_RUN}"


def test_an_alert_without_the_address_of_dagsters_pages_names_the_run() -> None:
    (alert,) = failure_alerts("Billing", [replace(failed("acme"), run_id=RUN)])
    assert alert.body.splitlines()[-1] == f"Run in Dagster: {RUN}"


def test_a_failure_outside_of_dagster_has_no_link() -> None:
    (alert,) = failure_alerts("Billing", [replace(failed("acme"), run_id="manual")], None, "https://dag")
    assert alert.body.splitlines()[-1].startswith("What to do")
