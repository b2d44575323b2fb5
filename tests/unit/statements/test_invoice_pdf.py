"""The PDF of an invoice has everything that its recipient's tax office asks for, on numbered pages."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.statements.pdf import PdfNotPossible, invoice_pdf
from fly_billing.statements.rules.balance import StripeAmounts
from fly_billing.statements.rules.statement import PayingOrganization, StatementInvoice, StatementItem, StatementTax
from fly_billing.stripe_sync.rules.customer_details import InvoiceDetails
from tests.support.builders import CLOSED, SEPTEMBER

MONTH = ServicePeriod.of_month(SEPTEMBER)
YEAR = ServicePeriod(datetime(2026, 9, 1, tzinfo=UTC), datetime(2027, 9, 1, tzinfo=UTC))
ACME = InvoiceDetails(
    "Acme GmbH", line1="Ankerweg 1", postal_code="10115", city="Berlin", country="DE", tax_ids=("eu_vat:DE123456789",),
    purchase_order="PO-7", memo="Thank you", footer="Registered in Berlin",
)  # fmt: skip
SELLER = ("Fly.io, Inc.", "Chicago, IL 60612", "EIN 81-0000000")


def item(cents: int, description: str = "as used", **changes: Any) -> StatementItem:
    values = {"working": "3 hours x 0.1", "period": MONTH, **changes}
    return StatementItem("Machines", description, amount=str(Decimal(cents) / 100), amount_cents=cents, **values)


def invoice(*items: StatementItem, **changes: Any) -> StatementInvoice:
    """September's invoice of Acme, final, with 19 % on top."""
    before = sum(each.amount_cents for each in items)
    tax = StatementTax("MwSt", "19", False, before, before * 19 // 100)
    made = StatementInvoice(
        "2026-09", "finalized", "EUR", before + tax.tax_cents, CLOSED, date(2026, 11, 3), "in_1", None, None,
        items=(*items, item(tax.tax_cents, kind="tax")), number="ACME-0007", taxes=(tax,), customer=ACME,
    )  # fmt: skip
    return replace(made, **changes)


def pages_of(drawn: bytes) -> list[str]:
    return [" ".join(page.extract_text().split()) for page in PdfReader(BytesIO(drawn)).pages]


def test_an_invoice_names_both_sides_its_number_the_times_and_the_tax() -> None:
    """100.00 and 1,200.00 for a year; 19 % of 1,300.00 are 247.00."""
    (page,) = pages_of(invoice_pdf(invoice(item(10_000), item(120_000, "one year", period=YEAR)), SELLER))
    for text in (
        "Invoice Fly.io, Inc. Chicago, IL 60612 EIN 81-0000000",
        "Acme GmbH Ankerweg 1 10115 Berlin DE EU VAT DE123456789",
        "Number: ACME-0007 Issued: 4 Oct 2026 Due: 3 Nov 2026 Month: September 2026 Purchase order: PO-7",
        "as used 3 hours × 0.1 1 Sep 2026 to 30 Sep 2026 EUR 100.00",
        "1 Sep 2026 to 31 Aug 2027 EUR 1,200.00",
        "Subtotal EUR 1,300.00 MwSt 19 % on EUR 1,300.00 EUR 247.00 Total EUR 1,547.00 Amount due EUR 1,547.00",
        "Thank you Registered in Berlin",
        "Invoice ACME-0007 Page 1 of 1",
    ):
        assert text in page


def test_each_of_many_pages_has_its_number_and_every_item_is_on_one() -> None:
    drawn = pages_of(invoice_pdf(invoice(*(item(100, f"region number {n:03d}") for n in range(90))), SELLER))
    assert len(drawn) > 2
    for number, page in enumerate(drawn, start=1):
        assert f"Invoice ACME-0007 Page {number} of {len(drawn)}" in page
    whole = " ".join(drawn)
    assert [whole.count(f"region number {n:03d}") for n in range(90)] == [1] * 90


def test_the_same_invoice_is_the_same_file() -> None:
    assert invoice_pdf(invoice(item(100)), SELLER) == invoice_pdf(invoice(item(100)), SELLER)


def test_an_open_month_is_not_called_an_invoice() -> None:
    (page,) = pages_of(invoice_pdf(invoice(item(100), status="open", number=None)))
    assert page.startswith("Upcoming invoice (not final)")
    assert "Amount due" not in page


def test_greek_and_cyrillic_are_in_the_font() -> None:
    named = replace(ACME, name="Ελληνική Εταιρεία", legal_name=None, city="Москва")
    (page,) = pages_of(invoice_pdf(invoice(item(100), customer=named)))
    assert "Ελληνική Εταιρεία" in page
    assert "Москва" in page


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("株式会社", r"no font of PDF invoices has 会 \(U\+4F1A\), .*: set FLY_BILLING_PDF_FONTS"),
        ("שלום", r"ו \(U\+05D5\) is written from right to left"),
    ],
)
def test_a_text_that_would_be_boxes_or_backwards_is_refused(name: str, problem: str) -> None:
    with pytest.raises(PdfNotPossible, match=problem):
        invoice_pdf(invoice(item(100), customer=replace(ACME, name=name)))


