"""Items of one invoice are taxed at different rates, by item and by customer."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.inputs import Adjustment
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.invoicing.rules.steps.taxes import add_taxes, shares
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import NOT_KNOWN, TaxCustomer, TaxRate, rates_for
from tests.support.builders import SEPTEMBER, id_of
from tests.unit.invoicing.steps.invoices_in_progress import (
    amount_off,
    amounts,
    credit,
    invoice_of,
    item,
    left,
    maximum,
    minimum,
    percent_off,
    tax,
)


def rate(name: str, percent: str, **changes: Any) -> TaxRate:
    """Return a rate of VAT, unless `tax` says otherwise."""
    return TaxRate(id_of(name), name, Decimal(percent), **{"tax": "VAT"} | changes)


def on(*products: str) -> Scope:
    return Scope(products=products)


VAT = rate("VAT", "20")
REDUCED = rate("Reduced VAT", "10", category="reduced", scope=on("Books"))
EXEMPT = rate("No VAT", "0", category="exempt", legal_text="Exempt: Art. 135(1)(a) VATD", scope=on("Insurance"))
BOOKS = {"product": "Books"}


def taxed(*items: InvoiceItem, by: list[TaxRate], **terms: Any) -> InvoiceInProgress:
    invoice = invoice_of(*items, taxes=by, **terms)
    for step in (take_discounts, apply_commitments, draw_credits, add_taxes):
        step(invoice)
    return invoice


def tax_lines(invoice: InvoiceInProgress) -> list[tuple[str, int, int]]:
    return [(invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes]


# --- Items ---------------------------------------------------------------------------------------------------------


def test_a_reduced_rate_applies_to_its_product_and_the_standard_rate_to_the_rest() -> None:
    """100.00 at 20 % are 20.00; 50.00 at 10 % are 5.00."""
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=[VAT, REDUCED])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", 5000, 500)]
    assert invoice.left_in_all() == 175


@pytest.mark.parametrize(
    ("scope", "fields"),
    [
        (Scope(products=("Books", "Maps")), {"product": "Maps"}),
        (Scope(price_keys=("atlas",)), {"price_key": "atlas"}),
        (Scope(kinds=("subscription",)), {"kind": "subscription"}),
        (Scope(kinds=("one_off",)), {"kind": "one_off"}),
        (Scope(meter="pages"), {"meter": "pages"}),
        (Scope(match={"region": ("ams", "fra")}), {"match": {"region": ("ams",)}}),
        (Scope(kinds=("usage",), products=("Maps",)), {"product": "Maps"}),
    ],
)
def test_a_rate_may_be_for_products_prices_kinds_meters_and_regions(scope: Scope, fields: dict[str, Any]) -> None:
    invoice = taxed(item("web", "100", "subscription"), by=[rate("Reduced VAT", "10", scope=Scope(meter="none")), VAT])
    assert tax_lines(invoice) == [("VAT", 10000, 2000)]
    other = item("other", "100", price_key="other", kind="subscription" if scope.kinds == ("one_off",) else "one_off")
    invoice = taxed(other, item("it", "50", **fields), by=[VAT, rate("Reduced VAT", "10", scope=scope)])
    assert sorted(tax_lines(invoice)) == [("Reduced VAT", 5000, 500), ("VAT", 10000, 2000)]


def test_an_item_that_no_rate_covers_has_no_tax() -> None:
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=[REDUCED])
    assert tax_lines(invoice) == [("Reduced VAT", 5000, 500)]


def test_an_exempt_item_is_shown_with_its_legal_text_and_no_tax() -> None:
    invoice = taxed(item("web", "100"), item("cover", "50", product="Insurance"), by=[VAT, EXEMPT])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("No VAT", 5000, 0)]
    shown = invoice.items[-1]
    assert (shown.description, shown.amount) == ("No VAT 0 %: Exempt: Art. 135(1)(a) VATD", Decimal(0))
    assert shown.detail == {
        "percent": "0",
        "base": "50",
        "category": "exempt",
        "legal_text": "Exempt: Art. 135(1)(a) VATD",
        "taxed": [{"item": str(id_of("cover")), "product": "Insurance", "description": "cover", "amount": "50"}],
    }


def test_two_taxes_on_one_item_both_apply_to_its_price_and_the_other_item_has_one() -> None:
    """GST of 5 % on 150.00 is 7.50; a city's 2 % on the 50.00 of Books is 1.00."""
    city = rate("City tax", "2", tax="City", scope=on("Books"))
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=[tax("GST", "5"), city])
    assert tax_lines(invoice) == [("GST", 15000, 750), ("City tax", 5000, 100)]


