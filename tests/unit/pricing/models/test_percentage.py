"""Percentage: a percentage of an amount of money."""

from decimal import Decimal

import pytest

from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import Percentage, PriceStep

# getlago.com/docs/guide/plans/charges/charge-models/percentage: 1.2 % and 0.10.
TRANSFERS = Percentage(Decimal("1.2"), Decimal("0.10"))


def amount(steps: list[PriceStep]) -> Decimal:
    return exact_sum([step.amount for step in steps])


def test_50_usd_cost_what_lagos_documentation_says() -> None:
    """1.2 % of 50 are 0.60, and 0.10."""
    assert amount(TRANSFERS.steps(Decimal(50))) == Decimal("0.70")


def test_the_percentage_can_be_recalculated_on_a_calculator() -> None:
    share, fee = TRANSFERS.steps(Decimal("200.50"))
    assert (share.label, share.quantity, share.unit_amount, share.per, share.amount, share.units) == (
        "percent of all",
        Decimal("200.50"),
        Decimal("1.2"),
        Decimal(100),
        Decimal("2.406"),
        Decimal("200.50"),
    )
    assert (fee.label, fee.amount, fee.units) == ("flat fee", Decimal("0.10"), Decimal(0))


def test_the_flat_fee_is_charged_once_a_month() -> None:
    assert amount(TRANSFERS.steps(Decimal(50), Decimal(1))) == Decimal("0.60")


def test_no_amount_makes_no_steps_unless_the_fee_is_always_owed() -> None:
    assert TRANSFERS.steps(Decimal(0)) == []
    assert amount(TRANSFERS.steps_at_zero()) == Decimal("0.10")
    assert Percentage(Decimal(3)).steps_at_zero() == []


def test_a_price_without_a_fee_makes_no_step_for_it() -> None:
    assert [step.amount for step in Percentage(Decimal(3)).steps(Decimal(10))] == [Decimal("0.3")]


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    assert Percentage.from_data({"percent": "1.2", "flat_amount": "0.10"}) == TRANSFERS
    assert TRANSFERS.to_data() == {"percent": "1.2", "flat_amount": "0.10"}
    assert Percentage(Decimal(3)).to_data() == {"percent": "3"}
    assert Percentage.from_data({"percent": 3}) == Percentage(Decimal(3))
    for data, message in (
        ({}, "percent is missing"),
        ({"percent": "-1"}, "percent .* at least 0"),
        ({"percent": "0.0000000000001"}, "percent .* more than 12 decimals"),
        ({"percent": "1", "flat_amount": "-1"}, "flat_amount .* at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Percentage.from_data(data)
    with pytest.raises(ValueError, match=r"flat_amount .* more than 12 decimals"):
        Percentage(Decimal(1), Decimal("0.0000000000001"))
