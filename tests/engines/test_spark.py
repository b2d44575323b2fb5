"""Spark aggregates a month to the last digit like DuckDB and the rules, over the same table, in separate processes (one
machine acts as a cluster of two).
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import SparkSession

from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import (
    AGGREGATIONS,
    ROUNDED,
    Aggregation,
    Measurement,
    SegmentUsage,
    UsageOfMonth,
)
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.transformed_quantity import EventRounding
from fly_billing.usage.engines.duckdb_engine import PriceOf, no_price, register_terms
from fly_billing.usage.engines.engine import DuckDBEngine, RollupEngine
from fly_billing.usage.engines.spark_engine import SparkEngine
from fly_billing.usage.engines.spark_errors import SparkFailed
from fly_billing.usage.engines.spark_session import open_spark
from fly_billing.usage.opening_levels import LEVELS
from fly_billing.usage.rollups import RollupReport, roll_up
from fly_billing.usage.usage_table import EVENTS, UsageTable, UsageTableVersion, open_duckdb
from tests.support.builders import CLOSED, OCTOBER, SEPTEMBER, Platform, at, event, price, write_jsonl
from tests.support.deployment import Deployment, machine_seconds

FEBRUARY = BillingMonth(2028, 2)
CLUSTER = "local-cluster[2,1,1024]"
# Small, and with the fast compiler only: a run of a minute gains nothing from Java's second compiler.
JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
SMALL = {
    "spark.driver.memory": "1g",
    "spark.executor.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.extraJavaOptions": JAVA,
    "spark.executor.extraJavaOptions": JAVA,
}


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A driver, and two executors in separate processes."""
    with open_spark(CLUSTER, SMALL) as session:
        session.sparkContext.setLogLevel("OFF")
        yield session
        left_behind = Path(pyspark.__file__).parent / "work" / session.sparkContext.applicationId
    shutil.rmtree(left_behind)


# --- The statements against DuckDB and the rules -------------------------------------------------------------------


@dataclass(frozen=True)
class Total:
    """The events of one organization, meter and dimensions; the meter's prices split the month.

    `shared_as`: the type of its events if other meters read them too; None if only this meter does.
    """

    organization: str
    meter: str
    dimensions: str
    how: Aggregation
    cuts: Sequence[datetime]
    events: Sequence[Measurement]
    carried: dict[str, Decimal] = field(default_factory=dict)
    shared_as: str | None = None

    @property
    def property(self) -> str | None:
        return self.how.unique_of or self.how.series


def aggregation(name: str, chance: random.Random) -> Aggregation:
    if name == "unique":
        return Aggregation(name, unique_of="by.whom")
    if name == "time_weighted":
        return Aggregation(name, series="of/what", time_unit=chance.choice([1, 7, 3600, 2_592_000]))
    if name in ROUNDED and chance.random() < 0.5:
        step = Decimal(chance.choice(["1", "6", "0.000000000000007", "999999999999"]))
        return Aggregation(name, round_each_event=EventRounding(step, chance.choice(["up", "down"])))
    return Aggregation(name)


def moment(chance: random.Random) -> datetime:
    """Return often the month's edges and midnights, so that events and cuts coincide; any microsecond otherwise."""
    last = FEBRUARY.seconds * 1_000_000 - 1
    often = [0, 1, 86_400_000_000, 86_400_000_001, 1_296_000_000_000, last]
    return FEBRUARY.start + timedelta(
        microseconds=chance.choice(often) if chance.random() < 0.5 else chance.randint(0, last)
    )


def number(chance: random.Random) -> Decimal:
    """Return a small integer, or a number up to 1e12 with 15 decimals."""
    if chance.random() < 0.4:
        return Decimal(chance.randint(0, 3))
    return Decimal(chance.randint(0, 10 ** chance.randint(1, 27))).scaleb(-15)


DIMENSIONS = ("{}", '{"region":"ams"}')


