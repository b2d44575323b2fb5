"""Properties of every price: no unit is lost, splitting changes nothing, bounds are kept, no value is a float."""

import json
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from fly_billing.money import EXACT, divide, exact_sum
from fly_billing.pricing.rules.models import Graduated, Package, PerUnit, Tier, Volume
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import Rated, rate, rate_month
from tests.unit.price_strategies import AMOUNTS, GRADUATED, MODELS, QUANTITIES, SIZES, prices

SHARES = st.fractions(0, 1, max_denominator=2_678_400)
# Unless a price per several units divides evenly, each step may be off by half a unit of the 20th decimal place.
ROUNDING = Decimal("1e-19")


def month_of(price: Price, quantities: list[Decimal]) -> list[Rated]:
    return rate_month([(price, quantity) for quantity in quantities])


def values_in(thing: Any) -> list[Any]:
    """List every value in a dataclass, at any depth."""
    if is_dataclass(thing):
        return [value for field in fields(thing) for value in values_in(getattr(thing, field.name))]
    if isinstance(thing, tuple | list):
        return [value for part in thing for value in values_in(part)]
    return [thing]


@given(prices(), QUANTITIES, SHARES)
def test_no_unit_is_lost_between_allowance_and_steps(price: Price, quantity: Decimal, share: Fraction) -> None:
    rated = rate(price, quantity, share=share)
    assert EXACT.add(rated.allowance_used, exact_sum([step.units for step in rated.steps])) == rated.quantity
    assert rated.used == quantity
    assert rated.quantity == (price.transform_quantity.apply(quantity) if price.transform_quantity else quantity)
    assert 0 <= rated.allowance_used <= min(rated.quantity, divide(price.free_allowance, Decimal(1)))


@given(prices(), st.lists(QUANTITIES, min_size=1, max_size=4))
def test_the_amount_is_exactly_the_sum_of_its_steps(price: Price, quantities: list[Decimal]) -> None:
    for rated in month_of(price, quantities):
        assert rated.amount == exact_sum([step.amount for step in rated.steps])
        for step in rated.steps:
            assert step.amount == divide(EXACT.multiply(step.quantity, step.unit_amount), step.per)


@given(prices(), st.lists(QUANTITIES, min_size=1, max_size=4))
def test_a_month_in_parts_costs_the_same_as_in_one_part(price: Price, quantities: list[Decimal]) -> None:
    """In every model, allowance, tiers, packages, fees, minimum and maximum apply to the whole month."""
    parts = month_of(price, quantities)
    whole = rate(price, exact_sum(quantities))
    assert exact_sum([part.allowance_used for part in parts]) == whole.allowance_used
    assert abs(EXACT.subtract(exact_sum([part.amount for part in parts]), whole.amount)) < ROUNDING * 10


@given(GRADUATED, QUANTITIES, QUANTITIES)
def test_splitting_usage_never_changes_a_graduated_sum(model: Graduated, first: Decimal, second: Decimal) -> None:
    model = replace(model, per=Decimal(1))
    halves = [*model.steps(first), *model.steps(second, first)]
    whole = model.steps(EXACT.add(first, second))
    assert exact_sum([step.amount for step in halves]) == exact_sum([step.amount for step in whole])
    assert exact_sum([step.units for step in halves]) == exact_sum([step.units for step in whole])


@given(prices(GRADUATED), QUANTITIES, QUANTITIES)
def test_more_usage_never_costs_less_under_graduated_prices(price: Price, first: Decimal, second: Decimal) -> None:
    less, more = sorted([first, second])
    assert rate(price, less).amount <= EXACT.add(rate(price, more).amount, ROUNDING)


@given(prices(), st.lists(QUANTITIES, min_size=1, max_size=4))
def test_minimum_and_maximum_are_kept(price: Price, quantities: list[Decimal]) -> None:
    parts = month_of(price, quantities)
    amount = exact_sum([part.amount for part in parts])
    is_used = any(part.allowance_used < part.quantity for part in parts)
    assert all(part.amount >= 0 for part in parts)
    if price.maximum is not None:
        assert amount <= price.maximum
    if price.minimum is not None and (is_used or price.at_zero == "item"):
        assert amount >= price.minimum
    if not is_used and price.at_zero == "nothing":
        assert amount == 0


@given(AMOUNTS, SIZES, QUANTITIES)
def test_packages_rounded_up_cost_at_least_as_much_as_down_and_at_most_one_package_more(
    unit_amount: Decimal, size: Decimal, quantity: Decimal
) -> None:
    assume(quantity)
    (up,) = Package(unit_amount, size, "up").steps(quantity)
    (down,) = Package(unit_amount, size, "down").steps(quantity)
    (linear,) = PerUnit(unit_amount, size).steps(quantity)
    assert down.amount - ROUNDING <= linear.amount <= up.amount + ROUNDING
    assert 0 <= up.quantity - down.quantity <= 1


@given(AMOUNTS, AMOUNTS, SIZES, QUANTITIES)
def test_volume_and_graduated_prices_with_one_tier_charge_the_same(
    unit_amount: Decimal, flat_amount: Decimal, per: Decimal, quantity: Decimal
) -> None:
    tiers = (Tier(None, unit_amount, flat_amount),)
    volume, graduated = Volume(tiers, per).steps(quantity), Graduated(tiers, per).steps(quantity)
    assert [(step.units, step.amount) for step in volume] == [(step.units, step.amount) for step in graduated]


@given(GRADUATED, QUANTITIES)
def test_a_unit_is_charged_in_the_tier_whose_bounds_include_it(model: Graduated, quantity: Decimal) -> None:
    """A tier is above the bound of the tier before, up to and including its own."""
    bounds = [Decimal(0), *(tier.up_to for tier in model.tiers)]
    expected = [
        EXACT.subtract(quantity if upper is None else min(quantity, upper), lower)
        for lower, upper in pairwise(bounds)
        if lower is not None and quantity > lower
    ]
    assert [step.units for step in model.steps(quantity) if step.units] == expected


@given(prices(), QUANTITIES)
def test_rating_again_gives_the_same_result(price: Price, quantity: Decimal) -> None:
    assert rate(price, quantity) == rate(price, quantity)
    assert rate(price.to_data(), quantity) == rate(price, quantity)


@given(prices(), QUANTITIES, SHARES)
def test_no_value_is_a_float(price: Price, quantity: Decimal, share: Fraction) -> None:
    rated = rate(price, quantity, share=share)
    assert {type(value) for value in values_in(rated)} <= {Decimal, str}
    data = json.dumps([rated.as_data(), price.to_data()])
    json.loads(data, parse_float=_refuse, parse_int=_refuse)


def _refuse(number: str) -> None:
    raise AssertionError(f"{number} is a number in JSON: it would be read as a float somewhere")


@given(prices())
def test_a_price_is_read_back_from_json_unchanged(price: Price) -> None:
    data = json.loads(json.dumps(price.to_data()))
    assert Price.from_data(price.book, data) == price
    assert Price.from_data(price.book, data).to_data() == data


@given(MODELS)
def test_a_model_is_read_back_from_its_data_unchanged(model: Any) -> None:
    assert type(model).from_data(json.loads(json.dumps(model.to_data()))) == model
