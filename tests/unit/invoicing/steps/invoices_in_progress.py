"""Invoices for the tests of the steps: items as earlier steps left them, terms, and readers of the result.

Keeps out: expected values. The month is September 2026.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fly_billing.invoicing.rules.inputs import Commitment, CreditGrant, Discount, InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import SEPTEMBER, at, id_of


def item(name: str, amount: str | Decimal, kind: str = "usage", **changes: Any) -> InvoiceItem:
    """Return an item of acme's; its name is its description. `changes` are fields of InvoiceItem."""
    plain: dict[str, Any] = {
        "id": id_of(name),
        "kind": kind,
        "organization_id": "acme",
        "product": "Machines",
        "description": name,
        "quantity": Decimal(1),
        "unit": "unit",
        "amount": Decimal(amount),
    }
    return InvoiceItem(**plain | changes)


def invoice_of(*items: InvoiceItem, currency: str = "USD", **terms: Any) -> InvoiceInProgress:
    """Return an invoice of acme's with these items charged; `terms` are discounts, commitments, credits, taxes."""
    invoice = InvoiceInProgress(InvoiceInputs("acme", currency, SEPTEMBER, members=(), **terms), id_of("invoice"))
    for line in items:
        invoice.charge(line)
    return invoice


def percent_off(percent: str | Decimal, code: str = "PERCENT", **changes: Any) -> Discount:
    return Discount(id_of(code), code, f"coupon {code}", percent=Decimal(percent), **changes)


def amount_off(amount: str | Decimal, code: str = "AMOUNT", **changes: Any) -> Discount:
    return Discount(id_of(code), code, f"coupon {code}", amount=Decimal(amount), **changes)


def minimum(amount: str | Decimal, name: str = "at least", **changes: Any) -> Commitment:
    return Commitment(id_of(name), "minimum", name, Decimal(amount), **changes)


def maximum(amount: str | Decimal, name: str = "at most", **changes: Any) -> Commitment:
    return Commitment(id_of(name), "maximum", name, Decimal(amount), **changes)


def credit(available: str | Decimal, name: str = "prepaid", **changes: Any) -> CreditGrant:
    """Return a credit granted at the beginning of 2026, without end."""
    return CreditGrant(id_of(name), name, Decimal(available), **{"granted_at": at("2026-01-01")} | changes)


def tax(name: str, percent: str | Decimal, *, is_inclusive: bool = False) -> TaxRate:
    return TaxRate(id_of(name), name, Decimal(percent), is_inclusive)


def amounts(invoice: InvoiceInProgress, kind: str) -> list[Decimal]:
    """Return the amounts of the items of this kind, in the order in which they were made."""
    return [line.amount for line in invoice.items if line.kind == kind]


def left(invoice: InvoiceInProgress) -> dict[str, Decimal]:
    """Return the unpaid amount of each item, by its description."""
    return {line.description: invoice.left[line.id] for line in invoice.items if line.id in invoice.left}


def only(invoice: InvoiceInProgress, kind: str) -> InvoiceItem:
    (found,) = (line for line in invoice.items if line.kind == kind)
    return found


def applied(line: InvoiceItem) -> dict[str, str]:
    """Return the amounts that an item took off others, by their description."""
    return {part["description"]: part["amount"] for part in line.detail["applied_to"]}
