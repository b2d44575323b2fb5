"""Dagster's pages show data engineers and finance what Postgres says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from playwright.sync_api import Page

from fly_billing.partitions import month_key
from fly_billing.periods import BillingMonth
from tests.support.deployment import event
from tests.ui.dagster_ui import DagsterUi, wait_until
from tests.ui.platform import ORGANIZATIONS, UiPlatform

GOLD, STANDARD = "support/gold", "support/standard"  # no price is called gold; standard is $29.00 a month


def test_a_backfill_of_three_months_from_the_jobs_page_bills_every_organization_in_every_month(
    platform: UiPlatform, page: Page
) -> None:
    """Three organizations used $2.02 in each of three months: nine invoices of $2.02."""
    first, last = platform.months[1], platform.months[3]
    ui = DagsterUi(page, platform.url)

    ui.materialize_job("bill_month", first, last)

    invoices = platform.rows(
        "select month, organization_id, status, total_cents from invoices where month between :first and :last"
        " order by month, organization_id",
        first=first.first_day,
        last=last.first_day,
    )
    assert [tuple(invoice.values()) for invoice in invoices] == [
        (month.first_day, name, "finalized", 202) for month in platform.months[1:] for name in ORGANIZATIONS
    ]
    ui.wait_for_partitions("invoices", "Materialized (9)", "Failed (0)")


def test_an_organization_that_fails_is_named_fixed_and_billed_from_its_own_partition(
    platform: UiPlatform, page: Page
) -> None:
    """cargo subscribes to a plan without a price. With the right one it owes $2.02 + $29.00 = $31.02."""
    month = platform.months[0]
    platform.rows(
        "insert into subscriptions values (gen_random_uuid(), 'cargo', :plan, :starts, :ends)",
        plan=GOLD,
        starts=month.start,
        ends=month.end,
    )
    ui = DagsterUi(page, platform.url)

    ui.materialize_job("bill_month", month, month, fails=True)

    ui.wait_for_partitions("invoices", "Failed (1)")
    billed = platform.rows(
        "select organization_id from invoices where month = :month order by 1", month=month.first_day
    )
    assert [invoice["organization_id"] for invoice in billed] == ["acme", "bolt"]
    cause = ui.cause_of_failure("invoices", month, "cargo")
    assert GOLD in cause and "acme" not in cause, cause
    wait_until(lambda: any("cargo" in text and GOLD in text for text in platform.webhook.taken), "an alert names cargo")
    # With cargo's plan this month is six times the next one: the spending guard would not let that one through then.
    wait_until(lambda: _are_in_stripe(platform, platform.months[1:]), "the months after it are in Stripe")

    platform.rows("update subscriptions set price_key = :right where price_key = :wrong", right=STANDARD, wrong=GOLD)
    ui.materialize_partition("invoices", month, "cargo")

    ui.wait_for_partitions("invoices", "Materialized (12)", "Failed (0)")
    (invoice,) = platform.rows(
        "select status, total_cents from invoices where month = :month and organization_id = 'cargo'",
        month=month.first_day,
    )
    assert (invoice["status"], Decimal(invoice["total_cents"]) / 100) == ("finalized", Decimal("31.02"))


def test_rejected_usage_is_shown_alerted_and_gone_after_a_person_waives_it(platform: UiPlatform, page: Page) -> None:
    day = platform.months[3].first_day + timedelta(days=20)
    time = platform.months[3].start + timedelta(days=20, hours=1)
    platform.write_usage(day, event(1, "machine_secondz", "acme", time, "3600"), name="misspelt.jsonl")
    check, ui = "rejected_rows_are_fixed_or_waived", DagsterUi(page, platform.url)

    landed = platform.command("land")

    assert "1 rejected" in landed, landed
    ui.wait_for_check("usage_events", check, "Failed")
    assert "misspelt.jsonl\tunknown_meter\t1\t1" in ui.first_of_them()
    wait_until(
        lambda: any("misspelt.jsonl" in text for text in platform.webhook.taken), "an alert names the rejected usage"
    )

    rows = ("--source", "misspelt.jsonl", "--reason", "unknown_meter")
    platform.command("waive", "--by", "Ada", "--because", "a test of the collector", *rows)

    assert platform.command("rejected").startswith("No rejected usage")
    platform.write_usage(day, name="empty.jsonl")
    platform.command("land")
    ui.wait_for_check("usage_events", check, "Passed")


def test_a_check_that_failed_for_one_month_stays_failed_while_another_month_is_right(
    platform: UiPlatform, page: Page
) -> None:
    """Someone changes acme's $2.02 in Stripe's dashboard to $99.99. The next month is equal on both sides."""
    wrong, right = platform.months[1], platform.months[2]
    check, ui = "stripe_still_agrees_with_our_invoices", DagsterUi(page, platform.url)
    ui.materialize_job("sync_month", wrong, right)
    (sent,) = platform.rows(
        "select stripe_invoice_id as id from stripe_invoices join invoices on invoices.id = invoice_id"
        " where month = :month and organization_id = 'acme'",
        month=wrong.first_day,
    )
    platform.sandbox().edit_object(sent["id"], total=9999)

    ui.materialize_job("reconcile_month", wrong, wrong, by_organization=False)
    ui.wait_for_check("stripe_reconciliation", check, "Failed", f"1 month fails: {wrong}.", "wrong_in_this_run\n1")
    assert "acme" in ui.first_of_them()
    ui.materialize_job("reconcile_month", right, right, by_organization=False)

    ui.wait_for_check("stripe_reconciliation", check, "Failed", f"1 month fails: {wrong}.", "wrong_in_this_run\n0")
    failed = platform.rows("select period, check_name from failed_checks where check_name = :check", check=check)
    assert [tuple(row.values()) for row in failed] == [(str(wrong), check)]

    platform.sandbox().edit_object(sent["id"], total=202)
    ui.materialize_job("reconcile_month", wrong, wrong, by_organization=False)
    ui.wait_for_check("stripe_reconciliation", check, "Passed")
    assert not platform.rows("select 1 from failed_checks where check_name = :check", check=check)


def test_the_totals_of_invoices_are_plotted_by_month_as_postgres_has_them(platform: UiPlatform, page: Page) -> None:
    """acme's invoice is $2.02 in each of three months: three points of 2.02 in the plot of `total`."""
    months = platform.months[1:]
    totals = platform.rows(
        "select total_cents from invoices where organization_id = 'acme' and month between :first and :last",
        first=months[0].first_day,
        last=months[-1].first_day,
    )

    plotted = DagsterUi(page, platform.url).plotted("invoices", "total")

    shown = {key: value for key, value in plotted.items() if key.endswith("|acme")}
    expected = {
        f"{month_key(month)}|acme": Decimal(row["total_cents"]) / 100 for month, row in zip(months, totals, strict=True)
    }
    assert {key: Decimal(str(shown[key])) for key in expected} == expected == dict.fromkeys(expected, Decimal("2.02"))


