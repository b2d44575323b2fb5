"""(source, id) is unique over all history: a repeated key with another time or quantity is refused, by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from itertools import permutations
from pathlib import Path

import psycopg
import pytest

from fly_billing.money import plain
from fly_billing.usage.key_index import FOLDER, UNFINISHED
from fly_billing.worklist.due import days_to_land
from tests.support.builders import DAY, OCTOBER, Platform, at, event, write_jsonl

EARLY, LATE = date(2026, 9, 2), date(2026, 9, 20)
EARLY_TIME, LATE_TIME = "2026-09-02T12:00:00Z", "2026-09-20T12:00:00Z"
REFUSED = (
    "an event with this source and id was accepted before with other content, from {}: send a correction under a new id"
)
EARLY_EVENT = "2026-09-02/usage.jsonl:1 (time 2026-09-02T12:00:00.000000Z)"
LATE_EVENT = "2026-09-20/usage.jsonl:1 (time 2026-09-20T12:00:00.000000Z)"


def used(platform: Platform) -> list[str]:
    """Return September's billed quantities; acme pays $0.10 for each request."""
    platform.roll_up(now=at("2026-10-05"))
    return [plain(row["quantity"]) for row in platform.query("select quantity from usage_rollups where events > 0")]


def write_both(platform: Platform) -> None:
    """Write the same key on 2 September (2 requests) and on the 20th (5 requests)."""
    write_jsonl(platform.landing_dir, [event("e1", "2", time=EARLY_TIME)], EARLY)
    write_jsonl(platform.landing_dir, [event("e1", "5", time=LATE_TIME)], LATE)


def refusals(platform: Platform) -> list[tuple[date, str]]:
    found = platform.query("select landing_day, message from rejected_usage order by landing_day")
    return [(row["landing_day"], row["message"]) for row in found]


def test_a_key_repeated_weeks_later_is_refused_and_billed_once(platform: Platform) -> None:
    write_both(platform)
    platform.land(EARLY)
    platform.land(LATE)
    assert refusals(platform) == [(LATE, REFUSED.format(EARLY_EVENT))]
    assert used(platform) == ["2"]


