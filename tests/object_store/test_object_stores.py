"""Usage in a bucket lands, lands again, comes late and survives a kill as on a disk; every error is one clear line."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.object_store.address import StoreAccess, StoreFolder
from fly_billing.object_store.local_copies import LocalCopies
from fly_billing.object_store.objects import ChangedObject, read_object
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.data_files import UsageTableError, UsageTableMismatch
from fly_billing.usage.landing import DaysNotLanded, land_days
from fly_billing.usage.landing_folder import LandingError, find_landing_problems, list_files
from fly_billing.usage.landing_ledger import register_usage_table
from fly_billing.usage.landing_staging import stage_files
from fly_billing.usage.maintenance import maintain
from fly_billing.usage.repair import UsageTableRepairError, find_damage, reland_damaged_days
from fly_billing.usage.usage_table import UsageTable, open_duckdb
from fly_billing.worklist.due import days_due, days_to_land, first_month_with_work
from tests.support.builders import (
    DAY,
    FIRST_MONTH,
    NOW,
    OCTOBER,
    TERMS,
    Platform,
    at,
    event,
    json_line,
    write_csv,
    write_jsonl,
    write_parquet,
)
from tests.support.deployment import Deployment, machine_seconds
from tests.support.stored_platform import Bucket, StoredPlatform

LATER = date(2026, 9, 16)
FEBRUARY = BillingMonth(2026, 2)
LATE = date(2026, 9, 18)
TABLES = (
    "select landing_day, path, sha256, bytes, landed, accepted, duplicate, rejected from usage_files order by 1, 2",
    "select landing_day, path, line, reason, message, source, event_id, raw from rejected_usage order by 1, 2, 3",
    "select landing_day from landing_days order by 1",
    "select landing_day, month, accepted, rows from landed_months order by 1, 2",
)


def events(platform: Platform) -> list[tuple[Any, ...]]:
    """Return every row of the usage table, with all columns."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return duck.execute("select * from events order by all").fetchall()


def ids(platform: Platform, *, duplicates: bool = False) -> list[str]:
    """Return the ids of the accepted events in the usage table, or of the duplicates."""
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        found = duck.execute("select id from events where is_duplicate = ? order by 1", [duplicates]).fetchall()
        return [name for (name,) in found]


def content(platform: Platform) -> dict[str, Any]:
    """Return all rows that landing writes, in Postgres and in the usage table."""
    return {"events": events(platform)} | {statement: platform.query(statement) for statement in TABLES}


def environment_of(platform: StoredPlatform, copies: Path) -> dict[str, str]:
    """Return the settings of a process that uses the bucket."""
    return {
        **os.environ,
        "DATABASE_URL": platform.database.engine.url.render_as_string(hide_password=False),
        "FLY_BILLING_LANDING_DIR": str(platform.stored_landing),
        "FLY_BILLING_LAKE_DIR": str(platform.usage_table.path),
        "FLY_BILLING_COPIES_DIR": str(copies),
        "AWS_ENDPOINT_URL": platform.bucket.server.url,
        "AWS_REGION": "us-east-1",
        "PYTHONWARNINGS": "ignore",
    }


def start_landing(platform: StoredPlatform, copies: Path, *days: date) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.object_store.land_in_a_child", *map(str, days)],
        cwd=Path(__file__).parents[2], env=environment_of(platform, copies), stderr=subprocess.PIPE,
        text=True, encoding="utf-8",
    )  # fmt: skip


@pytest.fixture
def on_disk(postgres: PostgresServer, tmp_path: Path) -> Iterator[Platform]:
    """Provide the same platform with its folders on a disk."""
    name = f"disk_{os.getpid()}_{time.monotonic_ns()}"
    create_database(postgres, name, template="billing_template")
    database = BillingDatabase(postgres.url(name))
    landing_dir = tmp_path / "disk" / "landing"
    landing_dir.mkdir(parents=True)
    yield Platform.with_acme(database, landing_dir)
    database.engine.dispose()
    drop_database(postgres, name)


# --- Equal to a disk ------------------------------------------------------------------------------------------------


