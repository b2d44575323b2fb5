"""An unreadable folder fails only its day, whose usage stays unchanged; unknown entries are reported."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from shutil import rmtree

import pytest
from dagster import AssetKey

from fly_billing.periods import BillingMonth
from fly_billing.usage.landing import DaysNotLanded
from fly_billing.usage.landing_folder import LandingError, find_landing_problems
from fly_billing.worklist.due import closed_until, days_due, days_to_land, list_landing_problems, months_to_close
from tests.integration.usage.test_landing_any_file import (
    as_an_ordinary_user,
    counts,
    open_to_anybody,
    platform_of_anybody,
    quantities,
)
from tests.support.builders import DAY, NOW, Platform, at, event, write_jsonl, write_text
from tests.support.deployment import Deployment, machine_seconds

__all__ = ["platform_of_anybody"]
NEXT_DAY = date(2026, 9, 16)


def both_days(platform: Platform) -> None:
    """e1 lands on 15 September, e2 in a folder below; on the 16th lands e3."""
    write_jsonl(platform.landing_dir, [event("e1")])
    write_jsonl(platform.landing_dir, [event("e2")], name="more/usage")
    write_jsonl(platform.landing_dir, [event("e3")], NEXT_DAY)
    platform.land(DAY, NEXT_DAY)
    write_jsonl(platform.landing_dir, [event("e3"), event("e4")], NEXT_DAY)


@pytest.mark.parametrize("folder", ["2026-09-15", "2026-09-15/more"])
def test_an_unreadable_folder_fails_only_its_day_and_deletes_nothing(
    platform_of_anybody: Platform, folder: str
) -> None:
    platform = platform_of_anybody
    both_days(platform)
    open_to_anybody(platform)
    (platform.landing_dir / folder).chmod(0)
    with as_an_ordinary_user():
        assert days_to_land(platform.database, platform.landing_dir, at("2026-12-01")) == [DAY, NEXT_DAY]
        with pytest.raises(DaysNotLanded, match="Permission denied") as failed:
            platform.land(DAY, NEXT_DAY)
        assert [problem.path for problem in find_landing_problems(platform.landing_dir, NOW)] == [folder]
    assert list(failed.value.failures) == [DAY]
    assert counts(failed.value.files) == {"usage.jsonl": (2, 2, 0, 0)}
    assert set(quantities(platform)) == {"before", "e1", "e2", "e3", "e4"}


@pytest.mark.parametrize("instead", ["file", "link to itself", "link to nowhere"])
def test_a_day_whose_folder_is_no_longer_a_folder_fails_alone_and_keeps_its_events(
    platform: Platform, instead: str
) -> None:
    both_days(platform)
    folder = platform.landing_dir / "2026-09-15"
    folder.rename(platform.landing_dir.parent / "kept")
    if instead == "file":
        folder.write_text("a file", encoding="utf-8")
    else:
        folder.symlink_to("2026-09-15" if instead == "link to itself" else "nowhere")
    assert DAY in days_to_land(platform.database, platform.landing_dir, at("2026-12-01"))
    with pytest.raises(DaysNotLanded, match="so its usage is unknown") as failed:
        platform.land(DAY, NEXT_DAY)
    assert list(failed.value.failures) == [DAY]
    assert set(quantities(platform)) == {"e1", "e2", "e3", "e4"}
    assert [problem.path for problem in find_landing_problems(platform.landing_dir, NOW)] == ["2026-09-15"]


def test_a_folder_deeper_than_the_longest_path_fails_only_its_day(platform: Platform) -> None:
    """The path has more than 4,096 letters, which fails for root too."""
    both_days(platform)
    here = Path.cwd()
    os.chdir(platform.landing_dir / "2026-09-15")
    try:
        for _ in range(20):
            Path("x" * 250).mkdir()
            os.chdir("x" * 250)
    finally:
        os.chdir(here)
    with pytest.raises(DaysNotLanded, match="File name too long") as failed:
        platform.land(DAY, NEXT_DAY)
    assert list(failed.value.failures) == [DAY]
    assert set(quantities(platform)) == {"e1", "e2", "e3", "e4"}


def test_a_landing_folder_that_is_suddenly_empty_lands_nothing(platform: Platform) -> None:
    """An unmounted share: days that were never landed would count as days without usage."""
    both_days(platform)
    for day in ("2026-09-15", "2026-09-16"):
        (platform.landing_dir / day).rename(platform.landing_dir.parent / day)
    with pytest.raises(LandingError, match="mounted"):
        platform.land(date(2026, 9, 17))
    assert platform.query("select landing_day from landing_days where landing_day = '2026-09-17'") == []


ODD_FOLDERS = ["2026-11-5", "20261105", "2026-11-05.bak", "2026-02-30", "٢٠٢٦-11-05", "2022-12-31", "2199-01-01"]


def test_an_unknown_entry_is_reported_by_name_and_the_other_days_land(platform: Platform) -> None:
    for name in ODD_FOLDERS:
        (platform.landing_dir / name).mkdir()
        (platform.landing_dir / name / "usage.jsonl").write_text("{}", encoding="utf-8")
    (platform.landing_dir / "usage.jsonl").write_text("{}", encoding="utf-8")
    write_jsonl(platform.landing_dir, [event("e1")])
    write_jsonl(platform.landing_dir, [event("e2")], name="2026-09-16/usage")
    write_text(platform.landing_dir, DAY, "notes.txt", "what?")
    for age, name in ((timedelta(hours=25), ".old.part"), (timedelta(hours=23), ".new.part")):
        path = write_text(platform.landing_dir, DAY, name, "{}")
        written_at = (NOW - age).timestamp()
        os.utime(path, (written_at, written_at))
    assert days_to_land(platform.database, platform.landing_dir, at("2026-12-01")) == [DAY]
    platform.land()
    assert set(quantities(platform)) == {"e1", "e2"}
    found = {
        problem.path: problem.message for problem in list_landing_problems(platform.database, platform.landing_dir, NOW)
    }
    assert set(found) == {
        *ODD_FOLDERS,
        "usage.jsonl",
        "2026-09-15/2026-09-16",
        "2026-09-15/.old.part",
        "2026-09-15/notes.txt",
    }
    assert found["2026-11-5"].startswith("not a landing day. Files land from folders named YYYY-MM-DD")
    assert found["2022-12-31"] == "2022-12-31 is before 2023-01-01, the first landing day. Its files are not landed"
    assert found["2026-09-15/notes.txt"].startswith("rejected (unknown_format): .txt")


def test_a_day_without_a_folder_is_due_without_naming_a_month(platform: Platform) -> None:
    """September is over: acme has no invoice of it, and 16 September has no folder."""
    now = datetime(2026, 10, 5, tzinfo=UTC)
    write_jsonl(platform.landing_dir, [event("e1")])
    due = days_due(platform.database, platform.landing_dir, now, timedelta(hours=72))
    assert NEXT_DAY in due
    platform.land(*due, now=now)
    assert NEXT_DAY not in days_due(platform.database, platform.landing_dir, now, timedelta(hours=72))


@pytest.mark.parametrize("today", ["2026-12-01T01:00:00", "2026-12-03T23:59:59", "2026-12-04", "2026-11-30"])
def test_every_month_that_closes_now_has_its_days_landed_also_in_the_grace_period_of_a_later_one(
    platform: Platform, today: str
) -> None:
    """Until 4 December, August to October close and November can't yet: 1 August, without a folder, is due, too."""
    now, grace = at(today), timedelta(days=3)
    write_jsonl(platform.landing_dir, [event("e1")])
    due = days_due(platform.database, platform.landing_dir, now, grace)
    closing = months_to_close(platform.database, closed_until(now, grace))
    assert len(closing) >= 3
    assert {month.first_day for month in closing} <= set(due)
    assert max(due) < now.date()


