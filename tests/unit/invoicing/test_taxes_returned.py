"""A correction to zero of a month with different tax rates returns the base and tax of each rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import Charge, Difference, charges_of, differences, recalculate
from fly_billing.corrections.rules.taxes import Split, splits_of, splits_of_credits, taxed_differences
from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import Adjustment, InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import EGRESS, MACHINES, OCTOBER, REQUESTS, SEPTEMBER, SUPPORT, at, id_of
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, credit, item, maximum, minimum, percent_off

LOW, NONE = Scope(products=("Requests",)), Scope(kinds=("subscription",))
EXEMPT: dict[str, Any] = {"category": "exempt", "legal_text": "Art. 135"}


def rate(name: str, percent: str, **changes: Any) -> TaxRate:
    return TaxRate(id_of(name), name, Decimal(percent), **{"tax": "VAT"} | changes)


# By item; two on some items; inclusive, and beside exclusive prices; none on some items.
RATES: dict[str, list[TaxRate]] = {
    "reduced": [rate("VAT", "20"), rate("Low", "7", scope=LOW), rate("None", "0", scope=NONE, **EXEMPT)],
    "several": [rate("GST", "5", tax="GST"), rate("PST", "9.975", tax="PST", scope=LOW)],
    "inclusive": [rate("USt", "19", is_inclusive=True), rate("USt 7", "7", is_inclusive=True, scope=LOW)],
    "both": [rate("USt", "19", is_inclusive=True), rate("Low", "7", scope=LOW)],
    "untaxed": [rate("Low", "7", scope=LOW)],
}
BOOK = PriceBook([REQUESTS, EGRESS, MACHINES, SUPPORT])
QUANTITIES = st.decimals(0, 3000, places=1)


def member(requests: Decimal, egress: Decimal, seats: int) -> Member:
    span = (SEPTEMBER.start, SEPTEMBER.end)
    used = [("requests", {}, requests), ("egress_gb", {"region": "ams"}, egress)]
    rollups = [UsageRollup(id_of(meter), meter, where, *span, quantity) for meter, where, quantity in used if quantity]
    seat = Subscription(id_of("seats"), "support", at("2026-01-01"), None, Decimal(seats or 1))
    return Member("acme", BOOK, rollups, [seat] if seats else [])


members = st.builds(member, QUANTITIES, QUANTITIES, st.integers(0, 3))
terms = st.fixed_dictionaries(
    {
        "discounts": st.lists(
            st.one_of(
                st.decimals(0, 80, places=2).map(lambda amount: amount_off(amount)),
                st.decimals(1, 100, places=1).map(lambda percent: percent_off(percent)),
                st.decimals(1, 80, places=2).map(lambda amount: amount_off(amount, "LOW", scope=LOW)),
            ),
            max_size=2,
            unique_by=lambda tax_rate: tax_rate.code,
        ),
        "commitments": st.one_of(
            st.just([]),
            st.decimals(1, 300, places=2).map(lambda amount: [minimum(amount)]),
            st.decimals(1, 300, places=2).map(lambda amount: [maximum(amount)]),
        ),
    }
)


def correct(
    billed: Invoice, adjusted: dict[str, Split], now: InvoiceInputs
) -> tuple[list[Adjustment], dict[str, Split]]:
    """Correct the invoice to `now`, as `corrections.correction_run` does, without a database."""
    stored = [replace(line, match={}) for line in billed.items]
    invoice = recalculate(now, stored)
    before, after = charges_of(stored, SEPTEMBER), charges_of(invoice.items, SEPTEMBER)
    booked = {
        key: replace(before.get(key) or after[key], amount=exact_sum(list(split.values())))
        for key, split in adjusted.items()
    }
    found = differences(before, booked, after, {})
    taxed = taxed_differences(found, splits_of(stored, now), adjusted, splits_of(invoice.items, now))
    adjustments = [
        Adjustment(
            id_of(difference.charge.key), SEPTEMBER, difference.charge.product, "late", difference.amount, "USD",
            taxes=tuple(now.taxes), taxed=tuple(taxed[difference.charge.key].items()),
        )
        for difference in found
    ]  # fmt: skip
    for adjustment in adjustments:
        assert exact_sum([part for _, part in adjustment.taxed]) == adjustment.amount
    return adjustments, taxed


def october(adjustments: Sequence[Adjustment], taxes: Sequence[TaxRate]) -> Invoice:
    return assemble_invoice(
        InvoiceInputs("acme", "USD", OCTOBER, [Member("acme", BOOK, adjustments=adjustments)], taxes=taxes)
    )


def by_rate(*invoices: Invoice) -> dict[str, tuple[int, int]]:
    """Return base and tax of each rate, summed over these invoices, without rates where both are zero."""
    sums: dict[str, tuple[int, int]] = {}
    for tax in (tax for invoice in invoices for tax in invoice.taxes):
        base, cents = sums.get(tax.name, (0, 0))
        sums[tax.name] = base + tax.taxable_cents, cents + tax.tax_cents
    return {name: base_and_tax for name, base_and_tax in sums.items() if base_and_tax != (0, 0)}


@pytest.mark.parametrize("taxes", RATES.values(), ids=RATES)
@pytest.mark.parametrize("is_taxed_in_october", [True, False])
@given(whole=members, agreed=terms)
def test_a_month_corrected_to_zero_returns_the_base_and_the_tax_of_every_rate(
    taxes: list[TaxRate], is_taxed_in_october: bool, whole: Member, agreed: dict[str, Any]
) -> None:
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=taxes, **agreed)
    charged = assemble_invoice(inputs)
    nothing = replace(inputs, members=[Member("acme", BOOK)], discounts=(), commitments=())
    adjustments, _ = correct(charged, {}, nothing)
    returned = october(adjustments, taxes if is_taxed_in_october else [])
    assert charged.total_cents + returned.total_cents == 0
    assert by_rate(charged, returned) == {}


@given(whole=members, agreed=terms, prepaid=st.decimals(0, 300, places=3))
def test_the_bases_of_rates_that_share_the_items_add_up_to_the_invoice_before_taxes(
    whole: Member, agreed: dict[str, Any], prepaid: Decimal
) -> None:
    """Each tax is its percentage of its base, rounded once."""
    charged = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=RATES["reduced"], credits=[credit(prepaid)], **agreed)
    )
    taxes = sum(tax.tax_cents for tax in charged.taxes)
    assert sum(tax.taxable_cents for tax in charged.taxes) == charged.total_cents - taxes
    for tax in charged.taxes:
        assert abs(tax.taxable_cents * tax.percent - 100 * tax.tax_cents) <= 50


@pytest.mark.parametrize("taxes", RATES.values(), ids=RATES)
@given(whole=members, part=members, agreed=terms)
def test_a_correction_makes_every_base_that_of_a_correct_invoice(
    taxes: list[TaxRate], whole: Member, part: Member, agreed: dict[str, Any]
) -> None:
    """The bases agree exactly, before rounding: charges and adjustments add up to the owed amounts, by rate."""
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=taxes, **agreed)
    charged = assemble_invoice(inputs)
    right = replace(inputs, members=[part])
    first, taxed = correct(charged, {}, right)
    again, _ = correct(charged, taxed, right)
    assert again == []
    owed = assemble_invoice(right)
    bases = {
        invoice_tax.name: invoice_tax.taxable_cents + (invoice_tax.tax_cents if invoice_tax.is_inclusive else 0)
        for invoice_tax in owed.taxes
    }
    after = by_rate(charged, october(first, taxes))
    for name in bases.keys() | after.keys():
        inclusive = next(invoice_tax for invoice_tax in taxes if invoice_tax.name == name).is_inclusive
        base, tax = after.get(name, (0, 0))
        assert abs(bases.get(name, 0) - base - (tax if inclusive else 0)) <= 2  # a cent of each invoice's rounding


def test_a_coupon_that_moves_between_rates_is_booked_with_its_cause() -> None:
    """100.00 of requests at 7 %, 50.00 of egress at 20 %, 30.00 off: 80.00 and 40.00. Without the egress 70.00: 10.00
    of the coupon move to the requests."""
    inputs = InvoiceInputs(
        "acme", "USD", SEPTEMBER, [member(Decimal(1000), Decimal(2600), 0)], taxes=RATES["reduced"],
        discounts=[amount_off("30")],
    )  # fmt: skip
    charged = assemble_invoice(inputs)
    assert by_rate(charged) == {"Low": (8000, 560), "VAT": (4000, 800)}
    (adjustment,), _ = correct(charged, {}, replace(inputs, members=[member(Decimal(1000), Decimal(0), 0)]))
    assert adjustment.amount == -50
    assert {rates[0].name: part for rates, part in adjustment.taxed} == {"VAT": -40, "Low": -10}
    assert by_rate(charged, october([adjustment], RATES["reduced"])) == {"Low": (7000, 490)}


# --- Items of a final invoice, split by rate -----------------------------------------------------------------------

AUGUST = SEPTEMBER.plus(-1)
VAT, OLD = RATES["reduced"][0], rate("VAT then", "16")
CHEAP = rate("Low", "7", scope=Scope(products=("Books",)))
BOOKS: dict[str, Any] = {"product": "Books", "price_key": "books"}


def split(*items: InvoiceItem, taxes: Sequence[TaxRate] = (VAT, CHEAP), **inputs: Any) -> dict[str, dict[str, Decimal]]:
    """Return by charge the amounts taxed at each rate, by the rate's name."""
    month = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", BOOK)], taxes=taxes, **inputs)
    return {
        key: {"+".join(rate.name for rate in rates): amount for rates, amount in parts.items()}
        for key, parts in splits_of(items, month).items()
    }


