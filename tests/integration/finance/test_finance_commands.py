"""The commands of finance print and export the rows of the views: the same amounts as the invoices, to the cent."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from fly_billing.cli.main import app
from tests.support.builders import OCTOBER, Platform, at
from tests.support.full_month import bill_full_month


@pytest.fixture
def september(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """September of `bill_full_month`, on the database of the commands: acme 49.10 + 9.33 of VAT, gamma 1,200 yen."""
    bill_full_month(platform)
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    return platform


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def rows_of(*arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run(*arguments, "--json"))
    return found


def test_revenue_is_shown_by_product_region_and_organization_with_equal_totals(september: Platform) -> None:
    """Machines (0.75) and traffic (1.00) ran in ams; the coupon, the credit and all fees have no region."""
    for by in ("product", "region", "organization"):
        assert "Total: JPY 1,200, $49.10" in run("finance", "revenue", "2026-09", "--by", by)
    assert rows_of("finance", "revenue", "2026-09", "--by", "region") == [
        {"currency": "JPY", "region": None, "revenue_cents": 1200},
        {"currency": "USD", "region": None, "revenue_cents": 4735},
        {"currency": "USD", "region": "ams", "revenue_cents": 175},
    ]
    owners = rows_of("finance", "revenue", "2026-09", "--by", "organization")
    assert [(row["organization_id"], row["payer_id"], row["revenue_cents"]) for row in owners] == [
        ("gamma", "gamma", 1200),
        ("acme", "acme", 4890),
        ("beta", "acme", 20),
    ]


def test_taxes_receivables_credits_and_months_are_shown(september: Platform) -> None:
    (tax,) = rows_of("finance", "taxes", "2026-09")
    assert (tax["name"], tax["percent"], tax["taxable_cents"], tax["tax_cents"]) == ("VAT", "19", 4910, 933)
    owed = rows_of("finance", "receivables")
    assert [(row["organization_id"], row["due_cents"]) for row in owed] == [("gamma", 1200), ("acme", 5843)]
    (credit,) = rows_of("finance", "credits", "acme")
    assert (credit["granted"], credit["used"], credit["remaining"], credit["state"]) == ("3", "3", "0", "used up")
    months = rows_of("finance", "months", "--from", "2026-09")
    assert [(row["month"], row["currency"], row["revenue_cents"], row["total_cents"]) for row in months] == [
        ("2026-09", "JPY", 1200, 1200),
        ("2026-09", "USD", 4910, 5843),
    ]
    assert "$58.43" in run("finance", "receivables")


def test_the_history_of_a_month_is_shown(september: Platform) -> None:
    september.insert(
        "sync_approvals", month=at("2026-09-01").date(), currency="USD", total_cents=5843, approved_by="bob",
        approved_at=at("2026-10-06"),
    )  # fmt: skip
    acts = [(row["person"], row["action"], row["amount_cents"]) for row in rows_of("history", "acme", "2026-09")]
    assert ("bob", "approved", 5843) in acts
    assert [act[1:] for act in acts if act[0] != "bob"] == [("finalized", 5843)]
    assert "bob" in run("history", "acme", "2026-09")


def test_a_month_that_is_open_is_named_and_not_counted(september: Platform) -> None:
    september.compute(OCTOBER)
    printed = run("finance", "revenue", "2026-10")
    assert "Revenue of 2026-10 by product: nothing." in printed
    assert "Not in this table: 2 open invoices of 2026-10." in printed


def test_exports_have_the_same_rows_in_csv_and_parquet(september: Platform, tmp_path: Path) -> None:
    september.execute("alter table organizations disable trigger user")
    september.execute("update organizations set name = '=1+1' where id = 'acme'")
    comma, columnar = tmp_path / "owed.csv", tmp_path / "owed.parquet"
    printed = run("finance", "receivables", "--csv", str(comma), "--parquet", str(columnar))
    assert printed.count("2 rows written to") == 2
    with comma.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["organization"], row["due_cents"]) for row in rows] == [("Gamma", "1200"), ("'=1+1", "5843")]
    assert [(row["organization"], row["due_cents"]) for row in pq.read_table(columnar).to_pylist()] == [
        ("Gamma", 1200),
        ("=1+1", 5843),
    ]
    run("finance", "credits", "--parquet", str(columnar), "--overwrite")
    (credit,) = pq.read_table(columnar).to_pylist()
    assert (credit["granted"], credit["used"]) == (Decimal(3), Decimal(3))
