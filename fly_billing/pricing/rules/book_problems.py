"""Finds prices of a book that do not fit together: each is right alone, but usage could not be billed.

Every function returns its problems as sentences that name the prices. Not here: the fields of one price
(`pricing.rules.prices`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product

from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.scope import Scope

# The dimensions of each meter, by its key.
Dimensions = Mapping[str, Collection[str]]


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
    is_no = "is no dimension" if len(unknown) == 1 else "are no dimensions"
    return (
        f"match names {', '.join(unknown)}, which {is_no} of meter {meter}, so it would never apply"
        f"{did_you_mean(unknown[0], known or ())}: correct it, or add it to the meter's `dimensions`"
    )


def scope_of_nothing(scope: Scope, prices: Iterable[Price], meters: Iterable[str]) -> str | None:
    """Return the problem if a scope names something that none of these prices or meters has; None if it is right."""
    listed = list(prices)
    # Each one-off item has a product of its own, so a scope of only one-off items may name any product.
    products = () if scope.kinds == ("one_off",) else scope.products
    sold = {
        "products": (products, {price.product for price in listed} | {"One-off"}),
        "price_keys": (scope.price_keys, {price.key for price in listed}),
        "meter": ((scope.meter,) if scope.meter else (), set(meters)),
        "match": (tuple(scope.match), {name for price in listed for name in price.match}),
    }
    for name, (named, known) in sold.items():
        if unknown := sorted(set(named) - known):
            meant = "".join(did_you_mean(word, known) for word in unknown)
            return f"{name} {', '.join(unknown)}: no price has that{meant}"
    return None


def problems_between_prices(prices: Sequence[Price]) -> list[str]:
    """Return every problem of prices that do not fit together."""
    return [*_mixed_currencies(prices), *_unknown_fees(prices), *_ambiguous(prices)]


def _mixed_currencies(prices: Sequence[Price]) -> Iterator[str]:
    of_key: dict[str, set[str]] = defaultdict(set)
    for price in prices:
        of_key[price.key].add(price.currency)
    for key, currencies in sorted(of_key.items()):
        if len(currencies) > 1:
            yield (
                f"price {key}: its versions are in {' and '.join(sorted(currencies))}, but a month can't change its"
                " currency: give each currency a key or a book of its own"
            )


def _unknown_fees(prices: Sequence[Price]) -> Iterator[str]:
    fees = {price.key for price in prices if price.meter is None}
    named = {(price.key, price.allowance_with) for price in prices if price.allowance_with is not None}
    for key, fee in sorted(named):
        if fee not in fees:
            yield f"price {key}: allowance_with {fee!r} is no fee of the book{did_you_mean(fee, fees)}"


def _ambiguous(prices: Sequence[Price]) -> Iterator[str]:
    """Find pairs of keys that match the same usage equally well at the same time."""
    found: dict[tuple[str, str], str] = {}
    for same in _by_usage(prices).values():
        for one, other in combinations(same, 2):
            keys = (min(one.key, other.key), max(one.key, other.key))
            if one.key != other.key and keys not in found and _overlap(one, other):
                since = max(one.effective_from, other.effective_from)
                found[keys] = (
                    f"prices {keys[0]} and {keys[1]} fit the same {one.meter}{_usage(one, other)} from"
                    f" {since:%Y-%m-%d} on: end one of them, or give one more dimensions in `match`"
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
