"""A price may charge for whole steps and for other units than the meter's: before allowance, tiers and bounds."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, UsageRollup
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.rating import rate, rate_month
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.support.builders import SEPTEMBER, at, id_of
from tests.support.calculator import printed, redo

HOURLY = {"unit_amount": "5.00", "per": "3600", "transform_quantity": {"step": "300"}}


def amount(price: dict[str, Any], quantity: str) -> Decimal:
    return rate({"meter": "m", **price}, quantity).amount


@pytest.mark.parametrize(
    ("seconds", "charged"),
    [
        ("0", "0"),
        ("1", "300"),
        ("300", "300"),
        ("300.000001", "600"),
        ("301", "600"),
        ("3600", "3600"),
        ("3601", "3900"),
    ],
)
def test_an_hourly_rate_is_charged_in_started_five_minute_steps(seconds: str, charged: str) -> None:
    """5.00 an hour: 600 seconds are 0.8333..."""
    rated = rate({"meter": "m", **HOURLY}, seconds)
    assert (rated.used, rated.quantity) == (Decimal(seconds), Decimal(charged))
    assert rated.amount == rate({"unit_amount": "5.00", "per": "3600"}, charged).amount


def test_steps_may_be_rounded_down() -> None:
    down = {**HOURLY, "transform_quantity": {"step": "300", "round": "down"}}
    assert [amount(down, seconds) for seconds in ("299", "3899")] == [0, 5]


def test_a_tier_counts_started_hundreds() -> None:
    """250 MB are three started hundreds: two at 1.00, one at 0.50."""
    tiers = [{"up_to": "2", "unit_amount": "1.00"}, {"unit_amount": "0.50"}]
    tiered = {"model": "graduated", "tiers": tiers, "transform_quantity": {"divide_by": "100"}}
    assert amount(tiered, "250") == Decimal("2.50")
    assert amount(tiered, "200") == Decimal("2.00")


def test_an_allowance_is_in_the_new_units() -> None:
    """90 minutes are two started hours, one of them free."""
    hours = {"unit_amount": "3", "transform_quantity": {"divide_by": "60"}, "free_allowance": "1"}
    assert [amount(hours, minutes) for minutes in ("90", "60")] == [3, 0]


def test_steps_are_counted_over_the_month_across_versions() -> None:
    """100 seconds, then 150: 250 seconds are one step of 300, which the first version began."""
    first, second = ({"meter": "m", "unit_amount": price, "transform_quantity": {"step": "300"}} for price in "12")
    assert [segment.quantity for segment in rate_month([(first, "100"), (second, "150")])] == [300, 0]
    assert [segment.quantity for segment in rate_month([(first, "100"), (second, "250")])] == [300, 300]


@given(
    st.decimals("0", "100000", places=3),
    st.decimals("0.001", "1000", places=3),
    st.decimals("0.001", "1000", places=3),
)
def test_rounding_up_charges_at_most_one_step_more_and_down_at_most_one_less(
    quantity: Decimal, divide_by: Decimal, step: Decimal
) -> None:
    def charged(how: str) -> Decimal:
        transform = {"divide_by": str(divide_by), "step": str(step), "round": how}
        return rate({"meter": "m", "unit_amount": "1", "transform_quantity": transform}, quantity).quantity

    up, down = charged("up"), charged("down")
    assert up - down in (0, step)
    assert down * divide_by <= quantity <= up * divide_by
    assert up % step == down % step == 0


def billed(price: Price, *quantities: str) -> tuple[dict[str, Any], Decimal, tuple[str, ...]]:
    """Return the explained sums of the only item, redone on a calculator, its quantity, and the differences."""
    usage = [
        UsageRollup(id_of(f"{number}"), "m", {"app": str(number)}, SEPTEMBER.start, SEPTEMBER.end, Decimal(quantity))
        for number, quantity in enumerate(quantities)
    ]
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([price]), usage)]))
    (item,) = invoice.items
    explanation = explain_item(item, explain_rounding(invoice.items, "USD")[item.id], "USD", usage, price)
    return (
        {title: total.total for title, total in redo(printed(explanation)).items()},
        item.quantity,
        explanation.problems,
    )


def price_of(**fields: Any) -> Price:
    named = {"key": "it", "meter": "m", "product": "It", "description": "It", "effective_from": "2026-01-01"}
    return Price.from_data("fly", {**named, "unit": "second", **fields})


def test_an_invoice_has_the_charged_quantity_and_explains_its_calculation() -> None:
    """100 + 201 seconds, rounded up to 600: 600 x 5.00 / 3600."""
    redone, quantity, problems = billed(price_of(**HOURLY), "100", "201")
    assert (quantity, problems) == (Decimal(600), ())
    assert (redone["Used"], redone["Quantity"]) == (301, 600)


def test_a_conversion_is_explained_as_a_division() -> None:
    """250 / 100 = 2.5, rounded up to 3."""
    per_hundred = price_of(unit="started hundred", unit_amount="1", transform_quantity={"divide_by": "100"})
    redone, quantity, problems = billed(per_hundred, "250")
    assert (quantity, problems) == (Decimal(3), ())
    assert redone == {"Used": 250, "Quantity": 3, "Amount": 3}


def test_a_conversion_with_an_endless_division_is_explained_without_a_difference() -> None:
    """100 / 7 = 14.28..., rounded up to 15."""
    redone, quantity, problems = billed(price_of(unit_amount="1", transform_quantity={"divide_by": "7"}), "100")
    assert (quantity, problems, redone["Quantity"]) == (Decimal(15), (), 15)


def test_a_version_inside_the_month_is_explained_too() -> None:
    prices = [price_of(**HOURLY), price_of(**{**HOURLY, "unit_amount": "6.00", "effective_from": "2026-09-16"})]
    mid = at("2026-09-16")
    usage = [
        UsageRollup(id_of("early"), "m", {}, SEPTEMBER.start, mid, Decimal(100)),
        UsageRollup(id_of("late"), "m", {}, mid, SEPTEMBER.end, Decimal(150)),
    ]
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(prices), usage)]))
    rounding = explain_rounding(invoice.items, "USD")
    for item, price, rollup in zip(invoice.items, prices, usage, strict=True):
        assert explain_item(item, rounding[item.id], "USD", [rollup], price).problems == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": "0"}, "step must be above 0"),
        ({"divide_by": "0"}, "divide_by must be above 0"),
        ({"divide_by": "-1"}, "divide_by"),
        ({"round": "nearest"}, "round 'nearest'; known are up, down"),
        ({"by": "3"}, "by"),
        ({}, "needs fields"),
        ("300", "needs fields"),
    ],
)
def test_a_transform_that_can_not_be_applied_is_refused_by_name(wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        price_of(unit_amount="1", transform_quantity=wrong)


def test_a_fee_is_not_transformed() -> None:
    with pytest.raises(ValueError, match="transform_quantity is for usage"):
        price_of(meter=None, unit_amount="1", transform_quantity={"step": "300"})


def test_a_transformed_price_is_read_back_unchanged() -> None:
    price = price_of(**HOURLY)
    assert Price.from_data("fly", price.to_data()) == price