@pytest.mark.parametrize("given", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_the_narrowest_rate_of_a_tax_applies_in_any_input_order(given: list[int]) -> None:
    rates = [
        VAT,
        rate("of usage", "15", scope=Scope(kinds=("usage",))),
        rate("of Books", "10", scope=on("Books")),
        rate("of the atlas", "5", scope=Scope(price_keys=("atlas",))),
    ]
    invoice = taxed(
        item("setup", "100", "one_off"),
        item("web", "100"),
        item("book", "100", **BOOKS),
        item("atlas", "100", price_key="atlas", **BOOKS),
        by=[rates[n] for n in given],
    )
    assert sorted(tax_lines(invoice)) == [
        ("VAT", 10000, 2000),
        ("of Books", 10000, 1000),
        ("of the atlas", 10000, 500),
        ("of usage", 10000, 1500),
    ]


def test_a_rate_for_some_items_replaces_the_general_rate_of_the_same_tax() -> None:
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=[tax("VAT", "19"), REDUCED])
    assert tax_lines(invoice) == [("VAT", 10000, 1900), ("Reduced VAT", 5000, 500)]


def test_two_equally_narrow_rates_of_one_tax_are_an_error() -> None:
    rates = [VAT, REDUCED, rate("Books and maps", "7", scope=on("Books", "Maps"))]
    assert tax_lines(taxed(item("web", "100"), by=rates)) == [("VAT", 10000, 2000)]
    with pytest.raises(BillingError) as refused:
        taxed(item("book", "50", **BOOKS), by=rates)
    assert refused.value.code == "ambiguous_tax"
    assert refused.value.operator_text == (
        "several rates of VAT apply to usage 'book' of acme in 2026-09: VAT 20 %, Reduced VAT 10 %, Books and maps"
        " 7 %. Give one of them a narrower scope (price_keys, products, kinds, locations) or end it, then bill the"
        " month again"
    )


# --- Customers -----------------------------------------------------------------------------------------------------

REVERSE = rate(
    "Reverse charge", "0", category="reverse_charge", legal_text="Art. 196 Directive 2006/112/EC",
    customers=("business",), locations=("FR", "IT"),
)  # fmt: skip
GERMAN = rate("USt", "19", locations=("DE",))
QUEBEC, CANADA = rate("QST", "14.975", locations=("CA-QC",)), rate("GST", "5", locations=("CA",))
EVERYWHERE = [VAT, REVERSE, GERMAN, QUEBEC, CANADA]


@pytest.mark.parametrize(
    ("customer", "holding"),
    [
        (NOT_KNOWN, ["VAT"]),
        (TaxCustomer("DE", "consumer"), ["USt"]),
        (TaxCustomer("DE-BE"), ["USt"]),
        (TaxCustomer("FR", "business"), ["Reverse charge"]),
        (TaxCustomer("FR", "consumer"), ["VAT"]),
        (TaxCustomer("US", "business"), ["VAT"]),
        (TaxCustomer("CA-QC"), ["QST"]),
        (TaxCustomer("CA-QC-MTL"), ["QST"]),
        (TaxCustomer("CA-ON"), ["GST"]),
        (TaxCustomer("CA"), ["GST"]),
        (TaxCustomer(None, "business"), ["VAT"]),
    ],
)
def test_a_rate_may_be_for_customers_of_a_place_and_a_kind(customer: TaxCustomer, holding: list[str]) -> None:
    invoice = taxed(item("web", "100"), by=list(rates_for(customer, EVERYWHERE)))
    assert [invoice_tax.name for invoice_tax in invoice.taxes] == holding


def test_a_place_whose_name_begins_the_same_is_another_place() -> None:
    assert rates_for(TaxCustomer("DEX"), [GERMAN]) == ()


