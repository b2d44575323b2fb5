"""Assembles some invoices of each billing run a second time, by the rules alone, and refuses those that differ.

Most usage is charged from prepared prices (`rules.steps.plain_usage`). Tests hold them to the rules; this finds on the
platform's own usage whatever the tests did not think of, before such an invoice is written.
"""

from __future__ import annotations

from itertools import zip_longest

from fly_billing.errors import not_computable
from fly_billing.invoicing.invoice_writer import item_lines
from fly_billing.invoicing.rules.assembly import Invoice, assemble_by_rules
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import plain

# One invoice in so many, by its id: the same payers if a month is billed again, others in the next month.
ONE_IN = 50
# Each invoice whose total is at least this, in the currency's minor unit: 10,000.00 dollars.
LARGE_CENTS = 1_000_000


def is_compared(invoice: Invoice) -> bool:
    """Return True if the invoice is assembled both ways: one in 50, and every large one."""
    return invoice.id.int % ONE_IN == 0 or abs(invoice.total_cents) >= LARGE_CENTS


def refuse_difference(invoice: Invoice, inputs: InvoiceInputs) -> None:
    """Assemble the invoice by the rules, and compare it to the last digit and letter.

    Raises:
        BillingError: `prepared_prices_differ`.
    """
    by_rules = assemble_by_rules(inputs)
    if invoice == by_rules and _written(invoice) == _written(by_rules):
        return
    raise not_computable(
        "prepared_prices_differ",
        f"{invoice.organization_id} {invoice.month}: {_difference(invoice, by_rules)}: this is a fault of fly_billing,"
        " not of your records: report it, install the release that corrects it, then bill the month again",
    )


def _written(invoice: Invoice) -> list[str]:
    return list(item_lines(invoice))


def _difference(invoice: Invoice, by_rules: Invoice) -> str:
    items = zip_longest(invoice.items, by_rules.items)
    lines = zip_longest(_written(invoice), _written(by_rules))
    for number, ((found, right), (line, other)) in enumerate(zip(items, lines, strict=True), start=1):
        if _named(found) != _named(right):
            return f"item {number} is {_named(found)}, but by the rules it is {_named(right)}"
        if found != right or line != other:
            return f"item {number}, {_named(found)}, has other texts or other usage than by the rules"
    return "its total, taxes or commitments are not those of the rules"


def _named(item: InvoiceItem | None) -> str:
    return f"{item.description!r}, {plain(item.quantity)} for {plain(item.amount)}" if item else "missing"
