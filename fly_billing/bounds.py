"""Checks that a value read from the database can be used in a calculation: a finite number in range, a valid time.

Constraints in the database refuse bad values today. These checks catch rows that are older than the constraints. They
know nothing of a value's meaning.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

# In the currency's major unit. In minor units (at most three decimals) it is below 10^15: a bigint has room for 9,000
# such amounts, and a JSON reader that uses floats reads it exactly.
MOST_MONEY = Decimal(10) ** 12
# Quantities in the usage table have 23 digits before the decimal point.
MOST_UNITS = Decimal(10) ** 23


class UnreadableTime(str):
    """A time or date that Python can't represent, as Postgres writes it: `infinity`."""

    __slots__ = ()


# Tuples, because `Decimal | UnreadableTime` would be made again for each value.
_WITH_BOUNDS, _NUMBERS = (Decimal, UnreadableTime), (Decimal, int)
# Types whose values have no problem: most columns are skipped at the price of one look-up.
_USABLE = frozenset({str, UUID, datetime, date, bool, dict, list, tuple})
# In minor units of any currency. No real invoice has an amount beyond it.
MOST_CENTS = int(MOST_MONEY) * 1000


def problem_of(value: Any, most: Decimal = MOST_UNITS) -> str | None:
    """Describe the problem with a value, or return None if it can be used."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return f"{value} is not a finite number"
        # `abs` rounds to 28 digits, which would round the largest valid values up to the bound.
        return f"{value:.6e} is too large" if value.copy_abs() >= most else None
    if isinstance(value, UnreadableTime):
        return f"{value} is not a valid time"
    return None


def refuse_unreadable(fields: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first field that can't be used in a calculation."""
    for name, value in fields.items():
        # Asked here first: this runs for every field of every rollup, and other types have no problem.
        if isinstance(value, _WITH_BOUNDS) and (problem := problem_of(value)):
            raise ValueError(f"{name} {problem}")


def refuse_incomplete(fields: Mapping[str, Any], may_be_missing: Collection[str] = ()) -> None:
    """Check a whole row.

    Args:
        fields: The row. Fields named `..._cents` must be below MOST_CENTS, and `detail` must be a JSON object.
        may_be_missing: Names of fields that may be None.

    Raises:
        ValueError: Names the first field that is missing or that can't be used in a calculation.
    """
    for name, value in fields.items():
        if type(value) in _USABLE:
            continue
        if value is None:
            if name not in may_be_missing:
                raise ValueError(f"{name} is missing")
        elif isinstance(value, _NUMBERS) and name.endswith("_cents") and not -MOST_CENTS < value < MOST_CENTS:
            raise ValueError(f"{name} is too large")
        elif problem := problem_of(value):
            raise ValueError(f"{name} {problem}")
    if "detail" in fields and not isinstance(fields["detail"], Mapping):
        raise ValueError("detail is not a JSON object")
