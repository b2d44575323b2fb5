"""Reads the values of a case: months, times, cents, numbers, names of files, and mappings of them.

Every reader takes a value of a YAML document, whose numbers and dates are text, and raises ValueError with a line for
each mistake. Not here: which step has which values (`steps`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any

from fly_billing.bounds import MOST_CENTS
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import bounded_number, read_time

Reader = Callable[[Any], Any]

_CENTS = re.compile(r"-?\d+", re.ASCII)


def text(value: Any) -> str:
    """Read a text, a number or a date as it is written."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{_shown(value)} is not text: write it in quotes")
    return value


def truth(value: Any) -> bool:
    """Read `true` or `false`."""
    if not isinstance(value, bool):
        raise ValueError(f"{_shown(value)} is not true or false")
    return value


def cents(value: Any) -> int:
    """Read an amount in the currency's minor unit: a whole number, which may be negative."""
    if not isinstance(value, str) or not _CENTS.fullmatch(value):
        raise ValueError(f"{_shown(value)} is not an amount in cents: write a whole number, such as 3175 for $31.75")
    if abs(int(value)) > MOST_CENTS:
        raise ValueError(f"{value} cents are more than an invoice can have")
    return int(value)


def whole(value: Any) -> int:
    """Read a whole number of at least 0."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,9}", value, re.ASCII):
        raise ValueError(f"{_shown(value)} is not a whole number")
    return int(value)


def number(value: Any) -> Decimal:
    """Read an exact number, which may be negative."""
    is_negative = isinstance(value, str) and value.startswith("-")
    read = bounded_number("value", value[1:] if is_negative else value)
    return -read if is_negative else read


def month(value: Any) -> BillingMonth:
    """Read a month, such as 2026-10."""
    return BillingMonth.parse(text(value))


def day(value: Any) -> date:
    """Read a day, such as 2026-10-05."""
    try:
        return date.fromisoformat(text(value))
    except ValueError:
        raise ValueError(f"{_shown(value)} is not a day: write it as 2026-10-05") from None


def moment(value: Any) -> datetime:
    """Read a time: a day (its midnight in UTC), or a time with an offset."""
    try:
        return read_time({"it": value}, "it")
    except ValueError:
        raise ValueError(
            f"{_shown(value)} is not a time: write a day, such as 2026-10-05 (midnight UTC), or 2026-10-05T12:00:00Z"
        ) from None


def file(value: Any) -> PurePosixPath:
    """Read the name of a file or folder, relative to the case's folder."""
    path = PurePosixPath(text(value))
    if path.is_absolute():
        raise ValueError(f"{value!r} is an absolute path: name it relative to the case's folder")
    return path


def fields(value: Any) -> Mapping[str, Any]:
    """Read any mapping as it is."""
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{_shown(value)} has no fields: write `name: value`")
    return value


def by(key: Reader, read: Reader) -> Reader:
    """Return the reader of a mapping. It reports every mistake, each after its key."""

    def read_mapping(value: Any) -> dict[Any, Any]:
        found, problems = {}, []
        for name, inner in fields(value).items():
            try:
                found[key(name)] = read(inner)
            except ValueError as problem:
                problems += [f"{name}: {line}" for line in str(problem).splitlines()]
        if problems:
            raise ValueError("\n".join(problems))
        return found

    return read_mapping


def listed(read: Reader) -> Reader:
    """Return the reader of a list. It reports every mistake, each after its number from 1."""

    def read_list(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{_shown(value)} is not a list: write [{_shown(value)}]")
        found, problems = [], []
        for place, inner in enumerate(value, start=1):
            try:
                found.append(read(inner))
            except ValueError as problem:
                problems += [f"number {place}: {line}" for line in str(problem).splitlines()]
        if problems:
            raise ValueError("\n".join(problems))
        return tuple(found)

    return read_list


def taxed(value: Any) -> tuple[int, int]:
    """Read the taxed amount and the tax, in cents."""
    read = listed(cents)(value)
    if len(read) != 2:
        raise ValueError(f"{_shown(value)} is not a taxed amount with its tax: write both, such as [10000, 1900]")
    return read[0], read[1]


def either(read: Reader, mapping: Reader) -> Reader:
    """Return the reader of a value that is a mapping, or something else."""
    return lambda value: (mapping if isinstance(value, Mapping) else read)(value)


def _shown(value: Any) -> str:
    return "an empty value" if value is None else repr(dict(value) if isinstance(value, Mapping) else value)
