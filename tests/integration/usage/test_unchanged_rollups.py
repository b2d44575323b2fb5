"""Rolling up an open month again aggregates what has changed. The result is as if it aggregated everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.usage.data_files import UsageTableMismatch
from fly_billing.usage.rollups import RollupReport, roll_up
from tests.support.builders import CLOSED, DAY, NOW, PRICES, SEPTEMBER, Platform, at, event, price, write_jsonl

LATER = NOW + timedelta(hours=1)
NEXT_DAY = DAY + timedelta(days=1)


def again(
    platform: Platform, now: datetime = LATER, month: BillingMonth = SEPTEMBER, *, from_scratch: bool = False
) -> RollupReport:
    groups = platform.billing_groups()
    return roll_up(platform.database, platform.usage_table, month, groups, now, from_scratch=from_scratch)


def rolled_up(report: RollupReport) -> tuple[int, int]:
    """Return the number of organizations that were rolled up again, and of those that were left as they are."""
    return report.organizations, report.unchanged


def rollups_of(platform: Platform) -> list[dict[str, Any]]:
    found = platform.query(
        "select s.organization_id, a.lake_version, a.rolled_up_at, s.fingerprint, s.events, r.meter, r.dimensions,"
        " r.segment_start, r.segment_end, r.quantity, r.events as rolled_up, r.daily from usage_snapshots as s"
        " join usage_as_of as a on a.snapshot_id = s.id"
        " left join usage_rollups as r on r.snapshot_id = s.id where s.is_current"
        " order by s.organization_id, r.meter, r.dimensions, r.segment_start"
    )
    return [dict(row) for row in found]


@pytest.fixture
def three(platform: Platform) -> Platform:
    """Three organizations, each with 2 requests on the 15th, rolled up at noon of the 20th."""
    for name in ("labs", "shop"):
        platform.add_organization(name)
    for name in ("acme", "labs", "shop"):
        write_jsonl(platform.landing_dir, [event(name, "2", subject=name)], name=name)
    platform.land()
    assert rolled_up(again(platform, NOW)) == (3, 0)
    return platform


def test_nothing_is_aggregated_if_nothing_has_changed_and_the_snapshots_are_of_now(three: Platform) -> None:
    before = rollups_of(three)
    assert rolled_up(again(three)) == (0, 3)
    assert rollups_of(three) == [row | {"rolled_up_at": LATER} for row in before]


def as_of(platform: Platform) -> dict[str, tuple[int, datetime]]:
    """Return the last version of the usage table that has the organization's usage, and when it was looked at."""
    found = platform.query("select organization_id, lake_version, rolled_up_at from usage_as_of where is_current")
    return {row["organization_id"]: (row["lake_version"], row["rolled_up_at"]) for row in found}


def writes(platform: Platform) -> dict[str, str]:
    """Return the transaction that last wrote each organization's current snapshot."""
    found = platform.query("select organization_id, xmin::text as written from usage_snapshots where is_current")
    return {row["organization_id"]: row["written"] for row in found}


def test_unchanged_snapshots_are_not_written_again_and_known_to_be_of_the_new_version(three: Platform) -> None:
    before, first = writes(three), three.table().version
    write_jsonl(three.landing_dir, [event("late", "5", subject="labs")], name="late")
    three.land()
    again(three)
    assert {name for name, written in writes(three).items() if written != before[name]} == {"labs"}
    assert three.table().version > first
    assert as_of(three) == dict.fromkeys(("acme", "labs", "shop"), (three.table().version, LATER))