def test_a_key_of_another_month_is_refused_too(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2", time=EARLY_TIME)], EARLY)
    platform.land(EARLY)
    later = date(2026, 10, 20)
    write_jsonl(platform.landing_dir, [event("e1", "2", time="2026-10-20T12:00:00Z")], later)
    platform.land(later)
    assert refusals(platform) == [(later, REFUSED.format(EARLY_EVENT))]
    platform.roll_up(OCTOBER, at("2026-11-05"))
    assert platform.query("select * from usage_rollups") == []


def test_the_error_of_a_key_repeated_in_one_landing_names_the_first_one(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e1", "3")])
    platform.land()
    assert refusals(platform) == [(DAY, REFUSED.format("2026-09-15/usage.jsonl:1 (time 2026-09-15T12:00:00.000000Z)"))]


@pytest.mark.parametrize("again", [*permutations([(EARLY,), (LATE,), (EARLY, LATE)])], ids=str)
@pytest.mark.parametrize(
    ("first", "refused", "quantity"),
    [
        ([(EARLY,), (LATE,)], (LATE, REFUSED.format(EARLY_EVENT)), "2"),
        ([(LATE,), (EARLY,)], (EARLY, REFUSED.format(LATE_EVENT)), "5"),
        ([(EARLY, LATE)], (LATE, REFUSED.format(EARLY_EVENT)), "2"),
    ],
    ids=["early first", "late first", "at once"],
)
def test_an_accepted_event_stays_accepted_when_days_land_again_in_any_order(
    platform: Platform,
    first: list[tuple[date, ...]],
    refused: tuple[date, str],
    quantity: str,
    again: tuple[tuple[date, ...], ...],
) -> None:
    write_both(platform)
    for days in (*first, *again):
        platform.land(*days)
        if days not in first[:-1]:
            assert refusals(platform) == [refused]
    assert used(platform) == [quantity]


def test_a_refused_row_can_be_landed_again_once_the_conflicting_event_is_gone(platform: Platform) -> None:
    write_both(platform)
    platform.land(EARLY, LATE)
    assert days_to_land(platform.database, platform.landing_dir, at("2026-12-01")) == []
    write_jsonl(platform.landing_dir, [event("other", "1", time=EARLY_TIME)], EARLY)
    platform.land(EARLY)
    assert days_to_land(platform.database, platform.landing_dir, at("2026-12-01")) == [LATE]
    platform.land(LATE)
    assert refusals(platform) == []
    assert days_to_land(platform.database, platform.landing_dir, at("2026-12-01")) == []
    platform.roll_up(now=at("2026-10-05"))
    assert [plain(row["quantity"]) for row in platform.query("select quantity from usage_rollups")] == ["6"]


def test_keys_are_compared_byte_by_byte(platform: Platform) -> None:
    """A composed and a decomposed accent, a space at the end, an upper-case letter: five events, not one."""
    ids = ["caf\u00e9", "cafe\u0301", "cafe", "cafe ", "Cafe"]
    for number, name in enumerate(ids):
        day = date(2026, 9, 2 + number)
        write_jsonl(platform.landing_dir, [event(name, "1", time=f"{day}T12:00:00Z")], day)
        platform.land(day)
    assert refusals(platform) == []
    assert used(platform) == ["5"]


def state_file(folder: Path) -> Path:
    return folder / "state.json"


def restored(folder: Path, old: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(old, folder)


def each_file(folder: Path, change: Callable[[bytes], bytes]) -> None:
    for file in folder.glob("*.keys"):
        file.write_bytes(change(file.read_bytes()))


def emptied_while_unfinished(folder: Path) -> None:
    """The state after a killed landing, when a file's time does not show whether it was damaged."""
    (folder / UNFINISHED).touch()
    each_file(folder, lambda content: bytes(len(content)))


LOST: dict[str, Callable[[Path, Path], object]] = {
    "gone": lambda folder, _: folder.rename(folder.with_name("_elsewhere")),
    "state gone": lambda folder, _: state_file(folder).rename(folder / "elsewhere"),
    "state torn": lambda folder, _: state_file(folder).write_bytes(state_file(folder).read_bytes()[:40]),
    "a file gone": lambda folder, _: next(folder.glob("*.keys")).rename(folder / "elsewhere"),
    "a file cut": lambda folder, _: next(folder.glob("*.keys")).write_bytes(bytes(64)),
    "as it was before the first landing": restored,
    "files as long as before, and empty": lambda folder, _: each_file(folder, lambda content: bytes(len(content))),
    "files as long as before, of noise": lambda folder, _: each_file(folder, lambda content: b"\xa5" * len(content)),
    "files of before, empty, after a killed landing": lambda folder, _: emptied_while_unfinished(folder),
}


@pytest.mark.parametrize("loss", LOST)
def test_an_index_that_is_missing_or_older_than_the_table_is_rebuilt(
    platform: Platform, loss: str, tmp_path: Path
) -> None:
    platform.land(DAY)
    folder = platform.usage_table.local_folder / FOLDER
    shutil.copytree(folder, tmp_path / "old")
    write_both(platform)
    platform.land(EARLY)
    LOST[loss](folder, tmp_path / "old")
    platform.land(LATE)
    assert refusals(platform) == [(LATE, REFUSED.format(EARLY_EVENT))]


def test_a_killed_landing_leaves_no_key_that_could_conflict(platform: Platform) -> None:
    write_both(platform)
    platform.land(DAY)
    platform.execute(
        "create function killed() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$"
    )
    platform.execute("create trigger killed before insert on usage_files execute function killed()")
    with pytest.raises(psycopg.Error, match="killed"):
        platform.land(EARLY)
    platform.execute("drop trigger killed on usage_files")
    platform.land(LATE)
    assert refusals(platform) == []
    assert used(platform) == ["5"]
    platform.land(EARLY)
    assert refusals(platform) == [(EARLY, REFUSED.format(LATE_EVENT))]
