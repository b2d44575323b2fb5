"""The journal of a month: balanced, by the general ledger's accounts, the same bytes each time, and closed for good."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fly_billing.accounting.books import BooksDiffer
from fly_billing.accounting.rules.journal import AccountsNotMapped
from fly_billing.cli.main import app
from fly_billing.periods import BillingMonth
from tests.support.builders import Platform, at, price

AUGUST = BillingMonth(2026, 8)
ACCOUNTS = (
    "account,code,name\nreceivable,1200,Trade debtors\nrevenue,4000,=Sales\ndeferred_revenue,2400,Deferred income\n"
    "tax_payable,2200,VAT\n"
)


@pytest.fixture
def sold(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """acme pays 365.00 for a year from September 2026 on, and 20 % of VAT: 438.00 on August's invoice.

    kyoto pays 1,000 yen for a setup in August.
    """
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_tax("acme", "VAT", "20", first_month=AUGUST.first_day)
    platform.add_subscription("acme", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    platform.add_organization("kyoto", "JPY")
    platform.add_one_off("kyoto", "Setup", "1000", at("2026-08-10"), "JPY")
    assert platform.close(AUGUST).failures == []
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "accounts.csv").write_text(ACCOUNTS, encoding="utf-8")
    return platform


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_journal_has_the_accounts_of_the_general_ledger_and_balances(sold: Platform, tmp_path: Path) -> None:
    """August: 438.00 = 365.00 + 73.00 of VAT, and all of the 365.00 is deferred. September recognizes 30.00."""
    run("finance", "journal", "2026-08", "--accounts", str(tmp_path / "accounts.csv"), "--csv", str(tmp_path / "j.csv"))
    with (tmp_path / "j.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [(line["date"], line["currency"], line["code"], line["debit"], line["credit"]) for line in lines] == [
        ("2026-08-31", "JPY", "1200", "1000", ""),
        ("2026-08-31", "JPY", "4000", "", "1000"),
        ("2026-08-31", "USD", "1200", "438.00", ""),
        ("2026-08-31", "USD", "2200", "", "73.00"),
        ("2026-08-31", "USD", "4000", "", "365.00"),
        ("2026-08-31", "USD", "2400", "", "365.00"),
        ("2026-08-31", "USD", "4000", "365.00", ""),
    ]
    assert {line["name"] for line in lines if line["code"] == "4000"} == {"'=Sales"}  # no formula for a spreadsheet
    assert lines[-1]["reference"] == "2026-08-USD-revenue_deferred"
    found = json.loads(run("finance", "journal", "2026-09", "--json"))
    assert [(line["code"], line["debit"], line["credit"]) for line in found] == [
        ("deferred_revenue", "30.00", None),
        ("revenue", None, "30.00"),
    ]


def test_a_journal_is_the_same_each_time(sold: Platform, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.csv", "two.csv", "one.parquet", "two.parquet")]
    run("finance", "close-period", "2026-08", "--leave-open")
    run("finance", "journal", "2026-08", "--csv", str(files[0]), "--parquet", str(files[2]))
    sold.add_organization("late")
    sold.add_one_off("late", "Setup", "5", at("2026-08-10"))
    assert sold.close(AUGUST).failures == []
    run("finance", "journal", "2026-08", "--csv", str(files[1]), "--parquet", str(files[3]))
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[2].read_bytes() == files[3].read_bytes()
    assert pq.read_table(files[2])["debit"].to_pylist()[:3] == [Decimal("1000.000"), None, Decimal("438.000")]


def test_accounts_without_a_code_are_refused_together(sold: Platform, tmp_path: Path) -> None:
    mapping = tmp_path / "few.csv"
    mapping.write_text("account,code,name\nrevenue,4000,Sales\n", encoding="utf-8")
    missing = "no code of the general ledger for receivable, tax_payable, deferred_revenue"
    with pytest.raises(AccountsNotMapped, match=missing):
        run("finance", "journal", "2026-08", "--accounts", str(mapping))
    with pytest.raises(AccountsNotMapped, match=r"none\.csv can't be read: No such file or directory"):
        run("finance", "journal", "2026-08", "--accounts", str(tmp_path / "none.csv"))


def test_a_month_is_closed_by_a_command_and_says_so(sold: Platform) -> None:
    assert "not closed, so it can still change" in run("finance", "journal", "2026-08")
    said = run("finance", "close-period", "2026-08")
    assert said.startswith("2026-08 is closed. What is posted from now on counts in 2026-09 or later")
    assert "2026-08 was closed on" in run("finance", "close-period", "2026-08")
    assert "(closed by" in run("finance", "journal", "2026-08")


def test_a_journal_is_shown_but_not_exported_while_the_books_differ(sold: Platform, tmp_path: Path) -> None:
    """acme owes 438.00, which is not sent yet; Stripe asks for 9.00 with an invoice that is not ours."""
    sold.execute(
        "insert into stripe_invoice_amounts (stripe_invoice_id, number, organization_id, status, currency, total_cents,"
        " starting_balance_cents, due_cents, paid_cents, remaining_cents, overpaid_cents, unpaid_credited_cents,"
        " paid_credited_cents, read_at, source)"
        " values ('in_by_hand', 1, 'acme', 'open', 'USD', 900, 0, 900, 0, 900, 0, 0, 0, now(), 'sweep')"
    )
    shown = run("finance", "journal", "2026-08")
    assert "this journal is not exported, and 2026-08 not closed, while the books differ (1 difference):" in shown
    assert "$0.00 here, $9.00 in Stripe" in shown
    exports = (("--csv", str(tmp_path / "j.csv")), ("--parquet", str(tmp_path / "j.parquet")), ("--json",))
    for export in exports:
        with pytest.raises(BooksDiffer, match="the journal of 2026-08 is not exported while the books differ"):
            run("finance", "journal", "2026-08", *export)
    assert list(tmp_path.glob("j.*")) == []
    close = ("finance", "close-period", "2026-08", "--leave-open", "--why", "a setup fee")
    with pytest.raises(BooksDiffer, match="2026-08 can't be closed") as refused:
        run(*close)
    with pytest.raises(BooksDiffer, match=r"with Stripe are USD=9\.00 #"):
        run(*close, "--accept", "USD=9.00")
    accept = str(refused.value).partition('--accept "')[2].partition('"')[0]
    closed = run(*close, "--accept", accept)
    assert "Accepted differences with Stripe:" in closed
    assert "Export this month's: `fly-billing finance journal 2026-08 --csv FILE`" in closed
    assert "who accepted differences" in run("finance", "journal", "2026-08")
    run("finance", "journal", "2026-08", "--csv", str(tmp_path / "j.csv"))
    wrong = CliRunner().invoke(app, ["finance", "close-period", "2026-09", "--accept", "9"])
    assert (wrong.exit_code, "9 has no cents" in wrong.output) == (2, True)


def test_recognized_and_deferred_revenue_are_shown_by_month(sold: Platform) -> None:
    """The last month is 2026-10 here; of the year, 365 - 30 - 31 = 304 dollars are still deferred."""
    run("finance", "journal", "2026-08")
    found = json.loads(run("finance", "recognized", "--to", "2026-10", "--json"))
    columns = ("month", "currency", "billed_cents", "recognized_cents", "deferred_cents")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("2026-10", "USD", 0, 3100, 30400),
        ("2026-09", "USD", 0, 3000, 33500),
        ("2026-08", "JPY", 1000, 1000, 0),
        ("2026-08", "USD", 36500, 0, 36500),
    ]
