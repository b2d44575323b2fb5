"""The usage table is compared with Postgres before it is read: if they disagree, nothing is billed or booked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from dagster import ExecuteInProcessResult

from fly_billing.assets.failure_causes import failure_causes
from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.money import plain
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.landing_ledger import register_usage_table
from fly_billing.usage.usage_table import EVENTS, open_duckdb
from tests.support.builders import DAY, LANDING_DAYS, OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.deployment import Deployment, machine_seconds
from tests.support.unguarded import damage

COMMAND = Path(sys.executable).with_name("fly-billing")
FIRST, SECOND, THIRD = date(2026, 9, 10), date(2026, 9, 20), date(2026, 9, 21)
CLOSED = at("2026-10-05")


@pytest.fixture
def landed(platform: Platform) -> Platform:
    """September has landed: 3 requests on the 10th, 4 on the 20th, at $0.10 each."""
    for number, day in enumerate((FIRST, SECOND)):
        time = f"{day}T12:00:00Z"
        write_jsonl(platform.landing_dir, [event(f"e{number}", str(3 + number), time=time)], day)
    platform.land(*LANDING_DAYS, now=CLOSED)
    return platform


def log_of(platform: Platform) -> list[Path]:
    return sorted((platform.usage_table.local_folder / "_delta_log").glob("*.json"))


def data_of(platform: Platform, day: date) -> Path:
    (found,) = [
        platform.usage_table.local_folder / file.path for file in platform.table().data_files if file.day == day
    ]
    return found


def moved_away(platform: Platform) -> None:
    shutil.rmtree(platform.usage_table.local_folder)


def share_not_mounted(platform: Platform) -> None:
    shutil.rmtree(platform.usage_table.local_folder)
    platform.usage_table.local_folder.mkdir()


# The database refuses to change days' records in a transaction that did not land them.
LANDED_NOW = "update landing_days set landed_at = landed_at"


def a_file_in_its_place(platform: Platform) -> None:
    shutil.rmtree(platform.usage_table.local_folder)
    platform.usage_table.local_folder.write_text("moved to the new share", encoding="utf-8")


def a_file_in_place_of_the_log(platform: Platform) -> None:
    shutil.rmtree(platform.usage_table.local_folder / "_delta_log")
    (platform.usage_table.local_folder / "_delta_log").write_bytes(b"")


def a_link_to_itself(platform: Platform) -> None:
    shutil.rmtree(platform.usage_table.local_folder)
    platform.usage_table.local_folder.symlink_to(platform.usage_table.local_folder)


def last_log_missing(platform: Platform) -> None:
    log_of(platform)[-1].unlink()


def log_in_the_middle_missing(platform: Platform) -> None:
    log_of(platform)[0].unlink()


def last_log_cut(platform: Platform) -> None:
    last = log_of(platform)[-1]
    last.write_bytes(last.read_bytes()[:-20])


def last_log_empty(platform: Platform) -> None:
    log_of(platform)[-1].write_bytes(b"")


def log_cut_at_a_line(platform: Platform) -> None:
    """Remove the lines that add data files; the others are whole, so Delta itself notices nothing."""
    for log in log_of(platform):
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        log.write_text("".join(line for line in lines if not line.startswith('{"add"')), encoding="utf-8")


def data_file_deleted(platform: Platform) -> None:
    data_of(platform, FIRST).unlink()


def data_file_cut(platform: Platform) -> None:
    file = data_of(platform, SECOND)
    file.write_bytes(file.read_bytes()[:-1])


def data_file_of_zeros(platform: Platform) -> None:
    """Replace a data file by zeros of the same length, which the table's log does not detect."""
    file = data_of(platform, FIRST)
    file.write_bytes(bytes(file.stat().st_size))


def table_of_another_platform(platform: Platform) -> None:
    """Replace the table by one with the same number of versions and the same rows."""
    rows = pa.Table.from_pylist(events_of(platform), schema=EVENTS)
    last = platform.usage_table.delta().version()
    shutil.rmtree(platform.usage_table.local_folder)
    other = platform.usage_table
    other.create()
    while other.replace_days([FIRST, SECOND], rows).version() < last:
        pass


