"""An invoice in progress knows the unpaid amount of each item, and splits amounts over the items."""

from dataclasses import replace
from decimal import Decimal
from uuid import uuid5

import pytest

from fly_billing.monthly_ids import monthly_id
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import SEPTEMBER, id_of
from tests.unit.invoicing.steps.invoices_in_progress import invoice_of, item

SUPPORT = Scope(products=("Support",))


def test_an_items_unpaid_amount_is_its_amount_less_reductions() -> None:
    invoice = invoice_of(item("web", "10"), item("worker", "5"))
    invoice.take_off(item("coupon", "-4", "discount"), {id_of("web"): Decimal(3), id_of("worker"): Decimal(1)})
    assert invoice.left == {id_of("web"): Decimal(7), id_of("worker"): Decimal(4)}
    assert (invoice.left_of(Scope()), invoice.left_in_all()) == (Decimal(11), Decimal(11))
    assert [line.description for line in invoice.items] == ["web", "worker", "coupon"]


def test_an_item_whose_amount_differs_from_its_parts_is_refused() -> None:
    invoice = invoice_of(item("web", "10"))
    with pytest.raises(ValueError, match="takes off -4, but its parts have another sum"):
        invoice.take_off(item("coupon", "-4", "discount"), {id_of("web"): Decimal(3)})
    assert invoice.left == {id_of("web"): Decimal(10)}
    assert len(invoice.items) == 1


def test_an_amount_is_split_up_to_the_unpaid_amount() -> None:
    invoice = invoice_of(item("web", "10"), item("sorry", "-2", "one_off"), item("worker", "5"))
    assert invoice.parts_of(Scope(), Decimal(12)) == {id_of("web"): Decimal(10), id_of("worker"): Decimal(2)}
    assert invoice.parts_of(Scope(), Decimal(50)) == {id_of("web"): Decimal(10), id_of("worker"): Decimal(3)}


def test_a_refund_of_a_product_lowers_its_unpaid_amount() -> None:
    """10 - 7 for support; the 20 for Machines do not raise it."""
    invoice = invoice_of(
        item("support", "10", product="Support"), item("cancelled", "-7", product="Support"), item("web", "20")
    )
    assert invoice.parts_of(SUPPORT, Decimal(5)) == {id_of("support"): Decimal(3)}
    assert invoice.fill(SUPPORT, Decimal(5)) == {id_of("support"): Decimal(5)}


def test_nothing_is_split_if_refunds_exceed_charges() -> None:
    invoice = invoice_of(item("support", "10", product="Support"), item("sorry", "-12", "one_off"))
    assert invoice.parts_of(SUPPORT, Decimal(5)) == {}


def test_an_amount_off_reduces_each_item_in_proportion_if_items_have_different_tax_rates() -> None:
    """1.00 off 3 x 0.60 and a free item: a third off each of the three. The last of them takes the odd digit."""
    invoice = invoice_of(
        *(item(name, "0.60") for name in ("web", "worker", "zone")), item("free", "0"),
        taxes=[TaxRate(id_of("VAT"), "VAT", Decimal(10), tax="VAT", scope=Scope(products=("Books",)))],
    )  # fmt: skip
    third = Decimal("0.33333333333333333333")
    assert invoice.fill(Scope(), Decimal(1)) == {
        id_of("web"): third,
        id_of("worker"): third,
        id_of("zone"): Decimal("0.33333333333333333334"),
    }
    whole = {id_of(name): Decimal("0.60") for name in ("web", "worker", "zone")}
    assert invoice.fill(Scope(), Decimal("1.80")) == invoice.fill(Scope(), Decimal(2)) == whole


def test_an_item_has_one_identity_on_an_invoice_for_each_organization() -> None:
    """The id is permanent: another id would make another item when the month is billed again."""
    invoice = invoice_of()
    here = monthly_id(SEPTEMBER, invoice.id, "price|1")
    assert invoice.item_id("price|1") == invoice.item_id("price|1", "acme") == here
    assert invoice.item_id("price|1", "acme-labs") == monthly_id(SEPTEMBER, invoice.id, "acme-labs|price|1")


def test_a_month_begun_before_ids_started_with_their_month_keeps_the_older_ids_of_its_items() -> None:
    older = invoice_of()
    older = replace(older, inputs=replace(older.inputs, has_random_ids=True))
    assert older.item_id("price|1", "acme-labs") == uuid5(older.id, "acme-labs|price|1")
