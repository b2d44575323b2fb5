"""The rules for an organization and its terms, before anything is read or written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.customers.rules.organizations import CustomerDetails, OrganizationRecord, PayerLink, TaxStatus
from fly_billing.customers.rules.terms import (
    CommitmentTerms,
    CouponTerms,
    CreditTerms,
    DiscountTerms,
    OneOffCharge,
    SubscriptionTerms,
    TaxTerms,
)
from fly_billing.customers.writing import ClosedMonthsChanged
from fly_billing.periods import BillingMonth

START = datetime(2026, 9, 1, tzinfo=UTC)
SEPTEMBER = BillingMonth(2026, 9)
ORGANIZATION = OrganizationRecord("acme", "Acme", START)
FEE = SubscriptionTerms("acme", "support", START)
CHARGE = OneOffCharge("acme", "Setup", START, Decimal(5))
CREDIT = CreditTerms("acme", "Outage", Decimal(5), START)
COUPON = CouponTerms("ten", "10 % off", percent=Decimal(10))
COMMITMENT = CommitmentTerms("acme", "at least 5", Decimal(5), SEPTEMBER)
TAX = TaxTerms("acme", "VAT", Decimal(19), SEPTEMBER)
DETAILS = CustomerDetails("acme")

WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (ORGANIZATION, {"id": "Acme Inc."}, r"id 'Acme Inc\.' must have .* such as acme-inc"),
    (ORGANIZATION, {"id": "a" * 64}, "must have 1 to 63"),
    (ORGANIZATION, {"id": "tail-07"}, "'tail-07' is the name of a shared billing group"),
    (ORGANIZATION, {"name": " "}, "name is empty"),
    (ORGANIZATION, {"name": "x" * 5001}, "name has 5,001 characters, more than 5,000"),
    (ORGANIZATION, {"currency": "usd"}, "currency 'usd' is not an ISO 4217 code"),
    (ORGANIZATION, {"created_at": datetime(2026, 9, 1)}, "created_at 2026-09-01 00:00:00 has no offset"),  # noqa: DTZ001
    (ORGANIZATION, {"created_at": datetime(1969, 12, 31, tzinfo=UTC)}, "must be from 1970 to 2199"),
    (FEE, {"ended_at": START - timedelta(seconds=1)}, "ended_at 2026-08-31 23:59 is not after started_at"),
    (FEE, {"trial_ends_at": START - timedelta(days=1)}, "trial_ends_at 2026-08-31 00:00 is not after started_at"),
    (FEE, {"quantity": Decimal(0)}, "quantity 0 must be above 0"),
    (FEE, {"quantity": Decimal("NaN")}, "quantity NaN must be above 0"),
    (FEE, {"price_key": " support"}, "control characters, or spaces around it"),
    (FEE, {"billed": "advance"}, r"billed 'advance' \(did you mean in_advance\?\)"),
    (FEE, {"proration": "days"}, r"proration 'days' \(did you mean day\?\)"),
    (FEE, {"anchored_at": START}, "anchored_at is for anchor: start"),
    (CHARGE, {"amount": Decimal(0)}, "amount is 0: it would change nothing"),
    (CHARGE, {"amount": Decimal(10) ** 12}, "it must be below 10\\^12"),
    (CHARGE, {"amount": None}, "give either an amount, or a unit_amount with its quantity"),
    (CHARGE, {"amount": Decimal("5.001"), "currency": "USD"}, r"amount 5\.001 has too many decimals: USD has 2"),
    (CHARGE, {"amount": Decimal("5.1"), "currency": "JPY"}, r"amount 5\.1 has too many decimals: JPY has none"),
    (CHARGE, {"quantity": Decimal(2)}, "a quantity needs a unit_amount"),
    (CHARGE, {"period_start": START}, "a period has a start and an end"),
    (CHARGE, {"period_start": START, "period_end": START}, "is not after period_start"),
    (CREDIT, {"amount": Decimal(-5)}, "amount -5 is below zero"),
    (CREDIT, {"expires_at": START}, "expires_at 2026-09-01 00:00 is not after granted_at"),
    (CREDIT, {"pays": "all"}, "pays 'all'; known are net, gross"),
    (CREDIT, {"scope": {"kind": ["usage"]}}, r"unknown field 'kind' in a scope \(did you mean kinds\?\)"),
    (CREDIT, {"scope": {"kinds": ["tax"]}}, "scope: kind 'tax'; known are usage"),
    (CREDIT, {"scope": {"products": "Machines"}}, "scope: products 'Machines' is not a list"),
    (COUPON, {"percent": Decimal(0)}, "percent 0 must be above 0 and at most 100"),
    (COUPON, {"percent": Decimal("100.1")}, r"percent 100\.1 must be above 0 and at most 100"),
    (COUPON, {"amount": Decimal(5), "currency": "USD"}, "coupon ten: give either a percent or an amount"),
    (COUPON, {"percent": None, "amount": Decimal(5)}, "coupon ten: an amount needs its currency"),
    (COUPON, {"currency": "USD"}, "coupon ten: an amount needs its currency, and a percent has none"),
    (COUPON, {"months": 0}, "months 0 must be from 1 to 1,200"),
    (COMMITMENT, {"last_month": BillingMonth(2026, 8)}, "it would end with 2026-08, before its first month 2026-09"),
    (COMMITMENT, {"kind": "maximum", "months": 3}, "a maximum is for one month"),
    (COMMITMENT, {"runs_from": START - timedelta(days=1)}, "must be inside its months"),
    (COMMITMENT, {"first_month": BillingMonth(2200, 1)}, "month 2200-01 must be from 1970-01 to 2199-12"),
    (TAX, {"percent": Decimal(101)}, "percent 101 is above 100"),
    (TAX, {"category": "exempt", "percent": Decimal(0)}, "category exempt needs legal_text"),
    (DETAILS, {"email": "acme"}, "email 'acme' is not an address"),
    (DETAILS, {"city": "Berlin"}, "an address needs its country"),
    (DETAILS, {"country": "Germany"}, "country 'Germany' is not an ISO 3166 code"),
    (DETAILS, {"collection": "send_invoice"}, "collection send_invoice needs an email"),
    (DETAILS, {"net_days": 366}, "net_days 366 must be from 0 to 365"),
    (DETAILS, {"tax_ids": ("DE123",)}, "tax id 'DE123' must be Stripe's type and the value"),
    (DETAILS, {"memo": "x" * 1001}, "memo has 1,001 characters, more than 1,000"),
]


@pytest.mark.parametrize(("record", "change", "problem"), WRONG)
def test_a_wrong_field_is_named_with_what_to_write_instead(record: Any, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(record, **change)


def test_an_organization_is_not_its_own_payer() -> None:
    with pytest.raises(ValueError, match="acme can't be its own payer"):
        PayerLink("acme", "acme", SEPTEMBER)


def test_a_location_is_a_code() -> None:
    assert TaxStatus("acme", SEPTEMBER, "CA-QC").location == "CA-QC"
    with pytest.raises(ValueError, match="location 'Canada' is not an ISO 3166 code"):
        TaxStatus("acme", SEPTEMBER, "Canada")


def test_a_subscription_may_end_when_it_begins_because_it_was_cancelled_before() -> None:
    assert replace(FEE, ended_at=START).ended_at == START


def test_a_quantity_at_a_unit_amount_is_multiplied_exactly() -> None:
    hours = OneOffCharge("acme", "Hours", START, quantity=Decimal("2.5"), unit="hour", unit_amount=Decimal("80.10"))
    assert hours.total == Decimal("200.25")
    assert replace(CHARGE, amount=Decimal("-12.50")).total == Decimal("-12.50")


SAME: list[tuple[Any, Callable[[Any], Any], bool]] = [
    (FEE, lambda one: replace(one, quantity=Decimal(9), ended_at=datetime(2027, 1, 1, tzinfo=UTC)), True),
    (FEE, lambda one: replace(one, started_at=START.astimezone(timezone(timedelta(hours=2)))), True),
    (FEE, lambda one: replace(one, reference="second team"), False),
    (CHARGE, lambda one: replace(one, amount=Decimal(7)), True),
    (CHARGE, lambda one: replace(one, description="Setup 2"), False),
    (CREDIT, lambda one: replace(one, expires_at=datetime(2027, 1, 1, tzinfo=UTC)), True),
    (COMMITMENT, lambda one: replace(one, last_month=SEPTEMBER), True),
    (COMMITMENT, lambda one: replace(one, kind="maximum"), False),
    (TAX, lambda one: replace(one, percent=Decimal(20)), True),
    (TAX, lambda one: replace(one, first_month=BillingMonth(2026, 10)), False),
    (DiscountTerms("acme", "ten", SEPTEMBER), lambda one: replace(one, last_month=SEPTEMBER), True),
]


@pytest.mark.parametrize(("record", "change", "is_same"), SAME)
def test_the_id_of_a_term_is_made_from_what_it_is_and_not_from_how_much(
    record: Any, change: Callable[[Any], Any], is_same: bool
) -> None:
    assert (change(record).id == record.id) is is_same


def test_a_change_of_a_price_book_names_no_organization_to_rebill() -> None:
    change = ClosedMonthsChanged(None, "price requests was changed", date(2026, 9, 1), None)
    assert "`rebill ORG MONTH` books" in change.notice
