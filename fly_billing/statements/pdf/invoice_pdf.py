"""Draws an invoice on A4 pages: seller and customer, items with their times, taxes, sums, and legal texts.

Rows are never split over two pages, and each page has the invoice's number, its own and the number of pages. The same
invoice always gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path

from fpdf import FPDF
from fpdf.enums import MethodReturnValue, XPos, YPos

from fly_billing.foreign_text import visible
from fly_billing.money import format_cents
from fly_billing.periods import BillingMonth
from fly_billing.statements.pdf.fonts import FAMILY, PdfNotPossible, open_fonts
from fly_billing.statements.rules.statement import StatementInvoice, StatementItem, StatementTax, day_text

# Millimetres.
MARGIN, BOTTOM, PERIOD_WIDTH, AMOUNT_WIDTH, LINE = 18.0, 22.0, 43.0, 35.0, 4.6
QUIET, INK = (100, 100, 110), (20, 20, 26)
FINAL = ("finalized", "paid", "uncollectible")


def invoice_pdf(invoice: StatementInvoice, seller: Sequence[str] = (), fonts: Sequence[Path] = ()) -> bytes:
    """Return the invoice as a PDF.

    Args:
        invoice: With its items.
        seller: The lines about the seller, for an invoice that recorded none: name, address, tax ids.
        fonts: Fonts for characters that Noto Sans lacks.

    Raises:
        PdfNotPossible: Another organization pays, nothing is calculated, or a character has no font.
    """
    if invoice.payer:
        raise PdfNotPossible(f"{invoice.payer.name} pays this month: its invoice is a PDF of {invoice.payer.id}")
    if invoice.total_cents is None or invoice.as_of is None:
        raise PdfNotPossible(f"{invoice.month} is not calculated yet, so it has no invoice")
    page = _Pages(invoice, [visible(text) for text in invoice.seller_or(seller)])
    page.set_creation_date(invoice.as_of)
    with open_fonts(page, fonts, page.texts()):
        page.draw()
        return bytes(page.output())


class _Pages(FPDF):
    """The pages of one invoice."""

    def __init__(self, invoice: StatementInvoice, seller: Sequence[str]) -> None:
        super().__init__(format="A4")
        self._invoice = invoice
        self._seller = list(seller)
        self.set_margin(MARGIN)
        self.set_auto_page_break(True, BOTTOM)
        self.set_title(visible(self._title))
        self.set_lang("en")

    @property
    def _title(self) -> str:
        number = f" {self._invoice.number}" if self._invoice.number else ""
        if self._invoice.status == "void":
            return f"Void invoice{number}"
        return f"Invoice{number}" if self._invoice.status in FINAL else "Upcoming invoice (not final)"

    def texts(self) -> Iterator[str]:
        """Yield every text, for the choice of fonts."""
        yield from (self._title, *self._seller, *self._customer(), "Page of Subtotal", *self._facts_texts())
        for item in self._invoice.items:
            yield from self._item_texts(item)
        yield from (text for text, _ in self._invoice.sums())
        yield from (self._money(cents) for _, cents in self._invoice.sums())
        yield from (text for tax in self._invoice.taxes for text in (tax.title, visible(tax.legal_text or "")))
        yield from self._closing()

    # Content ----------------------------------------------------------------------------------------------------------

    def _money(self, cents: int) -> str:
        return format_cents(cents, self._invoice.currency).replace("-", "\N{MINUS SIGN}")

    def _customer(self) -> list[str]:
        customer = self._invoice.customer
        if customer is None:
            return []
        return [visible(text) for text in (customer.name, *customer.address_lines, *customer.shown_tax_ids)]

    def _facts(self) -> list[tuple[str, str]]:
        invoice = self._invoice
        assert invoice.as_of is not None, "it is calculated"
        is_open = invoice.status == "open"
        facts = [
            ("Number", invoice.number or ""),
            ("As of" if is_open else "Issued", day_text(invoice.as_of.astimezone(UTC).date())),
            ("Due", day_text(invoice.due_on) if invoice.due_on and not is_open else ""),
            ("Month", f"{BillingMonth.parse(invoice.month).first_day:%B %Y}"),
            ("Purchase order", (invoice.customer and invoice.customer.purchase_order) or ""),
        ]
        return [(name, visible(value)) for name, value in facts if value]

    def _facts_texts(self) -> Iterator[str]:
        for name, value in self._facts():
            yield from (name, value)

    def _item_texts(self, item: StatementItem) -> tuple[str, str, str]:
        """Return an item's description, its calculation and its time."""
        working = item.working or "; ".join(item.reasons)
        return visible(item.description), visible(working).replace(" x ", " × "), item.period_in_words()

    def _closing(self) -> list[str]:
        """Return the texts below the sums."""
        invoice = self._invoice
        laws = dict.fromkeys(visible(tax.legal_text) for tax in invoice.taxes if tax.legal_text)
        texts = list(laws)
        if invoice.customer:
            own = (invoice.customer.memo, invoice.customer.footer)
            texts += [visible(text, keep="\n") for text in own if text]
        return texts

    # Layout -----------------------------------------------------------------------------------------------------------

    def draw(self) -> None:
        self.add_page()
        self._head()
        self._items()
        self._sums()
        self._contained_taxes()
        for text in self._closing():
            self.ln(3)
            self._paragraph(text)
        if self._invoice.hosted_invoice_url and self._invoice.hosted_invoice_url.startswith("https://"):
            self.ln(3)
            self._font(9)
            self.cell(0, LINE, "View and pay online", link=self._invoice.hosted_invoice_url)

    def header(self) -> None:
        if self.page_no() > 1:
            self._font(8, quiet=True)
            self.cell(0, LINE, visible(self._title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self._column_names()

    def footer(self) -> None:
        self.set_y(-15)
        self._font(8, quiet=True)
        self.cell(self.epw / 2, LINE, visible(self._title))
        self.cell(self.epw / 2, LINE, f"Page {self.page_no()} of {{nb}}", align="R")

    def _font(self, size: float, *, bold: bool = False, quiet: bool = False) -> None:
        self.set_font(FAMILY, "B" if bold else "", size)
        self.set_text_color(*(QUIET if quiet else INK))

    def _paragraph(self, text: str) -> None:
        self._font(9)
        self.multi_cell(0, LINE, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _head(self) -> None:
        self._font(17, bold=True)
        self.cell(0, 9, self._title_without_number, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(3)
        top, width = self.get_y(), self.epw / 3
        ends = [top]
        columns = (
            [(text, not n) for n, text in enumerate(self._seller)],
            [(text, not n) for n, text in enumerate(self._customer())],
            [(f"{name}: {value}", False) for name, value in self._facts()],
        )
        for n, column in enumerate(columns):
            self.set_xy(self.l_margin + n * width, top)
            for text, bold in column:
                self.set_x(self.l_margin + n * width)
                self._font(9, bold=bold)
                self.multi_cell(width - 4, LINE, text, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            ends.append(self.get_y())
        self.set_y(max(ends) + 7)

    @property
    def _title_without_number(self) -> str:
        if self._invoice.status == "void":
            return "Void invoice"
        return "Invoice" if self._invoice.status in FINAL else self._title

    @property
    def _text_width(self) -> float:
        return float(self.epw - PERIOD_WIDTH - AMOUNT_WIDTH)

    def _column_names(self) -> None:
        self._font(8, quiet=True)
        self.cell(self._text_width, LINE, "Item and calculation")
        self.cell(PERIOD_WIDTH, LINE, "Time")
        amount = f"Amount ({self._invoice.currency})"
        self.cell(AMOUNT_WIDTH, LINE, amount, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._rule()

    def _rule(self) -> None:
        self.set_draw_color(210, 210, 218)
        self.line(self.l_margin, self.get_y() + 0.6, self.l_margin + self.epw, self.get_y() + 0.6)
        self.ln(1.6)

    def _items(self) -> None:
        self._column_names()
        for product, items in self._invoice.items_by_product().items():
            shown = [item for item in items if item.kind != "tax" and not item.is_after_tax]  # the sums have the others
            if shown:
                self._keep(LINE + self._height_of(shown[0]))
                self._font(9, bold=True)
                self.cell(self._text_width, LINE, visible(product), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            for item in shown:
                self._item(item)
        self._rule()

    def _item(self, item: StatementItem) -> None:
        description, working, period = self._item_texts(item)
        self._keep(self._height_of(item))
        top = self.get_y()
        self._font(9)
        self.multi_cell(self._text_width - 3, LINE, description, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if working:
            self._font(7.5, quiet=True)
            self.multi_cell(self._text_width - 3, LINE - 0.8, working, align="L", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        bottom = self.get_y()
        self._font(8, quiet=True)
        self.set_xy(self.l_margin + self._text_width, top)
        self.cell(PERIOD_WIDTH, LINE, period)
        self._font(9)
        self.cell(AMOUNT_WIDTH, LINE, self._money(item.amount_cents), align="R")
        self.set_xy(self.l_margin, bottom + 1)

    def _height_of(self, item: StatementItem) -> float:
        description, working, _ = self._item_texts(item)
        self._font(9)
        height = self._lines_of(description, LINE)
        self._font(7.5)
        return height + (self._lines_of(working, LINE - 0.8) if working else 0) + 1

    def _lines_of(self, text: str, line: float) -> float:
        height = self.multi_cell(self._text_width - 3, line, text, dry_run=True, output=MethodReturnValue.HEIGHT)
        assert isinstance(height, float), "it was asked for the height"
        return height

    def _keep(self, height: float) -> None:
        """Begin a new page if this height does not fit on the current one; anything higher than a page is split."""
        if self.get_y() + height > self.page_break_trigger and self.page_no() and height < self.eph - 20:
            self.add_page()

    def _sums(self) -> None:
        rows = self._invoice.sums()
        self._keep(len(rows) * (LINE + 1))
        for text, cents in rows:
            self._font(10, bold=True) if text in ("Total", "Amount due") else self._font(9)
            self.cell(self.epw - AMOUNT_WIDTH, LINE + 1, visible(text), align="R")
            self.cell(AMOUNT_WIDTH, LINE + 1, self._money(cents), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _contained_taxes(self) -> None:
        for tax in self._invoice.taxes:
            if tax.is_inclusive:
                self._font(8, quiet=True)
                text = self._contained(tax)
                self.multi_cell(0, LINE, text, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _contained(self, tax: StatementTax) -> str:
        net, amount = self._money(tax.taxable_cents), self._money(tax.tax_cents)
        return f"The total contains {visible(tax.title)}: {amount} on {net}"
