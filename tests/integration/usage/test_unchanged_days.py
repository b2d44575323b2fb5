"""Landing reads new files only. The result is as if it had read every file of every day again."""

from __future__ import annotations

import gzip
import os
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from fly_billing.periods import FIRST_MONTH
from fly_billing.usage import landing_additions, landing_batches
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_changes import find_additions
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rules.declared_sources import DataField, DeclaredSource, DeclaredSources
from fly_billing.usage.source_contracts import LandedSource, SourceContracts
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import DAY, NOW, Platform, at, event, json_line, write_jsonl, write_text

LATER = NOW + timedelta(hours=1)
NEXT_DAY = DAY + timedelta(days=1)


class Landings:
    """Lands into a platform and knows which files were read."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.said: list[str] = []

    def land(
        self, *days: date, from_scratch: bool = False, contracts: SourceContracts | None = None
    ) -> list[LandedFile]:
        self.said.clear()
        return land_days(
            self.platform.database, self.platform.usage_table, self.platform.landing_dir, days or [DAY], FIRST_MONTH,
            LATER, self.said.append, contracts, from_scratch=from_scratch,
        )  # fmt: skip

    @property
    def read(self) -> str:
        """Return how many files were read: `nothing`, `added` or `whole`."""
        if any("to the usage table" in line for line in self.said):
            return "whole"
        return "added" if any("of the usage table" in line for line in self.said) else "nothing"


@pytest.fixture
def landings(platform: Platform) -> Landings:
    return Landings(platform)


def state_of(platform: Platform) -> dict[str, Any]:
    """Return everything that landings record, except versions, times and the names of data files."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        events = duck.execute("from events order by all").fetchall()
    return {"events": events} | {
        name: platform.query(statement)
        for name, statement in {
            "files": "select * from usage_files order by landing_day, path",
            "months": "select landing_day, month, accepted, rows from landed_months where rows > 0 order by 1, 2",
            "rejected": "select to_jsonb(r) - 'id' as row from rejected_usage as r order by landing_day, path, line",
        }.items()
    }


def days_landed_at(platform: Platform) -> dict[date, Any]:
    return {row["landing_day"]: row["landed_at"] for row in platform.query("select * from landing_days")}


# --- Days that stay as they are ------------------------------------------------------------------------------------


def test_a_day_whose_files_are_as_they_landed_is_not_read_again_and_counts_as_landed_now(
    platform: Platform, landings: Landings
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "3")])
    first = landings.land()
    assert landings.read == "whole"
    version, before = platform.table().version, state_of(platform)
    assert landings.land() == first
    assert landings.read == "nothing"
    assert (platform.table().version, state_of(platform)) == (version, before)
    assert days_landed_at(platform) == {DAY: LATER}


def test_a_day_without_files_stays_a_day_without_usage(platform: Platform, landings: Landings) -> None:
    (platform.landing_dir / DAY.isoformat()).mkdir()
    assert landings.land() == []
    assert landings.land() == []
    assert landings.read == "nothing"


def test_a_person_can_have_an_unchanged_day_read_again(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    landings.land()
    version = platform.table().version
    landings.land(from_scratch=True)
    assert landings.read == "whole"
    assert platform.table().version == version + 1


def test_an_unchanged_day_does_not_keep_a_changed_one_from_landing(platform: Platform, landings: Landings) -> None:
    for day in (DAY, NEXT_DAY):
        write_jsonl(platform.landing_dir, [event(f"{day}", "2")], day)
    landings.land(DAY, NEXT_DAY)
    write_jsonl(platform.landing_dir, [event("corrected", "5")], NEXT_DAY)
    files = landings.land(DAY, NEXT_DAY)
    assert landings.said[0] == "1 landing day of 2 unchanged"
    assert {(file.day, file.accepted) for file in files} == {(DAY, 1), (NEXT_DAY, 1)}
    assert ids_of(platform) == [f"{DAY}", "corrected"]


def ids_of(platform: Platform) -> list[str]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return [name for (name,) in duck.execute("select id from events order by landing_day, id").fetchall()]


# --- Days that are read again --------------------------------------------------------------------------------------


def test_a_file_with_other_content_of_the_same_size_is_read(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    landings.land()
    write_jsonl(platform.landing_dir, [event("e1", "7")])
    landings.land()
    assert landings.read == "whole"
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        assert duck.execute("select sum(quantity) from events").fetchall() == [(7,)]


@pytest.mark.parametrize("change", ["removed", "renamed", "moved into a folder"])
def test_a_file_that_is_gone_takes_its_events_with_it(platform: Platform, landings: Landings, change: str) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="kept")
    gone = write_jsonl(platform.landing_dir, [event("e2", "3")], name="gone")
    landings.land()
    if change == "removed":
        gone.unlink()
    elif change == "renamed":
        gone.rename(gone.with_name("other.jsonl"))
    else:
        (gone.parent / "folder").mkdir()
        gone.rename(gone.parent / "folder" / gone.name)
    landings.land()
    assert landings.read == "whole"
    assert len(state_of(platform)["events"]) == (1 if change == "removed" else 2)


def test_a_new_meter_judges_the_rows_again(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "1", type="teapots")])
    (file,) = landings.land()
    assert (file.accepted, file.rejected) == (1, 1)
    platform.insert("meters", key="teapots", name="Teapots", unit="pot", dimensions=[], aggregation="sum")
    (file,) = landings.land()
    assert (file.accepted, file.rejected) == (2, 0)


