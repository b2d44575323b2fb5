"""Formats units as FOCUS does (attribute UnitFormat): `GB-Hours`, `GB/Hour`, `Requests`, `2592000 Seconds`."""

from __future__ import annotations

import re
from decimal import Decimal

from fly_billing.money import plain

_DATA_SIZE = re.compile(r"[KMGTPE]?i?[bB]")


def focus_unit(unit: str, per: Decimal = Decimal(1)) -> str:
    """Return a price book's unit, capitalized and in the plural, after the number of units that a price is for.

    In `GB-hour` the last part gets the plural, in `GB/hour` the part before the slash.
    """
    counted, slash, time = unit.partition("/")
    *singular, last = counted.split("-")
    name = "-".join([*map(_capitalized, singular), _plural(_capitalized(last))])
    if slash:
        name += f"/{_capitalized(time)}"
    return name if per == 1 else f"{plain(per)} {name}"


def _capitalized(unit: str) -> str:
    return unit if _DATA_SIZE.fullmatch(unit) else unit[:1].upper() + unit[1:]


def _plural(unit: str) -> str:
    """Return the plural of an English noun. A noun that ends in a single s counts as a plural already."""
    if _DATA_SIZE.fullmatch(unit):
        return unit
    if re.search(r"(ss|x|ch|sh)$", unit):
        return f"{unit}es"
    if re.search(r"[^aeiou]y$", unit):
        return f"{unit[:-1]}ies"
    return unit if unit.endswith("s") else f"{unit}s"