def land_everything(platform: Platform) -> Iterator[None]:
    """Land usage, land it again, change it, let some come late, and let a day lose a file."""
    usage = [event("e1", "2"), event("e2", "-1"), event("e3", "4", type="egress_gb", region="iad"), event("e1", "2")]
    write_jsonl(platform.landing_dir, usage)
    write_csv(platform.landing_dir, [event("e4", "0.000000000000001"), event("e5", subject="nobody")], name="a b/ü=%41")
    write_parquet(platform.landing_dir, [event("e6", "7"), event("e3", "4", type="egress_gb", region="iad")])
    platform.land(DAY)
    yield
    platform.land(DAY)
    yield
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e7", "8", time=f"{LATER}T01:00:00Z")], LATER)
    write_jsonl(platform.landing_dir, [event("e8", "16"), event("e6", "9")], LATE, "late")
    platform.land(LATER, LATE)
    yield
    (platform.landing_dir / str(DAY) / "usage.jsonl").unlink()
    platform.land(DAY)
    yield
    platform.land(LATER, LATE)
    yield


def test_everything_that_lands_from_a_bucket_equals_a_local_disk_row_by_row(
    platform: StoredPlatform, on_disk: Platform
) -> None:
    steps = 0
    for _ in zip(land_everything(platform), land_everything(on_disk), strict=True):
        assert content(platform) == content(on_disk)
        steps += 1
    assert steps == 5
    # e1 of the 16th counts since the file of the 15th is gone. e6 of the 18th conflicts with the Parquet file.
    assert ids(platform) == ["e1", "e3", "e4", "e6", "e7", "e8"]
    for found in (platform, on_disk):
        found.roll_up()
    billed = [[invoice.total_cents for invoice in found.bill().invoices] for found in (platform, on_disk)]
    assert billed[0] == billed[1] != [0]


