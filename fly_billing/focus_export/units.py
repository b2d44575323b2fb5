"""Units as FOCUS writes them (attribute UnitFormat): `GB-Hours`, `Requests`, `2592000 Seconds`."""

from __future__ import annotations

import re
from decimal import Decimal

from fly_billing.domain.money import plain

_DATA_SIZE = re.compile(r"[KMGTPE]?i?[bB]")


def focus_unit(unit: str, per: Decimal = Decimal(1)) -> str:
    """Write a price book's unit, capitalized and in the plural; with the number of them that a price is for."""
    *singular, last = unit.split("-")
    name = "-".join([*map(_capitalized, singular), _plural(_capitalized(last))])
    return name if per == 1 else f"{plain(per)} {name}"


def _capitalized(unit: str) -> str:
    return unit if _DATA_SIZE.fullmatch(unit) else unit[:1].upper() + unit[1:]


def _plural(unit: str) -> str:
    return unit if _DATA_SIZE.fullmatch(unit) or unit.endswith("s") else f"{unit}s"
