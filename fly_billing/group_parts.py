"""Splits billing groups into parts for several processes at once, and gives each group its lock.

Groups that share a lock, or are linked, are in one part, so that no part waits for another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from zlib import crc32

# Postgres has room for a few thousand locks. Up to this many shared groups have a lock each; groups of a single
# organization, which may be many, share as many others.
LOCKS = 1024
_SHARED_GROUP = re.compile(r"tail-([0-9]+)")


def lock_of(group: str) -> int:
    """Return the number of the group's lock: 0 to 2 * LOCKS - 1, the same on every machine."""
    if shared := _SHARED_GROUP.fullmatch(group):
        return int(shared[1]) % LOCKS
    return LOCKS + crc32(group.encode()) % LOCKS


def split_in_order(sizes: Mapping[str, int], parts: int) -> list[list[str]]:
    """Split groups into at most this many ranges of about the same size: neighbors stay together, in this order.

    Args:
        sizes: The organizations of each group, at least one.
    """
    found: dict[int, list[str]] = {}
    before, total = 0, sum(sizes.values())
    for group, size in sizes.items():
        middle = 2 * before + size  # of the group, in half organizations: it is in the range that has its middle
        found.setdefault(middle * parts // (2 * total), []).append(group)
        before += size
    return list(found.values())


def split_groups(sizes: Mapping[str, int], parts: int, links: Iterable[tuple[str, str]] = ()) -> list[list[str]]:
    """Split groups into at most this many parts of about the same size.

    Args:
        sizes: The organizations of each group to split.
        links: Pairs of groups that stay together, also by way of groups that are not in `sizes`.
    """
    together: dict[int, set[int]] = {}
    for names in links:
        first, second = (together.setdefault(lock_of(name), {lock_of(name)}) for name in names)
        if first is not second:
            first |= second
            together |= dict.fromkeys(second, first)
    bundles: dict[int, list[str]] = {}
    for group in sorted(sizes):
        lock = lock_of(group)
        bundles.setdefault(min(together.get(lock, {lock})), []).append(group)
    found: list[list[str]] = [[] for _ in range(parts)]
    filled = [0] * parts
    # The largest first, each into the smallest part.
    for size, bundle in sorted(
        ((sum(sizes[group] for group in some), some) for some in bundles.values()), reverse=True
    ):
        smallest = filled.index(min(filled))
        found[smallest] += bundle
        filled[smallest] += size
    return [sorted(part) for part in found if part]
