"""Compares expected values with those of the platform. Each difference names the item, and shows both values.

Not here: reading the platform's values (`case_checks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fly_billing.money import format_cents, plain

MISSING = "none"
# Fields that identify an item. The others are its values.
_IDENTIFYING = ("description", "price", "product", "kind", "organization")


@dataclass(frozen=True)
class Mismatch:
    """An expected value that the platform does not have.

    Attributes:
        item: The name of the compared value, such as `acme 2026-10`.
        place: The line and the step that expects it; empty until the runner knows it.
    """

    item: str
    expected: str
    actual: str
    place: str = ""


def compare_values(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[Mismatch]:
    """Compare values by name. A name that only one side has is a difference."""
    return [
        Mismatch(str(name), shown(expected.get(name)), shown(actual.get(name)))
        for name in dict.fromkeys([*expected, *actual])
        if expected.get(name) != actual.get(name)
    ]


def compare_cents(item: str, expected: int, actual: int, currency: str) -> list[Mismatch]:
    """Compare amounts in minor units of a currency."""
    if expected == actual:
        return []
    return [Mismatch(item, money(expected, currency), money(actual, currency))]


def money(cents: int, currency: str) -> str:
    """Write an amount for people and as a case has it: `$31.75 (3175)`."""
    return f"{format_cents(cents, currency)} ({cents})"


def compare_items(
    invoice: str, expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]]
) -> list[Mismatch]:
    """Compare the items of an invoice, in any order.

    An expected item names some of an item's fields. First, each takes an item that has all of its values. The rest are
    compared with the most similar items that are left. So a wrong amount is a difference of that item, and only an item
    without any counterpart is missing or not expected.
    """
    left, wanted = list(actual), []
    for item in sorted(expected, key=len, reverse=True):  # an item that names more fields fits fewer items
        if equal := next((other for other in left if _is_equal(item, other)), None):
            left.remove(equal)
        else:
            wanted.append(item)
    found: list[Mismatch] = []
    for item in wanted:
        similar = max(left, key=lambda other: _likeness(item, other), default=None)
        if similar is None or not _likeness(item, similar):
            found.append(Mismatch(f"{invoice}: {named(item)}", _item(item), MISSING))
        else:
            left.remove(similar)
            found += [
                Mismatch(f"{invoice}: {named(similar)}: {name}", shown(value), shown(similar.get(name)))
                for name, value in item.items()
                if similar.get(name) != value
            ]
    return [*found, *(Mismatch(f"{invoice}: {named(item)}", MISSING, _item(item)) for item in left)]


def _is_equal(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> bool:
    return all(actual.get(name) == value for name, value in expected.items())


def _likeness(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> int:
    """Return how many of the identifying fields agree, and among equals, how many of the others; 0 if none does."""
    agreeing = [name for name, value in expected.items() if actual.get(name) == value]
    identifying = sum(name in _IDENTIFYING for name in agreeing)
    return identifying * 10 + len(agreeing) if identifying or not _has_identity(expected) else 0


def _has_identity(item: Mapping[str, Any]) -> bool:
    return any(name in item for name in _IDENTIFYING)


def named(item: Mapping[str, Any]) -> str:
    """Return the field of an item that identifies it best."""
    return str(next((item[name] for name in _IDENTIFYING if item.get(name)), "item"))


def _item(item: Mapping[str, Any]) -> str:
    given = [(name, item[name]) for name in ("quantity", "amount", "cents") if item.get(name) is not None]
    return ", ".join(f"{name} {shown(value)}" for name, value in given) or "an item"


def shown(value: Any) -> str:
    """Write a value for people."""
    if value is None:
        return MISSING
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, str | int):
        return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(one)}" for name, one in value.items()) or MISSING
    if isinstance(value, Iterable):
        return ", ".join(map(shown, value)) or MISSING
    return str(value)
