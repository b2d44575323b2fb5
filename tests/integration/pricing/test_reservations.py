"""A reservation is charged once, and pays for a year of one CPU class in one region, month by month, 40 % off."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fly_billing.invoicing.reservation_sales import ReservationRefused, find_block, reserve
from fly_billing.periods import BillingMonth
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.reservations import Reservation, ReservationBlock
from tests.support.builders import MACHINES, OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl

BLOCKS = read_price_book_files(SHIPPED / "fly").reservations
YEAR = find_block(BLOCKS, "reservation/performance/20")
# The cost of a Machine that runs 30 days: 20.00 for performance-1x in ams and fra, 2.00 for shared-cpu-1x in ams.
PRICES = [
    replace(
        MACHINES,
        key=f"machine/{preset}/{region}",
        description=f"{preset} in {region}",
        model=PerUnit(Decimal(amount), Decimal(2_592_000)),
        match={"preset": (preset,), "region": (region,)},
        effective_from=at("2024-01-01"),
    )
    for preset, region, amount in (
        ("performance-1x", "ams", "20"),
        ("performance-1x", "fra", "20"),
        ("shared-cpu-1x", "ams", "2"),
    )
]
NOVEMBER = OCTOBER.next()


@pytest.fixture
def platform(platform: Platform) -> Platform:
    platform.load(*PRICES)
    return platform


def year(region: str = "ams", first: BillingMonth = SEPTEMBER, **changes: Any) -> Reservation:
    return Reservation(YEAR, "acme", region, first, **changes)


def run(platform: Platform, month: BillingMonth, preset: str, region: str, days: int = 30) -> None:
    """Run a Machine of acme's for this number of days of the month."""
    used = event(
        f"{preset} {region} {month}",
        str(days * 86_400),
        type="machine_seconds",
        preset=preset,
        region=region,
        time=(month.start + timedelta(days=9)).isoformat(),
    )
    write_jsonl(platform.landing_dir, [used], month.first_day + timedelta(days=10), f"{preset} {region}")


def test_a_reservation_is_charged_once_and_pays_for_its_class_in_its_region_only(platform: Platform) -> None:
    """144.00 once. Of 20.00 in ams, 20.00 in fra and 2.00 of shared Machines in ams, the first is paid each month."""
    assert reserve(platform.database, year())
    for month in (SEPTEMBER, OCTOBER):
        for preset, region in (("performance-1x", "ams"), ("performance-1x", "fra"), ("shared-cpu-1x", "ams")):
            run(platform, month, preset, region)
        platform.close(month)
    text = "20 USD a month of performance Machines in one region, for a year: ams"
    usage = [
        ("usage", "performance-1x in ams", Decimal(20)),
        ("usage", "performance-1x in fra", Decimal(20)),
        ("usage", "shared-cpu-1x in ams", Decimal(2)),
    ]
    assert platform.items() == [*usage, ("one_off", text, Decimal(144)), ("credit", text, Decimal(-20))]
    assert platform.items(OCTOBER) == [*usage, ("credit", text, Decimal(-20))]
    assert platform.totals() == [16_600, 2_200]


def test_twelve_months_of_full_use_cost_144_instead_of_240(platform: Platform) -> None:
    reserve(platform.database, year())
    for month in year().months:
        run(platform, month, "performance-1x", "ams")
        platform.close(month)
    assert platform.totals() == [14_400, *[0] * 11]
    run(platform, SEPTEMBER.plus(12), "performance-1x", "ams")
    platform.close(SEPTEMBER.plus(12))
    assert platform.totals()[-1] == 2_000


def test_the_unused_part_of_a_month_is_lost(platform: Platform) -> None:
    """10 days in September use 6.67; October has its own 20.00, for 30 + 15 days of 30.00."""
    reserve(platform.database, year())
    run(platform, SEPTEMBER, "performance-1x", "ams", days=10)
    platform.close()
    run(platform, OCTOBER, "performance-1x", "ams", days=45)
    platform.close(OCTOBER)
    assert platform.totals() == [14_400, 1_000]


def test_two_equal_reservations_have_two_numbers(platform: Platform) -> None:
    """45 days of 20.00 are 30.00: 20.00 by the first, 10.00 by the second."""
    assert reserve(platform.database, year())
    assert reserve(platform.database, year(number=2))
    run(platform, SEPTEMBER, "performance-1x", "ams", days=45)
    platform.close()
    assert sorted(platform.amounts("credit")) == [-20, -10]
    assert platform.totals() == [28_800]


def test_buying_the_same_reservation_again_records_it_once(platform: Platform) -> None:
    assert [reserve(platform.database, year()) for _ in range(3)] == [True, False, False]
    platform.close()
    assert not reserve(platform.database, year())
    (one_offs,) = platform.query("select count(*) as count, sum(amount) as sum from one_off_items")
    (credits_,) = platform.query("select count(*) as count, sum(amount) as sum from credit_grants")
    assert [*one_offs.values(), *credits_.values()] == [1, 144, 12, 240]


