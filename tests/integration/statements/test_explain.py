"""An item is explained from its record: its calculation, and the events in the version of the usage table it billed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetCheckSeverity, ExecuteInProcessResult
from sqlalchemy.exc import DBAPIError

from fly_billing.cli.explain import show_explanation
from fly_billing.cli.terminal import Terminal
from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.rules.causes import CAUSES
from fly_billing.corrections.rules.guard import OFF
from fly_billing.invoicing.event_check import UsageUnreadable, check_items_per_event
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.statements.billed_events import UsageFile, open_billed_events
from fly_billing.statements.explanation_reader import (
    BilledUsage,
    ExplainedItem,
    NoSuchItem,
    find_item,
    find_item_at,
    list_items,
    read_explanation,
)
from fly_billing.statements.rules.sums import Sum
from tests.support.builders import CLOSED, DAY, OCTOBER, PRICES, SEPTEMBER, Platform, at, event, price, write_jsonl
from tests.support.calculator import printed, redo
from tests.support.deployment import Deployment, machine_seconds

COMMAND = Path(sys.executable).with_name("fly-billing")
LATER = date(2026, 9, 16)
AFTER_CLOSING = CLOSED + timedelta(days=10)
# Long after September and October were closed.
MUCH_LATER = datetime(2026, 11, 20, tzinfo=UTC)


def used(platform: Platform, *usage: dict[str, Any]) -> None:
    platform.use(*usage)
    platform.bill()


def first_item(platform: Platform) -> ExplainedItem:
    return read_explanation(platform.database, find_item_at(platform.database, "acme", SEPTEMBER, 1))


def usage_of(item: ExplainedItem) -> BilledUsage:
    assert item.usage is not None
    return item.usage


def shown(item: ExplainedItem, width: int = 100) -> str:
    out = io.StringIO()
    show_explanation(Terminal(file=out, width=width), item, [], "", item.explanation.problems)
    return out.getvalue()


# --- Finding an item --------------------------------------------------------------------------------------------------


def test_an_item_is_found_by_the_first_digits_of_its_id_with_or_without_dashes(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    (item,) = list_items(platform.database, "acme", SEPTEMBER)
    for text in (str(item.id), str(item.id).upper(), item.short_id, item.id.hex[:6], item.id.hex[:20]):
        assert find_item(platform.database, text) == item.id


def test_an_item_of_a_month_is_found_by_its_position_on_the_invoice(platform: Platform) -> None:
    platform.add_one_off("acme", "goodwill", "-1.00", at("2026-09-10"))
    used(platform, event("e1", "3"))
    assert [
        (item.position, item.kind, item.amount_cents) for item in list_items(platform.database, "acme", SEPTEMBER)
    ] == [
        (1, "usage", 30),
        (2, "one_off", -100),
    ]
    second = read_explanation(platform.database, find_item_at(platform.database, "acme", SEPTEMBER, 2))
    assert (second.position, second.explanation.item.kind, second.usage) == (2, "one_off", None)


def test_digits_that_fit_several_items_list_them_all(platform: Platform) -> None:
    platform.add_one_off("acme", "goodwill", "-1.00", at("2026-09-10"))
    used(platform, event("e1", "3"))
    platform.execute(
        "update invoice_items set id = cast('abcdef00-0000-4000-8000-00000000000' || position as uuid)"
        " where kind = 'one_off'"
    )
    platform.execute("alter table invoice_item_rollups drop constraint invoice_item_rollups_item_id_invoice_id_fkey")
    platform.execute("update invoice_items set id = 'abcdef11-0000-4000-8000-000000000000' where kind = 'usage'")
    with pytest.raises(NoSuchItem, match=r"(?s)2 item ids begin with 'abcdef'.*goodwill.*requests as used"):
        find_item(platform.database, "abcdef")
    assert str(find_item(platform.database, "abcdef1")).startswith("abcdef11")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abcde", "'abcde' is not an item id. Give at least the first 6 digits"),
        ("acme", "'acme' is not an item id.*fly-billing explain ORG YYYY-MM"),
        ("abcdef", "no item id begins with 'abcdef'.*fly-billing explain abcdef YYYY-MM"),
        ("0123456789abcdef0123456789abcdef01", "longer than an item id"),
    ],
)
def test_a_text_that_names_no_item_is_refused_with_a_hint(platform: Platform, text: str, message: str) -> None:
    with pytest.raises(NoSuchItem, match=message):
        find_item(platform.database, text)


def test_a_month_without_items_and_a_position_without_an_item_are_named(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    with pytest.raises(NoSuchItem, match="'acme' has no items in 2026-10"):
        list_items(platform.database, "acme", OCTOBER)
    with pytest.raises(NoSuchItem, match="'acme' has no item 7 in 2026-09, only 1 to 1"):
        find_item_at(platform.database, "acme", SEPTEMBER, 7)


# --- Calculations ----------------------------------------------------------------------------------------------------


def test_every_item_of_an_invoice_is_recalculated_from_its_record(platform: Platform) -> None:
    """0.30; 10 GB past 100 x 0.02; half of 29.00; -1.005; 3 seconds of a Machine."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.add_one_off("acme", "goodwill", "-1.005", at("2026-09-10"))
    machine = {"type": "machine_seconds", "preset": "shared-cpu-1x"}
    used(
        platform,
        event("e1", "3"),
        event("e2", "110", type="egress_gb", region="iad"),
        event("e3", "1", region="iad", **machine),
        event("e4", "2", region="ams", **machine),
    )
    items = [read_explanation(platform.database, item.id) for item in list_items(platform.database, "acme", SEPTEMBER)]
    assert [(item.explanation.problems, item.explanation.item.amount_cents) for item in items] == [
        ((), 20),
        ((), 0),
        ((), 30),
        ((), 1450),
        ((), -100),
    ]
    for item in items:
        assert redo(printed(item.explanation))["Amount"].total == item.explanation.item.amount
    assert sum(item.explanation.item.amount_cents for item in items) == items[0].total_cents == 1400
    facts = [dict(item.explanation.facts) for item in items]
    assert facts[4] == {"Occurred at": "2026-09-10 00:00:00 UTC"}
    assert facts[3]["Subscription"] == "from 2026-09-16 00:00:00 UTC, billed in arrears, prorated by second"