def test_days_without_a_folder_are_due_in_an_open_month_too_from_the_first_known_day_on(platform: Platform) -> None:
    """On 20 September, the folder of the 15th is the first. August's grace period ended with the 3rd."""
    now, grace = datetime(2026, 9, 20, 12, tzinfo=UTC), timedelta(hours=72)
    write_jsonl(platform.landing_dir, [event("e1")])
    due = days_due(platform.database, platform.landing_dir, now, grace)
    assert [day.day for day in due if day >= date(2026, 9, 1)] == [1, 2, 3, 15, 16, 17, 18, 19]
    platform.land(*due, now=now)
    assert [day for day in days_due(platform.database, platform.landing_dir, now, grace) if day > DAY] == []


def test_naming_an_open_month_lists_its_days_up_to_today_and_no_later_one(platform: Platform) -> None:
    """On 15 September, the days from 16 September to the end of the grace period have not begun: none can land."""
    now, grace, september = datetime(2026, 9, 15, 12, tzinfo=UTC), timedelta(hours=72), BillingMonth(2026, 9)
    write_jsonl(platform.landing_dir, [event("e1")])
    due = days_due(platform.database, platform.landing_dir, now, grace, september)
    assert [day for day in due if day >= september.first_day] == [date(2026, 9, day) for day in range(1, 16)]
    platform.land(*due, now=now)
    assert days_due(platform.database, platform.landing_dir, now, grace, september) == [DAY]


def test_an_unreadable_day_fails_its_partition_and_the_other_days_are_materialized(deployment: Deployment) -> None:
    days = [date(2026, 10, 1), date(2026, 10, 2)]
    deployment.add_organization("acme")
    deployment.load_prices()
    for day in days:
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        deployment.write_usage(day, [machine_seconds(str(day), "acme", moment, "1")])
    (deployment.landing_dir / "2026-10-01").rename(deployment.landing_dir / "2026-10-1")
    (deployment.landing_dir / "2026-10-01").write_text("a file", encoding="utf-8")
    tags = {
        "dagster/asset_partition_range_start": "2026-10-01",
        "dagster/asset_partition_range_end": "2026-10-02",
    }
    result = deployment.run("land_usage", tags, fails=True)
    checks = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    assert not checks["every_landed_row_is_accepted_duplicate_or_rejected"].passed
    understood = checks["everything_in_the_landing_folder_is_understood"]
    assert (understood.passed, understood.metadata["wrong"].value) == (False, 2)
    materialized = deployment.instance.get_materialized_partitions(AssetKey("usage_events"))
    assert materialized == {"2026-10-02"}


def problems(platform: Platform) -> dict[str, str]:
    found = list_landing_problems(platform.database, platform.landing_dir, NOW)
    return {problem.path: problem.message for problem in found}


def test_a_missing_folder_of_a_day_that_landed_is_reported_until_it_is_back_or_empty(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    write_jsonl(platform.landing_dir, [event("e2", "3")], DAY + timedelta(days=1))
    platform.land(DAY, DAY + timedelta(days=1))
    rmtree(platform.landing_dir / DAY.isoformat())
    assert list(problems(platform)) == [DAY.isoformat()]
    assert "still counts. Restore it" in problems(platform)[DAY.isoformat()]
    assert list_landing_problems(platform.database, platform.landing_dir, NOW + timedelta(days=40)) == []
    (platform.landing_dir / DAY.isoformat()).mkdir()
    platform.land(DAY)
    assert problems(platform) == {}
