"""Rate limits refill steadily, and pages neither repeat nor skip a row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.api.rules import rate_limits
from fly_billing.api.rules.paging import InvalidCursor, page_after
from fly_billing.api.rules.rate_limits import RateLimits


def test_a_burst_is_admitted_and_then_one_request_per_tenth_of_a_second() -> None:
    limits: RateLimits[str] = RateLimits(per_second=10, burst=3)
    assert [limits.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 1]
    assert limits.take("b", 0.0) == 0
    assert limits.take("a", 0.05) == 1
    assert limits.take("a", 0.125) == 0
    assert limits.take("a", 0.125) == 1


def test_the_wait_is_the_time_until_the_next_request_is_admitted() -> None:
    """A request in 8 seconds: after a quarter of that, six are left."""
    limits: RateLimits[str] = RateLimits(per_second=0.125, burst=1)
    assert [limits.take("a", 0.0), limits.take("a", 0.0), limits.take("a", 2.0), limits.take("a", 8.0)] == [0, 8, 6, 0]


def test_full_buckets_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MOST_BUCKETS", 2)
    limits: RateLimits[int] = RateLimits(per_second=1, burst=2)
    for number in range(100):
        limits.take(number, number * 10.0)
    assert len(limits._left) <= 3


@given(st.integers(0, 50), st.integers(1, 10))
def test_pages_have_every_row_once_in_order(count: int, limit: int) -> None:
    rows = [f"invoice {number}" for number in range(count)]
    seen: list[str] = []
    cursor = None
    while True:
        page, cursor = page_after(rows, str, cursor, limit)
        seen += page
        if cursor is None:
            break
    assert seen == rows


def test_a_row_that_is_added_at_the_front_shifts_no_page() -> None:
    _, cursor = page_after(["b", "c"], str, None, 1)
    assert page_after(["a", "b", "c"], str, cursor, 1) == (["c"], None)


@pytest.mark.parametrize("cursor", ["", "x", "%", "bm9uZQ", "ü", "a" * 100])
def test_a_cursor_that_no_page_gave_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="begin again without one"):
        page_after(["a", "b"], str, cursor, 1)
