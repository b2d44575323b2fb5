"""A customer's year: an annual reservation that is cancelled. Its items' times, its taxes, and the credit that is left.

Worked by hand. Acme GmbH reserves 20.00 a month of performance Machines in ams, from September on: 144.00 for the year.
It pays 19 % VAT on top and is sent its invoices, due after 30 days. A Machine costs 20.00 a month. In December it moves
to fra, for which the credits of ams do not pay, and nine of twelve months are given back: 9/12 of 144.00 are 108.00.

| month | Machine | reservation | its credit | net | tax | total |
|---|---|---|---|---|---|---|
| September | 20.00 | 144.00 for 12 months | -20.00 | 144.00 | 27.36 | 171.36 |
| October, November | 20.00 | | -20.00 | 0.00 | 0.00 | 0.00 |
| December | 20.00 | -108.00 for the other 9 | | -88.00 | -16.72 | -104.72 |
| January | 20.00 | | | 20.00 | 3.80 | 23.80 |

September asks for 171.36. December asks for nothing and leaves 104.72 of credit. January asks for nothing, and 80.92
are left. Revenue is recognized by day: 144.00 x 30/365 = 11.84 in September, 61/365 less that = 12.23 in October, and
11.83 in November. December has 12.23, takes back 108.00 x 31/274 = 12.22, and has the Machine's 20.00: 20.01.
"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from pypdf import PdfReader

from fly_billing.accounting.recognition import defer_revenue, recognition_problems
from fly_billing.invoicing.reservation_sales import find_block, reserve
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.reservations import Reservation
from fly_billing.statements.pdf import invoice_pdf
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from tests.integration.statements.test_statement import statement_command
from tests.support.builders import MACHINES, OCTOBER, SEPTEMBER, Platform, at, event, id_of, write_jsonl
from tests.support.stripe_builders import MovableClock, kinds, outcome, sync, sync_tools

NOVEMBER, DECEMBER, JANUARY = (OCTOBER.plus(number) for number in (1, 2, 3))
YEAR = find_block(read_price_book_files(SHIPPED / "fly").reservations, "reservation/performance/20")
MACHINES_BY_REGION = [
    replace(
        MACHINES,
        key=f"machine/performance-1x/{region}",
        model=PerUnit(Decimal(20), Decimal(2_592_000)),
        match={"preset": ("performance-1x",), "region": (region,)},
        effective_from=at("2024-01-01"),
    )
    for region in ("ams", "fra")
]


def run_a_machine(platform: Platform, month: BillingMonth, region: str) -> None:
    """Run a performance Machine for 30 days."""
    used = event(
        f"machine {month}", "2592000", type="machine_seconds", preset="performance-1x", region=region,
        time=(month.start + timedelta(days=9)).isoformat(),
    )  # fmt: skip
    write_jsonl(platform.landing_dir, [used], month.first_day + timedelta(days=10), "machine")


def give_back(platform: Platform, reservation: Reservation) -> None:
    """Give back what was paid for the months from December on: 9 x 12.00."""
    platform.insert(
        "one_off_items", id=id_of("cancelled"), organization_id="acme", description="Reservation, cancelled",
        amount=Decimal(-108), currency="USD", occurred_at=at("2026-12-01"), period_start=DECEMBER.start,
        period_end=reservation.last_month.end,
    )  # fmt: skip


def recognized(platform: Platform) -> dict[str, int]:
    """Return the revenue that each month until December recognizes, in cents."""
    assert defer_revenue(platform.database).failed == []
    rows = platform.query(
        "select month, cast(-sum(amount_cents) as bigint) as cents from finance_journal where account = 'revenue'"
        " and month <= '2026-12-01' group by month order by month"
    )
    return {f"{row['month']:%b}": row["cents"] for row in rows}


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())


def test_an_annual_reservation_that_is_cancelled(platform: Platform, sandbox: SandboxServer, tmp_path: Path) -> None:
    clock = MovableClock(sandbox)
    clock.advance(hours=90 * 24)  # at least into February 2027
    tools = sync_tools(platform.database, sandbox.url, clock=clock)
    platform.insert(
        "billing_details", organization_id="acme", legal_name="Acme GmbH", email="billing@acme.test",
        line1="Ankerweg 1", postal_code="10115", city="Berlin", country="DE",
        tax_ids=["eu_vat:DE123456789"], collection="send_invoice",
        net_days=30, purchase_order="PO-7",
    )  # fmt: skip
    platform.add_tax("acme", "VAT", "19")
    platform.load(*MACHINES_BY_REGION)
    reservation = Reservation(YEAR, "acme", "ams", SEPTEMBER)
    assert reserve(platform.database, reservation)
    for month in (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER, JANUARY):
        run_a_machine(platform, month, "ams" if month < DECEMBER else "fra")
        if month == DECEMBER:
            give_back(platform, reservation)
        assert platform.close(month).failures == []
        assert outcome(sync(tools, month))[1] == []
        assert kinds(tools, month) == []

    sent = {body["metadata"]["month"]: body for body in sandbox.control.invoices()}
    assert sorted(sent) == ["2026-09", "2026-12", "2027-01"]  # October's and November's are over 0.00
    found = {
        month: (body["total"], body["total_taxes"][0]["amount"], body["amount_due"], body["ending_balance"])
        for month, body in sent.items()
    }
    assert found == {
        "2026-09": (17_136, 2_736, 17_136, 0),
        "2026-12": (-10_472, -1_672, 0, -10_472),
        "2027-01": (2_380, 380, 0, -8_092),
    }
    times = {
        (month, line["amount"]): line["period"]
        for month, body in sent.items()
        for line in body["lines"]
        if line["amount"] in (14_400, -10_800)
    }
    assert times == {
        ("2026-09", 14_400): {"start": noon(date(2026, 9, 1)), "end": noon(date(2027, 8, 31))},
        ("2026-12", -10_800): {"start": noon(date(2026, 12, 1)), "end": noon(date(2027, 8, 31))},
    }
    assert recognized(platform) == {"Sep": 1_184, "Oct": 1_223, "Nov": 1_183, "Dec": 2_001}
    assert [recognition_problems(platform.database, month) for month in (SEPTEMBER, DECEMBER)] == [[], []]

    statement = read_statement(platform.database, "acme", datetime.now(UTC), SEPTEMBER)
    september = statement.shown()
    assert september is not None
    assert [item.period_in_words() for item in september.items if item.kind == "one_off"] == [
        "1 Sep 2026 to 31 Aug 2027"
    ]
    assert september.sums() == [
        ("Subtotal", 14_400), ("VAT 19 % on $144.00", 2_736), ("Total", 17_136), ("Amount due", 17_136)
    ]  # fmt: skip
    by_month = {invoice.month: invoice for invoice in statement.invoices}
    # Due 30 days after 4 October; Stripe counts them from the day on which it got the invoice.
    days = {month: body["due_date"] - body["created"] for month, body in sent.items()}
    assert set(days.values()) == {30 * 86_400}
    assert by_month["2026-09"].due_on == datetime.fromtimestamp(sent["2026-09"]["due_date"], UTC).date()
    assert by_month["2026-09"].pdf_url == sent["2026-09"]["invoice_pdf"]

    (page,) = PdfReader(BytesIO(invoice_pdf(september, ("Fly.io, Inc.",)))).pages
    text = " ".join(page.extract_text().split())
    assert "Acme GmbH Ankerweg 1 10115 Berlin DE EU VAT DE123456789" in text
    assert "1 Sep 2026 to 31 Aug 2027 $144.00" in text

    written = tmp_path / "december.pdf"
    result = statement_command(platform, tmp_path, "acme", "2026-12", "--pdf", str(written), "--json")
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    december = next(invoice for invoice in shown["invoices"] if invoice["month"] == "2026-12")
    assert december["customer"]["tax_ids"] == ["eu_vat:DE123456789"]
    assert "Kept as credit $104.72" in " ".join(PdfReader(written).pages[0].extract_text().split())
