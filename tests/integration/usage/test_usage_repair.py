"""A damaged usage table is repaired from the landing folder: afterwards it agrees with Postgres and bills the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.repair import UsageTableRepairError, find_damage, reland_damaged_days
from tests.integration.usage.test_usage_table_compared import (
    CLOSED,
    FIRST,
    SECOND,
    Fault,
    data_file_cut,
    data_file_deleted,
    data_file_of_zeros,
    landed,
    last_log_cut,
    last_log_missing,
    log_cut_at_a_line,
    log_in_the_middle_missing,
    log_of,
    moved_away,
    share_not_mounted,
    table_of_another_platform,
)
from tests.support.builders import FIRST_MONTH, SEPTEMBER, Platform, event, write_jsonl

__all__ = ["landed"]
NO_TABLE = (moved_away, share_not_mounted)
DAMAGE = (*NO_TABLE, data_file_deleted, data_file_cut, last_log_cut, last_log_missing, log_cut_at_a_line)


def fix(platform: Platform, *, new_table: bool = False) -> None:
    reland_damaged_days(
        platform.database, platform.usage_table, platform.landing_dir, FIRST_MONTH, CLOSED, new_table=new_table
    )


@pytest.mark.parametrize("fault", [*DAMAGE, log_in_the_middle_missing], ids=lambda fault: str(fault.__name__))
def test_a_repair_does_not_change_the_months_amounts(landed: Platform, fault: Fault) -> None:
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]
    before = landed.table().version
    fault(landed)
    damage = find_damage(landed.database, landed.usage_table, landed.landing_dir)
    assert damage.lost == []
    assert set(damage.days) <= {FIRST, SECOND}
    with pytest.raises(UsageTableMismatch):
        landed.table().files()
    fix(landed, new_table=True)
    assert find_damage(landed.database, landed.usage_table, landed.landing_dir).is_none
    assert landed.table().version > before
    landed.roll_up(now=CLOSED)
    assert (
        correct_month(landed.database, SEPTEMBER, ["acme"], landed.usage_table, Actor("ann", CLOSED), guard=OFF).needed
        == []
    )
    write_jsonl(landed.landing_dir, [event("e0", "3", time=f"{SECOND}T12:00:00Z")], SECOND, "more")
    landed.land(SECOND, now=CLOSED)
    assert [row["reason"] for row in landed.rejected()] == ["conflicting_duplicate"]


def test_a_data_file_of_the_right_size_with_lost_content_is_found_and_landed_again(landed: Platform) -> None:
    data_file_of_zeros(landed)
    with pytest.raises(UsageTableMismatch, match=r"overwritten.*fly-billing land --repair"):
        landed.roll_up(now=CLOSED)
    damage = find_damage(landed.database, landed.usage_table, landed.landing_dir)
    assert (damage.days, damage.lost) == ([FIRST], [])
    fix(landed)
    assert find_damage(landed.database, landed.usage_table, landed.landing_dir).is_none
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]


DAMAGED_WORDS = {
    "a file in another month's folder": ('"path":"usage_month=2026-09/', '"path":"usage_month=2026-08/'),
    "no number of rows": ("numRecords", "numRecordz"),
    "a file that can't be one": ("/part-0", "/part-\\u0000"),
}


@pytest.mark.parametrize("damage", DAMAGED_WORDS)
def test_a_damaged_log_is_repaired_from_the_previous_version(landed: Platform, damage: str) -> None:
    last = log_of(landed)[-1]
    last.write_text(last.read_text(encoding="utf-8").replace(*DAMAGED_WORDS[damage]), encoding="utf-8")
    with pytest.raises(UsageTableMismatch):
        landed.table().files()
    fix(landed)
    assert find_damage(landed.database, landed.usage_table, landed.landing_dir).is_none
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]


@pytest.mark.parametrize("fault", NO_TABLE, ids=lambda fault: str(fault.__name__))
def test_a_new_table_is_created_only_on_request(landed: Platform, fault: Fault) -> None:
    fault(landed)
    with pytest.raises(UsageTableRepairError, match="--new-table"):
        fix(landed)
    assert not landed.usage_table.exists()


def test_the_table_of_another_platform_is_not_changed(landed: Platform) -> None:
    table_of_another_platform(landed)
    with pytest.raises(UsageTableRepairError, match="of another platform"):
        fix(landed, new_table=True)


def test_days_whose_folder_is_gone_can_not_be_repaired_and_are_named(landed: Platform, tmp_path: Path) -> None:
    moved_away(landed)
    shutil.move(landed.landing_dir / FIRST.isoformat(), tmp_path / "gone")
    with pytest.raises(UsageTableRepairError, match=r"1 landing day can't be landed again.*2026-09-10"):
        fix(landed, new_table=True)
    assert not landed.usage_table.exists()
    shutil.move(tmp_path / "gone", landed.landing_dir / FIRST.isoformat())
    fix(landed, new_table=True)
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]


def test_a_failed_repair_does_not_change_the_record(landed: Platform) -> None:
    data_file_deleted(landed)
    record = landed.query("select * from landed_months order by 1, 2")
    landed.execute(
        "create function killed() returns trigger language plpgsql as $$ begin raise exception 'killed'; end $$"
    )
    landed.execute("create trigger killed before insert on usage_files execute function killed()")
    with pytest.raises(Exception, match="killed"):
        fix(landed)
    landed.execute("drop trigger killed on usage_files")
    assert landed.query("select * from landed_months order by 1, 2") == record
    fix(landed)
    landed.roll_up(now=CLOSED)
    assert [invoice.total_cents for invoice in landed.bill(now=CLOSED).invoices] == [70]
