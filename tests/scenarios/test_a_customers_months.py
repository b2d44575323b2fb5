"""Customers' months from usage files to invoices, with every amount calculated manually.

The price book: a request 0.10, outbound traffic 0.02 per GB after 100 GB, a Machine 1.94 per 30 days, support 29.00 a
month. A month is closed 72 hours after it ended.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.periods import BillingMonth
from tests.support.builders import (
    OCTOBER,
    SEPTEMBER,
    Platform,
    at,
    event,
    price,
    write_jsonl,
)

NOVEMBER = OCTOBER.next()


def used(platform: Platform, name: str, quantity: str, time: str, **changes: str) -> None:
    """Land usage of acme's on its own day."""
    usage = event(name, quantity, time=f"{at(time).isoformat()}", **changes)
    write_jsonl(platform.landing_dir, [usage], at(time).date(), name)


def cents(platform: Platform, month: BillingMonth = SEPTEMBER) -> list[tuple[str, str, int]]:
    """Return kind, description and cents of each item."""
    found = platform.query(
        "select t.kind, t.description, t.amount_cents from invoice_items as t join invoices as i on i.id = t.invoice_id"
        " where i.month = :month order by t.position",
        month=month.first_day,
    )
    return [(row["kind"], row["description"], row["amount_cents"]) for row in found]


def all_is_in_order(platform: Platform, *months: BillingMonth) -> None:
    """Return True if items equal their totals, every rollup is priced once, and all landed usage is billed."""
    for month in months:
        for check in ("check_items_sum", "check_rollups_priced", "check_late_usage"):
            assert platform.database.rows(check, month=month.first_day, groups=platform.organizations()) == []


def test_a_price_change_on_the_15th(platform: Platform) -> None:
    """10 requests at 0.10 until the 15th, 10 at 0.12 from midnight on: 1.00 + 1.20 = 2.20.

    Traffic: 80 GB before, 50 GB after. 100 GB are free, once: the other 30 cost the new 0.03: 0.90. In all 3.10.
    """
    platform.load(
        price("requests", "0.12", "requests", unit="request", effective_from=at("2026-09-15")),
        price("egress", "0.03", "egress_gb", unit="GB", free_allowance=Decimal(100), effective_from=at("2026-09-15")),
    )
    used(platform, "r1", "10", "2026-09-14T23:59:59.999999")
    used(platform, "r2", "10", "2026-09-15T00:00:00")
    used(platform, "e1", "80", "2026-09-10T08:00:00", type="egress_gb", region="ams")
    used(platform, "e2", "50", "2026-09-20T08:00:00", type="egress_gb", region="fra")
    platform.close()
    assert sorted(amount for _, _, amount in cents(platform)) == [0, 90, 100, 120]
    assert platform.totals() == [310]
    all_is_in_order(platform, SEPTEMBER)


def test_usage_three_weeks_late_is_charged_once_on_the_next_invoice(platform: Platform) -> None:
    """September: 30 requests, 3.00. On 25 October 12.5 more of September land: 1.25, on October's invoice.

    October has 4 of its own, 0.40: 1.65. Later nightly runs find no other difference; November owes 0.00.
    """
    used(platform, "e1", "30", "2026-09-15T12:00:00")
    platform.close()
    day = at("2026-10-25")
    late = event("late", "12.5", time="2026-09-30T23:59:59Z")
    write_jsonl(platform.landing_dir, [late, event("own", "4", time="2026-10-24T12:00:00Z")], day.date())
    platform.land(day.date(), now=day + timedelta(days=1))
    for night in range(1, 4):
        now = day + timedelta(days=night)
        platform.roll_up(SEPTEMBER, now)
        correct_month(platform.database, SEPTEMBER, ["acme"], platform.usage_table, Actor("nightly", now), guard=OFF)
    platform.close(OCTOBER)
    platform.close(NOVEMBER)
    assert cents(platform, OCTOBER) == [
        ("usage", "requests as used", 40),
        ("adjustment", "requests as used, 2026-09: 42.5 requests instead of 30 requests (late rows)", 125),
    ]
    assert platform.totals() == [300, 165, 0]
    all_is_in_order(platform, SEPTEMBER, OCTOBER, NOVEMBER)


