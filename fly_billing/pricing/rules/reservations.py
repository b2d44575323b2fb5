"""Reservations: blocks of usage paid upfront for a year at a discount. A purchase grants a credit for each month.

Not here: checking the buyer (`invoicing.reservation_sales`), and drawing the credits (`invoicing.rules.steps.credits`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.periods import BillingMonth, months_between
from fly_billing.pricing.rules.fields import (
    check_amount,
    check_size,
    read_match,
    read_number,
    read_text,
    read_time,
    read_whole,
    refuse_unknown,
    shown,
)
from fly_billing.pricing.rules.prices import Price

RESERVATIONS = uuid5(NAMESPACE_URL, "fly_billing/reservations")
# A month's credit expires with the month, so it is drawn before other credits.
PRIORITY = -10


@dataclass(frozen=True)
class ReservationBlock:
    """A block on offer from `effective_from` on.

    Attributes:
        upfront_amount: Charged once.
        monthly_credit: Granted for each of `months` months. The unused rest of a month's credit is lost.
        meter: The credit pays for usage of this meter.
        match: The credit pays for usage with these dimensions.
        bound_to: A dimension. The credit pays for usage with one value of it, which the buyer chooses.

    Raises:
        ValueError: Names the field that is wrong.
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
        """The discount, as a fraction of the usage that the credits pay for: 144 for 12 x 20 is 2/5."""
        return 1 - Fraction(self.upfront_amount) / (Fraction(self.monthly_credit) * self.months)

    def values(self, prices: Sequence[Price], moment: datetime) -> list[str]:
        """Return the values of `bound_to` that a buyer can choose: those with a price of their own at `moment`."""
        return sorted(
            {
                price.match[self.bound_to][0]
                for price in prices
                if price.meter == self.meter and price.is_in_force(moment) and self._can_pay(price)
            }
        )

    def _can_pay(self, price: Price) -> bool:
        is_within = all(set(price.match.get(name, ("",))) <= set(values) for name, values in self.match.items())
        return is_within and len(price.match.get(self.bound_to, ())) == 1

    @classmethod
    def from_data(cls, book: str, data: Mapping[str, Any]) -> ReservationBlock:
        """Read one block from plain data. Raises ValueError naming the block and the field that is wrong."""
        try:
            return cls._read(book, data)
        except ValueError as problem:
            raise ValueError(f"reservation {book}/{shown(data)}: {problem}") from problem

    @classmethod
    def _read(cls, book: str, data: Mapping[str, Any]) -> ReservationBlock:
        refuse_unknown(data, frozenset(cls.__dataclass_fields__) - {"book"}, "a reservation")
        return cls(
            book=book,
            key=read_text(data, "key"),
            description=read_text(data, "description"),
            currency=read_text({"currency": "USD"} | dict(data), "currency"),
            upfront_amount=read_number(data, "upfront_amount"),
            monthly_credit=read_number(data, "monthly_credit"),
            months=read_whole(data, "months"),
            meter=read_text(data, "meter"),
            match=read_match(data),
            bound_to=read_text(data, "bound_to"),
            effective_from=read_time(data, "effective_from"),
        )


@dataclass(frozen=True)
class Reservation:
    """The purchase of a block by an organization. Its ids are always the same, so recording it twice changes nothing.

    Attributes:
        value: The chosen value of the block's `bound_to`.
        number: Distinguishes several purchases of the same block, value and month.
    """

    block: ReservationBlock
    organization_id: str
    value: str
    first_month: BillingMonth
    number: int = 1

    @property
    def id(self) -> UUID:
        """The id of the purchase, and of the one-off item that charges it."""
        what = f"{self.organization_id}|{self.block.book}|{self.block.key}|{self.value}|{self.number}"
        return uuid5(RESERVATIONS, f"{what}|{self.first_month}")

    @property
    def description(self) -> str:
        return f"{self.block.description}: {self.value}"

    @property
    def last_month(self) -> BillingMonth:
        return self.first_month.plus(self.block.months - 1)

    @property
    def months(self) -> list[BillingMonth]:
        return months_between(self.first_month, self.last_month)

    @property
    def scope(self) -> dict[str, Any]:
        """The scope of its credits, as plain data of `Scope`: the block's meter and match, and the chosen value."""
        match = {name: list(values) for name, values in self.block.match.items()}
        return {"meter": self.block.meter, "match": match | {self.block.bound_to: [self.value]}}

    def credit_id(self, month: BillingMonth) -> UUID:
        return uuid5(self.id, str(month))

    def overlapping(self) -> list[Reservation]:
        """Return the purchases with this number that begin in another month and overlap this one."""
        first = range(1 - self.block.months, self.block.months)
        return [replace(self, first_month=self.first_month.plus(shift)) for shift in first if shift]
