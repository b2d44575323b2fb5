"""A customer's year: an annual reservation that is cancelled. Its items' times, its taxes, and the credit that is left.

Worked by hand. Acme GmbH pays 19 % VAT on top and is sent its invoices, due after 30 days.

| month | what | net | tax | total |
|---|---|---|---|---|
| September | a year from 1 September on, 1,200.00 in advance | 1,200.00 | 228.00 | 1,428.00 |
| November | cancelled at its end: nine of twelve months are given back | -900.00 | -171.00 | -1,071.00 |
| December | other charges of 100.00; Stripe deducts them from the credit | 100.00 | 19.00 | 119.00 |

September asks for 1,428.00. November asks for nothing and leaves 1,071.00 of credit. December asks for nothing, and
952.00 are left.
"""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

from pypdf import PdfReader

from fly_billing.periods import BillingMonth
from fly_billing.statements.pdf import invoice_pdf
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sandbox import SandboxServer
from tests.integration.statements.test_statement import statement_command
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, id_of
from tests.support.stripe_builders import MovableClock, kinds, outcome, sync, sync_tools

NOVEMBER, DECEMBER = BillingMonth(2026, 11), BillingMonth(2026, 12)


def add_item(platform: Platform, name: str, amount: str, occurred: str, first: str, end: str) -> None:
    platform.insert(
        "one_off_items", id=id_of(name), organization_id="acme", description=name, amount=Decimal(amount),
        currency="USD", occurred_at=at(occurred), period_start=at(first), period_end=at(end),
    )  # fmt: skip


def noon(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())


def test_an_annual_reservation_that_is_cancelled(platform: Platform, sandbox: SandboxServer, tmp_path: Path) -> None:
    clock = MovableClock(sandbox)
    clock.advance(hours=60 * 24)  # at least into January 2027
    tools = sync_tools(platform.database, sandbox.url, clock=clock)
    platform.insert(
        "billing_details", organization_id="acme", legal_name="Acme GmbH", email="billing@acme.test",
        line1="Ankerweg 1", postal_code="10115", city="Berlin", country="DE",
        tax_ids=["eu_vat:DE123456789"], collection="send_invoice",
        net_days=30, purchase_order="PO-7",
    )  # fmt: skip
    platform.add_tax("acme", "VAT", "19")
    add_item(platform, "Support, one year", "1200", "2026-09-01", "2026-09-01", "2027-09-01")
    add_item(platform, "Support, cancelled", "-900", "2026-11-30", "2026-12-01", "2027-09-01")
    add_item(platform, "Onboarding", "100", "2026-12-07", "2026-12-07", "2026-12-08")
    for month in (SEPTEMBER, OCTOBER, NOVEMBER, DECEMBER):
        assert platform.close(month).failures == []
        assert outcome(sync(tools, month))[1] == []
        assert kinds(tools, month) == []

    sent = {body["metadata"]["month"]: body for body in sandbox.control.invoices()}
    assert sorted(sent) == ["2026-09", "2026-11", "2026-12"]  # October's is over 0.00
    found = {
        month: (body["total"], body["total_taxes"][0]["amount"], body["amount_due"], body["ending_balance"])
        for month, body in sent.items()
    }
    assert found == {
        "2026-09": (142_800, 22_800, 142_800, 0),
        "2026-11": (-107_100, -17_100, 0, -107_100),
        "2026-12": (11_900, 1_900, 0, -95_200),
    }
    times = {month: body["lines"][0]["period"] for month, body in sent.items()}
    assert times == {
        "2026-09": {"start": noon(date(2026, 9, 1)), "end": noon(date(2027, 8, 31))},
        "2026-11": {"start": noon(date(2026, 12, 1)), "end": noon(date(2027, 8, 31))},
        "2026-12": {"start": noon(date(2026, 12, 7)), "end": noon(date(2026, 12, 7))},
    }

    statement = read_statement(platform.database, "acme", datetime.now(UTC), SEPTEMBER)
    september = statement.shown()
    assert september is not None
    assert [(item.description, item.period_in_words()) for item in september.items if item.kind != "tax"] == [
        ("Support, one year", "1 Sep 2026 to 31 Aug 2027")
    ]
    assert september.sums() == [
        ("Subtotal", 120_000), ("VAT 19 % on $1,200.00", 22_800), ("Total", 142_800), ("Amount due", 142_800)
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
    assert "1 Sep 2026 to 31 Aug 2027 $1,200.00" in text

    written = tmp_path / "november.pdf"
    result = statement_command(platform, tmp_path, "acme", "2026-11", "--pdf", str(written), "--json")
    assert result.returncode == 0, result.stderr
    shown: dict[str, Any] = json.loads(result.stdout)
    november = next(invoice for invoice in shown["invoices"] if invoice["month"] == "2026-11")
    assert november["customer"]["tax_ids"] == ["eu_vat:DE123456789"]
    assert "Kept as credit $1,071.00" in " ".join(PdfReader(written).pages[0].extract_text().split())
