"""DuckDB aggregates like the rules, and levels carry over from month to month with the landed usage."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import DBAPIError

from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import ROUNDED, Aggregation, Measurement, SegmentUsage, UsageOfMonth
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.usage.aggregation import aggregate, recount, register_terms
from fly_billing.usage.opening_levels import LEVELS
from fly_billing.usage.rules.aggregation_groups import NON_ADDITIVE
from fly_billing.usage.usage_table import EVENTS, open_duckdb
from tests.support.builders import (
    CLOSED,
    LANDING_DAYS,
    NOW,
    OCTOBER,
    SEPTEMBER,
    Platform,
    at,
    event,
    price,
    write_jsonl,
)
from tests.support.unguarded import damage

AUGUST = BillingMonth(2026, 8)
FEBRUARY = BillingMonth(2028, 2)
METERS = (
    Meter("kept", "Kept", "GB", Aggregation("sum"), ("region",)),
    Meter("calls", "Calls", "call", Aggregation("count")),
    Meter("peak", "Peak", "connection", Aggregation("max"), ("region",)),
    Meter("users", "Users", "user", Aggregation("unique", unique_of="user")),
    Meter("seats", "Seats", "seat", Aggregation("latest")),
    Meter("volume", "Volumes", "GB-hour", Aggregation("time_weighted", series="volume", time_unit=3600), ("region",)),
)
PRICES = tuple(price(meter.key, "0.10", meter.key) for meter in METERS)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """Acme, with a meter of each aggregation at 0.10 a unit."""
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, PRICES))
    return platform


# --- The statements against the rules ------------------------------------------------------------------------------

MICROSECONDS = FEBRUARY.seconds * 1_000_000
# The month's edges, midnights and a few moments often, so that events and cuts meet; any microsecond otherwise.
MOMENTS = st.sampled_from([0, 1, 86_400_000_000, 86_400_000_001, 1_296_000_000_000, MICROSECONDS - 1]) | st.integers(
    0, MICROSECONDS - 1
)
TIMES = MOMENTS.map(lambda microseconds: FEBRUARY.start + timedelta(microseconds=microseconds))
NUMBERS = st.integers(0, 3).map(Decimal) | st.decimals(0, Decimal("1e12"), places=15)
VALUES = st.sampled_from(["u", "v", "é"])
MEASUREMENTS = st.lists(
    st.builds(Measurement, TIMES, st.sampled_from("ab"), st.sampled_from(["1", "2", "10", "é"]), NUMBERS, VALUES),
    max_size=8,
    unique_by=lambda measurement: (measurement.source, measurement.id),
)
CARRIED = st.dictionaries(st.sampled_from(["u", "w"]), st.decimals(Decimal("1e-15"), Decimal("1e12"), places=15))
CUTS = st.lists(TIMES.filter(lambda time: time > FEBRUARY.start), max_size=3, unique=True).map(sorted)
AS_OF = st.sampled_from([FEBRUARY.end, FEBRUARY.end + timedelta(days=9), FEBRUARY.start - timedelta(days=1)]) | TIMES
AGGREGATIONS = st.sampled_from([meter.aggregation for meter in METERS[:-1]]) | st.builds(
    lambda unit: Aggregation("time_weighted", series="value", time_unit=unit), st.sampled_from([1, 7, 3600, 2_592_000])
)
STEPS = st.sampled_from([Decimal(1), Decimal(6), Decimal("0.000000000000007"), Decimal("999999999999")])
AGGREGATIONS |= st.builds(
    lambda name, step, rounding: Aggregation(name, round_each_event=EventRounding(step, rounding)),
    st.sampled_from(ROUNDED), STEPS, st.sampled_from(["up", "down"]),
)  # fmt: skip


# Every event is in one of two regions, and each series begins the month in one of them.
REGIONS = st.sampled_from(['{"region": "ams"}', '{"region": "fra"}'])


def usage_row(number: int, measurement: Measurement, meter: str, name: str, dimensions: str) -> dict[str, Any]:
    return {
        "usage_month": "2028-02", "landing_day": measurement.time.date(), "path": "usage.jsonl", "line": number,
        "source": measurement.source, "id": measurement.id, "meter": meter, "organization_id": "acme",
        "time": measurement.time, "quantity": measurement.quantity, "dimensions": dimensions,
        "data": f'{{"{name}": "{measurement.value}"}}', "is_duplicate": False,
    }  # fmt: skip


def terms_of(how: Aggregation) -> dict[str, Any]:
    rounding = how.round_each_event
    return {
        "key": "m", "aggregation": how.name, "property": how.unique_of or how.series, "time_unit": how.time_unit,
        "event_step": rounding and rounding.step, "event_round": rounding and rounding.round,
    }  # fmt: skip


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        yield connection


@settings(deadline=None)
@given(AGGREGATIONS, MEASUREMENTS, CUTS, AS_OF, CARRIED, st.data())
def test_the_statements_aggregate_like_the_rules_to_the_last_digit(
    duck: duckdb.DuckDBPyConnection,
    how: Aggregation,
    events: list[Measurement],
    cuts: list[datetime],
    as_of: datetime,
    carried: dict[str, Decimal],
    data: st.DataObject,
) -> None:
    carried = carried if how.name == "time_weighted" else {}
    where = [data.draw(REGIONS) for _ in events]
    began = {series: data.draw(REGIONS) for series in carried}
    name = how.unique_of or how.series or "nothing"
    rows = [
        usage_row(number, measurement, "m", name, place)
        for number, (measurement, place) in enumerate(zip(events, where, strict=True))
    ]
    twice = [{**row, "line": 99, "is_duplicate": True} for row in rows[:1]]
    other = [{**row, "line": 99, "organization_id": "not-billed"} for row in rows[:1]]
    levels = [
        {"organization_id": organization, "meter": "m", "dimensions": began[series], "series": series, "level": level}
        for organization in ("acme", "not-billed")
        for series, level in carried.items()
    ]
    segments = [
        {"meter": "m", "segment_start": start, "segment_end": end}
        for start, end in pairwise([FEBRUARY.start, *cuts, FEBRUARY.end])
    ]
    meter = terms_of(how)
    duck.register("events", table(EVENTS, rows + twice + other))
    duck.register("carried_levels", table(LEVELS, levels))
    register_terms(duck, [meter], segments, ["acme"])
    aggregate(duck, FEBRUARY, as_of)
    again = recount(duck)

    total = Decimal(0)
    for place in ('{"region": "ams"}', '{"region": "fra"}'):
        found = duck.execute(
            "select segment_start, segment_end, quantity, events, daily from quantities where dimensions = $place"
            " order by segment_start",
            {"place": place},
        ).fetchall()
        here = [measurement for measurement, region in zip(events, where, strict=True) if region == place]
        held = {series: level for series, level in carried.items() if began[series] == place}
        elsewhere = [measurement for measurement, region in zip(events, where, strict=True) if region != place]
        expected = UsageOfMonth(how, FEBRUARY, here, as_of, held, elsewhere).segments(cuts)
        assert [
            SegmentUsage(start, end, quantity, count, numbers(daily)) for start, end, quantity, count, daily in found
        ] == expected
        total = exact_sum([total, *(rollup.quantity for rollup in expected)])
    assert again == ({("acme", "m"): (len(events), total)} if events or total else {})


@settings(deadline=None)
@given(AGGREGATIONS, MEASUREMENTS, CUTS, CUTS, AS_OF, CARRIED)
def test_an_organizations_own_prices_cut_only_its_usage(
    duck: duckdb.DuckDBPyConnection,
    how: Aggregation,
    events: list[Measurement],
    cuts: list[datetime],
    own: list[datetime],
    as_of: datetime,
    carried: dict[str, Decimal],
) -> None:
    carried = carried if how.name == "time_weighted" else {}
    name = how.unique_of or how.series or "nothing"
    rows = [
        {**usage_row(number, measurement, "m", name, "{}"), "organization_id": organization}
        for organization in ("acme", "labs")
        for number, measurement in enumerate(events)
    ]
    levels = [
        {"organization_id": organization, "meter": "m", "dimensions": "{}", "series": series, "level": level}
        for organization in ("acme", "labs")
        for series, level in carried.items()
    ]
    segments = [
        {"meter": "m", "segment_start": start, "segment_end": end}
        for start, end in pairwise([FEBRUARY.start, *cuts, FEBRUARY.end])
    ]
    duck.register("events", table(EVENTS, rows))
    duck.register("carried_levels", table(LEVELS, levels))
    register_terms(duck, [terms_of(how)], segments, ["acme", "labs"], {"labs": {"m": own}})
    aggregate(duck, FEBRUARY, as_of)
    for organization, moments in (("acme", cuts), ("labs", sorted({*cuts, *own}))):
        found = duck.execute(
            "select segment_start, segment_end, quantity, events, daily from quantities where organization_id = $whose"
            " order by segment_start",
            {"whose": organization},
        ).fetchall()
        expected = UsageOfMonth(how, FEBRUARY, events, as_of, carried).segments(moments)
        assert [
            SegmentUsage(start, end, quantity, count, numbers(daily)) for start, end, quantity, count, daily in found
        ] == expected


# Rounding events down to the last decimal changes nothing, but a meter that rounds is not added up in one pass.
NUMBERED = {"event_step": Decimal("1e-15"), "event_round": "down"}
OF_ALL_LENGTHS = [BillingMonth(2026, 2), FEBRUARY, SEPTEMBER, OCTOBER]


@settings(deadline=None)
@given(
    st.sampled_from(OF_ALL_LENGTHS),
    st.sampled_from(["sum", "count"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), NUMBERS, REGIONS), max_size=12),
    st.lists(st.floats(0, 1, exclude_min=True, exclude_max=True), max_size=2, unique=True).map(sorted),
)
def test_usage_that_is_added_up_in_one_pass_is_that_of_the_general_way_digit_by_digit(
    duck: duckdb.DuckDBPyConnection,
    month: BillingMonth,
    how: str,
    used: list[tuple[float, Decimal, str]],
    cuts: list[float],
) -> None:
    def moment(share: float) -> datetime:
        return month.start + timedelta(microseconds=int(share * month.seconds * 1_000_000))

    in_one_pass = terms_of(Aggregation(how))
    ways = {"in one pass": in_one_pass, "general": in_one_pass | NUMBERED}
    rows = [
        usage_row(number, Measurement(moment(share), "a", str(number), quantity, ""), meter, "nothing", region)
        for meter in ways
        for number, (share, quantity, region) in enumerate(used)
    ]
    edges = sorted({month.start, *map(moment, cuts), month.end})
    segments = [
        {"meter": meter, "segment_start": start, "segment_end": end} for meter in ways for start, end in pairwise(edges)
    ]
    duck.register("events", table(EVENTS, rows))
    duck.register("carried_levels", table(LEVELS, []))
    register_terms(duck, [{**terms, "key": meter} for meter, terms in ways.items()], segments, ["acme"])
    aggregate(duck, month, month.end)
    one_pass, general = (
        duck.execute(
            "select dimensions, segment_start, segment_end, quantity::varchar, events, daily from quantities"
            " where meter = $meter order by dimensions, segment_start",
            {"meter": meter},
        ).fetchall()
        for meter in ways
    )
    assert one_pass == general
    assert sum(row[4] for row in one_pass) == len(used)
    assert all(len(numbers(row[5])) == month.seconds // 86_400 for row in one_pass)


@settings(deadline=None)
@given(AGGREGATIONS.filter(lambda how: how.name in NON_ADDITIVE), MEASUREMENTS, CUTS, st.data())
def test_usage_under_one_price_is_counted_as_if_it_had_no_dimensions(
    duck: duckdb.DuckDBPyConnection,
    how: Aggregation,
    events: list[Measurement],
    cuts: list[datetime],
    data: st.DataObject,
) -> None:
    """Each stretch and day of the month; each region has its own events, and their share."""
    rows = [
        usage_row(number, measurement, "m", how.unique_of or "nothing", data.draw(REGIONS))
        for number, measurement in enumerate(events)
    ]
    segments = [
        {"meter": "m", "segment_start": start, "segment_end": end}
        for start, end in pairwise([FEBRUARY.start, *cuts, FEBRUARY.end])
    ]
    duck.register("events", table(EVENTS, rows))
    duck.register("carried_levels", table(LEVELS, []))
    meter = terms_of(how)
    register_terms(duck, [meter], segments, ["acme"])
    aggregate(duck, FEBRUARY, FEBRUARY.end, lambda *_: "one price for all")
    found: dict[tuple[datetime, datetime], list[Any]] = {}
    for start, end, quantity, count, daily in duck.execute(
        "select segment_start, segment_end, quantity, events, daily from quantities"
    ).fetchall():
        before = found.get((start, end), [Decimal(0), 0, [Decimal(0)] * 29])
        days = [exact_sum(pair) for pair in zip(before[2], numbers(daily), strict=True)]
        found[start, end] = [exact_sum([before[0], quantity]), before[1] + count, days]
    whole = UsageOfMonth(how, FEBRUARY, events, FEBRUARY.end).segments(cuts)
    assert found == {
        (rollup.start, rollup.end): [rollup.quantity, rollup.events, list(rollup.daily)] for rollup in whole
    }
    total = exact_sum([rollup.quantity for rollup in whole])
    assert recount(duck) == ({("acme", "m"): (len(events), total)} if events else {})


def table(schema: Any, rows: Sequence[dict[str, Any]]) -> Any:
    return schema.empty_table().from_pylist(rows, schema=schema)


def numbers(array: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(quantity) for quantity in array.strip("{}").split(","))


# --- In Postgres ---------------------------------------------------------------------------------------------------


def rollups(platform: Platform, month: BillingMonth = SEPTEMBER) -> dict[str, tuple[Decimal, int]]:
    """Return meter -> (quantity, events) of acme's current snapshot; a meter cut by prices is summed."""
    found = platform.query(
        "select meter, sum(quantity) as quantity, sum(r.events)::int as events from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id where s.is_current and s.month = :month group by meter",
        month=month.first_day,
    )
    return {row["meter"]: (row["quantity"], row["events"]) for row in found}