def taking(name: str, kind: str, **parts: str) -> InvoiceItem:
    """Return an item that takes these amounts off the items of these names."""
    applied = [{"item": str(id_of(item_name)), "amount": amount} for item_name, amount in parts.items()]
    total = -exact_sum([Decimal(amount) for amount in parts.values()])
    term = {"discount_id" if kind == "discount" else "commitment_id": id_of(name)}
    return item(name, total, kind, detail={"applied_to": applied}, **term)


def fee(name: str, amount: str, month: BillingMonth = SEPTEMBER) -> InvoiceItem:
    interval = {"interval_start": month.start, "interval_end": month.end}
    return item(name, amount, "subscription", subscription_id=id_of(name), **interval, **BOOKS)


def key_of(kind: str, name: str) -> str:
    return f"acme|{kind}|{id_of(name)}"


def test_a_reduction_of_an_item_is_split_like_the_item_in_any_order() -> None:
    usage = (item("web", "100", price_key="web"), item("book", "50", **BOOKS))
    coupon = taking("coupon", "discount", web="20", book="10")
    for items in ((*usage, coupon), (coupon, *usage)):
        assert split(*items) == {
            "acme|usage|web": {"VAT": 100},
            "acme|usage|books": {"Low": 50},
            key_of("discount", "coupon"): {"VAT": -20, "Low": -10},
        }


