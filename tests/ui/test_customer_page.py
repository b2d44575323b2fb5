"""The customer page in a browser: on a phone and a desk, light, dark and printed, by keyboard and without scripts.

acme used four products, eleven apps and three regions in August and until 19 September 2026, on the 12th a hundred
times as much as usual, pays a plan of $29.00, bought $2,500.00 of hardware once and got $5.00 back. Names are attacks.
It paid the 28 months before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page
from pypdf import PdfReader

from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.testing import throwaway_database, throwaway_server
from tests.support.api import page_path, serving_api
from tests.support.builders import NOW, SEPTEMBER, Platform, at, event, price, write_jsonl
from tests.support.paid_months import add_paid_months

AUGUST = SEPTEMBER.plus(-1)
ATTACK = "</title></svg><script>document.title = 'taken over'</script><img src=x onerror=alert(1)>"
BACKWARDS = "\u202egro.live\u2066"
PRODUCTS = {
    "machine_hours": "Machines",
    "traffic_gb": "Bandwidth",
    "volume_gb": f"Volumes {ATTACK}",
    "gpu_hours": "GPUs",
}
APPS = (*(f"app-{number}" for number in range(1, 10)), f"web {ATTACK}", BACKWARDS)
REGIONS = ("ams", "fra", "iad")
METERS = tuple(Meter(key, PRODUCTS[key], "unit", dimensions=("app", "region")) for key in PRODUCTS)
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def customer_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve acme's page on 20 September 2026; yields its address."""
    landing = tmp_path_factory.mktemp("customer") / "landing"
    landing.mkdir()
    with throwaway_server() as server, throwaway_database(server) as database:
        platform = Platform.with_acme(database, landing)
        _load_prices(platform)
        platform.execute("update organizations set name = :name", name=f"Acme {ATTACK}")
        platform.add_subscription("acme", "plan", at("2026-08-01"))
        platform.add_one_off("acme", f"Hardware {ATTACK}", "2500.00", at("2026-09-10"))
        platform.add_one_off("acme", "Refund", "-5.00", at("2026-09-11"))
        _bill(platform, [AUGUST.first_day + timedelta(days=n) for n in range(31 + 19)])
        add_paid_months(platform, 28, before=AUGUST)
        with serving_api(server, database, lambda: NOW) as client:
            yield f"http://127.0.0.1:{client.port}{page_path('acme', NOW)}"


def _load_prices(platform: Platform) -> None:
    prices = [price(key, "0.01", key, product=name, description=f"{name} as used") for key, name in PRODUCTS.items()]
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, [*prices, price("plan", "29.00", product="Plans")]))


def _bill(platform: Platform, days: list[date]) -> None:
    """Land these days of usage, and bill both months on 20 September: August is final then."""
    for day in days:
        write_jsonl(platform.landing_dir, [*_usage(day)], day)
    platform.land(*days, now=NOW)
    for month in (AUGUST, SEPTEMBER):
        platform.roll_up(month, NOW)
        assert platform.bill(month, NOW).failures == []


def _usage(day: date) -> Iterator[dict[str, Any]]:
    """Return 10 to 120 units of each app and product, on 12 September a hundred times as many."""
    times = 100 if day == date(2026, 9, 12) else 1
    for meter_number, meter in enumerate(PRODUCTS, 1):
        for number, app in enumerate(APPS):
            quantity = (10 + 10 * number + day.day) * times // meter_number
            yield event(
                f"{day} {meter} {number}", str(quantity), type=meter, app=app, region=REGIONS[number % 3],
                time=f"{day}T10:00:00Z",
            )  # fmt: skip


@dataclass
class Windows:
    """The windows of a test. `complaints` has everything that a browser complains about, such as a refused script."""

    browser: Browser
    url: str
    complaints: list[str] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)

    def show(self, more: str = "", width: int = 1280, scheme: Scheme = "light", **options: Any) -> Page:
        """Open the customer page in a new window. `more`: added to its address."""
        page = self.browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("requestfailed", lambda request: self.complaints.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.url + more)
        self.pages.append(page)
        return page


@pytest.fixture
def windows(browser: Browser, customer_page: str) -> Iterator[Windows]:
    opened = Windows(browser, customer_page)
    yield opened
    for page in opened.pages:
        page.close()