def test_reverse_charge_applies_to_every_product() -> None:
    """It also applies if a reduced rate names the product."""
    rates = list(rates_for(TaxCustomer("FR", "business"), [VAT, REDUCED, REVERSE]))
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=rates)
    assert tax_lines(invoice) == [("Reverse charge", 15000, 0)]
    assert invoice.items[-1].description == "Reverse charge 0 %: Art. 196 Directive 2006/112/EC"
    assert invoice.taxes[0].legal_text == "Art. 196 Directive 2006/112/EC"


def test_the_rate_for_the_item_applies_among_rates_for_the_customer_and_an_equal_one_is_an_error() -> None:
    plain, books = (
        rate(name, percent, customers=("school",), scope=scope)
        for name, percent, scope in (("Schools", "5", Scope()), ("School books", "0", on("Books")))
    )
    invoice = taxed(item("web", "100"), item("book", "50", **BOOKS), by=[VAT, plain, books])
    assert tax_lines(invoice) == [("Schools", 10000, 500), ("School books", 5000, 0)]
    with pytest.raises(BillingError, match=r"several rates of .* apply to .*: Schools 5 %, Colleges 3 %"):
        taxed(item("web", "100"), by=[plain, rate("Colleges", "3", customers=("college", "school"))])


def test_a_rate_that_names_the_item_and_a_rate_that_names_the_place_are_an_error() -> None:
    with pytest.raises(BillingError, match=r"several rates of .* apply to usage 'book'"):
        taxed(item("book", "50", **BOOKS), by=list(rates_for(TaxCustomer("DE"), [GERMAN, REDUCED])))
    both = rate("Reduced USt", "7", locations=("DE",), scope=on("Books"))
    invoice = taxed(item("book", "50", **BOOKS), by=list(rates_for(TaxCustomer("DE"), [GERMAN, REDUCED, both])))
    assert tax_lines(invoice) == [("Reduced USt", 5000, 350)]


# --- Reductions of the whole invoice -------------------------------------------------------------------------------

ITEMS = (item("web", "100"), item("book", "50", **BOOKS))


def test_a_coupon_lowers_each_rates_base_in_proportion() -> None:
    """30.00 off 150.00: 20.00 off 100.00 and 10.00 off 50.00. 80.00 x 20 % + 40.00 x 10 % = 16.00 + 4.00."""
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], discounts=[amount_off("30")])
    assert left(invoice)["web"] == 80
    assert tax_lines(invoice) == [("VAT", 8000, 1600), ("Reduced VAT", 4000, 400)]
    assert invoice.left_in_all() == 140


def test_a_credit_lowers_each_rates_base_in_proportion() -> None:
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], credits=[credit("30")])
    assert tax_lines(invoice) == [("VAT", 8000, 1600), ("Reduced VAT", 4000, 400)]


def test_a_maximum_lowers_each_rates_base_in_proportion() -> None:
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], commitments=[maximum("120")])
    assert tax_lines(invoice) == [("VAT", 8000, 1600), ("Reduced VAT", 4000, 400)]


def test_a_percentage_off_lowers_every_items_base() -> None:
    """20 % off: 80.00 and 40.00."""
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], discounts=[percent_off("20")])
    assert tax_lines(invoice) == [("VAT", 8000, 1600), ("Reduced VAT", 4000, 400)]


def test_a_coupon_for_one_product_lowers_only_its_base() -> None:
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], discounts=[amount_off("30", scope=on("Books"))])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", 2000, 200)]


def test_a_coupon_that_does_not_divide_evenly_leaves_bases_that_add_up_to_the_cent() -> None:
    """10.00 off three items of 10.00: 6.66... each, rounded together to 20.00. 6.67 x 20 %, 6.67 x 10 %, 6.66."""
    items = (item("web", "10"), item("book", "10", **BOOKS), item("cover", "10", product="Insurance"))
    invoice = taxed(*items, by=[VAT, REDUCED, EXEMPT], discounts=[amount_off("10")])
    assert sum(invoice_tax.taxable_cents for invoice_tax in invoice.taxes) == 2000
    assert sorted(invoice_tax.taxable_cents for invoice_tax in invoice.taxes) == [666, 667, 667]
    assert {invoice_tax.name: invoice_tax.tax_cents for invoice_tax in invoice.taxes} == {
        "VAT": 133,
        "Reduced VAT": 67,
        "No VAT": 0,
    }


