"""Remembers the newest event keys in bounded memory (about 125 bytes each). Landing knows all of history."""

from __future__ import annotations

from collections.abc import Mapping


class RecentKeys:
    """The newest keys with the digest of their content: at least half of `most`, at most `most`.

    Two generations: when the young one is full, it becomes the old one, whose keys are forgotten.
    """

    def __init__(self, most: int) -> None:
        self._half = max(1, most // 2)
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def find(self, key: int) -> int | None:
        """Return the digest of the key's content, or None if the key is not known."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def add(self, keys: Mapping[int, int]) -> None:
        """Remember keys with the digests of their content."""
        self._young.update(keys)
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