def test_a_font_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PdfNotPossible, match=r"missing\.ttf can't be read .*FLY_BILLING_PDF_FONTS"):
        invoice_pdf(invoice(item(100)), fonts=[tmp_path / "missing.ttf"])


def test_a_member_gets_no_invoice_of_its_payer() -> None:
    with pytest.raises(PdfNotPossible, match="Labs pays this month"):
        invoice_pdf(invoice(item(100), payer=PayingOrganization("labs", "Labs")))


def test_a_text_that_runs_backwards_is_shown_escaped() -> None:
    (page,) = pages_of(invoice_pdf(invoice(item(100, "a\u202eb"))))
    assert "\u202e" not in page


# Sums -----------------------------------------------------------------------------------------------------------------


def asked(due: int, balance: int = 0, **changes: Any) -> StripeAmounts:
    return StripeAmounts(due, balance, CLOSED, **changes)


def test_a_deposit_pays_after_tax() -> None:
    """90.00 and 17.10 of tax; the deposit pays 50.00 of 107.10."""
    made = invoice(item(9_000))
    deposit = item(-5_000, "deposit", kind="credit", is_after_tax=True)
    made = replace(made, items=(*made.items, deposit), total_cents=5_710)
    assert made.sums() == [
        ("Subtotal", 9_000), ("MwSt 19 % on EUR 90.00", 1_710), ("Paid by credit", -5_000), ("Total", 5_710),
        ("Amount due", 5_710),
    ]  # fmt: skip


def test_a_contained_tax_is_in_no_row() -> None:
    tax = StatementTax("VAT", "20", True, 10_000, 2_000)
    made = replace(invoice(item(12_000)), taxes=(tax,), total_cents=12_000)
    assert made.sums() == [("Total", 12_000), ("Amount due", 12_000)]
    assert "The total contains VAT 20 %: EUR 20.00 on EUR 100.00" in pages_of(invoice_pdf(made))[0]


@pytest.mark.parametrize(
    ("total", "status", "in_stripe", "rows"),
    [
        (10_000, "finalized", asked(7_000), [("Balance of earlier invoices", -3_000), ("Amount due", 7_000)]),
        (10_000, "paid", asked(10_000), [("Paid", -10_000), ("Amount due", 0)]),
        (10_000, "finalized", asked(10_000, noted_cents=2_500), [("Credit notes", -2_500), ("Amount due", 7_500)]),
        (18, "paid", asked(0, 18), [("Carried over to the next invoice", -18), ("Amount due", 0)]),
        (-3_600, "paid", asked(0, -3_600), [("Kept as credit", 3_600), ("Amount due", 0)]),
        (10_000, "void", asked(10_000), []),
    ],
)  # fmt: skip
def test_the_amount_due_is_what_stripe_asks_for(
    total: int, status: str, in_stripe: StripeAmounts, rows: list[tuple[str, int]]
) -> None:
    made = invoice(item(100), taxes=(), total_cents=total, status=status, in_stripe=in_stripe)
    assert made.sums() == [("Total", total), *rows]