def test_a_coupon_larger_than_the_invoice_leaves_nothing_to_tax() -> None:
    assert tax_lines(taxed(*ITEMS, by=[VAT, REDUCED], discounts=[amount_off("500")])) == []


def test_a_coupon_reduces_the_first_item_first_if_all_items_have_the_same_rate() -> None:
    invoice = taxed(*ITEMS, by=[VAT], discounts=[amount_off("30")])
    assert left(invoice)["book"] == 20


# --- True-ups ------------------------------------------------------------------------------------------------------


def test_a_true_up_is_taxed_like_the_items_that_count_towards_it() -> None:
    """150.00 used of 300.00: another 150.00, of which 100.00 at web's rate and 50.00 at the books' rate."""
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], commitments=[minimum("300")])
    assert tax_lines(invoice) == [("VAT", 20000, 4000), ("Reduced VAT", 10000, 1000)]


def test_a_true_up_is_taxed_like_small_charges_too() -> None:
    """0.60 and 0.40 of 10.00: another 9.00, so 6.00 and 4.00 in total."""
    invoice = taxed(item("web", "0.60"), item("book", "0.40", **BOOKS), by=[VAT, REDUCED], commitments=[minimum("10")])
    assert sorted(tax_lines(invoice)) == [("Reduced VAT", 400, 40), ("VAT", 600, 120)]


def test_a_true_up_of_one_product_is_taxed_like_the_product() -> None:
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], commitments=[minimum("80", scope=on("Books"))])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", 8000, 800)]


def test_a_true_up_of_a_month_without_any_charge_is_taxed_at_the_rate_of_every_item() -> None:
    invoice = taxed(by=[VAT, REDUCED], commitments=[minimum("80")])
    assert tax_lines(invoice) == [("VAT", 8000, 1600)]


def test_a_true_up_of_items_that_a_coupon_paid_is_taxed_at_the_rate_of_every_item() -> None:
    """Books for 50.00, all of it off: no positive amount counts towards the 80.00."""
    invoice = taxed(
        item("book", "50", **BOOKS), by=[VAT, REDUCED], discounts=[percent_off("100")], commitments=[minimum("80")]
    )
    assert tax_lines(invoice) == [("VAT", 8000, 1600)]


def test_a_true_up_that_counts_another_one_is_taxed_like_both() -> None:
    """Books: 50.00, topped up to 100.00. All, that included: 200.00, topped up to 400.00: half at each rate."""
    whole = minimum("400", "whole", scope=Scope(kinds=("usage", "subscription", "one_off", "minimum")))
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], commitments=[minimum("100", scope=on("Books")), whole])
    assert tax_lines(invoice) == [("VAT", 20000, 4000), ("Reduced VAT", 20000, 2000)]


def test_a_true_up_that_credits_mostly_paid_is_taxed_on_the_rest() -> None:
    """100 + 50 + 150 less a credit of 150.00: half of each is left, and of the true-up 50.00 and 25.00."""
    invoice = taxed(*ITEMS, by=[VAT, REDUCED], commitments=[minimum("300")], credits=[credit("150")])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", 5000, 500)]


# --- Below zero, and earlier months ---------------------------------------------------------------------------------


def test_a_refund_at_one_rate_returns_that_rates_tax_on_its_remaining_base() -> None:
    """Books: 50.00 - 80.00 = -30.00 at 10 %: -3.00. None of it is taxed at the 20 % of web."""
    invoice = taxed(*ITEMS, item("returned", "-80", "one_off", **BOOKS), by=[VAT, REDUCED])
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", -3000, -300)]
    assert invoice.left_in_all() == 87


def test_a_refunded_fee_of_last_month_has_last_months_rate_for_its_kind() -> None:
    before = [rate("VAT", "16"), rate("Reduced VAT then", "5", scope=on("Books"))]
    invoice = invoice_of(*ITEMS, taxes=[VAT, REDUCED], earlier_taxes={SEPTEMBER.plus(-1): before})
    invoice.charge(item("club", "-20", "subscription", **BOOKS), before)
    add_taxes(invoice)
    assert tax_lines(invoice) == [("VAT", 10000, 2000), ("Reduced VAT", 5000, 500), ("Reduced VAT then", -2000, -100)]