def test_a_contract_that_changed_judges_the_rows_again(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2", region="ams")])
    landings.land()
    only_fra = DeclaredSource("proxy", ("requests",), fields=(DataField("region", values=("fra",)),))
    (file,) = landings.land(contracts=SourceContracts(DeclaredSources((only_fra,))))
    assert (file.accepted, file.rejected) == (0, 1)


@pytest.mark.parametrize("subject", ["labs", "acme"])
def test_rows_that_were_too_early_for_their_organization_are_judged_again(
    platform: Platform, landings: Landings, subject: str
) -> None:
    """labs is not known yet, and acme exists from January 2026 on."""
    when = "2026-09-15T12:00:00Z" if subject == "labs" else "2025-12-31T12:00:00Z"
    write_jsonl(platform.landing_dir, [event("e1", "2", subject=subject, time=when)])
    (file,) = landings.land()
    assert file.rejected == 1
    if subject == "labs":
        platform.add_organization("labs")
    else:
        platform.execute("update organizations set created_at = '2025-11-05T00:00:00Z'")
    (file,) = landings.land()
    assert (file.accepted, file.rejected) == (1, 0)


def test_a_rejected_row_that_nothing_has_changed_for_is_not_read_again(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "-1"), event("e3", "1", subject="labs")])
    landings.land()
    before = state_of(platform)
    landings.land()
    assert landings.read == "nothing"
    assert state_of(platform) == before


def test_a_file_that_could_not_be_read_is_tried_again(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    link = platform.landing_dir / DAY.isoformat() / "later.jsonl"
    link.symlink_to(platform.landing_dir / "missing")
    landings.land()
    landings.land()
    assert landings.read == "whole"
    link.unlink()
    write_jsonl(platform.landing_dir, [event("e2", "3")], name="later")
    landings.land()
    assert len(state_of(platform)["events"]) == 2


# --- New files -----------------------------------------------------------------------------------------------------


def test_a_new_file_is_added_and_the_others_are_not_read(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="a")
    landings.land()
    (old,) = platform.table().data_files
    write_jsonl(platform.landing_dir, [event("e2", "3"), event("e3", "-1")], name="b")
    files = landings.land()
    assert landings.read == "added"
    assert [(file.path, file.accepted, file.rejected) for file in files] == [("a.jsonl", 1, 0), ("b.jsonl", 1, 1)]
    assert old in platform.table().data_files
    assert [row["accepted"] for row in platform.query("select accepted from landed_months")] == [2]
    assert [row["event_id"] for row in platform.rejected()] == ["e3"]


def test_a_new_file_with_a_copy_from_another_day_adds_a_duplicate(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], DAY)
    write_jsonl(platform.landing_dir, [event("e2", "3")], NEXT_DAY)
    landings.land(DAY, NEXT_DAY)
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "4")], NEXT_DAY, name="copies")
    landings.land(DAY, NEXT_DAY)
    assert [(row["event_id"], row["reason"]) for row in platform.rejected()] == [("e2", "conflicting_duplicate")]
    counted = platform.query("select path, accepted, duplicate, rejected from usage_files order by landing_day, path")
    assert [tuple(row.values()) for row in counted] == [
        ("usage.jsonl", 1, 0, 0), ("copies.jsonl", 0, 1, 1), ("usage.jsonl", 1, 0, 0),
    ]  # fmt: skip


def test_a_new_file_with_a_key_of_its_own_day_lands_the_day_whole(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="b")
    landings.land()
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="a")
    files = landings.land()
    assert landings.read == "whole"
    assert [(file.path, file.accepted, file.duplicate) for file in files] == [("a.jsonl", 1, 0), ("b.jsonl", 0, 1)]


