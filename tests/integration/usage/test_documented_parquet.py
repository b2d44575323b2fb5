"""The Parquet examples of docs/usage_files.md, as they stand, write files of which every row lands."""

from __future__ import annotations

import re
import runpy
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import Platform

USAGE_FILES = Path(__file__).parents[3] / "docs" / "usage_files.md"
DAY = date(2026, 10, 5)
NOW = datetime(2026, 10, 6, 12, tzinfo=UTC)


def example(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", USAGE_FILES.read_text(encoding="utf-8"), re.S)
    return str(found)


def landed(platform: Platform) -> list[tuple[str, str]]:
    (file,) = platform.land(DAY, now=NOW)
    assert platform.rejected() == []
    assert file.landed == file.accepted
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events", days=[DAY])
        found = duck.execute("select utc(time)::varchar, quantity::varchar from events order by time").fetchall()
    return [(str(time), str(quantity)) for time, quantity in found]


def test_rows_from_pandas_land_with_exact_quantities_and_utc_times(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLY_BILLING_LANDING_DIR", str(platform.landing_dir))
    (tmp_path / "example.py").write_text(example("python"), encoding="utf-8")
    runpy.run_path(str(tmp_path / "example.py"))
    assert landed(platform) == [
        ("2026-10-05 10:00:00", "1500000.000000000000000"), ("2026-10-05 11:30:00", "0.250000000000000"),
    ]  # fmt: skip


def test_rows_from_duckdb_land_with_exact_quantities_and_utc_times(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    duckdb.connect().execute(example("sql"))
    assert landed(platform) == [("2026-10-05 14:00:00", "250000.500000000000000")]
