"""Shows a customer's statement on a terminal."""

from __future__ import annotations

from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fly_billing.domain.money import format_cents
from fly_billing.domain.statement import Statement, StatementInvoice

STATUS = {
    "open": "open, still growing",
    "finalized": "to be paid",
    "paid": "paid",
    "void": "void",
    "uncollectible": "not collected",
    "not computed": "not worked out yet",
}


def show_statement(console: Console, statement: Statement) -> None:
    """Print what is owed, every month in a line, and the items of the month that was asked for."""
    parts: list[Table | Text | Padding] = [Text(statement.headline(), style="bold"), Text()]
    parts.append(_months(statement))
    for invoice in statement.invoices:
        if invoice.items:
            parts += [Text(), _items(invoice)]
    title = f"{statement.organization_name} ({statement.organization_id}), as of {statement.as_of:%Y-%m-%d %H:%M} UTC"
    console.print(Panel(Group(*parts), title=title, title_align="left", padding=(1, 2)))


def _months(statement: Statement) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("Month")
    table.add_column("Total", justify="right")
    table.add_column("Status")
    table.add_column("Due")
    for one in statement.invoices:
        total = "" if one.total_cents is None else format_cents(one.total_cents, one.currency)
        status = _status(one) + (f"\n{one.trouble}" if one.trouble else "")
        table.add_row(one.month, total, status, str(one.due_on or ""))
    return table


def _status(invoice: StatementInvoice) -> str:
    is_nothing = invoice.status == "finalized" and not invoice.total_cents
    return "nothing to pay" if is_nothing else STATUS[invoice.status]


def _items(invoice: StatementInvoice) -> Table:
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), title_justify="left", title_style="bold", show_footer=True
    )
    as_of = f", as of {invoice.as_of:%Y-%m-%d %H:%M} UTC" if invoice.as_of else ""
    table.title = f"{invoice.month}: why{as_of}"
    table.add_column("Item", footer="Total", max_width=44)
    table.add_column("Worked out as", ratio=1)
    table.add_column("Exactly", justify="right", no_wrap=True)
    table.add_column("Billed", justify="right", no_wrap=True)
    total = invoice.total_cents or 0
    table.columns[-1].footer = format_cents(total, invoice.currency)
    product = None
    for item in invoice.items:
        if item.product != product:
            table.add_row(Text(item.product, style="bold"))
            product = item.product
        billed = format_cents(item.amount_cents, invoice.currency)
        table.add_row(f"  {item.description}", item.working, short(item.amount), billed)
    return table


def short(amount: str, digits: int = 8) -> str:
    """Cut a long exact amount for the screen, and say so with an ellipsis; `--json` has all digits."""
    whole, point, rest = amount.partition(".")
    return amount if len(rest) <= digits else f"{whole}{point}{rest[:digits]}…"
