"""A reservation block is a year of usage paid in advance: its price, its credit, and the usage that it pays for."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.reservations import Reservation, ReservationBlock
from tests.support.builders import OCTOBER, SEPTEMBER, at, price

DATA = {
    "key": "shared/5",
    "description": "5 USD a month",
    "upfront_amount": "36.00",
    "monthly_credit": "5.00",
    "months": 12,
    "meter": "machine_seconds",
    "match": {"preset": ["shared-cpu-1x"]},
    "bound_to": "region",
    "effective_from": "2024-07-19",
}


def test_36_dollars_for_12_months_of_5_are_40_percent_off() -> None:
    block = ReservationBlock.from_data("fly", DATA)
    assert block.discount == Fraction(40, 100)
    assert (block.currency, block.match, block.bound_to) == ("USD", {"preset": ("shared-cpu-1x",)}, "region")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upfront_amount": 36.0}, r"upfront_amount 36\.0 is a float"),
        ({"upfront_amount": "0.0000000000001"}, "upfront_amount .* more than 12 decimals"),
        ({"monthly_credit": "0"}, "monthly_credit must be above 0"),
        ({"monthly_credit": "0.0000000000001"}, "monthly_credit .* more than 12 decimals"),
        ({"months": 0}, "months must be above 0"),
        ({"months": "1y"}, "months '1y' is not a whole number"),
        ({"month": 12}, r"unknown field 'month' in a reservation"),
        ({"book": "fly"}, r"unknown field 'book' in a reservation"),
        ({"bound_to": None}, "bound_to is missing"),
    ],
)
def test_an_unreadable_block_is_named_with_its_invalid_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"reservation fly/shared/5: {message}"):
        ReservationBlock.from_data("fly", DATA | changes)


def test_a_block_is_read_with_all_its_terms() -> None:
    assert ReservationBlock.from_data("fly", DATA | {"currency": "EUR"}) == ReservationBlock(
        book="fly",
        key="shared/5",
        description="5 USD a month",
        currency="EUR",
        upfront_amount=Decimal(36),
        monthly_credit=Decimal(5),
        months=12,
        meter="machine_seconds",
        match={"preset": ("shared-cpu-1x",)},
        bound_to="region",
        effective_from=at("2024-07-19"),
    )


def test_a_block_without_a_key_is_named_with_a_question_mark() -> None:
    with pytest.raises(ValueError, match=r"^reservation fly/\?: key is missing$"):
        ReservationBlock.from_data("fly", {name: value for name, value in DATA.items() if name != "key"})


def test_a_block_for_a_cent_a_month_can_be_sold() -> None:
    block = ReservationBlock.from_data("fly", DATA | {"monthly_credit": "0.01", "upfront_amount": "0", "months": 1})
    assert (block.monthly_credit, block.months, block.discount) == (Decimal("0.01"), 1, Fraction(1))


# The scope of a block ------------------------------------------------------------------------------------------

BLOCK = ReservationBlock.from_data("fly", DATA)


def machine(key: str, **match: str | tuple[str, ...]) -> Any:
    listed = {name: (values,) if isinstance(values, str) else values for name, values in match.items()}
    return price(key, "1", "machine_seconds", match=listed)


def test_a_block_can_be_reserved_in_each_region_with_a_price_for_its_usage() -> None:
    prices = [
        machine("fra", preset="shared-cpu-1x", region="fra"),
        machine("ams", preset="shared-cpu-1x", region="ams"),
        machine("ams-again", preset="shared-cpu-1x", region="ams", memory="1GB"),
        machine("performance", preset="performance-1x", region="gru"),
        machine("any-preset", region="hkg"),
        machine("both-presets", preset=("shared-cpu-1x", "performance-1x"), region="iad"),
        machine("everywhere", preset="shared-cpu-1x"),
        machine("two-regions", preset="shared-cpu-1x", region=("jnb", "lhr")),
        replace(machine("gone", preset="shared-cpu-1x", region="mad"), effective_until=at("2026-09-01")),
        replace(machine("volume", preset="shared-cpu-1x", region="nrt"), meter="volume_gb_hours"),
    ]
    assert BLOCK.values(prices, at("2026-09-01")) == ["ams", "fra"]


def test_a_block_for_several_presets_covers_prices_whose_presets_are_all_among_them() -> None:
    block = replace(BLOCK, match={"preset": ("shared-cpu-1x", "shared-cpu-2x")})
    prices = [
        machine("one", preset="shared-cpu-2x", region="ams"),
        machine("both", preset=("shared-cpu-1x", "shared-cpu-2x"), region="fra"),
        machine("one-too-many", preset=("shared-cpu-2x", "performance-1x"), region="gru"),
    ]
    assert block.values(prices, at("2026-09-01")) == ["ams", "fra"]


# Buying ------------------------------------------------------------------------------------------------------------

BOUGHT = Reservation(BLOCK, "acme", "ams", OCTOBER)


def test_a_year_bought_in_october_ends_with_next_september() -> None:
    assert BOUGHT.description == "5 USD a month: ams"
    assert (BOUGHT.last_month, len(BOUGHT.months)) == (BillingMonth(2027, 9), 12)
    assert (BOUGHT.months[0], BOUGHT.months[2], BOUGHT.months[-1]) == (
        OCTOBER, BillingMonth(2026, 12), BillingMonth(2027, 9),
    )  # fmt: skip


def test_the_credits_of_a_block_pay_only_its_usage_in_its_region() -> None:
    assert BOUGHT.scope == {"meter": "machine_seconds", "match": {"preset": ["shared-cpu-1x"], "region": ["ams"]}}


def test_a_purchase_has_the_same_id_in_every_release_and_is_charged_once() -> None:
    assert BOUGHT.id == UUID("1d5caac4-65e8-5a89-9be1-0790bc35a239")
    assert BOUGHT.credit_id(OCTOBER) == UUID("492563b1-2861-5ca5-994a-4a76bfec76b2")


@pytest.mark.parametrize(
    "other",
    [
        replace(BOUGHT, organization_id="bolt"),
        replace(BOUGHT, value="fra"),
        replace(BOUGHT, number=2),
        replace(BOUGHT, first_month=SEPTEMBER),
        replace(BOUGHT, block=replace(BLOCK, key="shared/10")),
        replace(BOUGHT, block=replace(BLOCK, book="fly-2027")),
    ],
)
def test_another_purchase_has_other_ids(other: Reservation) -> None:
    assert other.id != BOUGHT.id
    assert other.credit_id(OCTOBER) != BOUGHT.credit_id(OCTOBER)


def test_each_month_has_its_own_credit() -> None:
    assert len({BOUGHT.credit_id(month) for month in BOUGHT.months}) == 12


def test_a_block_can_not_begin_in_a_month_that_it_already_covers() -> None:
    """Of a block for 3 months from October on, those that begin from August to December share a month with it."""
    three = replace(BOUGHT, block=replace(BLOCK, months=3))
    assert [str(reservation.first_month) for reservation in three.overlapping()] == [
        "2026-08",
        "2026-09",
        "2026-11",
        "2026-12",
    ]
    assert three.overlapping()[0] == replace(three, first_month=BillingMonth(2026, 8))
