"""Graduated: each unit costs the price of its own tier."""

from decimal import Decimal

import pytest

from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import Graduated, PriceStep, Tier

# docs.stripe.com/subscriptions/pricing-models/tiered-pricing: fonts 1-5 at 7 USD, 6-10 at 6.50 USD, 11+ at 6 USD.
FONTS = Graduated(
    (Tier(Decimal(5), Decimal("7")), Tier(Decimal(10), Decimal("6.5")), Tier(None, Decimal("6"))),
)
# Kong's (OpenMeter's) page "Pricing models", "Flat prices in tiers".
OVERAGE = Graduated((Tier(Decimal(1000), Decimal(0), Decimal("500")), Tier(None, Decimal("0.1"))))
TWO_FEES = Graduated((Tier(Decimal(5), Decimal(1), Decimal(10)), Tier(None, Decimal(2), Decimal(20))))


def amount(steps: list[PriceStep]) -> Decimal:
    return exact_sum([step.amount for step in steps])


@pytest.mark.parametrize(
    ("fonts", "usd"), [("1", "7"), ("5", "35"), ("6", "41.5"), ("10", "67.5"), ("20", "127.5"), ("25", "157.5")]
)
def test_fonts_cost_what_stripes_documentation_says(fonts: str, usd: str) -> None:
    assert amount(FONTS.steps(Decimal(fonts))) == Decimal(usd)


def test_6000_units_cost_what_kongs_documentation_says() -> None:
    """1,000 x 0.3 + 4,000 x 0.2 + 1,000 x 0.1."""
    tiers = (
        Tier(Decimal(1000), Decimal("0.3")),
        Tier(Decimal(5000), Decimal("0.2")),
        Tier(None, Decimal("0.1")),
    )
    assert amount(Graduated(tiers).steps(Decimal(6000))) == Decimal(1200)


def test_a_tier_goes_up_to_and_including_its_bound() -> None:
    assert [(step.label, step.quantity) for step in FONTS.steps(Decimal(5))] == [("0 to 5", Decimal(5))]
    assert [(step.label, step.quantity, step.amount) for step in FONTS.steps(Decimal("10.5"))] == [
        ("0 to 5", Decimal(5), Decimal("35")),
        ("5 to 10", Decimal(5), Decimal("32.5")),
        ("above 10", Decimal("0.5"), Decimal("3")),
    ]


def test_a_fraction_above_a_bound_is_charged_in_the_next_tier() -> None:
    assert amount(FONTS.steps(Decimal("5.000000000000001"))) == Decimal("35.0000000000000065")


def test_a_price_may_be_per_several_units() -> None:
    """1,000,000 free, then 0.20 for every 1,000,000: 3,500,000 cost 2.5 x 0.20."""
    million = Decimal(1_000_000)
    requests = Graduated((Tier(million, Decimal(0)), Tier(None, Decimal("0.20"))), million)
    assert amount(requests.steps(Decimal(3_500_000))) == Decimal("0.50")
    assert amount(requests.steps(million)) == 0


def test_the_flat_fee_of_a_tier_is_owed_as_soon_as_the_tier_is_reached() -> None:
    """500 + 1,000 x 0.1 = 600 for 2,000 units, as Kong's documentation says."""
    assert amount(OVERAGE.steps(Decimal(2000))) == Decimal(600)
    assert amount(OVERAGE.steps(Decimal("0.001"))) == Decimal(500)
    assert [(step.label, step.units, step.amount) for step in TWO_FEES.steps(Decimal(6))] == [
        ("0 to 5", Decimal(5), Decimal(5)),
        ("flat fee of 0 to 5", Decimal(0), Decimal(10)),
        ("above 5", Decimal(1), Decimal(2)),
        ("flat fee of above 5", Decimal(0), Decimal(20)),
    ]


def test_usage_at_a_bound_does_not_reach_the_next_tier() -> None:
    assert amount(TWO_FEES.steps(Decimal(5))) == Decimal(15)


def test_only_the_first_flat_fee_can_be_owed_without_usage() -> None:
    assert OVERAGE.steps(Decimal(0)) == []
    assert amount(OVERAGE.steps_at_zero()) == Decimal(500)
    assert [step.label for step in TWO_FEES.steps_at_zero()] == ["flat fee of 0 to 5"]
    assert FONTS.steps_at_zero() == []


