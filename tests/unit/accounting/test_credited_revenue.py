"""A credit note takes back the service periods of its invoice, worked by hand. A year of 365.00 is a dollar a day."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.accounting.rules.credited_revenue import (
    Revenue,
    RevenueChange,
    deferrals_of_changes,
    revenue_after_changes,
)
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.periods import BillingMonth
from tests.support.builders import at

AUGUST, NOVEMBER = BillingMonth(2026, 8), BillingMonth(2026, 11)
YEAR = ServicePeriod(at("2026-09-01"), at("2027-09-01"))
USAGE = ServicePeriod.of_month(AUGUST)
IN_NOVEMBER = ServicePeriod.of_month(NOVEMBER)
BILLED: Revenue = {YEAR: 36500, USAGE: 10000}
FINAL, VOID = RevenueChange(AUGUST), RevenueChange(NOVEMBER, is_void=True)


def note(cents: int, id: str = "cn_1", *lines: tuple[ServicePeriod, int]) -> RevenueChange:
    return RevenueChange(NOVEMBER, note_id=id, noted_cents=cents, lines=lines)


def after(*changes: RevenueChange, billed: Revenue = BILLED) -> list[Revenue]:
    """Return what the changes after the invoice became final add to its revenue."""
    left = revenue_after_changes(billed, [FINAL, *changes])
    added = (
        {period: after.get(period, 0) - before.get(period, 0) for period in {**before, **after}}
        for before, after in itertools.pairwise(left)
    )
    return [{period: cents for period, cents in each.items() if cents} for each in added]


def test_a_credit_note_is_shared_in_proportion_to_what_each_period_was_billed() -> None:
    """93.00 of 465.00 are a fifth of each: 73.00 of the year, and 20.00 of August's usage."""
    assert after(note(9300)) == [{YEAR: -7300, USAGE: -2000}]


def test_a_cent_that_can_not_be_divided_goes_to_the_largest_remainder() -> None:
    """Of 0.10, 7.85 cents are the year's, and 2.15 are August's: 8 and 2."""
    assert after(note(10)) == [{USAGE: -2, YEAR: -8}]


def test_the_credit_note_that_takes_the_rest_takes_exactly_what_is_left() -> None:
    assert after(note(10), note(46490, "cn_2")) == [{USAGE: -2, YEAR: -8}, {YEAR: -36492, USAGE: -9998}]


def test_a_credit_note_that_names_lines_takes_back_these() -> None:
    """30.00 of the usage, and no line for the other 43.50: 36.50 to 7.00 is 365.00 to the 70.00 that are left."""
    assert after(note(7350, "cn_1", (USAGE, 3000))) == [{USAGE: -3000 - 700, YEAR: -3650}]
    assert after(note(3000, "cn_1", (USAGE, 3000)), note(43500, "cn_2")) == [
        {USAGE: -3000},
        {YEAR: -36500, USAGE: -7000},
    ]


def test_a_line_that_the_invoice_does_not_have_is_shared_like_an_amount_without_lines() -> None:
    assert after(note(9300, "cn_1", (IN_NOVEMBER, 9300))) == [{YEAR: -7300, USAGE: -2000}]


def test_more_than_is_left_counts_in_the_month_of_the_credit_note() -> None:
    """A credit note without tax over all 558.00 of an invoice with 93.00 of VAT: 93.00 are no revenue of a period."""
    assert after(note(55800)) == [{YEAR: -36500, USAGE: -10000, IN_NOVEMBER: -9300}]
    assert after(note(46500), note(100, "cn_2"))[1] == {IN_NOVEMBER: -100}


def test_a_void_credit_note_gives_back_what_it_took() -> None:
    taken = {YEAR: -7300, USAGE: -2000}
    assert after(note(9300), note(0)) == [taken, {YEAR: 7300, USAGE: 2000}]
    assert after(note(9300), note(9300)) == [taken, {}]
    assert after(note(0)) == [{}]


