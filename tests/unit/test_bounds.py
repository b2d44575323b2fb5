"""A row with a value outside the calculable bounds, older than the database's checks, is refused by its
field's name.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.bounds import MOST_CENTS, MOST_MONEY, UnreadableTime, problem_of, refuse_incomplete, refuse_unreadable

LARGEST = Decimal("99999999999999999999999.999999999999999")  # 23 digits before the point


@pytest.mark.parametrize(
    "value", [Decimal(0), Decimal("-12.5"), LARGEST, LARGEST.copy_negate(), None, "infinity", 7, [], {}]
)
def test_a_value_within_the_bounds_has_no_problem(value: Any) -> None:
    assert problem_of(value) is None


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Decimal("NaN"), "NaN is not a finite number"),
        (Decimal("-Infinity"), "-Infinity is not a finite number"),
        (Decimal(10) ** 23, "1.000000e+23 is too large"),
        (-(Decimal(10) ** 23), "-1.000000e+23 is too large"),
        (UnreadableTime("infinity"), "infinity is not a valid time"),
        (UnreadableTime("294276-12-31"), "294276-12-31 is not a valid time"),
    ],
)
def test_values_outside_the_bounds_are_named(value: Any, problem: str) -> None:
    assert problem_of(value) == problem
    with pytest.raises(ValueError, match=r"^amount ") as refused:
        refuse_unreadable({"fine": Decimal(1), "amount": value, "later": Decimal("NaN")})
    assert str(refused.value) == f"amount {problem}"


def test_money_has_a_lower_bound_than_quantities() -> None:
    assert problem_of(MOST_MONEY) is None
    assert problem_of(MOST_MONEY, MOST_MONEY) == "1.000000e+12 is too large"
    assert problem_of(MOST_MONEY - Decimal("0.01"), MOST_MONEY) is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"amount": Decimal(1), "detail": {}, "created_at": datetime(2026, 9, 1, tzinfo=UTC)},
        {"amount_cents": MOST_CENTS - 1, "total_cents": -(MOST_CENTS - 1), "detail": {"steps": []}},
        {"total_cents": None, "until": None},
        {"cents": MOST_CENTS},
    ],
)
def test_a_complete_row_is_accepted(fields: Mapping[str, Any]) -> None:
    refuse_incomplete(fields, may_be_missing=("total_cents", "until"))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"amount": None}, "amount is missing"),
        ({"until": None, "since": None}, "since is missing"),
        ({"detail": "[]"}, "detail is not a JSON object"),
        ({"detail": []}, "detail is not a JSON object"),
        ({"amount_cents": MOST_CENTS}, "amount_cents is too large"),
        ({"amount_cents": -MOST_CENTS}, "amount_cents is too large"),
        ({"detail": {}, "amount": Decimal("NaN")}, "amount NaN is not a finite number"),
        ({"created_at": UnreadableTime("infinity")}, "created_at infinity is not a valid time"),
    ],
)
def test_an_incomplete_row_is_refused_by_its_first_invalid_field(fields: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        refuse_incomplete(fields, may_be_missing=["until"])
    assert str(refused.value) == problem
