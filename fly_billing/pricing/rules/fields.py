"""Reads and checks the fields of a price book entry (from YAML, JSON or a database row): numbers, texts, times.

Every function raises ValueError naming the field, its value and the allowed values. Not here: the fields of a price.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from fly_billing.bounds import MOST_UNITS
from fly_billing.pricing.rules.decimal_commas import refuse_decimal_commas

# As in Stripe's unit_amount_decimal (docs.stripe.com/api/prices/object).
AMOUNT_DECIMALS = 12
# Sizes and bounds of tiers with more decimals could exceed the digits of exact arithmetic.
NUMBER_DECIMALS = 30
# JSON has no dates, so they are text.
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Decimal() also accepts `1_0`, digits of other scripts, spaces and NaN, which nobody means.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,2})?", re.ASCII)


def read_number(data: Mapping[str, Any], name: str, default: str | None = None) -> Decimal:
    """Return the field as an exact Decimal. Takes text and whole numbers; refuses floats."""
    value = data.get(name, default)
    if value is None:
        raise ValueError(f"{name} is missing")
    return bounded_number(name, value)


def bounded_number(name: str, value: Any) -> Decimal:
    """Return `value` as `exact_number` does. Refuses numbers too large or too fine for exact calculations."""
    number = exact_number(name, value)
    if number >= MOST_UNITS or has_more_decimals(number, NUMBER_DECIMALS):
        raise ValueError(f"{name} {value} must be below 10^23 and have at most {NUMBER_DECIMALS} decimals")
    return number


def exact_number(name: str, value: Any) -> Decimal:
    """Return `value` (text, int or Decimal) as a finite Decimal of at least 0.

    Text has ASCII digits with an optional sign, fraction and exponent. Leading zeros are ignored: `0100` is a hundred.
    """
    number = value if isinstance(value, Decimal) else _read_number(name, value)
    if not number.is_finite() or number < 0:
        raise ValueError(f"{name} {value!r} must be a finite number of at least 0")
    return number


def _read_number(name: str, value: Any) -> Decimal:
    if isinstance(value, float):
        raise ValueError(f"{name} {value!r} is a float: write it in quotes, it must stay exact")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(f"{name} {value!r} is not a number: write digits, such as 0.15 or 2592000")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"{name} {value!r} is not a number")
    return Decimal(value)


def read_whole(data: Mapping[str, Any], name: str) -> int:
    """Return the field (text or int) as a whole number of at least 0."""
    value = data.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if not isinstance(value, str) or not re.fullmatch(r"\d+", value, re.ASCII):
        raise ValueError(f"{name} {value!r} is not a whole number")
    return int(value)


def check_amount(name: str, amount: Decimal) -> None:
    """Refuse an amount (or a percentage) that is not a finite number of at least 0 with at most 12 decimals."""
    exact_number(name, amount)
    if has_more_decimals(amount, AMOUNT_DECIMALS):
        raise ValueError(
            f"{name} {amount:f} has more than {AMOUNT_DECIMALS} decimals: give the price of more units with `per`"
        )


def check_size(name: str, size: Decimal) -> None:
    """Refuse a number of units of 0 or below: quantities are divided by it."""
    if exact_number(name, size) == 0:
        raise ValueError(f"{name} must be above 0")


def has_more_decimals(number: Decimal, decimals: int) -> bool:
    """Return True if the number has more decimals than that, without trailing zeros."""
    _, _, behind = f"{number:f}".partition(".")
    return len(behind.rstrip("0")) > decimals


def as_text(number: Decimal) -> str:
    """Write a number for JSON: without an exponent, with the zeros of the price book (`0.10` stays `0.10`)."""
    return f"{number:f}"


def per_data(per: Decimal) -> dict[str, str]:
    """Return the field `per` for JSON; empty if it is 1."""
    return {} if per == 1 else {"per": as_text(per)}


def fee_data(flat_amount: Decimal) -> dict[str, str]:
    """Return the field `flat_amount` for JSON; empty if it is 0."""
    return {"flat_amount": as_text(flat_amount)} if flat_amount else {}


def read_text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r} is not text: write it in quotes")
    return value


def read_time(data: Mapping[str, Any], name: str) -> datetime:
    """Return the field as a time in UTC. A date means its midnight; a time needs an offset."""
    value = data.get(name)
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value) if _DATE.fullmatch(value) else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{name} {value!r} is not a date") from None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{name} {value} has no offset")
        return value.astimezone(UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    raise ValueError(f"{name} {value!r} is not a date")


def read_match(data: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the field `match`: dimension -> values. A single value need not be a list."""
    match = {} if data.get("match") is None else data["match"]
    if not isinstance(match, Mapping):
        raise ValueError(f"match {match!r} does not name dimensions")
    read = {}
    for name, values in match.items():
        if values is None:
            raise ValueError(f"match {name} has no value: write a text or a list of texts")
        listed = values if isinstance(values, list | tuple) else [values]
        if not listed or any(isinstance(value, bool) or not isinstance(value, str | int) for value in listed):
            raise ValueError(f"match {name} {values!r} must be a text or a list of texts: write them in quotes")
        read[str(name)] = tuple(str(value) for value in listed)
    return read