def test_an_upgrade_and_a_cancellation_on_one_day(platform: Platform) -> None:
    """Support in advance at 29.00. On 16 October at noon: upgraded to 290.00; an hour later cancelled.

    September: 29.00, and October ahead, 29.00: 58.00. October has 31 days, 744 hours: 15.5 days of 29.00 are 14.50, so
    14.50 go back; an hour of 290.00 is 0.3897..., 0.39: -14.11. November: nothing.
    """
    platform.load(price("premium", "290.00", unit="month"))
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close()
    noon = at("2026-10-16T12:00:00")
    platform.execute("update subscriptions set ended_at = :noon", noon=noon)
    platform.add_subscription("acme", "premium", noon, noon + timedelta(hours=1), billed="in_advance")
    platform.close(OCTOBER)
    platform.close(NOVEMBER)
    assert cents(platform, OCTOBER) == [
        ("subscription", "premium as used", 39),
        ("subscription", "support as used", -1450),
    ]
    assert platform.totals() == [5800, -1411, 0]


def test_1200_items_of_0_004_cents_are_rounded_once(platform: Platform) -> None:
    """1,200 x 0.00004 = 0.048: 5 cents. Each rounded separately would be 0."""
    platform.execute(
        "insert into one_off_items select gen_random_uuid(), 'acme', 'call ' || n, 0.00004, 'USD', '2026-09-10'"
        " from generate_series(1, 1200) as n"
    )
    platform.close()
    found = platform.query(
        "select count(*) as items, sum(amount) as amount, sum(amount_cents) as cents from invoice_items"
    )
    assert found == [{"items": 1200, "amount": Decimal("0.04800"), "cents": 5}]
    assert platform.totals() == [5]
    all_is_in_order(platform, SEPTEMBER)


def test_1200_requests_of_0_004_cents_are_rounded_once(platform: Platform) -> None:
    """The same as usage: 1,200 events are one item of 0.048."""
    platform.load(price("requests", "0.00004", "requests", unit="request"))
    write_jsonl(platform.landing_dir, [event(f"e{n}", "1") for n in range(1200)])
    platform.close()
    assert platform.items() == [("usage", "requests as used", Decimal("0.048"))]
    assert platform.totals() == [5]


def a_whole_month(platform: Platform, month: BillingMonth, days: int) -> None:
    """Bill support all month, support by the day from its last day on, and a Machine that ran all month."""
    last = month.end - timedelta(days=1)
    platform.add_subscription("acme", "support", month.start)
    platform.add_subscription("acme", "support", last, proration="day")
    machine = {"type": "machine_seconds", "preset": "shared-cpu-1x", "region": "ams"}
    for day in range(days):
        # A day's seconds are measured at its end; those of the last day a microsecond before midnight.
        measured_at = month.start + timedelta(days=day + 1, microseconds=-1)
        used(platform, f"m{day}", "86400", measured_at.replace(tzinfo=None).isoformat(), **machine)
    platform.close(month)


def test_a_leap_days_month(platform: Platform) -> None:
    """February 2028 has 29 days: the month is 29.00 and its last day 1.00.

    A Machine's price is for 30 days: 29 of them are 1.94 x 29 / 30 = 1.8753..., 1.88.
    """
    a_whole_month(platform, BillingMonth(2028, 2), 29)
    assert sorted(amount for _, _, amount in cents(platform, BillingMonth(2028, 2))) == [100, 188, 2900]
    all_is_in_order(platform, BillingMonth(2028, 2))


def test_a_month_with_a_leap_second(platform: Platform) -> None:
    """As if 30 June 2026 had a second 23:59:60, as in 2015. A POSIX month has none: 2,592,000 seconds, a Machine 1.94.

    Usage measured in the leap second belongs to June, not to July: 10 requests, 1.00. Support by the day from the
    30th on: 29.00 / 30 = 0.9666..., 0.97.
    """
    june = BillingMonth(2026, 6)
    assert june.seconds == BillingMonth(2015, 6).seconds == 2_592_000
    used(platform, "leap", "7", "2026-06-30T23:59:59", type="requests")
    leap = event("leap second", "3", time="2026-06-30T23:59:60Z")
    write_jsonl(platform.landing_dir, [leap], june.end.date() - timedelta(days=1), "leap-second")
    a_whole_month(platform, june, 30)
    assert sorted(amount for _, _, amount in cents(platform, june)) == [97, 100, 194, 2900]
    all_is_in_order(platform, june)