def test_an_item_fits_a_terminal_of_a_hundred_columns(platform: Platform) -> None:
    used(
        platform,
        *(event(f"e{n}", "0.123456789012345", type="egress_gb", region=f"region-{n}") for n in range(25)),
    )
    text = shown(first_item(platform))
    assert max(map(len, text.splitlines())) == 100
    assert "and 5 more (--all shows them)" in text
    assert "not numbered yet, 2026-09, open (so far)" in text


def test_a_final_invoice_is_named_by_its_number(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    item = first_item(platform)
    assert (item.number, item.status) == ("ACME-0001", "finalized")
    assert "ACME-0001, 2026-09, finalized" in shown(item)


def test_a_manual_change_of_an_amount_is_reported(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    platform.execute("update invoice_items set amount_cents = 31")
    item = first_item(platform)
    assert item.explanation.problems == ("Rounding: $0.31 was billed, but rounding the invoice again gives $0.30",)
    assert "RECALCULATED AMOUNT DIFFERS FROM THE BILLED AMOUNT" in shown(item)


def test_a_linked_organizations_item_is_found_under_it_and_its_payer(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.execute(
        "insert into organization_links (organization_id, payer_id, first_month)"
        " values ('globex', 'acme', '2026-09-01')"
    )
    used(platform, event("e1", "3"), event("e2", "5", subject="globex"))
    organizations = [item.organization_id for item in list_items(platform.database, "acme", SEPTEMBER)]
    (of_globex,) = list_items(platform.database, "globex", SEPTEMBER)
    assert sorted(organizations) == ["acme", "globex"]
    assert (of_globex.payer_id, of_globex.amount_cents) == ("acme", 50)
    item = read_explanation(platform.database, of_globex.id)
    assert "globex, paid by acme" in shown(item)
    with open_billed_events(platform.database, platform.usage_table, usage_of(item)) as billed:
        assert [billed_event.id for billed_event in billed.events()] == ["e2"]


# --- Usage behind an item --------------------------------------------------------------------------------------------


def test_the_events_behind_an_item_are_listed_with_file_line_and_running_sum(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("late", "0.5", time="2026-09-15T23:59:59.999999Z")], LATER, "more")
    platform.land(LATER)
    used(platform, event("e2", "3", time="2026-09-15T13:00:00Z"), event("e1", "2"), event("e1", "2"))
    usage = usage_of(first_item(platform))
    assert (usage.usage_table_version, usage.events, usage.organization_id) == (2, 3, "acme")
    with open_billed_events(platform.database, platform.usage_table, usage) as billed:
        assert billed.problems() == []
        assert billed.files() == [
            UsageFile(DAY, "usage.jsonl", 2, Decimal(5)),
            UsageFile(LATER, "more.jsonl", 1, Decimal("0.5")),
        ]
        listed = [
            (billed_event.id, billed_event.path, billed_event.line, billed_event.so_far)
            for billed_event in billed.events()
        ]
    assert listed == [
        ("e1", "usage.jsonl", 2, 2),
        ("e2", "usage.jsonl", 1, 5),
        ("late", "more.jsonl", 1, Decimal("5.5")),
    ]


def test_an_item_lists_only_the_events_of_its_dimensions_and_time(platform: Platform) -> None:
    """The price changes on the 16th at midnight: the event at that moment is the later version's."""
    since = at("2026-09-16")
    platform.load(
        *PRICES, price("egress", "1", "egress_gb", unit="GB", description="egress since then", effective_from=since)
    )
    egress = {"type": "egress_gb"}
    used(
        platform,
        event("e1", "1", region="ams", time="2026-09-15T23:59:59Z", **egress),
        event("e2", "2", region='odd "ünit"/', time="2026-09-16T00:00:00Z", **egress),
        event("e3", "3"),
        event("e4", "4", region="ams", time="2026-10-01T00:00:00Z", **egress),
    )
    found = {}
    for item in list_items(platform.database, "acme", SEPTEMBER):
        with open_billed_events(
            platform.database, platform.usage_table, usage_of(read_explanation(platform.database, item.id))
        ) as billed:
            assert billed.problems() == []
            found[item.description] = [billed_event.id for billed_event in billed.events()]
    assert found == {"egress as used": ["e1"], "egress since then": ["e2"], "requests as used": ["e3"]}


def test_a_final_item_is_explained_by_the_events_that_it_billed_without_later_ones(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    before = usage_of(first_item(platform))
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "4")])
    platform.land(DAY, now=at("2026-10-05"))
    platform.roll_up(now=at("2026-10-05"))
    after = first_item(platform)
    assert usage_of(after) == before
    with open_billed_events(platform.database, platform.usage_table, usage_of(after)) as billed:
        assert [billed_event.id for billed_event in billed.events()] == ["e1"]


