"""Rollups are exact, have ids from their content, and are kept while an invoice bills them."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from fly_billing.pricing.rules.models import PerUnit
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import (
    CLOSED,
    DAY,
    OCTOBER,
    SEPTEMBER,
    Platform,
    at,
    event,
    price,
    write_jsonl,
)


def quantities(platform: Platform) -> list[tuple[Any, ...]]:
    found = platform.query(
        "select s.organization_id, r.meter, r.dimensions, r.quantity, r.events from usage_rollups as r"
        " join usage_snapshots as s on s.id = r.snapshot_id where s.is_current"
        " order by s.organization_id, r.meter, r.dimensions, r.segment_start"
    )
    return [tuple(row.values()) for row in found]


def segments(platform: Platform) -> list[tuple[datetime, datetime, Decimal]]:
    found = platform.query("select segment_start, segment_end, quantity from usage_rollups order by segment_start")
    return [(row["segment_start"], row["segment_end"], row["quantity"]) for row in found]


def snapshot(platform: Platform, organization: str = "acme") -> dict[str, Any]:
    (row,) = platform.query(
        "select id, lake_version, events, rolled_up_at from usage_snapshots"
        " where organization_id = :organization and is_current",
        organization=organization,
    )
    return dict(row)


def late_usage(platform: Platform) -> list[dict[str, Any]]:
    found = platform.database.rows("check_late_usage", month=SEPTEMBER.first_day, groups=["acme"])
    return [dict(row) for row in found]


def test_a_tenth_plus_two_tenths_is_exactly_three_tenths(platform: Platform) -> None:
    platform.use(event("e1", "0.1"), event("e2", "0.2"))
    assert quantities(platform) == [("acme", "requests", {}, Decimal("0.3"), 2)]


def test_sums_keep_twenty_digits_before_the_decimal_point_and_fifteen_after_it(platform: Platform) -> None:
    platform.use(event("e1", "12345678901234567890"), event("e2", "0.000000000000001"), event("e3", "1e-7"))
    assert quantities(platform) == [("acme", "requests", {}, Decimal("12345678901234567890.000000100000001"), 3)]


def test_usage_is_grouped_by_organization_meter_and_dimensions_only(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.use(
        event("e1", "1", type="egress_gb", region="iad", app="shop"),
        event("e2", "2", type="egress_gb", region="iad", app="blog"),
        event("e3", "4", type="egress_gb", region="ams"),
        event("e4", "8", subject="globex", type="egress_gb", region="iad"),
        event("e5", "16"),
    )
    assert quantities(platform) == [
        ("acme", "egress_gb", {"region": "ams"}, Decimal(4), 1),
        ("acme", "egress_gb", {"region": "iad"}, Decimal(3), 2),
        ("acme", "requests", {}, Decimal(16), 1),
        ("globex", "egress_gb", {"region": "iad"}, Decimal(8), 1),
    ]


def test_duplicates_and_other_months_are_not_rolled_up(platform: Platform) -> None:
    write_jsonl(
        platform.landing_dir,
        [
            event("e1", "1", time="2026-09-30T23:59:59.999999Z"),
            event("e1", "1", time="2026-09-30T23:59:59.999999Z"),
            event("e2", "2", time="2026-10-01T00:00:00Z"),
            event("e3", "4", time="2026-08-31T23:59:59.999999Z"),
            event("e4", "8", time="2026-09-01T00:00:00Z"),
        ],
        date(2026, 9, 30),
    )
    platform.land(date(2026, 9, 30))
    result = platform.roll_up()
    assert quantities(platform) == [("acme", "requests", {}, Decimal(9), 2)]
    assert (result.organizations, result.events, result.rollups, result.changed) == (1, 2, 1, 1)


def test_an_organization_without_usage_has_an_empty_snapshot(platform: Platform) -> None:
    result = platform.roll_up()
    assert (result.organizations, result.events, result.rollups) == (1, 0, 0)
    assert snapshot(platform)["events"] == 0


def test_an_organization_is_not_rolled_up_before_it_exists(platform: Platform) -> None:
    platform.add_organization("newcomer", created_at="2026-10-01")
    assert platform.roll_up(SEPTEMBER).organizations == 1
    assert platform.roll_up(OCTOBER).organizations == 2


def test_rolling_up_unchanged_usage_again_keeps_the_snapshot(platform: Platform) -> None:
    platform.use(event("e1"))
    before, rollups = snapshot(platform), platform.query("select * from usage_rollups")
    platform.land()
    assert platform.roll_up(now=CLOSED).changed == 0
    after = snapshot(platform)
    assert after["id"] == before["id"]
    assert (after["rolled_up_at"], after["lake_version"]) == (CLOSED, platform.table().version)
    assert platform.query("select * from usage_rollups") == rollups


def test_changed_usage_makes_another_snapshot_and_deletes_the_unbilled_one(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.use(event("e1"), event("e2", subject="globex"))
    acme, globex = snapshot(platform), snapshot(platform, "globex")
    platform.use(event("e3", "5"), day=date(2026, 9, 16))
    assert snapshot(platform)["id"] != acme["id"]
    assert snapshot(platform, "globex")["id"] == globex["id"]
    assert quantities(platform)[0] == ("acme", "requests", {}, Decimal(6), 2)
    assert platform.query("select count(*) from usage_snapshots") == [{"count": 2}]


def test_usage_that_returns_to_its_earlier_state_has_the_same_snapshot_again(platform: Platform) -> None:
    platform.use(event("e1"))
    before = snapshot(platform)
    platform.bill()
    extra = write_jsonl(platform.landing_dir, [event("e2")], name="extra")
    platform.land()
    platform.roll_up()
    assert snapshot(platform)["id"] != before["id"]
    extra.unlink()
    platform.land()
    platform.roll_up()
    assert snapshot(platform)["id"] == before["id"]
    assert quantities(platform) == [("acme", "requests", {}, Decimal(1), 1)]


def test_a_month_is_split_at_a_price_change_of_the_meter(platform: Platform) -> None:
    platform.load(
        price(
            "requests", "0.20", "requests", effective_from=at("2026-09-10"), effective_until=at("2026-09-20T06:00:00")
        ),
        price("egress", "0.05", "egress_gb", effective_from=at("2026-09-12")),
    )
    platform.use(
        event("e1", "1", time="2026-09-09T23:59:59.999999Z"),
        event("e2", "2", time="2026-09-10T00:00:00Z"),
        event("e3", "4", time="2026-09-15T00:00:00Z"),
        event("e4", "8", time="2026-09-20T06:00:00Z"),
        day=date(2026, 9, 20),
    )
    assert segments(platform) == [
        (at("2026-09-01"), at("2026-09-10"), Decimal(1)),
        (at("2026-09-10"), at("2026-09-20T06:00:00"), Decimal(6)),
        (at("2026-09-20T06:00:00"), at("2026-10-01"), Decimal(8)),
    ]
    # 1 x 0.10 + 6 x 0.20 + 8 x 0.10
    (invoice,) = platform.bill().invoices
    assert invoice.total_cents == 210


def test_a_price_change_at_the_months_edges_does_not_split_the_month(platform: Platform) -> None:
    platform.load(
        price("requests", "0.20", "requests", effective_from=at("2026-09-01")),
        price("requests", "0.30", "requests", effective_from=at("2026-10-01")),
    )
    platform.use(event("e1"))
    assert segments(platform) == [(at("2026-09-01"), at("2026-10-01"), Decimal(1))]


def test_a_price_added_after_the_rollup_is_billed_once_usage_is_rolled_up_again(platform: Platform) -> None:
    platform.use(event("e1"))
    platform.load(price("requests", "0.20", "requests", effective_from=at("2026-09-10")))
    (failure,) = platform.bill().failures
    assert failure.error.code == "price_changed_inside_rollup"
    platform.roll_up()
    (invoice,) = platform.bill().invoices
    assert invoice.total_cents == 20
    (item,) = platform.items_of(invoice)
    assert item["price_id"] == price("requests", "0", effective_from=at("2026-09-10"), model=PerUnit(Decimal(0))).id


def test_late_usage_keeps_the_usage_of_a_final_invoice_and_the_difference_is_reported(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "5", type="egress_gb", region="iad")])
    (invoice,) = platform.close().invoices
    assert late_usage(platform) == []
    billed = snapshot(platform)
    write_jsonl(
        platform.landing_dir,
        [event("late1", "4"), event("late2", "7", type="egress_gb", region="ams")],
        date(2026, 10, 5),
    )
    platform.land(date(2026, 10, 5), now=at("2026-10-06"))
    platform.roll_up(now=at("2026-10-06"))
    assert snapshot(platform)["id"] != billed["id"]
    assert late_usage(platform) == [
        {
            "organization_id": "acme",
            "meter": "egress_gb",
            "dimensions": '{"region": "ams"}',
            "billed_quantity": Decimal(0),
            "used_quantity": Decimal(7),
        },
        {
            "organization_id": "acme",
            "meter": "requests",
            "dimensions": "{}",
            "billed_quantity": Decimal(3),
            "used_quantity": Decimal(7),
        },
    ]
    kept = platform.query(
        "select r.meter, r.quantity from invoices as i join usage_rollups as r on r.snapshot_id = i.usage_snapshot_id"
        " order by r.meter"
    )
    assert [tuple(row.values()) for row in kept] == [("egress_gb", Decimal(5)), ("requests", Decimal(3))]
    assert platform.bill(now=at("2026-10-06")).already_final == ["acme"]
    assert platform.query("select id, total_cents from invoices") == [{"id": invoice.id, "total_cents": 30}]


def test_usage_that_vanished_after_billing_is_reported_too(platform: Platform) -> None:
    path = write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    path.write_text("", encoding="utf-8")
    platform.land(DAY, now=at("2026-10-06"))
    platform.roll_up(now=at("2026-10-06"))
    (row,) = late_usage(platform)
    assert (row["billed_quantity"], row["used_quantity"]) == (Decimal(3), Decimal(0))


def test_an_old_version_of_the_usage_table_still_gives_its_sums(platform: Platform) -> None:
    platform.use(event("e1", "0.1"), event("e2", "0.2"))
    version = snapshot(platform)["lake_version"]
    platform.use(event("e1", "9"))
    platform.use(event("e3", "5"), day=date(2026, 9, 16))
    with open_duckdb() as duck:
        assert platform.table().open_view(duck, "events", SEPTEMBER, version=version) == version
        assert duck.execute("select sum(quantity) from events").fetchall() == [(Decimal("0.3"),)]
        assert platform.table().open_view(duck, "events", SEPTEMBER) > version
        assert duck.execute("select sum(quantity) from events").fetchall() == [(Decimal("14"),)]