def corrected(amount: str, *parts: tuple[TaxRate, str], credits: str = "0") -> InvoiceInProgress:
    invoice = invoice_of(taxes=[VAT], credits=[credit(credits)] if credits != "0" else [])
    invoice.charge(item("late", amount, "adjustment"), [VAT, REDUCED])
    invoice.tax_parts[id_of("late")] = tuple(((tax_rate,), Decimal(part)) for tax_rate, part in parts)
    draw_credits(invoice)
    add_taxes(invoice)
    return invoice


def test_a_correction_is_taxed_by_its_parts() -> None:
    """A coupon of 30.00 that is not owed any more: 20.00 at 20 %, 10.00 at 10 %."""
    assert tax_lines(corrected("30", (VAT, "20"), (REDUCED, "10"))) == [("VAT", 2000, 400), ("Reduced VAT", 1000, 100)]
    assert tax_lines(corrected("-30", (VAT, "-20"), (REDUCED, "-10"))) == [
        ("VAT", -2000, -400),
        ("Reduced VAT", -1000, -100),
    ]


def test_the_parts_of_a_correction_are_rounded_together_even_if_this_month_has_one_rate() -> None:
    """0.335 at each rate are 0.67: 0.34 and 0.33. The lines of the taxes list the correction."""
    invoice = corrected("0.67", (VAT, "0.335"), (REDUCED, "0.335"))
    assert sorted(invoice_tax.taxable_cents for invoice_tax in invoice.taxes) == [33, 34]
    late = {"item": str(id_of("late")), "product": "Machines", "description": "late", "amount": "0.335"}
    assert [line.detail["taxed"] for line in invoice.items if line.kind == "tax"] == [[late], [late]]


def test_a_correction_may_have_parts_of_both_signs() -> None:
    """web fell by 30.00, and so 5.00 more of a coupon are on books."""
    assert tax_lines(corrected("-30", (VAT, "-25"), (REDUCED, "-5"))) == [
        ("VAT", -2500, -500),
        ("Reduced VAT", -500, -50),
    ]
    assert tax_lines(corrected("10", (VAT, "15"), (REDUCED, "-5"))) == [("VAT", 1500, 300), ("Reduced VAT", -500, -50)]


def test_a_credit_reduces_the_positive_parts_of_a_correction() -> None:
    assert tax_lines(corrected("10", (VAT, "15"), (REDUCED, "-5"), credits="6")) == [
        ("VAT", 900, 180),
        ("Reduced VAT", -500, -50),
    ]


def test_an_adjustment_without_parts_is_taxed_at_the_rates_of_every_item() -> None:
    invoice = invoice_of(taxes=[])
    invoice.charge(item("late", "30", "adjustment"), [VAT, REDUCED])
    add_taxes(invoice)
    assert tax_lines(invoice) == [("VAT", 3000, 600)]


def test_an_adjustment_names_its_tax_rates() -> None:
    adjustment = Adjustment(id_of("a"), None, "Books", "late", Decimal(5), "USD", taxed=(((REDUCED,), Decimal(5)),))  # type: ignore[arg-type]
    assert sum(amount for _, amount in adjustment.taxed) == adjustment.amount


def test_a_credit_reduces_all_positive_parts_of_a_correction_in_proportion() -> None:
    assert tax_lines(corrected("30", (VAT, "20"), (REDUCED, "10"), credits="15")) == [
        ("VAT", 1000, 200),
        ("Reduced VAT", 500, 50),
    ]
    assert tax_lines(corrected("1", (VAT, "0.60"), (REDUCED, "0.40"), credits="0.50")) == [
        ("VAT", 30, 6),
        ("Reduced VAT", 20, 2),
    ]


