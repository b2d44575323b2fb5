"""Finds prices of a book that do not fit together: each is right alone, but usage could not be billed.

Every function returns its problems as sentences that name the prices. Of a price with mistakes, it compares only the
fields that can be read. Not here: the fields of one price (`pricing.rules.prices`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price, mixed_intervals
from fly_billing.pricing.rules.scope import Scope

# The dimensions of each meter, by its key.
Dimensions = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class BookPrices:
    """The prices of a book, as far as its files can be read.

    Attributes:
        listed: Each price version with the fields of it that can't be read: their values say nothing.
        is_whole: False: the book may have more prices, as a file or a key can't be read.
    """

    listed: Sequence[tuple[Price, frozenset[str]]]
    is_whole: bool = True

    @classmethod
    def of(cls, prices: Iterable[Price]) -> BookPrices:
        """Return prices without mistakes."""
        return cls([(price, frozenset()) for price in prices])

    def having(self, *fields: str) -> list[Price]:
        """Return the prices of which all these fields can be read."""
        return [price for price, unread in self.listed if unread.isdisjoint(fields)]

    def has_all(self, *fields: str) -> bool:
        """Return True if the book has no other values of these fields than those that can be read."""
        return self.is_whole and all(unread.isdisjoint(fields) for _, unread in self.listed)

    @property
    def fees(self) -> set[str]:
        """The keys of all fees, and of the prices of which it is not certain that they are for usage."""
        return {price.key for price, unread in self.listed if price.meter is None or "meter" in unread}


@dataclass(frozen=True)
class PriceProblem:
    """Prices that do not fit together.

    Attributes:
        prices: The versions that it is about: the later one in the files, and the earlier one if it is about two.
    """

    prices: Sequence[Price]
    problem: str


def unknown_meters(prices: Iterable[Price], meters: Collection[str]) -> dict[str, str]:
    """Return the problem of each price key whose meter is none of these."""
    return {
        price.key: f"price {price.key}: no meter {price.meter!r}{did_you_mean(price.meter, meters)}"
        for price in prices
        if price.meter is not None and price.meter not in meters
    }


def unmatchable_prices(prices: Iterable[Price], meters: Dimensions) -> dict[str, str]:
    """Return the problem of each price key that matches something else than its meter's dimensions.

    Rollups have a meter's dimensions and nothing else, so such a price would never apply. Unknown meters are skipped.
    """
    found = {}
    for price in prices:
        problem = no_dimension(price.match, price.meter, meters)
        if problem:
            found[price.key] = f"price {price.key}: {problem}"
    return found


def no_dimension(match: Iterable[str], meter: str | None, meters: Dimensions) -> str | None:
    """Return the problem if `match` names something else than the meter's dimensions; None if it is right."""
    known = meters.get(meter or "")
    unknown = [] if known is None else sorted(set(match) - set(known))
    if not unknown:
        return None
    is_no = "is not a dimension" if len(unknown) == 1 else "are no dimensions"
    return (
        f"match names {', '.join(unknown)}, which {is_no} of meter {meter}, so it would never apply"
        f"{did_you_mean(unknown[0], known or ())}: correct it, or add it to the meter's `dimensions`"
    )


def scope_of_nothing(scope: Scope, prices: BookPrices, meters: Iterable[str]) -> list[str]:
    """Return a problem for each field of a scope that names something that none of these prices or meters has."""
    # Each one-off item has a product of its own, so a scope of only one-off items may name any product.
    products = () if scope.kinds == ("one_off",) else scope.products
    listed = [price for price, _ in prices.listed]
    sold: dict[str, tuple[str, Sequence[str], set[str]]] = {
        "products": ("product", products, {price.product for price in listed} | {"One-off"}),
        "price_keys": ("key", scope.price_keys, {price.key for price in listed}),
        "meter": ("meter", (scope.meter,) if scope.meter else (), set(meters)),
        "match": ("match", tuple(scope.match), {name for price in listed for name in price.match}),
    }
    found = []
    for name, (field, named, known) in sold.items():
        if (unknown := sorted(set(named) - known)) and prices.has_all(field):
            meant = "".join(did_you_mean(word, known) for word in unknown)
            found.append(f"{name} {', '.join(unknown)}: no price has that{meant}")
    return found


