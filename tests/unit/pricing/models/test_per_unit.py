"""Per unit: every unit costs the same."""

from decimal import Decimal

import pytest

from fly_billing.pricing.rules.models import PerUnit, PriceStep

MACHINE = PerUnit(Decimal("1.94"), Decimal(2_592_000))


def test_every_unit_costs_the_same() -> None:
    assert PerUnit(Decimal("5")).steps(Decimal(6)) == [PriceStep.of("all", Decimal(6), Decimal("5"))]
    assert PerUnit(Decimal("5")).steps(Decimal(6))[0].amount == Decimal("30")


def test_a_price_for_a_month_charges_its_seconds_in_proportion() -> None:
    assert MACHINE.steps(Decimal(2_592_000))[0].amount == Decimal("1.94")
    assert MACHINE.steps(Decimal(3_600))[0].amount == Decimal("0.00269444444444444444")


def test_earlier_usage_does_not_change_the_price() -> None:
    assert MACHINE.steps(Decimal(60), Decimal(1_000), Decimal(5_000)) == MACHINE.steps(Decimal(60))


def test_no_usage_makes_no_steps() -> None:
    assert MACHINE.steps(Decimal(0)) == []
    assert MACHINE.steps_at_zero() == []


@pytest.mark.parametrize(
    ("unit_amount", "per", "message"),
    [
        ("-0.01", "1", "unit_amount .* at least 0"),
        ("NaN", "1", "unit_amount .* finite"),
        ("0.0000000000001", "1", "unit_amount 0.0000000000001 has more than 12 decimals"),
        ("1", "0", "per must be above 0"),
        ("1", "-1", "per .* at least 0"),
        ("1", "Infinity", "per .* finite"),
    ],
)
def test_a_negative_price_or_a_price_per_zero_units_is_refused(unit_amount: str, per: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PerUnit(Decimal(unit_amount), Decimal(per))


def test_an_amount_may_have_12_decimals_and_trailing_zeros() -> None:
    assert PerUnit(Decimal("0.000000000001")).steps(Decimal(1_000_000))[0].amount == Decimal("0.000001")
    assert PerUnit(Decimal("0.0000000000010000")).unit_amount == Decimal("1e-12")


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    data = {"unit_amount": "1.940", "per": "2592000"}
    assert PerUnit.from_data(data) == MACHINE
    assert PerUnit.from_data(data).to_data() == data
    assert PerUnit.from_data({"unit_amount": 5}).to_data() == {"unit_amount": "5"}