def test_unreadable_usage_behind_an_item_is_reported(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    usage = usage_of(first_item(platform))
    for file in platform.usage_table.local_folder.rglob("*.parquet"):
        file.unlink()
    with (
        pytest.raises(UsageUnreadable, match="version 1 of the usage table can no longer be read"),
        open_billed_events(platform.database, platform.usage_table, usage),
    ):
        pass
    shutil.rmtree(platform.usage_table.local_folder)
    with (
        pytest.raises(UsageUnreadable, match=r"no such folder.*FLY_BILLING_LAKE_DIR is correct"),
        open_billed_events(platform.database, platform.usage_table, usage),
    ):
        pass
    assert not platform.usage_table.exists()


def test_events_that_differ_from_the_billed_quantity_are_reported(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    platform.execute("update usage_rollups set quantity = 4, events = 2")
    with open_billed_events(platform.database, platform.usage_table, usage_of(first_item(platform))) as billed:
        assert billed.problems() == [
            "Events: {} was billed as 4 from 2 events; the usage table has 1 event with a total of 3"
        ]


def test_a_meter_that_counts_events_shows_the_result_of_its_aggregation(platform: Platform) -> None:
    """Three requests of any size: 3 x 0.10."""
    platform.execute("update meters set aggregation = 'count' where key = 'requests'")
    used(platform, event("e1", "5"), event("e2", "0"), event("e3", "7.5"))
    printed_run = run(platform, "acme", "2026-09", "1", "--events")
    assert printed_run.returncode == 0, printed_run.stdout
    assert "3 x 0.1 = 0.3" in printed_run.stdout
    assert "         so far" not in printed_run.stdout  # no column of sums
    assert "The meter's aggregation, count, of 3 events is 3 requests, the billed quantity." in printed_run.stdout


def test_rounded_events_show_the_measured_and_the_counted_quantity(platform: Platform) -> None:
    """Two calls of 61 seconds in steps of 6: 66 + 66 = 132 x 0.10 = 13.20. The longest of the others counts as 66."""
    by_six = EventRounding(Decimal(6))
    meters = (
        Meter("calls", "Calls", "second", Aggregation("sum", round_each_event=by_six)),
        Meter("longest", "Longest call", "second", Aggregation("max", round_each_event=by_six)),
    )
    with platform.database.transaction() as connection:
        prices = [price(meter.key, "0.10", meter.key, unit="second") for meter in meters]
        load_price_book(connection, PriceBookFiles("fly", meters, prices))
    usage = [event(f"c{n}", "61", type="calls", time=f"2026-09-0{n}T00:00:00Z") for n in (2, 3)]
    usage += [event(f"l{n}", f"6{n}", type="longest", time=f"2026-09-0{n}T00:00:00Z") for n in (1, 5)]
    write_jsonl(platform.landing_dir, usage, date(2026, 9, 5))
    assert platform.close().failures == []
    assert platform.amounts("usage") == [Decimal("13.20"), Decimal("6.60")]
    shown = run(platform, "acme", "2026-09", "1", "--events")
    assert shown.returncode == 0, shown.stdout
    assert "Each event was first rounded up to a multiple of 6." in re.sub(r"[\s│]+", " ", shown.stdout)
    assert shown.stdout.count("(61 measured)") == 2
    assert "2 events add up to 132 seconds, the billed quantity." in shown.stdout
    (_, ((label, _, highest),)) = explained_quantities(platform)[-1]
    assert (label, highest) == ("the month's peak so far: proxy l1 on 2026-09-01 (61, rounded)", Decimal(66))


def test_a_step_can_not_be_changed_once_the_meter_has_usage(platform: Platform) -> None:
    used(platform, event("e1", "5"))
    platform.execute("update meters set name = 'Calls' where key = 'requests'")
    with pytest.raises(DBAPIError, match="meter requests has usage: how it adds up can not be changed"):
        platform.execute("update meters set event_step = 6, event_round = 'up' where key = 'requests'")


# --- From events to a quantity -------------------------------------------------------------------------------------

GB_HOURS = Aggregation("time_weighted", series="volume", time_unit=3600)
HOW = (
    Meter("peak", "Peak", "connection", Aggregation("max"), ("region",)),
    Meter("users", "Users", "user", Aggregation("unique", unique_of="user")),
    Meter("seats", "Seats", "seat", Aggregation("latest")),
    Meter("volume", "Volumes", "GB-hour", GB_HOURS, ("region",)),
)


def metered(platform: Platform, *changed: Price) -> None:
    """Bill a meter of each aggregation at 0.10 a unit, until later versions of their prices apply."""
    prices = [price(meter.key, "0.10", meter.key, unit=meter.unit) for meter in HOW]
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", HOW, [*prices, *changed]))


def event_at(name: str, quantity: str, meter: str, time: str, **dimensions: str) -> dict[str, Any]:
    return event(name, quantity, type=meter, time=f"{time}Z", **dimensions)


def close_with(platform: Platform, *usage: dict[str, Any]) -> None:
    """Land each event on its own day, and close September."""
    for day in sorted({row["time"][:10] for row in usage}):
        of_day = [row for row in usage if row["time"].startswith(day)]
        write_jsonl(platform.landing_dir, of_day, date.fromisoformat(day))
        platform.land(date.fromisoformat(day), now=at("2026-10-03"))
    assert platform.close().failures == []


def explained_quantities(platform: Platform) -> list[tuple[Decimal, list[tuple[str, str, Decimal]]]]:
    """Return the calculations of all items of acme's September: total, and label, working and amount of each line.

    In the order of their dimensions and times.
    """
    found: list[Sum] = []
    for item in list_items(platform.database, "acme", SEPTEMBER):
        with open_billed_events(
            platform.database, platform.usage_table, usage_of(read_explanation(platform.database, item.id))
        ) as billed:
            assert billed.problems() == []
            found += billed.quantities.values()
    return [
        (calculation.total, [(line.label, line.working, line.amount) for line in calculation.lines])
        for calculation in sorted(found, key=lambda calculation: calculation.title)
    ]


def test_a_peak_names_the_highest_event_of_its_dimensions(platform: Platform) -> None:
    """Of 4, 7 and 7 in ams the first 7; the 9 is another region's, which has its own price."""
    metered(platform, price("peak-fra", "0.10", "peak", unit="connection", match={"region": ("fra",)}))
    close_with(
        platform,
        event_at("p1", "4", "peak", "2026-09-03T00:00:00", region="ams"),
        event_at("p2", "7", "peak", "2026-09-10T12:30:00", region="ams"),
        event_at("p3", "7", "peak", "2026-09-11T00:00:00", region="ams"),
        event_at("p4", "9", "peak", "2026-09-12T00:00:00", region="fra"),
    )
    assert explained_quantities(platform) == [
        (Decimal(7), [("the month's peak so far: proxy p2 on 2026-09-10 12:30:00", "", Decimal(7))]),
        (Decimal(9), [("the month's peak so far: proxy p4 on 2026-09-12", "", Decimal(9))]),
    ]


def test_after_a_price_change_on_the_15th_only_the_increase_of_a_peak_is_billed(platform: Platform) -> None:
    """4 x 0.10 before; 7 - 4 = 3 x 0.20 since."""
    metered(platform, price("peak", "0.20", "peak", unit="connection", effective_from=at("2026-09-15")))
    close_with(
        platform,
        event_at("p1", "4", "peak", "2026-09-14T23:59:59", region="ams"),
        event_at("p2", "7", "peak", "2026-09-15T00:00:00", region="ams"),
    )
    first, second = "proxy p1 on 2026-09-14 23:59:59", "proxy p2 on 2026-09-15"
    assert explained_quantities(platform) == [
        (Decimal(4), [(f"the month's peak so far: {first}", "", Decimal(4))]),
        (
            Decimal(3),
            [
                (f"the month's peak so far: {second}", "", Decimal(7)),
                (f"already billed up to 2026-09-15: {first}", "", Decimal(-4)),
            ],
        ),
    ]
    assert platform.totals() == [100]


def test_each_user_is_counted_at_the_first_event_and_repeats_are_listed(platform: Platform) -> None:
    """Ada before the price change on the 15th; bob since, when ada comes again twice and bob once."""
    metered(platform, price("users", "0.20", "users", unit="user", effective_from=at("2026-09-15")))
    close_with(
        platform,
        event_at("u1", "1", "users", "2026-09-03T00:00:00", user="ada"),
        event_at("u2", "1", "users", "2026-09-15T00:00:00", user="ada"),
        event_at("u3", "1", "users", "2026-09-16T00:00:00", user="bob"),
        event_at("u4", "1", "users", "2026-09-17T00:00:00", user="bob"),
        event_at("u5", "1", "users", "2026-09-18T00:00:00", user="ada"),
    )
    assert explained_quantities(platform) == [
        (Decimal(1), [("ada: first in proxy u1 on 2026-09-03", "", Decimal(1))]),
        (
            Decimal(1),
            [
                ("bob: first in proxy u3 on 2026-09-16", "", Decimal(1)),
                ("3 more events with a value that was already counted", "", Decimal(0)),
            ],
        ),
    ]


def test_the_latest_quantity_is_that_of_the_last_event_and_is_billed_at_the_last_price_only(platform: Platform) -> None:
    """Of s10 and s2 at one time s2 is the last: ids are texts."""
    metered(platform, price("seats", "0.20", "seats", unit="seat", effective_from=at("2026-09-15")))
    close_with(
        platform,
        event_at("s1", "9", "seats", "2026-09-03T00:00:00"),
        event_at("s2", "3", "seats", "2026-09-20T00:00:00"),
        event_at("s10", "8", "seats", "2026-09-20T00:00:00"),
    )
    assert explained_quantities(platform) == [
        (Decimal(0), [("the month's last event is later: proxy s2 on 2026-09-20", "", Decimal(0))]),
        (Decimal(3), [("the month's last event: proxy s2 on 2026-09-20", "", Decimal(3))]),
    ]


def test_a_level_over_time_is_a_table_of_levels_and_seconds(platform: Platform) -> None:
    """10 GB for 30 hours and 4 GB for 2 are 308 GB-hours; another volume's 1 GB for 1 s is 1/3600, rounded."""
    metered(platform)
    close_with(
        platform,
        event_at("h1", "10", "volume", "2026-09-10T04:00:00", region="ams", volume="vol-1"),
        event_at("h2", "4", "volume", "2026-09-11T10:00:00", region="ams", volume="vol-1"),
        event_at("h3", "0", "volume", "2026-09-11T12:00:00", region="ams", volume="vol-1"),
        event_at("h4", "1", "volume", "2026-09-12T00:00:00", region="ams", volume="vol-2"),
        event_at("h5", "0", "volume", "2026-09-12T00:00:01", region="ams", volume="vol-2"),
    )
    assert explained_quantities(platform) == [
        (
            Decimal("308.000277777777778"),
            [
                (
                    "volume vol-1, 2026-09-10 04:00:00 to 2026-09-11 10:00:00, reported by proxy h1",
                    "10 x 108,000 / 3,600",
                    Decimal(300),
                ),
                (
                    "volume vol-1, 2026-09-11 10:00:00 to 2026-09-11 12:00:00, reported by proxy h2",
                    "4 x 7,200 / 3,600",
                    Decimal(8),
                ),
                (
                    "volume vol-2, 2026-09-12 to 2026-09-12 00:00:01, reported by proxy h4",
                    "1 x 1 / 3,600",
                    Decimal("0.00027777777777777778"),
                ),
                ("rounded to 15 decimal places from the month's start", "", Decimal("0.00000000000000022222")),
            ],
        )
    ]
    shown = run(platform, "acme", "2026-09", "1", "--events")
    assert shown.returncode == 0, shown.stdout
    assert redo(shown_sums(shown.stdout))["Level over time"].total == Fraction("308.000277777777778")
    assert "2026-09-12/usage.jsonl:1  vol-2" in shown.stdout


def shown_sums(text: str) -> str:
    """Return a printed explanation without its frame and the rollups in its titles; the events follow the frame."""
    framed, _, _ = text.partition("\n╰")
    lines = [line[2:-2] for line in framed.splitlines()[1:]]
    start = next(number for number, line in enumerate(lines) if line.startswith("Level over time"))
    return "\n".join(["Level over time", *lines[start + 1 :]])


def test_a_volume_without_an_event_in_the_month_names_the_event_that_made_it(platform: Platform) -> None:
    """10 GB since August, for 14 days at 0.10 and, from the 15th on, 16 days at 0.20: 3,360 and 3,840 GB-hours."""
    metered(platform, price("volume", "0.20", "volume", unit="GB-hour", effective_from=at("2026-09-15")))
    early = event_at("h0", "99", "volume", "2026-07-01T00:00:00", region="ams", volume="vol-1")
    other = event_at("h2", "5", "volume", "2026-08-01T00:00:00", region="fra", volume="vol-1")
    gone = event_at("h3", "0", "volume", "2026-08-02T00:00:00", region="fra", volume="vol-1")
    made = event_at("h1", "10", "volume", "2026-08-31T22:00:00", region="ams", volume="vol-1")
    close_with(platform, early, other, gone, made)
    origin = "reported by proxy h1 on 2026-08-31 22:00:00 (2026-08-31/usage.jsonl:1)"
    assert explained_quantities(platform) == [
        (
            Decimal(3_360),
            [(f"volume vol-1, 2026-09-01 to 2026-09-15, {origin}", "10 x 1,209,600 / 3,600", Decimal(3_360))],
        ),
        (
            Decimal(3_840),
            [(f"volume vol-1, 2026-09-15 to 2026-10-01, {origin}", "10 x 1,382,400 / 3,600", Decimal(3_840))],
        ),
    ]
    shown = run(platform, "acme", "2026-09", "1", "--events")
    assert shown.returncode == 0, shown.stdout
    assert "This item has no event of 2026-09: it bills a level from an earlier month." in shown.stdout
    data = json.loads(run(platform, "acme", "2026-09", "2", "--json", "--events").stdout)
    (quantity,) = data["usage"]["quantities"]
    (line,) = quantity.pop("lines")
    assert quantity == {
        "rollup_id": data["rollups"][0]["id"],
        "title": "Level over time: region ams; 2026-09-15 to 2026-10-01",
        "unit": "GB-hour",
        "total": "3840",
    }
    assert {name: line[name] for name in line if name not in ("label", "event")} == {
        "amount": "3840",
        "series": "vol-1",
        "start": "2026-09-15T00:00:00+00:00",
        "end": "2026-10-01T00:00:00+00:00",
        "level": "10",
        "seconds": "1382400",
        "time_unit": "3600",
        "is_carried": True,
    }
    assert line["event"]["place"] == "2026-08-31/usage.jsonl:1"
    assert (data["events"], data["events_left_out"], data["problems"]) == ([], 0, [])


def test_a_level_on_a_final_invoice_is_explained_by_the_events_that_it_billed(platform: Platform) -> None:
    """Afterwards it turns out that the volume was gone in August: September's final invoice had 10 GB x 720 hours."""
    metered(platform)
    close_with(platform, event_at("h1", "10", "volume", "2026-08-30T00:00:00", region="ams", volume="vol-1"))
    before = explained_quantities(platform)
    assert [total for total, _ in before] == [Decimal(7_200)]
    late = event_at("h2", "0", "volume", "2026-08-31T00:00:00", region="ams", volume="vol-1")
    write_jsonl(platform.landing_dir, [late], date(2026, 8, 31))
    platform.land(date(2026, 8, 31), now=at("2026-10-06"))
    platform.roll_up(now=at("2026-10-06"))
    assert platform.query("select level from carried_levels where month = '2026-09-01'") == []
    assert explained_quantities(platform) == before


def test_an_open_invoice_explains_the_levels_so_far(platform: Platform) -> None:
    """From the 15th, 12:00 to the 20th, 12:00, when it was added up: 120 hours."""
    metered(platform)
    used(platform, event("h1", "10", type="volume", region="ams", volume="vol-1"))
    ((total, (line,)),) = explained_quantities(platform)
    assert (total, line[1]) == (Decimal(1_200), "10 x 432,000 / 3,600")
    assert line[0] == "volume vol-1, 2026-09-15 12:00:00 to 2026-09-20 12:00:00, reported by proxy h1"


REGIONAL = tuple(
    Meter(name, name, "unit", Aggregation(name, unique_of="user" if name == "unique" else None), ("region",))
    for name in ("max", "unique", "latest")
)
# On the 5th, 10th, 20th and 25th: user, region and quantity.
SEEN = (("05", "ada", "ams", "4"), ("10", "ada", "fra", "7"), ("20", "bob", "ams", "9"), ("25", "bob", "fra", "5"))
ALL = {"max": "9", "unique": "2", "latest": "5"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        # One price for all regions, and the same by name.
        ([("all", None, None)], {"max": "9", "unique": "2", "latest": "5"}),
        ([("both", ("ams", "fra"), None)], {"max": "9", "unique": "2", "latest": "5"}),
        # A price each: 9 + 7, ada and bob in each, 9 + 5.
        ([("ams", ("ams",), None), ("fra", ("fra",), None)], {"max": "16", "unique": "4", "latest": "14"}),
        # A new version of the price for all from the 15th on.
        ([("all", None, None), ("all", None, "15")], {"max": "9", "unique": "2", "latest": "5"}),
        # From the 15th on fra has a separate price: users counted before are not counted again.
        ([("all", None, None), ("fra", ("fra",), "15")], {"max": "9", "unique": "2", "latest": "5"}),
        # A price that begins with one region and goes on with both.
        ([("ams", ("ams",), None), ("else", None, None)], {"max": "16", "unique": "4", "latest": "14"}),
    ],
)
def test_usage_under_one_price_is_counted_once_and_explained_as_a_sum(
    platform: Platform,
    name: str,
    prices: list[tuple[str, tuple[str, ...] | None, str | None]],
    expected: dict[str, str],
) -> None:
    made = [
        price(
            key,
            "1",
            name,
            unit="unit",
            match={"region": regions} if regions else {},
            effective_from=at(f"2026-09-{day}") if day else at("2023-01-01"),
        )
        for key, regions, day in prices
    ]
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", REGIONAL, made))
    for day, user, region, quantity in SEEN:
        usage = event(f"e{day}", quantity, type=name, user=user, region=region, time=f"2026-09-{day}T12:00:00Z")
        write_jsonl(platform.landing_dir, [usage], date(2026, 9, int(day)))
    platform.close()
    assert platform.totals() == [int(expected[name]) * 100]
    for row in platform.query("select id from invoice_items"):
        usage_behind = usage_of(read_explanation(platform.database, row["id"]))
        with open_billed_events(platform.database, platform.usage_table, usage_behind) as billed:
            assert billed.problems() == []
            quantities = [calculation.total for calculation in billed.quantities.values()]
        assert quantities == [rollup.usage.quantity for rollup in usage_behind.rollups]


@pytest.mark.parametrize(
    ("usage", "message"),
    [
        (event("p1", "7", type="peak", region="ams"), "Peak: region ams.* add up to 7 connections, not to 8"),
        (event("u1", type="users", user="ada"), "Unique values of user: users.* add up to 1 user, not to 2"),
        (event("s1", "3", type="seats"), "Latest value: seats.* add up to 3 seats, not to 4"),
        (
            event("h1", "10", type="volume", region="ams", volume="vol-1"),
            "Level over time: region ams.* add up to 1,200 GB-hours, not to 1,201",
        ),
    ],
    ids=["max", "unique", "latest", "time-weighted"],
)
def test_a_quantity_that_differs_from_its_events_is_reported(
    platform: Platform, usage: dict[str, Any], message: str
) -> None:
    metered(platform)
    used(platform, usage)
    platform.execute("update usage_rollups set quantity = quantity + 1")
    with open_billed_events(platform.database, platform.usage_table, usage_of(first_item(platform))) as billed:
        (problem,) = billed.problems()
    assert re.search(message, problem)
    assert run(platform, "acme", "2026-09", "1").returncode == 1


def test_a_number_of_events_that_differs_from_the_billed_one_is_reported(platform: Platform) -> None:
    platform.execute("update meters set aggregation = 'count' where key = 'requests'")
    used(platform, event("e1", "5"))
    platform.execute("update usage_rollups set quantity = 2")
    with open_billed_events(platform.database, platform.usage_table, usage_of(first_item(platform))) as billed:
        assert billed.problems() == [
            "Events: {} was billed as 2 from 1 event; the usage table has 1 event with a total of 5"
        ]


# --- Complete and disjoint -----------------------------------------------------------------------------------------


def not_in_one_item(platform: Platform) -> list[tuple[str, str, int, str]]:
    found = check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, platform.organizations())
    return [(row["organization_id"], row["meter"], row["events"], row["problem"]) for row in found]


