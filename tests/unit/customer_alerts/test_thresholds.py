"""A threshold is an amount in the organization's currency, a part of it, an estimate, or a percentage of last month."""

import re
from decimal import Decimal

import pytest

from fly_billing.customer_alerts.rules.thresholds import Kind, Limit, first_limit, read_limit, threshold_cents


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [
        ("250", "USD", 25000),
        ("99.50", "USD", 9950),
        ("1,000", "USD", 100000),
        ("250", "JPY", 250),
        ("1.234", "KWD", 1234),
        ("9,999,999,999,999.99", "USD", 10**15 - 1),  # the largest possible total of a month
    ],
)
def test_a_threshold_is_read_in_the_currencys_units(amount: str, currency: str, cents: int) -> None:
    assert threshold_cents(amount, currency) == cents


@pytest.mark.parametrize(
    ("amount", "currency", "message"),
    [
        ("much", "USD", "'much' is not an amount: write it as 250 or 99.50"),
        ("0", "USD", "'0' must be above zero"),
        ("-5", "USD", "'-5' must be above zero"),
        ("NaN", "USD", "'NaN' must be above zero"),
        ("1e30", "USD", "'1e30' must be above zero and no more than a month can total"),
        ("0.005", "USD", "'0.005' has more than the 2 decimals that USD has"),
        ("99.99999999999999999999999999999999", "USD", "has more than the 2 decimals that USD has"),
        ("10000000000000.00", "USD", "must be above zero and no more than a month can total"),
        ("250.5", "JPY", "'250.5' has more than the 0 decimals that JPY has"),
    ],
)
def test_an_invalid_threshold_is_refused_by_name(amount: str, currency: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        threshold_cents(amount, currency)


def test_a_percentage_is_of_the_last_month_and_has_no_amount() -> None:
    assert read_limit("150%", "USD") == Limit("percent", "USD", percent=150)
    assert read_limit(" 80 % ", "EUR").in_words() == "80% of last month"


@pytest.mark.parametrize("text", ["0%", "100001%", "12.5%", "-5%", "%", "x%", "٣%"])
def test_a_percentage_is_a_whole_number_above_zero(text: str) -> None:
    with pytest.raises(ValueError, match="must be a whole percentage from 1% to 100,000%"):
        read_limit(text, "USD")


def test_a_part_of_the_month_has_no_percentage() -> None:
    assert read_limit("50", "USD", "app", "web").in_words() == "app web: $50.00"
    with pytest.raises(ValueError, match="'50%' is a percentage, which is of the whole month"):
        read_limit("50%", "USD", "app", "web")
    with pytest.raises(ValueError, match="name the product in at most 500 characters"):
        read_limit("50", "USD", "product", " ")


def test_a_hostile_name_of_an_app_stays_on_its_line() -> None:
    assert read_limit("50", "USD", "app", "web\r\nBcc: all").in_words() == r"app web\r\nBcc: all: $50.00"


def test_the_first_alert_is_in_the_currencys_units_and_zero_is_none() -> None:
    assert first_limit(Decimal(10), "USD") == Limit("amount", "USD", 1000)
    assert first_limit(Decimal(1500), "JPY") == Limit("amount", "JPY", 1500)
    assert first_limit(Decimal(3), "KWD") == Limit("amount", "KWD", 3000)
    assert first_limit(Decimal(0), "USD") is None
    assert first_limit(None, "EUR") is None
    assert first_limit(Decimal(10**30), "USD") is None


@pytest.mark.parametrize(("kind", "name"), [("app", None), ("product", None), ("amount", "web"), ("cap", "web")])
def test_only_an_alert_of_an_app_or_product_has_a_name(kind: Kind, name: str | None) -> None:
    with pytest.raises(ValueError, match="an alert of an app or product has its name, and no other has a name"):
        read_limit("50", "USD", kind, name)
