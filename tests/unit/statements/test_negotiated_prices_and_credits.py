"""The statement's sentences about negotiated prices and remaining credits."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.statements.rules.statement import RemainingCredit, negotiated_working
from tests.support.builders import at


@pytest.mark.parametrize(
    ("agreed", "text"),
    [
        (None, ""),
        (
            {"of": "group startups", "since": "2026-09-16T00:00:00+00:00", "percent_off": "25",
             "list": {"amount": "1200.5"}},
            "; 25 % off the list price since 2026-09-16 (1,200.5 at the list price)",
        ),
        (
            {"of": "acme", "since": "2026-09-01T12:00:00+00:00", "list": {"amount": "29"}},
            "; your negotiated price since 2026-09-01 12:00:00 (29 at the list price)",
        ),
    ],
)  # fmt: skip
def test_a_negotiated_price_is_shown_beside_the_list_price(agreed: dict[str, Any] | None, text: str) -> None:
    assert negotiated_working({} if agreed is None else {"negotiated": agreed}) == text


@pytest.mark.parametrize(
    ("currency", "left", "expires_at", "pays", "text"),
    [
        ("USD", "7.659", None, "net", "welcome: $7.65 remaining"),
        ("USD", "7.65", at("2026-12-01"), "net", "welcome: $7.65 remaining, expires 2026-12-01"),
        ("JPY", "765.9", None, "net", "welcome: JPY 765 remaining"),
        ("EUR", "0", at("2026-12-01"), "gross",
         "welcome: EUR 0.00 remaining, expires 2026-12-01; also pays taxes"),
    ],
)  # fmt: skip
def test_a_credit_shows_its_remainder_its_expiry_and_if_it_pays_taxes(
    currency: str, left: str, expires_at: datetime | None, pays: str, text: str
) -> None:
    """Rounded down, so that the credit has at least this much."""
    credit = RemainingCredit.of("welcome", currency, Decimal("1000"), Decimal(left), expires_at, pays)
    assert credit.in_words() == text
