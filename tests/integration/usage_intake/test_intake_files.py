"""Stored usage is in exactly one file, which landing sees only when it is complete, whenever the process ends."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from fly_billing.usage_intake.intake import NotStored, PostedOutcome, UsageIntake
from fly_billing.usage_intake.reading import read_posted
from fly_billing.usage_intake.rules.file_names import HIDDEN, file_name
from fly_billing.worklist.due import days_to_land
from tests.support.builders import DAY, Platform
from tests.support.usage_sender import cloud_event, stored_ids

NOON = datetime(2026, 9, 15, 12, tzinfo=UTC)


class Days:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


def started(landing_dir: Path, clock: Callable[[], datetime] = Days(), **options: object) -> UsageIntake:  # noqa: B008
    intake = UsageIntake(landing_dir, now=clock, **options)  # type: ignore[arg-type]
    intake.start()
    return intake


def store(intake: UsageIntake, *names: str, source: str = "proxy", quantity: object = 1) -> list[str]:
    """Store events with these ids; return each outcome."""
    text = json.dumps([cloud_event(name, quantity, source=source) for name in names])
    return [outcome.word for outcome in intake.submit(source, read_posted(text, source, DAY)).result()]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def hidden_file(landing_dir: Path, content: str, number: int = 1) -> Path:
    path = landing_dir / f"{HIDDEN}{file_name('proxy', NOON, number)}"
    path.write_text(content, encoding="utf-8")
    return path


def line_of(name: str) -> str:
    return f"{json.dumps(cloud_event(name))}\n"


def test_landing_sees_a_file_only_when_it_is_complete_and_lands_the_day_again_for_the_next(platform: Platform) -> None:
    """Fifteen minutes of September 15: two files are published, and the day lands after each."""
    folder = platform.landing_dir / DAY.isoformat()
    folder.mkdir()
    now = NOON + timedelta(minutes=5)
    for name in ("a", "b"):
        intake = started(platform.landing_dir)
        assert store(intake, name) == ["accepted"]
        assert [file.path for file in platform.land(DAY, now=now) if name in file.path] == []
        assert days_to_land(platform.database, platform.landing_dir, now) == []
        before = {path: path.read_bytes() for path in folder.iterdir()}
        intake.close()
        assert {path: path.read_bytes() for path in before} == before
        assert days_to_land(platform.database, platform.landing_dir, now) == [DAY]
    assert [(file.accepted, file.duplicate, file.rejected) for file in platform.land(DAY, now=now)] == [(1, 0, 0)] * 2


def test_a_file_begun_before_midnight_is_in_the_folder_of_the_day_on_which_it_is_published(landing_dir: Path) -> None:
    """So no file appears in a folder of a day that is over and may have landed for the last time."""
    clock = Days()
    intake = started(landing_dir, clock)
    clock.now = datetime(2026, 9, 15, 23, 59, 59, tzinfo=UTC)
    store(intake, "a")
    clock.now = datetime(2026, 9, 16, 0, 0, 1, tzinfo=UTC)
    intake.close()
    assert [path.parent.name for path in landing_dir.glob("*/*")] == ["2026-09-16"]


def test_a_file_is_published_when_its_time_is_over(landing_dir: Path) -> None:
    intake = started(landing_dir, publish_after=0.0)
    assert store(intake, "a") == store(intake, "b") == ["accepted"]
    intake.close()
    assert [len(path.read_text(encoding="utf-8").splitlines()) for path in landing_dir.glob("*/*")] == [1, 1]


def test_a_large_file_is_followed_by_another_so_that_landing_reads_it_with_others(landing_dir: Path) -> None:
    intake = started(landing_dir)
    for name in "abcde":
        text = json.dumps([cloud_event(f"{name}{number}", note="x" * 1_000_000) for number in range(4)])
        intake.submit("proxy", read_posted(text, "proxy", DAY)).result()
    intake.close()
    assert [path.stat().st_size // 10**6 for path in sorted(landing_dir.glob("*/*"))].count(12) == 1
    assert len(stored_ids(landing_dir)) == 20
    assert max(path.stat().st_size for path in landing_dir.glob("*/*")) < 2**24


def test_each_source_has_files_of_its_own(landing_dir: Path) -> None:
    intake = started(landing_dir)
    store(intake, "a")
    assert store(intake, "a", source="machines") == ["accepted"]
    intake.close()
    names = files(landing_dir / "2026-09-15")
    assert [name.split(".")[0] for name in names] == ["machines", "proxy"]


def test_many_waiting_requests_share_one_write(landing_dir: Path) -> None:
    """While the first is being synced, fifty more arrive."""
    syncs: list[int] = []
    go_on = threading.Event()
    reached = threading.Event()

    def sync(descriptor: int) -> None:
        syncs.append(descriptor)
        reached.set()
        assert go_on.wait(60)

    intake = started(landing_dir, sync=sync)
    events = [read_posted(json.dumps(cloud_event(f"e{number}")), "proxy", DAY) for number in range(51)]
    first = intake.submit("proxy", events[0])
    assert reached.wait(60)
    others = [intake.submit("proxy", some) for some in events[1:]]
    go_on.set()
    assert [each.result()[0].word for each in [first, *others]] == ["accepted"] * 51
    assert len(syncs) == 3  # the folder for the new file, the first event, the fifty
    intake.close()
    assert len(stored_ids(landing_dir)) == 51


# After a kill ------------------------------------------------------------------------------------------------------


def test_what_a_killed_process_left_is_published_without_the_line_that_it_was_writing(landing_dir: Path) -> None:
    hidden_file(landing_dir, line_of("a") + line_of("b") + line_of("c")[:-20])
    hidden_file(landing_dir, "", 2)
    hidden_file(landing_dir, "\0" * 100_000, 3)
    intake = started(landing_dir)
    assert stored_ids(landing_dir) == ["a", "b"]
    assert files(landing_dir) == []
    assert store(intake, "a", "b", "c") == ["duplicate", "duplicate", "accepted"]
    intake.close()


def test_the_events_of_yesterday_and_today_are_still_duplicates_after_a_restart(landing_dir: Path) -> None:
    clock = Days()
    for name in ("a", "b"):
        intake = started(landing_dir, clock)
        store(intake, name)
        intake.close()
        clock.now += timedelta(days=1)
    clock.now -= timedelta(days=1)
    (landing_dir / "2026-09-16" / "broken.http-20260916T000000-000000001.jsonl").write_bytes(b"\xff{}\n[]\nnull\n")
    intake = started(landing_dir, clock)
    assert store(intake, "a", "b", "c") == ["duplicate", "duplicate", "accepted"]
    intake.close()


def test_a_file_of_a_running_process_is_left_to_it(landing_dir: Path) -> None:
    """Two servers may write to one landing folder; each knows the other's events only once they are published."""
    first = started(landing_dir)
    store(first, "a")
    path = hidden_file(landing_dir, line_of("x"))
    with path.open("rb") as locked:  # as in a process that has just made its file
        fcntl.flock(locked, fcntl.LOCK_EX)
        second = started(landing_dir)
    assert len(files(landing_dir)) == 2
    store(second, "b")
    for intake in (second, first):
        intake.close()
    assert sorted(stored_ids(landing_dir, hidden=False)) == ["a", "b"]
    started(landing_dir).close()
    assert sorted(stored_ids(landing_dir, hidden=False)) == ["a", "b", "x"]


