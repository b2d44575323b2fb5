"""Recalculate a billed month under another price book from files, compare it with the invoices, and write nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.cli.shadow import NoPriceBook, read_book
from fly_billing.corrections.rules.shadow_report import ShadowReport
from fly_billing.corrections.shadow_billing import NothingToShadow, shadow_bill
from fly_billing.pricing.price_books import PriceBookFiles
from tests.support.builders import CLOSED, LANDING_DAYS, OCTOBER, SEPTEMBER, Platform, at, days_of, event, write_jsonl
from tests.support.full_month import TIERED_REQUESTS, bill_full_month
from tests.support.unguarded import damage


def price(key: str, unit_amount: str, meter: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a price as a price book's file has it."""
    plain = {"key": key, "meter": meter, "product": key.capitalize(), "description": f"{key} as used", "unit": "unit"}
    plain |= {"unit_amount": unit_amount, "effective_from": "2026-01-01", **fields}
    return {name: value for name, value in plain.items() if value is not None}


# The price book that these tests bill by charges 0.10 a request, 0.02 a GB above 100, 29.00 a month.
SAME = (
    price("requests", "0.10", "requests"),
    price("egress", "0.02", "egress_gb", free_allowance="100"),
    price("machines", "1.94", "machine_seconds", per="2592000"),
    price("support", "29.00"),
)


def book(folder: Path, *prices: dict[str, Any]) -> PriceBookFiles:
    folder.mkdir(exist_ok=True)
    (folder / "prices.yaml").write_text(yaml.safe_dump({"prices": list(prices)}), encoding="utf-8")
    return read_book(folder)


