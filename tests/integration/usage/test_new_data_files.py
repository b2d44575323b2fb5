"""The data files that a landing writes: what they contain, and what a landing that is killed or overtaken leaves."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from random import Random

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from fly_billing.usage.data_files import UsageTableError
from fly_billing.usage.maintenance import maintain
from fly_billing.usage.usage_table import EVENTS, PARTITIONS, UsageTable
from tests.support.builders import DAY, Platform, event, write_jsonl

NEXT_DAY = DAY + timedelta(days=1)
HOUR = timedelta(hours=1)


def data_files(platform: Platform) -> list[str]:
    root = platform.usage_table.local_folder
    return sorted(str(path.relative_to(root)) for path in root.glob("usage_month=*/landing_day=*/*.parquet"))


def listed(platform: Platform) -> list[str]:
    return sorted(file.path for file in platform.table().data_files)


def land(platform: Platform, number: int, day: date = DAY) -> None:
    write_jsonl(platform.landing_dir, [event(f"e{number}", "2", time=f"{day}T08:00:00Z")], day, f"f{number}")
    platform.land(day)


def test_a_file_has_the_types_of_the_table_and_the_rows_that_the_log_says(platform: Platform) -> None:
    land(platform, 1)
    (name,) = data_files(platform)
    read = pq.read_table(platform.usage_table.local_folder / name, partitioning=None)
    columns = [field for field in EVENTS if field.name not in PARTITIONS]
    assert [(field.name, field.type) for field in read.schema] == [(field.name, field.type) for field in columns]
    (row,) = read.to_pylist()
    assert (row["id"], str(row["quantity"]), row["time"].isoformat()) == (
        "e1", "2.000000000000000", "2026-09-15T08:00:00+00:00",
    )  # fmt: skip
    (file,) = platform.table().data_files
    assert (file.path, file.rows, file.day, file.month) == (name, 1, DAY, "2026-09")
    assert file.bytes == (platform.usage_table.local_folder / name).stat().st_size


def test_events_of_two_months_in_a_day_are_two_files(platform: Platform) -> None:
    """A day at the beginning of October has events of the evening before."""
    day = date(2026, 10, 1)
    times = ["2026-09-30T23:59:59.999999Z", "2026-10-01T00:00:00Z", "2026-10-01T12:00:00Z"]
    write_jsonl(platform.landing_dir, [event(f"e{n}", "2", time=time) for n, time in enumerate(times)], day)
    platform.land(day)
    assert [(file.month, file.rows) for file in platform.table().data_files] == [("2026-09", 1), ("2026-10", 2)]


def test_a_day_of_wide_rows_lands_with_the_least_memory(platform: Platform) -> None:
    """150,000 rows of 320 random characters: DuckDB would keep 122,880 of them in memory to write them."""
    random = Random(1)
    usage = [event(f"e{number}", "2", app=f"{random.getrandbits(1280):0320x}") for number in range(150_000)]
    write_jsonl(platform.landing_dir, usage)
    frugal = replace(platform, usage_table=UsageTable(platform.usage_table.path, memory_mb=128))
    frugal.land()
    (file,) = platform.table().data_files
    assert file.rows == 150_000


class Killed(BaseException):
    """The process ends."""


def test_files_of_a_landing_killed_before_its_commit_count_for_nothing_and_are_deleted_in_time(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killed landing had written the file with e2, which no version of the table has."""
    land(platform, 1)
    before = listed(platform)
    with monkeypatch.context() as patched:

        def killed(*_: object) -> DeltaTable:
            raise Killed

        patched.setattr(UsageTable, "commit_files", killed)
        with pytest.raises(Killed):
            land(platform, 2, NEXT_DAY)
    assert listed(platform) == before
    assert platform.usage_table.delta().version() == 1
    left = [name for name in data_files(platform) if name not in before]
    assert len(left) == 1
    maintain(platform.database, platform.usage_table, DAY, kept_for=HOUR)
    assert left[0] in data_files(platform)  # it may be the file of a landing that is not over
    maintain(platform.database, platform.usage_table, DAY, kept_for=timedelta(0))
    assert data_files(platform) == before
    platform.land(NEXT_DAY)
    assert [file.rows for file in platform.table().data_files] == [1, 1]


def test_a_landing_that_another_program_overtakes_lands_nothing_and_lands_later(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both read version 1, and the other program writes version 2 first."""
    land(platform, 1)
    before = listed(platform)
    opened = platform.usage_table.delta()
    with monkeypatch.context() as patched:
        versions = iter([opened])
        read = UsageTable.delta

        def overtaken(self: UsageTable, version: int | None = None) -> DeltaTable:
            return read(self, version) if version is not None else next(versions, None) or read(self)

        platform.usage_table.replace_days([NEXT_DAY], EVENTS.empty_table())
        patched.setattr(UsageTable, "delta", overtaken)
        with pytest.raises(
            UsageTableError, match=r"^another program wrote version 2 of the usage table .* land again$"
        ):
            platform.usage_table.commit_files([], [DAY])
    assert listed(platform) == before
    land(platform, 2, NEXT_DAY)
    assert [file.rows for file in platform.table().data_files] == [1, 1]
