"""A level over time is billed for its exact time, across month ends and price changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.bill_run import BilledInvoice
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.aggregations import Aggregation
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.models import PerUnit
from tests.support.builders import OCTOBER, SEPTEMBER, TERMS, Platform, at, days_of, event, price, write_jsonl

NOVEMBER = BillingMonth(2026, 11)
METERS = (
    Meter("machines", "Machines", "second", Aggregation("time_weighted", series="machine", time_unit=1), ("region",)),
    Meter("volumes", "Volumes", "GB-hour", Aggregation("time_weighted", series="volume", time_unit=3600), ("region",)),
)
# A Machine of 25.92 for 30 days: a cent for 1,000 seconds. A GB for 30 days at 0.72: 0.001 for an hour.
MACHINE = price("machine", "0", "machines", unit="second", model=PerUnit(Decimal("25.92"), Decimal(2_592_000)))
VOLUME = price("volume", "0", "volumes", unit="GB-hour", model=PerUnit(Decimal("0.72"), Decimal(720)))


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """Acme, billed for the levels of its Machines and volumes."""
    with platform.database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, (MACHINE, VOLUME)))
    return platform


def machine(name: str, is_on: str, time: str) -> dict[str, Any]:
    """Return an event of a Machine: started (1) or stopped (0)."""
    return event(name, is_on, type="machines", time=f"{time}Z", region="ams", machine="m-1")


def volume(name: str, size: str, time: str) -> dict[str, Any]:
    """Return an event of a volume: its GB from then on."""
    return event(name, size, type="volumes", time=f"{time}Z", region="ams", volume="vol-1")


def write_events(platform: Platform, *events: Mapping[str, Any]) -> None:
    """Put each event into the folder of its day."""
    for day in {row["time"][:10] for row in events}:
        of_day = [row for row in events if row["time"].startswith(day)]
        write_jsonl(platform.landing_dir, of_day, date.fromisoformat(day))


def close(platform: Platform, month: BillingMonth) -> BilledInvoice:
    """Land, roll up and finalize the month, an hour after its grace period; no earlier month is closed with it."""
    now = month.closes_at(TERMS.grace) + timedelta(hours=1)
    platform.land(*days_of(month.first_day, month.last_landing_day(TERMS.grace)), now=now)
    platform.roll_up(month, now)
    billed = platform.bill(month, now)
    assert (billed.finalized, billed.failures) == (True, [])
    (invoice,) = billed.invoices
    assert platform.database.rows("check_rollups_priced", month=month.first_day, groups=["acme"]) == []
    assert platform.database.rows("check_items_sum", month=month.first_day, groups=["acme"]) == []
    return invoice


def quantities(platform: Platform, invoice: BilledInvoice) -> list[Decimal]:
    return [row["quantity"] for row in platform.items_of(invoice)]


def test_a_machine_stopped_at_midnight_of_the_months_end_ran_all_of_the_month_and_none_of_the_next(
    platform: Platform,
) -> None:
    """Ten days of 86,400 seconds: 864,000 x 25.92 / 2,592,000 = 8.64."""
    write_events(platform, machine("on", "1", "2026-09-21T00:00:00"), machine("off", "0", "2026-10-01T00:00:00"))
    september = close(platform, SEPTEMBER)
    assert (quantities(platform, september), september.total_cents) == ([Decimal(864_000)], 864)
    october = close(platform, OCTOBER)
    # The stop is October's only event: billed, for no second.
    assert (quantities(platform, october), october.total_cents) == ([Decimal(0)], 0)
    assert close(platform, NOVEMBER).items == 0


def test_a_machine_started_in_one_month_and_stopped_two_months_later_is_billed_for_its_seconds_in_each(
    platform: Platform,
) -> None:
    """Started two hours before October, stopped an hour and a second into the 1st of November.

    7,200 s = 0.072; 31 x 86,400 = 2,678,400 s = 26.784; 3,601 s = 0.03601.
    """
    write_events(platform, machine("on", "1", "2026-09-30T22:00:00"), machine("off", "0", "2026-11-01T01:00:01"))
    invoices = [close(platform, month) for month in (SEPTEMBER, OCTOBER, NOVEMBER)]
    assert [quantities(platform, invoice) for invoice in invoices] == [
        [Decimal(7_200)],
        [Decimal(2_678_400)],
        [Decimal(3_601)],
    ]
    assert [invoice.amount for invoice in invoices] == [Decimal("0.072"), Decimal("26.784"), Decimal("0.03601")]
    assert [invoice.total_cents for invoice in invoices] == [7, 2678, 4]
    # 32 days and 3 hours and a second between start and stop: nothing lost at the edges.
    assert (
        sum(quantity for invoice in invoices for quantity in quantities(platform, invoice)) == 7_200 + 2_678_400 + 3_601
    )
    events = platform.query("select month, events from usage_snapshots where is_current order by month")
    assert [row["events"] for row in events] == [1, 0, 1]


def test_a_volume_of_10_gb_held_for_30_hours_is_300_gb_hours(platform: Platform) -> None:
    """300 x 0.72 / 720 = 0.30."""
    write_events(platform, volume("made", "10", "2026-09-10T04:00:00"), volume("gone", "0", "2026-09-11T10:00:00"))
    invoice = close(platform, SEPTEMBER)
    assert (quantities(platform, invoice), invoice.amount, invoice.total_cents) == ([Decimal(300)], Decimal("0.30"), 30)


def test_the_29th_of_february_is_billed_as_a_day(platform: Platform) -> None:
    """29 days of 86,400 seconds: 2,505,600 x 25.92 / 2,592,000 = 25.056. March has 31: 26.784."""
    february, march = BillingMonth(2028, 2), BillingMonth(2028, 3)
    write_events(platform, machine("on", "1", "2028-02-01T00:00:00"))
    leap = close(platform, february)
    assert (quantities(platform, leap), leap.amount, leap.total_cents) == (
        [Decimal(2_505_600)],
        Decimal("25.056"),
        2506,
    )
    (row,) = platform.query("select daily from usage_rollups")
    assert row["daily"] == [Decimal(86_400)] * 29
    assert close(platform, march).amount == Decimal("26.784")


def test_a_price_change_on_the_15th_splits_a_level_at_its_moment(platform: Platform) -> None:
    """14 days at a cent, 16 at half a cent for 1,000 seconds: 12.096 + 6.912 = 19.008."""
    half = price(
        "machine", "0", "machines", unit="second", model=PerUnit(Decimal("12.96"), Decimal(2_592_000)),
        effective_from=at("2026-09-15"),
    )  # fmt: skip
    platform.load(half)
    write_events(platform, machine("on", "1", "2026-08-20T07:00:00"), volume("made", "10", "2026-08-31T00:00:00"))
    platform.land(date(2026, 8, 20), date(2026, 8, 31), now=at("2026-09-01"))
    invoice = close(platform, SEPTEMBER)
    by_price = {(row["price_key"], row["quantity"]): row["amount"] for row in platform.items_of(invoice)}
    assert by_price == {
        ("machine", Decimal(1_209_600)): Decimal("12.096"),
        ("machine", Decimal(1_382_400)): Decimal("6.912"),
        # Its price did not change: 10 GB for 720 hours.
        ("volume", Decimal(7_200)): Decimal("7.20"),
    }
    assert (invoice.amount, invoice.total_cents) == (Decimal("26.208"), 2621)


def test_an_open_invoice_charges_the_level_so_far_and_grows_with_time(platform: Platform) -> None:
    """From the 1st: 10 days are 8.64, and 15 days 12.96."""
    write_events(platform, machine("on", "1", "2026-09-01T00:00:00"))
    platform.land(date(2026, 9, 1))
    totals = []
    for now in (at("2026-09-11"), at("2026-09-16")):
        platform.roll_up(now=now)
        totals += [invoice.total_cents for invoice in platform.bill(now=now).invoices]
    assert totals == [864, 1296]
    # 30 days, at any billing time after its end.
    assert close(platform, SEPTEMBER).total_cents == 2592
