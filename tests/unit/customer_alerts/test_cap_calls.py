"""The platform is called when an organization's state changes: its cap is reached, or lifted. Amounts in cents."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.customer_alerts.rules.cap_calls import CapCall, CappedSpend, next_call

BELOW = CappedSpend("acme", "2026-10", "USD", cap_cents=10000, spent_cents=9999)
REACHED = replace(
    BELOW, spent_cents=10000, last_number=1, last_state="reached", last_month="2026-10", last_cap_cents=10000,
    last_currency="USD",
)  # fmt: skip


def test_a_month_below_the_cap_calls_nobody() -> None:
    assert next_call(BELOW) is None


def test_a_month_that_reaches_the_cap_calls_the_platform() -> None:
    call = next_call(replace(BELOW, spent_cents=10000))
    assert call == CapCall("acme", 1, "reached", "cap_reached", "2026-10", "USD", 10000, 10000)
    assert call.in_words() == "acme 2026-10: reached, cap $100.00, spent $100.00"


def test_a_platform_that_knows_is_not_called_again() -> None:
    assert next_call(replace(REACHED, spent_cents=25000)) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(REACHED, cap_cents=20000), "cap_raised"),
        (replace(REACHED, cap_cents=None), "cap_removed"),
        (replace(REACHED, month="2026-11", spent_cents=0), "new_month"),
        (replace(REACHED, spent_cents=9000), "spend_fell"),
        # Set again after a change of currency: EUR 90.00 is no lower cap than USD 100.00.
        (replace(REACHED, currency="EUR", cap_cents=9000, spent_cents=100), "cap_raised"),
    ],
)
def test_a_reached_cap_is_lifted_with_its_reason(changed: CappedSpend, reason: str) -> None:
    call = next_call(changed)
    assert call is not None
    assert (call.number, call.state, call.reason) == (2, "lifted", reason)


def test_a_month_whose_spend_is_nowhere_lifts_nothing() -> None:
    """Its open invoice was deleted because another organization pays now, and that invoice is not calculated yet."""
    assert next_call(replace(REACHED, spent_cents=None)) is None
    assert next_call(replace(BELOW, spent_cents=None)) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (replace(REACHED, spent_cents=None, cap_cents=None), "cap_removed"),
        (replace(REACHED, spent_cents=None, month="2026-11"), "new_month"),
    ],
)
def test_a_removed_cap_and_a_new_month_lift_it_without_any_spend(changed: CappedSpend, reason: str) -> None:
    call = next_call(changed)
    assert call is not None
    assert (call.state, call.reason, call.spent_cents) == ("lifted", reason, 0)


def test_a_new_month_that_begins_above_the_cap_says_so() -> None:
    """A fee in advance may be above the cap on the first day."""
    call = next_call(replace(REACHED, month="2026-11"))
    assert call is not None
    assert (call.number, call.state, call.month) == (2, "reached", "2026-11")


def test_a_lifted_cap_that_is_reached_again_calls_again() -> None:
    call = next_call(replace(REACHED, last_state="lifted", last_number=2))
    assert call is not None
    assert (call.number, call.state) == (3, "reached")


@given(st.lists(st.tuples(st.sampled_from(["2026-10", "2026-11"]), st.none() | st.integers(1, 9), st.integers(-2, 12))))
def test_after_any_history_the_newest_call_says_what_is_true(steps: list[tuple[str, int | None, int]]) -> None:
    state: CapCall | None = None
    for month, cap, spent in steps:
        spend = CappedSpend("acme", month, "USD", cap, spent)
        if state:
            spend = replace(
                spend, last_number=state.number, last_state=state.state, last_month=state.month,
                last_cap_cents=state.cap_cents, last_currency=state.currency,
            )  # fmt: skip
        call = next_call(spend)
        if call:
            assert call.number == (state.number if state else 0) + 1
            state = call
        is_reached = cap is not None and spent >= cap
        assert (state is not None and state.state == "reached") == is_reached
        assert next_call(
            replace(
                spend, last_number=state.number, last_state=state.state, last_month=state.month,
                last_cap_cents=state.cap_cents, last_currency=state.currency,
            ) if state else spend
        ) is None  # fmt: skip