def use(platform: Platform, *usage: dict[str, Any], name: str = "usage") -> None:
    """Land each event on its own day, with its copies of other days."""
    for day in sorted({date.fromisoformat(row["time"][:10]) for row in usage}):
        write_jsonl(platform.landing_dir, [row for row in usage if row["time"].startswith(str(day))], day, name)
        platform.land(day, now=at("2026-12-01"))


def held(name: str, quantity: str, time: str, volume: str = "vol-1") -> dict[str, Any]:
    return event(name, quantity, type="volume", time=time, region="ams", volume=volume)


def test_every_aggregation_is_billed_from_its_events(platform: Platform) -> None:
    """5 + 2 + 4 + 1 + 3 + 48 units at 0.10."""
    use(
        platform,
        event("k1", "2", type="kept", region="ams"),
        event("k2", "3", type="kept", region="ams"),
        event("c1", "7", type="calls"),
        event("c2", "0", type="calls"),
        event("p1", "4", type="peak", region="ams", time="2026-09-15T12:00:00Z"),
        event("p2", "1", type="peak", region="ams", time="2026-09-15T13:00:00Z"),
        event("u1", "1", type="users", user="ada"),
        event("u2", "1", type="users", user="ada"),
        event("s1", "9", type="seats", time="2026-09-15T12:00:00Z"),
        event("s2", "3", type="seats", time="2026-09-15T13:00:00Z"),
        held("h1", "2", "2026-09-15T00:00:00Z"),
        held("h2", "0", "2026-09-16T00:00:00Z"),
    )
    platform.roll_up()
    assert rollups(platform) == {
        "kept": (Decimal(5), 2),
        "calls": (Decimal(2), 2),
        "peak": (Decimal(4), 2),
        "users": (Decimal(1), 2),
        "seats": (Decimal(3), 2),
        "volume": (Decimal(48), 2),
    }
    (invoice,) = platform.bill().invoices
    assert invoice.total_cents == 630


