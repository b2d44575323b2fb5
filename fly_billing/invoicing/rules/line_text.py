"""The text beside an invoice item's amount, which shows how it was calculated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fly_billing.money import counted, grouped


def working(quantity: str, unit: str, steps: Sequence[Mapping[str, str]], free: str | None) -> str:
    """Write an item's calculation so that a person can repeat it: `7,200 GB-hours free; 300 x 0.15 per 720`."""
    parts = [f"{counted(free, unit)} free"] if free else []
    for step in steps:
        if "units" in step:  # it multiplies packages, flat fees or a minimum, not units of usage
            times = f"{grouped(step['quantity'])} x {step['unit_amount']}"
            parts.append(f"{step['label']}: {step['amount'] if step['units'] == '0' else times}")
            continue
        amount = counted(step["quantity"], unit) if not free else grouped(step["quantity"])
        parts.append(
            f"{amount} x {step['unit_amount']}" + (f" per {grouped(step['per'])}" if step["per"] != "1" else "")
        )
    return "; ".join(parts) or ("" if unit == "item" else counted(quantity, unit))


def term_working(kind: str, detail: Mapping[str, Any]) -> str:
    """Write the calculation of a discount, minimum, maximum, credit or tax: `10 % of 725.81`. Empty for other kinds."""
    for needed, text in _TERMS.get(kind, ()):
        if all(name in detail for name in needed):
            return text.format(**{name: grouped(detail[name]) for name in needed})
    return ""


# By kind of item: the fields that its detail must have, and the text. The first entry that fits is used.
_TERMS: Mapping[str, Sequence[tuple[tuple[str, ...], str]]] = {
    "discount": (
        (("percent", "base"), "{percent} % of {base}"),
        (("amount", "base"), "{amount} off {base}, at most {base}"),
    ),
    "minimum": (
        (("minimum", "base", "counted_before"), "{minimum} agreed; {base} this month, {counted_before} before"),
    ),
    "maximum": ((("maximum", "base"), "{base}, capped at {maximum}"),),
    "credit": (
        (("available", "left"), "{available} available, {left} left"),
        (("paid", "returned"), "{returned} of the {paid} paid by the credit goes back to it"),
    ),
    "tax": ((("percent", "base"), "{percent} % of {base}"),),
    "rounding": ((("base", "step"), "{base} rounded to a multiple of {step}"),),
}
