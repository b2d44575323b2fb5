"""The asset for finance: a month's numbers for plots, its report, and a check that its sums tie."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetCheckSeverity,
    DagsterEventType,
    DagsterInstance,
    ExecuteInProcessResult,
    MetadataValue,
    build_schedule_context,
)

from fly_billing.accounting.books import book_differences
from fly_billing.accounting.closing import Closing, close_period
from fly_billing.assets.failure_causes import failure_causes
from fly_billing.jobs import report_months_nightly
from fly_billing.partitions import RANGE_END, RANGE_START
from fly_billing.periods import BillingMonth
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.sensors.alert_on_failed_run import is_reported_by_sensor
from fly_billing.sensors.finished_runs import events_of
from tests.support.deployment import Deployment, machine_seconds
from tests.support.unguarded import damage

KEY = "2026-10-01"
STEP_FAILURE = DagsterEventType.STEP_FAILURE
SEPTEMBER, OCTOBER = BillingMonth(2026, 9), BillingMonth(2026, 10)


@pytest.fixture
def october(deployment: Deployment) -> Deployment:
    """October is final: acme ran a Machine for $2.02 and owes 50 % VAT (1.01); 0.50 of it is paid from a promotion.

    2.02 - 0.50 = 1.52 of revenue, 0.76 of VAT, 2.28 in total. September had nothing.
    """
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.execute(
        "insert into tax_rates (id, organization_id, name, percent, first_month)"
        " values (gen_random_uuid(), 'acme', 'VAT', 50, '2026-09-01')"
    )
    deployment.execute(
        "insert into credit_grants (id, organization_id, description, amount, currency, granted_at)"
        " values (gen_random_uuid(), 'acme', 'promotion', 0.50, 'USD', '2026-10-01Z')"
    )
    deployment.write_usage(date(2026, 10, 10), [machine_seconds(1, "acme", OCTOBER.start, "2592000")])
    deployment.land(date(2026, 9, 1), date(2026, 11, 4))
    for month in (SEPTEMBER, OCTOBER):
        deployment.bill(month)
    return deployment


def metadata_by_month(
    instance: DagsterInstance, result: ExecuteInProcessResult, asset: str = "finance_months"
) -> dict[str, dict[str, Any]]:
    found = [event.step_materialization_data.materialization for event in result.get_asset_materialization_events()]
    return {
        str(event.partition): {name: value.value for name, value in event.metadata.items()}
        for event in found
        if event.asset_key.path[-1] == asset
    }


def evaluation(result: ExecuteInProcessResult, name: str) -> AssetCheckEvaluation:
    (found,) = (check for check in result.get_asset_check_evaluations() if check.check_name == name)
    return found


def test_each_month_has_its_numbers_and_a_report(october: Deployment) -> None:
    result = october.run("report_month", {RANGE_START: "2026-09-01", RANGE_END: "2026-10-01"})
    found = metadata_by_month(october.instance, result)
    names = ("invoices", "open invoices", "revenue", "tax", "total", "receivables", "credits used")
    assert {month: [metadata[name] for name in names] for month, metadata in found.items()} == {
        "2026-09-01": [1, 0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "2026-10-01": [1, 0, 1.52, 0.76, 2.28, 2.28, 0.5],
    }
    assert found["2026-10-01"]["total (exact)"] == "$2.28"
    assert found["2026-10-01"]["credits used (exact)"] == "USD 0.5"
    assert list(found["2026-09-01"]) == list(found["2026-10-01"])
    page = Path(found["2026-10-01"]["report"])
    assert page == october.reports_dir / "finance-2026-10.html"
    assert "<dt>Revenue</dt><dd>$1.52</dd>" in page.read_text(encoding="utf-8")
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True] * 6


def test_a_report_is_linked_where_it_is_published(october: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLY_BILLING_REPORTS_URL", "https://reports.example.com/billing/")
    result = october.run("report_month", {}, partition="2026-10-01")
    event, journal = result.get_asset_materialization_events()
    assert journal.step_materialization_data.materialization.metadata["journal"] == MetadataValue.url(
        "https://reports.example.com/billing/journal-2026-10.csv"
    )
    report = event.step_materialization_data.materialization.metadata["report"]
    assert report == MetadataValue.url("https://reports.example.com/billing/finance-2026-10.html")


def test_a_tax_that_differs_from_the_invoice_fails_the_check(october: Deployment) -> None:
    damage(october.database, "update invoice_taxes set tax_cents = tax_cents + 1")
    result = october.run("report_month", {}, partition="2026-10-01", fails=True)
    check = evaluation(result, "revenue_and_tax_add_up_to_the_invoices")
    assert not check.passed
    text = str(check.metadata["first_of_them"].value)
    assert "$2.29" in text.replace("\\", "")
    assert "$2.28" in text.replace("\\", "")


def test_a_ledger_that_differs_from_an_invoice_fails_the_check_with_the_amounts(october: Deployment) -> None:
    """2.28 = 1.52 of revenue + 0.76 of VAT; someone changed the revenue to 1.53, so the entries sum to -0.01."""
    damage(october.database, "update ledger_entries set amount_cents = amount_cents - 1 where account = 'revenue'")
    result = october.run("report_month", {}, partition="2026-10-01", fails=True)
    check = evaluation(result, "ledger_balances")
    assert not check.passed
    assert check.severity == AssetCheckSeverity.ERROR
    text = str(check.metadata["first_of_them"].value).replace("\\", "")
    for expected in ("acme", "Revenue: an invoice became final", "-$1.53", "-$1.52", "sum of all entries", "-$0.01"):
        assert expected in text
    damage(october.database, "update ledger_entries set amount_cents = amount_cents + 1 where account = 'revenue'")
    result = october.run("report_month", {}, partition="2026-10-01")
    assert evaluation(result, "ledger_balances").passed


def test_revenue_that_is_recognized_in_no_month_fails_the_check(october: Deployment) -> None:
    """1.52 is October's. Someone moves 0.31 of it to November and then loses that."""
    october.execute(
        "insert into revenue_deferrals (month, invoice_change_id, organization_id, currency, amount_cents)"
        " select m.month, c.id, 'acme', 'USD', m.cents"
        " from invoice_changes as c join invoices as i on i.id = c.invoice_id,"
        " (values (date '2026-10-01', -31), ('2026-11-01', 31)) as m (month, cents)"
        " where c.to_status = 'finalized' and i.month = '2026-10-01'"
    )
    damage(october.database, "delete from revenue_deferrals where month = '2026-11-01'")
    result = october.run("report_month", {}, partition="2026-10-01", fails=True)
    check = evaluation(result, "recognized_deferred_and_breakage_are_what_was_billed")
    assert not check.passed
    text = str(check.metadata["first_of_them"].value).replace("\\", "")
    for expected in ("revenue moved to 2026-10", "-$0.31", "nothing", "recognized + deferred", "$1.21", "$1.52"):
        assert expected in text