def read_object(name: str, value: Any) -> dict[str, Any]:
    """Return a JSON object with its fields."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} {value!r} is not a JSON object")
    return dict(value)


def read_printable(name: str, value: Any, longest: int = 500) -> str:
    """Return a text that an invoice can show: not blank, without control characters, not too long."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is empty")
    if len(value) > longest:
        raise ValueError(f"{name} has {len(value)} characters, more than {longest}")
    if name != "description" and (_CONTROL.search(value) or value != value.strip()):
        raise ValueError(f"{name} {value!r} has control characters, or spaces around it")
    return value


def unreadable_reason(problem: Exception) -> str:
    """Describe why a record can't be read, without the names of Python's own errors."""
    cause = problem.__cause__ if isinstance(problem.__cause__, ValueError) else problem
    return str(cause) if isinstance(cause, ValueError) and str(cause) else "its fields do not fit together"


def refuse_unknown(data: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    """Refuse fields that nothing reads: a misspelt one would silently change the charge."""
    unknown = sorted(map(str, set(data) - known))
    if unknown:
        refuse_decimal_commas(data)
        meant = "".join(did_you_mean(name, known) for name in unknown)
        fields = f"{'field' if len(unknown) == 1 else 'fields'} {quoted(unknown)}"
        raise ValueError(f"unknown {fields} in {what}{meant}; known are {', '.join(sorted(known))}")


def refuse_other_word(name: str, value: Any, known: Collection[str]) -> None:
    """Refuse a value that is none of these words, and suggest the one that was meant."""
    if value is None:
        raise ValueError(f"{name} is missing; known are {', '.join(known)}")
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} {value!r}{did_you_mean(value, known)}; known are {', '.join(known)}")


def shown(data: Mapping[str, Any], name: str = "key") -> str:
    """Return a field for the title of an entry that may have mistakes; `?` without a value."""
    return "?" if data.get(name) is None else str(data[name])


def quoted(names: Iterable[object]) -> str:
    """Return names of a file for a sentence: `'unti', 'kye'`."""
    return ", ".join(map(repr, names))


def match_text(match: Mapping[str, str | Sequence[str]]) -> str:
    """Return dimensions with their values for a sentence: `region ams or fra, tier fast`. Empty without any."""
    alternatives = {name: [values] if isinstance(values, str) else values for name, values in match.items()}
    return ", ".join(f"{name} {' or '.join(value or repr(value) for value in of)}" for name, of in alternatives.items())


def did_you_mean(name: Any, known: Iterable[str]) -> str:
    """Return ` (did you mean ...?)` with the known name that is most like this one; empty if none is."""
    similar = get_close_matches(name, sorted(known), n=1) if isinstance(name, str) else []
    return f" (did you mean {similar[0]}?)" if similar else ""


def refuse_repeated(names: Iterable[str], what: str) -> None:
    """Refuse names that occur twice, because it is unclear which entry is meant."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(f"{what} has {quoted(repeated)} more than once: keep one")
