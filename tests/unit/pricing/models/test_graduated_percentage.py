"""Graduated percentage: a percentage of an amount of money, by tier."""

from decimal import Decimal

import pytest

from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import GraduatedPercentage, PercentTier

# getlago.com/docs/guide/plans/charges/charge-models/graduated-percentage.
PAYMENTS = GraduatedPercentage(
    (
        PercentTier(Decimal(1_000), Decimal(1), Decimal(200)),
        PercentTier(Decimal(10_000), Decimal(2), Decimal(300)),
        PercentTier(None, Decimal(3), Decimal(400)),
    )
)


def amount(quantity: str, already_used: str = "0") -> Decimal:
    return exact_sum([step.amount for step in PAYMENTS.steps(Decimal(quantity), Decimal(already_used))])


def test_three_payments_cost_what_lagos_documentation_says() -> None:
    """500: 5 + 200. 550 more: 500 x 1 % + 50 x 2 % + 300. 4,000 more: 4,000 x 2 %."""
    assert [amount("500"), amount("550", "500"), amount("4000", "1050")] == [205, 306, 80]
    assert amount("5050") == 205 + 306 + 80


def test_the_percentage_can_be_recalculated_on_a_calculator() -> None:
    assert [
        (step.label, step.quantity, step.unit_amount, step.per, step.amount) for step in PAYMENTS.steps(Decimal(1_050))
    ][:3] == [
        ("0 to 1000", Decimal(1_000), Decimal(1), Decimal(100), Decimal(10)),
        ("flat fee of 0 to 1000", Decimal(1), Decimal(200), Decimal(1), Decimal(200)),
        ("1000 to 10000", Decimal(50), Decimal(2), Decimal(100), Decimal(1)),
    ]


def test_a_tier_goes_up_to_and_including_its_bound() -> None:
    assert amount("1000") == Decimal(210)
    assert amount("1000.01") == Decimal("510.0002")


def test_only_the_first_flat_fee_can_be_owed_without_an_amount() -> None:
    assert PAYMENTS.steps(Decimal(0)) == []
    assert [step.amount for step in PAYMENTS.steps_at_zero()] == [Decimal(200)]


def test_a_tier_has_no_fee_unless_it_names_one() -> None:
    assert GraduatedPercentage((PercentTier(None, Decimal(2)),)).steps_at_zero() == []


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    data = {
        "tiers": [
            {"up_to": "1000", "percent": "1", "flat_amount": "200"},
            {"up_to": "10000", "percent": "2", "flat_amount": "300"},
            {"up_to": None, "percent": "3", "flat_amount": "400"},
        ]
    }
    assert GraduatedPercentage.from_data(data) == PAYMENTS
    assert PAYMENTS.to_data() == data
    assert GraduatedPercentage.from_data({"tiers": [{"percent": "2.5"}]}).to_data() == {
        "tiers": [{"up_to": None, "percent": "2.5"}]
    }


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ([{"percent": "1", "unit_amount": "1"}], r"unknown field 'unit_amount' in a tier"),
        ([{"flat_amount": "1"}], "percent is missing"),
        ([{"percent": "1", "up_to": "5"}], "graduated_percentage tiers need an up_to each, and none on the last"),
        ([{"percent": "0.0000000000001"}], "percent .* more than 12 decimals"),
        ([{"percent": "1", "flat_amount": "0.0000000000001"}], "flat_amount .* more than 12 decimals"),
    ],
)
def test_unreadable_tiers_are_refused(tiers: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraduatedPercentage.from_data({"tiers": tiers})
