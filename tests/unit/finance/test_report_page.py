"""The report of a month shows every currency by itself, loads nothing from outside, and runs no text of others."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from fly_billing.finance import tables_reader
from fly_billing.finance.journal_table import RECOGNIZED
from fly_billing.finance.month_report import CreditsOfMonth, FinanceReport
from fly_billing.finance.report.bar_plot import bar_plot
from fly_billing.finance.report.page import report_page
from fly_billing.finance.rules.breakdowns import RevenueBy
from fly_billing.finance.rules.month_sums import MonthSums
from fly_billing.finance.rules.tables import Column, FinanceTable
from tests.support.builders import SEPTEMBER

EVIL = "</td><script>alert(1)</script><img src=x onerror=alert(1)>\u202eevil {{ 7*7 }}"
SUMS = MonthSums("USD", 2, 5843, 4910, 933, 0, by_product_cents=4910, by_rate_cents=933, due_cents=5843)


def table(columns: tuple[Column, ...], *rows: dict[str, Any], adds_up: str | None = None) -> FinanceTable:
    """Return a table whose rows are in USD and have no value in the columns that a row does not name."""
    nothing = dict.fromkeys(column.name for column in columns)
    return FinanceTable("Table", columns, [{**nothing, "currency": "USD", **row} for row in rows], adds_up)


OWED = {
    "organization_id": "acme", "organization": EVIL, "invoices": 1, "current_cents": 0, "days_1_30_cents": 5843,
    "days_31_60_cents": 0, "days_61_90_cents": 0, "over_90_cents": 0, "due_cents": 5843,
}  # fmt: skip
REPORT = FinanceReport(
    month=SEPTEMBER,
    as_of=datetime(2026, 10, 5, 6, tzinfo=UTC),
    sums=[SUMS],
    currencies=["USD"],
    open_invoices=0,
    months=table(
        tables_reader.MONTHS,
        {
            "month": date(2026, 9, 1), "invoices": 2, "revenue_cents": 4910, "tax_cents": 933, "prepaid_cents": 0,
            "total_cents": 5843, "paid_cents": 0, "written_off_cents": 0,
        },
    ),
    recognized=table(
        RECOGNIZED,
        {
            "month": date(2026, 9, 1), "billed_cents": 4910, "recognized_cents": 1310, "breakage_cents": 0,
            "deferred_cents": 3600,
        },
    ),
    revenue={
        by: table(tables_reader.REVENUE_BY[by], {"product": EVIL, "revenue_cents": 4910}, adds_up="revenue_cents")
        if by == RevenueBy.PRODUCT
        else table(tables_reader.REVENUE_BY[by], adds_up="revenue_cents")
        for by in RevenueBy
    },
    taxes=table(tables_reader.TAXES, adds_up="tax_cents"),
    receivables=table(tables_reader.RECEIVABLES, OWED, adds_up="due_cents"),
    credits=table(tables_reader.CREDITS_BY_STATE),
    credits_used=[CreditsOfMonth(date(2026, 9, 1), "USD", Decimal("3.005"))],
    history=table(tables_reader.HISTORY, {"person": EVIL, "subject": EVIL}),
)  # fmt: skip


class Page(HTMLParser):
    """The elements of a page, and everything that it would load or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.active: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.active += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "xlink:href")]


def test_the_page_loads_nothing_and_shows_names_as_text() -> None:
    html = report_page(REPORT)
    page = Page(html)
    assert page.active == []
    assert not {"script", "img", "link", "iframe"} & page.tags
    assert "{{ 7*7 }}" in html
    assert "\u202e" not in html


def test_the_page_shows_the_amounts_of_the_month_and_its_plots() -> None:
    html = report_page(REPORT)
    facts = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", html)
    assert facts == [
        ("Revenue", "$49.10"),
        ("Tax", "$9.33"),
        ("Prepaid credit", "$0.00"),
        ("Total of 2 invoices", "$58.43"),
        ("Not paid yet", "$58.43"),
    ]
    tooltips = [text for text in re.findall(r"<title>([^<]*: [^<]*)</title>", html) if not text.endswith("0.00")]
    assert tooltips == [
        "September 2026: finance", "Sep: $49.10", "Sep: $9.33", "Sep: $3.01", "1-30 days: $58.43",
    ]  # fmt: skip


def test_the_page_shows_what_is_recognized_and_deferred() -> None:
    """Of 49.10, 36.00 belong to later months."""
    html = report_page(REPORT)
    (row,) = re.findall(r"<tr>(<td>2026-09</td><td class=\"n\">\$49\.10</td><td class=\"n\">\$13\.10.*?)</tr>", html)
    assert re.findall(r"\$[0-9.]+", row) == ["$49.10", "$13.10", "$0.00", "$36.00"]


def test_sums_that_do_not_tie_and_open_invoices_are_named() -> None:
    wrong = replace(REPORT, sums=[replace(SUMS, tax_cents=934)], open_invoices=3)
    html = report_page(wrong)
    assert "USD: revenue + tax + prepaid credit is $58.44, but should be $58.43" in html
    assert "3 of the month's invoices are still open" in html
    assert "should be" not in report_page(REPORT)


def test_a_long_table_shows_twenty_rows_and_the_sum_of_the_others() -> None:
    """25 products of 1.00: 20 rows, 5 more for 5.00, and 25.00 in total."""
    rows = [{"product": f"Product {number}", "revenue_cents": 100} for number in range(25)]
    columns = tables_reader.REVENUE_BY[RevenueBy.PRODUCT]
    revenue = {**REPORT.revenue, RevenueBy.PRODUCT: table(columns, *rows, adds_up="revenue_cents")}
    html = report_page(replace(REPORT, revenue=revenue))
    assert ("Product 19<" in html, "Product 20<" in html) == (True, False)
    assert re.search(r"5 more</th><td class=\"n\">\$5\.00", html)
    assert re.search(r"Total</th><td class=\"n\">\$25\.00", html)


def test_negative_amounts_are_below_the_axis_and_a_plot_of_nothing_has_no_bars() -> None:
    plot = bar_plot("Revenue", [("Aug", 1000), ("Sep", -500)], "USD")
    up, down = plot.bars
    assert (up.y + up.height, down.y) == (plot.axis, plot.axis)
    assert (up.height, down.height) == (85.3, 42.7)
    assert [bar.height for bar in bar_plot("Revenue", [("Aug", 0)], "USD").bars] == [0]