def test_every_accepted_event_is_in_exactly_one_item(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.add_organization("idle")
    egress = {"type": "egress_gb"}
    used(
        platform,
        event("e1", "3"),
        event("e1", "3"),
        event("e2", "1", region="ams", time="2026-09-01T00:00:00Z", **egress),
        event("e3", "1", region="iad", time="2026-09-30T23:59:59.999999Z", **egress),
        event("e4", "1", region="iad", time="2026-10-01T00:00:00Z", **egress),
        event("e5", "9", subject="globex"),
    )
    assert not_in_one_item(platform) == []


def test_each_invoice_is_compared_with_its_own_version_of_the_usage_table(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "4")])
    platform.land(DAY, now=at("2026-10-05"))
    platform.roll_up(now=at("2026-10-05"))
    platform.add_organization("globex")
    platform.roll_up(now=at("2026-10-05"))
    platform.bill(now=CLOSED)
    assert not_in_one_item(platform) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            "delete from invoice_item_rollups as l using usage_rollups as r"
            " where r.id = l.rollup_id and r.meter = 'requests'",
            [("acme", "requests", 2, "in 0 items")],
        ),
        (
            "update usage_rollups set segment_end = '2026-09-15T12:30:00Z' where meter = 'requests'",
            [
                ("acme", "requests", 1, "in 0 items"),
                ("acme", "requests", 2, "billed, but the usage table has 1"),
            ],
        ),
        (
            "update usage_rollups set dimensions = '{\"region\": \"ams\"}' where dimensions ->> 'region' = 'iad'",
            [
                ("acme", "egress_gb", 1, "billed, but the usage table has 0"),
                ("acme", "egress_gb", 1, "in 0 items"),
            ],
        ),
    ],
)
def test_an_event_without_an_item_is_found(
    platform: Platform, damage: str, found: list[tuple[str, str, int, str]]
) -> None:
    used(
        platform,
        event("e1", "3"),
        event("e2", "4", time="2026-09-15T13:00:00Z"),
        event("e3", "1", type="egress_gb", region="iad"),
    )
    assert not_in_one_item(platform) == []
    platform.execute(damage)
    assert sorted(not_in_one_item(platform), key=str) == found