# Faults of the disk ------------------------------------------------------------------------------------------------


def failed(intake: UsageIntake, name: str) -> str:
    with pytest.raises(NotStored) as problem:
        store(intake, name)
    return str(problem.value)


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_an_event_whose_sync_failed_is_stored_once_by_the_next_try(landing_dir: Path, failing: int) -> None:
    """The disk fails at one of its first syncs: of the folder, of the first event, of the second."""
    calls = iter(range(1, 1000))

    def sync(descriptor: int) -> None:
        if next(calls) == failing:
            raise OSError(5, "Input/output error")
        os.fsync(descriptor)

    intake = started(landing_dir, sync=sync)
    for name in ("a", "b", "c"):
        for _ in range(3):
            try:
                store(intake, name)
            except NotStored:
                continue
            break
    assert store(intake, "a", "b", "c") == ["duplicate"] * 3
    intake.close()
    assert sorted(stored_ids(landing_dir, hidden=False)) == ["a", "b", "c"]
    assert files(landing_dir) == []


def test_a_write_of_which_the_disk_takes_only_a_part_leaves_no_part_behind(landing_dir: Path) -> None:
    intake = started(landing_dir)
    store(intake, "a")
    (hidden,) = landing_dir.glob(".*")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hidden.stat().st_size + 20, hard))
    try:
        assert failed(intake, "b") == "File too large"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store(intake, "a", "b") == ["duplicate", "accepted"]
    intake.close()
    assert sorted(stored_ids(landing_dir, hidden=False)) == ["a", "b"]


def test_events_that_can_not_be_published_stay_on_disk_and_are_published_later(landing_dir: Path) -> None:
    (landing_dir / "2026-09-15").write_text("a file in the place of the day's folder", encoding="utf-8")
    intake = started(landing_dir, publish_after=0.0)
    assert store(intake, "a") == ["accepted"]
    store(intake, "b")
    assert "can't be published to landing: File exists" in (intake.problem() or "")
    (landing_dir / "2026-09-15").unlink()
    intake.close()
    assert intake.problem() is None
    assert sorted(stored_ids(landing_dir, hidden=False)) == ["a", "b"]


def test_a_landing_folder_that_disappears_fails_requests_and_not_the_server(landing_dir: Path) -> None:
    away = landing_dir.with_name("away")
    intake = started(landing_dir)
    landing_dir.rename(away)
    assert failed(intake, "a") == "No such file or directory"
    assert intake.problem() == "events can't be stored: No such file or directory"
    away.rename(landing_dir)
    assert store(intake, "a") == ["accepted"]
    intake.close()
    assert stored_ids(landing_dir, hidden=False) == ["a"]


def test_an_outcome_is_one_of_three_words() -> None:
    outcomes: Sequence[PostedOutcome] = [PostedOutcome("a"), PostedOutcome("a", is_duplicate=True)]
    assert [outcome.word for outcome in outcomes] == ["accepted", "duplicate"]
    assert date(2026, 9, 15) == DAY