def test_a_price_that_changes_elsewhere_bills_no_peak_and_no_user_twice(platform: Platform) -> None:
    """The price of peaks in fra changes on the 16th: ams, whose peak of 4 occurs again on the 20th, still owes 4."""
    elsewhere = price("peak-fra", "9", "peak", match={"region": ("fra",)}, effective_from=at("2026-09-16"))
    load(platform, elsewhere, price("users", "0.20", "users", effective_from=at("2026-09-16")))
    use(
        platform,
        event("p1", "4", type="peak", region="ams", time="2026-09-15T12:00:00Z"),
        event("p2", "4", type="peak", region="ams", time="2026-09-20T12:00:00Z"),
        event("u1", "1", type="users", user="ada", time="2026-09-15T12:00:00Z"),
        event("u2", "1", type="users", user="ada", time="2026-09-20T12:00:00Z"),
        event("u3", "1", type="users", user="bob", time="2026-09-20T12:00:00Z"),
    )
    platform.roll_up(now=at("2026-09-21"))
    assert rollups(platform) == {"peak": (Decimal(4), 2), "users": (Decimal(2), 3)}
    # 4 x 0.10, ada x 0.10 and bob x 0.20.
    (invoice,) = platform.bill().invoices
    assert invoice.total_cents == 70


