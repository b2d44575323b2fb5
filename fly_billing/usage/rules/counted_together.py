"""Which sets of dimensions a meter counts together where quantities can't be added: max, unique, latest.

One user in two regions is one user to a price for all regions, and one in each to a price for each. So what counts
together is what one price covers in the month, with all its versions; and where a price ends inside the month and
others go on with parts of what it covered, all of these: nobody is counted twice in a month. Usage without a price
counts by itself, and is refused when it is billed. Keeps out: how quantities are made (`pricing.rules.aggregations`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

# The aggregations whose quantities can't be added up over dimensions.
NOT_ADDED = ("max", "unique", "latest")


D = TypeVar("D", bound=Hashable)


def counted_together(priced: Iterable[tuple[str, D]]) -> dict[D, int]:
    """Return the number of its group by dimensions, for (price key, dimensions) of a month, in any order.

    Two are in one group if a price covers both, or a chain of prices connects them.
    """
    above: dict[Hashable, Hashable] = {}

    def top(one: Hashable) -> Hashable:
        while above.setdefault(one, one) != one:
            above[one] = above[above[one]]
            one = above[one]
        return one

    found = list(priced)
    for key, dimensions in found:
        above[top(("price", key))] = top(("dimensions", dimensions))
    numbers: dict[Hashable, int] = {}
    return {dimensions: numbers.setdefault(top(("dimensions", dimensions)), len(numbers)) for _, dimensions in found}