def test_a_refunded_fee_that_two_rates_of_its_month_could_tax_is_named_with_the_month() -> None:
    invoice = invoice_of(taxes=[VAT, REDUCED])
    invoice.charge(item("club", "-20", "subscription", **BOOKS), [REDUCED, rate("Other", "5", scope=on("Books"))])
    with pytest.raises(BillingError, match="subscription 'club' of acme in 2026-09"):
        add_taxes(invoice)
    invoice = invoice_of(taxes=[])
    invoice.charge(item("late", "-20", "adjustment"), [VAT, rate("Other", "5")])
    with pytest.raises(BillingError, match="apply to acme in 2026-09: VAT 20 %, Other 5 %"):
        add_taxes(invoice)


# --- Rounding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("web", "book"),
    [
        ("0.335", "0.335"),
        ("0.335", "-0.335"),
        ("-0.335", "0.335"),
        ("0.335", "-1.335"),
        ("-0.335", "1.335"),
        ("1.005", "2.005"),
    ],
)
def test_negative_bases_are_rounded_like_positive_ones_in_any_order_of_items(web: str, book: str) -> None:
    charged = taxed(item("web", web), item("book", book, **BOOKS), by=[VAT, REDUCED])
    returned = taxed(item("book", f"{-Decimal(book)}", **BOOKS), item("web", f"{-Decimal(web)}"), by=[REDUCED, VAT])
    assert sorted(tax_lines(returned)) == sorted((name, -base, -cents) for name, base, cents in tax_lines(charged))


def test_two_halves_of_a_cent_round_to_one_cent() -> None:
    """0.335 and 0.335 are 0.67: one base is 0.34, the other 0.33."""
    invoice = taxed(item("web", "0.335"), item("book", "0.335", **BOOKS), by=[VAT, REDUCED])
    assert sorted(invoice_tax.taxable_cents for invoice_tax in invoice.taxes) == [33, 34]


def test_bases_in_yen_have_no_decimals_and_in_dinars_three() -> None:
    """1,000 at 20 % and 500 at 10 %; in dinars 1.234 and 0.567: 0.2468 and 0.0567. 119 yen include 19."""
    yen = taxed(item("web", "1000"), item("book", "500", **BOOKS), by=[VAT, REDUCED], currency="JPY")
    assert tax_lines(yen) == [("VAT", 1000, 200), ("Reduced VAT", 500, 50)]
    back = taxed(item("web", "-1000"), item("book", "-500", **BOOKS), by=[VAT, REDUCED], currency="JPY")
    assert tax_lines(back) == [("VAT", -1000, -200), ("Reduced VAT", -500, -50)]
    dinars = taxed(item("web", "1.234"), item("book", "0.567", **BOOKS), by=[VAT, REDUCED], currency="KWD")
    assert tax_lines(dinars) == [("VAT", 1234, 247), ("Reduced VAT", 567, 57)]
    gross = taxed(item("web", "119"), by=[rate("JCT", "19", is_inclusive=True), REDUCED], currency="JPY")
    assert tax_lines(gross) == [("JCT", 100, 19)]