def violations(page: Page) -> list[str]:
    """Return what axe finds, with everything folded opened."""
    page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("by", ["product", "app", "region"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_accessible_and_fits_the_window(windows: Windows, width: int, scheme: Scheme, by: str) -> None:
    page = windows.show(f"?by={by}", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert violations(page) == []
    assert windows.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_of_a_final_month_is_accessible_too(windows: Windows, width: int) -> None:
    page = windows.show("?month=2026-08", width)
    assert page.get_by_role("heading", name="Total").count() == 1
    assert violations(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_all_months_are_shown_by_keyboard_and_without_scripts(windows: Windows, width: int) -> None:
    """Of 30 months, 17 are left out at first. The split stays."""
    page = windows.show("?by=app", width, java_script_enabled=False)
    page.get_by_role("link", name="Show 17 more months").press("Enter")
    page.get_by_role("link", name="Apr 2024").wait_for()
    assert page.url.endswith("?month=2026-09&by=app&months=all#months")
    page.get_by_role("link", name="Apr 2024").press("Enter")
    page.get_by_text("April 2024", exact=True).first.wait_for()
    assert "months=all" in page.url
    assert violations(windows.show("?months=all", width)) == []
    assert windows.complaints == []


def test_a_link_that_does_not_work_has_an_accessible_page(windows: Windows) -> None:
    page = windows.show("A", 390, "dark")
    assert page.get_by_role("heading", name="Nothing is here").is_visible()
    assert violations(page) == []


def test_a_printed_page_has_no_controls_and_every_amount(windows: Windows, tmp_path: Path) -> None:
    page = windows.show("", 1280, "dark")
    page.emulate_media(media="print")
    assert not page.get_by_role("navigation").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"  # whatever the screen has
    assert violations(page) == []
    paper = PdfReader(io.BytesIO(page.pdf(format="A4", print_background=True)))
    text = " ".join(sheet.extract_text() for sheet in paper.pages)
    assert len(paper.pages) <= 6
    assert "17 more months since April 2024, with nothing due" in text
    assert "Show" not in text
    for part in ("Usage in the bars", "Recurring fees", "$29.00", "Total so far", "Plans"):
        assert part in text


def test_every_control_is_reached_by_keyboard_and_shows_that_it_has_the_focus(windows: Windows) -> None:
    page = windows.show("", 390)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        focused: dict[str, str] = page.evaluate(
            "() => { const at = document.activeElement, style = getComputedStyle(at);"
            " return {text: at.textContent.trim(), outline: style.outlineStyle} }"
        )
        reached.append(focused["text"])
        if focused["text"] == "Region":
            break
        assert focused["outline"] != "none", focused
    assert reached[0] == "← Aug 2026"
    assert reached[-3:] == ["Product", "App", "Region"]
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Region").wait_for()
    assert page.locator("a[aria-current=true]").inner_text() == "Region"
    assert page.locator(".legend .name").all_inner_texts() == ["fra", "ams", "iad"]


def test_the_page_needs_no_scripts(windows: Windows) -> None:
    page = windows.show("", 390, java_script_enabled=False)
    page.get_by_role("link", name="App", exact=True).click()
    assert page.locator(".legend li").count() == 8  # seven apps and the others
    page.get_by_role("link", name="← Aug 2026").click()
    assert page.get_by_text("August 2026", exact=True).first.is_visible()
    page.get_by_text("Each day as a table").click()
    assert page.get_by_role("region", name="Usage of each day").is_visible()


def test_names_that_others_wrote_do_nothing_and_are_shown_as_they_are(windows: Windows) -> None:
    page = windows.show("?by=app")
    assert page.title().startswith("Acme </title></svg><script>")
    assert page.locator("script, img").count() == 0
    assert page.locator("h1").inner_text() == f"Acme {ATTACK}"
    assert "\\u202egro.live\\u2066" in page.locator(".legend").inner_text()
    assert windows.complaints == []


def test_a_day_and_a_purchase_far_above_all_others_leave_the_other_days_readable(windows: Windows) -> None:
    """The other days are $6 to $9; the 12th is cut off, and the $2,500.00 are below the bars."""
    page = windows.show()
    plot = page.locator("svg[role=img]").bounding_box()
    assert plot is not None
    bars = page.locator("svg.day")
    heights = [
        sum(box["height"] for segment in bars.nth(day).locator("rect:not(.hit):not(.future)").all()
            if (box := segment.bounding_box()))
        for day in range(19)
    ]  # fmt: skip
    assert min(heights) > plot["height"] / 3
    assert page.get_by_text("12 Sep 2026 is cut off").is_visible()
    assert page.get_by_role("row", name="One-off items $2,495.00").is_visible()


def test_the_sums_of_the_page_agree_with_each_other_in_every_split(windows: Windows) -> None:
    def cents(text: str) -> int:
        return int(Decimal(text.replace("$", "").replace(",", "").replace("\N{MINUS SIGN}", "-")) * 100)

    days = {}
    for by in ("product", "app", "region"):
        page = windows.show(f"?by={by}")
        page.get_by_text("Each day as a table").click()
        table = page.get_by_role("region", name="Usage of each day")
        rows = [
            [cents(cell) for cell in row.locator("td").all_inner_texts()] for row in table.locator("tbody tr").all()
        ]
        *columns, total = (cents(cell) for cell in table.locator("tfoot td").all_inner_texts())
        assert all(sum(row[:-1]) == row[-1] for row in rows)
        assert [sum(row[n] for row in rows) for n in range(len(columns))] == columns
        assert [cents(text) for text in page.locator(".legend li > span:last-child").all_inner_texts()] == columns
        adds_up = [cents(text) for text in page.locator(".adds-up td").all_inner_texts()]
        assert (adds_up[0], sum(adds_up[:-1]), adds_up[-1]) == (
            total, adds_up[-1], cents(page.locator(".total").inner_text()),
        )  # fmt: skip
        days[by] = [row[-1] for row in rows]
    assert days["product"] == days["app"] == days["region"]


def test_the_estimate_is_apart_from_what_is_owed(windows: Windows) -> None:
    page = windows.show("", 390)
    box = page.get_by_role("region", name="Month-end estimate")
    assert "not part of what you owe" in box.inner_text()
    box.get_by_text("How it was made").click()
    assert "It is not owed, and it is in no other amount." in box.inner_text()
    page.goto(f"{windows.url}?month=2026-08")
    assert page.get_by_text("Month-end estimate").count() == 0
