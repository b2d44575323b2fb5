"""Finds the price of usage. The same usage of many organizations is looked up once.

Not here: rating (`steps.usage`), and finding prices in a book (`pricing.rules.prices`).
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID
from weakref import WeakKeyDictionary

from fly_billing.errors import not_computable
from fly_billing.invoicing.rules.inputs import UsageKind, UsageRollup
from fly_billing.invoicing.rules.steps.plain_usage import PlainUsage
from fly_billing.pricing.rules.prices import Price, PriceBook

# Kinds of usage whose price is remembered for a book. A dimension with a value per app would have no end.
MOST_KINDS = 16_384


@dataclass(frozen=True, eq=False)
class UsedPrice:
    """A version of a price. There is one object for each version, so that it is found by identity.

    Attributes:
        plain: Makes its items; None: only the rules can.
    """

    price: Price
    plain: PlainUsage | None = None


class UsagePrices:
    """The prices of usage under one book. It does not refer to the book, which decides how long it lives."""

    def __init__(self) -> None:
        self._versions: dict[UUID, UsedPrice] = {}
        self._known: dict[UsageKind, UsedPrice] = {}

    def of(self, rollup: UsageRollup, book: PriceBook) -> UsedPrice:
        """Return the price of this usage. Raises BillingError as `price_of`."""
        kind = rollup.kind
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            known = self._known[kind] = self.version(price_of(rollup, book))
        return known

    def version(self, price: Price) -> UsedPrice:
        """Return the one object for this version."""
        used = self._versions.get(price.id)
        if used is None:
            used = self._versions[price.id] = UsedPrice(price, PlainUsage.of(price))
        return used


class PricesByRules(UsagePrices):
    """The prices of usage, each looked up and rated by the rules."""

    def of(self, rollup: UsageRollup, book: PriceBook) -> UsedPrice:
        return self.version(price_of(rollup, book))

    def version(self, price: Price) -> UsedPrice:
        return self._versions.setdefault(price.id, UsedPrice(price))


_of_books: WeakKeyDictionary[PriceBook, UsagePrices] = WeakKeyDictionary()


def known_prices(book: PriceBook) -> UsagePrices:
    """Return the prices that were already found in this book. A book with negotiated prices is for one organization."""
    if book.is_negotiated:
        return PricesByRules()
    known = _of_books.get(book)
    if known is None:
        known = _of_books[book] = UsagePrices()
    return known


def price_of(rollup: UsageRollup, book: PriceBook) -> Price:
    """Return the price version of this usage.

    Raises BillingError (`unpriced_usage`, `ambiguous_price`, `unreadable_price`, `price_changed_inside_rollup`).
    """
    if book.changes_inside(rollup.meter, rollup.dimensions, rollup.segment_start, rollup.segment_end):
        raise not_computable(
            "price_changed_inside_rollup",
            f"the price changes between {rollup.segment_start:%Y-%m-%d %H:%M}Z and"
            f" {rollup.segment_end:%Y-%m-%d %H:%M}Z, inside one rollup of {rollup.meter!r} with"
            f" {dict(rollup.dimensions)}: materialize usage_rollups for this month again, then invoices",
            retryable=True,
        )
    return book.for_usage(rollup.meter, rollup.dimensions, rollup.segment_start)
