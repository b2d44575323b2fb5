"""Maintenance joins small files and deletes unused ones. What final invoices billed stays readable, row by row."""

from __future__ import annotations

import os
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from deltalake import DeltaTable

from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.periods import BillingMonth
from fly_billing.usage import maintenance
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.maintenance import Maintained, maintain
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable, open_duckdb
from tests.support.builders import CLOSED, DAY, NOW, SEPTEMBER, Platform, event, write_jsonl

TODAY = date(2026, 12, 1)
AT_ONCE = timedelta(0)
LATER = NOW + timedelta(hours=1)


def maintained(platform: Platform, today: date = TODAY) -> Maintained:
    found = maintain(platform.database, platform.usage_table, today, kept_for=AT_ONCE)
    assert found is not None
    return found


def billed_events(platform: Platform) -> list[tuple[Any, ...]]:
    """Return every accepted event of the version that each snapshot names, with the snapshot."""
    found = []
    snapshots = platform.query(
        "select snapshot_id as id, organization_id, month, lake_version from usage_as_of order by snapshot_id"
    )
    for row in snapshots:
        with open_duckdb() as duck:
            month = BillingMonth(row["month"].year, row["month"].month)
            platform.table().open_view(duck, "events", month, version=row["lake_version"])
            whose = {"name": row["organization_id"]}
            accepted = (
                "select source, id, time, quantity from events where not is_duplicate and organization_id = $name"
            )
            events = duck.execute(f"{accepted} order by all", whose).fetchall()
            found.append((row["id"], *events))
    return found


def files_on_disk(platform: Platform) -> int:
    return sum(1 for _ in platform.usage_table.local_folder.rglob("*.parquet"))


def add_file(platform: Platform, number: int, day: date = DAY, now: datetime = NOW, organization: str = "acme") -> None:
    """Land a file with one more event of 2 requests. Each landing writes a data file of its own."""
    time = f"{day}T08:00:00Z"
    write_jsonl(platform.landing_dir, [event(f"e{number}", "2", subject=organization, time=time)], day, f"f{number}")
    platform.land(day, now=now)


def test_small_files_of_a_day_that_is_over_become_one_with_the_same_events(platform: Platform) -> None:
    for number in range(5):
        add_file(platform, number)
    platform.roll_up()
    before = billed_events(platform)
    found = maintained(platform)
    assert (found.days, found.files, found.deleted) == ([DAY], (5, 1), 5)
    assert files_on_disk(platform) == 1
    assert [events[1:] for events in billed_events(platform)] == [events[1:] for events in before]
    again = maintained(platform)
    assert (again.days, again.deleted) == ([], 0)


def test_the_files_of_today_are_not_joined_yet(platform: Platform) -> None:
    for number in range(5):
        add_file(platform, number)
    assert maintained(platform, today=DAY).files == (5, 5)


def test_a_joined_day_rolls_up_nobody_again_and_takes_more_files(platform: Platform) -> None:
    for number in range(5):
        add_file(platform, number)
    platform.roll_up()
    maintained(platform)
    groups = platform.billing_groups()
    report = roll_up(platform.database, platform.usage_table, SEPTEMBER, groups, LATER)
    assert (report.organizations, report.unchanged) == (0, 1)
    add_file(platform, 5, now=LATER)
    assert roll_up(platform.database, platform.usage_table, SEPTEMBER, groups, LATER).events == 6
    assert [row["accepted"] for row in platform.query("select accepted from landed_months")] == [6]


def test_a_repeated_event_is_still_known_after_joining(platform: Platform) -> None:
    for number in range(5):
        add_file(platform, number)
    maintained(platform)
    write_jsonl(platform.landing_dir, [event("e3", "2", time=f"{DAY}T08:00:00Z")], DAY + timedelta(days=1), "again")
    (file,) = platform.land(DAY + timedelta(days=1), now=LATER)
    assert (file.accepted, file.duplicate) == (0, 1)


def test_a_final_invoice_keeps_its_files_and_a_version_that_nothing_names_loses_them(platform: Platform) -> None:
    """September is final with 5 events. A late file then lands its day whole: the five files are of the past."""
    for number in range(5):
        add_file(platform, number)
    platform.roll_up(now=CLOSED)
    platform.land(*[SEPTEMBER.first_day + timedelta(days=n) for n in range(33)], now=CLOSED)
    platform.bill(now=CLOSED)
    final = billed_events(platform)
    write_jsonl(platform.landing_dir, [event("e0", "2", time=f"{DAY}T08:00:00Z")], DAY, "copy")
    platform.land(DAY, now=CLOSED)
    assert len(platform.table().data_files) == 1

    found = maintained(platform)
    assert (found.deleted, len(found.kept_versions), found.lost_versions) == (0, 1, [])
    assert billed_events(platform) == final
    assert check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, ["acme"]) == []


def with_a_final_invoice(platform: Platform) -> int:
    """Bill September finally with the five files of a day that lands whole afterwards. Return the billed version."""
    for number in range(5):
        add_file(platform, number)
    platform.roll_up(now=CLOSED)
    platform.land(*[SEPTEMBER.first_day + timedelta(days=n) for n in range(33)], now=CLOSED)
    platform.bill(now=CLOSED)
    write_jsonl(platform.landing_dir, [event("e0", "2", time=f"{DAY}T08:00:00Z")], DAY, "copy")
    platform.land(DAY, now=CLOSED)
    (version,) = {row["lake_version"] for row in platform.query("select lake_version from usage_as_of")}
    return int(version)


