"""Discounts reduce charges, one after the other, and never take more than there is."""

from decimal import Decimal

from fly_billing.invoicing.rules.inputs import Discount
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import id_of
from tests.unit.invoicing.steps.invoices_in_progress import (
    amount_off,
    amounts,
    applied,
    invoice_of,
    item,
    left,
    only,
    percent_off,
)


def discounted(*items: InvoiceItem, by: list[Discount]) -> InvoiceInProgress:
    invoice = invoice_of(*items, discounts=by)
    take_discounts(invoice)
    return invoice


def test_ten_percent_off_is_an_item_that_lists_the_amount_per_reduced_item() -> None:
    """10 % of 30.00 + 5.45 is 3.545: exact, as only the invoice's total is rounded."""
    invoice = discounted(
        item("web", "30.00"), item("volume", "5.45", product="Volumes"), by=[percent_off("10", "WELCOME")]
    )
    assert invoice.items[-1] == InvoiceItem(
        id=invoice.item_id(f"discount|{id_of('WELCOME')}"),
        kind="discount",
        organization_id="acme",
        product="Discounts",
        description="coupon WELCOME",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal("-3.545"),
        discount_id=id_of("WELCOME"),
        detail={
            "code": "WELCOME",
            "percent": "10",
            "base": "35.45",
            "applied_to": [
                {"item": str(id_of("web")), "product": "Machines", "description": "web", "amount": "3"},
                {"item": str(id_of("volume")), "product": "Volumes", "description": "volume", "amount": "0.545"},
            ],
        },
    )
    assert left(invoice) == {"web": Decimal(27), "volume": Decimal("4.905")}


def test_ten_percent_and_then_five_dollars_off_a_hundred_leave_85_dollars() -> None:
    invoice = discounted(item("web", "100"), by=[amount_off("5", order=2), percent_off("10", order=1)])
    assert amounts(invoice, "discount") == [Decimal(-10), Decimal(-5)]
    assert invoice.left_in_all() == 85


def test_five_dollars_and_then_ten_percent_off_a_hundred_leave_85_dollars_50() -> None:
    """The percentage is of the 95 dollars that are left."""
    invoice = discounted(item("web", "100"), by=[percent_off("10", order=2), amount_off("5", order=1)])
    assert amounts(invoice, "discount") == [Decimal(-5), Decimal("-9.5")]
    assert invoice.left_in_all() == Decimal("85.50")
    assert [line.detail["base"] for line in invoice.items[1:]] == ["100", "95"]


def test_discounts_of_the_same_rank_apply_in_the_order_of_their_grant() -> None:
    first_percent = discounted(item("web", "100"), by=[percent_off("10"), amount_off("5")])
    first_amount = discounted(item("web", "100"), by=[amount_off("5"), percent_off("10")])
    assert (first_percent.left_in_all(), first_amount.left_in_all()) == (Decimal(85), Decimal("85.50"))


def test_a_percentage_off_does_not_reduce_goodwill() -> None:
    """10 % of 100 is 10; the goodwill of 5 stays 5: 85 are left."""
    invoice = discounted(item("web", "100"), item("goodwill", "-5", kind="one_off"), by=[percent_off("10")])
    assert amounts(invoice, "discount") == [Decimal(-10)]
    assert invoice.items[-1].detail["base"] == "100"
    assert invoice.left_in_all() == 85


def test_a_percentage_off_does_not_reduce_refunds() -> None:
    """The invoice that charged the fee records the amount paid for it (`test_subscriptions`)."""
    invoice = discounted(item("web", "100"), item("support", "-20", "subscription"), by=[percent_off("10")])
    assert left(invoice) == {"web": Decimal(90), "support": Decimal(-20)}
    assert applied(only(invoice, "discount")) == {"web": "10"}


def test_a_month_with_only_refunds_uses_no_discount() -> None:
    invoice = discounted(item("support", "-20", "subscription"), by=[percent_off("25"), amount_off("5")])
    assert amounts(invoice, "discount") == []