def problems_between_prices(prices: BookPrices) -> list[PriceProblem]:
    """Return every problem of prices that do not fit together."""
    return [*_mixed_currencies(prices), *_mixed_intervals(prices), *_unknown_fees(prices), *_ambiguous(prices)]


def _mixed_currencies(prices: BookPrices) -> Iterator[PriceProblem]:
    for key, versions in _by_key(prices.having("key", "currency")):
        other = next((price for price in versions if price.currency != versions[0].currency), None)
        if other is not None:
            currencies = " and ".join(sorted({price.currency for price in versions}))
            yield PriceProblem(
                (other, versions[0]),
                f"price {key}: its versions are in {currencies}, but a month can't change its currency: give each"
                " currency a key or a book of its own",
            )


def _mixed_intervals(prices: BookPrices) -> Iterator[PriceProblem]:
    for key, versions in _by_key(prices.having("key", "interval")):
        other = next((price for price in versions if price.interval != versions[0].interval), None)
        if other is not None:
            problem = mixed_intervals(key, sorted({price.interval for price in versions}))
            yield PriceProblem((other, versions[0]), f"price {key}: {problem}")


def _by_key(prices: Iterable[Price]) -> list[tuple[str, list[Price]]]:
    of_key: dict[str, list[Price]] = defaultdict(list)
    for price in prices:
        of_key[price.key].append(price)
    return sorted(of_key.items())


def _unknown_fees(prices: BookPrices) -> Iterator[PriceProblem]:
    found: dict[tuple[str, str], Price] = {}
    for price in prices.having("key", "allowance_with"):
        if price.allowance_with is not None:
            found.setdefault((price.key, price.allowance_with), price)
    for (key, fee), price in sorted(found.items(), key=lambda named: named[0]):
        if fee not in prices.fees and prices.is_whole:
            meant = did_you_mean(fee, prices.fees)
            yield PriceProblem((price,), f"price {key}: allowance_with {fee!r} is not a fee of the book{meant}")


def _ambiguous(prices: BookPrices) -> Iterator[PriceProblem]:
    """Find pairs of keys that match the same usage equally well at the same time."""
    found: dict[tuple[str, str], PriceProblem] = {}
    readable = prices.having("key", "meter", "match", "effective_from", "effective_until")
    for same in _by_usage(readable).values():
        for one, other in combinations(same, 2):
            keys = (min(one.key, other.key), max(one.key, other.key))
            if one.key != other.key and keys not in found and _overlap(one, other):
                since = max(one.effective_from, other.effective_from)
                found[keys] = PriceProblem(
                    (other, one),
                    f"prices {keys[0]} and {keys[1]} fit the same {one.meter}{_usage(one, other)} from"
                    f" {since:%Y-%m-%d} on: end one of them, or give one more dimensions in `match`",
                )
    yield from (found[keys] for keys in sorted(found))


def _by_usage(prices: Iterable[Price]) -> Mapping[object, Sequence[Price]]:
    """Group prices by the usage that they match: the meter, and each combination of values of their dimensions."""
    groups: dict[object, list[Price]] = defaultdict(list)
    for price in prices:
        if price.meter is not None:
            names = tuple(sorted(price.match))
            for values in product(*(price.match[name] for name in names)):
                groups[price.meter, names, values].append(price)
    return groups


def _overlap(one: Price, other: Price) -> bool:
    first, second = sorted((one, other), key=lambda price: price.effective_from)
    return first.effective_until is None or second.effective_from < first.effective_until


def _usage(one: Price, other: Price) -> str:
    shared = {name: [value for value in one.match[name] if value in other.match[name]] for name in sorted(one.match)}
    named = ", ".join(f"{name} {' or '.join(values)}" for name, values in shared.items())
    return f" ({named})" if named else ""