def load(platform: Platform, *prices: Any, meters: Sequence[Meter] = METERS) -> None:
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", meters, prices))


def test_an_event_without_the_property_that_its_meter_needs_is_rejected(platform: Platform) -> None:
    use(
        platform, event("u1", type="users"), event("h1", type="volume", region="ams"), event("u2", type="users", user=7)
    )
    assert [(row["reason"], row["message"]) for row in platform.rejected()] == [
        ("missing_dimension", "meter users needs user in data"),
        ("missing_dimension", "meter volume needs volume in data"),
    ]
    platform.roll_up()
    assert rollups(platform) == {"users": (Decimal(1), 1)}


@pytest.mark.parametrize("other_day", [False, True], ids=["on one day", "on another day"])
def test_a_repeated_event_is_a_duplicate_with_the_same_user_and_refused_with_another(
    platform: Platform, other_day: bool
) -> None:
    first = event("u1", type="users", user="ada")
    write_jsonl(platform.landing_dir, [first], date(2026, 9, 15), "a")
    again = [first, {**first, "user": "bob"}]
    write_jsonl(platform.landing_dir, again, date(2026, 9, 16 if other_day else 15), "b")
    platform.land(date(2026, 9, 15))
    platform.land(date(2026, 9, 16))
    counts = platform.query("select accepted, duplicate, rejected from usage_files order by landing_day, path")
    assert [tuple(row.values()) for row in counts] == [(1, 0, 0), (0, 1, 1)]
    assert [row["reason"] for row in platform.rejected()] == ["conflicting_duplicate"]


