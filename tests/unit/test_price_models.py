"""A price model turns a quantity into steps that a person can add up again."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.domain.money import exact_sum
from fly_billing.domain.price_models import Graduated, PerUnit, PriceStep, Tier

# docs.stripe.com/subscriptions/pricing-models/tiered-pricing: fonts 1-5 at 7 USD, 6-10 at 6.50 USD, 11+ at 6 USD.
FONTS = Graduated(
    (Tier(Decimal(5), Decimal("7")), Tier(Decimal(10), Decimal("6.5")), Tier(None, Decimal("6"))),
)


def amount(steps: list[PriceStep]) -> Decimal:
    return exact_sum([step.amount for step in steps])


def test_per_unit_every_unit_costs_the_same() -> None:
    assert PerUnit(Decimal("5")).steps(Decimal(6)) == [
        PriceStep("all", Decimal(6), Decimal("5"), Decimal(1), Decimal("30"))
    ]


def test_a_price_for_a_month_charges_its_seconds_in_proportion() -> None:
    month = PerUnit(Decimal("1.94"), Decimal(2_592_000))
    assert amount(month.steps(Decimal(2_592_000))) == Decimal("1.94")
    assert amount(month.steps(Decimal(3_600))) == Decimal("0.00269444444444444444")


def test_nothing_used_has_no_steps() -> None:
    assert PerUnit(Decimal("5")).steps(Decimal(0)) == []
    assert FONTS.steps(Decimal(0)) == []


@pytest.mark.parametrize(
    ("fonts", "usd"), [("1", "7"), ("5", "35"), ("6", "41.5"), ("10", "67.5"), ("20", "127.5"), ("25", "157.5")]
)
def test_graduated_fonts_cost_what_stripes_documentation_says(fonts: str, usd: str) -> None:
    assert amount(FONTS.steps(Decimal(fonts))) == Decimal(usd)


def test_a_tier_goes_up_to_and_including_its_bound() -> None:
    assert [(step.label, step.quantity) for step in FONTS.steps(Decimal(5))] == [("0 to 5", Decimal(5))]
    assert [(step.label, step.quantity, step.amount) for step in FONTS.steps(Decimal("10.5"))] == [
        ("0 to 5", Decimal(5), Decimal("35")),
        ("5 to 10", Decimal(5), Decimal("32.5")),
        ("above 10", Decimal("0.5"), Decimal("3")),
    ]


def test_a_fraction_above_a_bound_is_charged_in_the_next_tier() -> None:
    assert amount(FONTS.steps(Decimal("5.000000000000001"))) == Decimal("35.0000000000000065")


def test_graduated_prices_may_be_for_many_units() -> None:
    """1,000,000 free, then 0.20 for every 1,000,000: 3,500,000 cost 2.5 x 0.20."""
    million = Decimal(1_000_000)
    requests = Graduated((Tier(million, Decimal(0)), Tier(None, Decimal("0.20"))), million)
    assert amount(requests.steps(Decimal(3_500_000))) == Decimal("0.50")
    assert amount(requests.steps(million)) == 0


@pytest.mark.parametrize(
    "bounds", [[], ["5"], ["5", "5", None], ["10", "5", None], ["0", None], ["-1", None], [None, None], [None, "5"]]
)
def test_tiers_rise_and_only_the_last_one_is_open(bounds: list[str | None]) -> None:
    tiers = tuple(Tier(None if bound is None else Decimal(bound), Decimal(1)) for bound in bounds)
    with pytest.raises(ValueError, match="graduated tiers"):
        Graduated(tiers)


@given(
    st.decimals(0, Decimal("1e20"), places=15),
    st.lists(st.decimals(Decimal("0.001"), Decimal("1e20"), places=3), unique=True, max_size=6),
)
def test_no_unit_is_lost_across_tiers(quantity: Decimal, bounds: list[Decimal]) -> None:
    tiers = [Tier(bound, Decimal(1)) for bound in sorted(bounds)]
    steps = Graduated((*tiers, Tier(None, Decimal(1)))).steps(quantity)
    assert exact_sum([step.quantity for step in steps]) == quantity
    assert amount(steps) == quantity
    assert all(step.quantity > 0 for step in steps)


def test_a_step_is_data_without_losing_a_digit() -> None:
    assert PriceStep.of("all", Decimal("1E+3"), Decimal("1.940"), Decimal(2_592_000)).as_data() == {
        "label": "all",
        "quantity": "1000",
        "unit_amount": "1.94",
        "per": "2592000",
        "amount": "0.00074845679012345679",
    }