def test_finance_opens_the_report_of_a_month_and_its_sums_are_those_of_postgres(
    platform: UiPlatform, page: Page
) -> None:
    """Three invoices of $2.02 without taxes: $6.06 of revenue."""
    month, ui = platform.months[2], DagsterUi(page, platform.url)

    ui.materialize_job("report_month", month, month, by_organization=False)

    ui.wait_for(f"/assets/finance_months?view=partitions&partition={month_key(month)}", "revenue (exact)", "$6.06")
    (report,) = (platform.data_dir / "reports").rglob(f"*{month}*.html")
    page.goto(report.as_uri())
    (sums,) = platform.rows(
        "select count(*) as invoices, sum(total_cents) as cents from invoices where month = :month",
        month=month.first_day,
    )
    assert (sums["invoices"], sums["cents"]) == (3, 606)
    shown = page.locator("body").inner_text()
    assert "$6.06" in shown and all(name.title() in shown for name in ORGANIZATIONS), shown
    assert page.locator("svg.plot").count() > 0


def _are_in_stripe(platform: UiPlatform, months: Sequence[BillingMonth]) -> bool:
    """Return True if Stripe has an invoice of every organization for each of these months."""
    (sent,) = platform.rows(
        "select count(*) as invoices from stripe_invoices join invoices on invoices.id = invoice_id"
        " where state = 'finalized' and month = any (:months)",
        months=[month.first_day for month in months],
    )
    return bool(sent["invoices"] == len(ORGANIZATIONS) * len(months))