def rows_doubled_by_another_writer_in_place_of_the_last_version(platform: Platform) -> None:
    rows = pa.Table.from_pylist(events_of(platform) * 2, schema=EVENTS)
    log_of(platform)[-1].unlink()
    platform.usage_table.replace_days([FIRST, SECOND], rows)


def landing_acknowledged_but_not_written(platform: Platform) -> None:
    platform.execute("update landing_days set lake_version = lake_version + 1 where landing_day = :day", day=SECOND)


def rows_acknowledged_but_not_written(platform: Platform) -> None:
    platform.execute(f"{LANDED_NOW}; update landed_months set rows = rows + 1 where landing_day = '{SECOND}'")  # noqa: S608


def events_of(platform: Platform) -> list[dict[str, Any]]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events")
        return list(duck.execute("from events order by landing_day").to_arrow_table().to_pylist())


Fault = Callable[[Platform], None]
FAULTS: dict[Fault, str] = {
    moved_away: "no such folder",
    share_not_mounted: "an empty folder",
    a_file_in_its_place: "Not a directory",
    a_file_in_place_of_the_log: "no usage table",
    a_link_to_itself: "Too many levels of symbolic links",
    last_log_missing: "the older version",
    log_in_the_middle_missing: "can't be read",
    last_log_cut: "can't be read",
    last_log_empty: "",
    log_cut_at_a_line: "landing day 2026-09-10 of month 2026-09: 0 rows",
    data_file_deleted: "landing_day=2026-09-10",
    data_file_cut: "landing_day=2026-09-20",
    table_of_another_platform: "another table",
    rows_doubled_by_another_writer_in_place_of_the_last_version: "landing day 2026-09-10 of month 2026-09",
    landing_acknowledged_but_not_written: "the older version",
    rows_acknowledged_but_not_written: "landing day 2026-09-20 of month 2026-09: 1 row",
}


@pytest.fixture
def bring_back(landed: Platform, tmp_path: Path) -> Callable[[], None]:
    """Return a function that restores the state from the beginning of the test."""
    backup = tmp_path / "backup"
    shutil.copytree(landed.usage_table.local_folder, backup)
    versions = landed.query("select landing_day, lake_version from landing_days")

    def copy_back() -> None:
        if landed.usage_table.local_folder.is_symlink() or landed.usage_table.local_folder.is_file():
            landed.usage_table.local_folder.unlink()
        shutil.rmtree(landed.usage_table.local_folder, ignore_errors=True)
        shutil.copytree(backup, landed.usage_table.local_folder)
        for row in versions:
            landed.execute(
                "update landing_days set lake_version = :lake_version where landing_day = :landing_day", **row
            )
        landed.execute(f"{LANDED_NOW}; update landed_months set rows = accepted")  # noqa: S608

    return copy_back


each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: str(fault.__name__))


@each_fault
def test_a_damaged_usage_table_stops_the_month_which_is_billed_once_the_table_is_restored(
    landed: Platform, bring_back: Callable[[], None], fault: Fault
) -> None:
    """7 requests: $0.70. Without them the month would have closed at $0.00."""
    fault(landed)
    with pytest.raises(UsageTableMismatch) as refused:
        landed.roll_up(now=CLOSED)
    message = str(refused.value)
    assert "\n" not in message
    assert str(landed.usage_table.local_folder) in message
    assert FAULTS[fault] in message
    assert "fly-billing land --repair" in message
    assert landed.query("select * from usage_snapshots") == []
    bring_back()
    landed.roll_up(now=CLOSED)
    assert [(invoice.total_cents, invoice.items) for invoice in landed.bill(now=CLOSED).invoices] == [(70, 1)]


@each_fault
def test_a_damaged_usage_table_does_not_correct_a_final_month(
    landed: Platform, bring_back: Callable[[], None], fault: Fault
) -> None:
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]
    fault(landed)
    with pytest.raises(UsageTableMismatch):
        landed.roll_up(now=CLOSED)
    with pytest.raises(UsageTableMismatch):
        landed.table().files(SEPTEMBER)  # as the asset `invoices` does before it corrects
    bring_back()
    landed.roll_up(now=CLOSED)
    assert (
        correct_month(landed.database, SEPTEMBER, ["acme"], landed.usage_table, Actor("ann", CLOSED), guard=OFF).needed
        == []
    )
    assert landed.query("select * from adjustments") == []