def test_what_stripe_asks_for_and_nobody_owes_fails_its_check_with_the_cause(october: Deployment) -> None:
    """An invoice over 9.00 is not ours, 40.00 of credit there is not posted, and an entry is 0.05 more."""
    october.execute(
        "insert into stripe_invoice_amounts (stripe_invoice_id, number, organization_id, status, currency, total_cents,"
        " starting_balance_cents, due_cents, paid_cents, remaining_cents, overpaid_cents, unpaid_credited_cents,"
        " paid_credited_cents, read_at, source)"
        " values ('in_by_hand', 1, 'acme', 'open', 'USD', 900, 0, 900, 0, 900, 0, 0, 0, now(), 'sweep') returning id"
    )
    damage(
        october.database,
        "insert into stripe_money (object_id, number, kind, status, organization_id, currency, amount_cents,"
        " balance_cents, created_at, read_at, source) values ('cbtxn_1', 1, 'customer_balance_transaction',"
        " 'adjustment', 'acme', 'USD', -4000, -4000, now(), now(), 'sweep')",
        "update ledger_entries set amount_cents = amount_cents + 5 where account = 'revenue'",
    )
    result = october.run("report_month", {RANGE_START: "2026-09-01", RANGE_END: "2026-10-01"}, fails=True)
    texts = {
        name: str(evaluation(result, name).metadata["first_of_them"].value).replace("\\", "")
        for name in ("owed_equals_what_stripe_asks_for", "stripe_balances_match", "trial_balance_is_zero")
    }
    for name, expected in {
        "owed_equals_what_stripe_asks_for": ("2026-10", "in_by_hand asks for money", "$9.00", "void it in Stripe"),
        "stripe_balances_match": ("acme", "the customer balance differs", "-$40.00", "fly-billing repair"),
        "trial_balance_is_zero": ("acme", "$0.05", "restore them from a backup"),
    }.items():
        assert not evaluation(result, name).passed
        for text in expected:
            assert text in texts[name]