def test_an_amount_off_reduces_items_in_the_order_of_the_invoice() -> None:
    """The items are charged in another order: an invoice lists usage before fees, then by product and text."""
    invoice = discounted(
        item("support", "5", "subscription"), item("worker", "4"), item("web", "3"), by=[amount_off("5")]
    )
    assert left(invoice) == {"web": Decimal(0), "worker": Decimal(2), "support": Decimal(5)}
    assert only(invoice, "discount").detail["amount"] == "5"
    assert applied(only(invoice, "discount")) == {"web": "3", "worker": "2"}


def test_an_amount_larger_than_the_invoice_takes_it_to_zero_and_no_further() -> None:
    invoice = discounted(item("web", "3"), item("worker", "4"), by=[amount_off("50")])
    assert only(invoice, "discount").amount == -7
    assert invoice.left_in_all() == 0


def test_an_amount_off_is_at_most_the_invoices_total_after_refunds() -> None:
    """8 of the 10 dollars are refunded: 2 of the 5 dollars off are used."""
    invoice = discounted(item("web", "10"), item("sorry", "-8", "one_off"), by=[amount_off("5")])
    assert only(invoice, "discount").amount == -2
    assert only(invoice, "discount").detail["base"] == "2"
    assert invoice.left_in_all() == 0


def test_an_amount_off_a_product_is_at_most_the_products_total() -> None:
    """10 - 7 dollars of support are left, with any other items on the invoice."""
    invoice = discounted(
        item("support", "10", "subscription", product="Support"),
        item("support cancelled", "-7", "subscription", product="Support"),
        item("web", "20"),
        by=[amount_off("5", scope=Scope(products=("Support",)))],
    )
    assert only(invoice, "discount").amount == -3
    assert invoice.left_in_all() == 20


def test_a_coupon_for_volumes_does_not_reduce_machines() -> None:
    invoice = discounted(
        item("web", "10"),
        item("data", "4", product="Volumes"),
        by=[percent_off("50", scope=Scope(products=("Volumes",)))],
    )
    assert left(invoice) == {"web": Decimal(10), "data": Decimal(2)}
    assert only(invoice, "discount").detail["base"] == "4"


def test_a_coupon_for_usage_does_not_reduce_recurring_fees() -> None:
    invoice = discounted(
        item("web", "10"), item("support", "29", "subscription"), by=[percent_off("10", scope=Scope(kinds=("usage",)))]
    )
    assert left(invoice) == {"web": Decimal(9), "support": Decimal(29)}


def test_a_hundred_percent_off_leaves_nothing_for_the_next_discount() -> None:
    invoice = discounted(item("web", "12.345"), item("worker", "0.01"), by=[percent_off("100"), amount_off("5")])
    assert only(invoice, "discount").amount == Decimal("-12.355")
    assert set(left(invoice).values()) == {Decimal(0)}


def test_a_discount_that_takes_nothing_is_not_on_the_invoice() -> None:
    nothing = [percent_off("0", "ZERO"), amount_off("0"), percent_off("10", scope=Scope(products=("GPUs",)))]
    assert len(discounted(item("web", "10"), item("free", "0"), by=nothing).items) == 2
    assert discounted(by=[percent_off("10"), amount_off("5")]).items == []


def test_a_payers_discount_reduces_items_of_all_its_organizations() -> None:
    invoice = discounted(item("their web", "10", organization_id="acme-labs"), by=[percent_off("10")])
    assert only(invoice, "discount").organization_id == "acme"


def test_a_percentage_of_an_amount_of_31_digits_is_exact() -> None:
    invoice = invoice_of(item("web", "1234567890123456789.012345678901"), discounts=[percent_off("10")])
    take_discounts(invoice)
    assert amounts(invoice, "discount") == [Decimal("-123456789012345678.9012345678901")]


def test_a_third_of_a_tiny_amount_is_taken_off_exactly() -> None:
    invoice = discounted(item("web", "0.00000000000000000003"), by=[percent_off("33.333333333333")])
    assert only(invoice, "discount").amount == Decimal("-0.0000000000000000000099999999999999")
