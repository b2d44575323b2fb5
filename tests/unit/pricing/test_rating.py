"""Rating: the cost of a quantity under a price, from plain values, with every step of the calculation."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from fly_billing.money import exact_sum
from fly_billing.pricing.rules.models import Flat, Graduated, Package, PerUnit, PriceModel, Tier, Volume
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import Rated, rate, rate_month
from tests.support.builders import at, price

# docs.stripe.com/subscriptions/pricing-models/tiered-pricing: fonts 1-5 at 7 USD, 6-10 at 6.50 USD, 11+ at 6 USD.
FONT_TIERS = (Tier(Decimal(5), Decimal("7")), Tier(Decimal(10), Decimal("6.5")), Tier(None, Decimal("6")))
FEE_TIERS = (Tier(Decimal(5), Decimal(1), Decimal(10)), Tier(None, Decimal(2), Decimal(20)))


def priced(model: PriceModel, **changes: Any) -> Price:
    return price("fonts", "0", "fonts", model=model, **changes)


def per_unit(unit_amount: str, **changes: Any) -> Price:
    return price("requests", unit_amount, "requests", **changes)


def amounts(rated: list[Rated]) -> list[Decimal]:
    return [segment.amount for segment in rated]


def labels(rated: Rated) -> list[str]:
    return [step.label for step in rated.steps]


# --- From plain values ---------------------------------------------------------------------------------------------


def test_a_price_is_rated_from_plain_values_in_one_call() -> None:
    """110 GB, 100 of them free: 10 x 0.02."""
    rated = rate({"unit_amount": "0.02", "free_allowance": "100"}, 110)
    assert (rated.quantity, rated.allowance_used, rated.amount, rated.currency) == (
        Decimal(110),
        Decimal(100),
        Decimal("0.20"),
        "USD",
    )
    assert json.loads(json.dumps(rated.as_data())) == {
        "quantity": "110",
        "allowance_used": "100",
        "amount": "0.2",
        "currency": "USD",
        "steps": [{"label": "all", "quantity": "10", "unit_amount": "0.02", "per": "1", "amount": "0.2"}],
    }


def test_a_price_from_the_book_and_its_data_cost_the_same() -> None:
    fonts = priced(Graduated(FONT_TIERS), minimum=Decimal(50), currency="EUR")
    assert rate(fonts, "6") == rate(fonts.to_data(), Decimal(6))
    assert rate(fonts, 6).currency == "EUR"


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (0.1, r"quantity 0\.1 is a float"),
        (-1, "quantity -1 must be a finite number of at least 0"),
        ("NaN", "quantity 'NaN' is not a number"),
        ("ten", "quantity 'ten' is not a number"),
        (None, "quantity None is not a number"),
        (True, "quantity True is not a number"),
    ],
)
def test_a_quantity_that_is_not_an_exact_number_is_refused(quantity: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate({"unit_amount": "1"}, quantity)


def test_an_unreadable_price_is_refused_by_name_and_field() -> None:
    with pytest.raises(ValueError, match="price rated/unnamed: unit_amount is missing"):
        rate({}, 1)
    with pytest.raises(ValueError, match=r"price rated/egress: unit_amount 0\.02 is a float"):
        rate({"key": "egress", "unit_amount": 0.02}, 1)


# --- Free allowance ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "free", "amount"), [("99", "99", "0"), ("100", "100", "0"), ("100.5", "100", "0.01"), ("0", "0", "0")]
)
def test_usage_past_the_free_allowance_is_charged_only_for_the_excess(used: str, free: str, amount: str) -> None:
    rated = rate(per_unit("0.02", free_allowance=Decimal(100)), used)
    assert (rated.allowance_used, rated.amount) == (Decimal(free), Decimal(amount))


def test_packages_are_counted_after_the_allowance_as_lagos_documentation_says() -> None:
    """getlago.com/docs/guide/plans/charges/charge-models/package: 5 USD per 100, first 100 free; 201 cost 10."""
    assert rate({"model": "package", "unit_amount": "5", "per": "100", "free_allowance": "100"}, 201).amount == 10


def test_tiers_begin_after_the_allowance() -> None:
    """7 fonts, 2 free: 5 x 7."""
    assert labels(rate(priced(Graduated(FONT_TIERS), free_allowance=Decimal(2)), 7)) == ["0 to 5"]
    assert rate(priced(Volume(FONT_TIERS), free_allowance=Decimal(2)), 7).amount == 35


@pytest.mark.parametrize(
    ("share", "free"),
    [
        (1, "90"),
        (0, "0"),
        (Fraction(1, 2), "45"),
        ("1/2", "45"),
        (Fraction(1_296_000, 2_592_000), "45"),
        (Fraction(1, 7), "12.85714285714285714286"),
    ],
)
def test_the_allowance_is_prorated_with_its_plan(share: Fraction | int | str, free: str) -> None:
    rated = rate(per_unit("1", free_allowance=Decimal(90)), 200, share=share)
    assert rated.allowance_used == Decimal(free)
    assert rated.amount == Decimal(200) - Decimal(free)


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (0.5, r"share 0\.5 is a float"),
        (-1, "share -1 must be at least 0"),
        ("half", "share 'half' is not a fraction"),
        ("1/0", "share '1/0' is not a fraction"),
    ],
)
def test_an_impossible_share_of_a_plan_is_refused(share: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate(per_unit("1"), 1, share=share)


# --- No usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [Flat(Decimal(75)), Graduated(FEE_TIERS), Volume(FEE_TIERS), PerUnit(Decimal(1))])
def test_a_month_without_usage_costs_nothing_unless_at_zero_is_set(model: PriceModel) -> None:
    rated = rate(priced(model, minimum=Decimal(5)), 0)
    assert (rated.amount, rated.steps) == (Decimal(0), ())


@pytest.mark.parametrize(
    ("model", "minimum", "amount"),
    [
        (Flat(Decimal(75)), None, "75"),
        (Graduated(FEE_TIERS), None, "10"),
        (Volume(FEE_TIERS), None, "10"),
        (PerUnit(Decimal(1)), None, "0"),
        (PerUnit(Decimal(1)), "5", "5"),
        (Graduated(FEE_TIERS), "12.5", "12.5"),
    ],
)
def test_an_item_at_zero_has_the_flat_fee_of_zero_units_and_the_minimum(
    model: PriceModel, minimum: str | None, amount: str
) -> None:
    """OpenMeter bills it this way, and Lago since getlago/lago-api#5760: tiers start at 0, so the first
    flat fee is owed.
    """
    least = None if minimum is None else Decimal(minimum)
    rated = rate(priced(model, minimum=least, at_zero="item"), 0)
    assert (rated.quantity, rated.amount) == (Decimal(0), Decimal(amount))
    assert exact_sum([step.units for step in rated.steps]) == 0


def test_usage_within_the_allowance_counts_as_no_usage() -> None:
    assert rate(priced(Flat(Decimal(75)), free_allowance=Decimal(10)), 10).amount == 0
    assert rate(priced(Flat(Decimal(75)), free_allowance=Decimal(10), at_zero="item"), 10).amount == 75
    assert rate(priced(Flat(Decimal(75)), free_allowance=Decimal(10)), "10.1").amount == 75


# --- Minimum and maximum -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "amount", "last_step", "difference"),
    [
        ("3", "5", "up to the minimum of 5", "4.7"),
        ("49.9", "5", "up to the minimum of 5", "0.01"),
        ("50", "5", "all", "5"),
        ("60", "6", "all", "6"),
        ("200", "20", "all", "20"),
        ("200.1", "20", "down to the maximum of 20", "-0.01"),
        ("1000", "20", "down to the maximum of 20", "-80"),
    ],
)
def test_the_minimum_tops_up_and_the_maximum_cuts_down(used: str, amount: str, last_step: str, difference: str) -> None:
    rated = rate(per_unit("0.10", minimum=Decimal(5), maximum=Decimal(20)), used)
    step = rated.steps[-1]
    assert (rated.amount, step.label, step.amount) == (Decimal(amount), last_step, Decimal(difference))


def test_the_true_up_to_a_minimum_covers_no_units() -> None:
    rated = rate(per_unit("0.10", minimum=Decimal(5)), 3)
    assert [step.as_data() for step in rated.steps] == [
        {"label": "all", "quantity": "3", "unit_amount": "0.1", "per": "1", "amount": "0.3"},
        {
            "label": "up to the minimum of 5",
            "quantity": "1",
            "unit_amount": "4.7",
            "per": "1",
            "amount": "4.7",
            "units": "0",
        },
    ]


def test_minimum_and_maximum_may_be_one_amount() -> None:
    fixed = per_unit("0.10", minimum=Decimal(7), maximum=Decimal(7))
    assert [rate(fixed, used).amount for used in (1, 70, 100)] == [7, 7, 7]


# --- A price that changes inside the month -------------------------------------------------------------------------


def test_each_version_charges_the_usage_of_its_time() -> None:
    """The example of docs.withorb.com/invoicing/invoice-deferral: 1.00 per 1,000 until the 12th, 0.80 after it."""
    old = per_unit("1.00", model=PerUnit(Decimal("1.00"), Decimal(1000)))
    new = per_unit("0.80", model=PerUnit(Decimal("0.80"), Decimal(1000)), effective_from=at("2026-09-12"))
    assert amounts(rate_month([(old, 5_000), (new, 10_000)])) == [5, 8]


def test_a_price_change_does_not_restart_the_tiers_of_the_month() -> None:
    """4 fonts at the old prices, then 3 at the new ones, which are twice as high: 4 x 7; 1 x 14 + 2 x 13."""
    doubled = tuple(Tier(tier.up_to, tier.unit_amount * 2) for tier in FONT_TIERS)
    old, new = rate_month([(priced(Graduated(FONT_TIERS)), 4), (priced(Graduated(doubled)), 3)])
    assert (old.amount, new.amount) == (Decimal(28), Decimal(40))
    assert labels(new) == ["0 to 5", "5 to 10"]


def test_the_months_total_sets_the_volume_tier_before_and_after_a_price_change() -> None:
    """4 + 3 fonts are 7: 4 x 6.5 and 3 x 6.5."""
    assert amounts(rate_month([(priced(Volume(FONT_TIERS)), 4), (priced(Volume(FONT_TIERS)), 3)])) == [
        26,
        Decimal("19.5"),
    ]


def test_a_package_and_a_flat_amount_are_charged_once_in_a_month() -> None:
    package = priced(Package(Decimal(25), Decimal(1000)))
    assert amounts(rate_month([(package, 1500), (package, 400), (package, 200)])) == [50, 0, 25]
    assert amounts(rate_month([(priced(Flat(Decimal(75))), 1), (priced(Flat(Decimal(80))), 1)])) == [75, 0]
    assert amounts(rate_month([(priced(Flat(Decimal(75))), 0), (priced(Flat(Decimal(80))), 1)])) == [0, 80]


def test_the_allowance_is_granted_once_in_time_order() -> None:
    """80 of 100 are used before the change, so 20 are left after it."""
    free = Decimal(100)
    before, after = rate_month(
        [(per_unit("0.02", free_allowance=free), 80), (per_unit("0.03", free_allowance=free), 50)]
    )
    assert (before.allowance_used, before.amount) == (Decimal(80), Decimal(0))
    assert (after.allowance_used, after.amount) == (Decimal(20), Decimal("0.90"))


def test_a_smaller_allowance_after_the_change_takes_nothing_back() -> None:
    parts = [(per_unit("0.02", free_allowance=Decimal(100)), 80), (per_unit("0.03", free_allowance=Decimal(50)), 10)]
    rated = rate_month(parts)
    assert [segment.allowance_used for segment in rated] == [80, 0]
    assert amounts(rated) == [0, Decimal("0.30")]


def test_tiers_count_units_after_the_allowance() -> None:
    """6 fonts, 2 of them free, then 3: 4 x 7; 1 x 7 + 2 x 6.5."""
    fonts = priced(Graduated(FONT_TIERS), free_allowance=Decimal(2))
    assert amounts(rate_month([(fonts, 6), (fonts, 3)])) == [28, 20]


def test_the_minimum_is_charged_once_by_the_last_version() -> None:
    """0.30 + 0.40 are 0.70: the last part adds the shortfall to its own minimum."""
    old, new = per_unit("0.10", minimum=Decimal(9)), per_unit("0.20", minimum=Decimal(5))
    assert amounts(rate_month([(old, 3), (new, 2)])) == [Decimal("0.3"), Decimal("4.7")]
    assert amounts(rate_month([(old, 3), (new, 0)])) == [Decimal("0.3"), Decimal("4.7")]
    assert amounts(rate_month([(old, 40), (new, 10)])) == [Decimal(4), Decimal(2)]


def test_the_maximum_bounds_the_month_and_takes_nothing_back() -> None:
    capped, lower = per_unit("1", maximum=Decimal(20)), per_unit("1", maximum=Decimal(10))
    assert amounts(rate_month([(capped, 15), (capped, 15), (capped, 1)])) == [15, 5, 0]
    before, after = rate_month([(capped, 15), (lower, 7)])
    assert (before.amount, after.amount) == (Decimal(15), Decimal(0))
    assert labels(after) == ["all", "down to the maximum of 10"]


def test_a_maximum_takes_nothing_off_zero() -> None:
    capped, lower = per_unit("1", maximum=Decimal(20)), per_unit("1", maximum=Decimal(10))
    assert rate_month([(capped, 15), (lower, 0)])[1].steps == ()


def test_a_month_without_usage_is_charged_once_by_its_last_version() -> None:
    always, if_used = priced(Flat(Decimal(75)), at_zero="item"), priced(Flat(Decimal(80)))
    assert amounts(rate_month([(always, 0), (always, 0)])) == [0, 75]
    assert amounts(rate_month([(always, 0), (if_used, 0)])) == [0, 0]
    assert amounts(rate_month([(always, 0), (always, 2)])) == [0, 75]


def test_versions_in_two_currencies_are_refused() -> None:
    with pytest.raises(ValueError, match="the versions of a price are in EUR and USD"):
        rate_month([(per_unit("1"), 1), (per_unit("1", currency="EUR"), 1)])


def test_a_month_without_versions_has_nothing_to_rate() -> None:
    assert rate_month([]) == []