def with_changed(*changed: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the real book's prices, with these keys replaced."""
    return [row for row in SAME if row["key"] not in {new["key"] for new in changed}] + list(changed)


def shadow(platform: Platform, folder: Path, prices: Sequence[dict[str, Any]], **options: Any) -> ShadowReport:
    return shadow_bill(platform.database, SEPTEMBER, book(folder / "2027", *prices), **options)


def differences(report: ShadowReport) -> list[tuple[str, int, int]]:
    return [
        (difference.organization_id, difference.billed_cents, difference.shadow_cents)
        for difference in report.differences
    ]


def everything(platform: Platform) -> dict[str, object]:
    """Return all rows of all tables, by table."""
    tables = platform.query("select tablename as name from pg_tables where schemaname = 'public'")
    return {
        row["name"]: platform.query(f"select t::text as row from {row['name']} as t order by 1")  # noqa: S608
        for row in tables
    }


@pytest.fixture
def september(platform: Platform) -> Platform:
    """Closed: acme 1,000 requests, 100.00; beta 10 requests, 1.00; delta 200 GB of which 100 are free, 2.00."""
    platform.add_organization("beta")
    platform.add_organization("delta")
    platform.use(
        event("e1", "400", time="2026-09-14T23:59:59.999999Z"),
        event("e2", "600", time="2026-09-15T00:00:00Z"),
        event("e3", "10", subject="beta"),
        event("e4", "200", subject="delta", type="egress_gb", region="ams"),
    )
    assert platform.close().failures == []
    return platform


def test_organizations_are_compared_in_order_of_their_differences(september: Platform, tmp_path: Path) -> None:
    """0.08 instead of 0.10 a request; 50 GB free instead of 100."""
    cheaper = price("requests", "0.08", "requests")
    dearer = price("egress", "0.02", "egress_gb", free_allowance="50")
    report = shadow(september, tmp_path, with_changed(cheaper, dearer))
    assert differences(report) == [("acme", 10000, 8000), ("delta", 200, 300), ("beta", 100, 80)]
    (totals,) = report.totals
    assert (totals.pay_more, totals.pay_less, totals.pay_the_same) == (1, 2, 0)
    assert (totals.billed_cents, totals.shadow_cents) == (10300, 8380)
    assert [(product.product, product.cents) for product in report.products] == [("Requests", -2020), ("Egress", 100)]
    assert (report.book, report.unpriced) == ("2027", [])


def test_shadow_billing_writes_nothing(september: Platform, tmp_path: Path) -> None:
    before = everything(september)
    assert before["invoices"]
    shadow(september, tmp_path, with_changed(price("requests", "0.08", "requests")))
    assert everything(september) == before


def test_an_organization_that_can_not_be_priced_is_named_with_the_reason(september: Platform, tmp_path: Path) -> None:
    report = shadow(september, tmp_path, [row for row in SAME if row["key"] != "egress"])
    assert differences(report) == [("acme", 10000, 10000), ("beta", 100, 100)]
    (usage,) = report.unpriced
    assert (usage.organization_id, usage.code, usage.billed_cents) == ("delta", "unpriced_usage", 200)
    assert "no price in force at 2026-09-01 00:00Z for meter 'egress_gb'" in usage.reason


def test_a_price_that_changes_inside_the_month_divides_usage_at_midnight(september: Platform, tmp_path: Path) -> None:
    """400 requests before the 15th at 0.10 are 40.00, 600 from then on at 0.20 are 120.00."""
    later = price("requests", "0.20", "requests", effective_from="2026-09-15")
    report = shadow(september, tmp_path, [*SAME, later])
    # beta's ten are of noon on the 15th: 2.00.
    assert differences(report) == [("acme", 10000, 16000), ("beta", 100, 200), ("delta", 200, 200)]


def test_a_price_that_changes_within_a_day_fails_the_organizations_it_applies_to(
    september: Platform, tmp_path: Path
) -> None:
    later = price("requests", "0.20", "requests", effective_from="2026-09-15T12:00:00Z")
    report = shadow(september, tmp_path, [*SAME, later])
    assert differences(report) == [("delta", 200, 200)]
    assert [unpriced.organization_id for unpriced in report.unpriced] == ["acme", "beta"]
    assert "the price 'requests' changes at 2026-09-15 12:00:00Z" in report.unpriced[0].reason


def test_shadow_billing_leaves_out_usage_that_landed_after_the_invoice(september: Platform, tmp_path: Path) -> None:
    write_jsonl(september.landing_dir, [event("late", "5000")], LANDING_DAYS[-1], "late")
    september.land(LANDING_DAYS[-1], now=CLOSED)
    assert september.roll_up(now=CLOSED).changed == 1
    assert differences(shadow(september, tmp_path, SAME)) == [
        ("acme", 10000, 10000),
        ("beta", 100, 100),
        ("delta", 200, 200),
    ]


def test_a_full_month_under_its_own_prices_equals_the_billed_amounts_even_after_the_next_month_is_billed(
    platform: Platform, tmp_path: Path
) -> None:
    """Plans in advance, credits and one-off items are those of the month, even after the next invoice."""
    platform.add_subscription("acme", "support", at("2026-09-10"))
    platform.execute("update subscriptions set billed = 'in_advance'")
    bill_full_month(platform)
    tiered = price("requests", "0", "requests", model="graduated", **TIERED_REQUESTS.model.to_data())
    prices = with_changed({name: value for name, value in tiered.items() if name != "unit_amount"})
    before = differences(shadow(platform, tmp_path, prices))
    november = at("2026-11-04T01:00:00")
    platform.land(*days_of(OCTOBER.first_day, november.date()), now=november)
    platform.roll_up(OCTOBER, november)
    billed = platform.bill(OCTOBER, november)
    assert (billed.failures, billed.finalized) == ([], True)
    report = shadow(platform, tmp_path, prices)
    assert differences(report) == before
    assert all(difference.is_by_prices_alone and difference.cents == 0 for difference in report.differences)
    assert [difference.organization_id for difference in report.differences] == ["gamma", "acme"]


def test_later_changes_are_shown_apart_from_the_effect_of_other_prices(september: Platform, tmp_path: Path) -> None:
    """A plan was entered late: under its own prices too, acme would pay 29.00 more."""
    september.add_subscription("acme", "support", at("2026-09-01"))
    first, *rest = shadow(september, tmp_path, SAME).differences
    assert (first.organization_id, first.cents, first.recalculated_cents) == ("acme", 2900, 12900)
    assert not first.is_by_prices_alone
    assert all(difference.is_by_prices_alone for difference in rest)


def test_only_organizations_of_the_book_that_is_replaced_are_billed_again(september: Platform, tmp_path: Path) -> None:
    damage(september.database, "update organizations set price_book = 'other' where id <> 'beta'")  # since always
    report = shadow(september, tmp_path, with_changed(price("requests", "0.08", "requests")))
    assert differences(report) == [("beta", 100, 80)]


def test_an_open_month_can_be_shadow_billed(september: Platform, tmp_path: Path) -> None:
    september.roll_up(OCTOBER, at("2026-10-20"))
    september.bill(OCTOBER, at("2026-10-20"))
    report = shadow_bill(september.database, OCTOBER, book(tmp_path / "2027", *SAME))
    assert [(difference.organization_id, difference.cents) for difference in report.differences] == [
        ("acme", 0),
        ("beta", 0),
        ("delta", 0),
    ]


def test_an_unbilled_month_is_refused(september: Platform, tmp_path: Path) -> None:
    with pytest.raises(NothingToShadow, match=r"2026-10 has no invoice with prices of the book 'fly'"):
        shadow_bill(september.database, OCTOBER, book(tmp_path / "2027", *SAME))
    with pytest.raises(NothingToShadow, match=r"prices of the book 'flyy'. The books are fly"):
        shadow(september, tmp_path, SAME, instead_of="flyy")


def test_a_folder_without_a_price_book_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoPriceBook, match="has no prices"):
        read_book(tmp_path)
    with pytest.raises(NoPriceBook, match=r"prices\.yaml: .*unit_amount"):
        book(tmp_path / "2027", price("requests", "cheap", "requests"))


def test_the_command_shows_tables_or_json_and_fails_if_an_organization_is_unpriced(
    september: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = september.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    folder = tmp_path / "2027"
    cheaper = with_changed(price("requests", "0.08", "requests"))

    book(folder, *cheaper)
    good = CliRunner().invoke(app, ["shadow", "2026-09", "--price-book", str(folder), "--json"])
    assert good.exit_code == 0, good.output
    assert [organization["difference_cents"] for organization in json.loads(good.stdout)["organizations"]] == [
        -2000,
        -20,
        0,
    ]

    book(folder, *(row for row in cheaper if row["key"] != "egress"))
    bad = CliRunner().invoke(app, ["shadow", "2026-09", "--price-book", str(folder), "--top", "1"])
    assert bad.exit_code == 1
    assert "$80.80 instead of $101.00, -$20.20 (-20.0 %). 0 would pay more, 2 less, 0 the same." in bad.output
    assert "Totals by payer: the biggest difference of 2" in bad.output
    assert "1 could not be rated" in bad.output
    assert "Nothing was written" in bad.output
