"""Days that never landed before land in several processes. The result is that of one process, or nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fly_billing import processes
from fly_billing.periods import FIRST_MONTH
from fly_billing.usage import landing, landing_batches
from fly_billing.usage.landing import DaysNotLanded, land_days
from fly_billing.usage.landing_batches import Batches
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rules.declared_sources import DataField, DeclaredSource, DeclaredSources
from fly_billing.usage.source_contracts import SourceContracts
from tests.integration.usage.test_unchanged_days import LATER, state_of
from tests.support.builders import DAY, Platform, event, write_csv, write_jsonl, write_parquet, write_text

DAYS = [DAY + timedelta(days=number) for number in range(4)]
WRITERS: dict[str, Callable[..., Path]] = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}


@pytest.fixture(autouse=True)
def _small_files_are_worth_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_at_once(_: Path, days: Sequence[date], most: int = 1) -> Batches:
        return Batches(most, [days] if days else [])

    monkeypatch.setattr(landing, "split_into_batches", all_at_once)
    monkeypatch.setattr(landing_batches, "BYTES_PER_SHARE", 1)


def land(
    platform: Platform, *days: date, most: int, contracts: SourceContracts | None = None, said: Any = None
) -> list[LandedFile]:
    return land_days(
        platform.database, platform.usage_table, platform.landing_dir, list(days), FIRST_MONTH, LATER,
        (said if said is not None else []).append, contracts, processes=most,
    )  # fmt: skip


def write_some(random: Random, landing_dir: Path, days: list[date]) -> None:
    """Write files with copies within a file, a day and across days, contradictions, and rows that can't be billed."""
    for number in range(random.randrange(4, 12)):
        events = [
            event(
                f"e{random.randrange(30)}", random.choice(["1", "1", "1", "2", "-1"]),
                subject=random.choice(["acme", "acme", "acme", "nobody"]),
            )
            for _ in range(random.randrange(8))
        ]  # fmt: skip
        day, form = random.choice(days), random.choice([*WRITERS])
        if events:
            WRITERS[form](landing_dir, events, day, name=f"file-{number}")
    write_text(landing_dir, random.choice(days), "broken.jsonl", "no line is an event\n")


@pytest.mark.parametrize("seed", range(6))
def test_any_new_days_land_in_any_number_of_processes_as_in_one(platform: Platform, twin: Platform, seed: int) -> None:
    """The second landing meets copies of events that the first one accepted."""
    random = Random(seed)
    for days in (DAYS[:2], DAYS[2:]):
        write_some(random, platform.landing_dir, days)
        said: list[str] = []
        together = land(platform, *days, most=random.randrange(2, 5), said=said)
        assert any(" processes" in line for line in said), said
        assert sorted(together, key=str) == sorted(land(twin, *days, most=1), key=str)
        assert state_of(platform) == state_of(twin)
    kinds = {name for file in state_of(twin)["files"] for name in ("accepted", "duplicate", "rejected") if file[name]}
    assert kinds == {"accepted", "duplicate", "rejected"}


def test_two_copies_in_two_files_are_one_event_and_a_duplicate(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "5")], DAYS[0])
    write_jsonl(platform.landing_dir, [event("e1", "5"), event("e2", "7")], DAYS[1])
    files = land(platform, *DAYS[:2], most=2)
    assert [(file.day, file.accepted, file.duplicate) for file in files] == [(DAYS[0], 1, 0), (DAYS[1], 1, 1)]


def test_a_copy_with_another_quantity_in_another_process_is_rejected_with_the_place_of_the_first(
    platform: Platform,
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "5")], DAYS[0], name="first")
    write_jsonl(platform.landing_dir, [event("e1", "6")], DAYS[1], name="second")
    land(platform, *DAYS[:2], most=2)
    (row,) = platform.rejected()
    assert (row["path"], row["reason"]) == ("second.jsonl", "conflicting_duplicate")
    assert f"from {DAYS[0]}/first.jsonl:1" in row["message"]