# --- Kills and two landings at once ---------------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [False, True], ids=["before the commit", "after the commit"])
def test_a_landing_that_is_killed_during_its_commit_leaves_the_table_as_it_was_and_lands_again(
    platform: StoredPlatform, tmp_path: Path, applied: bool
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    platform.land()
    before = content(platform)
    write_jsonl(platform.landing_dir, [event("e1", "2"), event("e2", "4")], LATER)
    platform.bucket.replace_folder("landing", platform.landing_dir)
    platform.bucket.server.hold(r"PUT /.*_delta_log/0*2\.json", applied=applied)
    child = start_landing(platform, tmp_path / "copies", LATER)
    platform.bucket.server.wait_until_held()
    child.kill()
    child.communicate()
    assert ("usage_table/_delta_log/00000000000000000002.json" in platform.bucket.keys("usage_table/")) is applied
    assert content(platform) == before
    assert [(file.accepted, file.duplicate) for file in platform.land(LATER)] == [(1, 1)]
    assert [file.accepted for file in platform.land(LATER, DAY)] == [1, 1]
    assert ids(platform) == ["e1", "e2"]


def test_two_landings_at_once_take_turns_and_lose_nothing(platform: StoredPlatform, tmp_path: Path) -> None:
    days = [DAY, LATER]
    for number, day in enumerate(days):
        usage = [event("both", "1"), event(f"e{number}", "2")]
        write_jsonl(platform.landing_dir, usage, day)
    platform.bucket.replace_folder("landing", platform.landing_dir)
    # Each has its own copies and its own key index, as on two machines.
    children = [start_landing(platform, tmp_path / f"machine {day}", day) for day in days]
    assert [child.communicate()[1] for child in children] == ["", ""]
    assert ids(platform) == ["both", "e0", "e1"]
    assert ids(platform, duplicates=True) == ["both"]


def test_two_writers_can_not_commit_the_same_version(platform: StoredPlatform) -> None:
    """Without Postgres, too: delta-rs asks the store to refuse a log file that exists."""
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    platform.land()
    commits = [
        found for found in platform.bucket.server.requests() if found.method == "PUT" and "_delta_log" in found.key
    ]
    assert [(found.key[-7:], found.if_none_match) for found in commits] == [("00.json", "*"), ("01.json", "*")]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        platform.bucket.client.put_object(
            Bucket=platform.bucket.name, Key=commits[-1].key.partition("/")[2], Body=b"", IfNoneMatch="*"
        )


# --- Several machines -----------------------------------------------------------------------------------------------


def on_another_machine(platform: StoredPlatform, folder: Path) -> StoredPlatform:
    """Return the platform as a machine sees it that has no copies and no key index yet."""
    table = UsageTable(platform.usage_table.path, copies=LocalCopies(folder, 10**9))
    return StoredPlatform(platform.database, table, platform.landing_dir, platform.bucket)


def test_each_machine_knows_the_keys_that_other_machines_landed(platform: StoredPlatform, tmp_path: Path) -> None:
    other = on_another_machine(platform, tmp_path / "other")
    for number, machine in enumerate([platform, other, platform, other]):
        day = DAY + timedelta(days=number)
        write_jsonl(platform.landing_dir, [event("e1", "2"), event(f"of {day}", "4")], day)
        (file,) = machine.land(day)
        assert (file.accepted, file.duplicate) == ((2, 0) if number == 0 else (1, 1))


def test_a_machine_reads_only_the_days_that_it_does_not_know(platform: StoredPlatform, tmp_path: Path) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    for day in days:
        write_jsonl(platform.landing_dir, [event(f"of {day}", "4")], day)
    other = on_another_machine(platform, tmp_path / "other")
    platform.land(*days[:2])
    other.land(days[2])
    platform.bucket.server.requests()
    platform.land(days[3])
    read = {
        found.key.split("/")[3]
        for found in platform.bucket.server.requests()
        if "part-" in found.key and found.method == "GET"
    }
    assert read == {f"landing_day={days[2]}"}


# --- Keys of objects ------------------------------------------------------------------------------------------------

NAMES = {
    "a b.jsonl": "a b.jsonl",
    "ü=%.jsonl": "ü=%.jsonl",
    "e\u0301.jsonl": "e\u0301.jsonl",
    "x%2Fy.jsonl": "x%2Fy.jsonl",
    "landing_day=2026-09-01/usage.jsonl": "landing_day=2026-09-01/usage.jsonl",
    "q?#&+.jsonl": "q?#&+.jsonl",
    "[a]*.jsonl": "[a]*.jsonl",
    "back\\slash.jsonl": "back\\\\slash.jsonl",
    "<'\"&>.jsonl": "<'\"&>.jsonl",
    f"{'x' * 400}.jsonl": f"{'x' * 400}.jsonl",
    "...jsonl/usage..jsonl": None,
}
REFUSED = ["../up.jsonl", "/leading.jsonl", "sub//double.jsonl", "sub/../up.jsonl", "./dot.jsonl"]


def test_small_files_in_a_bucket_are_joined_and_what_a_roll_up_names_is_kept(platform: StoredPlatform) -> None:
    """Five landings, a roll-up, then maintenance twice: the first joins and deletes, the second finds nothing to do."""
    for number in range(5):
        write_jsonl(platform.landing_dir, [event(f"e{number}")], name=f"{number}")
        platform.land()
    platform.roll_up()
    before = events(platform)
    found = maintain(platform.database, platform.usage_table, LATER, kept_for=timedelta(0))
    assert found is not None
    assert (found.files, found.deleted, found.lost_versions) == ((5, 1), 5, [])
    assert events(platform) == before
    again = maintain(platform.database, platform.usage_table, LATER, kept_for=timedelta(0))
    assert again is not None
    assert (again.days, again.files, again.deleted) == ([], (1, 1), 0)
    write_jsonl(platform.landing_dir, [event("e2"), event("e9")], name="late")
    platform.land()
    assert ids(platform) == ["e0", "e1", "e2", "e3", "e4", "e9"]


def test_objects_of_any_key_land_or_are_one_rejected_row_and_hidden_ones_wait(platform: StoredPlatform) -> None:
    names = [name for name, shown in NAMES.items() if shown]
    for number, name in enumerate(names):
        platform.bucket.put(f"landing/{DAY}/{name}", json_line(event(f"e{number}")))
    for name in [*REFUSED, ".unfinished.jsonl", ".hidden/usage.jsonl"]:
        platform.bucket.put(f"landing/{DAY}/{name}", json_line(event("refused")))
    platform.bucket.put(f"landing/{DAY}/folder/")
    landed = {file.path: file.accepted for file in platform.land_stored()}
    assert landed == {str(NAMES[name]): 1 for name in names} | dict.fromkeys(REFUSED, 0)
    rejected = platform.rejected()
    assert sorted(row["path"] for row in rejected) == sorted(REFUSED)
    assert {(row["reason"], row["message"]) for row in rejected} == {
        ("unreadable_file", "its key has an empty part, `.` or `..`: give it another key")
    }


def test_an_object_that_is_gone_after_it_was_listed_is_one_rejected_row(platform: StoredPlatform) -> None:
    platform.bucket.put(f"landing/{DAY}/a.jsonl", json_line(event("e1")))
    platform.bucket.put(f"landing/{DAY}/b.jsonl", json_line(event("e2")))
    files = list_files(platform.stored_landing, DAY)
    platform.bucket.delete(f"landing/{DAY}/a.jsonl")
    with open_duckdb() as duck:
        staged = stage_files(duck, files, lambda _: None)
        found = duck.execute("select path, line, problem, problem_message from staged order by path").fetchall()
    assert found == [("a.jsonl", 0, "unreadable_file", "no such object"), ("b.jsonl", 1, None, None)]
    assert list(staged.unread.values()) == ["no such object"]


def test_a_landed_object_that_can_not_be_read_any_more_keeps_its_events(platform: StoredPlatform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    platform.land()
    platform.bucket.delete(f"landing/{DAY}/usage.jsonl")
    platform.bucket.put(f"landing/{LATER}/usage.jsonl", json_line(event("e2")))
    with pytest.raises(DaysNotLanded, match=rf"s3://.*/landing/{DAY} is missing, but its files were landed before"):
        platform.land_stored()
    assert ids(platform) == ["e1"]
    platform.bucket.put(f"landing/{DAY}/")  # an empty folder, as S3's console makes it
    assert platform.land_stored(DAY, LATER)[0].day == LATER
    assert ids(platform) == ["e2"]


def test_a_large_object_that_is_replaced_while_it_is_read_is_noticed(bucket: Bucket) -> None:
    bucket.put("landing/large", bytes(9 * 2**20))

    def replace(_: bytes) -> None:
        bucket.put("landing/large", b"1" + bytes(9 * 2**20 - 1))

    with pytest.raises(ChangedObject):
        read_object(bucket.folder("landing"), "large", replace)


# --- Costs ----------------------------------------------------------------------------------------------------------


def requests_for(platform: StoredPlatform, work: Any) -> list[str]:
    platform.bucket.server.requests()
    work()
    return [f"{found.method} {found.key}?{found.query}" for found in platform.bucket.server.requests()]


def test_requests_do_not_grow_with_history(platform: StoredPlatform) -> None:
    """Ten landings of today, with a longer file each, after 30 days of history and after 150 days.

    A landing of an unchanged day lists it for the worklist and for itself.
    """
    today, now = date(2026, 12, 31), at("2027-01-01")
    history = [date(2026, 4, 15) + timedelta(days=number) for number in range(150)]

    def send(*days: date) -> None:
        for day in days:
            platform.bucket.put(f"landing/{day}/usage.jsonl", json_line(event(f"of {day}", time=f"{day}T10:00:00Z")))

    def unchanged() -> None:
        assert days_to_land(platform.database, platform.stored_landing, now) in ([today], [])
        platform.land_stored(today, now=now)

    hours = itertools.count(100)

    def hourly() -> None:
        usage = json_line(event("x" * next(hours), time=f"{today}T10:00:00Z"))
        platform.bucket.put(f"landing/{today}/usage.jsonl", usage)
        unchanged()

    send(today, *history[:30])
    platform.land_stored(*history[:30], now=now)
    for _ in range(9):  # until the first checkpoint
        hourly()
    with_little = [requests_for(platform, hourly) for _ in range(10)]
    send(*history[30:])
    platform.land_stored(*history[30:], now=now)
    with_much = [requests_for(platform, hourly) for _ in range(10)]
    # A landing opens the table twice: its last checkpoint, and up to ten commits after it. One in ten writes the next.
    assert max(map(len, with_much)) <= max(map(len, with_little)) + 2
    assert sum(map(len, with_much)) < 1000
    listed = [[request for request in some if "landing%2F" in request] for some in (*with_little, *with_much)]
    assert {len(some) for some in listed} == {6}
    assert len([request for request in requests_for(platform, unchanged) if "landing%2F" in request]) == 4


def test_a_day_of_an_object_store_that_never_landed_is_found_however_old_it_is(platform: StoredPlatform) -> None:
    old = date(2026, 2, 1)
    write_jsonl(platform.landing_dir, [event("old", time="2026-02-01T10:00:00Z")], old)
    write_jsonl(platform.landing_dir, [event("e1")])
    platform.bucket.replace_folder("landing", platform.landing_dir)
    assert days_to_land(platform.database, platform.stored_landing, NOW) == [old, DAY]
    assert first_month_with_work(platform.database, platform.stored_landing, NOW) == FEBRUARY
    platform.land_stored(old, DAY)
    assert days_to_land(platform.database, platform.stored_landing, NOW) == []
    # A change of an old day is found when its month is asked for, and one of a recent day always: also of equal size.
    platform.bucket.put(f"landing/{old}/more.jsonl", json_line(event("more", time="2026-02-01T10:00:00Z")))
    platform.bucket.put(f"landing/{DAY}/usage.jsonl", json_line(event("e2")) + "\n")
    assert days_to_land(platform.database, platform.stored_landing, NOW) == []
    assert days_to_land(platform.database, platform.stored_landing, NOW, by_content=True) == [DAY]
    assert old in days_due(platform.database, platform.stored_landing, NOW, TERMS.grace, FEBRUARY)


def test_copies_stay_below_their_limit_and_those_in_use_are_kept(bucket: Bucket, tmp_path: Path) -> None:
    names = [f"usage_month=2026-09/landing_day=2026-09-{day}/part.parquet" for day in (15, 16, 17)]
    for name in names:
        bucket.put(f"table/{name}", bytes(1000))
    copies, folder = LocalCopies(tmp_path, 1500), bucket.folder("table")
    assert copies.fetch(folder, dict.fromkeys(names, 1000)) == {}
    there = [copies.folder_of(folder) / name for name in names]
    assert all(path.exists() for path in there)  # all are in use, so the limit waits
    two_days_ago = time.time() - 2 * 24 * 3600
    for path in there[:2]:
        os.utime(path, (two_days_ago, two_days_ago))
    assert copies.fetch(folder, {names[1]: 1000, "missing": 1}) == {"missing": "no such object"}
    assert [path.exists() for path in there] == [False, True, True]


# --- Damage and repair ----------------------------------------------------------------------------------------------


@pytest.fixture
def landed(platform: StoredPlatform) -> StoredPlatform:
    """Provide two landed days with 2 and 4 requests, and no local copies of their files."""
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    write_jsonl(platform.landing_dir, [event("e2", "4", time=f"{LATER}T12:00:00Z")], LATER)
    platform.land(DAY)
    platform.land(LATER)
    return platform


def data_keys(platform: StoredPlatform, day: date) -> list[str]:
    return [f"usage_table/{file.path}" for file in platform.table().data_files if file.day == day]


def fix(platform: StoredPlatform, *, new_table: bool = False) -> None:
    reland_damaged_days(
        platform.database, platform.usage_table, platform.stored_landing, FIRST_MONTH, NOW, new_table=new_table
    )
    damage = find_damage(platform.database, platform.usage_table, platform.stored_landing)
    assert damage.is_none
    assert ids(platform) == ["e1", "e2"]


def test_a_lost_data_file_is_named_and_its_day_lands_again(landed: StoredPlatform) -> None:
    for key in data_keys(landed, DAY):
        landed.bucket.delete(key)
    with pytest.raises(UsageTableMismatch, match=r"1 damaged: usage_month=2026-09/.*\(no such object\)"):
        landed.roll_up()
    damage = find_damage(landed.database, landed.usage_table, landed.stored_landing)
    assert (damage.days, damage.lost) == ([DAY], [])
    fix(landed)


def test_a_table_of_an_older_version_is_refused_and_repaired(landed: StoredPlatform) -> None:
    landed.bucket.delete("usage_table/_delta_log/00000000000000000002.json")
    with pytest.raises(UsageTableMismatch, match=r"the usage table s3://.* expected version 2 .* the older version 1"):
        landed.table()
    fix(landed)


def test_a_damaged_log_is_set_aside_and_the_days_land_again(landed: StoredPlatform) -> None:
    landed.bucket.put("usage_table/_delta_log/00000000000000000002.json", "torn")
    with pytest.raises(UsageTableMismatch):
        landed.table()
    fix(landed)
    assert landed.bucket.keys("usage_table/_damaged_log_1/") == ["usage_table/_damaged_log_1/00000000000000000002.json"]


def test_a_lost_table_is_made_again_only_on_request(landed: StoredPlatform) -> None:
    for key in landed.bucket.keys("usage_table/_delta_log/"):
        landed.bucket.delete(key)
    with pytest.raises(UsageTableMismatch, match="found no usage table"):
        landed.table()
    with pytest.raises(UsageTableRepairError, match="--new-table"):
        fix(landed)
    fix(landed, new_table=True)
    assert len(landed.bucket.keys("usage_table/_damaged_1/usage_month=2026-09/")) == 2


def test_a_day_without_folder_can_not_be_repaired(landed: StoredPlatform) -> None:
    for key in data_keys(landed, DAY):
        landed.bucket.delete(key)
    landed.bucket.delete(f"landing/{DAY}/usage.jsonl")
    assert find_damage(landed.database, landed.usage_table, landed.stored_landing).lost == [DAY]


# --- Errors ---------------------------------------------------------------------------------------------------------


def land_from(platform: StoredPlatform, landing: StoreFolder) -> None:
    land_days(platform.database, platform.usage_table, landing, [DAY], FIRST_MONTH, NOW)


def make_table(platform: StoredPlatform, folder: StoreFolder) -> None:
    register_usage_table(platform.database, UsageTable(folder, copies=platform.usage_table.copies))


NOBODY = "http://127.0.0.1:1"
WRONG = {
    "no bucket": "the bucket no-such-bucket does not exist: create it, or correct the address",
    "no server": f"{NOBODY} can't be reached: check the network and AWS_ENDPOINT_URL",
    "wrong key": "refuses access to the bucket usage: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_store_that_can_not_be_used_is_one_clear_line(
    platform: StoredPlatform, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    # The key is read once per store. The region makes it another store.
    access = StoreAccess(NOBODY if wrong == "no server" else platform.bucket.server.url, f"eu-{len(wrong)}")
    if wrong == "wrong key":
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
        access = StoreAccess(platform.bucket.server.url, "eu-west-1")
    bucket = "no-such-bucket" if wrong == "no bucket" else "usage"
    landing, table = (StoreFolder("s3", bucket, key, access) for key in ("landing", "usage_table"))
    with pytest.raises(LandingError) as no_landing:
        land_from(platform, landing)
    with pytest.raises(UsageTableError) as no_table:
        make_table(platform, table)
    assert str(no_landing.value).startswith(f"the landing folder {landing} can't be read: ")
    assert str(no_table.value).startswith(f"the usage table can't be made in {table}: ")
    for said in (str(no_landing.value), str(no_table.value)):
        assert WRONG[wrong] in said
        assert "\n" not in said


@pytest.mark.parametrize("request_", [r"PUT /.*part-.*parquet", r"PUT /.*_delta_log/0*1\.json"], ids=["data", "commit"])
def test_a_table_that_can_not_be_written_is_one_clear_line_and_lands_later(
    platform: StoredPlatform, request_: str
) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "2")])
    platform.bucket.server.refuse(request_)
    with pytest.raises(UsageTableError) as refused:
        platform.land()
    assert str(refused.value).startswith(
        f"the usage table {platform.usage_table.path} can't be written: {platform.bucket.server.url}"
    )
    assert "refuses access to the bucket" in str(refused.value)
    assert [file.accepted for file in platform.land()] == [1]
    assert ids(platform) == ["e1"]


