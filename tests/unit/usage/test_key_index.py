"""The index of keys finds every key: with any content, after any growth, and at any place of its hash."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.usage.key_index import SMALLEST, KeyIndex, KeyTable, make_entries

# Hashes that fall on the same few slots, at both ends of the table, and with the same first 48 bits.
HASHES = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**20),
    st.integers(2**64 - 2**20, 2**64 - 1),
    st.integers(0, 40).map(lambda number: 2**63 + (number << 16)),
)
KEYS = st.lists(st.tuples(HASHES, st.integers(1, 30)), max_size=60)


def new_index(folder: str) -> KeyIndex:
    return KeyIndex(Path(folder), KeyTable.make(Path(folder), SMALLEST), KeyTable.make(Path(folder), SMALLEST))


def found(index: KeyIndex, keys: list[tuple[int, int]]) -> set[tuple[int, int]]:
    hashes, days = np.array([key for key, _ in keys], np.uint64), np.array([day for _, day in keys], np.int64)
    hits = index.find_and_add(make_entries(hashes, days))
    return {(int(prefix), int(day)) for prefix, day in zip(hits.prefixes, hits.days, strict=True)}


def expected(keys: list[tuple[int, int]], landed: set[tuple[int, int]]) -> set[tuple[int, int]]:
    sought = {max(1, key >> 16) for key, _ in keys}
    return {(prefix, day) for prefix, day in landed if prefix in sought}


@given(st.lists(KEYS, max_size=6))
def test_exactly_the_earlier_days_of_a_key_are_found(landings: list[list[tuple[int, int]]]) -> None:
    landed: set[tuple[int, int]] = set()
    with tempfile.TemporaryDirectory() as folder:
        index = new_index(folder)
        for keys in landings:
            assert found(index, keys) == expected(keys, landed)
            landed |= {(max(1, key >> 16), day) for key, day in keys}


def test_no_key_is_missed_while_the_index_grows() -> None:
    """40 landings of 5,000 keys: both tables grow several times."""
    random = np.random.default_rng(7)
    landings = [random.integers(0, 1 << 64, 5_000, np.uint64) for _ in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        index = new_index(folder)
        for day, hashes in enumerate(landings, start=1):
            assert len(index.find_and_add(make_entries(hashes, np.full(5_000, day))).days) == 0
        assert index.main.slots > SMALLEST
        assert 2 * index.main.used <= index.main.slots
        for day, hashes in enumerate(landings, start=1):
            hits = index.find_and_add(make_entries(hashes, np.full(5_000, day)))
            assert hits.days.tolist() == [day] * 5_000
        counted = index.main.used + index.recent.used
        index.main.recount()
        index.recent.recount()
        assert index.main.used + index.recent.used == counted == 200_000
