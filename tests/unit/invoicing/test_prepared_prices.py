"""An invoice from prepared prices is that of the rules: items, order, ids, texts and amounts to the last digit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError
from fly_billing.invoicing.control_sample import LARGE_CENTS, is_compared, refuse_difference
from fly_billing.invoicing.invoice_writer import item_lines
from fly_billing.invoicing.rules.assembly import Invoice, assemble_by_rules, assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    Commitment,
    Discount,
    InvoiceInputs,
    Member,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.rules.items import PreparedDetail
from fly_billing.invoicing.rules.steps.usage_prices import known_prices
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import PRICES, REQUESTS, SEPTEMBER, at, id_of, price
from tests.unit.price_strategies import AMOUNTS, MODELS, QUANTITIES, SIZES, TRANSFORMS

MIDDLE = at("2026-09-16")
HALVES = ((SEPTEMBER.start, MIDDLE), (MIDDLE, SEPTEMBER.end))
METERS, REGIONS = ("requests", "builds", "egress_gb"), ("ams", "fra", "syd")
TERMS: dict[str, Any] = {
    "discounts": [Discount(id_of("discount"), "TEN", "Ten percent off", percent=Decimal(10))],
    "commitments": [Commitment(id_of("minimum"), "minimum", "at least 1,000", Decimal(1000))],
    "taxes": [TaxRate(id_of("vat"), "VAT", Decimal(19))],
}
Outcome = tuple[Invoice, list[str]] | tuple[str, str]


def outcome(assemble: Callable[[InvoiceInputs], Invoice], inputs: InvoiceInputs) -> Outcome:
    """Return the invoice with its lines for the database, or the error."""
    try:
        invoice = assemble(inputs)
    except BillingError as error:
        return error.code, error.operator_text
    return invoice, list(item_lines(invoice))


@st.composite
def listed(draw: st.DrawFn, meter: str) -> list[Price]:
    """Draw the versions of a meter's prices: mostly plain ones, often changed in the middle of the month."""
    regions = draw(st.sampled_from([(), ("ams",), ("ams", "fra"), ("syd",)]))
    match = {"region": regions} if regions else {}
    first = price(
        draw(st.sampled_from([meter, f"{meter} in \"{'-'.join(regions)}\"\\"])), "1", meter, match=match,
        model=PerUnit(draw(AMOUNTS), draw(SIZES)), currency=draw(st.sampled_from(["USD"] * 9 + ["EUR"])),
    )  # fmt: skip
    changes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {},
        optional={
            "model": st.builds(PerUnit, AMOUNTS, SIZES) | MODELS,
            "free_allowance": st.integers(1, 100).map(Decimal),
            "at_zero": st.just("item"),
            "transform_quantity": TRANSFORMS,
            "maximum": AMOUNTS,
        },
    )
    if draw(st.booleans()):
        first = replace(first, **draw(changes))
    later = draw(st.none() | changes)
    return [first] if later is None else [first, replace(first, **later, effective_from=MIDDLE)]


@st.composite
def used(draw: st.DrawFn, name: str) -> list[UsageRollup]:
    """Draw usage as rollups have it: each meter and region in the whole month, or in either half."""
    found = draw(st.sets(st.tuples(st.sampled_from(METERS), st.sampled_from(REGIONS)), max_size=5))
    spans = draw(st.sampled_from([HALVES, HALVES[:1], HALVES[1:], ((SEPTEMBER.start, SEPTEMBER.end),)]))
    return [
        UsageRollup(
            id_of(f"{name} {meter} {region} {start}"), meter, {"region": region}, start, end, draw(QUANTITIES)
        )
        for meter, region in sorted(found)
        for start, end in spans
    ]  # fmt: skip


@st.composite
def months(draw: st.DrawFn) -> InvoiceInputs:
    """Draw the inputs of an invoice: two members, a book of every kind of price, and terms."""
    book = PriceBook([*PRICES, *(version for meter in METERS[1:] for version in draw(listed(meter)))])
    plans = [Subscription(id_of("plan"), "support", at("2026-09-11"), None)]
    labs = Member("labs", book, draw(used("labs")))
    if draw(st.booleans()):
        agreed = NegotiatedPrice.from_data(
            "fly", {"key": "requests", "organization": "labs", "effective_from": "2026-01-01", "percent_off": "10"}
        )
        labs = replace(labs, prices=book.negotiated_by(Negotiated(holdings_of("labs", [agreed], []))))
    members = [Member("acme", book, draw(used("acme")), plans), labs]
    return InvoiceInputs("acme", "USD", SEPTEMBER, members, **{name: TERMS[name] for name in draw(st.sets(_NAMES))})


_NAMES = st.sampled_from(sorted(TERMS))


@given(months())
def test_an_invoice_from_prepared_prices_is_that_of_the_rules(inputs: InvoiceInputs) -> None:
    by_rules = outcome(assemble_by_rules, inputs)
    assert outcome(assemble_invoice, inputs) == by_rules
    assert outcome(assemble_invoice, inputs) == by_rules  # once more, when all its prices are known


