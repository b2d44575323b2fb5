"""A step is a line that a person can recalculate on a calculator."""

from decimal import Decimal

from fly_billing.pricing.rules.models import PriceStep


def test_a_step_is_quantity_times_unit_amount_by_per() -> None:
    step = PriceStep.of("all", Decimal(1500), Decimal("0.20"), Decimal(1000))
    assert step == PriceStep("all", Decimal(1500), Decimal("0.20"), Decimal(1000), Decimal("0.30"), Decimal(1500))


def test_a_fee_is_an_amount_for_no_units() -> None:
    fee = PriceStep.fee("flat fee", Decimal("10.00"))
    assert fee == PriceStep("flat fee", Decimal(1), Decimal("10.00"), Decimal(1), Decimal("10.00"), Decimal(0))


def test_a_step_as_data_keeps_every_digit() -> None:
    assert PriceStep.of("all", Decimal("1E+3"), Decimal("1.940"), Decimal(2_592_000)).as_data() == {
        "label": "all",
        "quantity": "1000",
        "unit_amount": "1.94",
        "per": "2592000",
        "amount": "0.00074845679012345679",
    }


def test_a_step_whose_units_differ_from_its_quantity_names_their_number() -> None:
    packages = PriceStep.of("packages of 1,000, rounded up", Decimal(3), Decimal(25), units=Decimal(2100))
    assert (packages.as_data()["quantity"], packages.as_data()["units"]) == ("3", "2100")
    assert PriceStep.fee("flat fee", Decimal(10)).as_data()["units"] == "0"
