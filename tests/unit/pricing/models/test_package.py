"""Package: units are sold in whole packages."""

from decimal import Decimal

import pytest

from fly_billing.pricing.rules.models import Package

# docs.stripe.com/billing/subscriptions/usage-based/transform-quantities, and its former page "Quantity transformation".
FIVE_USERS = Package(Decimal("10"), Decimal(5))
# Kong's (OpenMeter's) page "Pricing models": 10 USD for a package of 20.
TWENTY = Package(Decimal("10"), Decimal(20))
DOWN = Package(Decimal("10"), Decimal(5), "down")


def amount(model: Package, quantity: str, already_used: str = "0") -> Decimal:
    return sum((step.amount for step in model.steps(Decimal(quantity), Decimal(already_used))), Decimal(0))


@pytest.mark.parametrize(("users", "usd"), [("1", "10"), ("3", "10"), ("5", "10"), ("6", "20"), ("7", "20")])
def test_10_usd_for_every_5_users_cost_what_stripes_documentation_says(users: str, usd: str) -> None:
    assert amount(FIVE_USERS, users) == Decimal(usd)


def test_150_minutes_at_10_usd_an_hour_cost_three_hours_as_in_stripes_documentation() -> None:
    assert amount(Package(Decimal("10"), Decimal(60)), "150") == Decimal("30")


@pytest.mark.parametrize(("units", "usd"), [("0", "0"), ("20", "10"), ("20.1", "20"), ("98", "50")])
def test_packages_of_20_cost_what_kongs_documentation_says(units: str, usd: str) -> None:
    assert amount(TWENTY, units) == Decimal(usd)


@pytest.mark.parametrize(("tokens", "usd"), [("10", "1.25"), ("1000000", "1.25"), ("1500000", "2.50")])
def test_a_million_tokens_cost_what_chargebees_documentation_says(tokens: str, usd: str) -> None:
    """chargebee.com/docs/billing/2.0/product-catalog/package-pricing: 1.25 USD per package of 1M tokens."""
    assert amount(Package(Decimal("1.25"), Decimal(1_000_000)), tokens) == Decimal(usd)


@pytest.mark.parametrize(("units", "usd"), [("4.999", "0"), ("5", "10"), ("9.999", "10"), ("10", "20")])
def test_a_package_rounded_down_is_charged_only_when_it_is_full(units: str, usd: str) -> None:
    assert amount(DOWN, units) == Decimal(usd)


def test_2100_requests_are_three_packages_of_1000() -> None:
    (step,) = Package(Decimal("25"), Decimal(1000)).steps(Decimal(2100))
    assert (step.label, step.quantity, step.unit_amount, step.per, step.amount, step.units) == (
        "packages of 1,000, rounded up",
        Decimal(3),
        Decimal("25"),
        Decimal(1),
        Decimal("75"),
        Decimal(2100),
    )
    (step,) = Package(Decimal("25"), Decimal(1000), "down").steps(Decimal(600))
    assert (step.label, step.quantity, step.amount, step.units) == (
        "packages of 1,000, rounded down",
        Decimal(0),
        Decimal(0),
        Decimal(600),
    )


def test_a_package_may_be_less_than_a_unit() -> None:
    assert amount(Package(Decimal("1"), Decimal("0.25")), "1.01") == Decimal(5)


def test_a_package_begun_earlier_is_not_charged_again() -> None:
    """1,500 begin two packages; 500 more fill the second; one more begins the third."""
    thousand = Package(Decimal("25"), Decimal(1000))
    assert [amount(thousand, *part) for part in (("1500",), ("500", "1500"), ("1", "2000"))] == [50, 0, 25]


def test_units_below_a_full_package_count_for_the_next_package() -> None:
    assert [amount(DOWN, *part) for part in (("4",), ("1", "4"), ("4.5", "5"))] == [0, 10, 0]


def test_any_number_of_packages_is_counted_exactly() -> None:
    tiny = Package(Decimal("1"), Decimal("0.000000000000001"))
    assert tiny.steps(Decimal("12345678901234567890.000000000000001"))[0].quantity == Decimal(
        "12345678901234567890000000000000001"
    )


def test_no_usage_makes_no_steps() -> None:
    assert FIVE_USERS.steps(Decimal(0)) == []
    assert FIVE_USERS.steps(Decimal(0), Decimal(3)) == []
    assert FIVE_USERS.steps_at_zero() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("1", "0", "up"), "per must be above 0"),
        (("-1", "5", "up"), "unit_amount .* at least 0"),
        (("1", "5", "half-up"), "round 'half-up'; known are up, down"),
    ],
)
def test_an_invalid_package_is_refused(arguments: tuple[str, str, str], message: str) -> None:
    unit_amount, per, rounding = arguments
    with pytest.raises(ValueError, match=message):
        Package(Decimal(unit_amount), Decimal(per), rounding)


def test_the_model_is_read_from_data_and_written_back_unchanged() -> None:
    data = {"unit_amount": "10", "per": "5", "round": "down"}
    assert Package.from_data(data) == DOWN
    assert DOWN.to_data() == data
    assert Package.from_data({"unit_amount": "10", "per": "5"}) == FIVE_USERS
    with pytest.raises(ValueError, match="per is missing"):
        Package.from_data({"unit_amount": "10"})
