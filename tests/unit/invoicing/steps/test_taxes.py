"""Taxes are calculated from the invoice's rounded subtotal, once per rate."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress, InvoiceTax
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import id_of
from tests.unit.invoicing.steps.invoices_in_progress import amounts, invoice_of, item, only, tax

VAT = tax("VAT", "19")
GST, QST = tax("GST", "5"), tax("QST", "9.975")
GERMAN = tax("USt", "19", is_inclusive=True)


def taxed(*items: InvoiceItem, by: list[TaxRate], currency: str = "USD") -> InvoiceInProgress:
    invoice = invoice_of(*items, currency=currency, taxes=by)
    add_taxes(invoice)
    return invoice


def tax_cents(amount: str, rate: TaxRate, currency: str = "USD") -> int:
    (found,) = taxed(item("web", amount), by=[rate], currency=currency).taxes
    return found.tax_cents


# --- Added to the invoice ------------------------------------------------------------------------------------------


def test_vat_of_19_percent_on_35_dollars_45_is_6_dollars_74() -> None:
    """3,545 cents x 0.19 = 673.55 cents."""
    invoice = taxed(item("web", "30"), item("volume", "5.45"), by=[VAT])
    assert invoice.items[-1] == InvoiceItem(
        id=invoice.item_id(f"tax|{VAT.id}"),
        kind="tax",
        organization_id="acme",
        product="Taxes",
        description="VAT 19 %",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal("6.74"),
        tax_rate_id=VAT.id,
        detail={"percent": "19", "base": "35.45"},
    )
    assert invoice.taxes == [InvoiceTax(VAT.id, "VAT", Decimal(19), False, taxable_cents=3545, tax_cents=674)]
    assert invoice.left_in_all() == Decimal("42.19")


def test_gst_and_qst_apply_to_the_same_amount() -> None:
    """Revenu Québec: QST is 9.975 % of the price without GST. 100.00 + 5.00 + 9.975, rounded 9.98."""
    invoice = taxed(item("web", "100"), by=[GST, QST])
    assert amounts(invoice, "tax") == [Decimal("5.00"), Decimal("9.98")]
    assert [invoice_tax.taxable_cents for invoice_tax in invoice.taxes] == [10000, 10000]
    assert invoice.left_in_all() == Decimal("114.98")


def test_half_a_cent_of_tax_is_rounded_up() -> None:
    """5 % of 50 cents are 2.5, of 49 cents 2.45."""
    assert (tax_cents("0.50", GST), tax_cents("0.49", GST)) == (3, 2)


def test_a_single_cent_is_taxed() -> None:
    """Half of it, rounded up."""
    assert tax_cents("0.01", tax("VAT", "50")) == 1


@pytest.mark.parametrize(("amount", "cents"), [("0.134", 2), ("0.135", 3)])
def test_the_tax_is_calculated_on_the_rounded_subtotal_that_the_customer_sees(amount: str, cents: int) -> None:
    """19 % of $0.13 are 2.47 cents; of the exact 0.134 they would be 2.546. $0.135 is $0.14: 2.66 cents."""
    assert tax_cents(amount, VAT) == cents


def test_a_tax_is_rounded_once_for_the_invoice_and_not_for_each_item() -> None:
    """100 items of 2 cents are $2.00: 38 cents. Each item alone would round to nothing."""
    invoice = taxed(*(item(f"function {n}", "0.02") for n in range(100)), by=[VAT])
    assert only(invoice, "tax").amount == Decimal("0.38")


def test_discounts_and_credits_lower_the_taxable_amount() -> None:
    invoice = invoice_of(item("web", "100"), taxes=[VAT])
    invoice.take_off(item("prepaid", "-40", "credit"), {id_of("web"): Decimal(40)})
    add_taxes(invoice)
    assert only(invoice, "tax").amount == Decimal("11.40")


def test_a_rate_of_zero_is_shown() -> None:
    """Reverse charge: the invoice has to say so."""
    invoice = taxed(item("web", "10"), by=[tax("Reverse charge", "0")])
    assert (only(invoice, "tax").description, only(invoice, "tax").amount) == ("Reverse charge 0 %", Decimal(0))
    assert [invoice_tax.tax_cents for invoice_tax in invoice.taxes] == [0]


def test_10_percent_of_1234_yen_are_123_yen() -> None:
    invoice = taxed(item("web", "1234"), by=[tax("JCT", "10")], currency="JPY")
    assert only(invoice, "tax").amount == 123
    assert only(invoice, "tax").detail == {"percent": "10", "base": "1234"}


def test_5_percent_of_1_dinar_234_are_62_fils() -> None:
    """61.7 fils; a dinar has 1,000."""
    invoice = taxed(item("web", "1.234"), by=[tax("VAT", "5")], currency="KWD")
    assert only(invoice, "tax").amount == Decimal("0.062")


# --- Inclusive taxes -----------------------------------------------------------------------------------------------


def test_119_euros_contain_19_euros_of_german_vat() -> None:
    invoice = taxed(item("web", "119"), by=[GERMAN], currency="EUR")
    assert invoice.taxes == [InvoiceTax(GERMAN.id, "USt", Decimal(19), True, taxable_cents=10000, tax_cents=1900)]
    assert invoice.left_in_all() == 119


def test_an_inclusive_tax_has_no_item() -> None:
    """35.45 x 19 / 119 = 5.6600...; 29.79 without it."""
    invoice = taxed(item("web", "35.45"), by=[GERMAN], currency="EUR")
    assert len(invoice.items) == 1
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(2979, 566)]


def test_the_net_amount_bears_the_odd_cent_of_inclusive_taxes() -> None:
    """1.00 at twice 2.5 %: 2.38 cents each are 2, and 96 are left; 95.24 alone would be 95, and a cent missing."""
    invoice = taxed(
        item("web", "1"), by=[tax("State", "2.5", is_inclusive=True), tax("City", "2.5", is_inclusive=True)]
    )
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(96, 2), (96, 2)]


# --- Refunds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [VAT, GST, GERMAN, tax("Reverse charge", "0")], ids=lambda rate: rate.name)
@pytest.mark.parametrize("amount", ["29.00", "100", "0.50", "0.135", "0.01", "33.33"])
def test_a_charge_and_its_refund_net_to_zero_with_tax(amount: str, rate: TaxRate) -> None:
    charged, returned = (taxed(item("web", price), by=[rate]) for price in (amount, f"-{amount}"))
    assert returned.left_in_all() == -charged.left_in_all()
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in returned.taxes] == [
        (-invoice_tax.taxable_cents, -invoice_tax.tax_cents) for invoice_tax in charged.taxes
    ]


def test_a_refunded_fee_of_29_dollars_returns_5_dollars_51_of_vat() -> None:
    invoice = taxed(item("support", "-29.00"), by=[VAT])
    assert (only(invoice, "tax").amount, invoice.left_in_all()) == (Decimal("-5.51"), Decimal("-34.51"))


def test_half_a_cent_of_tax_is_rounded_away_from_zero_on_both_sides() -> None:
    """5 % of 50 cents are 2.5."""
    assert (tax_cents("0.50", GST), tax_cents("-0.50", GST)) == (3, -3)


def test_a_refund_of_119_euros_lowers_the_recorded_german_vat_by_19() -> None:
    invoice = taxed(item("web", "-119"), by=[GERMAN], currency="EUR")
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(-10000, -1900)]


def test_a_partly_negative_month_is_taxed_on_the_remaining_amount() -> None:
    """100 - 29 = 71.00 at 19 %: 13.49."""
    invoice = taxed(item("web", "100"), item("support", "-29"), by=[VAT])
    assert only(invoice, "tax").amount == Decimal("13.49")


# --- At other rates than the month's -------------------------------------------------------------------------------

OLD_VAT = tax("VAT until June", "16")


def with_correction(usage: str, correction: str, *, by: list[TaxRate], then: list[TaxRate]) -> InvoiceInProgress:
    """Return usage of this month at the rates `by`, and the correction of a month at the rates `then`."""
    invoice = invoice_of(item("web", usage), taxes=by)
    invoice.charge(item("late", correction, "adjustment"), then)
    add_taxes(invoice)
    return invoice


def test_a_correction_returns_the_tax_of_the_month_that_it_corrects() -> None:
    """100.00 at 19 % are 19.00; -50.00 at 16 % are -8.00."""
    invoice = with_correction("100", "-50", by=[VAT], then=[OLD_VAT])
    assert [(invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [
        ("VAT", 10000, 1900),
        ("VAT until June", -5000, -800),
    ]
    assert invoice.left_in_all() == 61


def test_a_correction_of_a_month_at_the_same_rate_is_taxed_with_the_rest() -> None:
    """100.00 - 50.00 = 50.00 at 19 %."""
    invoice = with_correction("100", "-50", by=[VAT], then=[VAT])
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(5000, 950)]


def test_a_correction_of_a_month_without_tax_has_none() -> None:
    invoice = with_correction("100", "-50", by=[VAT], then=[])
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(10000, 1900)]


def test_a_correction_of_a_taxed_month_is_taxed_in_a_month_without_tax() -> None:
    invoice = with_correction("100", "-50", by=[], then=[VAT])
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(-5000, -950)]


def test_a_correction_at_inclusive_prices_returns_its_tax_beside_exclusive_prices() -> None:
    """This month's prices are exclusive: 100.00 + 19.00. The correction of 119.00 included 19.00."""
    invoice = with_correction("100", "-119", by=[VAT], then=[GERMAN])
    assert [(invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [
        ("VAT", 10000, 1900),
        ("USt", -10000, -1900),
    ]
    assert invoice.left_in_all() == 0


def test_the_same_inclusive_rate_in_both_months_is_one_tax() -> None:
    invoice = with_correction("238", "-119", by=[GERMAN, tax("City", "1", is_inclusive=True)], then=[GERMAN])
    assert [(invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [
        ("USt", 19834 - 10000, 3768 - 1900),  # 238 x 19/120 = 37.683 and 238 / 120 = 1.983: 198.34 are left
        ("City", 19834, 198),
    ]


# --- None ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amount", ["0", "0.004", "-0.004"])
@pytest.mark.parametrize("rate", [VAT, GERMAN])
def test_an_invoice_of_nothing_is_not_taxed(amount: str, rate: TaxRate) -> None:
    invoice = taxed(item("web", amount), by=[rate])
    assert (len(invoice.items), invoice.taxes) == (1, [])


def test_an_invoice_without_rates_has_no_taxes() -> None:
    invoice = taxed(item("web", "10"), by=[])
    assert (len(invoice.items), invoice.taxes) == (1, [])


@pytest.mark.parametrize("amount", ["10", "-10"])
def test_inclusive_and_exclusive_taxes_can_not_be_on_one_invoice(amount: str) -> None:
    with pytest.raises(BillingError) as refused:
        taxed(item("web", amount), by=[VAT, GERMAN])
    assert refused.value.code == "mixed_taxes"
    assert not refused.value.retryable
    assert refused.value.operator_text == (
        "the tax rates of acme in 2026-09 are VAT (exclusive), USt (inclusive), but prices either include their taxes"
        " or do not. Make all of these rates inclusive or all exclusive, then bill the month again"
    )


# --- Shared out over the items -------------------------------------------------------------------------------------


def shares_of(invoice: InvoiceInProgress) -> list[list[tuple[int, int]]]:
    return [[(share.taxable_cents, share.tax_cents) for share in found.shares] for found in invoice.taxes]


def test_the_cents_of_a_tax_go_to_the_items_with_the_largest_rests() -> None:
    """19 % of 10.01, 20.02 and 0.03 are 190.19, 380.38 and 0.57 cents: 571. The last has the largest rest."""
    invoice = taxed(item("web", "10.01"), item("volume", "20.02"), item("ip", "0.03"), by=[VAT])
    assert shares_of(invoice) == [[(1001, 190), (2002, 380), (3, 1)]]


def test_a_contained_tax_is_shared_out_without_its_net_amount() -> None:
    """19/119 of 119.00 are 19.00, and of 11.90 1.90."""
    invoice = taxed(item("web", "119"), item("volume", "11.90"), by=[GERMAN])
    assert shares_of(invoice) == [[(10_000, 1_900), (1_000, 190)]]


@given(
    st.lists(st.decimals(-1000, 1000, places=4, allow_nan=False), min_size=1, max_size=30),
    st.sampled_from([[VAT], [GST, QST], [GERMAN]]),
)
def test_the_shares_of_a_tax_add_up_to_it(items: list[Decimal], rates: list[TaxRate]) -> None:
    invoice = taxed(*(item(f"item {n}", str(amount)) for n, amount in enumerate(items)), by=rates)
    for found in invoice.taxes:
        assert sum(share.taxable_cents for share in found.shares) == found.taxable_cents
        assert sum(share.tax_cents for share in found.shares) == found.tax_cents
