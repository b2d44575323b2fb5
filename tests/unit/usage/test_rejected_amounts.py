"""The money at stake in rejected rows: each price's rows of a month are rated as the month's only usage."""

from decimal import Decimal
from typing import Any

import pytest

from fly_billing.pricing.rules.models import PerUnit, Tier, Volume
from fly_billing.pricing.rules.prices import Price
from fly_billing.usage.rules.rejected_amounts import Estimate, PricedRows, estimate_amounts
from tests.support.builders import price


def rows(priced: Price, quantity: str, organization: str = "acme", month: str = "2026-09") -> PricedRows:
    return PricedRows(organization, month, priced, Decimal(quantity))


def amounts(*priced: PricedRows) -> dict[str, Decimal]:
    return dict(estimate_amounts(priced, 0).amounts)


def requests(unit_amount: str = "0.10", **changes: Any) -> Price:
    return price("requests", unit_amount, "requests", **changes)


def test_the_rows_of_a_month_are_charged_at_the_organizations_price() -> None:
    # 12 + 3 requests at 0.10
    found = requests()
    assert amounts(rows(found, "12"), rows(found, "3")) == {"USD": Decimal("1.50")}


def test_several_prices_are_summed() -> None:
    # 12 at 0.10 and 2 at 0.25
    assert amounts(rows(requests(), "12"), rows(price("volumes", "0.25", "volumes"), "2")) == {"USD": Decimal("1.70")}


def test_each_currency_has_an_amount() -> None:
    euros = price("volumes", "0.25", "volumes", currency="EUR")
    assert amounts(rows(requests(), "12"), rows(euros, "2")) == {"USD": Decimal("1.20"), "EUR": Decimal("0.50")}


@pytest.mark.parametrize(
    ("second", "amount"),
    [
        ({}, "10"),  # 20 requests: all at 0.50
        ({"organization": "globex"}, "20"),  # 10 each: all at 1.00
        ({"month": "2026-10"}, "20"),
    ],
)
def test_rows_of_one_organization_and_month_reach_a_volume_price_together(second: dict[str, str], amount: str) -> None:
    found = requests(model=Volume((Tier(Decimal(10), Decimal(1)), Tier(None, Decimal("0.5")))))
    assert amounts(rows(found, "10"), rows(found, "10", **second)) == {"USD": Decimal(amount)}


@pytest.mark.parametrize(
    "reduced",
    [{"free_allowance": Decimal(10)}, {"minimum": Decimal(5)}, {"maximum": Decimal(1)}],
)
def test_allowances_minimums_and_maximums_are_left_out(reduced: dict[str, Any]) -> None:
    # 12 at 0.10: other usage of the month may have used or reached them
    assert amounts(rows(requests(**reduced), "12")) == {"USD": Decimal("1.20")}


def test_an_allowance_of_a_plan_is_left_out() -> None:
    found = requests(free_allowance=Decimal(10), allowance_with="support", model=PerUnit(Decimal("0.10")))
    assert amounts(rows(found, "12")) == {"USD": Decimal("1.20")}


def test_the_estimate_is_exact() -> None:
    # 31 digits of requests at a millionth of a millionth, and one more request
    found = requests("0.000000000001")
    quantity = "1234567890123456789012.123456789"
    assert amounts(rows(found, quantity), rows(found, "1")) == {"USD": Decimal("1234567890.123456789013123456789")}


def test_the_number_of_unknown_rows_is_returned() -> None:
    assert estimate_amounts([rows(requests(), "12")], 7) == Estimate({"USD": Decimal("1.20")}, 7)
    assert estimate_amounts([], 7) == Estimate({}, 7)


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (Estimate(), "unknown"),
        (Estimate({}, 3), "unknown"),
        (Estimate({"USD": Decimal("1.2")}), "$1.20"),
        (Estimate({"USD": Decimal("1.2")}, 1), "$1.20 (unknown for 1 row)"),
        (Estimate({"USD": Decimal("1.2")}, 1200), "$1.20 (unknown for 1,200 rows)"),
        (Estimate({"USD": Decimal("1.205"), "JPY": Decimal(1200)}, 2), "JPY 1,200 + $1.21 (unknown for 2 rows)"),
    ],
)
def test_the_estimate_is_shown_in_cents_with_the_rows_that_it_leaves_out(estimate: Estimate, words: str) -> None:
    assert estimate.in_words() == words