def totals(seed: int) -> list[Total]:
    """Make 30 meters of each aggregation, each with usage under two sets of dimensions, some of it none.

    A series moves from one to the other; when the month begins it is in one of them.
    """
    chance = random.Random(seed)
    made = []
    for place in range(30 * len(AGGREGATIONS)):
        how = aggregation(AGGREGATIONS[place % len(AGGREGATIONS)], chance)
        cuts = sorted({moment(chance) for _ in range(chance.randint(0, 3))} - {FEBRUARY.start})
        events = {
            (usage_event.source, usage_event.id): usage_event
            for usage_event in map(measurement, [chance] * chance.randint(0, 12))
        }
        begins = {series: chance.choice(DIMENSIONS) for series in ("u", "w") if chance.random() < 0.7}
        where = {name: chance.choice(DIMENSIONS) for name in events}
        for dimensions in DIMENSIONS:
            here = [usage_event for name, usage_event in events.items() if where[name] == dimensions]
            carried = {
                series: number(chance) + Decimal("1e-15")
                for series, home in begins.items()
                if home == dimensions and how.name == "time_weighted"
            }
            made.append(Total(f"org-{place % 7}", f"m-{place}", dimensions, how, cuts, here, carried))
    for place in range(20):
        made += totals_of_shared_events(chance, f"org-{place % 7}", f"shared-{place}")
    return made


def totals_of_shared_events(chance: random.Random, organization: str, shared_as: str) -> list[Total]:
    """Make two to four meters that read the same events: each measures most of them, in its own quantity."""
    events_by_id = {
        (usage_event.source, usage_event.id): usage_event
        for usage_event in map(measurement, [chance] * chance.randint(1, 12))
    }
    made = []
    for place, name in enumerate(chance.sample(AGGREGATIONS, chance.randint(2, 4))):
        how = aggregation(name, chance)
        cuts = sorted({moment(chance) for _ in range(chance.randint(0, 2))} - {FEBRUARY.start})
        here: dict[str, list[Measurement]] = {dimensions: [] for dimensions in DIMENSIONS}
        for usage_event in events_by_id.values():
            if chance.random() < 0.8:
                here[chance.choice(DIMENSIONS)].append(replace(usage_event, quantity=number(chance)))
        for dimensions, events in here.items():
            made.append(Total(organization, f"{shared_as}-{place}", dimensions, how, cuts, events, shared_as=shared_as))
    return made


def measurement(chance: random.Random) -> Measurement:
    source, name = chance.choice("ab"), chance.choice(["1", "2", "10", "é", "😀", "\uffee"])
    return Measurement(moment(chance), source, name, number(chance), chance.choice(["u", "v", "é", 'a "/\\b']))


def usage_rows(all_totals: Sequence[Total]) -> list[dict[str, Any]]:
    """Return a row per event, the first of each total twice, and once of an organization that is not billed.

    An event that several meters read is one row, as landing writes it; an event of a single meter is a plain one.
    """
    together: dict[Any, list[tuple[Total, Measurement]]] = {}
    for place, total in enumerate(all_totals):
        for usage_event in total.events:
            together.setdefault((total.shared_as or place, usage_event.source, usage_event.id), []).append(
                (total, usage_event)
            )
    rows: list[dict[str, Any]] = []
    begun: set[Any] = set()
    for line, ((owner, *_), measured) in enumerate(together.items()):
        (total, usage_event), *others = sorted(measured, key=lambda found: found[0].meter)
        row = {
            "usage_month": str(FEBRUARY), "landing_day": usage_event.time.date(), "path": "usage.jsonl", "line": line,
            "source": usage_event.source, "id": usage_event.id,
            "meter": total.meter, "organization_id": total.organization,
            "time": usage_event.time, "quantity": usage_event.quantity, "dimensions": total.dimensions,
            "data": json.dumps({total_read.property or "nothing": usage_event.value for total_read, _ in measured}),
            "is_duplicate": False,
        }  # fmt: skip
        if others:
            row |= {
                "meter": owner,
                "quantity": Decimal(0),
                "dimensions": measurements([(total, usage_event), *others]),
            }
        rows.append(row)
        if owner not in begun:
            rows += [{**row, "is_duplicate": True}, {**row, "organization_id": "not-billed"}]
        begun.add(owner)
    return rows


def measurements(measured: Sequence[tuple[Total, Measurement]]) -> str:
    """Return each meter's quantity of an event in the form of the usage table, in place of dimensions."""
    return json.dumps(
        [
            {"meter": total.meter, "quantity": f"{usage_event.quantity:.15f}", "dimensions": total.dimensions}
            for total, usage_event in measured
        ]
    )


@dataclass(frozen=True)
class Terms:
    """An engine's inputs besides the events."""

    meters: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    organizations: list[str]
    carried: list[dict[str, Any]]

    def register(self, duck: duckdb.DuckDBPyConnection) -> None:
        register_terms(duck, self.meters, self.segments, self.organizations)
        duck.register("carried_levels", pa.Table.from_pylist(self.carried, schema=LEVELS))