def test_a_true_up_and_the_reduction_of_it_by_a_maximum_are_split_like_the_counted_items() -> None:
    counted = [{"item": str(id_of(name)), "amount": amount} for name, amount in (("web", "100"), ("book", "50"))]
    minimum = item("least", "30", "minimum", commitment_id=id_of("least"), detail={"counted": counted})
    most = taking("most", "maximum", least="15")
    usage = (item("web", "100", price_key="web"), item("book", "50", **BOOKS))
    for items in ((most, minimum, *usage), (*usage, minimum, most)):
        found = split(*items)
        assert found[key_of("minimum", "least")] == {"VAT": 20, "Low": 10}
        assert found[key_of("maximum", "most")] == {"VAT": -10, "Low": -5}


def test_a_true_up_that_counted_nothing_is_split_at_the_rates_of_every_item() -> None:
    minimum = item("least", "30", "minimum", commitment_id=id_of("least"), detail={"counted": []})
    assert split(minimum) == {key_of("minimum", "least"): {"VAT": 30}}


def test_a_refunded_fee_is_split_at_the_rates_of_the_month_that_charged_it() -> None:
    assert split(fee("club", "-20"), earlier_taxes={AUGUST: [OLD]}) == {
        key_of("subscription", "club"): {"VAT then": -20}
    }
    assert split(fee("club", "20"), earlier_taxes={AUGUST: [OLD]}) == {key_of("subscription", "club"): {"Low": 20}}
    assert split(fee("club", "0.50"), earlier_taxes={AUGUST: [OLD]}) == {
        key_of("subscription", "club"): {"Low": Decimal("0.5")}
    }


def test_only_the_reductions_of_next_months_fee_are_compared() -> None:
    """A charge has this month's rates, and a refund has those of the month that charged the fee."""
    ahead, returned = fee("club", "20", OCTOBER), fee("club", "-20", OCTOBER)
    assert split(ahead, taking("coupon", "discount", club="2"), earlier_taxes={AUGUST: [OLD]}) == {
        key_of("discount", "coupon"): {"Low": -2}
    }
    assert split(returned, taking("coupon", "discount", club="-2"), earlier_taxes={AUGUST: [OLD]}) == {
        key_of("discount", "coupon"): {"VAT then": 2}
    }


def test_only_the_reductions_of_a_one_off_item_are_compared() -> None:
    assert split(
        item("setup", "-20", "one_off"), taking("coupon", "discount", setup="2"), earlier_taxes={AUGUST: [OLD]}
    ) == {key_of("discount", "coupon"): {"VAT": -2}}


