"""Explains an item's cents: the invoice is rounded once, and its cents are distributed over the items.

Repeats `money.share_out_cents` with the numbers that a sentence needs. Not here: the exact amount (`item_sums`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from uuid import UUID

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_sum, format_cents, minor_digits, plain, share_out_cents, to_cents

# Digits of a remainder that a sentence shows; the JSON data has all of them.
SHOWN = 6


@dataclass(frozen=True)
class Rounding:
    """The rounding of an item's exact `amount` to its `cents`.

    Attributes:
        own_cents: The cents if the item were rounded alone.
        remainder: The part of a cent above the amount rounded down.
        rank: The place of the remainder among those of the invoice, by size; the largest is 1.
        left_over: The number of items, by rank, that get one cent more.
        sentence: The explanation, for people.
    """

    amount: Decimal
    cents: int
    own_cents: int
    remainder: Decimal
    rank: int
    left_over: int
    sentence: str

    def as_data(self) -> dict[str, str | int]:
        """Return JSON-ready data; exact numbers are text."""
        return {
            "exact_amount": plain(self.amount),
            "amount_cents": self.cents,
            "own_rounding_cents": self.own_cents,
            "remainder": plain(self.remainder),
            "rank_of_remainder": self.rank,
            "cents_left_over": self.left_over,
            "sentence": self.sentence,
        }


def explain_rounding(items: Sequence[InvoiceItem], currency: str) -> dict[UUID, Rounding]:
    """Explain the cents of all `items` of an invoice, given in its order; by the item's id.

    Calculates the cents again from the exact amounts, so that a comparison with the billed cents finds a wrong
    one. Each tax is rounded by itself.
    """
    explained = {item.id: _rounded_alone(item, currency) for item in items if item.kind == "tax"}
    shared = [item for item in items if item.kind != "tax"]
    cents = share_out_cents([item.amount for item in shared], currency)
    sharing = _Sharing.of([item.amount for item in shared], currency)
    for place, item in enumerate(shared):
        explained[item.id] = sharing.explain(item.amount, place, cents[place])
    return explained


def _rounded_alone(tax: InvoiceItem, currency: str) -> Rounding:
    own = to_cents(tax.amount, currency)
    sentence = "Each tax is rounded by itself, once per rate and invoice."
    return Rounding(tax.amount, own, own, Decimal(0), 1, 0, sentence)


@dataclass(frozen=True)
class _Sharing:
    """An invoice's exact total, the whole cents and remainder of each item, and the rank of each remainder by size."""

    currency: str
    exact: Decimal
    parts: Sequence[tuple[int, Decimal]]
    ranks: Mapping[int, int]

    @classmethod
    def of(cls, amounts: Sequence[Decimal], currency: str) -> _Sharing:
        parts = [_whole_and_rest(amount, currency) for amount in amounts]
        by_size = sorted(range(len(parts)), key=lambda place: (-parts[place][1], place))
        ranks = {place: rank for rank, place in enumerate(by_size, start=1)}
        return cls(currency, exact_sum(amounts), parts, ranks)

    @cached_property
    def whole(self) -> int:
        """The total of all items in cents, each rounded down."""
        return sum(floor for floor, _ in self.parts)

    @cached_property
    def total(self) -> int:
        return to_cents(self.exact, self.currency)

    def explain(self, amount: Decimal, place: int, cents: int) -> Rounding:
        own = to_cents(amount, self.currency)
        remainder, rank = self.parts[place][1], self.ranks[place]
        sentence = self._sentence(place, cents) + self._by_itself(own, cents)
        return Rounding(amount, cents, own, remainder, rank, self.total - self.whole, sentence)

    def _sentence(self, place: int, cents: int) -> str:
        floor, remainder = self.parts[place]
        cent, left_over, rank = _cent(self.currency), self.total - self.whole, self.ranks[place]
        if remainder == 0:
            return f"The amount is exactly {self._money(cents)}: nothing to round."
        if len(self.parts) == 1:
            return f"This is the only item: {plain(self.exact)} is rounded half-up to {self._money(cents)}."
        return (
            f"The exact amounts of all {len(self.parts)} items total {plain(self.exact)}, which is rounded once to"
            f" {self._money(self.total)}. Rounded down one by one, the items total {self._money(self.whole)}, so"
            f" {left_over} {cent}{'s go' if left_over != 1 else ' goes'} to the largest remainders."
            f" This item is {self._money(floor)} plus {_short(remainder)} of a {cent}, the remainder ranked {rank}"
            f" by size, so it gets {'one' if rank <= left_over else 'no'} {cent} more."
        )

    def _by_itself(self, own: int, cents: int) -> str:
        if own == cents:
            return ""
        return f" Rounded alone it would be {self._money(own)}, but then the items would not add up to the total."

    def _money(self, cents: int) -> str:
        return format_cents(cents, self.currency)


def _whole_and_rest(amount: Decimal, currency: str) -> tuple[int, Decimal]:
    """Split an amount into whole cents, rounded down, and the part of a cent above them."""
    shifted = amount.scaleb(minor_digits(currency), context=EXACT)
    floor = int(shifted.to_integral_value(ROUND_FLOOR))
    return floor, EXACT.subtract(shifted, Decimal(floor))


def _cent(currency: str) -> str:
    return "cent" if minor_digits(currency) == 2 else f"smallest unit of {currency}"


def _short(remainder: Decimal) -> str:
    text = plain(remainder)
    return text if len(text) <= SHOWN + 2 else f"{text[: SHOWN + 2]}…"
