"""Why an item is billed at just these cents: the invoice is rounded once, and the cents are shared out.

Does `money.share_out_cents` again in a way that can be told. Keeps out: how the exact amount came about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from uuid import UUID

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import EXACT, exact_sum, format_cents, minor_digits, plain, share_out_cents, to_cents

# Digits of a remainder that a sentence shows; the data has all.
SHOWN = 6


@dataclass(frozen=True)
class Rounding:
    """From an item's exact `amount` to its `cents`: what the invoice's rounding gives it, told in `sentence`.

    `own_cents` is what the item alone would be rounded to. `remainder` is its part of a cent above the cents it gets at
    least; `rank` says which of the invoice's remainders it is, the largest is 1; the first `left_over` get a cent more.
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

    The cents are worked out again from the exact amounts: whoever compares them with what was billed sees a wrong one.
    A tax is rounded by itself and takes no part.
    """
    told = {one.id: _rounded_alone(one, currency) for one in items if one.kind == "tax"}
    shared = [one for one in items if one.kind != "tax"]
    cents = share_out_cents([one.amount for one in shared], currency)
    sharing = _Sharing.of([one.amount for one in shared], currency)
    for place, (one, billed) in enumerate(zip(shared, cents, strict=True)):
        told[one.id] = sharing.explain(one.amount, place, billed)
    return told


def _rounded_alone(tax: InvoiceItem, currency: str) -> Rounding:
    own = to_cents(tax.amount, currency)
    sentence = "A tax is rounded by itself, once per rate and invoice."
    return Rounding(tax.amount, own, own, Decimal(0), 1, 0, sentence)


@dataclass(frozen=True)
class _Sharing:
    """What an invoice's items come to (`exact`), whole cents and rests of each, and the order of the rests by size."""

    currency: str
    exact: Decimal
    parts: Sequence[tuple[int, Decimal]]
    ranks: Sequence[int]

    @classmethod
    def of(cls, amounts: Sequence[Decimal], currency: str) -> _Sharing:
        parts = [_whole_and_rest(amount, currency) for amount in amounts]
        ranks = [0] * len(parts)
        for rank, place in enumerate(sorted(range(len(parts)), key=lambda n: (-parts[n][1], n)), start=1):
            ranks[place] = rank
        return cls(currency, exact_sum(amounts), parts, ranks)

    @cached_property
    def whole(self) -> int:
        """The cents of all items, each rounded down."""
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
            return f"The amount is {self._money(cents)} to the {cent}: nothing to round."
        if len(self.parts) == 1:
            return f"It is the only item: {plain(self.exact)} is rounded, half-up, to {self._money(cents)}."
        return (
            f"The exact amounts of all {len(self.parts)} items come to {plain(self.exact)}, rounded once to"
            f" {self._money(self.total)}. Rounded down one by one they come to {self._money(self.whole)}, so"
            f" {left_over} {cent}{'s are' if left_over != 1 else ' is'} left for the largest remainders."
            f" This item is {self._money(floor)} and {_short(remainder)} of a {cent}, remainder number {rank} by"
            f" size: it gets {'one' if rank <= left_over else 'no'} {cent} more."
        )

    def _by_itself(self, own: int, cents: int) -> str:
        if own == cents:
            return ""
        return (
            f" By itself it would be rounded to {self._money(own)}; but then the items would not add up to the total."
        )

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
