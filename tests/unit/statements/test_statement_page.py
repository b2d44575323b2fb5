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
from fly_billing.statements.rules.daily_costs import CostDay, UsageOfLabel, explore
from fly_billing.statements.rules.spend import (
    SpendItem,
    SpendShare,
    UsagePart,
    break_down,
    compare_products,
    total_by_product,
)
from fly_billing.statements.rules.statement import (
    Completeness,
    EarlierMonths,
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


def page(*invoices: StatementInvoice, name: str = "Acme", usage: tuple[UsageOfLabel, ...] = (), **changes: Any) -> Page:
    """Return the page; with a plot if an invoice has items, whose usage is `usage`."""
    of = invoices[0] if invoices else None
    costs = explore("product", of.items, usage, (), SEPTEMBER, of.currency) if of and of.items else None
    return Page(statement_page(Statement("acme", name, NOW, invoices, month="2026-09", **changes), (), costs))


def used(item: StatementItem, **by_day: str) -> UsageOfLabel:
    """Return the usage of an item: `d15="1"` is 1 on the 15th."""
    days = [int(name[1:]) for name in by_day]
    return UsageOfLabel(item.id, 0, days, [Decimal(quantity) for quantity in by_day.values()])


MACHINES = spent("6.00", usage=[UsagePart({"app": "web", "region": "ams"}, Decimal(1))], daily={DAYS[14]: Decimal(1)})


def test_the_page_has_the_amount_owed_the_invoice_its_due_date_and_its_items() -> None:
    shown = page(september(MACHINES, lines=(line("6.00"),)))
    for text in (
        "Acme owes $6.00 on 1 unpaid invoice.", "ACME-0001", "18 Oct 2026", "Due Total $6.00", "September 2026",
        "Machines as used 3 seconds × 0.1", "web", "ams", "4 Oct 2026, 01:00 UTC",
    ):  # fmt: skip
        assert text in shown.text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    shown = page(september(MACHINES, lines=(line("6.00"),)))
    assert {tag for tag, _ in shown.tags}.isdisjoint({"script", "link", "img", "iframe", "object", "embed"})
    names = {name for _, attributes in shown.tags for name in attributes}
    assert names.isdisjoint({"src", "href", "onclick", "style"})
    assert set(re.findall(r"url\((.)", shown.html)) == {"#"}  # the patterns of this page
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
    machines = line("6.00", id="m")
    shown = page(september(MACHINES, lines=(machines,)), usage=(used(machines, d15="1"),))
    (plot,) = shown.of("svg", role="img")
    assert plot["aria-labelledby"] == "plot-title plot-desc"
    assert len(shown.of("svg", **{"class": "day"})) == 30
    assert "15 Sep 2026: $6.00 Machines: $6.00" in shown.text
    assert "15 Sep 2026 $6.00 $6.00 16 Sep 2026 $0.00 $0.00" in shown.text


def test_what_is_no_usage_of_a_day_is_listed_below_the_bars_and_adds_up() -> None:
    """6.00 of usage on the 15th, 2.00 without a day, a fee of 29.00, a refund of 10.00 and 1.00 of discount: 26.00."""
    lines = (
        line("6.00", id="a"), line("2.00", id="b"), line("29.00", "Plans", id="c", kind="subscription"),
        line("-10.00", "Refunds", id="d", kind="one_off"), line("-1.00", "Discounts", id="e", kind="discount"),
    )  # fmt: skip
    known, unknown = used(lines[0], d15="1"), UsageOfLabel("b", 0, [None], [Decimal(1)])
    text = page(september(spent("26.00"), lines=lines), usage=(known, unknown)).text
    assert (
        "Usage in the bars $6.00 Usage without a day $2.00 Recurring fees $29.00 One-off items −$10.00"
        " Discounts, minimums, credits and taxes −$1.00 Total $26.00"
    ) in text


def test_future_days_are_marked() -> None:
    machines = line("6.00", id="m")
    invoice = september(MACHINES, lines=(machines,), status="open", as_of=NOW)
    assert len(page(invoice, usage=(used(machines, d15="1"),)).of("rect", **{"class": "future"})) == 10
    final = page(september(MACHINES, lines=(machines,)), usage=(used(machines, d15="1"),))
    assert final.of("rect", **{"class": "future"}) == []


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


def test_a_month_far_above_the_others_is_cut_off() -> None:
    """12 months of $10.00 and one of $1,000.00: bars are as long as $10.00 allows."""
    months = [
        september(MACHINES, month=str(SEPTEMBER.plus(-back)), total_cents=100_000 if back == 3 else 1_000)
        for back in range(13)
    ]
    shown = page(*months)
    assert {bar["width"] for bar in shown.of("rect", **{"class": "part"})} == {"100.0%"}
    assert len(shown.of("path", **{"class": "cut"})) == 1
    assert "more month" not in shown.text


def test_a_page_that_is_sent_counts_the_months_that_it_does_not_list() -> None:
    shown = page(september(MACHINES), earlier_months=EarlierMonths(108, "2016-10"))
    assert "Not listed: 108 more months since October 2016, with nothing due." in shown.text
    assert shown.of("a") == []


def live(earlier: EarlierMonths | None = None, *, all_months: bool = False) -> list[str | None]:
    """Return the links of a live page of September with August before it."""
    machines = line("6.00", id="m")
    invoice = september(MACHINES, lines=(machines,))
    listed = (invoice, replace(invoice, month="2026-08"))
    statement = Statement("acme", "Acme", NOW, listed, month="2026-09", earlier_months=earlier)
    costs = explore("product", invoice.items, [used(machines, d15="1")], (), SEPTEMBER, "USD")
    assert Page(statement_page(statement, (), costs)).of("a") == []
    return [
        link["href"] for link in Page(statement_page(statement, (), costs, is_live=True, all_months=all_months)).of("a")
    ]


def test_only_a_live_page_has_links_to_other_months_and_splits() -> None:
    assert live() == [
        "?month=2026-08", "?month=2026-09&by=product", "?month=2026-09&by=app", "?month=2026-09&by=region",
        "?month=2026-09&by=product", "?month=2026-08&by=product",
    ]  # fmt: skip


def test_a_live_page_links_to_the_list_of_all_months_and_back() -> None:
    """Each link of the page with all months keeps them, but the one that lists fewer."""
    assert live(EarlierMonths(108, "2016-10"))[-1] == "?month=2026-09&by=product&months=all#months"
    *others, last = live(all_months=True)
    assert last == "?month=2026-09&by=product#months"
    assert len(others) == 6 and all((link or "").endswith("&months=all") for link in others)


def test_an_open_month_says_until_when_its_usage_was_received() -> None:
    received = Completeness(date(2026, 9, 19), date(2026, 9, 30), (), NOW)
    open_month = september(MACHINES, status="open")
    assert "Usage received until 20 Sep 2026, 12:00 UTC" in page(open_month, completeness=received).text
    of_day = replace(received, as_of=None)
    assert "Usage received until end of 19 Sep 2026" in page(open_month, completeness=of_day).text
    assert "Usage received until" not in page(september(MACHINES), completeness=received).text


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
    return stacked(*((amount,) for amount in cents))


def stacked(*days: tuple[int, ...]) -> DailyPlot:
    """Return the plot of days with these cents of each column; all later days have none."""
    nothing = (0,) * len(days[0]) if days else (0,)
    costs = [CostDay(day, cents) for day, cents in zip(DAYS, [*days, *[nothing] * 30], strict=False)]
    return daily_plot(costs, "USD", None)


def test_the_highest_bar_stays_below_the_line_of_a_round_amount() -> None:
    """$1.06 is below $1.20; the bar is 106/120 of the way from the axis up."""
    plot = plot_of(106)
    assert [label.text for label in plot.amounts] == ["$1.20", "$0.60", "$0"]
    assert plot.bars[0].segments[0].height == round((plot.axis - plot.grid[0]) * 106 / 120, 1)
    assert plot_of(100_00).amounts[0].text == "$100"


def test_a_bar_is_stacked_and_amounts_below_zero_are_below_the_axis() -> None:
    """$1 and $2 end at $3; on the next day $2 are above the axis, and $1 below it."""
    plot = stacked((100, 200), (200, -100))
    first, second = (bar.segments for bar in plot.bars[:2])
    assert (first[0].y + first[0].height, first[1].y + first[1].height) == (plot.axis, first[0].y)
    assert first[1].y == plot.grid[0]
    assert second[1].y == plot.axis == second[0].y + second[0].height
    assert [label.text for label in plot.amounts] == ["$3", "$1.50", "-$1", "$0"]
    assert [re.sub(" .*", "", label.text) for label in plot.weeks] == ["1", "8", "15", "22", "29"]


def test_a_month_without_usage_is_a_flat_line() -> None:
    plot = plot_of()
    assert (plot.grid, {bar.segments for bar in plot.bars}) == ((), {()})


def test_a_day_far_above_all_others_is_cut_off_and_the_others_stay_readable() -> None:
    """$5,000 in one day beside $3 and $2: the axis ends at $3, and the cut bar shows its shares, 4 to 1."""
    plot = stacked((400_000, 100_000), (300, 0), (0, 200))
    assert [bar.is_cut for bar in plot.bars[:3]] == [True, False, False]
    assert plot.amounts[0].text == "$3"
    cut = plot.bars[0].segments
    assert [segment.height for segment in cut] == [round((plot.axis - plot.top) * share, 1) for share in (0.8, 0.2)]
    assert plot.bars[1].segments[0].height == round(plot.axis - plot.top, 1)
    assert not any(bar.is_cut for bar in stacked((1_200,), (300,)).bars)  # four times is still drawn in full
    assert sum(bar.is_cut for bar in plot_of(90_000, 80_000, 70_000, 10, 10).bars) == 0  # three are no exception


def test_a_day_that_is_cut_off_is_named_with_its_amount() -> None:
    machines = line("50.01", id="m")
    shown = page(september(MACHINES, lines=(machines,)), usage=(used(machines, d3="5000", d4="1"),))
    assert "3 Sep 2026 is cut off: it had $50.00 of usage. Its bar shows only how that is split." in shown.text


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
    usual = line("100", period=ServicePeriod.of_month(SEPTEMBER))
    page = Page(
        statement_page(Statement("acme", "Acme", NOW, (september(spent("1300"), lines=(usual, reserved)),), "2026-09"))
    )
    assert page.text.count("1 Sep 2026 to") == 1
    assert "1 Sep 2026 to 31 Aug 2027" in page.text