def test_events_are_in_their_items_however_postgres_writes_the_dimensions(platform: Platform) -> None:
    """Postgres writes spaces, and `zone` before `queue`: it orders keys by their length."""
    with platform.database.transaction() as connection:
        meters = (Meter("tasks", "Tasks", "task", dimensions=("queue", "zone")),)
        load_price_book(connection, PriceBookFiles("fly", meters, (price("tasks", "0.10", "tasks"),)))
    used(platform, event("e1", "3", type="tasks", zone="ams", queue='"é" 1'), event("e2", "4"))
    assert not_in_one_item(platform) == []
    platform.execute("update usage_rollups set events = 2 where meter = 'tasks'")
    (row,) = check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, ["acme"])
    assert (row["events"], row["problem"]) == (2, "billed, but the usage table has 1")
    assert row["dimensions"] == '{"queue":"\\"é\\" 1","zone":"ams"}'


def test_an_unreadable_version_of_the_usage_table_does_not_count_as_checked(platform: Platform) -> None:
    used(platform, event("e1", "3"), event("e2", "4"))
    for file in platform.usage_table.local_folder.rglob("*.parquet"):
        file.unlink()
    (row,) = check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, ["acme"])
    assert (row["organization_id"], row["events"]) == (None, 2)
    assert row["problem"].startswith("version 1 of the usage table can no longer be read")


