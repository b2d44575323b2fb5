"""The tax rates of a price book, for all its organizations that have no rates of their own.

Each is a version of its `key` from a month on; a later version replaces the earlier one. Not here: selecting the rates
of an item (`tax_rates`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import read_match, read_number, read_text, refuse_unknown, shown
from fly_billing.pricing.rules.scope import CHARGES
from fly_billing.pricing.rules.tax_rates import TaxRate, scope_from_data

TAX_RATES = uuid5(NAMESPACE_URL, "fly_billing/tax_rates")
SCOPE_FIELDS = ("kinds", "products", "price_keys", "meter", "match")
FIELDS = frozenset(
    "key tax name percent is_inclusive category legal_text locations customers first_month last_month".split()
) | frozenset(SCOPE_FIELDS)
_MONTH = re.compile(r"\d{4}-\d{2}(-01)?", re.ASCII)


@dataclass(frozen=True)
class BookTaxRate:
    """One version of a book's tax rate. `last_month` is included; None: until the next version."""

    book: str
    key: str
    rate: TaxRate
    first_month: BillingMonth
    last_month: BillingMonth | None = None

    def __post_init__(self) -> None:
        if self.last_month is not None and self.last_month < self.first_month:
            raise ValueError(f"last_month {self.last_month} is before first_month {self.first_month}")

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> BookTaxRate:
        """Read one rate from plain data. Raises ValueError naming the rate and the field that is wrong."""
        try:
            return cls._read(book, data)
        except ValueError as problem:
            raise ValueError(f"tax rate {book}/{shown(data)}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> BookTaxRate:
        refuse_unknown(data, FIELDS, "a tax rate")
        key, tax, first = read_text(data, "key"), read_text(data, "tax"), _month(data, "first_month")
        scope = {name: data[name] for name in SCOPE_FIELDS if data.get(name) is not None}
        scope |= {name: _texts(data, name) for name in ("kinds", "products", "price_keys") if name in scope}
        if "meter" in scope:
            read_text(scope, "meter")
        rate = TaxRate(
            id=_identity(book, key, first),
            name=read_text({"name": tax} | dict(data), "name"),
            percent=read_number(data, "percent"),
            is_inclusive=_yes(data, "is_inclusive"),
            tax=tax,
            category=read_text({"category": "standard"} | dict(data), "category"),
            legal_text=None if data.get("legal_text") is None else read_text(data, "legal_text"),
            scope=scope_from_data(scope),
            locations=_texts(data, "locations"),
            customers=_texts(data, "customers"),
        )
        return cls(book, key, rate, first, None if data.get("last_month") is None else _month(data, "last_month"))

    def scope_data(self) -> dict[str, Any]:
        """Return the rate's scope as JSON-ready data for `scope_from_data`; empty: all items."""
        scope = self.rate.scope
        data: dict[str, Any] = {
            "products": list(scope.products),
            "price_keys": list(scope.price_keys),
            "meter": scope.meter,
            "match": {name: list(values) for name, values in scope.match.items()},
        }
        kinds = {} if set(scope.kinds) == set(CHARGES) else {"kinds": list(scope.kinds)}
        return kinds | {name: value for name, value in data.items() if value}


def _identity(book: str, key: str, first: BillingMonth) -> UUID:
    return uuid5(TAX_RATES, f"{book}|{key}|{first}")


def _month(data: Mapping[str, Any], name: str) -> BillingMonth:
    text = read_text(data, name)
    if not _MONTH.fullmatch(text):
        raise ValueError(f"{name} {text!r} is not a month: write it as 2026-10")
    return BillingMonth.parse(text)


def _yes(data: Mapping[str, Any], name: str) -> bool:
    value = data.get(name, False)
    if value is None:
        raise ValueError(f"{name} is missing: write true or false")
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r} is not true or false")
    return value


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of texts. A single text need not be a list."""
    if data.get(name) is None:
        return ()
    return read_match({"match": {name: data[name]}})[name]