@pytest.mark.parametrize(
    "fault",
    [table_fault for table_fault in FAULTS if "data_file" not in table_fault.__name__],
    ids=lambda fault: str(fault.__name__),
)
def test_a_landing_into_another_table_than_before_is_refused_and_changes_nothing(
    landed: Platform, bring_back: Callable[[], None], fault: Fault
) -> None:
    fault(landed)
    write_jsonl(landed.landing_dir, [event("late", "1", time="2026-09-21T12:00:00Z")], THIRD)
    before = landed.query("select * from usage_files")
    with pytest.raises(UsageTableMismatch):
        landed.land(THIRD)
    assert landed.query("select * from usage_files") == before
    bring_back()
    landed.land(THIRD, now=CLOSED)
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [80]


def test_another_empty_table_in_place_of_an_empty_one_is_refused(platform: Platform) -> None:
    """Neither has a row, and both have version 0: only their ids tell them apart."""
    register_usage_table(platform.database, platform.usage_table)
    shutil.rmtree(platform.usage_table.local_folder)
    platform.usage_table.create()
    write_jsonl(platform.landing_dir, [event("e1", "3")], DAY)
    with pytest.raises(UsageTableMismatch, match="another table"):
        platform.land(DAY)
    assert platform.query("select * from usage_files") == []


def test_a_missing_table_fails_the_run_in_dagster_with_its_reason_and_closes_no_month(deployment: Deployment) -> None:
    """acme runs a shared-cpu-1x Machine for half a month on each of two landing days: $2.02."""
    deployment.load_prices()
    deployment.add_organization("acme")
    for number, day in enumerate((date(2026, 10, 10), date(2026, 10, 20))):
        deployment.write_usage(day, [machine_seconds(number, "acme", at(day.isoformat()), "1296000")])
    deployment.land_month(OCTOBER)
    deployment.now = at("2026-11-02")
    deployment.bill(OCTOBER)
    deployment.now = at("2026-11-05")
    away = deployment.lake_dir.with_name("away")
    deployment.lake_dir.rename(away)
    cause = cause_of(deployment.bill(OCTOBER, fails=True))
    assert f"the usage table {deployment.lake_dir} does not agree" in cause
    assert "no such folder" in cause
    assert deployment.totals(OCTOBER) == {"acme": ("open", 202)}
    assert not deployment.lake_dir.exists()
    # Rolled up, and then the table is gone: invoices alone are not closed either.
    away.rename(deployment.lake_dir)
    deployment.run("bill_month", deployment.tags(OCTOBER))
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
    deployment.lake_dir.rename(away)
    deployment.bill(OCTOBER, fails=True)
    assert deployment.execute("select * from adjustments") == []


def cause_of(result: ExecuteInProcessResult) -> str:
    """Return the text of the alert on a failed run."""
    return " ".join(
        cause.text
        for cause in failure_causes(
            dagster_event for dagster_event in result.all_events if dagster_event.is_step_failure
        )
    )


def test_no_reader_creates_a_usage_table(platform: Platform) -> None:
    platform.roll_up()
    assert platform.bill().failures == []
    assert not platform.usage_table.local_folder.exists()
    assert check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, ["acme"]) == []
    assert not platform.usage_table.local_folder.exists()


def test_a_table_restored_from_yesterday_is_refused(platform: Platform, tmp_path: Path) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land(DAY)
    shutil.copytree(platform.usage_table.local_folder, tmp_path / "yesterday")
    write_jsonl(platform.landing_dir, [event("e2", "4")], DAY + timedelta(days=1))
    platform.land(DAY + timedelta(days=1))
    shutil.rmtree(platform.usage_table.local_folder)
    shutil.copytree(tmp_path / "yesterday", platform.usage_table.local_folder)
    with pytest.raises(UsageTableMismatch, match=r"expected version 2 of table .*; found the older version 1"):
        platform.roll_up()
    assert platform.query("select * from usage_rollups") == []