def test_a_landed_day_lands_again_in_one_process_because_its_earlier_events_matter(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "5")], DAYS[0])
    write_jsonl(platform.landing_dir, [event("e1", "5")], DAYS[1])
    land(platform, *DAYS[:2], most=2)
    write_jsonl(platform.landing_dir, [event("e2", "1")], DAYS[0])  # the accepted copy of e1 is gone
    said: list[str] = []
    land(platform, DAYS[0], most=2, said=said)
    assert not any(" processes" in line for line in said), said
    assert [(row["landing_day"], row["accepted"], row["duplicate"]) for row in state_of(platform)["files"]] == [
        (DAYS[0], 1, 0),
        (DAYS[1], 1, 0),
    ]


def test_declared_sources_are_credited_with_the_rows_of_all_processes(platform: Platform) -> None:
    declared = DeclaredSources((DeclaredSource("s1", ("requests",), fields=(DataField("region"),)),))
    for number, day in enumerate(DAYS):
        events = [event(f"e{number}-{n}", "1", source="s1", region="ams") for n in range(3)]
        write_jsonl(platform.landing_dir, [*events, event(f"e{number}-without", "1", source="s1")], day)
    contracts = SourceContracts(declared)
    land(platform, *DAYS, most=3, contracts=contracts)
    found = contracts.landed["s1"]
    assert (found.files, found.landed, found.accepted, found.duplicate, found.rejected) == (4, 16, 12, 0, 4)


# --- Killed ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Kill a process of the landing at the answer with each of these numbers."""
    at: list[int] = []
    answers = 0
    receive = processes.ProcessCall.receive

    def received(call: Any) -> Any:
        nonlocal answers
        answers += 1
        if answers in at:
            os.kill(call._process._process.pid, signal.SIGKILL)
        return receive(call)

    monkeypatch.setattr(processes.ProcessCall, "receive", received)
    yield at


@pytest.mark.parametrize("number", range(1, 9))
def test_a_process_that_is_killed_at_any_answer_leaves_all_or_nothing_and_the_second_try_lands_the_days(
    platform: Platform, twin: Platform, killed: list[int], number: int
) -> None:
    """Two processes give three answers each, and one more for the rejected rows of each."""
    for day in DAYS[:2]:
        write_jsonl(platform.landing_dir, [event("e1", "5"), event(f"e-{day}", "7"), event("bad", "-1")], day)
    killed.append(number)
    said: list[str] = []
    land(platform, *DAYS[:2], most=2, said=said)
    assert said.count("reading 2 files in 2 processes") == 2
    land(twin, *DAYS[:2], most=1)
    assert state_of(platform) == state_of(twin)


def test_days_land_in_this_process_if_others_are_always_killed(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with little memory ends processes again and again."""
    for day in DAYS:
        write_jsonl(platform.landing_dir, [event(f"e-{day}", "1")], day)
    begin = processes.ProcessCall

    def begun(process: Any, function: Any, arguments: Any) -> Any:
        call = begin(process, function, arguments)
        os.kill(process._process.pid, signal.SIGKILL)
        return call

    monkeypatch.setattr(processes, "ProcessCall", begun)
    assert [file.accepted for file in land(platform, *DAYS, most=2)] == [1] * 4


def test_a_day_that_can_not_be_listed_stops_no_other_day(platform: Platform) -> None:
    for day in DAYS[:3]:
        write_jsonl(platform.landing_dir, [event(f"e-{day}", "1")], day)
    (platform.landing_dir / str(DAYS[3])).write_text("a file, and no folder", encoding="utf-8")
    with pytest.raises(DaysNotLanded) as failed:
        land(platform, *DAYS, most=2)
    assert [*failed.value.failures] == [DAYS[3]]
    assert [file.day for file in failed.value.files] == DAYS[:3]
