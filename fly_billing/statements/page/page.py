"""Fills the template, with the page's formats for money, days and long lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date
from pathlib import Path

from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.periods import BillingMonth
from fly_billing.statements.page.daily_plot import daily_plot
from fly_billing.statements.page.templates import open_templates, shown_money
from fly_billing.statements.rules.spend import SpendShare, fold_shares
from fly_billing.statements.rules.statement import Statement, StatementInvoice

# A list of apps or regions shows this many rows, and one row for all others.
MOST_ROWS = 12
# The row, and the sentence, for items that apply to the whole invoice.
WHOLE_INVOICE = "discounts, minimums, credits and taxes"

_TEMPLATES = open_templates(Path(__file__).parent)


def statement_page(statement: Statement, seller: Sequence[str] = ()) -> str:
    """Return the statement as an HTML document: the details of one month, and a line for every month.

    Args:
        statement: The statement.
        seller: The lines about the seller, for an invoice that recorded none: name, address, tax ids.
    """
    shown = statement.shown()
    return _TEMPLATES.get_template("statement.html.jinja").render(
        statement=statement,
        invoice=shown,
        plot=daily_plot(shown.spend.by_day, shown.currency, _until(shown)) if shown and shown.spend else None,
        whole_invoice=WHOLE_INVOICE,
        seller=shown.seller_or(seller) if shown else seller,
    )


def _until(invoice: StatementInvoice) -> date | None:
    """Return the last day that can have usage; None if all days of the month can."""
    if invoice.status != "open" or invoice.as_of is None:
        return None
    return invoice.as_of.astimezone(UTC).date()


def _signed(cents: int, currency: str) -> str:
    return ("+" if cents > 0 else "") + shown_money(cents, currency)


def _month(text: str) -> str:
    return f"{BillingMonth.parse(text).first_day:%B %Y}"


def _short_month(text: str) -> str:
    return f"{BillingMonth.parse(text).first_day:%b %Y}"


def _times(working: str) -> str:
    return working.replace(" x ", " \N{MULTIPLICATION SIGN} ")


def _short(amount: str, digits: int = 10) -> str:
    whole, point, rest = amount.partition(".")
    cut = f"{whole}{point}{rest[:digits]}" + ("\N{HORIZONTAL ELLIPSIS}" if len(rest) > digits else "")
    return cut.replace("-", "\N{MINUS SIGN}")


def _rows(shares: Sequence[SpendShare], without: str) -> list[tuple[str, int]]:
    """Return (label, cents) of the rows to show. `without` labels a row that has no label."""
    whole = _capitalize_first(WHOLE_INVOICE)
    return [
        (share.label or (whole if share.is_of_the_whole_invoice else without), share.amount_cents)
        for share in fold_shares(shares, MOST_ROWS)
    ]


def _safe_link(url: str | None) -> str | None:
    """Return the link if a browser opens it as a page, or None. The address comes from Stripe."""
    return url if url and url.startswith("https://") else None


def _is_month(period: ServicePeriod, month: str) -> bool:
    return period == ServicePeriod.of_month(BillingMonth.parse(month))


def _capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


_TEMPLATES.filters |= {
    "capitalize_first": _capitalize_first,
    "signed": _signed,
    "month": _month,
    "short_month": _short_month,
    "times": _times,
    "short": _short,
    "rows": _rows,
    "safe_link": _safe_link,
    "is_month": _is_month,
}
