"""A spend alert names the organization, the threshold, the amount so far and its time."""

import re

import pytest

from fly_billing.alerting.rules.spend_thresholds import Crossing, spend_alert, threshold_cents
from tests.support.builders import NOW


def crossing(*thresholds: int, total: int = 12345, currency: str = "USD") -> Crossing:
    return Crossing("acme", "Acme", "2026-09", currency, thresholds, total, NOW)


def test_a_spend_alert_names_organization_threshold_amount_and_time() -> None:
    assert spend_alert(crossing(10000)).text == (
        "Spend alert: Acme crossed $100.00 in 2026-09\n"
        "Acme (acme) has spent $123.45 in 2026-09 so far, as of 2026-09-20 12:00 UTC.\n"
        "What to do: run `fly-billing statement acme 2026-09` to see the line items."
    )


def test_several_thresholds_make_one_message_headed_by_the_highest() -> None:
    alert = spend_alert(crossing(10000, 5000, 1000))
    assert (alert.code, alert.subject) == ("spend_threshold", "Spend alert: Acme crossed $100.00 in 2026-09")
    assert "so far, as of 2026-09-20 12:00 UTC. It also crossed $10.00, $50.00." in alert.body
    assert "It also crossed $50.00." in spend_alert(crossing(10000, 5000)).body


def test_a_spend_alert_is_in_the_organizations_currency() -> None:
    assert spend_alert(crossing(5000, total=5200, currency="JPY")).subject.endswith("crossed JPY 5,000 in 2026-09")


@pytest.mark.parametrize(
    ("amount", "currency", "cents"),
    [
        ("250", "USD", 25000),
        ("99.50", "USD", 9950),
        ("1,000", "USD", 100000),
        ("250", "JPY", 250),
        ("1.234", "KWD", 1234),
        ("92,233,720,368,547,758.07", "USD", 2**63 - 1),  # the largest possible total of a month
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
        ("92233720368547758.08", "USD", "must be above zero and no more than a month can total"),
        ("250.5", "JPY", "'250.5' has more than the 0 decimals that JPY has"),
    ],
)
def test_an_invalid_threshold_is_refused_by_name(amount: str, currency: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        threshold_cents(amount, currency)
