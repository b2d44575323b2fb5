"""A reservation block is a year of usage paid ahead: what it costs, what it is worth, and what it pays for."""

from fractions import Fraction
from typing import Any

import pytest

from fly_billing.domain.reservations import ReservationBlock

DATA = {
    "key": "shared/5",
    "description": "5 USD a month",
    "upfront_amount": "36.00",
    "monthly_credit": "5.00",
    "months": 12,
    "meter": "machine_seconds",
    "match": {"preset": ["shared-cpu-1x"]},
    "bound_to": "region",
    "effective_from": "2024-07-19",
}


def test_36_for_12_months_of_5_are_40_percent_off() -> None:
    block = ReservationBlock.from_data("fly", DATA)
    assert block.discount == Fraction(40, 100)
    assert (block.currency, block.match, block.bound_to) == ("USD", {"preset": ("shared-cpu-1x",)}, "region")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"upfront_amount": 36.0}, r"upfront_amount 36\.0 is a float"),
        ({"upfront_amount": "0.0000000000001"}, "upfront_amount .* more than 12 decimals"),
        ({"monthly_credit": "0"}, "monthly_credit must be above 0"),
        ({"monthly_credit": "0.0000000000001"}, "monthly_credit .* more than 12 decimals"),
        ({"months": 0}, "months must be above 0"),
        ({"months": "12"}, "months '12' is no whole number"),
        ({"month": 12}, r"unknown fields \['month'\] in a reservation"),
        ({"bound_to": None}, "bound_to is missing"),
    ],
)
def test_a_block_that_can_not_be_read_is_named_with_the_field_that_is_wrong(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=rf"reservation fly/shared/5: {said}"):
        ReservationBlock.from_data("fly", DATA | changes)
