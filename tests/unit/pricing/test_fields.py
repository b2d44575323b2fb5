"""The fields of a price book's entries: the bounds of each, and the whole message if one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.pricing.rules.fields import (
    bounded_number,
    check_amount,
    read_object,
    read_printable,
    refuse_unknown,
    unreadable_reason,
)
from fly_billing.pricing.rules.intervals import FeePeriod
from fly_billing.pricing.rules.models import Graduated, Tier
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from tests.support.builders import OCTOBER, SEPTEMBER, at, price


def message(read: Callable[[], object]) -> str:
    with pytest.raises(ValueError, match=r".") as refused:
        read()
    return str(refused.value)


def test_a_number_is_below_a_hundred_sextillion_and_has_at_most_30_decimals() -> None:
    for number in ("99999999999999999999999", "0." + "0" * 29 + "1"):
        assert bounded_number("up_to", number) == Decimal(number)
    for number in ("100000000000000000000000", "0." + "0" * 30 + "1"):
        assert message(lambda number=number: bounded_number("up_to", number)) == (  # type: ignore[misc]
            f"up_to {number} must be below 10^23 and have at most 30 decimals"
        )


def test_a_whole_amount_of_any_length_has_no_decimals() -> None:
    check_amount("amount", Decimal("1234567890123"))
    check_amount("amount", Decimal("0.123456789012"))
    assert message(lambda: check_amount("amount", Decimal("0.1234567890123"))) == (
        "amount 0.1234567890123 has more than 12 decimals: give the price of more units with `per`"
    )


def test_a_record_s_settings_are_an_object() -> None:
    assert read_object("settings", {"a": 1}) == {"a": 1}
    assert message(lambda: read_object("settings", [1])) == "settings [1] is not a JSON object"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("product", " ", "product is empty"),
        ("product", None, "product is empty"),
        ("product", "x" * 501, "product has 501 characters, more than 500"),
        ("product", "a\tb", "product 'a\\tb' has control characters, or spaces around it"),
        ("product", " a", "product ' a' has control characters, or spaces around it"),
        ("product", "x" * 500, None),
        ("product", "Fly Machines", None),
        ("description", " two\nlines ", None),
    ],
)
def test_a_text_on_an_invoice_is_one_line_of_limited_length(name: str, value: Any, problem: str | None) -> None:
    if problem is None:
        assert read_printable(name, value) == value
    else:
        assert message(lambda: read_printable(name, value)) == problem


def test_a_damaged_record_is_described_by_its_invalid_field_and_not_by_a_python_error() -> None:
    outer = ValueError("price fly/egress: amount NaN is not a finite number")
    assert unreadable_reason(outer) == str(outer)
    outer.__cause__ = ValueError("amount NaN is not a finite number")
    assert unreadable_reason(outer) == "amount NaN is not a finite number"
    outer.__cause__ = KeyError("amount")
    assert unreadable_reason(outer) == str(outer)
    for other in (KeyError("amount"), ValueError()):
        assert unreadable_reason(other) == "its fields do not fit together"


def test_a_misspelled_field_is_refused_with_the_known_fields() -> None:
    assert message(lambda: refuse_unknown({"unti": 1, "key": 2}, frozenset({"unit", "key"}), "a price")) == (
        "unknown field 'unti' in a price (did you mean unit?); known are key, unit"
    )
    assert message(lambda: Scope.from_data({"product": "x"})) == (
        "unknown field 'product' in a scope (did you mean products?);"
        " known are kinds, match, meter, price_keys, products"
    )
    assert message(lambda: Scope.from_data({"kinds": ["usage", "fee"]})) == (
        "kinds 'fee' of a scope; known are usage, subscription, one_off, adjustment, discount, minimum, maximum,"
        " credit, tax, rounding"
    )


def test_a_tax_rate_of_a_book_names_its_key_and_the_field_that_it_does_not_know() -> None:
    assert message(lambda: BookTaxRate.from_data("fly", {"percent": "19"})) == "tax rate fly/?: key is missing"
    refusal = message(lambda: BookTaxRate.from_data("fly", {"key": "vat", "rate": "19"}))
    assert refusal.startswith("tax rate fly/vat: unknown field 'rate' in a tax rate; known are ")


@pytest.mark.parametrize(
    ("percent", "problem"),
    [
        (Decimal(-1), "percent_off Decimal('-1') must be a finite number of at least 0"),
        (Decimal(0), "percent_off 0 must be above 0 and at most 100"),
        (Decimal("100.01"), "percent_off 100.01 must be above 0 and at most 100"),
    ],
)
def test_a_percentage_off_is_above_0_and_at_most_100(percent: Decimal, problem: str) -> None:
    def agreed(percent_off: Decimal) -> NegotiatedPrice:
        return NegotiatedPrice("fly", "egress", at("2026-01-01"), organization_id="acme", percent_off=percent_off)

    assert message(lambda: agreed(percent)) == problem
    assert agreed(Decimal(100)).percent_off == 100


def test_the_largest_step_of_an_event_s_quantity_is_below_a_trillion() -> None:
    assert EventRounding.from_data({"step": "999999999999"}).step == 999_999_999_999


def test_a_period_that_ends_with_the_month_has_ended_by_the_months_end() -> None:
    assert FeePeriod(SEPTEMBER.start, SEPTEMBER.end).is_over_by(SEPTEMBER)
    assert not FeePeriod(SEPTEMBER.start, OCTOBER.end).is_over_by(SEPTEMBER)


def test_a_percentage_off_reduces_every_tiers_amounts_and_no_bound() -> None:
    """Half of 0.10 up to the hundredth, and of 0.05 above."""
    tiers = Graduated((Tier(Decimal(100), Decimal("0.10")), Tier(None, Decimal("0.05"))))
    half = NegotiatedPrice("fly", "requests", at("2026-01-01"), organization_id="acme", percent_off=Decimal(50))
    found = half.over(price("requests", "0", "requests", model=tiers)).model
    assert found == Graduated((Tier(Decimal(100), Decimal("0.05")), Tier(None, Decimal("0.025"))))


def test_a_fee_with_versions_of_two_intervals_has_no_interval() -> None:
    plan = price("plan", "30")
    book = PriceBook([plan, price("plan", "90", interval="quarter", effective_from=at("2026-07-01"))])
    with pytest.raises(BillingError) as refused:
        book.interval_of("plan")
    assert refused.value.code == "mixed_intervals"
    assert PriceBook([plan]).interval_of("plan") == PriceBook([]).interval_of("plan") == "month"