def test_a_void_invoice_takes_back_what_its_credit_notes_left() -> None:
    assert after(note(9300), VOID) == [{YEAR: -7300, USAGE: -2000}, {YEAR: -29200, USAGE: -8000}]


def test_a_credit_note_that_is_read_after_its_invoice_was_void_moves_nothing() -> None:
    voided = {YEAR: -36500, USAGE: -10000}
    assert after(VOID, note(9300)) == [voided, {IN_NOVEMBER: -9300}]
    assert after(VOID, note(9300), note(0)) == [voided, {IN_NOVEMBER: -9300}, {IN_NOVEMBER: 9300}]


def test_a_goodwill_on_the_same_invoice_is_taken_back_with_its_fee() -> None:
    """365.00 less a goodwill of 364.00: the credit note of 1.00 takes back both."""
    assert after(note(100), billed={YEAR: 36500, USAGE: -36400}) == [{YEAR: -36500, USAGE: 36400}]


def test_an_invoice_without_revenue_has_nothing_to_take_back() -> None:
    assert after(note(500), VOID, billed={}) == [{IN_NOVEMBER: -500}, {IN_NOVEMBER: 500}]


def test_two_credit_notes_over_a_few_cents_leave_no_cent_in_a_later_month() -> None:
    """0.02 of a year: 0.01 counts in December (122 of 365 days are 0.67 cents), and 0.01 in June (303 are 1.66)."""
    final, first, second = deferrals_of_changes({YEAR: 2}, [FINAL, note(1), note(1, "cn_2")])
    later = [sum(moved.get(month, 0) for moved in (final, first, second)) for month in final if month > NOVEMBER]
    assert later == [0, 0]


periods = st.sampled_from([YEAR, USAGE, IN_NOVEMBER, ServicePeriod(at("2026-08-15"), at("2026-10-15"))])
amounts = st.integers(min_value=0, max_value=20_000)


@given(
    st.dictionaries(periods, st.integers(min_value=-5_000, max_value=40_000)),
    st.lists(st.tuples(st.sampled_from(["cn_1", "cn_2", "cn_3"]), amounts, st.lists(st.tuples(periods, amounts)))),
    st.booleans(),
)
def test_each_change_adds_exactly_its_amount_and_a_void_invoice_leaves_nothing(
    billed: Revenue, notes: list[tuple[str, int, list[tuple[ServicePeriod, int]]]], is_void: bool
) -> None:
    changes = [note(cents, id, *lines) for id, cents, lines in notes]
    added = after(*changes, *([VOID] if is_void else []), billed=billed)
    standing: dict[str, int] = {}
    for (id, cents, _), parts in zip(notes, added, strict=False):
        assert sum(parts.values()) == standing.get(id, 0) - cents
        standing[id] = cents
    if is_void:
        left = [sum(parts.get(period, 0) for parts in [billed, *added]) for period in {*billed, IN_NOVEMBER, YEAR}]
        assert not any(left)


@given(
    st.dictionaries(periods, st.integers(min_value=0, max_value=40_000), min_size=1),
    st.lists(st.integers(min_value=1, max_value=10_000), max_size=4),
)
def test_credit_notes_over_everything_leave_nothing_deferred(billed: Revenue, parts: list[int]) -> None:
    whole = sum(billed.values())
    cuts = sorted({min(sum(parts[:n]), whole) for n in range(len(parts) + 1)} | {whole})
    notes = [note(end - start, f"cn_{start}") for start, end in itertools.pairwise(cuts)]
    moved: dict[BillingMonth, int] = {}
    for months in deferrals_of_changes(billed, [FINAL, *notes]):
        assert sum(months.values()) == 0
        for month, cents in months.items():
            moved[month] = moved.get(month, 0) + cents
    assert not any(cents for month, cents in moved.items() if month > NOVEMBER and notes)
