"""Finds numbers with a comma in the braces of a file: YAML reads `{unit_amount: 0,0005}` as a 0 and a field `0005`.

Not here: numbers with a comma outside braces, which YAML reads as text (`fields.exact_number` refuses it).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

_BEFORE = re.compile(r"[+-]?\d+", re.ASCII)
_BEHIND = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True)
class DecimalComma:
    """A number that was written with commas.

    Attributes:
        field: The field whose number it is.
        parts: The number, split at its commas. Each part but the first became a field without a value.
    """

    field: str
    parts: tuple[str, ...]

    def __str__(self) -> str:
        whole, behind = "".join(self.parts), self.parts[1:]
        pointed = ".".join(self.parts)
        if len(behind) > 1 or "." in behind[0]:
            advice = f"write it without commas: {whole}"
        elif len(behind[0]) == 3 and self.parts[0].strip("+-0"):
            advice = f"write {whole} or, with a decimal point, {pointed}"  # both are likely: a thousand, and one
        else:
            advice = f"write a decimal point: {pointed}"
        return f"{self.field} {','.join(self.parts)}: {advice}"


def decimal_commas(data: Mapping[str, Any]) -> list[DecimalComma]:
    """Return the numbers of an entry that were written with commas. The fields are in the order of the file."""
    names, found = list(data), []
    for place, field in enumerate(names, 1):
        behind = tuple(takewhile(lambda name: data[name] is None and _fits(_BEHIND, name), names[place:]))
        if behind and _fits(_BEFORE, data[field]):
            found.append(DecimalComma(field, (data[field], *behind)))
    return found


def refuse_decimal_commas(data: Mapping[str, Any]) -> None:
    """Refuse the first number with a comma. Raises ValueError with its field and the number to write."""
    if found := decimal_commas(data):
        raise ValueError(str(found[0]))


def _fits(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
