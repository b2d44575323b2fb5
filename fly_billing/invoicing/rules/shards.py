"""Spreads organizations over shards. Those of a shard share a lock, and are billed by one process of a run."""

from __future__ import annotations

from collections.abc import Iterable
from zlib import crc32

SHARDS = 64


def shard_of(organization_id: str) -> int:
    """Return the organization's shard: 0 to SHARDS - 1, the same on every machine."""
    return crc32(organization_id.encode()) % SHARDS


def split_shards(links: Iterable[tuple[str, str]], parts: int) -> list[frozenset[int]]:
    """Split all shards into at most this many parts of about the same size, so that no payer waits for another part.

    Args:
        links: Each payer with an organization that it pays for: the shards of both are in one part.
    """
    together = [{shard} for shard in range(SHARDS)]
    for names in links:
        first, second = (together[shard_of(name)] for name in names)
        if first is not second:
            first |= second
            for shard in second:
                together[shard] = first
    # The largest groups first, each into the smallest part.
    groups = sorted({id(group): group for group in together}.values(), key=lambda group: (-len(group), min(group)))
    found: list[set[int]] = [set() for _ in range(parts)]
    for group in groups:
        min(found, key=len).update(group)
    return [frozenset(part) for part in found if part]
