"""A platform with the price books fly (USD) and eu (EUR), and a transaction for each change."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeVar

import pytest
from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.writing import changing
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from tests.support.builders import METERS, Platform, at, price

T = TypeVar("T")
ANN = Actor("ann", datetime(2026, 9, 20, 12, tzinfo=UTC), "she asked for it")


@pytest.fixture
def customers(platform: Platform) -> Platform:
    """acme pays by book fly; premium support (99.00) begins in October 2026. eu has support for 25.00 euros."""
    platform.load(price("support/premium", "99.00", unit="month", effective_from=at("2026-10-01")))
    with platform.database.transaction() as connection:
        fee = price("support", "25.00", unit="month", book="eu", currency="EUR")
        load_price_book(connection, PriceBookFiles("eu", METERS, [fee]))
    return platform


@pytest.fixture
def change(customers: Platform) -> Callable[[Callable[[Connection], T]], T]:
    """Return a function that makes a change in a transaction of its own."""

    def made(act: Callable[[Connection], T]) -> T:
        with changing(customers.database, is_dry_run=False) as connection:
            return act(connection)

    return made


def dollars(text: str) -> Decimal:
    return Decimal(text)
