"""Keys that occur more than once among the rows of a landing are found by their hashes alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.usage.key_index import find_repeated

PREFIX = 1 << 16


@pytest.mark.parametrize(
    ("hashes", "repeated"),
    [
        ([], []),
        ([5 * PREFIX], []),
        ([5 * PREFIX, 6 * PREFIX], []),
        ([7 * PREFIX, 5 * PREFIX, 7 * PREFIX], [7]),
        ([7 * PREFIX, 5 * PREFIX, 7 * PREFIX, 5 * PREFIX, 7 * PREFIX], [5, 7]),
        # Two hashes that differ only in their last 16 bits: the landing compares their keys.
        ([7 * PREFIX + 1, 7 * PREFIX + 2], [7]),
        # The index stores hashes without a bit among the first 48 as 1.
        ([0, 9], [1]),
        ([2**64 - 1, 2**64 - 1], [2**48 - 1]),
    ],
)
def test_a_prefix_that_occurs_more_than_once_is_repeated(hashes: list[int], repeated: list[int]) -> None:
    assert find_repeated(np.array(hashes, np.uint64)).tolist() == repeated


@given(st.lists(st.integers(0, 20).map(lambda key: key * PREFIX + PREFIX)))
def test_no_repeated_key_is_missed(hashes: list[int]) -> None:
    expected = sorted({value // PREFIX for value in hashes if hashes.count(value) > 1})
    assert find_repeated(np.array(hashes, np.uint64)).tolist() == expected