def test_an_event_that_two_items_bill_is_found(platform: Platform) -> None:
    """No key of the database prevents it: two overlapping rollups, each in its own item."""
    platform.add_organization("globex")
    used(platform, event("e1", "3"), event("e2", "1", type="egress_gb", region="iad"))
    platform.execute(
        "insert into usage_rollups select gen_random_uuid(), snapshot_id, meter, dimensions, '2026-09-15',"
        " '2026-09-16', quantity, events from usage_rollups where meter = 'requests'"
    )
    platform.execute(
        "insert into invoice_item_rollups select i.id, r.id, t.id from usage_rollups r, invoices i"
        " join invoice_items t on t.invoice_id = i.id and t.meter = 'egress_gb'"
        " where r.segment_start = '2026-09-15'"
    )
    assert not_in_one_item(platform) == [("acme", "requests", 1, "in 2 items")]


def test_a_check_in_dagster_fails_if_an_event_is_in_no_item(deployment: Deployment) -> None:
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.write_usage(date(2026, 10, 10), [machine_seconds(1, "acme", at("2026-10-09"), "2592000")])
    deployment.land_month(OCTOBER)
    assert in_one_item(deployment.bill(OCTOBER)) == (True, AssetCheckSeverity.ERROR)
    deployment.execute("alter table invoice_item_rollups disable trigger user")
    deployment.execute("delete from invoice_item_rollups")
    assert in_one_item(deployment.bill(OCTOBER)) == (False, AssetCheckSeverity.ERROR)


