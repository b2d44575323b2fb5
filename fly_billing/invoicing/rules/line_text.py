"""The text beside an invoice item's amount: how it was calculated, so that a person can redo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fly_billing.money import counted, grouped


def working(quantity: str, unit: str, steps: Sequence[Mapping[str, str]], free: str | None) -> str:
    """Write an item's sum so that a person can redo it: `7,200 GB-hours free; 300 x 0.15 per 720`."""
    parts = [f"{counted(free, unit)} free"] if free else []
    for step in steps:
        if "units" in step:  # what it multiplies is not the usage's unit: packages, a flat fee, a minimum
            times = f"{grouped(step['quantity'])} x {step['unit_amount']}"
            parts.append(f"{step['label']}: {step['amount'] if step['units'] == '0' else times}")
            continue
        amount = counted(step["quantity"], unit) if not free else grouped(step["quantity"])
        parts.append(
            f"{amount} x {step['unit_amount']}" + (f" per {grouped(step['per'])}" if step["per"] != "1" else "")
        )
    return "; ".join(parts) or ("" if unit == "item" else counted(quantity, unit))


def term_working(kind: str, detail: Mapping[str, Any]) -> str:
    """Write how a discount, minimum, maximum, credit or tax came about: `10 % of 725.81`. Empty for other kinds."""
    for needed, said in _TERMS.get(kind, ()):
        if all(name in detail for name in needed):
            return said.format(**{name: grouped(detail[name]) for name in needed})
    return ""


# What is said of a kind of item whose detail has these numbers: the first that fits.
_TERMS: Mapping[str, Sequence[tuple[tuple[str, ...], str]]] = {
    "discount": (
        (("percent", "base"), "{percent} % of {base}"),
        (("amount", "base"), "{amount} off {base}, never more than that"),
    ),
    "minimum": (
        (("minimum", "base", "counted_before"), "{minimum} agreed; {base} this month, {counted_before} before"),
    ),
    "maximum": ((("maximum", "base"), "{base}, of which {maximum} at most"),),
    "credit": (
        (("available", "left"), "{available} available, {left} left"),
        (("paid", "returned"), "{returned} goes back to the credit, of {paid} that it had paid"),
    ),
    "tax": ((("percent", "base"), "{percent} % of {base}"),),
    "rounding": ((("base", "step"), "{base} to a multiple of {step}"),),
}