def test_a_credit_that_runs_out_in_the_middle(platform: Platform) -> None:
    """5.00 were paid ahead. September: 3.00, all paid; 2.00 left. October: 4.50, 2.00 paid, 2.50 due.

    November: 1.00 due. In October's invoice the credit pays the first item (traffic, 1.20) and 0.80 of the other.
    """
    platform.grant("acme", "prepaid", "5.00")
    used(platform, "r1", "30", "2026-09-15T12:00:00")
    used(platform, "e2", "160", "2026-10-02T12:00:00", type="egress_gb", region="ams")
    used(platform, "r2", "33", "2026-10-30T12:00:00")
    used(platform, "r3", "10", "2026-11-01T00:00:00")
    for month in (SEPTEMBER, OCTOBER, NOVEMBER):
        platform.close(month)
    assert platform.totals() == [0, 250, 100]
    (credit,) = platform.query(
        "select detail from invoice_items as t join invoices as i on i.id = t.invoice_id"
        " where t.kind = 'credit' and i.month = '2026-10-01'"
    )
    assert [credit["detail"][name] for name in ("available", "drawn", "left")] == ["2", "2", "0"]
    assert [part["amount"] for part in credit["detail"]["applied_to"]] == ["1.2", "0.8"]
    entries = platform.query("select kind, amount from credit_entries order by id")
    assert [tuple(row.values()) for row in entries] == [("granted", 5), ("drawn", -3), ("drawn", -2)]


def test_a_coupon_then_a_commitment_then_tax_on_one_invoice(platform: Platform) -> None:
    """40 requests 4.00, support 29.00: 33.00. 10 % off is 3.30: 29.70. At least 50.00 was agreed: 20.30 more.

    19 % of 50.00 are 9.50. To pay: 59.50. The commitment counts the amount after the coupon, the tax is on all of it.
    """
    platform.insert("coupons", code="TEN", description="Ten percent off", percent=10)
    platform.redeem("acme", "TEN")
    platform.commit("acme", "minimum", "50", description="At least 50 a month")
    platform.add_tax("acme", "VAT", "19")
    platform.add_subscription("acme", "support", at("2026-09-01"))
    used(platform, "r1", "40", "2026-09-15T12:00:00")
    platform.close()
    assert cents(platform) == [
        ("usage", "requests as used", 400),
        ("subscription", "support as used", 2900),
        ("discount", "Ten percent off", -330),
        ("minimum", "At least 50 a month", 2030),
        ("tax", "VAT 19 %", 950),
    ]
    assert platform.totals() == [5950]


def test_two_linked_organizations_share_a_prepaid_credit(platform: Platform) -> None:
    """acme pays for labs and has 10.00 paid ahead. September: 3.00 + 4.00, all paid; 3.00 left.

    October: 2.00 + 5.00, 3.00 paid: 4.00 due. Each sees its own lines on the one invoice.
    """
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.grant("acme", "prepaid", "10.00")
    for name, quantity, time in (
        ("acme", "30", "2026-09-15T12:00:00"),
        ("labs", "40", "2026-09-16T12:00:00"),
        ("acme", "20", "2026-10-15T12:00:00"),
        ("labs", "50", "2026-10-16T12:00:00"),
    ):
        used(platform, f"{name} {time[:7]}", quantity, time, subject=name)
    for month in (SEPTEMBER, OCTOBER):
        platform.close(month)
    assert (platform.totals("acme"), platform.totals("labs")) == ([0, 400], [])
    shares = platform.query(
        "select t.organization_id, sum(t.amount) as amount from invoice_items as t"
        " where t.kind = 'usage' group by t.organization_id order by t.organization_id"
    )
    assert [tuple(row.values()) for row in shares] == [("acme", 5), ("labs", 9)]
    all_is_in_order(platform, SEPTEMBER, OCTOBER)


def test_a_machine_stopped_at_midnight_of_the_months_end(platform: Platform) -> None:
    """It ran on 30 September from 12:00 to midnight: 43,200 seconds, 1.94 / 60 = 0.0323..., 3 cents; October owes none.

    Its last second is measured just before midnight. One measured exactly at midnight is October's.
    """
    machine = {"type": "machine_seconds", "preset": "shared-cpu-1x", "region": "ams"}
    used(platform, "m1", "43200", "2026-09-30T23:59:59.999999", **machine)
    platform.close()
    platform.close(OCTOBER)
    assert platform.totals() == [3, 0]
    used(platform, "m2", "2592000", "2026-11-01T00:00:00", **machine)
    platform.close(NOVEMBER)
    assert platform.totals() == [3, 0, 194]
