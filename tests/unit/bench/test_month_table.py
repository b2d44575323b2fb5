"""The tables of the bench: sums of stages and ratios are those of a round, and the median is taken last."""

from tests.bench.month_table import ratios, spread, totals

ROUNDS = {
    "land": [{"cpu": 3.0}, {"cpu": 8.0}, {"cpu": 4.0}],
    "check": [{"cpu": 1.0}, {"cpu": 2.0}, {"cpu": 1.0}],
    "sql_land": [{"cpu": 1.0}, {"cpu": 4.0}, {"cpu": 1.0}],
    "sql_check": [{"cpu": 1.0}, {"cpu": 1.0}, {"cpu": 0.0}],
}


def test_stages_are_added_up_in_each_round() -> None:
    assert totals(ROUNDS, ["land", "check"]) == [4.0, 10.0, 5.0]


def test_a_ratio_compares_the_two_months_of_the_same_round() -> None:
    # In the second round the machine was busy: both months took longer, and their ratio is still 2.
    assert ratios(ROUNDS, ["land", "check"]) == [2.0, 2.0, 5.0]


def test_the_median_has_the_lowest_and_the_highest_value_beside_it() -> None:
    assert spread([2.0, 5.0, 2.5], 1) == "2.5 (2.0..5.0)"


def test_a_single_round_has_no_spread() -> None:
    assert spread([2.0], 1) == "2.0"
