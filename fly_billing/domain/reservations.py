"""Reservations: usage paid for a year ahead, cheaper. Data only. Keeps out: who bought which, and crediting it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.domain.plain_data import (
    check_amount,
    check_size,
    read_match,
    read_number,
    read_text,
    read_time,
    refuse_unknown,
)


@dataclass(frozen=True)
class ReservationBlock:
    """A block on offer since `effective_from`: `upfront_amount` once, `monthly_credit` in each of `months` months.

    A month's credit pays for usage of `meter` that `match`es and that lies in one value of the dimension `bound_to`,
    which the buyer chooses. What a month leaves of it is lost. Raises ValueError naming the field that is wrong.
    """

    book: str
    key: str
    description: str
    currency: str
    upfront_amount: Decimal
    monthly_credit: Decimal
    months: int
    meter: str
    match: Mapping[str, tuple[str, ...]]
    bound_to: str
    effective_from: datetime

    def __post_init__(self) -> None:
        check_amount("upfront_amount", self.upfront_amount)
        check_amount("monthly_credit", self.monthly_credit)
        check_size("monthly_credit", self.monthly_credit)
        check_size("months", Decimal(self.months))

    @property
    def discount(self) -> Fraction:
        """Return how much cheaper the credits are than what they pay for: 144 for 12 x 20 is 2/5."""
        return 1 - Fraction(self.upfront_amount) / (Fraction(self.monthly_credit) * self.months)

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> ReservationBlock:
        """Read one block from plain data. Raises ValueError naming the block and the field that is wrong."""
        try:
            return cls._read(book, data)
        except ValueError as problem:
            raise ValueError(f"reservation {book}/{data.get('key', '?')}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> ReservationBlock:
        refuse_unknown(data, frozenset(cls.__dataclass_fields__) - {"book"}, "a reservation")
        months = data.get("months")
        if not isinstance(months, int):
            raise ValueError(f"months {months!r} is no whole number")
        return cls(
            book=book,
            key=read_text(data, "key"),
            description=read_text(data, "description"),
            currency=read_text({"currency": "USD"} | dict(data), "currency"),
            upfront_amount=read_number(data, "upfront_amount"),
            monthly_credit=read_number(data, "monthly_credit"),
            months=months,
            meter=read_text(data, "meter"),
            match=read_match(data),
            bound_to=read_text(data, "bound_to"),
            effective_from=read_time(data, "effective_from"),
        )
