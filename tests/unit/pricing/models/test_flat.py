"""Flat: one amount a month, however much was used."""

from decimal import Decimal

import pytest

from fly_billing.pricing.rules.models import Flat

CLUSTER = Flat(Decimal("75.00"))


@pytest.mark.parametrize("used", ["0.001", "1", "1000000"])
def test_the_amount_is_the_same_however_much_was_used(used: str) -> None:
    (step,) = CLUSTER.steps(Decimal(used))
    assert (step.label, step.quantity, step.unit_amount, step.amount, step.units) == (
        "flat amount",
        Decimal(1),
        Decimal("75.00"),
        Decimal("75.00"),
        Decimal(used),
    )


def test_it_is_charged_once_a_month() -> None:
    (step,) = CLUSTER.steps(Decimal(3), Decimal(2))
    assert (step.label, step.amount, step.units) == ("already charged in this month", Decimal(0), Decimal(3))


def test_nothing_used_has_no_steps_unless_it_is_always_owed() -> None:
    assert CLUSTER.steps(Decimal(0)) == []
    assert [(step.label, step.amount, step.units) for step in CLUSTER.steps_at_zero()] == [
        ("flat amount", Decimal("75.00"), Decimal(0))
    ]


def test_it_is_read_from_data_and_written_as_it_was() -> None:
    assert Flat.from_data({"flat_amount": "75.00"}) == CLUSTER
    assert CLUSTER.to_data() == {"flat_amount": "75.00"}
    with pytest.raises(ValueError, match="flat_amount is missing"):
        Flat.from_data({})
    with pytest.raises(ValueError, match=r"flat_amount .* has more than 12 decimals"):
        Flat.from_data({"flat_amount": "0.0000000000001"})