def test_a_table_that_another_billing_database_wrote_is_not_landed_into(platform: Platform, tmp_path: Path) -> None:
    platform.usage_table.create()
    platform.usage_table.replace_days([DAY], EVENTS.empty_table())
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    with pytest.raises(UsageTableMismatch, match="a table written by another billing database"):
        platform.land(DAY)
    assert platform.query("select * from landing_days") == []


def test_a_first_landing_that_was_killed_after_creating_the_table_resumes(platform: Platform) -> None:
    platform.usage_table.create()
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land(DAY)
    assert platform.table().version == 1


def kill_before_the_commit(platform: Platform) -> None:
    """Land, and fail after the landing has written the usage table, before it commits its ledger."""
    platform.execute(
        "create function killed() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$"
    )
    platform.execute("create trigger killed before insert on usage_files execute function killed()")
    with pytest.raises(psycopg.Error, match="killed"):
        platform.land(DAY)
    platform.execute("drop trigger killed on usage_files")
    platform.execute("drop function killed")


def quantities(platform: Platform) -> list[str]:
    return [plain(row["quantity"]) for row in platform.query("select quantity from usage_rollups order by quantity")]


def test_rows_of_a_killed_landing_are_neither_billed_nor_counted_with_the_next_landing(platform: Platform) -> None:
    """The killed landing brought 5 more requests, whose file is gone when the next day lands: only 3 + 4 count."""
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land(DAY)
    more = write_jsonl(platform.landing_dir, [event("more", "5")], name="more")
    kill_before_the_commit(platform)
    assert platform.usage_table.delta().version() == 2
    platform.roll_up()
    assert quantities(platform) == ["3"]
    more.unlink()
    next_day = DAY + timedelta(days=1)
    write_jsonl(platform.landing_dir, [event("e2", "4", time="2026-09-16T12:00:00Z")], next_day)
    platform.land(next_day)
    platform.roll_up()
    assert quantities(platform) == ["7"]


def test_a_first_landing_killed_before_its_commit_bills_nothing_until_it_lands_again(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    kill_before_the_commit(platform)
    platform.roll_up()
    assert quantities(platform) == []
    platform.land(DAY)
    platform.roll_up()
    assert quantities(platform) == ["3"]


def test_a_foreign_change_of_the_table_is_not_billed_and_is_undone_by_the_next_landing(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land(DAY)
    platform.usage_table.replace_days([DAY], EVENTS.empty_table())
    platform.roll_up()
    assert quantities(platform) == ["3"]
    next_day = DAY + timedelta(days=1)
    platform.land(next_day)
    assert platform.table().version == 4  # the landing, the foreign change, its undoing, the next landing
    platform.roll_up()
    assert quantities(platform) == ["3"]


def test_a_platform_from_before_the_ledger_recorded_the_table_continues_with_it(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e1", "3")])
    platform.land(DAY)
    forget = "update landed_months set rows = null, files = null"
    damage(platform.database, "delete from usage_tables", forget)
    platform.roll_up()
    assert quantities(platform) == ["3"]
    platform.land(DAY + timedelta(days=1))
    assert platform.query("select rows from landed_months") == [{"rows": 2}]
    damage(platform.database, "delete from usage_tables", forget)
    platform.usage_table.replace_days([DAY], EVENTS.empty_table())
    damage(platform.database, "update landing_days set lake_version = lake_version + 1")
    with pytest.raises(UsageTableMismatch, match="landing day 2026-09-15"):
        platform.land(DAY)


def test_explain_gives_the_reason_if_it_can_not_list_the_events(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    shutil.rmtree(platform.usage_table.local_folder)
    url = platform.database.engine.url
    names = {
        **os.environ,
        "DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
        "DAGSTER_DATABASE_URL": url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
        "FLY_BILLING_DATA_DIR": str(platform.landing_dir.parent / "data"),
        "FLY_BILLING_LAKE_DIR": str(platform.usage_table.local_folder),
    }
    process = subprocess.run(
        [COMMAND, "explain", "acme", "2026-09", "1", "--events"],
        env=names, capture_output=True, text=True, timeout=600, check=False, encoding="utf-8",
)  # fmt: skip
    message = " ".join(process.stdout.replace("│", " ").split())  # the panel's frame
    assert "3 x 0.1 = 0.3" in message
    assert "no such folder" in message
    assert process.returncode == 1