def test_nothing_is_repaired_while_the_store_can_not_be_read(landed: StoredPlatform) -> None:
    nowhere = StoreFolder("s3", landed.bucket.name, "landing", StoreAccess(NOBODY, "eu-central-1"))
    with pytest.raises(UsageTableRepairError, match=rf"^{nowhere} can't be read: {NOBODY} can't be reached: check the"):
        find_damage(landed.database, landed.usage_table, nowhere)


def test_an_empty_bucket_in_place_of_the_landing_folder_is_refused(landed: StoredPlatform) -> None:
    with pytest.raises(LandingError, match="and the folders of all other landed days are missing"):
        land_from(landed, landed.bucket.folder("another"))


def test_a_folder_name_that_delta_lake_can_not_use_is_refused(platform: StoredPlatform) -> None:
    with pytest.raises(UsageTableError, match="needs a name of ASCII letters, digits"):
        make_table(platform, platform.bucket.folder("usage table"))


def test_entries_of_the_landing_folder_that_do_not_land_are_reported(platform: StoredPlatform) -> None:
    for key in ("september/usage.jsonl", f"{DAY}/{LATER}/usage.jsonl", f"{DAY}/.left.jsonl", "2026-10-01/usage.jsonl"):
        platform.bucket.put(f"landing/{key}", json_line(event("e1")))
    found = {problem.path: problem.message for problem in find_landing_problems(platform.stored_landing, NOW)}
    assert list(found) == [f"{DAY}/{LATER}", "2026-10-01", "september"]
    assert found[f"{DAY}/{LATER}"] == f"a day folder inside {DAY}. Its files land on {DAY}: move the folder up"
    much_later = at("2026-10-20").replace(year=2027)
    assert f"{DAY}/.left.jsonl" not in {
        problem.path for problem in find_landing_problems(platform.stored_landing, much_later)
    }