@pytest.mark.parametrize(
    ("amount", "weights", "parts"),
    [
        ("10", ("1", "1"), ("5", "5")),
        ("10", ("0", "0", "0"), ("10", "0", "0")),
        ("10", ("1", "0", "1"), ("5", "0", "5")),
        ("-3", ("2", "1"), ("-2", "-1")),
        ("1", ("1", "1", "1"), ("0.33333333333333333333", "0.33333333333333333333", "0.33333333333333333334")),
        (
            "1",
            ("1", "1", "1", "0"),
            ("0.33333333333333333333", "0.33333333333333333333", "0.33333333333333333334", "0"),
        ),
    ],
)
def test_an_amount_is_split_by_weight_to_the_last_digit(
    amount: str, weights: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    assert shares(Decimal(amount), [Decimal(weight) for weight in weights]) == [Decimal(part) for part in parts]


# --- Inclusive and exclusive taxes side by side --------------------------------------------------------------------


def test_inclusive_and_exclusive_prices_may_be_on_one_invoice() -> None:
    """119.00 include 19.00 at 19 %; 50.00 add 5.00."""
    gross = rate("USt", "19", is_inclusive=True)
    invoice = taxed(item("web", "119"), item("book", "50", **BOOKS), by=[gross, REDUCED])
    assert sorted(tax_lines(invoice)) == [("Reduced VAT", 5000, 500), ("USt", 10000, 1900)]
    assert amounts(invoice, "tax") == [Decimal(5)]
    assert invoice.left_in_all() == 174


def test_two_inclusive_rates_apply_to_their_own_items() -> None:
    """119.00 include 19.00; 107.00 include 7.00."""
    rates = [rate("USt", "19", is_inclusive=True), rate("USt 7", "7", is_inclusive=True, scope=on("Books"))]
    invoice = taxed(item("web", "119"), item("book", "107", **BOOKS), by=rates)
    assert tax_lines(invoice) == [("USt", 10000, 1900), ("USt 7", 10000, 700)]


def test_a_coupon_over_inclusive_prices_lowers_each_tax() -> None:
    """22.60 off 226.00 is a tenth: 107.10 include 17.10, 96.30 include 6.30."""
    rates = [rate("USt", "19", is_inclusive=True), rate("USt 7", "7", is_inclusive=True, scope=on("Books"))]
    invoice = taxed(item("web", "119"), item("book", "107", **BOOKS), by=rates, discounts=[amount_off("22.60")])
    assert tax_lines(invoice) == [("USt", 9000, 1710), ("USt 7", 9000, 630)]


def test_an_exempt_item_beside_inclusive_prices_includes_no_tax() -> None:
    gross = rate("USt", "19", is_inclusive=True)
    invoice = taxed(item("web", "119"), item("cover", "50", product="Insurance"), by=[gross, EXEMPT])
    assert sorted(tax_lines(invoice)) == [("No VAT", 5000, 0), ("USt", 10000, 1900)]
    assert invoice.left_in_all() == 169


def test_an_item_has_either_inclusive_or_exclusive_taxes() -> None:
    city = rate("City tax", "2", tax="City", is_inclusive=True, scope=on("Books"))
    assert tax_lines(taxed(item("web", "100"), by=[VAT, city])) == [("VAT", 10000, 2000)]
    with pytest.raises(BillingError) as refused:
        taxed(item("book", "50", **BOOKS), by=[VAT, city])
    assert refused.value.code == "mixed_taxes"
    assert "usage 'book' of acme in 2026-09 are VAT (exclusive), City tax (inclusive)" in refused.value.operator_text


# --- Valid rates ---------------------------------------------------------------------------------------------------


def test_a_rate_may_be_100_percent_and_its_text_may_fill_the_line() -> None:
    assert rate("VAT", "100", legal_text="x" * 300).percent == 100


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"locations": ("Bonn", "DE", "Rom")}, "locations Bonn, Rom: write ISO 3166 codes such as DE or CA-QC"),
        ({"percent": "101"}, "percent 101 is above 100"),
        ({"percent": "-1"}, "percent"),
        ({"category": "normal"}, "category 'normal'; known are standard, reduced, zero, exempt"),
        ({"category": "exempt", "legal_text": "Art. 135"}, "category exempt is 0 % and not inclusive"),
        ({"category": "zero", "percent": "0", "is_inclusive": True}, "category zero is 0 % and not inclusive"),
        ({"category": "reverse_charge", "percent": "0"}, "needs legal_text"),
        ({"legal_text": "Art. 1", "is_inclusive": True}, "legal_text needs a line on the invoice"),
        ({"legal_text": " "}, "legal_text has 1 to 300 characters"),
        ({"legal_text": "x" * 301}, "legal_text has 1 to 300 characters"),
        ({"tax": None, "scope": on("Books")}, "needs `tax`"),
        ({"tax": None, "locations": ("DE",)}, "needs `tax`"),
        ({"tax": None, "customers": ("business",)}, "needs `tax`"),
        ({"scope": Scope(kinds=("tax",))}, "are tax; known are usage, subscription, one_off"),
        ({"scope": Scope(kinds=())}, "the kinds of its scope are"),
    ],
)
def test_an_invalid_rate_is_refused_by_name(changes: dict[str, Any], wrong: str) -> None:
    given: dict[str, Any] = {"percent": "20", **changes}
    with pytest.raises(ValueError, match="tax rate 'VAT'") as refused:
        rate("VAT", given.pop("percent"), **given)
    assert wrong in str(refused.value)