def test_the_snapshot_of_a_failed_organization_stays_as_of_its_last_good_roll_up(
    three: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its usage was confirmed an hour after the first roll-up. The next roll-up fails, and a third one, too."""
    again(three)
    good = (three.table().version, LATER)
    write_jsonl(three.landing_dir, [event("late", "5", subject="labs")], name="late")
    three.land()
    three.execute(REFUSES_LABS)
    for hours in (2, 3):
        now = NOW + timedelta(hours=hours)
        assert [failure.organization_id for failure in again(three, now).failures] == ["labs"]
        assert as_of(three) == {
            "acme": (three.table().version, now),
            "labs": good,
            "shop": (three.table().version, now),
        }
    three.execute("drop trigger refuse_labs on usage_snapshots")
    assert rolled_up(again(three, NOW + timedelta(hours=4))) == (1, 2)
    assert set(as_of(three).values()) == {(three.table().version, NOW + timedelta(hours=4))}


REFUSES_LABS = """
create function refuse_labs() returns trigger language plpgsql as $$
begin
    raise exception 'disk full' using errcode = 'check_violation';
end $$;
create trigger refuse_labs before insert on usage_snapshots
for each row when (new.organization_id = 'labs') execute function refuse_labs();
"""


def test_a_billed_snapshot_that_is_replaced_keeps_the_last_version_that_had_its_usage(three: Platform) -> None:
    """The open invoice billed it, so its customer can see which usage the amount includes."""
    again(three)
    last = as_of(three)["labs"]
    three.bill()
    write_jsonl(three.landing_dir, [event("late", "5", subject="labs")], name="late")
    three.land()
    again(three, NOW + timedelta(hours=2))
    found = three.query("select lake_version, rolled_up_at from usage_as_of where not is_current")
    assert [tuple(row.values()) for row in found] == [last]


def test_a_roll_up_of_one_group_says_nothing_about_the_organizations_of_others(three: Platform) -> None:
    three.add_organization("elsewhere")
    again(three)
    everyone = as_of(three)
    now = NOW + timedelta(hours=2)
    report = roll_up(three.database, three.usage_table, SEPTEMBER, ["elsewhere"], now)
    assert rolled_up(report) == (0, 1)
    assert as_of(three) == everyone | {"elsewhere": (three.table().version, now)}


def test_only_the_organizations_of_a_new_file_are_aggregated(three: Platform) -> None:
    write_jsonl(three.landing_dir, [event("late", "5", subject="labs")], name="late")
    three.land()
    assert rolled_up(again(three)) == (1, 2)
    assert [(row["organization_id"], row["quantity"]) for row in rollups_of(three)] == [
        ("acme", 2), ("labs", 7), ("shop", 2),
    ]  # fmt: skip
    assert {row["lake_version"] for row in rollups_of(three)} == {three.table().version}


def test_usage_of_another_month_changes_nothing_in_this_one(three: Platform) -> None:
    write_jsonl(three.landing_dir, [event("earlier", "5", subject="labs", time="2026-08-31T23:59:59Z")], name="late")
    three.land()
    assert rolled_up(again(three)) == (0, 3)


def test_an_organization_whose_events_are_gone_is_aggregated(three: Platform) -> None:
    """The day lands whole, so all organizations with usage on it are."""
    (three.landing_dir / DAY.isoformat() / "labs.jsonl").unlink()
    three.land()
    assert rolled_up(again(three)) == (3, 0)
    assert [row["organization_id"] for row in rollups_of(three) if row["quantity"]] == ["acme", "shop"]


def test_a_new_organization_is_rolled_up_beside_unchanged_ones(three: Platform) -> None:
    three.add_organization("new")
    assert rolled_up(again(three)) == (1, 3)


def test_a_new_price_rolls_everything_up_again_by_its_segments(three: Platform) -> None:
    three.load(*PRICES, price("requests-from-the-16th", "1", "requests", effective_from=at("2026-09-16")))
    assert rolled_up(again(three)) == (3, 0)


def test_a_negotiated_price_rolls_up_its_organization(three: Platform) -> None:
    three.insert(
        "negotiated_prices", id=UUID(int=1), book="fly", key="requests", organization_id="labs", match="{}",
        charges=json.dumps({"percent_off": "10"}), effective_from=at("2026-09-10"),
    )  # fmt: skip
    assert rolled_up(again(three)) == (1, 2)


def add_level_meter(platform: Platform) -> None:
    platform.insert(
        "meters", key="volumes", name="Volumes", unit="GB-hour", dimensions=[], aggregation="time_weighted",
        time_unit=3600, series="volume",
    )  # fmt: skip


def volume(name: str, gigabytes: str, time: str, **changes: Any) -> dict[str, Any]:
    """Return the event of a volume that has this size from then on."""
    return event(name, gigabytes, type="volumes", volume="data", time=time, **changes)


def test_levels_grow_with_time_so_their_organizations_are_always_rolled_up(three: Platform) -> None:
    """A volume of 10 GB from noon of the 15th: 1,200 GB-hours until noon of the 20th, and 10 more each hour."""
    add_level_meter(three)
    write_jsonl(three.landing_dir, [volume("made", "10", "2026-09-15T12:00:00Z", subject="labs")], name="volume")
    three.land()
    assert rolled_up(again(three, NOW)) == (3, 0)
    assert level_time(three) == {"labs": 1200}
    assert rolled_up(again(three, LATER)) == (1, 2)
    assert level_time(three) == {"labs": 1210}


def test_a_level_of_an_earlier_month_grows_and_late_usage_ends_it(three: Platform) -> None:
    """A volume of 2 GB from 31 August on: 19.5 days of September are 936 GB-hours at noon of the 20th."""
    add_level_meter(three)
    write_jsonl(three.landing_dir, [volume("made", "2", "2026-08-31T20:00:00Z", subject="shop")], name="volume")
    three.land()
    assert rolled_up(again(three, NOW)) == (3, 0)
    assert rolled_up(again(three, LATER)) == (1, 2)
    assert level_time(three) == {"shop": 938}
    write_jsonl(three.landing_dir, [volume("gone", "0", "2026-08-31T21:00:00Z", subject="shop")], name="late")
    three.land()
    now = NOW + timedelta(hours=2)
    assert rolled_up(again(three, now)) == (1, 2)
    assert level_time(three) == {}
    assert rolled_up(again(three, now + timedelta(hours=1))) == (0, 3)


def level_time(platform: Platform) -> dict[str, int]:
    return {row["organization_id"]: row["quantity"] for row in rollups_of(platform) if row["meter"] == "volumes"}


def test_after_the_end_of_the_month_everything_is_aggregated_once_more_before_it_closes(three: Platform) -> None:
    assert rolled_up(again(three, SEPTEMBER.end - timedelta(microseconds=1))) == (0, 3)
    assert rolled_up(again(three, SEPTEMBER.end)) == (3, 0)
    assert rolled_up(again(three, CLOSED)) == (3, 0)


def test_a_person_can_have_everything_aggregated(three: Platform) -> None:
    assert rolled_up(again(three, from_scratch=True)) == (3, 0)


def test_an_organization_whose_last_roll_up_failed_is_rolled_up_again(three: Platform) -> None:
    three.insert("rollup_failures", organization_id="labs", month=SEPTEMBER.first_day, reason="x", found_at=NOW)
    assert rolled_up(again(three)) == (1, 2)
    assert three.query("select * from rollup_failures") == []


def test_a_damaged_file_of_the_month_is_found_although_nothing_has_changed(three: Platform) -> None:
    (file,) = three.table().files(SEPTEMBER)[1]
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UsageTableMismatch, match="1 damaged"):
        again(three)


def test_all_are_aggregated_if_the_version_that_they_are_from_is_gone(three: Platform) -> None:
    three.usage_table.delta().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    write_jsonl(three.landing_dir, [event("acme", "3", subject="acme")], name="acme")
    three.land()
    three.usage_table.delta().vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    assert rolled_up(again(three)) == (3, 0)


@pytest.mark.parametrize("seed", range(6))
def test_any_sequence_of_landings_prices_and_terms_gives_the_same_rollups_as_aggregating_everything(
    platform: Platform, twin: Platform, seed: int
) -> None:
    """Odd seeds have volumes, too, some of them since August."""
    random, left = Random(seed), 0
    both = [platform, twin]
    if seed % 2:
        for each in both:
            add_level_meter(each)
    for number in range(14):
        now = NOW + timedelta(minutes=number)
        change(random, both, number, seed % 2 == 1)
        for each in both:
            each.land(DAY, NEXT_DAY)
        left += again(platform, now).unchanged
        again(twin, now, from_scratch=True)
        assert rollups_of(platform) == rollups_of(twin), f"after step {number}"
    assert left, "the sequence has to have organizations that are left as they are"


def change(random: Random, platforms: Sequence[Platform], number: int, has_levels: bool) -> None:
    """Change usage, organizations or prices."""
    landing_dir, day = platforms[0].landing_dir, random.choice([DAY, NEXT_DAY])
    files = sorted((landing_dir / day.isoformat()).glob("*.jsonl"))
    kind = random.choice(["add", "add", "add", "remove", "organization", "price", "negotiated", "nothing"])
    if kind == "add" or not files:
        levels = [a_level(random, number)] if has_levels and random.random() < 0.4 else []
        write_jsonl(landing_dir, some_events(random, number) + levels, day, name=f"file-{number}")
    elif kind == "remove":
        random.choice(files).unlink()
    for platform in platforms:
        known = platform.organizations()
        if kind == "organization" and len(known) < 4:
            platform.add_organization(f"org-{len(known)}")
        elif kind == "price":
            starts = at(f"2026-09-{10 + number:02}")
            platform.load(*PRICES, price(f"requests-{number}", "1", "requests", effective_from=starts))


def a_level(random: Random, number: int) -> dict[str, Any]:
    time = random.choice(["2026-08-30T10:00:00Z", f"2026-09-15T{random.randrange(24):02}:00:00Z"])
    return volume(f"level-{number}", random.choice(["0", "2", "10"]), time, subject=random.choice(["acme", "org-1"]))


def some_events(random: Random, number: int) -> list[dict[str, Any]]:
    """Return events at times of the day, of any organization, some of them copies of others."""
    return [
        event(
            f"e{random.randrange(60)}", random.choice(["1", "2.5"]), subject=random.choice(["acme", "org-1", "org-2"]),
            time=f"2026-09-15T{random.randrange(24):02}:00:00Z",
        )
        for _ in range(random.randrange(1, 5))
    ]  # fmt: skip