def test_a_billed_version_that_can_not_be_read_for_a_moment_loses_no_file(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    billed = with_a_final_invoice(platform)
    final, real = billed_events(platform), UsageTable.delta

    def unavailable(self: UsageTable, version: int | None = None) -> DeltaTable:
        if version == billed:
            raise OSError("503 Slow Down")
        return real(self, version)

    with monkeypatch.context() as patch:
        patch.setattr(UsageTable, "delta", unavailable)
        with pytest.raises(UsageTableMismatch, match=r"version \d+ to be readable.* No file was deleted"):
            maintained(platform)
    assert billed_events(platform) == final
    assert maintained(platform).deleted == 0


@pytest.mark.parametrize(
    "name",
    ["landing/2026-09-01/usage.jsonl", "invoice.pdf", "old/usage_month=2026-08/landing_day=2026-08-01/a.parquet"],
)
def test_other_files_in_the_folder_of_the_table_are_refused_and_kept(platform: Platform, name: str) -> None:
    for number in range(5):
        add_file(platform, number)
    other = platform.usage_table.local_folder / name
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"raw usage")
    long_ago = (NOW - timedelta(days=900)).timestamp()
    os.utime(other, (long_ago, long_ago))
    with pytest.raises(UsageTableMismatch, match=r"only files of the usage table; found .*No file was deleted"):
        maintained(platform)
    assert (other.read_bytes(), files_on_disk(platform) >= 6) == (b"raw usage", True)


def test_a_day_of_large_files_is_not_joined_every_night(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        add_file(platform, number)
    smallest = min(file.bytes for file in platform.table().data_files)
    monkeypatch.setattr(maintenance, "TARGET_BYTES", smallest)
    assert maintained(platform).days == []


def test_the_oldest_days_are_joined_first(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "MOST_DAYS", 1)
    for number in range(8):
        add_file(platform, number, DAY + timedelta(days=number // 4))
    assert [maintained(platform).days for _ in range(3)] == [[DAY], [DAY + timedelta(days=1)], []]


def test_files_that_readers_may_still_read_are_not_deleted(platform: Platform) -> None:
    for number in range(5):
        add_file(platform, number)
    found = maintain(platform.database, platform.usage_table, TODAY)
    assert found is not None
    assert (found.files, found.deleted, files_on_disk(platform)) == ((5, 1), 0, 6)


def test_a_run_killed_after_its_commit_changes_nothing(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """Postgres never acknowledged the joined version: the next landing reverts it."""
    for number in range(5):
        add_file(platform, number)
    platform.roll_up()
    before = billed_events(platform)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(maintenance, "acknowledge_version", killed)
        with pytest.raises(KeyboardInterrupt):
            maintained(platform)
    assert billed_events(platform) == before
    add_file(platform, 5, now=LATER)
    assert len(platform.table().data_files) == 6
    assert maintained(platform).files == (6, 1)


def test_joining_that_would_lose_a_row_is_refused_and_changes_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        add_file(platform, number)
    before, contents = platform.table().version, iter([(5, 1, 1), (4, 1, 1)])
    monkeypatch.setattr(maintenance, "_content", lambda *_: next(contents))
    with pytest.raises(UsageTableMismatch, match="expected 5 rows as before joining; found 4"):
        maintained(platform)
    assert platform.table().version == before


def test_without_any_landing_there_is_nothing_to_maintain(platform: Platform) -> None:
    assert maintain(platform.database, platform.usage_table, TODAY) is None


@pytest.mark.parametrize("seed", range(4))
def test_any_sequence_of_landings_a_closing_and_maintenance_keeps_what_was_billed(
    platform: Platform, seed: int
) -> None:
    """After every action, each event of the final invoice can be read, and each is in one item."""
    rng = Random(seed)
    platform.add_organization("labs")
    add_file(platform, 0)
    now, closing = CLOSED, rng.randrange(5, 15)
    final: list[tuple[Any, ...]] = []
    for number in range(1, 25):
        now += timedelta(hours=rng.randrange(12))
        action = "close" if number == closing else rng.choice(["land", "land", "land", "repeat", "roll up", "maintain"])
        if action == "land":
            add_file(platform, number, DAY + timedelta(days=rng.randrange(3)), now, rng.choice(["acme", "labs"]))
        elif action == "repeat":
            write_jsonl(platform.landing_dir, [event("e0", "2", time=f"{DAY}T08:00:00Z")], DAY, f"copy{number}")
            platform.land(DAY, now=now)
        elif action == "roll up":
            platform.roll_up(now=now)
        elif action == "close":
            platform.land(*[SEPTEMBER.first_day + timedelta(days=each) for each in range(33)], now=now)
            platform.roll_up(now=now)
            platform.bill(now=now)
            final = billed_events(platform)
        else:
            maintained(platform)
        assert [row for row in billed_events(platform) if row[0] in {billed[0] for billed in final}] == final
        assert check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, ["acme", "labs"]) == []
    assert {row["status"] for row in platform.query("select status from invoices")} == {"finalized"}
