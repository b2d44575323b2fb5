"""The check of the ledger finds a missing, a doubled and a changed posting, and names each with its amounts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.ledger.checks import ledger_differences
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at
from tests.support.full_month import bill_full_month
from tests.support.unguarded import damage

AUGUST = BillingMonth(2026, 8)


@pytest.fixture
def paid(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """September of `bill_full_month`, where acme has paid 58.43 and gamma owes 1,200 yen; 4.00 of a deposit is left."""
    platform.grant("acme", "Deposit", "4", pays="gross", granted_at=at("2026-10-01"))
    bill_full_month(platform)
    platform.execute("update invoices set status = 'paid', paid_at = '2026-10-20Z' where organization_id = 'acme'")
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    return platform


def differences(platform: Platform) -> list[tuple[str, str, str, str, str]]:
    rows = [each.as_row(SEPTEMBER) for each in ledger_differences(platform.database, SEPTEMBER)]
    return [(row["organization_id"], row["what"], row["is"], row["should be"], row["difference"]) for row in rows]


def advice(platform: Platform) -> set[str]:
    return {each.as_row(SEPTEMBER)["what to do"] for each in ledger_differences(platform.database, SEPTEMBER)}


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_ledger_that_equals_its_sources_has_no_differences(paid: Platform) -> None:
    for month in (AUGUST, SEPTEMBER, OCTOBER):
        assert ledger_differences(paid.database, month) == []


def test_a_missing_posting_is_named_and_can_be_posted(paid: Platform) -> None:
    damage(
        paid.database,
        "delete from ledger_entries as e using ledger_transactions as t"
        " where t.id = e.transaction_id and t.event = 'invoice_paid'",
        "delete from ledger_transactions where event = 'invoice_paid'",
    )
    assert differences(paid) == [
        ("acme", "Cash: the customer paid an invoice", "no entry", "$58.43", "-$58.43"),
        ("acme", "Receivable: the customer paid an invoice", "no entry", "-$58.43", "$58.43"),
    ]
    assert advice(paid) == {"run `fly-billing ledger --post-missing`, which posts missing events"}
    assert "1 event posted." in run("ledger", "--post-missing")
    assert differences(paid) == []
    assert "0 events posted." in run("ledger", "--post-missing")


def test_a_doubled_posting_is_named(paid: Platform) -> None:
    """The index that makes it impossible is dropped first."""
    paid.execute("drop index invoice_changes_are_posted_once")
    paid.execute("select post_to_ledger(array(select r from ledger_rebuilt as r where r.event = 'invoice_paid'))")
    assert differences(paid) == [
        ("acme", "Cash: the customer paid an invoice (2 entries instead of 1)", "$116.86", "$58.43", "$58.43"),
        ("acme", "Receivable: the customer paid an invoice (2 entries instead of 1)", "-$116.86", "-$58.43", "-$58.43"),
    ]
    assert advice(paid) == {"rows of the ledger or of their source were changed: restore them from a backup"}


def test_a_changed_amount_is_named_and_the_entries_do_not_sum_to_zero(paid: Platform) -> None:
    damage(
        paid.database, "update ledger_entries set amount_cents = 1190 where account = 'receivable' and currency = 'JPY'"
    )
    assert differences(paid) == [
        ("gamma", "Receivable: an invoice became final", "JPY 1,190", "JPY 1,200", "-JPY 10"),
        ("gamma", "sum of all entries", "-JPY 10", "JPY 0", "-JPY 10"),
    ]


def test_a_change_that_still_sums_to_zero_is_named(paid: Platform) -> None:
    """10 yen are moved from revenue to tax."""
    damage(
        paid.database,
        "update ledger_entries set amount_cents = -1190 where account = 'revenue' and currency = 'JPY'",
        "insert into ledger_entries select organization_id, currency, month, transaction_id, 'tax_payable', -10"
        " from ledger_entries where account = 'revenue' and currency = 'JPY'",
    )
    assert differences(paid) == [
        ("gamma", "Revenue: an invoice became final", "-JPY 1,190", "-JPY 1,200", "JPY 10"),
        ("gamma", "Tax payable: an invoice became final", "-JPY 10", "no entry", "-JPY 10"),
    ]


def test_a_posting_in_a_wrong_month_or_of_another_organization_is_named(paid: Platform) -> None:
    paid.execute("alter table ledger_entries drop constraint entries_have_a_transaction")
    damage(
        paid.database,
        "update ledger_transactions set organization_id = 'beta' where event = 'invoice_paid'",
        "update ledger_entries set organization_id = 'beta' where account = 'cash'"
        " or account = 'receivable' and amount_cents = -5843",
    )
    assert [row[0] for row in differences(paid)] == ["acme", "acme", "beta", "beta"]


def test_a_final_invoice_whose_items_were_changed_differs_from_the_ledger(paid: Platform) -> None:
    """0.01 of the VAT of 9.33 becomes revenue."""
    damage(paid.database, "update invoice_items set amount_cents = amount_cents - 1 where kind = 'tax'")
    assert differences(paid) == [
        ("acme", "Revenue: an invoice became final", "-$49.10", "-$49.11", "$0.01"),
        ("acme", "Tax payable: an invoice became final", "-$9.33", "-$9.32", "-$0.01"),
    ]


# The command ---------------------------------------------------------------------------------------------------------


def test_the_ledger_of_an_organization_is_shown_as_a_trial_balance(paid: Platform) -> None:
    """October: the payment of 58.43 and the deposit of 4.00; revenue and tax are September's."""
    shown = run("ledger", "acme", "2026-10")
    assert "Ledger of acme at the end of 2026-10; debits are positive" in shown
    assert "Total: $0.00" in shown
    assert json.loads(run("ledger", "acme", "2026-10", "--json")) == [
        account("cash", "Cash", 0, 5843, 0, 5843),
        account("receivable", "Receivable", 5843, 0, 5843, 0),
        account("tax_payable", "Tax payable", -933, 0, 0, -933),
        account("customer_credit", "Customer credit", 0, 0, 400, -400),
        account("deferred_revenue", "Deferred revenue", 0, 400, 0, 400),
        account("revenue", "Revenue", -4910, 0, 0, -4910),
    ]


def account(key: str, name: str, opening: int, debits: int, credits: int, balance: int) -> dict[str, object]:
    return {
        "currency": "USD", "account": key, "name": name, "opening_cents": opening, "debit_cents": debits,
        "credit_cents": credits, "balance_cents": balance,
    }  # fmt: skip


def test_all_organizations_together_are_shown_by_currency(paid: Platform) -> None:
    rows = json.loads(run("ledger", "--json"))
    assert [(row["currency"], row["account"], row["balance_cents"]) for row in rows] == [
        ("JPY", "receivable", 1200),
        ("JPY", "revenue", -1200),
        ("USD", "cash", 5843),
        ("USD", "receivable", 0),
        ("USD", "tax_payable", -933),
        ("USD", "customer_credit", -400),
        ("USD", "deferred_revenue", 400),
        ("USD", "revenue", -4910),
    ]
    assert "Total: JPY 0, $0.00" in run("ledger")
