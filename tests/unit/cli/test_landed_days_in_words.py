"""`land` distinguishes days with files from days without, which land as well so that their month can be closed."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from fly_billing.cli.run_results import landed_in_words
from fly_billing.operations.run_results import LandResult


@pytest.mark.parametrize(
    ("days", "with_files", "words"),
    [
        (95, 3, "3 days with files and 92 days without files landed"),
        (1, 1, "1 day with files landed"),
        (2, 0, "2 days without files landed"),
        (0, 0, "no day landed"),
    ],
)
def test_days_without_files_are_counted_apart(days: int, with_files: int, words: str) -> None:
    landed = [date(2026, 9, 1) + timedelta(number) for number in range(days)]
    assert landed_in_words(LandResult(landed, [], with_files, 4, 10, 0, 0, [], [])) == words