def test_a_level_carries_over_from_month_to_month_without_an_event_until_it_ends(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-31T22:00:00Z"), held("h2", "0", "2026-10-02T00:00:00Z"))
    for month in (AUGUST, SEPTEMBER, OCTOBER):
        platform.roll_up(month, now=at("2026-11-05"))
    assert rollups(platform, AUGUST) == {"volume": (Decimal(20), 1)}
    assert rollups(platform, SEPTEMBER) == {"volume": (Decimal(7_200), 0)}
    assert rollups(platform, OCTOBER) == {"volume": (Decimal(240), 1)}
    november = BillingMonth(2026, 11)
    platform.roll_up(november, now=at("2026-12-05"))
    assert rollups(platform, november) == {}


def test_a_later_month_can_be_rolled_up_alone(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-31T22:00:00Z"), held("h2", "4", "2026-09-30T00:00:00Z"))
    platform.roll_up(OCTOBER, now=at("2026-11-05"))
    # 4 GB for 31 days of 24 hours.
    assert rollups(platform, OCTOBER) == {"volume": (Decimal(2_976), 0)}


def test_an_unfinished_month_is_counted_up_to_now(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-15T00:00:00Z"))
    platform.roll_up(now=NOW)  # 20 September, 12:00
    assert rollups(platform) == {"volume": (Decimal(4_680), 0)}
    (row,) = platform.query("select daily from usage_rollups")
    assert row["daily"] == [Decimal(240)] * 19 + [Decimal(120)] + [Decimal(0)] * 10


def test_late_usage_of_an_earlier_month_changes_all_later_months(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-31T22:00:00Z"))
    for month in (SEPTEMBER, OCTOBER):
        platform.roll_up(month, now=at("2026-11-05"))
    use(platform, held("late", "0", "2026-09-30T00:00:00Z"))
    for month in (SEPTEMBER, OCTOBER):
        platform.roll_up(month, now=at("2026-11-06"))
    assert rollups(platform, SEPTEMBER) == {"volume": (Decimal(6_960), 1)}
    assert rollups(platform, OCTOBER) == {}
    (platform.landing_dir / "2026-09-30" / "usage.jsonl").write_text("", encoding="utf-8")
    platform.land(date(2026, 9, 30), now=at("2026-11-07"))
    platform.roll_up(OCTOBER, now=at("2026-11-07"))
    assert rollups(platform, OCTOBER) == {"volume": (Decimal(7_440), 0)}


def test_levels_are_read_from_history_once_until_usage_lands(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-07-01T00:00:00Z"), event("e1", time="2026-09-15T00:00:00Z"))
    platform.roll_up(SEPTEMBER, now=NOW)
    known = carried_months(platform)
    assert list(known) == [date(2026, 8, 1), date(2026, 9, 1)]
    use(platform, event("e2", time="2026-09-16T00:00:00Z"))
    platform.roll_up(SEPTEMBER, now=NOW)
    assert carried_months(platform) == known
    use(platform, event("e3", time="2026-08-16T00:00:00Z"))
    platform.roll_up(SEPTEMBER, now=NOW)
    newer = carried_months(platform)
    assert newer[date(2026, 8, 1)] == known[date(2026, 8, 1)]
    assert newer[date(2026, 9, 1)] > known[date(2026, 9, 1)]


def carried_months(platform: Platform) -> dict[date, int]:
    return {row["month"]: row["lake_version"] for row in platform.query("select * from carried_months order by month")}


def test_a_finalized_month_after_one_with_late_usage_is_rolled_up_again(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-31T22:00:00Z"))
    platform.close()
    assert late_months(platform) == []
    use(platform, held("h2", "0", "2026-08-31T23:00:00Z"), name="late")
    assert late_months(platform) == [SEPTEMBER.start]
    platform.roll_up(now=at("2026-10-06"))
    assert late_months(platform) == []
    (row,) = platform.database.rows("check_late_usage", month=SEPTEMBER.first_day, groups=["acme"])
    assert (row["billed_quantity"], row["used_quantity"]) == (Decimal(7_200), Decimal(0))


def late_months(platform: Platform) -> list[datetime]:
    return [row["month"].astimezone(UTC) for row in platform.database.rows("months_with_late_usage")]


def test_a_month_does_not_close_on_levels_from_before_an_earlier_day_was_landed_again(platform: Platform) -> None:
    use(platform, held("h1", "10", "2026-08-15T00:00:00Z"))
    platform.land(*LANDING_DAYS, now=CLOSED)
    platform.roll_up(now=CLOSED)
    use(platform, held("h2", "0", "2026-08-16T00:00:00Z"))
    (failure,) = platform.bill(now=CLOSED).failures
    assert failure.error.code == "usage_rolled_up_too_early"
    platform.roll_up(now=CLOSED)
    (invoice,) = platform.bill(now=CLOSED).invoices
    assert invoice.total_cents == 0


@pytest.mark.parametrize(
    "damage",
    ["new.quantity = new.quantity + 1", "new.events = new.events + 1", "new.daily[15] = new.daily[15] + 1"],
)
def test_a_rollup_that_differs_from_its_events_is_not_written(platform: Platform, damage: str) -> None:
    use(platform, held("h1", "10", "2026-08-15T00:00:00Z"))
    platform.execute(
        "create function damage() returns trigger language plpgsql as"
        f" $$ begin {damage}; return new; end $$;"
        " create trigger damage before insert on usage_rollups for each row execute function damage()"
    )
    (failure,) = platform.roll_up().failures
    assert failure.organization_id == "acme"
    assert "volume" in failure.reason
    assert platform.query("select * from usage_rollups") == []
    (unbilled,) = platform.bill().failures
    assert (unbilled.organization_id, unbilled.error.code) == ("acme", "usage_rollups_damaged")
    assert platform.query("select * from invoices") == []


def test_a_meters_aggregation_can_not_be_changed_once_it_has_usage(platform: Platform) -> None:
    changed = [Meter("seats", "Seats", "seat", Aggregation("max"))]
    load(platform, meters=changed)
    use(platform, event("s1", "9", type="seats"))
    platform.roll_up()
    with pytest.raises(DBAPIError, match="meter seats has usage: how it adds up can not be changed"):
        load(platform, meters=METERS)
    load(platform, meters=[Meter("seats", "Seats taken", "seat", Aggregation("max"))])
    assert platform.query("select name from meters where key = 'seats'") == [{"name": "Seats taken"}]


def test_usage_that_two_invoices_bill_is_found(platform: Platform) -> None:
    platform.add_organization("globex")
    use(platform, event("k1", "2", type="kept", region="ams"), event("k2", type="kept", region="ams", subject="globex"))
    platform.roll_up()
    platform.bill()
    assert platform.database.rows("check_rollups_priced", month=SEPTEMBER.first_day, groups=["acme", "globex"]) == []
    platform.execute(
        "insert into invoice_item_rollups (invoice_id, rollup_id, item_id)"
        " select t.invoice_id, r.id, t.id from invoice_items as t, usage_rollups as r"
        " where t.organization_id = 'globex' and r.quantity = 2"
    )
    found = platform.database.rows("check_rollups_priced", month=SEPTEMBER.first_day, groups=["acme", "globex"])
    assert [(row["organization_id"], row["items"]) for row in found] == [("acme", 2), ("globex", 2)]


# --- One place per series ------------------------------------------------------------------------------------------


def by_region(platform: Platform, month: BillingMonth) -> dict[str, Decimal]:
    """Roll the month up after it; return GB-hours by region."""
    platform.roll_up(month, now=at("2027-03-05"))
    found = platform.query(
        "select r.dimensions ->> 'region' as region, sum(r.quantity) as quantity from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id"
        " where s.is_current and s.month = :month and r.meter = 'volume' group by 1",
        month=month.first_day,
    )
    return {row["region"]: row["quantity"] for row in found}


def in_region(region: str, name: str, quantity: str, time: str, volume: str = "vol-1") -> dict[str, Any]:
    return {**held(name, quantity, time, volume), "region": region}


def test_a_volume_that_moves_counts_only_in_its_current_region(platform: Platform) -> None:
    """10 GB in ams for 15 days, then in fra for 15 and, in October, for 15 more: deleted there."""
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-01T00:00:00Z"),
        in_region("fra", "h2", "10", "2026-09-16T00:00:00Z"),
        in_region("fra", "h3", "0", "2026-10-16T00:00:00Z"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 3600, "fra": 3600}
    assert by_region(platform, OCTOBER) == {"fra": 3600}
    assert by_region(platform, BillingMonth(2026, 11)) == {}


def test_a_volume_that_moves_in_a_later_month_ends_in_the_region_it_was_carried_from(platform: Platform) -> None:
    use(
        platform,
        in_region("ams", "h1", "10", "2026-08-01T00:00:00Z"),
        in_region("fra", "h2", "4", "2026-09-11T00:00:00Z"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 10 * 240, "fra": 4 * 480}
    assert by_region(platform, OCTOBER) == {"fra": 4 * 744}


def test_a_volume_that_moves_away_and_back_counts_in_each_region_for_its_time(platform: Platform) -> None:
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-01T00:00:00Z"),
        in_region("fra", "h2", "10", "2026-09-11T00:00:00Z"),
        in_region("ams", "h3", "10", "2026-09-21T00:00:00Z"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 10 * 480, "fra": 10 * 240}


def test_two_volumes_in_two_regions_do_not_end_each_other(platform: Platform) -> None:
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-01T00:00:00Z", "vol-1"),
        in_region("fra", "h2", "10", "2026-09-16T00:00:00Z", "vol-2"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 7200, "fra": 3600}


def test_a_volume_deleted_under_other_dimensions_is_deleted(platform: Platform) -> None:
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-01T00:00:00Z"),
        in_region("fra", "h2", "0", "2026-09-16T00:00:00Z"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 3600, "fra": 0}
    assert by_region(platform, OCTOBER) == {}


def test_simultaneous_events_leave_the_volume_in_the_region_of_the_last_one(platform: Platform) -> None:
    """By (source, id): h1 in ams, h2 in fra, h3 in ams again, all at midnight of the 16th."""
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-16T00:00:00Z"),
        in_region("fra", "h2", "20", "2026-09-16T00:00:00Z"),
        in_region("ams", "h3", "30", "2026-09-16T00:00:00Z"),
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 30 * 360, "fra": 0}


def test_late_usage_moves_the_volume_in_all_later_months(platform: Platform) -> None:
    use(platform, in_region("ams", "h1", "10", "2026-09-01T00:00:00Z"))
    assert by_region(platform, OCTOBER) == {"ams": 7440}
    use(platform, in_region("fra", "h2", "10", "2026-09-16T00:00:00Z"), name="late")
    assert by_region(platform, SEPTEMBER) == {"ams": 3600, "fra": 3600}
    assert by_region(platform, OCTOBER) == {"fra": 7440}


def test_the_same_series_of_two_organizations_are_two_series(platform: Platform) -> None:
    platform.add_organization("globex")
    use(
        platform,
        in_region("ams", "h1", "10", "2026-09-01T00:00:00Z"),
        {**in_region("fra", "h2", "10", "2026-09-16T00:00:00Z"), "subject": "globex"},
    )
    assert by_region(platform, SEPTEMBER) == {"ams": 7200, "fra": 3600}


@pytest.mark.parametrize("level", ["NaN", "Infinity", "1e23", "1e-16"])
def test_an_invalid_carried_level_is_recalculated_for_its_month_and_later_ones(platform: Platform, level: str) -> None:
    """10 GB from 31 August 22:00 to 1 November: 7,200 GB-hours in September, 7,440 in October; and 4 GB elsewhere."""
    platform.add_organization("labs")
    use(
        platform,
        held("h1", "10", "2026-08-31T22:00:00Z"),
        {**held("h2", "4", "2026-08-31T22:00:00Z"), "subject": "labs", "volume": "vol_2"},
    )
    for month in (SEPTEMBER, OCTOBER):
        platform.roll_up(month, now=at("2026-11-05"))
    platform.execute("alter table carried_levels drop constraint if exists carried_levels_level_check")
    for row in platform.query(
        "select conname from pg_constraint where contype = 'c' and conrelid = 'carried_levels'::regclass"
    ):
        platform.execute(f'alter table carried_levels drop constraint "{row["conname"]}"')
    damage(platform.database, f"update carried_levels set level = '{level}' where organization_id = 'acme'")  # noqa: S608
    platform.roll_up(OCTOBER, now=at("2026-11-06"))
    held_in_october = platform.query(
        "select s.organization_id, r.quantity from usage_rollups as r join usage_snapshots as s on s.id = r.snapshot_id"
        " where s.is_current and s.month = '2026-10-01' order by 1"
    )
    assert [tuple(row.values()) for row in held_in_october] == [("acme", Decimal(7_440)), ("labs", Decimal(2_976))]
    levels = platform.query("select distinct organization_id, level from carried_levels order by 1")
    assert [tuple(row.values()) for row in levels] == [("acme", Decimal(10)), ("labs", Decimal(4))]
