"""Fills the templates, with the page's formats for money, days and long lists.

A browser runs nothing on the page and loads nothing: the page's policy allows its own style sheet by its digest only.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, date
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from fly_billing.foreign_text import visible
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.statements.page.daily_plot import daily_plot, shown_up_to
from fly_billing.statements.page.templates import open_templates, shown_money
from fly_billing.statements.rules.daily_costs import MOST_COLUMNS, SPLITS, CostColumn, CostDay, DailyCosts
from fly_billing.statements.rules.estimate import MonthEndEstimate, NoEstimate
from fly_billing.statements.rules.spend import SpendShare, fold_shares
from fly_billing.statements.rules.statement import Statement, StatementInvoice, day_text

# A list of apps or regions shows this many rows, and one row for all others.
MOST_ROWS = 12
# The row, and the sentence, for items that apply to the whole invoice.
WHOLE_INVOICE = "discounts, minimums, credits and taxes"

# The width of a digit of the plot's labels, in pixels.
_LETTER = 7
# The fills of the columns in the style sheet: a color each, every second one with a pattern.
_FILLS = ("c1", "p2", "c3", "p4", "c5", "p6", "p7")
_OTHERS, _WITHOUT_LABEL = "c8", "p9"

_FOLDER = Path(__file__).parent
_TEMPLATES = open_templates(_FOLDER)


def statement_page(
    statement: Statement,
    seller: Sequence[str] = (),
    costs: DailyCosts | None = None,
    estimate: MonthEndEstimate | NoEstimate | None = None,
    *,
    is_live: bool = False,
    all_months: bool = False,
) -> str:
    """Return the statement as an HTML document: the details of one month, and a line for each month that is listed.

    Args:
        statement: The statement.
        seller: The lines about the seller, for an invoice that recorded none: name, address, tax ids.
        costs: The usage by day of the month that it shows. None: the page has no plot.
        estimate: The month's total at its end, apart from the amounts owed; None: the page does not mention it.
        is_live: A server shows the page: links choose the month, how usage is split, and whether all months are listed.
        all_months: Links keep listing all months, and one lists fewer.
    """
    shown = statement.shown()
    plot = daily_plot(costs.days, shown.currency, _until(shown)) if shown and costs else None
    return _TEMPLATES.get_template("statement.html.jinja").render(
        statement=statement,
        invoice=shown,
        costs=costs,
        estimate=estimate if isinstance(estimate, MonthEndEstimate) else None,
        no_estimate=estimate.reason if isinstance(estimate, NoEstimate) else "",
        plot=plot,
        scale_width=_LETTER * max((len(label.text) for label in plot.amounts), default=0) if plot else 0,
        fills=_fills(costs) if costs else (),
        splits=_splits(shown, costs) if shown and costs else (),
        is_live=is_live,
        neighbours=_neighbours(statement),
        all_months=all_months,
        kept="&months=all" if all_months else "",
        whole_invoice=WHOLE_INVOICE,
        seller=shown.seller_or(seller) if shown else seller,
        css=_style_sheet(),
        policy=content_security_policy(),
    )


def notice_page(title: str, text: str, button: str | None = None) -> str:
    """Return an HTML document that says one thing, in the style of the statement.

    `button`: what the reader may do about it; pressing it sends an empty POST to the page's own address.
    """
    template = _TEMPLATES.get_template("notice.html.jinja")
    return template.render(title=title, text=text, button=button, css=_style_sheet())


@cache
def content_security_policy() -> str:
    """Return the policy of the pages: nothing runs and nothing is loaded; only their own style sheet applies."""
    digest = base64.b64encode(hashlib.sha256(_style_sheet().encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _style_sheet() -> Markup:
    """Return the style sheet, which is our own text."""
    return Markup((_FOLDER / "page.css").read_text(encoding="utf-8"))  # noqa: S704


def _splits(invoice: StatementInvoice, costs: DailyCosts) -> list[str]:
    """Return the splits to offer: a platform need not have apps or regions. The one that is shown always is."""
    by = {"app": invoice.spend.by_app, "region": invoice.spend.by_region} if invoice.spend else {}
    used = {name for name, shares in by.items() if any(share.label for share in shares)}
    return [split for split in SPLITS if split in {"product", costs.by, *used}]


def _fills(costs: DailyCosts) -> list[str]:
    """Return the class of each column's color and pattern."""
    named = iter(_FILLS[:MOST_COLUMNS])
    return [
        next(named) if column.label is not None else _OTHERS if column.is_other else _WITHOUT_LABEL
        for column in costs.columns
    ]


def _neighbours(statement: Statement) -> tuple[str | None, str | None]:
    """Return the months before and after the one that is shown."""
    months = sorted({invoice.month for invoice in statement.invoices})
    if statement.month not in months:
        return None, None
    at = months.index(statement.month)
    return months[at - 1] if at else None, months[at + 1] if at + 1 < len(months) else None


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


def _more_months(count: int) -> str:
    return counted(count, "more month")


def _safe_link(url: str | None) -> str | None:
    """Return the link if a browser opens it as a page, or None. The address comes from Stripe."""
    return url if url and url.startswith("https://") else None


def _is_month(period: ServicePeriod, month: str) -> bool:
    return period == ServicePeriod.of_month(BillingMonth.parse(month))


def _capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _column(column: CostColumn, by: str) -> str:
    return column.label or (f"Other {by}s" if column.is_other else f"No {by}")


def _tooltip(cost: CostDay, costs: DailyCosts, currency: str) -> Markup:
    """Return the day's usage as lines, the largest column first."""
    parts = sorted(zip(costs.columns, cost.cents, strict=True), key=lambda part: -part[1])
    lines = [f"{_column(column, costs.by)}: {shown_money(cents, currency)}" for column, cents in parts if cents]
    lines = [f"{day_text(cost.day)}: {shown_money(cost.total_cents, currency)}", *lines]
    return Markup("\n").join(escape(visible(each)) for each in lines)


def _most_of_a_month(invoices: Sequence[StatementInvoice]) -> dict[str, int]:
    """Return, for each currency, the largest total whose bar is drawn in full."""
    totals: dict[str, list[int]] = {}
    for invoice in invoices:
        totals.setdefault(invoice.currency, []).append(invoice.total_cents or 0)
    return {currency: max(1, shown_up_to(amounts)) for currency, amounts in totals.items()}


def _percent(cents: int, most: int) -> str:
    """Return the length of a bar in percent; one above `most` is cut off at its end."""
    return f"{min(100.0, 100 * cents / most):.1f}"


_TEMPLATES.filters |= {
    "capitalize_first": _capitalize_first,
    "signed": _signed,
    "month": _month,
    "short_month": _short_month,
    "times": _times,
    "short": _short,
    "rows": _rows,
    "more_months": _more_months,
    "safe_link": _safe_link,
    "is_month": _is_month,
    "column": _column,
    "tooltip": _tooltip,
    "most_of_a_month": _most_of_a_month,
    "shown_up_to": shown_up_to,
    "percent": _percent,
}
