"""Properties of the steps for any charges: no step takes more than there is, and items add up to the unpaid
amount.

The order of the steps is that of `invoicing.rules.assembly`, which charges adjustments after commitments,
as here.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.inputs import CREDITABLE, Commitment, CreditGrant, Discount
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.money import EXACT, exact_sum, minor_digits, to_cents
from fly_billing.pricing.rules.fields import has_more_decimals
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import at, id_of
from tests.unit.invoicing.steps.invoices_in_progress import amounts, credit, invoice_of, item, percent_off

Step = Callable[[InvoiceInProgress], None]
STEPS: tuple[Step, ...] = (take_discounts, apply_commitments, draw_credits, add_taxes)

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD"])
PRODUCTS = st.sampled_from(["Machines", "Volumes"])
REGIONS = st.sampled_from(["ams", "iad"])
# Both signs: a refund is a negative charge.
CHARGED = st.decimals(-1000, 10_000, places=20) | st.integers(-5, 50).map(Decimal)
AMOUNTS = st.decimals(0, 10_000, places=12) | st.integers(0, 50).map(Decimal)
PERCENTS = st.decimals(0, 100, places=4) | st.integers(0, 100).map(Decimal)


def _numbered(strategy: st.SearchStrategy[Any], name: str, size: int = 3) -> st.SearchStrategy[list[Any]]:
    """Draw some of these, each with its own id."""
    return st.lists(strategy, max_size=size).map(
        lambda found: [replace(value, id=id_of(f"{name} {number}")) for number, value in enumerate(found)]
    )


@st.composite
def _items(draw: st.DrawFn, kinds: tuple[str, ...] = CHARGES) -> InvoiceItem:
    match = draw(st.just({}) | REGIONS.map(lambda region: {"region": (region,)}))
    return item("any", draw(CHARGED), draw(st.sampled_from(kinds)), product=draw(PRODUCTS), match=match)


def _scopes(kinds: Sequence[str] = CHARGES) -> st.SearchStrategy[Scope]:
    return st.builds(
        Scope,
        kinds=st.just(tuple(kinds)) | st.sampled_from(kinds).map(lambda kind: (kind,)),
        products=st.just(()) | PRODUCTS.map(lambda product: (product,)),
        match=st.just({}) | REGIONS.map(lambda region: {"region": (region,)}),
    )


ITEMS = _numbered(_items(), "item", 6)
IDS = st.just(id_of("any"))
DISCOUNTS = _numbered(
    st.builds(Discount, IDS, st.just("C"), st.just("d"), percent=PERCENTS, scope=_scopes(), order=st.integers(0, 2))
    | st.builds(Discount, IDS, st.just("C"), st.just("d"), amount=AMOUNTS, scope=_scopes(), order=st.integers(0, 2)),
    "discount",
)
COMMITMENTS = _numbered(
    st.builds(Commitment, IDS, st.just("maximum"), st.just("at most"), AMOUNTS, _scopes((*CHARGES, "minimum")))
    | st.builds(
        Commitment,
        IDS,
        st.just("minimum"),
        st.just("at least"),
        AMOUNTS,
        _scopes((*CHARGES, "minimum")),
        st.booleans(),
        CHARGED,
    ),
    "commitment",
)
CREDITS = _numbered(
    st.builds(
        CreditGrant,
        IDS,
        st.just("prepaid"),
        st.decimals(0, 10_000, places=20) | st.integers(0, 50).map(Decimal),
        st.sampled_from([at("2026-01-01"), at("2026-09-15"), at("2026-10-01")]),
        st.sampled_from([None, at("2026-10-02"), at("2026-12-01")]),
        st.integers(0, 1),
        _scopes(CREDITABLE),
    ),
    "credit",
)


def _rates(is_inclusive: st.SearchStrategy[bool]) -> st.SearchStrategy[list[TaxRate]]:
    # Up to 33 % each: together they are never more than the net amount.
    rate = st.decimals(0, 33, places=4).map(lambda percent: TaxRate(id_of("any"), "tax", percent))
    return st.tuples(_numbered(rate, "rate"), is_inclusive).map(
        lambda found: [replace(tax_rate, is_inclusive=found[1]) for tax_rate in found[0]]
    )


TAXES = _rates(st.booleans())


@st.composite
def invoices(draw: st.DrawFn) -> InvoiceInProgress:
    """Draw charges, and terms of every kind."""
    return invoice_of(
        *draw(ITEMS),
        currency=draw(CURRENCIES),
        discounts=draw(DISCOUNTS),
        commitments=draw(COMMITMENTS),
        credits=draw(CREDITS),
        taxes=draw(TAXES),
    )


def after(invoice: InvoiceInProgress, *steps: Step) -> InvoiceInProgress:
    """Return a copy of the invoice, with these steps applied."""
    copy = invoice_of(*invoice.items)
    copy.inputs = invoice.inputs
    for step in steps:
        step(copy)
    return copy


@given(invoices(), _numbered(_items(("adjustment",)), "adjustment"))
def test_after_every_step_the_items_add_up_to_the_unpaid_amount(
    invoice: InvoiceInProgress, adjustments: list[InvoiceItem]
) -> None:
    for step in STEPS:
        if step is draw_credits:
            for adjustment in adjustments:
                invoice.charge(adjustment)
        step(invoice)
        assert exact_sum([line.amount for line in invoice.items]) == invoice.left_in_all()


@given(invoices())
def test_no_step_takes_more_off_an_item_than_its_unpaid_amount(invoice: InvoiceInProgress) -> None:
    """An unpaid amount never changes its sign, and never grows."""
    for step in STEPS:
        before = dict(invoice.left)
        step(invoice)
        for line, amount in before.items():
            lower, upper = sorted([Decimal(0), amount])
            assert lower <= invoice.left[line] <= upper


@given(invoices())
def test_no_credit_and_no_amount_off_takes_an_invoice_below_zero(invoice: InvoiceInProgress) -> None:
    discounts = [discount for discount in invoice.inputs.discounts if discount.amount is not None]
    invoice.inputs = replace(invoice.inputs, discounts=discounts)
    for step in (take_discounts, draw_credits):
        before = invoice.left_in_all()
        step(invoice)
        assert min(before, Decimal(0)) <= invoice.left_in_all() <= before


@given(invoices())
def test_the_parts_of_an_item_equal_the_amounts_it_took_off(invoice: InvoiceInProgress) -> None:
    for step in STEPS[:3]:
        step(invoice)
    for line in invoice.items:
        if line.kind in ("discount", "maximum", "credit"):
            taken = exact_sum([Decimal(part["amount"]) for part in line.detail["applied_to"]])
            assert taken == EXACT.minus(line.amount)
            assert len({part["item"] for part in line.detail["applied_to"]}) == len(line.detail["applied_to"]) > 0


@given(invoices())
def test_a_step_makes_the_same_items_for_the_same_account(invoice: InvoiceInProgress) -> None:
    assert after(invoice, *STEPS).items == after(invoice, *STEPS).items
    ids = [line.id for line in after(invoice, *STEPS).items]
    assert len(set(ids)) == len(ids)


@given(invoices(), st.randoms(use_true_random=False))
def test_the_input_order_of_commitments_credits_and_taxes_changes_nothing(
    invoice: InvoiceInProgress, chance: Any
) -> None:
    inputs = invoice.inputs
    shuffled = {
        name: chance.sample(getattr(inputs, name), len(getattr(inputs, name)))
        for name in ("commitments", "credits", "taxes")
    }
    given_so, given_otherwise = after(invoice, *STEPS), after(_with(invoice, **shuffled), *STEPS)
    assert {line.id: line for line in given_so.items} == {line.id: line for line in given_otherwise.items}
    assert {tax.rate_id: tax for tax in given_so.taxes} == {tax.rate_id: tax for tax in given_otherwise.taxes}
    assert given_so.counted == given_otherwise.counted


def _with(invoice: InvoiceInProgress, **terms: Any) -> InvoiceInProgress:
    changed = after(invoice)
    changed.inputs = replace(invoice.inputs, **terms)
    return changed


# --- Discounts -----------------------------------------------------------------------------------------------------


@given(ITEMS, PERCENTS, PERCENTS)
def test_two_percentages_take_the_same_in_either_order(
    items: list[InvoiceItem], first: Decimal, second: Decimal
) -> None:
    both = [percent_off(first, "ONE"), percent_off(second, "OTHER")]
    straight, reverse = invoice_of(*items, discounts=both), invoice_of(*items, discounts=both[::-1])
    take_discounts(straight)
    take_discounts(reverse)
    assert straight.left == reverse.left


@given(ITEMS)
def test_a_hundred_percent_off_leaves_only_refunds(items: list[InvoiceItem]) -> None:
    invoice = invoice_of(*items, discounts=[percent_off("100")])
    take_discounts(invoice)
    assert invoice.left == {item.id: min(item.amount, Decimal(0)) for item in items}


@given(invoices())
def test_an_amount_off_takes_no_more_than_was_promised(invoice: InvoiceInProgress) -> None:
    promised = {discount.id: discount.amount for discount in invoice.inputs.discounts if discount.amount is not None}
    take_discounts(invoice)
    for line in invoice.items:
        if line.discount_id in promised:
            assert 0 < EXACT.minus(line.amount) <= promised[line.discount_id]


# --- Commitments ---------------------------------------------------------------------------------------------------


@given(invoices())
def test_no_scope_exceeds_its_maximum(invoice: InvoiceInProgress) -> None:
    apply_commitments(invoice)
    for commitment in invoice.inputs.commitments:
        if commitment.kind == "maximum" and "minimum" not in commitment.scope.kinds:
            assert invoice.left_of(commitment.scope) <= commitment.amount


@given(invoices())
def test_every_minimum_that_is_due_is_reached_and_charged_no_further(invoice: InvoiceInProgress) -> None:
    apply_commitments(invoice)
    charged = {line.commitment_id: line.amount for line in invoice.items if line.kind == "minimum"}
    for commitment in invoice.inputs.commitments:
        if commitment.kind == "minimum":
            topped_up = charged.get(commitment.id, Decimal(0))
            in_all = exact_sum([commitment.counted_before, invoice.counted[commitment.id], topped_up])
            assert in_all >= commitment.amount or not commitment.is_due
            assert in_all == commitment.amount or not topped_up
            assert topped_up > 0 or commitment.id not in charged


# --- Credits -------------------------------------------------------------------------------------------------------


@given(invoices())
def test_a_credit_is_never_overdrawn(invoice: InvoiceInProgress) -> None:
    draw_credits(invoice)
    available = {grant.id: grant.available for grant in invoice.inputs.credits}
    for line in invoice.items:
        if line.credit_grant_id is not None:
            drawn, rest = EXACT.minus(line.amount), Decimal(line.detail["left"])
            assert 0 < drawn <= available[line.credit_grant_id]
            assert rest >= 0
            assert EXACT.add(drawn, rest) == Decimal(line.detail["available"]) == available[line.credit_grant_id]


@given(ITEMS, AMOUNTS, AMOUNTS, _scopes(CREDITABLE))
def test_a_credit_in_two_parts_pays_the_same_as_in_one(
    items: list[InvoiceItem], first: Decimal, second: Decimal, scope: Scope
) -> None:
    whole = invoice_of(*items, credits=[credit(EXACT.add(first, second), scope=scope)])
    parts = invoice_of(*items, credits=[credit(first, "one", scope=scope), credit(second, "other", scope=scope)])
    draw_credits(whole)
    draw_credits(parts)
    assert exact_sum(amounts(whole, "credit")) == exact_sum(amounts(parts, "credit"))
    assert whole.left == parts.left


# --- Taxes ---------------------------------------------------------------------------------------------------------


@given(ITEMS, CURRENCIES, _rates(st.just(True)))
def test_inclusive_taxes_and_the_net_amount_add_up_to_the_subtotal(
    items: list[InvoiceItem], currency: str, rates: list[TaxRate]
) -> None:
    invoice = invoice_of(*items, currency=currency, taxes=rates)
    subtotal = to_cents(invoice.left_in_all(), currency)
    add_taxes(invoice)
    assert len(invoice.taxes) == (len(rates) if subtotal else 0)
    for tax in invoice.taxes:
        assert tax.taxable_cents * subtotal >= 0
        assert tax.taxable_cents + sum(second.tax_cents for second in invoice.taxes) == subtotal
        # Half a cent for its own rounding, and 33 % of half a cent for each that the net amount bears.
        assert 2 * abs(100 * tax.tax_cents - tax.taxable_cents * tax.percent) <= 100 + 33 * len(rates)
    assert invoice.items == items


@given(ITEMS, CURRENCIES, _rates(st.booleans()))
def test_charges_and_their_full_refund_net_to_zero_with_taxes(
    items: list[InvoiceItem], currency: str, rates: list[TaxRate]
) -> None:
    charged = invoice_of(*items, currency=currency, taxes=rates)
    returned = invoice_of(*(replace(line, amount=-line.amount) for line in items), currency=currency, taxes=rates)
    add_taxes(charged)
    add_taxes(returned)
    assert charged.left_in_all() == -returned.left_in_all()
    assert [tax.tax_cents for tax in charged.taxes] == [-tax.tax_cents for tax in returned.taxes]


@given(ITEMS, CURRENCIES, _rates(st.just(False)))
def test_exclusive_taxes_are_whole_minor_units_on_top_of_the_subtotal(
    items: list[InvoiceItem], currency: str, rates: list[TaxRate]
) -> None:
    invoice = invoice_of(*items, currency=currency, taxes=rates)
    subtotal = to_cents(invoice.left_in_all(), currency)
    add_taxes(invoice)
    taxes = amounts(invoice, "tax")
    assert len(taxes) == len(invoice.taxes) == (len(rates) if subtotal else 0)
    assert not any(has_more_decimals(amount, minor_digits(currency)) for amount in taxes)
    assert to_cents(invoice.left_in_all(), currency) == subtotal + sum(tax.tax_cents for tax in invoice.taxes)
    for tax in invoice.taxes:
        assert abs(100 * tax.tax_cents - subtotal * tax.percent) <= 50
