"""Compares two price books, version by version: prices that were added, removed or changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from fly_billing.pricing.rules.prices import Price


@dataclass(frozen=True)
class FieldChange:
    """A field of a price before and after; None: it has none, or its default."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class PriceChange:
    """A price version that differs between two books.

    Attributes:
        kind: `added`, `removed` or `changed`.
        fields: The fields that changed, or all fields of an added or removed price.
        id: Of the version in the first book; of an added one: in the second.
    """

    kind: str
    key: str
    effective_from: datetime
    fields: Sequence[FieldChange]
    id: UUID

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are exact text."""
        return {
            "kind": self.kind,
            "price": self.key,
            "effective_from": self.effective_from.isoformat(),
            "fields": [vars(change) for change in self.fields],
        }


_TEXTS = frozenset({"product", "description", "unit"})


def difference(before: Iterable[Price], after: Iterable[Price]) -> list[PriceChange]:
    """List the price versions that differ, by key and time."""
    old, new = ({(price.key, price.effective_from): price for price in prices} for prices in (before, after))
    found = []
    for key, start in sorted(old.keys() | new.keys()):
        was, becomes = old.get((key, start)), new.get((key, start))
        fields = _changes(price_fields(was), price_fields(becomes))
        if fields:
            kind = "added" if was is None else "removed" if becomes is None else "changed"
            found.append(PriceChange(kind, key, start, fields, _id_of(was, becomes)))
    return found


def _id_of(was: Price | None, becomes: Price | None) -> UUID:
    version = was or becomes
    assert version is not None
    return version.id


def price_fields(price: Price | None) -> dict[str, Any]:
    """Return the fields of a version besides its key and start, so that two spellings of one number are equal."""
    if price is None:
        return {}
    data = {name: value for name, value in price.to_data().items() if name not in ("key", "effective_from")}
    # Two spellings of one number are no change, 0.10 and 0.1, nor is another order of a dimension's values.
    data |= {name: plain_numbers(value) for name, value in data.items() if name not in _TEXTS}
    if price.match:
        data["match"] = {name: sorted(values) for name, values in sorted(price.match.items())}
    return data


def plain_numbers(value: Any) -> Any:
    """Return JSON-ready data with its numbers in one spelling: `0.10` becomes `0.1`."""
    if isinstance(value, list):
        return [plain_numbers(part) for part in value]
    if isinstance(value, dict):
        return {name: plain_numbers(part) for name, part in value.items()}
    if isinstance(value, str) and value.replace(".", "", 1).isdecimal() and "." in value:
        return value.rstrip("0").rstrip(".")
    return value


def parts_of(change: FieldChange) -> list[FieldChange]:
    """Split a change of a list or mapping into those of its parts: `tiers: 2: unit_amount` instead of all tiers.

    Of lists with different lengths, the entries that are only in one of them.
    """
    before, after = change.before, change.after
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        return _parts(change.field, _changes(before, after))
    if not (isinstance(before, list) and isinstance(after, list) and _have_fields([*before, *after])):
        return [change]
    if len(before) == len(after):
        old, new = ({str(number): part for number, part in enumerate(parts, start=1)} for parts in (before, after))
        return _parts(change.field, _changes(old, new))
    lost = [FieldChange(change.field, part, None) for part in before if part not in after]
    return [*lost, *(FieldChange(change.field, None, part) for part in after if part not in before)] or [change]


def _parts(name: str, changes: Iterable[FieldChange]) -> list[FieldChange]:
    found = [part for change in changes for part in parts_of(change)]
    return [FieldChange(f"{name}: {part.field}", part.before, part.after) for part in found]


def _have_fields(parts: Sequence[Any]) -> bool:
    return all(isinstance(part, Mapping) for part in parts)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[FieldChange]:
    names = list(dict.fromkeys([*before, *after]))
    pairs = [FieldChange(name, before.get(name), after.get(name)) for name in names]
    return [change for change in pairs if change.before != change.after]