def terms_of(all_totals: Sequence[Total]) -> Terms:
    meters = {total.meter: total for total in all_totals}
    return Terms(
        [
            {
                "key": key,
                "aggregation": total.how.name,
                "property": total.property,
                "time_unit": total.how.time_unit,
                "event_step": total.how.round_each_event and total.how.round_each_event.step,
                "event_round": total.how.round_each_event and total.how.round_each_event.round,
            }
            for key, total in meters.items()
        ],
        [
            {"meter": key, "segment_start": start, "segment_end": end}
            for key, total in meters.items()
            for start, end in pairwise([FEBRUARY.start, *total.cuts, FEBRUARY.end])
        ],
        [*sorted({total.organization for total in all_totals}), "org-without-usage"],
        [
            {
                "organization_id": organization,
                "meter": total.meter,
                "dimensions": total.dimensions,
                "series": name,
                "level": level,
            }
            for total in all_totals
            for name, level in total.carried.items()
            for organization in (total.organization, "not-billed")
        ],
    )


def usage_table_in(folder: Path, rows: list[dict[str, Any]]) -> UsageTableVersion:
    usage_table = UsageTable(folder / "usage_table")
    usage_table.create()
    days = sorted({row["landing_day"] for row in rows})
    return UsageTableVersion(usage_table, usage_table.replace_days(days, pa.Table.from_pylist(rows, schema=EVENTS)))


Rollups = dict[tuple[str, str, str], list[SegmentUsage]]
Sums = dict[tuple[str, str], tuple[int, Decimal]]


def added_up(
    engine: RollupEngine, usage_table: UsageTableVersion, terms: Terms, as_of: datetime, price_of: PriceOf = no_price
) -> tuple[Rollups, Sums]:
    with open_duckdb() as duck:
        engine.read(duck, usage_table, FEBRUARY)
        terms.register(duck)
        engine.aggregate(duck, FEBRUARY, as_of, price_of)
        found = duck.execute(
            "select organization_id, meter, dimensions, segment_start, segment_end, quantity, events, daily"
            " from quantities order by all"
        ).fetchall()
        again = engine.recount(duck)
    rollups: Rollups = {}
    for organization, meter, dimensions, start, end, quantity, events, daily in found:
        days = tuple(map(Decimal, daily.strip("{}").split(",")))
        segment = SegmentUsage(start, end, quantity, events, days)
        rollups.setdefault((organization, meter, dimensions), []).append(segment)
    return rollups, again


def said_by_the_domain(all_totals: Sequence[Total], as_of: datetime) -> tuple[Rollups, Sums]:
    rollups: Rollups = {}
    sums: Sums = {}
    for total in all_totals:
        elsewhere = [
            event
            for other in all_totals
            if (other.organization, other.meter) == (total.organization, total.meter) and other is not total
            for event in other.events
        ]
        segments = UsageOfMonth(total.how, FEBRUARY, total.events, as_of, total.carried, elsewhere).segments(total.cuts)
        if segments:
            rollups[total.organization, total.meter, total.dimensions] = segments
            events, quantity = sums.get((total.organization, total.meter), (0, Decimal(0)))
            sums[total.organization, total.meter] = (
                events + len(total.events), exact_sum([quantity, *(segment.quantity for segment in segments)])
            )  # fmt: skip
    return rollups, sums


@pytest.fixture
def on_spark(spark: SparkSession) -> SparkEngine:
    return SparkEngine(spark)


@pytest.mark.parametrize("as_of", [FEBRUARY.end + timedelta(days=9), FEBRUARY.start - timedelta(days=1), None])
def test_spark_aggregates_like_duckdb_and_the_rules_to_the_last_digit(
    on_spark: SparkEngine, tmp_path: Path, as_of: datetime | None
) -> None:
    """Totals of all six aggregations, with price changes, carried levels, duplicates and events of several meters."""
    all_totals = totals(seed=1)
    until = as_of or moment(random.Random(2))
    usage_table, terms = usage_table_in(tmp_path, usage_rows(all_totals)), terms_of(all_totals)
    expected, sums = said_by_the_domain(all_totals, until)
    assert len(expected) > 300
    assert sum(meter.startswith("shared") for _, meter, _ in expected) > 50
    assert usage_table.may_be_shared(FEBRUARY)
    assert added_up(DuckDBEngine(), usage_table, terms, until) == (expected, sums)
    assert added_up(on_spark, usage_table, terms, until) == (expected, sums)


