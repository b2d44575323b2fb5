"""Reads and checks the fields of a price book entry (from YAML, JSON or a database row): numbers, texts, times.

Keeps out: which fields a price has.

Every function raises ValueError naming the field, its value and what it may be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

# As in Stripe's unit_amount_decimal (docs.stripe.com/api/prices/object): what one unit costs may be that small.
AMOUNT_DECIMALS = 12
# JSON has no dates: they come as text.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Decimal() takes more than people mean: `1_0`, digits of other scripts, spaces, NaN.
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,2})?", re.ASCII)


def read_number(data: Mapping[str, Any], name: str, default: str | None = None) -> Decimal:
    """Return the field as an exact Decimal. Takes text and whole numbers; refuses floats."""
    value = data.get(name, default)
    if value is None:
        raise ValueError(f"{name} is missing")
    return exact_number(name, value)


def exact_number(name: str, value: Any) -> Decimal:
    """Return `value` (text, int or Decimal) as a finite Decimal of at least 0.

    Text is ASCII digits with an optional sign, fraction and exponent. Leading zeros mean nothing: `0100` is a hundred.
    """
    if isinstance(value, float):
        raise ValueError(f"{name} {value!r} is a float: write it in quotes, it must stay exact")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(f"{name} {value!r} is no number: write digits, such as 0.15 or 2592000")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = Decimal(value)
    except (TypeError, ValueError, InvalidOperation):
        raise ValueError(f"{name} {value!r} is no number") from None
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name} {value!r} must be a finite number of at least 0")
    return number


def read_whole(data: Mapping[str, Any], name: str) -> int:
    """Return the field (text or int) as a whole number of at least 0."""
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d+", value, re.ASCII):
        raise ValueError(f"{name} {value!r} is no whole number")
    return int(value)


def check_amount(name: str, amount: Decimal) -> None:
    """Refuse an amount (or a percentage) that is no finite number of at least 0 with at most 12 decimals."""
    exact_number(name, amount)
    if has_more_decimals(amount, AMOUNT_DECIMALS):
        raise ValueError(
            f"{name} {amount:f} has more than {AMOUNT_DECIMALS} decimals: name the price of more units, with `per`"
        )


def check_size(name: str, size: Decimal) -> None:
    """Refuse a number of units that nothing can be divided by."""
    if exact_number(name, size) == 0:
        raise ValueError(f"{name} must be above 0")


def has_more_decimals(number: Decimal, decimals: int) -> bool:
    """Tell whether the number has digits behind that decimal place; zeros there do not count."""
    _, _, behind = f"{number:f}".partition(".")
    return len(behind.rstrip("0")) > decimals


def as_text(number: Decimal) -> str:
    """Write a number for JSON: no exponent, and every zero that the price book has (`0.10` stays `0.10`)."""
    return f"{number:f}"


def per_data(per: Decimal) -> dict[str, str]:
    """Return the field `per` for JSON; left out where it is 1."""
    return {} if per == 1 else {"per": as_text(per)}


def fee_data(flat_amount: Decimal) -> dict[str, str]:
    """Return the field `flat_amount` for JSON; left out where it is 0."""
    return {"flat_amount": as_text(flat_amount)} if flat_amount else {}


def read_text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is no text: write it in quotes")
    return value


def read_time(data: Mapping[str, Any], name: str) -> datetime:
    """Return the field as a moment in UTC; a date is its midnight. A time needs an offset."""
    value = data.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if _DATE.fullmatch(value) else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name} {value!r} is no date") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} {value} has no offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"{name} {value!r} is no date")


def read_match(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the field `match`, dimension -> values; one value need not be a list."""
    match = data.get("match") or {}
    if not isinstance(match, Mapping):
        raise ValueError(f"match {match!r} does not name dimensions")
    read = {}
    for name, values in match.items():
        listed = values if isinstance(values, list | tuple) else [values]
        if not listed or any(isinstance(value, bool) or not isinstance(value, str | int) for value in listed):
            raise ValueError(f"match {name} {values!r} must be a text or a list of texts: write them in quotes")
        read[str(name)] = tuple(str(value) for value in listed)
    return read


def refuse_unknown(data: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    """Refuse fields that nothing reads: a misspelt one would silently charge something else."""
    unknown = set(data) - known
    if unknown:
        raise ValueError(f"unknown fields {sorted(map(str, unknown))} in {what}; known are {sorted(known)}")


def refuse_repeated(names: Iterable[str], what: str) -> None:
    """Refuse names that occur twice: which of the two is meant, nobody can tell."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(f"{what} has {', '.join(map(repr, repeated))} more than once: keep one")
