"""Sums that a person can check on a calculator: lines of `quantity x unit_amount / per = amount`, and their total.

Not here: which sums explain an item (`item_sums`, `adjustment_sums`) or a quantity (`quantities`).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.money import counted, exact_product, exact_sum, grouped, plain


@dataclass(frozen=True)
class Line:
    """One line of a sum.

    Attributes:
        product: (quantity, unit_amount, per) where the amount is `quantity x unit_amount / per`.
    """

    label: str
    amount: Decimal
    product: tuple[Decimal, Decimal, Decimal] | None = None

    @property
    def working(self) -> str:
        """Return the product as typed into a calculator: `10,000 x 0.15 / 720`; empty where there is none."""
        if self.product is None:
            return ""
        quantity, unit_amount, per = (grouped(plain(number)) for number in self.product)
        return f"{quantity} x {unit_amount}" + (f" / {per}" if per != "1" else "")

    @property
    def is_right(self) -> bool:
        return self.product is None or exact_product(*self.product) == self.amount

    @property
    def exact(self) -> Fraction:
        """The amount before it was rounded."""
        if self.product is None:
            return Fraction(self.amount)
        quantity, unit_amount, per = map(Fraction, self.product)
        return quantity * unit_amount / per

    @property
    def is_rounded(self) -> bool:
        """Return True if the division does not end, so that the amount is rounded to 20 decimal places."""
        return self.exact != Fraction(self.amount)

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        factors = zip(("quantity", "unit_amount", "per"), map(plain, self.product or ()), strict=False)
        rounded = {"is_rounded_at_20_decimals": True} if self.is_rounded else {}
        return {"label": self.label, **dict(factors), "amount": plain(self.amount), **rounded}


@dataclass(frozen=True)
class Sum:
    """Lines that add up to `total`.

    Attributes:
        unit: The unit of the usage, or the currency.
    """

    title: str
    unit: str
    lines: tuple[Line, ...]
    total: Decimal

    def problems(self) -> list[str]:
        """Return a sentence for each line, and for the total, whose calculation gives another number."""
        wrong = [
            f"{self.title}, {line.label}: {line.working} is not {plain(line.amount)}"
            for line in self.lines
            if not line.is_right
        ]
        added = exact_sum([line.amount for line in self.lines])
        if added != self.total:
            quantity = counted(plain(added), self.unit)
            wrong.append(f"{self.title}: the lines add up to {quantity}, not to {grouped(plain(self.total))}")
        return wrong

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data; numbers are text."""
        return {
            "title": self.title,
            "unit": self.unit,
            "lines": [line.as_data() for line in self.lines],
            "total": plain(self.total),
        }
