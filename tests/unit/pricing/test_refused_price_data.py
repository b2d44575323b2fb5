"""Unreadable data of a price book is refused in a sentence with the field, its entry and the valid values."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.pricing.rules.aggregations import AGGREGATIONS
from fly_billing.pricing.rules.fields import match_text, read_match, read_whole
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.prices import Price, mixed_intervals
from fly_billing.pricing.rules.rating import rate
from fly_billing.pricing.rules.tax_books import BookTaxRate
from fly_billing.pricing.rules.transformed_quantity import EventRounding, TransformedQuantity


@pytest.mark.parametrize(
    ("read", "data", "message"),
    [
        (
            TransformedQuantity.from_data,
            {"steps": "5"},
            "unknown field 'steps' in transform_quantity (did you mean step?); known are divide_by, round, step",
        ),
        (TransformedQuantity.from_data, {}, "transform_quantity {} needs fields: divide_by, step, round"),
        (TransformedQuantity.from_data, {"step": "0"}, "transform_quantity: step must be above 0"),
        (TransformedQuantity.from_data, {"divide_by": "0"}, "transform_quantity: divide_by must be above 0"),
        (TransformedQuantity.from_data, {"round": "half"}, "transform_quantity: round 'half'; known are up, down"),
        (
            EventRounding.from_data,
            {"step": "6", "to": "up"},
            "unknown field 'to' in round_each_event; known are round, step",
        ),
        (
            EventRounding.from_data,
            {"round": "up"},
            "round_each_event {'round': 'up'} needs a step, such as {step: 6, round: up}",
        ),
        (EventRounding.from_data, {"step": "0"}, "round_each_event: step must be above 0"),
        (
            EventRounding.from_data,
            {"step": "0.0000000000000001"},
            "round_each_event: step 1E-16 must be below 10^12, with at most 15 decimals",
        ),
        (
            EventRounding.from_data,
            {"step": "1000000000000"},
            "round_each_event: step 1000000000000 must be below 10^12, with at most 15 decimals",
        ),
        (EventRounding.from_data, {"step": "6", "round": "half"}, "round_each_event: round 'half'; known are up, down"),
    ],
)
def test_an_unreadable_rounding_is_refused(
    read: Callable[[Any], object], data: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read(data)
    assert str(refused.value) == message


def test_versions_of_a_fee_with_different_intervals_are_refused_with_the_fix() -> None:
    assert mixed_intervals("plan", ["month", "year"]) == (
        "the versions of price 'plan' are by the month and by the year, but a fee must keep its interval: give the"
        " other version a key of its own, end the subscriptions and start new ones with that key"
    )


VAT: dict[str, Any] = {"key": "vat", "tax": "VAT", "percent": "19", "first_month": "2026-09"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"last_month": "2026-08"}, "last_month 2026-08 is before first_month 2026-09"),
        ({"first_month": "2026-9"}, "first_month '2026-9' is not a month: write it as 2026-10"),
        ({"first_month": "2026-09-02"}, "first_month '2026-09-02' is not a month: write it as 2026-10"),
        ({"is_inclusive": "yes"}, "is_inclusive 'yes' is not true or false"),
        ({"tax": None}, "tax is missing"),
    ],
)
def test_an_unreadable_tax_rate_of_a_book_is_refused_by_its_key(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        BookTaxRate.from_data("fly", VAT | changes)
    assert str(refused.value) == f"tax rate fly/vat: {message}"


def test_a_tax_rate_may_cover_one_month_and_has_its_taxs_name_unless_it_has_its_own() -> None:
    version = BookTaxRate.from_data("fly", VAT | {"last_month": "2026-09-01"})
    assert (version.last_month, version.rate.name, version.rate.category) == (version.first_month, "VAT", "standard")
    assert BookTaxRate.from_data("fly", VAT | {"name": "MwSt"}).rate.name == "MwSt"
    assert hash(version.rate) == hash(version.rate.id)
    assert len({version.rate, BookTaxRate.from_data("fly", VAT | {"first_month": "2026-10"}).rate}) == 2


def test_a_rating_as_data_shows_the_used_quantity_where_it_differs_from_the_charged_one() -> None:
    """61 units in steps of 6 are 66."""
    price = {"meter": "calls", "unit_amount": "0.10", "transform_quantity": {"step": "6"}}
    assert rate(price, Decimal(61)).as_data() == {
        "used": "61", "quantity": "66", "allowance_used": "0", "amount": "6.6", "currency": "USD",
        "steps": [{"label": "all", "quantity": "66", "unit_amount": "0.1", "per": "1", "amount": "6.6"}],
    }  # fmt: skip
    assert "used" not in rate(price, Decimal(66)).as_data()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda: Meter.from_data({"key": None}), "meter ?: key is missing"),
        (
            lambda: Meter.from_data({"key": "a", "name": "A", "unit": "a", "aggregation": None}),
            "meter a: aggregation is missing; known are " + ", ".join(AGGREGATIONS),
        ),
        (lambda: Price.from_data("fly", {"key": None}), "price fly/?: key is missing"),
        (
            lambda: Price.from_data("fly", {"key": "a", "model": None}),
            "price fly/a: model is missing; known are " + ", ".join(MODELS),
        ),
        (
            lambda: BookTaxRate.from_data(
                "fly", {"key": "a", "tax": "VAT", "first_month": "2026-01", "percent": "1", "is_inclusive": None}
            ),
            "tax rate fly/a: is_inclusive is missing: write true or false",
        ),
        (
            lambda: EventRounding.from_data({"step": "6", "round": None}),
            "round_each_event: round is missing; known are up, down",
        ),
        (lambda: read_whole({"months": None}, "months"), "months is missing"),
        (
            lambda: read_match({"match": {"region": None}}),
            "match region has no value: write a text or a list of texts",
        ),
    ],
)
def test_a_field_without_a_value_is_missing_and_not_called_none(read: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read()
    assert str(refused.value) == message


def test_dimensions_in_a_message_read_as_words() -> None:
    assert match_text({"region": ("ams", "fra"), "tier": "fast"}) == "region ams or fra, tier fast"
    assert match_text({"app": ""}) == "app ''"
    assert match_text({}) == ""