def test_spark_counts_usage_under_one_price_together_like_duckdb(on_spark: SparkEngine, tmp_path: Path) -> None:
    all_totals = totals(7)
    usage_table, terms = usage_table_in(tmp_path, usage_rows(all_totals)), terms_of(all_totals)
    together = added_up(DuckDBEngine(), usage_table, terms, FEBRUARY.end, lambda *_: "one price")
    assert together != added_up(DuckDBEngine(), usage_table, terms, FEBRUARY.end)
    assert added_up(on_spark, usage_table, terms, FEBRUARY.end, lambda *_: "one price") == together


def rows_with(meter: str, *data: str, quantity: str = "1") -> list[dict[str, Any]]:
    """Make an event of acme for each of these JSON texts."""
    plain = {
        "usage_month": str(FEBRUARY), "landing_day": date(2028, 2, 1), "path": "usage.parquet", "source": "a",
        "meter": meter, "organization_id": "acme", "time": FEBRUARY.start, "quantity": Decimal(quantity),
        "dimensions": "{}", "is_duplicate": False,
    }  # fmt: skip
    return [{**plain, "line": line, "id": str(line), "data": text} for line, text in enumerate(data)]


def one_meter(how: Aggregation) -> Terms:
    return terms_of([Total("acme", "m", "{}", how, [], [])])


def test_a_value_that_is_no_text_is_the_same_one_on_spark(on_spark: SparkEngine, tmp_path: Path) -> None:
    """1; 1.1 in any notation; 1e30; true; a list; a text that looks like a number."""
    values = [
        "1",
        "1.1",
        "1.10",
        '"1.1"',
        "1000000000000000000000000000000",
        "true",
        "[1, 2.50]",
        "[1,2.5]",
        '"1.5E-7"',
    ]
    usage_table = usage_table_in(tmp_path, rows_with("m", *(f'{{"user": {value}}}' for value in values)))
    terms = one_meter(Aggregation("unique", unique_of="user"))
    for engine in (DuckDBEngine(), on_spark):
        _, sums = added_up(engine, usage_table, terms, CLOSED)
        assert sums == {("acme", "m"): (9, Decimal(6))}


def test_a_series_that_spark_would_name_differently_from_duckdb_is_refused(
    on_spark: SparkEngine, tmp_path: Path
) -> None:
    """As a fractional number it would be another series than the one that the previous month carried."""
    usage_table = usage_table_in(tmp_path, rows_with("m", '{"volume": 12345678.0}'))
    terms = one_meter(Aggregation("time_weighted", series="volume", time_unit=1))
    with pytest.raises(SparkFailed, match=r"writes the number 1\.2345678E7 otherwise than DuckDB does"):
        added_up(on_spark, usage_table, terms, CLOSED)


def test_a_sum_with_too_many_digits_is_refused_and_not_left_out(on_spark: SparkEngine, tmp_path: Path) -> None:
    usage_table = usage_table_in(tmp_path, rows_with("m", "{}", "{}", quantity="9" * 23))
    with pytest.raises(SparkFailed, match=r"Overflow in sum of decimals\. Fix this"):
        added_up(on_spark, usage_table, one_meter(Aggregation("sum")), CLOSED)


def test_spark_bills_a_level_held_all_month_without_an_event(on_spark: SparkEngine, tmp_path: Path) -> None:
    """10 GB for 29 days of 24 hours."""
    how = Aggregation("time_weighted", series="volume", time_unit=3600)
    terms = terms_of([Total("acme", "m", "{}", how, [], [], carried={"vol-1": Decimal(10)})])
    rollups, sums = added_up(
        on_spark, UsageTableVersion(UsageTable(tmp_path / "usage_table"), None), terms, FEBRUARY.end
    )
    assert sums == {("acme", "m"): (0, Decimal(6_960))}
    assert [segment.daily for segment in rollups["acme", "m", "{}"]] == [(Decimal(240),) * 29]


# --- In Postgres ---------------------------------------------------------------------------------------------------

METERS = (
    Meter("kept", "Kept", "GB", Aggregation("sum"), ("region",)),
    Meter("calls", "Calls", "call", Aggregation("count")),
    Meter("peak", "Peak", "connection", Aggregation("max"), ("region",)),
    Meter("users", "Users", "user", Aggregation("unique", unique_of="user")),
    Meter("seats", "Seats", "seat", Aggregation("latest")),
    Meter("volume", "Volumes", "GB-hour", Aggregation("time_weighted", series="volume", time_unit=3600), ("region",)),
)
PRICES = (
    *(price(meter.key, "0.10", meter.key) for meter in METERS),
    price("kept", "0.20", "kept", effective_from=at("2026-09-10")),
    price("volume", "0.20", "volume", effective_from=at("2026-09-15T06:00:00")),
)


