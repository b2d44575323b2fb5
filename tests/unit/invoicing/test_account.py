"""Terms that can not be meant are refused where they are made, in words that say what is wrong."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.inputs import Commitment, CreditGrant, Discount
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import at, id_of


def discount(**fields: Any) -> Discount:
    return Discount(id_of("WELCOME"), "WELCOME", "Welcome", **fields)


def commitment(kind: str, amount: str, **fields: Any) -> Commitment:
    return Commitment(id_of("yearly"), kind, "yearly", Decimal(amount), **fields)


def credit(available: str, **fields: Any) -> CreditGrant:
    return CreditGrant(id_of("prepaid"), "prepaid", Decimal(available), **{"granted_at": at("2026-09-01")} | fields)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: discount(), "discount 'WELCOME': percent None, amount None; give it exactly one of the two"),
        (
            lambda: discount(percent=Decimal(10), amount=Decimal(5)),
            "discount 'WELCOME': percent 10, amount 5; give it exactly one of the two",
        ),
        (lambda: discount(percent=Decimal("100.01")), "discount 'WELCOME': percent 100.01 is above 100"),
        (lambda: discount(percent=Decimal(-1)), "'WELCOME': percent .* must be a finite number of at least 0"),
        (lambda: discount(percent=Decimal("NaN")), "'WELCOME': percent .* must be a finite number of at least 0"),
        (lambda: discount(percent=10.0), "'WELCOME': percent 10.0 is a float"),
        (lambda: discount(percent=Decimal("0.1234567890123")), "'WELCOME': percent .* more than 12 decimals"),
        (lambda: discount(amount=Decimal("-0.01")), "'WELCOME': amount .* must be a finite number of at least 0"),
        (
            lambda: discount(percent=Decimal(10), scope=Scope(kinds=("usage", "adjustment"))),
            r"'WELCOME': the kinds of its scope are \['usage', 'adjustment'\]; known are usage, subscription, one_off$",
        ),
        (lambda: discount(percent=Decimal(10), scope=Scope(kinds=())), r"the kinds of its scope are \[\]"),
        (lambda: commitment("floor", "1"), "commitment 'yearly': kind 'floor'; known are minimum, maximum"),
        (lambda: commitment("minimum", "-1"), "commitment 'yearly': amount .* must be a finite number of at least 0"),
        (lambda: commitment("maximum", "1", is_due=False), "'yearly': a maximum is a month's"),
        (lambda: commitment("maximum", "1", counted_before=Decimal(1)), "'yearly': a maximum is a month's"),
        (
            lambda: commitment("minimum", "1", scope=Scope(kinds=("credit",))),
            r"commitment 'yearly': the kinds of its scope are \['credit'\];"
            " known are usage, subscription, one_off, minimum$",
        ),
        (lambda: credit("-1"), "credit 'prepaid': available .* must be a finite number of at least 0"),
        (lambda: credit("1", expires_at=at("2026-09-01")), "credit 'prepaid': expires_at .* is not after granted_at"),
        (
            lambda: credit("1", scope=Scope(kinds=("tax",))),
            r"credit 'prepaid': the kinds of its scope are \['tax'\];"
            " known are usage, subscription, one_off, adjustment, minimum$",
        ),
        (lambda: TaxRate(id_of("VAT"), "VAT", Decimal(101)), "tax rate 'VAT': percent 101 is above 100"),
        (lambda: TaxRate(id_of("VAT"), "VAT", Decimal(-19)), "tax rate 'VAT': percent .* of at least 0"),
    ],
)
def test_terms_that_can_not_be_meant_are_refused(make: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_terms_at_their_bounds_are_taken() -> None:
    assert discount(percent=Decimal(100)).percent == 100
    assert discount(percent=Decimal(0)).percent == 0
    assert discount(amount=Decimal(0)).amount == 0
    assert commitment("maximum", "0").amount == 0
    assert commitment("minimum", "0", is_due=False, counted_before=Decimal(-5)).counted_before == -5
    assert credit("0", expires_at=at("2026-09-01T00:00:01")).available == 0
    assert TaxRate(id_of("VAT"), "VAT", Decimal(100)).percent == 100


def test_a_credit_may_be_left_to_more_decimals_than_were_granted() -> None:
    """Draws are exact: a Machine's second does not come out even."""
    assert credit("7.65432100000000000001").available == Decimal("7.65432100000000000001")