def run(platform: StoredPlatform, tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    settings = environment_of(platform, tmp_path / "copies") | {"FLY_BILLING_DATA_DIR": str(tmp_path / "data")}
    return subprocess.run(
        [Path(sys.executable).with_name("fly-billing"), *command], env=settings, cwd=tmp_path, check=False,
        capture_output=True, text=True, encoding="utf-8",
    )  # fmt: skip


@pytest.mark.parametrize("command", [("seed",), ("demo",)], ids=" ".join)
def test_a_command_that_writes_usage_files_refuses_a_bucket(
    platform: StoredPlatform, tmp_path: Path, command: Sequence[str]
) -> None:
    done = run(platform, tmp_path, *command)
    assert done.returncode != 0
    assert "is an object store" in (said := " ".join((done.stdout + done.stderr).split()))
    assert "set a local folder for this command" in said
    assert "Traceback" not in said


def test_status_reads_a_landing_folder_in_a_bucket(platform: StoredPlatform, tmp_path: Path) -> None:
    platform.bucket.put("landing/september/usage.jsonl", json_line(event("e1")))
    done = run(platform, tmp_path, "status")
    assert "september" in done.stdout, done.stdout + done.stderr


def test_dagster_lands_and_bills_usage_in_a_bucket(
    deployment: Deployment, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """36,000 of 2,592,000 seconds of a Machine at $2.02 cost $0.028. The checks look into the bucket, too."""
    addresses = {"landing_address": f"s3://{bucket.name}/landing", "lake_address": f"s3://{bucket.name}/usage_table"}
    stored = replace(deployment, **addresses)  # type: ignore[arg-type]
    for name, value in {
        "FLY_BILLING_COPIES_DIR": str(tmp_path / "copies"),
        "AWS_ENDPOINT_URL": bucket.server.url,
    }.items():
        monkeypatch.setenv(name, value)
    deployment.add_organization("acme")
    deployment.load_prices()
    days = [date(2026, 10, 1), date(2026, 10, 2)]
    for day in days:
        deployment.write_usage(day, [machine_seconds(str(day), "acme", at(str(day)), "18000")])
    bucket.replace_folder("landing", deployment.landing_dir)
    bucket.put("landing/2026-10-1/usage.jsonl")
    landed = stored.land(days[0], days[-1])
    checks = {found.check_name: found.passed for found in landed.get_asset_check_evaluations()}
    assert checks["every_landed_row_is_accepted_duplicate_or_rejected"]
    assert not checks["everything_in_the_landing_folder_is_understood"]  # there is a folder 2026-10-1
    stored.land_month(OCTOBER)
    stored.bill(OCTOBER)
    assert stored.totals(OCTOBER) == {"acme": ("finalized", 3)}
