"""Groups the dimensions that a non-additive meter counts together: max, unique and latest can't be summed.

A user in two regions is one user if one price covers both regions, and two users if each region has its own price. So
dimensions are counted together if one price covers them in the month, in any of its versions. If a price ends within
the month and others continue for parts of its dimensions, all of these form one group: no user counts twice in a month.
Usage without a price forms its own group; billing rejects it. Not here: aggregating (`pricing.rules.aggregations`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TypeVar

# The aggregations whose quantities can't be summed over dimensions.
NON_ADDITIVE = ("max", "unique", "latest")


D = TypeVar("D", bound=Hashable)


def aggregation_groups(priced: Iterable[tuple[str, D]]) -> dict[D, int]:
    """Assign dimensions to groups.

    Args:
        priced: (price key, dimensions) of all usage of a month, in any order.

    Returns:
        The group number by dimensions. Two are in one group if one price, or a chain of prices, connects them.
    """
    above: dict[Hashable, Hashable] = {}

    def top(node: Hashable) -> Hashable:
        while above.setdefault(node, node) != node:
            above[node] = above[above[node]]
            node = above[node]
        return node

    found = list(priced)
    for key, dimensions in found:
        above[top(("price", key))] = top(("dimensions", dimensions))
    numbers: dict[Hashable, int] = {}
    return {dimensions: numbers.setdefault(top(("dimensions", dimensions)), len(numbers)) for _, dimensions in found}