def test_a_rate_that_is_ambiguous_is_named_with_the_month() -> None:
    other = rate("Other", "5", scope=Scope(products=("Books",)))
    with pytest.raises(BillingError, match="usage 'book' of acme in 2026-09"):
        split(item("book", "50", **BOOKS), taxes=[CHEAP, other])
    minimum = item("least", "30", "minimum", commitment_id=id_of("least"), detail={"counted": []})
    with pytest.raises(BillingError, match="several rates of VAT apply to acme in 2026-09: VAT 20 %, VAT then 16 %"):
        split(minimum, taxes=[VAT, OLD, CHEAP])


# --- Returns to credits --------------------------------------------------------------------------------------------


def return_of(thing: str, amount: str) -> Difference:
    charge = Charge(f"acme|credit|{thing}", "credit", "acme", "Credits", "prepaid", Decimal(0), Decimal(1), "item")
    return Difference(charge, Decimal(0), Decimal(0), Decimal(amount), detail={"thing": thing, "pays": "net"})


@pytest.mark.parametrize("side", ["billed", "now", "adjusted"])
def test_a_return_to_a_credit_is_split_like_its_payment(side: str) -> None:
    """A true-up of 30.00, two thirds of it at 20 %: 8.00 of the returned 12.00 are taxed at it."""
    counted = [{"item": str(id_of(name)), "amount": amount} for name, amount in (("web", "100"), ("book", "50"))]
    least = item("least", "30", "minimum", commitment_id=id_of("least"), detail={"counted": counted})
    items = [item("web", "100", price_key="web"), item("book", "50", **BOOKS), least]
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", BOOK)], taxes=[VAT, CHEAP])
    thing = key_of("minimum", "least")
    found = splits_of_credits(
        [return_of(thing, "12"), return_of("acme|usage|books", "3")]
        if side != "adjusted"
        else [return_of(thing, "12")],
        items if side == "billed" else [],
        {thing: {(VAT,): Decimal(-20), (CHEAP,): Decimal(-10)}} if side == "adjusted" else {},
        items if side == "now" else [],
        inputs,
    )
    assert found[f"acme|credit|{thing}"] == {(VAT,): 8, (CHEAP,): 4}
    assert found.get("acme|credit|acme|usage|books", {(CHEAP,): 3}) == {(CHEAP,): 3}


def test_a_refund_of_a_fee_is_not_split_like_next_months_fee() -> None:
    """Since October the club is not a book any more."""
    ahead = replace(fee("club", "20", OCTOBER), id=id_of("ahead"), product="Clubs")
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", BOOK)], taxes=[VAT, CHEAP])
    thing = key_of("subscription", "club")
    found = splits_of_credits([return_of(thing, "3")], [fee("club", "20"), ahead], {}, [], inputs)
    assert found == {f"acme|credit|{thing}": {(CHEAP,): 3}}


def test_a_return_to_a_deposit_is_taxed_at_no_rate() -> None:
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", BOOK)], taxes=[VAT, CHEAP])
    deposit, promotion = return_of("acme|usage|web", "5"), return_of("acme|usage|books", "3")
    deposit = replace(deposit, detail={**deposit.detail, "pays": "gross"})
    items = [item("web", "100", price_key="web"), item("book", "50", **BOOKS)]
    assert splits_of_credits([deposit, promotion], items, {}, [], inputs) == {
        "acme|credit|acme|usage|web": {},
        "acme|credit|acme|usage|books": {(CHEAP,): 3},
    }


def difference_of(key: str, amount: str) -> Difference:
    charge = Charge(key, "usage", "acme", "Machines", key, Decimal(0), Decimal(1), "unit")
    return Difference(charge, Decimal(0), Decimal(0), Decimal(amount))


def test_each_difference_is_taxed_separately_and_the_first_one_takes_a_shift_between_rates() -> None:
    """Web is new, books were adjusted by 4 and are not owed, and 2 of a coupon moved from one rate to the other."""
    found = taxed_differences(
        [difference_of("books", "-4"), difference_of("web", "10")],
        billed={"coupon": {(VAT,): Decimal(-2)}},
        adjusted={"books": {(CHEAP,): Decimal(4)}},
        now={"web": {(VAT,): Decimal(10)}, "coupon": {(CHEAP,): Decimal(-2)}},
    )
    assert found == {"books": {(CHEAP,): Decimal(-6), (VAT,): Decimal(2)}, "web": {(VAT,): Decimal(10)}}