def in_one_item(result: ExecuteInProcessResult) -> tuple[bool, AssetCheckSeverity]:
    checks = {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}
    found = checks["every_event_is_in_exactly_one_item"]
    return found.passed, found.severity


# --- The command ---------------------------------------------------------------------------------------------------


def run(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = platform.database.engine.url
    names = {
        **os.environ,
        "DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
        "DAGSTER_DATABASE_URL": url.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False),
        "FLY_BILLING_DATA_DIR": str(platform.landing_dir.parent / "data"),
        "FLY_BILLING_LAKE_DIR": str(platform.usage_table.local_folder),
    }
    return subprocess.run(
        [COMMAND, "explain", *arguments],
        env=names,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        encoding="utf-8",
    )


def test_the_command_shows_a_months_items_then_an_item_then_its_events(platform: Platform) -> None:
    used(platform, event("e1", "3"), event("e2", "0.5", time="2026-09-15T13:00:00Z"))
    listed = run(platform, "acme", "2026-09")
    assert listed.returncode == 0, listed.stderr
    short_id = re.search(r"^1 +([0-9a-f]{8}) +usage +Requests: requests as used +\$0\.35$", listed.stdout, re.MULTILINE)
    assert short_id
    printed_run = run(platform, short_id[1], "--events")
    assert printed_run.returncode == 0, printed_run.stderr
    assert "3.5 x 0.1 = 0.35" in printed_run.stdout
    assert "2026-09-15 13:00:00                        0.5                   3.5  proxy e2" in printed_run.stdout
    assert "2 events add up to 3.5 requests, the billed quantity." in printed_run.stdout