def test_a_later_part_of_the_month_continues_in_the_tier_of_the_earlier_part() -> None:
    """4 fonts, then 3: 4 x 7, then 7 + 2 x 6.5. Restarted tiers would make it 3 x 7."""
    assert amount(FONTS.steps(Decimal(4))) == Decimal(28)
    assert [(step.label, step.quantity) for step in FONTS.steps(Decimal(3), Decimal(4))] == [
        ("0 to 5", Decimal(1)),
        ("5 to 10", Decimal(2)),
    ]
    assert [step.label for step in FONTS.steps(Decimal(1), Decimal(5))] == ["5 to 10"]
    assert [step.label for step in FONTS.steps(Decimal(1), Decimal(100))] == ["above 10"]


def test_a_flat_fee_is_charged_only_by_the_part_that_enters_its_tier() -> None:
    """5 units fill the first tier; the next unit enters the second, the one after is inside it."""
    assert [amount(TWO_FEES.steps(Decimal(n), Decimal(used))) for n, used in ((5, 0), (1, 5), (1, 6))] == [15, 22, 2]


def test_a_later_part_without_usage_makes_no_steps() -> None:
    assert TWO_FEES.steps(Decimal(0), Decimal(5)) == []
    assert TWO_FEES.steps(Decimal(0), Decimal(3)) == []


@pytest.mark.parametrize(
    "bounds", [[], ["5"], ["5", "5", None], ["10", "5", None], ["0", None], ["-1", None], [None, None], [None, "5"]]
)
def test_tiers_rise_and_only_the_last_one_is_unbounded(bounds: list[str | None]) -> None:
    tiers = tuple(Tier(None if bound is None else Decimal(bound), Decimal(1)) for bound in bounds)
    with pytest.raises(ValueError, match="graduated tiers"):
        Graduated(tiers)


def test_a_first_tier_may_end_below_one_unit() -> None:
    """0.5 x 4 + 0.5 x 2."""
    halves = Graduated((Tier(Decimal("0.5"), Decimal(4)), Tier(None, Decimal(2))))
    assert amount(halves.steps(Decimal(1))) == Decimal(3)


def test_a_negative_amount_or_an_amount_per_zero_units_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unit_amount .* at least 0"):
        Tier(None, Decimal(-1))
    with pytest.raises(ValueError, match=r"flat_amount .* has more than 12 decimals"):
        Tier(None, Decimal(1), Decimal("0.0000000000001"))
    with pytest.raises(ValueError, match="per must be above 0"):
        Graduated(FONTS.tiers, Decimal(0))


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    data = {
        "tiers": [
            {"up_to": "1000", "unit_amount": "0", "flat_amount": "500.00"},
            {"up_to": None, "unit_amount": "0.10"},
        ],
        "per": "10",
    }
    model = Graduated.from_data(data)
    assert model == Graduated(OVERAGE.tiers, Decimal(10))
    assert model.to_data() == data
    short = {"tiers": [{"up_to": 1000, "flat_amount": "500"}, {"unit_amount": "0.1"}]}
    assert Graduated.from_data(short) == OVERAGE


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (None, "^tiers is missing$"),
        ("ten", "is not a list of tiers"),
        ([5], "is not a list of tiers"),
        ([{"unit_amount": "1", "upto": "5"}], r"unknown field 'upto' in a tier"),
        ([{"up_to": "5"}, {"unit_amount": "1"}], "unit_amount is missing"),
        ([{"up_to": "5", "unit_amount": "1"}, {}], "unit_amount is missing"),
        ([{"up_to": 5.5, "unit_amount": "1"}, {"unit_amount": "1"}], "up_to 5.5 is a float"),
        ([{"up_to": "five", "unit_amount": "1"}, {"unit_amount": "1"}], "up_to 'five' is not a number"),
    ],
)
def test_unreadable_tiers_are_refused(tiers: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graduated.from_data({"tiers": tiers})


def test_every_wrong_tier_is_named() -> None:
    tiers = [{"up_to": 10, "unit_amount": "x"}, {"up_to": "y", "unit_amount": 1}, {"unit_amount": 1, "upto": 3}]
    with pytest.raises(ValueError, match=r"^tiers 1: unit_amount 'x' .*; tiers 2: up_to 'y' .*; tiers 3: unknown"):
        Graduated.from_data({"tiers": tiers})
    with pytest.raises(ValueError, match=r"^up_to 'y'"):
        Graduated.from_data({"tiers": [tiers[1], {"unit_amount": 1}]})
