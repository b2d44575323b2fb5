"""The time in which an item was supplied. September 2026 has 30 days."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.service_periods import (
    ServicePeriod,
    SuppliedItem,
    one_off_period,
    reduced_items,
    service_period,
)
from tests.support.builders import SEPTEMBER, at, id_of


def item(kind: str, amount: str = "10", **fields: Any) -> SuppliedItem:
    return InvoiceItem(
        id_of("item"), kind, "acme", "Product", "Description", Decimal(1), "item", Decimal(amount), **fields
    )


def fee(amount: str, start: str, end: str) -> SuppliedItem:
    """Return a fee of the year from 1 September 2026 on."""
    return item(
        "subscription", amount, period_start=at(start), period_end=at(end), interval_start=at("2026-09-01"),
        interval_end=at("2027-09-01"),
    )  # fmt: skip


def period(start: str, end: str) -> ServicePeriod:
    return ServicePeriod(at(start), at(end))


@pytest.mark.parametrize("kind", ["usage", "minimum", "rounding", "tax", "discount", "maximum", "credit"])
def test_usage_and_terms_are_supplied_in_the_month_of_their_invoice(kind: str) -> None:
    assert service_period(item(kind), SEPTEMBER) == period("2026-09-01", "2026-10-01")


def test_a_fee_is_supplied_in_its_charged_part_of_the_interval() -> None:
    assert service_period(fee("120", "2026-09-01", "2027-09-01"), SEPTEMBER) == period("2026-09-01", "2027-09-01")
    assert service_period(fee("100", "2026-11-01", "2027-09-01"), SEPTEMBER) == period("2026-11-01", "2027-09-01")


def test_a_fee_given_back_is_that_of_the_unused_rest_of_its_interval() -> None:
    """Cancelled on 1 December: the refund is for 1 December to 31 August."""
    assert service_period(fee("-90", "2026-09-01", "2026-12-01"), SEPTEMBER) == period("2026-12-01", "2027-09-01")
    assert service_period(fee("-120", "2026-09-01", "2027-09-01"), SEPTEMBER) == period("2026-09-01", "2027-09-01")


def test_an_adjustment_is_that_of_the_month_that_it_corrects() -> None:
    assert service_period(item("adjustment", detail={"month": "2026-08"}), SEPTEMBER) == period(
        "2026-08-01", "2026-09-01"
    )


def test_a_one_off_item_is_supplied_on_its_day() -> None:
    sold = one_off_period(id_of("setup"), at("2026-09-10T15:30:00"))
    assert sold == period("2026-09-10", "2026-09-11")
    assert service_period(item("one_off"), SEPTEMBER, sold) == sold
    assert service_period(item("one_off"), SEPTEMBER) == ServicePeriod.of_month(SEPTEMBER)


def test_a_reservation_is_supplied_in_the_months_of_its_credits() -> None:
    """Its credits are of September and October; a credit of December is not of this reservation."""
    reservation = id_of("reservation")
    credits = {uuid5(reservation, month) for month in ("2026-09", "2026-10", "2026-12")}
    assert one_off_period(reservation, at("2026-09-01"), credits) == period("2026-09-01", "2026-11-01")


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-09-01", "2026-10-01", 30),
        ("2026-09-10T12:00:00", "2026-09-12T00:00:00", 2),
        ("2026-09-10T12:00:00", "2026-09-12T00:00:01", 3),
        ("2026-09-10T12:00:00", "2026-09-10T13:00:00", 1),
    ],
)
def test_a_period_has_every_day_that_it_has_a_part_of(start: str, end: str, days: int) -> None:
    first, last = period(start, end).days
    assert last - first == days


def test_a_discount_names_the_items_that_it_reduces() -> None:
    parts = [{"item": str(id_of("fee")), "amount": "1.50"}, {"item": str(id_of("usage")), "amount": "0.50"}]
    assert reduced_items({"applied_to": parts}) == {id_of("fee"): Decimal("1.50"), id_of("usage"): Decimal("0.50")}
    assert reduced_items({"base": "2"}) == {}
