"""Volume: the tier that the month's total reaches prices all of its units."""

from decimal import Decimal

import pytest

from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import PriceStep, Tier, Volume

# docs.stripe.com/subscriptions/pricing-models/tiered-pricing: fonts 1-5 at 7 USD, 6-10 at 6.50 USD, 11+ at 6 USD.
FONTS = Volume((Tier(Decimal(5), Decimal("7")), Tier(Decimal(10), Decimal("6.5")), Tier(None, Decimal("6"))))
# getlago.com/docs/guide/plans/charges/charge-models/volume: each tier has a fee of 10 USD.
CALLS = Volume(
    (
        Tier(Decimal(10_000), Decimal("0.0010"), Decimal(10)),
        Tier(Decimal(50_000), Decimal("0.0008"), Decimal(10)),
        Tier(Decimal(100_000), Decimal("0.0006"), Decimal(10)),
        Tier(None, Decimal("0.0004"), Decimal(10)),
    )
)


def amount(steps: list[PriceStep]) -> Decimal:
    return exact_sum([step.amount for step in steps])


@pytest.mark.parametrize(("fonts", "usd"), [("1", "7"), ("5", "35"), ("6", "39"), ("20", "120"), ("25", "150")])
def test_fonts_cost_what_stripes_documentation_says(fonts: str, usd: str) -> None:
    assert amount(FONTS.steps(Decimal(fonts))) == Decimal(usd)


def test_65000_calls_cost_what_lagos_documentation_says() -> None:
    """65,000 x 0.0006 + 10 = 49."""
    assert [(step.label, step.amount, step.units) for step in CALLS.steps(Decimal(65_000))] == [
        ("all at 50000 to 100000", Decimal(39), Decimal(65_000)),
        ("flat fee of 50000 to 100000", Decimal(10), Decimal(0)),
    ]


def test_a_tier_goes_up_to_and_including_its_bound() -> None:
    assert [FONTS.steps(Decimal(fonts))[0].label for fonts in ("5", "5.000000000000001", "10", "11")] == [
        "all at 0 to 5",
        "all at 5 to 10",
        "all at 5 to 10",
        "all at above 10",
    ]


def test_one_more_unit_may_cost_less_in_total() -> None:
    """10 x 6.5 = 65; 10.5 x 6 = 63."""
    assert [amount(FONTS.steps(Decimal(fonts))) for fonts in ("10", "10.5")] == [65, 63]


def test_a_price_may_be_per_several_units() -> None:
    assert amount(Volume(FONTS.tiers, Decimal(10)).steps(Decimal(6))) == Decimal("3.9")


def test_a_part_of_the_month_is_priced_by_the_tier_of_the_whole_month() -> None:
    """4 of 6 fonts: 4 x 6.5, the first part as well as the last."""
    assert amount(FONTS.steps(Decimal(4), Decimal(0), Decimal(6))) == Decimal(26)
    assert amount(FONTS.steps(Decimal(4), Decimal(2), Decimal(6))) == Decimal(26)
    assert amount(FONTS.steps(Decimal(4), Decimal(2))) == Decimal(26)


def test_the_flat_fee_is_charged_by_the_first_part() -> None:
    first, second = (CALLS.steps(Decimal(5_000), Decimal(used), Decimal(10_000)) for used in (0, 5_000))
    assert [amount(first), amount(second)] == [Decimal(15), Decimal(5)]


def test_only_the_first_flat_fee_can_be_owed_without_usage() -> None:
    assert CALLS.steps(Decimal(0)) == []
    assert CALLS.steps(Decimal(0), Decimal(5), Decimal(8)) == []
    assert [(step.label, step.amount) for step in CALLS.steps_at_zero()] == [("flat fee of 0 to 10000", Decimal(10))]
    assert FONTS.steps_at_zero() == []


def test_tiers_rise_and_only_the_last_one_is_unbounded() -> None:
    with pytest.raises(ValueError, match="volume tiers need an up_to each, and none on the last"):
        Volume((Tier(Decimal(5), Decimal(1)),))
    with pytest.raises(ValueError, match="volume tiers must rise from above 0"):
        Volume((Tier(Decimal(5), Decimal(1)), Tier(Decimal(5), Decimal(1)), Tier(None, Decimal(1))))
    with pytest.raises(ValueError, match="per must be above 0"):
        Volume(FONTS.tiers, Decimal(0))


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    data = {
        "tiers": [
            {"up_to": "5", "unit_amount": "7", "flat_amount": "1.50"},
            {"up_to": None, "unit_amount": "6.50"},
        ],
        "per": "10",
    }
    model = Volume.from_data(data)
    assert model == Volume((Tier(Decimal(5), Decimal(7), Decimal("1.5")), Tier(None, Decimal("6.5"))), per=Decimal(10))
    assert model.to_data() == data
    one_unit = {"tiers": [{"unit_amount": "7"}]}
    assert Volume.from_data(one_unit) == Volume((Tier(None, Decimal(7)),), per=Decimal(1))
