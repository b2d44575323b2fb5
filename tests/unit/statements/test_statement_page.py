"""The page has the statement's content, loads nothing from elsewhere, and shows every text literally."""

import re
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.statements.page import statement_page
from fly_billing.statements.page.daily_plot import DailyPlot, daily_plot
from fly_billing.statements.rules.balance import StripeAmounts
from fly_billing.statements.rules.spend import (
    DailySpend,
    DaySpend,
    SpendItem,
    SpendShare,
    UsagePart,
    break_down,
    compare_products,
    total_by_product,
)
from fly_billing.statements.rules.statement import (
    Completeness,
    PayingOrganization,
    RemainingCredit,
    Statement,
    StatementInvoice,
    StatementItem,
    StatementTax,
)
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails
from tests.support.builders import CLOSED, NOW, SEPTEMBER

DAYS = [SEPTEMBER.first_day + timedelta(days=n) for n in range(30)]


class Page(HTMLParser):
    """The page as a browser reads it: tags with their attributes, and the text without the style sheet."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._texts: list[str] = []
        self._is_style = False
        self.feed(html)
        self.text = " ".join(" ".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._is_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._is_style = False

    def handle_data(self, data: str) -> None:
        if not self._is_style:
            self._texts.append(data)

    def of(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [
            attribute_values
            for name, attribute_values in self.tags
            if name == tag and attributes.items() <= attribute_values.items()
        ]


def spent(amount: str, product: str = "Machines", **changes: Any) -> SpendItem:
    exact = Decimal(amount)
    return SpendItem(changes.pop("kind", "usage"), product, "acme", exact, int(exact * 100), **changes)


def line(amount: str, product: str = "Machines", **changes: Any) -> StatementItem:
    described = {"description": f"{product} as used", "working": "3 seconds x 0.1", **changes}
    return StatementItem(product=product, amount=amount, amount_cents=int(Decimal(amount) * 100), **described)


def september(*items: SpendItem, lines: tuple[StatementItem, ...] = (), **changes: Any) -> StatementInvoice:
    total = sum(item.amount_cents for item in items)
    invoice = StatementInvoice(
        "2026-09", "finalized", "USD", total, CLOSED, date(2026, 10, 18), None, None, None,
        items=lines, number="ACME-0001", spend=break_down(items, SEPTEMBER, "USD", CLOSED),
    )  # fmt: skip
    return replace(invoice, **changes)


def page(*invoices: StatementInvoice, name: str = "Acme", **changes: Any) -> Page:
    return Page(statement_page(Statement("acme", name, NOW, invoices, month="2026-09", **changes)))


MACHINES = spent("6.00", usage=[UsagePart({"app": "web", "region": "ams"}, Decimal(1))], daily={DAYS[14]: Decimal(1)})


def test_the_page_has_the_amount_owed_the_invoice_its_due_date_and_its_items() -> None:
    shown = page(september(MACHINES, lines=(line("6.00"),)))
    for text in (
        "Acme owes $6.00 on 1 unpaid invoice.", "ACME-0001", "18 Oct 2026", "Due $6.00", "September 2026",
        "Machines as used 3 seconds × 0.1", "web", "ams", "4 Oct 2026, 01:00 UTC",
    ):  # fmt: skip
        assert text in shown.text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    shown = page(september(MACHINES, lines=(line("6.00"),)))
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "embed"})
    assert [name for _, attributes in shown.tags for name in attributes if name in ("src", "href", "onclick")] == []
    assert "url(" not in shown.html
    assert "@import" not in shown.html


def test_every_text_is_shown_literally() -> None:
    trap = "<script>alert(1)</script>"
    shown = page(september(MACHINES, lines=(line("6.00", description=trap, causes=(trap,)),), trouble=trap), name=trap)
    assert trap not in shown.html
    assert shown.html.count("&lt;script&gt;") >= 4
    assert shown.text.count(trap) >= 4


def test_only_a_secure_address_is_a_link() -> None:
    assert page(september(MACHINES, hosted_invoice_url="https://pay.example/1")).of("a") == [
        {"href": "https://pay.example/1"}
    ]
    assert page(september(MACHINES, hosted_invoice_url="javascript:alert(1)")).of("a") == []


def test_the_plot_has_a_bar_per_day_and_the_same_numbers_as_text() -> None:
    shown = page(september(MACHINES))
    (plot,) = shown.of("svg")
    assert (plot["role"], plot["aria-labelledby"]) == ("img", "plot-title plot-desc")
    assert len(shown.of("rect")) == 30
    assert "15 Sep 2026 $6.00" in shown.text
    assert "16 Sep 2026 $0.00" in shown.text


def test_amounts_outside_the_plot_are_listed_below_it() -> None:
    unknown = spent("2.00", daily={None: Decimal(1)})
    discount = spent("-1.00", "Discounts", kind="discount")
    text = page(september(MACHINES, unknown, discount)).text
    assert "Not in the plot: $2.00 that was billed before daily amounts were recorded." in text
    assert "−$1.00 of discounts, minimums, credits and taxes, which apply to the whole invoice" in text


def test_future_days_have_lighter_bars() -> None:
    fee = spent("30.00", "Support", kind="subscription", period=(SEPTEMBER.start, SEPTEMBER.end))
    shown = page(september(fee, status="open", as_of=NOW))
    lighter = [bar for bar in shown.of("rect") if "future" in (bar["class"] or "")]
    assert len(lighter) == 10
    assert "Lighter bars are future days" in shown.text
    assert "Lighter bars" not in page(september(fee)).text


def test_the_page_shows_taxes_credits_and_the_month_before() -> None:
    before = total_by_product([spent("4.00")])
    shown = page(
        september(
            MACHINES,
            lines=(line("6.00"),),
            taxes=(StatementTax("VAT", "19", False, 600, 114),),
            compared=compare_products(total_by_product([MACHINES]), before, SEPTEMBER.plus(-1)),
        ),
        credits=(
            RemainingCredit("Welcome credit", "USD", 5000, 1234, None),
            RemainingCredit("Deposit", "USD", 900, 500, None, "gross"),
        ),
        completeness=Completeness(date(2026, 9, 19), date(2026, 9, 30), ()),
    )
    for text in (
        "VAT 19 % $6.00 $1.14", "Welcome credit Never $50.00 $12.34",
        "Deposit (also pays taxes) Never $9.00 $5.00", "Compared with August 2026",
        "Machines $4.00 $6.00 +$2.00", "Includes all usage received by the end of 2026-09-19 (UTC).",
    ):  # fmt: skip
        assert text in shown.text


def test_the_page_shows_each_tax_with_its_category_and_legal_text() -> None:
    reverse = StatementTax("VAT", "0", False, 600, 0, "reverse_charge", "Art. 196 Directive 2006/112/EC")
    low = StatementTax("VAT", "7", False, 100, 7, "reduced")
    text = page(september(MACHINES, lines=(line("6.00"),), taxes=(reverse, low))).text
    assert "VAT reverse charge Art. 196 Directive 2006/112/EC 0 % $6.00 $0.00" in text
    assert "VAT reduced 7 % $1.00 $0.07" in text
    assert (reverse.title, low.title) == ("VAT 0 % (reverse charge)", "VAT 7 % (reduced)")


def test_a_long_list_of_apps_is_folded_and_adds_up() -> None:
    """20 apps of $1.00 each: twelve are named, eight are one row."""
    parts = [UsagePart({"app": f"app-{n:02d}"}, Decimal(1)) for n in range(20)]
    text = page(september(spent("20.00", usage=parts), lines=(line("20.00"),))).text
    assert "app-11 $1.00 8 more $8.00 Total $20.00" in text


def test_the_page_of_an_organization_that_does_not_pay_names_its_payer() -> None:
    text = page(september(MACHINES, lines=(line("6.00"),), payer=PayingOrganization("globex", "Globex"))).text
    assert "Paid by Globex" in text
    assert (
        "This is Acme’s share of an invoice that Globex pays. Discounts, credits and taxes are on that invoice." in text
    )
    assert "Acme owes nothing." in text


def test_a_failed_month_and_an_organization_without_invoices_have_a_page() -> None:
    trouble = "We can't calculate this month's invoice yet."
    shown = page(StatementInvoice("2026-09", "not computed", "USD", None, None, None, None, None, trouble))
    assert "Not calculated yet" in shown.text
    assert trouble in shown.text
    assert "Acme owes nothing." in page().text


def plot_of(*cents: int) -> DailyPlot:
    days = tuple(DaySpend(day, amount) for day, amount in zip(DAYS, [*cents, *[0] * 30], strict=False))
    return daily_plot(DailySpend(days), "USD", None)


def test_the_highest_bar_stays_below_the_line_of_a_round_amount() -> None:
    """$1.06 is below $1.20; the bar is 106/120 of the way from the axis up."""
    plot = plot_of(106)
    (line_,) = plot.grid
    assert plot.labels[0].text == "$1.20"
    assert plot.bars[0].height == round((plot.axis - line_) * 106 / 120, 1)
    assert plot_of(100_00).labels[0].text == "$100"


def test_the_bar_of_a_day_with_negative_spend_is_below_the_axis() -> None:
    plot = plot_of(200, -100)
    assert plot.bars[0].y + plot.bars[0].height == plot.axis == plot.bars[1].y
    assert [label.text for label in plot.labels[:2]] == ["$2", "-$1"]
    assert [re.sub(" .*", "", label.text) for label in plot.labels[2:]] == ["1", "8", "15", "22", "29"]


def test_a_month_without_spend_is_a_flat_line() -> None:
    plot = plot_of()
    assert (plot.grid, {bar.height for bar in plot.bars}) == ((), {0.0})


def test_rows_without_an_app_or_region_have_a_name() -> None:
    spend = september(MACHINES).spend
    assert spend is not None
    shares = (SpendShare("web", 600), SpendShare(None, 100), SpendShare(None, -50, is_of_the_whole_invoice=True))
    text = page(september(MACHINES, lines=(line("6.00"),), spend=replace(spend, by_app=shares))).text
    assert "web $6.00 No app $1.00 Discounts, minimums, credits and taxes −$0.50" in text


# Seller and customer --------------------------------------------------------------------------------------------------


def test_the_page_names_seller_and_customer_and_the_sums_of_the_invoice() -> None:
    """100.00 and 19 % of it; Stripe deducted 20.00 of credit from the 119.00."""
    customer = InvoiceDetails(
        "Acme <GmbH>", line1="Ankerweg 1", postal_code="10115", city="Berlin", country="DE",
        tax_ids=("eu_vat:DE123456789",), purchase_order="PO-7", memo="Thank you", footer="Registered in Berlin",
    )  # fmt: skip
    invoice = replace(
        september(spent("119"), lines=(line("100"), line("19", kind="tax"))),
        taxes=(StatementTax("VAT", "19", False, 10_000, 1_900),),
        in_stripe=StripeAmounts(9_900, 0, CLOSED),
        customer=customer,
        seller=("Fly.io, Inc.", "EIN 81"),
        pdf_url="https://pay.stripe.com/invoice/1/pdf",
    )
    page = Page(statement_page(Statement("acme", "Acme", NOW, (invoice,), month="2026-09"), ("Fly.io, Inc.", "EIN 81")))
    for text in (
        "From Fly.io, Inc. EIN 81 To Acme <GmbH> Ankerweg 1 10115 Berlin DE EU VAT DE123456789",
        "Purchase order PO-7",
        "Subtotal $100.00 VAT 19 % on $100.00 $19.00 Total $119.00",
        "Balance of earlier invoices −$20.00 Amount due $99.00",
        "Registered in Berlin",
    ):
        assert text in page.text
    assert {"href": "https://pay.stripe.com/invoice/1/pdf"} in page.of("a")


def test_only_an_item_of_another_time_names_it() -> None:
    year = ServicePeriod(SEPTEMBER.start, SEPTEMBER.plus(12).start)
    reserved = line("1200", "Reservations", period=year)
    used = line("100", period=ServicePeriod.of_month(SEPTEMBER))
    page = Page(
        statement_page(Statement("acme", "Acme", NOW, (september(spent("1300"), lines=(used, reserved)),), "2026-09"))
    )
    assert page.text.count("1 Sep 2026 to") == 1
    assert "1 Sep 2026 to 31 Aug 2027" in page.text