def test_books_that_differ_block_the_journal_of_their_run_and_of_any_other(october: Deployment) -> None:
    """2.28 = 1.52 of revenue + 0.76 of VAT: October's journal, until someone changes the revenue to 1.53."""
    written = metadata_by_month(october.instance, october.run("report_month", {}, partition=KEY), "finance_journals")
    assert (written[KEY]["debits (exact)"], written[KEY]["lines"]) == ("$2.28", 3)
    assert written[KEY]["state"] == "not closed, so it can still change"
    journal = october.reports_dir / "journal-2026-10.csv"
    before = journal.read_bytes()
    damage(october.database, "update ledger_entries set amount_cents = amount_cents - 1 where account = 'revenue'")
    blocked = october.run("report_month", {}, partition=KEY, fails=True)
    assert not evaluation(blocked, "ledger_balances").passed
    assert [event.step_key for event in blocked.get_asset_materialization_events()] == ["finance_months"]
    refused = october.run("report_month", {}, partition=KEY, fails=True, only="finance_journals")
    (failure,) = events_of(october.instance, refused.dagster_run, STEP_FAILURE)
    text = failure_causes([failure])[0].text
    assert "acme 2026-10: Revenue: an invoice became final: -$1.53, should be -$1.52" in text
    assert journal.read_bytes() == before
    damage(october.database, "update ledger_entries set amount_cents = amount_cents + 1 where account = 'revenue'")
    october.run("report_month", {}, partition=KEY)
    assert journal.read_bytes() == before


def test_a_month_closed_with_a_difference_is_written_by_a_run_of_the_journal_alone(october: Deployment) -> None:
    """Stripe asks for 9.00 that nobody owes, which ann accepted. The check still says so every night."""
    october.execute(
        "insert into stripe_invoice_amounts (stripe_invoice_id, number, organization_id, status, currency, total_cents,"
        " starting_balance_cents, due_cents, paid_cents, remaining_cents, overpaid_cents, unpaid_credited_cents,"
        " paid_credited_cents, read_at, source)"
        " values ('in_by_hand', 1, 'acme', 'open', 'USD', 900, 0, 900, 0, 900, 0, 0, 0, now(), 'sweep') returning id"
    )
    code = book_differences(october.database, OCTOBER).code
    closing = Closing("ann", accepted={"USD": 900}, code=code, why="a setup fee")
    close_period(october.database, OCTOBER, closing, datetime(2026, 11, 5, tzinfo=UTC))
    nightly = october.run("report_month", {}, partition=KEY, fails=True)
    assert not evaluation(nightly, "owed_equals_what_stripe_asks_for").passed
    journal = october.reports_dir / "journal-2026-10.csv"
    assert not journal.exists()
    alone = october.run("report_month", {}, partition=KEY, only="finance_journals")
    written = metadata_by_month(october.instance, alone, "finance_journals")[KEY]
    assert (written["state"], journal.exists()) == ("closed by ann, who accepted differences", True)


def test_a_run_that_a_blocking_check_stops_is_not_alerted_a_second_time(october: Deployment) -> None:
    """The check sends the alert. A journal that is refused in a run of its own has no check, so the run sends it."""
    damage(october.database, "update ledger_entries set amount_cents = amount_cents - 1 where account = 'revenue'")
    blocked = october.run("report_month", {}, partition=KEY, fails=True)
    refused = october.run("report_month", {}, partition=KEY, fails=True, only="finance_journals")
    failures = [events_of(october.instance, each.dagster_run, STEP_FAILURE) for each in (blocked, refused)]
    assert [is_reported_by_sensor(events) for events in failures] == [True, False]


def test_a_month_is_reported_every_night_while_it_is_unpaid_or_changed_recently(october: Deployment) -> None:
    def due(at: datetime) -> list[str]:
        with build_schedule_context(
            instance=october.instance,
            scheduled_execution_time=at,
            resources={"billing_postgres": BillingPostgres(url=october.database_url)},
        ) as context:
            tick = report_months_nightly.evaluate_tick(context)
        return [request.tags[RANGE_START] for request in tick.run_requests or []]

    long_after = datetime.now(UTC) + timedelta(days=200)
    assert due(long_after) == ["2026-09-01", "2026-10-01"]
    october.execute("update invoices set status = 'paid', paid_at = now()")
    assert due(datetime.now(UTC)) == ["2026-09-01", "2026-10-01"]
    assert due(long_after) == []