def test_a_reserved_month_is_not_bought_again_by_mistake_a_month_later(platform: Platform) -> None:
    reserve(platform.database, year())
    for first in (SEPTEMBER.plus(-11), OCTOBER, SEPTEMBER.plus(11)):
        with pytest.raises(ReservationRefused, match=r"from 2026-09 to 2027-08: to buy another one, add --number 2"):
            reserve(platform.database, year(first=first))
    assert reserve(platform.database, year(first=SEPTEMBER.plus(12)))
    assert reserve(platform.database, year("fra", first=OCTOBER))


def test_a_reservation_pays_before_prepaid_credit_and_prepaid_credit_pays_its_price(platform: Platform) -> None:
    """The reservation pays 15 days of 20.00; the 50.00 go towards the 144.00."""
    platform.grant("acme", "prepaid", "50")
    reserve(platform.database, year(first=OCTOBER))
    run(platform, OCTOBER, "performance-1x", "ams", days=15)
    platform.close(OCTOBER)
    drawn = {description: amount for kind, description, amount in platform.items(OCTOBER) if kind == "credit"}
    assert drawn == {year().description: -10, "prepaid": -50}


def test_the_command_answers_an_unknown_block_with_the_list_of_blocks() -> None:
    with pytest.raises(ReservationRefused, match="no reservation 'gold'; on offer are reservation/performance/20, "):
        find_block(BLOCKS, "gold")


@pytest.mark.parametrize(
    ("reservation", "message"),
    [
        (year("mars"), "has no price for region 'mars' in 2026-09: choose ams, fra"),
        (replace(year(), organization_id="nobody"), "no organization 'nobody'"),
        (year(first=BillingMonth(2024, 6)), "is on offer from 2024-07-19 on, not in 2024-06"),
        (replace(year(), block=replace(YEAR, currency="EUR")), "is in EUR, but acme is billed in USD"),
        (replace(year(), block=replace(YEAR, book="other")), "is of price book 'other', but acme has price book 'fly'"),
    ],
)
def test_an_unknown_block_is_refused_with_the_list_of_blocks(
    platform: Platform, reservation: Reservation, message: str
) -> None:
    with pytest.raises(ReservationRefused, match=message):
        reserve(platform.database, reservation)
    assert platform.query("select id from credit_grants union all select id from one_off_items") == []


def test_a_region_without_a_price_of_the_class_is_refused(platform: Platform) -> None:
    shared = find_block(BLOCKS, "reservation/shared/5")
    with pytest.raises(ReservationRefused, match="has no price for region 'fra' in 2026-09: choose ams"):
        reserve(platform.database, replace(year("fra"), block=shared))


def test_buying_for_a_linked_organization_names_the_organization_whose_credits_pay(platform: Platform) -> None:
    platform.add_organization("holding")
    platform.link("acme", "holding", NOVEMBER)
    with pytest.raises(ReservationRefused, match=r"on the invoice of holding .*: reserve the block for holding"):
        reserve(platform.database, year())
    assert reserve(platform.database, replace(year(), organization_id="holding"))


def test_a_final_month_can_not_be_reserved(platform: Platform) -> None:
    platform.close()
    with pytest.raises(ReservationRefused, match="the invoice of acme for 2026-09 is final"):
        reserve(platform.database, year())
    assert reserve(platform.database, year(first=OCTOBER))


def test_every_block_can_be_bought_in_every_region_where_flys_catalogue_has_its_machines() -> None:
    """40 % off each, in any of the 35 regions."""
    prices = read_price_book_files(SHIPPED / "fly").prices

    def offered(block: ReservationBlock) -> tuple[int, Decimal]:
        whole = block.monthly_credit * block.months
        return len(block.values(prices, SEPTEMBER.start)), block.upfront_amount / whole

    assert [offered(block) for block in BLOCKS] == [(35, Decimal("0.6"))] * 6


def test_the_command_shows_the_reservation_and_the_offers(platform: Platform, tmp_path: Path) -> None:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    names = {"DATABASE_URL": url, "DAGSTER_DATABASE_URL": url, "FLY_BILLING_DATA_DIR": str(tmp_path / "data")}

    def run_command(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("fly-billing")), "reserve", *arguments]
        return subprocess.run(
            command, env=os.environ | names, capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
        )

    bought = ("acme", YEAR.key, "ams", "--from", "2026-09")
    first, again, unknown = run_command(*bought), run_command(*bought), run_command("acme", "gold", "ams")
    assert first.stdout == (
        "acme: reserved: 20 USD a month of performance Machines in one region, for a year: ams. $144.00 on the invoice"
        " for 2026-09, for a credit of $20.00 in each month from 2026-09 to 2027-08.\n"
    )
    assert "acme: already reserved, nothing was written:" in again.stdout
    assert [first.returncode, again.returncode, unknown.returncode] == [0, 0, 2]
    assert "no reservation 'gold'; on offer are reservation/performance/20," in " ".join(unknown.stderr.split())