def roll_up_on(engine: RollupEngine, platform: Platform) -> RollupReport:
    return roll_up(platform.database, platform.usage_table, SEPTEMBER, platform.organizations(), CLOSED, engine)


def snapshots(platform: Platform) -> list[dict[str, Any]]:
    found = platform.query(
        "select s.id as snapshot, s.organization_id, s.fingerprint, s.events as events_of_month, s.is_current, r.*"
        " from usage_snapshots as s left join usage_rollups as r on r.snapshot_id = s.id order by 1, r.id"
    )
    return [dict(row) for row in found]


def test_a_month_rolled_up_on_spark_has_the_same_snapshots_as_on_duckdb(
    platform: Platform, on_spark: SparkEngine
) -> None:
    """September begins with 10 GB, 20 from 15 September 12:00 on: 348 x 10 + 372 x 20 GB-hours, cut at 342 hours."""
    platform.add_organization("globex")
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, PRICES))
    write_jsonl(
        platform.landing_dir,
        [event("v1", "10", type="volume", time="2026-08-31T12:00:00Z", region="ams", volume="vol-1")],
        date(2026, 8, 31),
    )
    usage = [
        event("k1", "0.000000000000001", type="kept", region="ams", time="2026-09-09T23:59:59.999999Z"),
        event("k2", "3", type="kept", region="ams", time="2026-09-10T00:00:00Z"),
        event("k3", "5", type="kept", region="iad"),
        event("c1", "7", type="calls"),
        event("c2", "0", type="calls"),
        event("p1", "4", type="peak", region="ams", time="2026-09-15T11:00:00Z"),
        event("p2", "1", type="peak", region="ams", time="2026-09-15T13:00:00Z"),
        event("u1", "1", type="users", user="ada"),
        event("u2", "1", type="users", user="ada"),
        event("s1", "9", type="seats", time="2026-09-15T12:00:00Z"),
        event("s2", "3", type="seats", time="2026-09-15T13:00:00Z"),
        event("v2", "20", type="volume", region="ams", volume="vol-1"),
    ]
    write_jsonl(platform.landing_dir, [*usage, *usage[:3]])
    platform.land(date(2026, 8, 31), date(2026, 9, 15), now=CLOSED)

    on_many = roll_up_on(on_spark, platform)
    by_spark = snapshots(platform)
    on_one = roll_up_on(DuckDBEngine(), platform)

    assert {(row["meter"], row["segment_start"]): row["quantity"] for row in by_spark if row["dimensions"] != IAD} == {
        ("kept", SEPTEMBER.start): Decimal("0.000000000000001"),
        ("kept", at("2026-09-10")): Decimal(3),
        ("calls", SEPTEMBER.start): Decimal(2),
        ("peak", SEPTEMBER.start): Decimal(4),
        ("users", SEPTEMBER.start): Decimal(1),
        ("seats", SEPTEMBER.start): Decimal(3),
        ("volume", SEPTEMBER.start): Decimal(3_420),
        ("volume", at("2026-09-15T06:00:00")): Decimal(7_500),
        (None, None): None,  # globex has no usage
    }
    assert (on_many.organizations, on_many.events, on_many.rollups, on_many.changed) == (2, 12, 9, 2)
    assert on_one == replace(on_many, changed=0)
    assert snapshots(platform) == by_spark


IAD = {"region": "iad"}


def test_a_month_is_billed_on_spark_if_the_setting_says_so(
    deployment: Deployment, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The asset aggregates on Spark; 2,592,000 seconds of a Machine are $2.02."""
    monkeypatch.setenv("FLY_BILLING_ROLLUP_ENGINE", "spark")
    monkeypatch.setenv("SPARK_MASTER", CLUSTER)
    deployment.load_prices()
    deployment.add_organization("acme")
    deployment.write_usage(date(2026, 10, 15), [machine_seconds(1, "acme", at("2026-10-14T12:00:00"), "2592000")])
    deployment.land_month(OCTOBER)
    spark.catalog.dropTempView("reduced_usage")

    deployment.bill(OCTOBER)

    assert [row["quantity"] for row in spark.table("reduced_usage").collect()] == [Decimal(2_592_000)]
    assert deployment.totals(OCTOBER) == {"acme": ("finalized", 202)}
