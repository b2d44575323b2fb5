"""The facts of an item beside its calculations: its price, negotiated terms, and a fee's part of its interval."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.rules.negotiated_prices import NegotiatedPrice
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity
from fly_billing.statements.rules.item_facts import charged_by, facts_of_item
from tests.support.builders import EGRESS, REQUESTS, at, price
from tests.unit.invoicing.steps.invoices_in_progress import item

QUARTERLY = price("plan", "910", interval="quarter")


def quarterly(start: str = "2026-04-01", end: str = "2026-07-01", **changes: Any) -> InvoiceItem:
    """Return the fee of a plan for a part of the second quarter, which has 91 days: 7,862,400 seconds."""
    fields: dict[str, Any] = {"kind": "subscription", "unit": "second", "quantity": Decimal(1)}
    return replace(
        item("plan", "910"),
        period_start=at(start), period_end=at(end), interval_start=at("2026-04-01"), interval_end=at("2026-07-01"),
        **fields | changes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fee", "part"),
    [
        (quarterly(), "91 of 91 days"),
        (quarterly("2026-05-30"), "32 of 91 days"),
        (quarterly(end="2026-05-01"), "30 of 91 days"),
        # from noon on: 31 1/2 days
        (quarterly("2026-05-30T12:00:00"), "2,721,600 of 7,862,400 seconds"),
        (quarterly("2026-05-30T12:00:00", unit="day"), "32 of 91 days"),
        # up to the 1st of May at 00:00:01
        (quarterly(end="2026-05-01T00:00:01"), "2,592,001 of 7,862,400 seconds"),
        (quarterly(unit="quarter"), "91 of 91 days"),
        (quarterly("2026-05-30", unit="quarter"), "32 of 91 days, charged in full"),
        (quarterly("2026-05-30T12:00:00", unit="quarter"), "2,721,600 of 7,862,400 seconds, charged in full"),
        (quarterly(quantity=Decimal(0)), "not charged"),
    ],
)
def test_a_fee_names_its_interval_and_the_charged_part(fee: InvoiceItem, part: str) -> None:
    assert dict(facts_of_item(fee, QUARTERLY))["Interval"] == f"quarter 2026-04-01 to 2026-07-01: {part}"


def test_a_fee_without_its_price_still_names_its_interval() -> None:
    assert facts_of_item(quarterly("2026-05-30"), None) == (
        ("Period", "2026-05-30 to 2026-07-01"),
        ("Interval", "interval 2026-04-01 to 2026-07-01: 32 of 91 days"),
    )


LIST_PRICE = (
    ("Price", "egress of price book 'fly', in effect from 2026-01-01"),
    ("List price", "per_unit: unit_amount 0.02, free_allowance 100"),
)


@pytest.mark.parametrize(
    ("terms", "facts"),
    [
        (
            {"organization": "acme", "percent_off": "25.0", "effective_until": "2026-12-01"},
            (
                ("Negotiated", "25 % off the list price, agreed with acme, in effect from 2026-01-01 until 2026-12-01"),
                ("Charged by", "per_unit: unit_amount 0.015, free_allowance 100"),
            ),
        ),
        (
            {"group": "startups", "match": {"region": ["iad", "fra"]}, "model": "per_unit", "unit_amount": "0.01"},
            (
                ("Negotiated", "own price for region iad; fra, agreed with group startups, in effect from 2026-01-01"),
                ("Charged by", "per_unit: unit_amount 0.01"),
            ),
        ),
    ],
)
def test_a_negotiated_price_is_a_fact_beside_the_list_price(
    terms: dict[str, Any], facts: tuple[tuple[str, str], ...]
) -> None:
    own = NegotiatedPrice.from_data("fly", {"key": "egress", "effective_from": "2026-01-01", **terms})
    assert facts_of_item(item("egress", "2"), own.over(EGRESS)) == (*LIST_PRICE, *facts)


def test_the_line_of_a_price_has_its_interval_and_its_conversion() -> None:
    per_hundred = replace(REQUESTS, transform_quantity=TransformedQuantity.from_data({"divide_by": "100"}))
    assert charged_by(QUARTERLY) == "per_unit: unit_amount 910, interval quarter"
    assert charged_by(per_hundred) == "per_unit: unit_amount 0.10, transform_quantity divide_by 100 step 1 round up"