def usage_of(quantity: str, meter: str = "machine_seconds", name: str = "use") -> UsageRollup:
    return UsageRollup(id_of(name), meter, {"region": "ams"}, SEPTEMBER.start, SEPTEMBER.end, Decimal(quantity))


def inputs_of(*rollups: UsageRollup, book: PriceBook | None = None) -> InvoiceInputs:
    return InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", book or PriceBook(PRICES), rollups)])


def test_the_common_item_is_made_from_a_prepared_price() -> None:
    """Without this, the other tests would compare the rules with themselves."""
    both = usage_of("1296000"), usage_of("500.50", "requests", "other")
    invoice = assemble_invoice(inputs_of(*both))
    assert [type(item.detail) for item in invoice.items] == [PreparedDetail, PreparedDetail]
    assert [str(item.amount) for item in invoice.items] == ["0.97", "50.0500"]  # half a month x 1.94; 500.50 x 0.10
    assert not any(isinstance(item.detail, PreparedDetail) for item in assemble_by_rules(inputs_of(*both)).items)


def test_two_plain_versions_in_a_month_are_made_from_prepared_prices() -> None:
    dearer = replace(REQUESTS, model=PerUnit(Decimal("0.20")), effective_from=MIDDLE)
    halves = [
        UsageRollup(id_of(f"{start}"), "requests", {}, start, end, Decimal(10)) for start, end in HALVES
    ]  # fmt: skip
    invoice = assemble_invoice(inputs_of(*halves, book=PriceBook([REQUESTS, dearer])))
    assert [str(item.amount) for item in invoice.items] == ["1.00", "2.00"]
    assert all(isinstance(item.detail, PreparedDetail) for item in invoice.items)


def test_the_price_of_one_kind_of_usage_is_looked_up_once_per_book() -> None:
    book = PriceBook(PRICES)
    prices = known_prices(book)
    first, second = usage_of("1"), usage_of("2", name="of another organization")
    assert prices.of(first, book) is prices.of(second, book) is known_prices(book).of(first, book)
    assert known_prices(PriceBook(PRICES)) is not prices


def test_a_rollup_like_another_one_equals_a_new_one() -> None:
    first = usage_of("1")
    assert first.like(id_of("other"), Decimal(2)) == usage_of("2", name="other")
    assert first.like(id_of("other"), Decimal(2)).kind == first.kind


# --- The control sample of a billing run ---------------------------------------------------------------------------


def test_one_invoice_in_50_and_every_large_one_is_assembled_both_ways() -> None:
    invoice = assemble_invoice(inputs_of(usage_of("1")))
    small = [replace(invoice, id=id_of(f"invoice {number}")) for number in range(1000)]
    assert 5 < sum(map(is_compared, small)) < 50
    assert all(is_compared(replace(other, total_cents=LARGE_CENTS)) for other in small)
    assert all(is_compared(replace(other, total_cents=-LARGE_CENTS)) for other in small)


def test_an_invoice_that_is_that_of_the_rules_passes() -> None:
    inputs = inputs_of(usage_of("1296000"))
    refuse_difference(assemble_invoice(inputs), inputs)


def test_an_amount_that_differs_in_its_last_digit_is_refused_and_named() -> None:
    inputs = inputs_of(usage_of("1"))  # 1.94 / 2,592,000
    invoice = assemble_invoice(inputs)
    (item,) = invoice.items
    wrong = item.like(amount=item.amount + Decimal("1e-20"))
    with pytest.raises(BillingError) as refused:
        refuse_difference(replace(invoice, items=(wrong,)), inputs)
    assert refused.value.operator_text == (
        "acme 2026-09: item 1 is 'machines as used', 1 for 0.00000074845679012347, but by the rules it is"
        " 'machines as used', 1 for 0.00000074845679012346: this is a fault of fly_billing, not of your records: report"
        " it, install the release that corrects it, then bill the month again"
    )


def test_a_missing_item_is_refused() -> None:
    inputs = inputs_of(usage_of("1296000"))
    with pytest.raises(BillingError, match="item 1 is missing, but by the rules it is 'machines as used', 1296000 for"):
        refuse_difference(replace(assemble_invoice(inputs), items=()), inputs)


def test_another_text_or_other_usage_is_refused() -> None:
    inputs = inputs_of(usage_of("1"))
    invoice = assemble_invoice(inputs)
    (item,) = invoice.items
    assert isinstance(item.detail, PreparedDetail)
    other_text = item.like(detail=PreparedDetail(item.detail, item.detail.json.replace(": ", ":")))
    for wrong in (other_text, item.like(rollup_ids=(id_of("another"),))):
        with pytest.raises(BillingError, match=r"item 1, .*, has other texts or other usage than by the rules"):
            refuse_difference(replace(invoice, items=(wrong,)), inputs)


def test_another_total_is_refused() -> None:
    inputs = inputs_of(usage_of("1"))
    with pytest.raises(BillingError, match="its total, taxes or commitments are not those of the rules"):
        refuse_difference(replace(assemble_invoice(inputs), total_cents=1), inputs)
