"""Flat: one amount a month for any quantity."""

from decimal import Decimal

import pytest

from fly_billing.pricing.rules.models import Flat

CLUSTER = Flat(Decimal("75.00"))


@pytest.mark.parametrize("used", ["0.001", "1", "1000000"])
def test_the_amount_is_the_same_for_any_quantity(used: str) -> None:
    (step,) = CLUSTER.steps(Decimal(used))
    assert (step.label, step.quantity, step.unit_amount, step.amount, step.units) == (
        "flat amount",
        Decimal(1),
        Decimal("75.00"),
        Decimal("75.00"),
        Decimal(used),
    )


def test_the_amount_is_charged_once_a_month() -> None:
    (step,) = CLUSTER.steps(Decimal(3), Decimal(2))
    assert (step.label, step.amount, step.units) == ("already charged in this month", Decimal(0), Decimal(3))


def test_no_usage_makes_no_steps_unless_the_amount_is_always_owed() -> None:
    assert CLUSTER.steps(Decimal(0)) == []
    assert [(step.label, step.amount, step.units) for step in CLUSTER.steps_at_zero()] == [
        ("flat amount", Decimal("75.00"), Decimal(0))
    ]


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    assert Flat.from_data({"flat_amount": "75.00"}) == CLUSTER
    assert CLUSTER.to_data() == {"flat_amount": "75.00"}
    with pytest.raises(ValueError, match="flat_amount is missing"):
        Flat.from_data({})
    with pytest.raises(ValueError, match=r"flat_amount .* has more than 12 decimals"):
        Flat.from_data({"flat_amount": "0.0000000000001"})