def test_a_day_of_many_data_files_lands_whole_and_has_one_again(
    platform: Platform, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(landing_additions, "MOST_DATA_FILES", 3)
    found = []
    for number in range(5):
        write_jsonl(platform.landing_dir, [event(f"e{number}", "2")], name=f"{number}")
        landings.land()
        found.append((landings.read, len(platform.table().data_files)))
    assert found == [("whole", 1), ("added", 2), ("added", 3), ("whole", 1), ("added", 2)]


def test_new_files_of_many_bytes_land_with_their_whole_days(
    platform: Platform, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="a")
    landings.land()
    monkeypatch.setattr(landing_batches, "BYTES_AT_ONCE", 10)
    write_jsonl(platform.landing_dir, [event("e2", "2")], name="b")
    landings.land()
    assert landings.read == "whole"


def test_a_new_file_that_can_not_be_read_is_an_accounted_rejection(platform: Platform, landings: Landings) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")], name="a")
    landings.land()
    write_text(platform.landing_dir, DAY, "b.parquet", "no Parquet")
    files = landings.land()
    assert landings.read == "added"
    assert [(file.path, file.landed, file.rejected) for file in files] == [("a.jsonl", 1, 0), ("b.parquet", 1, 1)]


@pytest.mark.parametrize("kind", ["a broken link", "a link to a folder", "a pipe"])
def test_a_new_entry_that_is_no_file_stops_neither_its_day_nor_another(
    platform: Platform, landings: Landings, kind: str
) -> None:
    for day in (DAY, NEXT_DAY):
        write_jsonl(platform.landing_dir, [event(f"{day}")], day, name="a")
    landings.land(DAY, NEXT_DAY)
    odd = platform.landing_dir / DAY.isoformat() / "b.jsonl"
    if kind == "a pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(platform.landing_dir / ("missing" if kind == "a broken link" else NEXT_DAY.isoformat()))
    write_jsonl(platform.landing_dir, [event("new")], NEXT_DAY, name="b")
    files = landings.land(DAY, NEXT_DAY)
    assert [(file.path, file.accepted, file.rejected) for file in files] == [
        ("a.jsonl", 1, 0), ("b.jsonl", 0, 1), ("a.jsonl", 1, 0), ("b.jsonl", 1, 0),
    ]  # fmt: skip


def test_a_new_file_that_is_deleted_before_it_is_read_stops_nothing(
    platform: Platform, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="a")
    landings.land()
    gone = write_jsonl(platform.landing_dir, [event("e2")], name="b")

    def find_and_delete(*given: Any) -> Any:
        found = find_additions(*given)
        gone.unlink(missing_ok=True)
        return found

    monkeypatch.setattr(landing_additions, "find_additions", find_and_delete)
    files = landings.land()
    assert [(file.path, file.accepted, file.rejected) for file in files] == [("a.jsonl", 1, 0), ("b.jsonl", 0, 1)]
    landings.land()
    assert [row["path"] for row in platform.query("select path from usage_files")] == ["a.jsonl"]


def test_packed_files_count_with_what_they_unpack_to(
    platform: Platform, landings: Landings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_jsonl(platform.landing_dir, [event("e1")], name="a")
    landings.land()
    packed = gzip.compress(json_line(event("e2")).encode())
    monkeypatch.setattr(landing_batches, "BYTES_AT_ONCE", 5 * len(packed))
    write_text(platform.landing_dir, DAY, "b.jsonl.gz", packed)
    landings.land()
    assert landings.read == "whole"


def test_a_source_is_credited_with_what_it_brought_since(platform: Platform, landings: Landings) -> None:
    declared = DeclaredSources((DeclaredSource("proxy", ("requests",)),))
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "2")], name="a")
    landings.land(contracts=SourceContracts(declared))
    write_jsonl(platform.landing_dir, [event("e3", "2", time="2026-09-15T13:00:00Z")], name="b")
    contracts = SourceContracts(declared)
    landings.land(contracts=contracts)
    assert contracts.landed == {"proxy": LandedSource("proxy", 1, 1, 1, 0, 0, at("2026-09-15T13:00:00"))}
    nothing = SourceContracts(declared)
    landings.land(contracts=nothing)
    assert nothing.landed == {}


# --- Any sequence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_files_gives_the_same_rows_as_landing_everything_again(
    platform: Platform, twin: Platform, seed: int
) -> None:
    random, read = Random(seed), []
    for number in range(12):
        change(random, platform.landing_dir, [platform, twin], number)
        days = [day for day in (DAY, NEXT_DAY) if random.random() < 0.8] or [DAY]
        landings = Landings(platform)
        landings.land(*days)
        read.append(landings.read)
        Landings(twin).land(*days, from_scratch=True)
        assert state_of(platform) == state_of(twin), f"after step {number}: {read}"
    assert len(set(read)) > 1, "the sequence has to have days that are added to or left as they are"


def change(random: Random, landing_dir: Path, platforms: list[Platform], number: int) -> None:
    """Change the landing folder or the records, as sources and people do."""
    day = random.choice([DAY, NEXT_DAY])
    files = sorted((landing_dir / day.isoformat()).glob("*.jsonl"))
    kind = random.choice(["add", "add", "add", "rewrite", "remove", "nothing", "organization"])
    if kind == "add" or not files:
        write_jsonl(landing_dir, some_events(random), day, name=random.choice("abcdefgh") + str(number))
    elif kind == "rewrite":
        write_jsonl(landing_dir, some_events(random), day, name=random.choice(files).stem)
    elif kind == "remove":
        random.choice(files).unlink()
    elif kind == "organization":
        for platform in platforms:
            if "labs" not in platform.organizations():
                platform.add_organization("labs")


def some_events(random: Random) -> list[dict[str, Any]]:
    """Return events of which some are copies of, or contradict, events of other files, and some are broken."""
    return [
        event(
            f"e{random.randrange(40)}", random.choice(["1", "1", "1", "2", "-1"]),
            subject=random.choice(["acme", "acme", "labs"]),
        )
        for _ in range(random.randrange(4))
    ]  # fmt: skip