def test_the_command_prints_everything_as_json(platform: Platform) -> None:
    used(platform, *(event(f"e{n:02d}", "0.25") for n in range(60)))
    some = json.loads(run(platform, "acme", "2026-09", "1", "--events", "--json").stdout)
    every = json.loads(run(platform, "acme", "2026-09", "1", "--events", "--json", "--all").stdout)
    assert (len(some["events"]), some["events_left_out"]) == (50, 10)
    assert (len(every["events"]), every["events_left_out"]) == (60, 0)
    assert every["events"][59]["so_far"] == "15"
    assert (every["amount"], every["amount_cents"], every["problems"]) == ("1.5", 150, [])
    assert every["usage"]["files"] == [
        {"landing_day": "2026-09-15", "path": "usage.jsonl", "events": 60, "quantity": "15"}
    ]
    assert every["invoice"]["total_cents"] == 150


def test_the_command_fails_if_a_recalculated_amount_differs_from_the_billed_one(platform: Platform) -> None:
    used(platform, event("e1", "3"))
    platform.execute("update invoice_items set amount = 0.4")
    printed_run = run(platform, "acme", "2026-09", "1")
    assert printed_run.returncode == 1
    assert "Amount: the lines add up to 0.3 USD, not to 0.4" in printed_run.stdout


def test_the_command_names_an_unknown_item_in_one_line(platform: Platform) -> None:
    printed_run = run(platform, "nobody")
    assert printed_run.returncode == 2
    assert "'nobody' is not an item id" in " ".join(printed_run.stderr.split())
    assert "Traceback" not in printed_run.stderr


# --- Adjustments ---------------------------------------------------------------------------------------------------


def test_an_adjustment_is_recalculated_from_the_records_of_both_calculations(platform: Platform) -> None:
    """30 requests of 0.10 were billed, 3.00; 12.5 came late: 4.25 are owed."""
    platform.use(event("e1", "30"))
    platform.close()
    write_jsonl(platform.landing_dir, [event("e2", "12.5")], AFTER_CLOSING.date(), "late")
    platform.land(AFTER_CLOSING.date(), now=AFTER_CLOSING)
    platform.roll_up(now=AFTER_CLOSING)
    correct_month(
        platform.database,
        SEPTEMBER,
        platform.organizations(),
        platform.usage_table,
        Actor("ann", AFTER_CLOSING),
        guard=OFF,
    )
    platform.roll_up(OCTOBER, AFTER_CLOSING)
    platform.bill(OCTOBER, AFTER_CLOSING)

    explanation = read_explanation(platform.database, find_item_at(platform.database, "acme", OCTOBER, 1)).explanation
    redone = redo(printed(explanation))
    assert {title: total.total for title, total in redone.items()} == {
        "As billed: requests as used, amount": 3,
        "As calculated now: requests as used, amount": Fraction("4.25"),
        "Correction": Fraction("1.25"),
    }
    assert ("Reason", CAUSES["late rows"]) in explanation.facts
    assert explanation.problems == ()


def test_an_adjustment_names_a_level_that_changed_in_an_earlier_month_as_its_cause(platform: Platform) -> None:
    """100 GB from 10 September on; on 20 November a late event reports 200 from 11 September on."""
    meters = (Meter("volumes", "Volumes", "GB-day", Aggregation("time_weighted", series="volume", time_unit=86400)),)
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", meters, (price("volume", "0.01", "volumes", unit="GB-day"),)))
    volume = {"type": "volumes", "volume": "vol-1"}
    platform.use(event("v1", "100", time="2026-09-10T00:00:00Z", **volume))
    for month in (SEPTEMBER, OCTOBER):
        platform.close(month)
    write_jsonl(
        platform.landing_dir, [event("v2", "200", time="2026-09-11T00:00:00Z", **volume)], MUCH_LATER.date(), "late"
    )
    platform.land(MUCH_LATER.date(), now=MUCH_LATER)
    found = []
    for month in (SEPTEMBER, OCTOBER):
        platform.roll_up(month, now=MUCH_LATER)
        with platform.database.transaction() as connection:
            (correction,) = find_corrections(connection, month, platform.organizations(), platform.usage_table).found
        found += [(str(month), difference.amount, difference.causes) for difference in correction.differences]
    assert found == [
        ("2026-09", Decimal(20), ("late rows",)),  # 20 days of 100 GB at 0.01
        ("2026-10", Decimal(31), ("level from an earlier month",)),
    ]
