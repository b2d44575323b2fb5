"""What can be calculated with: finite numbers below a bound, and moments that Python can hold.

The database refuses it when it is written. These are for rows from before it did. Keeps out: what a value means.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any

# In the currency's major unit. In minor units (three decimals at most) it is below 10^15: a bigint holds that 9,000
# times, and a float of whoever reads our JSON holds it exactly.
MOST_MONEY = Decimal(10) ** 12
# The usage table's quantities have 23 digits before the point.
MOST_UNITS = Decimal(10) ** 23


class UnreadableTime(str):
    """A moment or day that Python can't hold, as Postgres writes it: `infinity`."""

    __slots__ = ()


# In minor units of any currency; what is beyond it was never billed.
MOST_CENTS = int(MOST_MONEY) * 1000


def problem_of(value: Any, most: Decimal = MOST_UNITS) -> str | None:
    """Say what is wrong with a value, or None."""
    if isinstance(value, Decimal):
        if not value.is_finite():
            return f"{value} is no finite number"
        # `abs` rounds to 28 digits, which would move the largest values that fit to the bound.
        return f"{value:.6e} is too large" if value.copy_abs() >= most else None
    if isinstance(value, UnreadableTime):
        return f"{value} is no time"
    return None


def refuse_unreadable(fields: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first field that can't be calculated with."""
    for name, value in fields.items():
        problem = problem_of(value)
        if problem:
            raise ValueError(f"{name} {problem}")


def refuse_incomplete(fields: Mapping[str, Any], may_be_missing: Collection[str] = ()) -> None:
    """Raise ValueError naming the first field that is missing or that can't be calculated with.

    `..._cents` are bounded as amounts are; `detail` is a JSON object.
    """
    for name, value in fields.items():
        if value is None and name not in may_be_missing:
            raise ValueError(f"{name} is missing")
        if name == "detail" and not isinstance(value, Mapping):
            raise ValueError("detail is no JSON object")
        if name.endswith("_cents") and value is not None and abs(value) >= MOST_CENTS:
            raise ValueError(f"{name} is too large")
    refuse_unreadable(fields)
