"""Several meters read one event, each its own property: it lands once, and every meter bills its own quantity."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.statements.billed_events import open_billed_events
from fly_billing.statements.explanation_reader import list_items, read_explanation
from fly_billing.usage.usage_table import open_duckdb
from tests.integration.usage.test_three_readers import csv_text
from tests.support.builders import CLOSED, DAY, NOW, OCTOBER, SEPTEMBER, Platform, event, price, write_table, write_text

COMPLETION = "ai.completion"
METERS = (
    Meter(
        "prompt_tokens", "Prompt tokens", "token", dimensions=("model",), event_type=COMPLETION, quantity_of="prompt"
    ),
    Meter("completion_tokens", "Completion tokens", "token", event_type=COMPLETION, quantity_of="completion"),
    Meter("completions", "Completions", "completion", Aggregation("count"), event_type=COMPLETION),
    Meter("upload_bytes", "Uploads", "byte", event_type="upload", quantity_of="bytes"),
    Meter("uploads", "Uploads", "upload", Aggregation("count"), event_type="upload", quantity_of="bytes"),
)
PRICES = (
    price("prompt", "0.10", "prompt_tokens", unit="token"),
    price("completion", "0.20", "completion_tokens", unit="token"),
    price("completions", "1", "completions", unit="completion"),
    price("bytes", "0.01", "upload_bytes", unit="byte"),
    price("uploads", "1", "uploads", unit="upload"),
)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, PRICES))
    return platform


def line(ident: str, type_: str = COMPLETION, day: int = 15, **data: Any) -> dict[str, Any]:
    return {
        "id": ident, "source": "gateway", "type": type_, "subject": "acme", "time": f"2026-09-{day:02}T12:00:00Z",
        "data": data,
    }  # fmt: skip


def write(platform: Platform, *lines: Mapping[str, Any], day: date = DAY, name: str = "usage.jsonl") -> None:
    write_text(platform.landing_dir, day, name, "".join(f"{json.dumps(row)}\n" for row in lines))


def counts(platform: Platform) -> list[tuple[int, int, int, int]]:
    found = platform.query("select landed, accepted, duplicate, rejected from usage_files order by landing_day, path")
    return [tuple(row.values()) for row in found]


def quantities(platform: Platform) -> dict[str, Decimal]:
    found = platform.query(
        "select r.meter, sum(r.quantity) as quantity from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id and s.is_current group by r.meter"
    )
    return {row["meter"]: row["quantity"] for row in found}


def test_each_meter_bills_its_property_of_an_event_that_lands_once(platform: Platform) -> None:
    """1,000 + 500 prompt tokens x 0.10 = 150; 200 + 50 completion tokens x 0.20 = 50; two completions x 1 = 2."""
    write(
        platform,
        line("a", prompt=1000, completion=200, model="small"),
        line("b", prompt="500", completion=50, model="large"),
        line("a", prompt=1000, completion=200, model="small"),
    )
    assert platform.close().failures == []
    assert counts(platform) == [(3, 2, 1, 0)]
    assert quantities(platform) == {"prompt_tokens": 1500, "completion_tokens": 250, "completions": 2}
    assert sorted(platform.amounts("usage")) == [2, 50, 150]
    assert check_items_per_event(platform.database, platform.usage_table, SEPTEMBER, platform.organizations()) == []
    usage_table = platform.table()
    with open_duckdb() as duck:
        usage_table.open_view(duck, "landed")
        assert duck.execute("select count(*), count(*) filter (is_duplicate) from landed").fetchall() == [(3, 1)]


def test_the_events_behind_an_item_are_listed_with_its_meters_quantities(platform: Platform) -> None:
    write(platform, line("a", prompt=1000, completion=200, model="small"), line("b", completion=50))
    assert platform.close().failures == []
    listed = {}
    for item in list_items(platform.database, "acme", SEPTEMBER):
        usage = read_explanation(platform.database, item.id).usage
        assert usage is not None
        with open_billed_events(platform.database, platform.usage_table, usage) as billed:
            assert billed.problems() == []
            listed[usage.meter] = [
                (billed_event.id, billed_event.line, int(billed_event.quantity)) for billed_event in billed.events()
            ]
    assert listed == {
        "prompt_tokens": [("a", 1, 1000)],
        "completion_tokens": [("a", 1, 200), ("b", 2, 50)],
        "completions": [("a", 1, 1), ("b", 2, 1)],
    }


# (type, data) -> the quantity of each meter, or the reason of the rejection.
EVENTS: list[tuple[str, dict[str, Any], dict[str, str] | tuple[str, str]]] = [
    (COMPLETION, {"prompt": "7", "completion": "5", "model": "s"},
     {"prompt_tokens": "7", "completion_tokens": "5", "completions": "1"}),
    (COMPLETION, {"completion": "5"}, {"completion_tokens": "5", "completions": "1"}),
    (COMPLETION, {"model": "s"}, {"completions": "1"}),
    (COMPLETION, {"prompt": "", "completion": "5"}, {"completion_tokens": "5", "completions": "1"}),
    (COMPLETION, {"prompt": "0", "completion": "0", "model": "s"},
     {"prompt_tokens": "0", "completion_tokens": "0", "completions": "1"}),
    (COMPLETION, {"prompt": "1.5e3", "completion": "0.5", "model": "s"},
     {"prompt_tokens": "1500", "completion_tokens": "0.5", "completions": "1"}),
    (COMPLETION, {"prompt": "7x", "completion": "5", "model": "s"}, ("bad_quantity", "prompt 7x is not a JSON number")),
    (COMPLETION, {"prompt": "7", "completion": "1e-16", "model": "s"}, ("bad_quantity", "completion 1e-16 is not a")),
    (COMPLETION, {"prompt": "true", "model": "s"}, ("bad_quantity", "prompt true is not a JSON number")),
    (COMPLETION, {"prompt": "7", "completion": "-1", "model": "s"}, ("negative_quantity", "completion -1 is below")),
    ("upload", {"bytes": "12", "model": "s"}, {"upload_bytes": "12", "uploads": "12"}),
    ("upload", {"model": "s"}, ("missing_field", "no meter finds its quantity: an event of type upload needs one")),
    ("upload", {"quantity": "12"}, ("missing_field", "needs one of bytes in data")),
    ("upload", {"bytes": "a\0b"}, ("bad_quantity", "bytes a␀b is not a JSON number")),
    ("download", {"bytes": "12"}, ("unknown_meter", "no meter download")),
]  # fmt: skip
PROPERTIES = ("prompt", "completion", "bytes", "quantity", "model")


def flat(ident: str, type_: str, data: Mapping[str, Any]) -> dict[str, Any]:
    envelope = {name: value for name, value in line(ident, type_).items() if name != "data"}
    return envelope | {name: data.get(name) for name in PROPERTIES}


def land_in_every_form(platform: Platform, events: Sequence[tuple[str, dict[str, Any], Any]]) -> list[str]:
    """Write the events as JSON lines, CSV and Parquet of several forms, each with its own ids; return the forms."""

    def ids(form: str) -> list[tuple[str, str, dict[str, Any]]]:
        return [(f"{form} {number}", type_, data) for number, (type_, data, _) in enumerate(events)]

    def data_columns(form: str, as_text: bool) -> list[dict[str, Any]]:
        rows = [line(ident, type_, **data) for ident, type_, data in ids(form)]
        return [row | {"data": json.dumps(row["data"])} for row in rows] if as_text else rows

    write(platform, *(line(ident, type_, **data) for ident, type_, data in ids("jsonl")))
    write(
        platform, *(line(ident, type_, **data) | {"note": "é\\"} for ident, type_, data in ids("exact")),
        name="exact.jsonl",
    )  # fmt: skip
    write_text(
        platform.landing_dir, DAY, "flat.csv", csv_text([flat(*ids_of_event) for ids_of_event in ids("flat.csv")])
    )
    write_text(platform.landing_dir, DAY, "data.csv", csv_text(data_columns("data.csv", as_text=True)))
    write_table(
        platform.landing_dir, pa.Table.from_pylist([flat(*ids_of_event) for ids_of_event in ids("flat")]), name="flat"
    )
    write_table(platform.landing_dir, pa.Table.from_pylist(data_columns("text", as_text=True)), name="text")
    structs = [
        line(ident, type_) | {"data": {name: data.get(name) for name in PROPERTIES}}
        for ident, type_, data in ids("struct")
    ]
    write_table(platform.landing_dir, pa.Table.from_pylist(structs), name="struct")
    platform.land()
    return ["jsonl", "exact", "flat.csv", "data.csv", "flat", "text", "struct"]


def measured(platform: Platform) -> dict[str, dict[str, str]]:
    with open_duckdb() as duck:
        platform.table().open_view(duck, "events", by_meter=True)
        found = duck.execute("select id, meter, quantity::double from events order by meter").fetchall()
    by_event: dict[str, dict[str, str]] = {}
    for ident, meter, quantity in found:
        by_event.setdefault(ident, {})[meter] = f"{quantity:g}"
    return by_event


def test_every_reader_measures_the_same_quantities_of_an_event(platform: Platform) -> None:
    forms = land_in_every_form(platform, EVENTS)
    found = measured(platform)
    refused = {row["event_id"]: (row["reason"], row["message"]) for row in platform.rejected()}
    for form in forms:
        for number, (_, data, expected) in enumerate(EVENTS):
            ident = f"{form} {number}"
            if isinstance(expected, dict):
                assert found.get(ident) == expected, (form, data, refused.get(ident))
            else:
                reason, message = refused[ident]
                assert reason == expected[0], (form, data)
                assert expected[1] in message, (form, data)
    for landed, accepted, duplicate, rejected in counts(platform):
        good = sum(isinstance(expected, dict) for *_, expected in EVENTS)
        assert (landed, accepted, duplicate, rejected) == (len(EVENTS), good, 0, len(EVENTS) - good)


def test_a_dimension_is_required_only_for_the_meters_that_measure_the_event(platform: Platform) -> None:
    """Only prompt tokens are kept apart by model, and b has none of them."""
    write(platform, line("a", prompt=7, completion=5), line("b", completion=5))
    platform.land()
    (refused,) = platform.rejected()
    assert (refused["path"], refused["line"], refused["reason"]) == ("usage.jsonl", 1, "missing_dimension")
    assert refused["message"] == "meter prompt_tokens needs model in data"
    assert measured(platform) == {"b": {"completion_tokens": "5", "completions": "1"}}


@pytest.mark.parametrize("form", ["columns", "struct"])
def test_tokens_in_a_floating_point_column_are_refused_for_the_meters_that_read_them(
    platform: Platform, form: str
) -> None:
    """An upload has no prompt tokens, and the other meters measure a completion without them."""
    events = [
        line("a", prompt=7.0, completion=5, model="s", bytes=None),
        line("b", prompt=None, completion=5, model="s", bytes=None),
        line("c", "upload", prompt=7.0, completion=None, model="s", bytes=12),
    ]
    if form == "columns":
        events = [{name: row[name] for name in row if name != "data"} | row["data"] for row in events]
    write_table(platform.landing_dir, pa.Table.from_pylist(events))
    platform.land()
    (refused,) = platform.rejected()
    assert (refused["event_id"], refused["reason"]) == ("a", "inexact_quantity")
    assert "prompt is a floating-point column" in refused["message"]
    assert measured(platform) == {
        "b": {"completion_tokens": "5", "completions": "1"}, "c": {"upload_bytes": "12", "uploads": "12"},
    }  # fmt: skip


def test_a_repeated_event_whose_one_property_differs_is_refused_as_a_whole(platform: Platform) -> None:
    write(platform, line("a", prompt=1, completion=2, model="s"))
    write(platform, line("a", prompt=1, completion=3, model="s"), name="z.jsonl")
    write(platform, line("a", prompt=1, completion="2.0", model="s"), day=date(2026, 9, 16))
    platform.land(DAY, date(2026, 9, 16))
    assert counts(platform) == [(1, 1, 0, 0), (1, 0, 0, 1), (1, 0, 1, 0)]
    assert [row["reason"] for row in platform.rejected()] == ["conflicting_duplicate"]


def test_a_copy_on_another_day_is_a_duplicate_and_counts_once_the_first_event_is_gone(platform: Platform) -> None:
    write(platform, line("a", prompt=1, completion=2, model="s"))
    write(platform, line("a", prompt=1, completion=2, model="s"), day=date(2026, 9, 16))
    platform.land(DAY)
    platform.land(date(2026, 9, 16))
    assert counts(platform) == [(1, 1, 0, 0), (1, 0, 1, 0)]
    write(platform, line("other", completion=9))
    platform.land(DAY)
    assert counts(platform) == [(1, 1, 0, 0), (1, 1, 0, 0)]
    platform.roll_up()
    assert quantities(platform) == {"prompt_tokens": 1, "completion_tokens": 11, "completions": 2}


def test_late_tokens_of_a_closed_month_correct_each_meter(platform: Platform) -> None:
    """10 prompt tokens x 0.10 + 5 completion tokens x 0.20 + 1 completion = 1 + 1 + 1."""
    write(platform, line("a", prompt=100, completion=100, model="s"))
    assert platform.close().failures == []
    write(platform, line("late", day=20, prompt=10, completion=5, model="s"), day=date(2026, 10, 8))
    platform.land(date(2026, 10, 8), now=CLOSED)
    platform.roll_up(SEPTEMBER, CLOSED)
    correct_month(
        platform.database, SEPTEMBER, platform.organizations(), platform.usage_table, Actor("test", CLOSED), guard=OFF
    )
    found = platform.query("select amount, causes from adjustments order by description")
    assert [row["amount"] for row in found] == [1, 1, 1]
    assert {tuple(row["causes"]) for row in found} == {("late rows",)}


def test_a_meter_added_later_reads_events_that_land_from_then_on(platform: Platform) -> None:
    """The new meter measures earlier events once their day lands again: no amount changes silently."""
    write(platform, line("a", "upload", bytes=5))
    platform.land()
    sizes = Meter(
        "largest_upload", "Largest upload", "byte", Aggregation("max"), event_type="upload", quantity_of="bytes"
    )
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", [*METERS, sizes], PRICES))
    platform.roll_up()
    assert quantities(platform) == {"upload_bytes": 5, "uploads": 1}
    platform.land()
    platform.roll_up()
    assert quantities(platform) == {"upload_bytes": 5, "uploads": 1, "largest_upload": 5}


def test_the_levels_and_users_of_an_event_are_billed_by_separate_meters(platform: Platform) -> None:
    """A session has its connections, held half of September (360 hours), and its user."""
    meters = (
        Meter("connection_hours", "Connections", "connection-hour",
              Aggregation("time_weighted", series="session", time_unit=3600), event_type="session", quantity_of="open"),
        Meter("session_users", "Users", "user", Aggregation("unique", unique_of="user"), event_type="session"),
        Meter("session_blocks", "Blocks", "second", Aggregation("sum", round_each_event=EventRounding(Decimal(6))),
              event_type="session", quantity_of="seconds"),
    )  # fmt: skip
    prices = tuple(price(meter.key, "0.10", meter.key) for meter in meters)
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", meters, prices))
    write(
        platform,
        line("s1", "session", 1, session="x", open=4, user="ada", seconds=61),
        line("s2", "session", 8, session="x", open=2, user="ada", seconds=61),
        line("s3", "session", 15, session="x", open=0, user="bob"),
        day=DAY,
    )
    assert platform.close().failures == []
    # From the 1st at noon 4 x 168 hours, then 2 x 168 hours.
    assert quantities(platform) == {"connection_hours": 1008, "session_users": 2, "session_blocks": 132}
    assert platform.close(OCTOBER).failures == []
    assert NOW < CLOSED


def test_a_meter_of_its_own_events_needs_no_quantity_to_count_them(platform: Platform) -> None:
    counted = (Meter("visits", "Visits", "visit", Aggregation("count")),)
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", counted, (price("visits", "1", "visits"),)))
    write(
        platform, line("v1", "visits", page="/"), line("v2", "visits", quantity=9), line("v3", "visits", quantity="x")
    )
    platform.land()
    assert [row["reason"] for row in platform.rejected()] == ["bad_quantity"]
    platform.roll_up()
    assert quantities(platform) == {"visits": 2}


def test_fixing_a_meters_unknown_type_lands_its_rejected_days_again(platform: Platform) -> None:
    write(platform, line("d", "download", bytes=12))
    platform.land()
    assert platform.database.rows("days_to_land_again") == []
    meter = Meter("downloads", "Downloads", "byte", event_type="download", quantity_of="bytes")
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", [meter], ()))
    assert [row["day"] for row in platform.database.rows("days_to_land_again")] == [DAY]


def test_a_plain_event_lands_together_with_shared_ones(platform: Platform) -> None:
    write(platform, line("a", prompt=1, completion=2, model="s"), line("r", "requests", quantity=3))
    assert platform.close().failures == []
    assert quantities(platform)["requests"] == 3
    assert event()["type"] == "requests"
