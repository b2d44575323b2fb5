"""Plain prices return the amounts of `rate_month` to the last digit, and decline every price with another rule."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.pricing.rules.models import Flat, Graduated, Package, PerUnit, Tier
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.plain_prices import PlainPrice
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate_month
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity
from tests.support.builders import MACHINES, REQUESTS, SUPPORT
from tests.unit.price_strategies import AMOUNTS, QUANTITIES, SIZES, prices

# Sizes with a factor that no finite decimal can be divided by, and sizes without.
SEVENTHS, THOUSANDS = Decimal(7), Decimal(1000)
OTHER_RULES: list[dict[str, Any]] = [
    {"free_allowance": Decimal(1)},
    {"free_allowance": Decimal(1), "allowance_with": "support"},
    {"minimum": Decimal(0)},
    {"maximum": Decimal(10**9)},
    {"at_zero": "item"},
    {"transform_quantity": TransformedQuantity(Decimal(60))},
    {"model": Graduated((Tier(None, Decimal("0.10")),))},
    {"model": Package(Decimal("0.10"), Decimal(1))},
    {"model": Flat(Decimal(5))},
]


def amount(price: Price, quantity: str) -> Decimal | None:
    plain = PlainPrice.of(price)
    assert plain
    return plain.amount_of(Decimal(quantity))


def per(unit_amount: str, size: Decimal) -> Price:
    return replace(REQUESTS, model=PerUnit(Decimal(unit_amount), size))


def test_a_plain_price_charges_its_amount_per_unit() -> None:
    assert amount(REQUESTS, "15") == Decimal("1.5")
    assert amount(per("0.15", THOUSANDS), "3500") == Decimal("0.525")


def test_a_quotient_without_an_end_is_rounded_at_the_20th_decimal() -> None:
    assert amount(per("1", SEVENTHS), "1") == Decimal("0.14285714285714285714")  # then 2857: down
    assert amount(per("1", SEVENTHS), "6") == Decimal("0.85714285714285714286")  # ...85 and 714: up
    assert amount(MACHINES, "2592000") == Decimal("1.94")


@pytest.mark.parametrize("other", OTHER_RULES, ids=str)
def test_a_price_with_another_rule_is_left_to_the_rules(other: dict[str, Any]) -> None:
    assert PlainPrice.of(replace(REQUESTS, **other)) is None


def test_every_field_of_a_price_that_is_a_rule_is_among_the_other_rules() -> None:
    """A field added to prices is a rule that plain prices do not know: they decline it, and this list needs it."""
    names = "book key meter product description unit currency effective_from effective_until match interval".split()
    assert {field.name for field in fields(Price)} - set(names) == {name for other in OTHER_RULES for name in other}


def test_fees_and_negotiated_prices_are_left_to_the_rules() -> None:
    agreed = NegotiatedPrice.from_data(
        "fly", {"key": "requests", "organization": "acme", "effective_from": "2026-01-01", "unit_amount": "0.07"}
    )
    assert PlainPrice.of(SUPPORT) is None
    assert PlainPrice.of(agreed.over(REQUESTS)) is None


@pytest.mark.parametrize("quantity", ["0", "-1", "NaN", "Infinity", "1e23"])
def test_an_unusual_quantity_is_left_to_the_rules(quantity: str) -> None:
    assert amount(REQUESTS, quantity) is None


@given(AMOUNTS, SIZES | st.sampled_from([SEVENTHS, THOUSANDS, Decimal(2_592_000)]), QUANTITIES)
def test_amounts_are_those_of_the_rules_to_the_last_digit(unit_amount: Decimal, size: Decimal, used: Decimal) -> None:
    price = replace(REQUESTS, model=PerUnit(unit_amount, size))
    plain = PlainPrice.of(price)
    assert plain
    found, (rated,) = plain.amount_of(used), rate_month([(price, used)])
    assert found is None if not used else str(found) == str(rated.amount)


@given(prices(), QUANTITIES)
def test_a_price_of_any_kind_has_the_amount_of_the_rules_or_is_declined(price: Price, used: Decimal) -> None:
    plain = PlainPrice.of(price)
    found = plain.amount_of(used) if plain else None
    assert found is None or str(found) == str(rate_month([(price, used)])[0].amount)
