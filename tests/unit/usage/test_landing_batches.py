"""Files are landed in batches that fit into memory, by as many processes as are worth their start."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest

from fly_billing.usage import landing_batches
from fly_billing.usage.landing_batches import split_into_batches, split_into_shares
from fly_billing.usage.landing_folder import LandingFile, list_files

DAY = date(2026, 9, 15)


@pytest.fixture
def landing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[date]]:
    """Write a file of so many bytes for each day. A batch is 100 bytes, a share at least 10."""
    monkeypatch.setattr(landing_batches, "BYTES_AT_ONCE", 100)
    monkeypatch.setattr(landing_batches, "BYTES_PER_SHARE", 10)

    def write(*days: list[int], suffix: str = "jsonl") -> list[date]:
        for number, sizes in enumerate(days):
            folder = tmp_path / str(DAY + timedelta(days=number))
            folder.mkdir()
            for place, size in enumerate(sizes):
                (folder / f"{place}.{suffix}").write_bytes(b"x" * size)
        return [DAY + timedelta(days=number) for number in range(len(days))]

    return write


def files_of(folder: Path, days: list[date]) -> list[LandingFile]:
    return [file for day in days for file in list_files(folder, day)]


def test_a_landing_of_less_than_two_batches_is_not_worth_a_second_process(
    tmp_path: Path, landing: Callable[..., list[date]]
) -> None:
    days = landing([90], [90])
    found = split_into_batches(tmp_path, days, 4)
    assert (found.processes, found.days) == (1, [[days[0]], [days[1]]])


def test_a_batch_is_as_large_as_the_memory_of_all_processes(tmp_path: Path, landing: Callable[..., list[date]]) -> None:
    days = landing(*[[90]] * 5)  # 450 bytes: four processes, and 360 of 400 bytes in the first batch
    found = split_into_batches(tmp_path, days, 8)
    assert (found.processes, found.days) == (4, [days[:4], days[4:]])
    assert split_into_batches(tmp_path, days, 2).days == [days[:2], days[2:4], days[4:]]


def test_parquet_counts_twice_and_packed_files_ten_times(tmp_path: Path, landing: Callable[..., list[date]]) -> None:
    days = landing([60], [60], suffix="parquet")
    assert split_into_batches(tmp_path, days, 8).processes == 2


def test_days_stay_together_and_shares_are_about_equal(tmp_path: Path, landing: Callable[..., list[date]]) -> None:
    files = files_of(tmp_path, landing([20, 20], [10, 20], [30], [25, 5]))  # 40, 30, 30 and 30 bytes
    shares = split_into_shares(files, 2)
    assert sorted(sorted({file.day.day for file in share}) for share in shares) == [[15, 18], [16, 17]]
    assert [file for share in shares for file in share if file.day == DAY] == files[:2]


def test_a_day_that_is_more_than_a_share_is_split_by_files(tmp_path: Path, landing: Callable[..., list[date]]) -> None:
    files = files_of(tmp_path, landing([30, 30, 30, 30]))
    assert sorted(map(len, split_into_shares(files, 2))) == [2, 2]
    assert sorted(map(len, split_into_shares(files, 3))) == [1, 1, 2]


def test_few_bytes_stay_in_one_process(tmp_path: Path, landing: Callable[..., list[date]]) -> None:
    files = files_of(tmp_path, landing([5, 5], [9]))
    assert split_into_shares(files, 4) == [files]
