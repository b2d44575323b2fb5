"""A one-off item is a single amount, or a quantity at a unit price."""

from decimal import Decimal

import pytest

from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, OneOffItem
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from fly_billing.stripe_sync.rules.requests import line_description
from tests.support.builders import SEPTEMBER, id_of
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, percent_off, tax


def bought(quantity: str, unit_amount: str, unit: str = "seat") -> OneOffItem:
    amount = Decimal(quantity) * Decimal(unit_amount)
    name = f"{quantity} {unit}"
    return OneOffItem(id_of(name), name, amount, "USD", Decimal(quantity), unit, Decimal(unit_amount))


def month_of(*items: OneOffItem, **terms: object) -> Invoice:
    member = Member("acme", PriceBook([]), one_offs=items)
    return assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member], **terms))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quantity", "unit_amount", "cents"),
    [
        ("3", "49.00", 14700),
        ("2.5", "180.00", 45000),
        ("-2", "49.00", -9800),  # two seats taken back
        ("3", "-5.00", -1500),  # three times goodwill
        ("1000", "0.0015", 150),
        ("0.333", "1", 33),  # rounded once, on the invoice
        ("0", "49.00", 0),
    ],
)
def test_a_one_off_item_costs_its_quantity_times_its_unit_price(quantity: str, unit_amount: str, cents: int) -> None:
    invoice = month_of(bought(quantity, unit_amount))
    (item,) = invoice.items
    assert (item.quantity, item.unit, item.amount_cents) == (Decimal(quantity), "seat", cents)
    (explained,) = [explain_item(item, explain_rounding(invoice.items, "USD")[item.id], "USD")]
    assert explained.problems == ()
    (line,) = explained.sums[0].lines
    assert line.product == (Decimal(quantity), Decimal(unit_amount), Decimal(1))


def test_the_line_at_stripe_has_the_quantity_and_the_unit_price() -> None:
    (item,) = month_of(bought("3", "49.00")).items
    text = line_description(item.product, item.description, item.quantity, item.unit, item.detail["steps"], None)
    assert text == "One-off: 3 seat (3 seats x 49)"


def test_a_single_amount_is_one_item_without_a_product() -> None:
    (item,) = month_of(OneOffItem(id_of("setup"), "setup", Decimal("49.90"), "USD")).items
    assert (item.quantity, item.unit, item.amount) == (Decimal(1), "item", Decimal("49.90"))
    assert item.detail == {}


def test_terms_apply_to_a_one_off_item_with_a_quantity() -> None:
    """3 x 49.00 = 147.00, 10 % off: 132.30, 2.30 off: 130.00; 19 % of that are 24.70."""
    off = {"discounts": [percent_off("10"), amount_off("2.30")], "taxes": [tax("VAT", "19")]}
    assert month_of(bought("3", "49.00"), **off).total_cents == 15470


def test_a_purchase_and_its_return_net_to_zero_with_tax() -> None:
    invoice = month_of(bought("3", "49.00"), bought("-3", "49.00"), taxes=[tax("VAT", "19")])
    assert invoice.total_cents == 0
