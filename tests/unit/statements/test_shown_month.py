"""The month that a statement shows adds up the usage rollups of an item: $9.00 for three requests of acme."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from fly_billing.periods import BillingMonth
from fly_billing.statements.rules.spend import DailySpend, Spend, SpendShare
from fly_billing.statements.shown_month import ShownMonth
from fly_billing.statements.statement_rows import InvoiceRow, ItemRow, RollupRow
from fly_billing.statements.unreadable_records import RecordReading
from tests.support.builders import SEPTEMBER, at

INVOICE, ITEM = UUID(int=1), UUID(int=2)
FEBRUARY = BillingMonth(2026, 2)


def invoice(month: BillingMonth) -> InvoiceRow:
    missing: dict[str, Any] = dict.fromkeys(InvoiceRow.__dataclass_fields__)
    known = {
        "id": INVOICE, "month": month.first_day, "holder_id": "acme", "is_linked": False, "holder_name": "Acme",
        "status": "finalized", "currency": "USD", "total_cents": 900, "as_of": at("2026-10-04"),
    }  # fmt: skip
    return InvoiceRow(**missing | known)


def item() -> ItemRow:
    missing: dict[str, Any] = dict.fromkeys(ItemRow.__dataclass_fields__)
    known = {
        "id": ITEM, "kind": "usage", "organization_id": "acme", "product": "Requests", "description": "Requests",
        "quantity": Decimal(3), "unit": "request", "amount": Decimal(9), "amount_cents": 900, "detail": {},
    }  # fmt: skip
    return ItemRow(**missing | known)


def rollup(app: str, quantity: str, daily: dict[int, str] | None = None, days: int = 30) -> RollupRow:
    """Return a rollup with the quantities of some days of the month; None: it is from before days were recorded."""
    by_day = None if daily is None else [Decimal(daily.get(n, "0")) for n in range(1, days + 1)]
    return RollupRow(ITEM, app, None, Decimal(quantity), by_day)


def spend(rollups: list[RollupRow], month: BillingMonth = SEPTEMBER) -> Spend:
    shown = ShownMonth(
        items={INVOICE: [item()]}, taxes={}, usage={ITEM: rollups}, before=None, products_before=(),
        same_days=None, items_before=(), completeness=None, has_unread_usage=False,
    )  # fmt: skip
    reading = RecordReading()
    found = shown.parts(invoice(month), reading)["spend"]
    assert reading.problems == [] and isinstance(found, Spend)
    return found


def cents(found: DailySpend) -> dict[date, int]:
    return {day.day: day.amount_cents for day in found.days if day.amount_cents}


def test_rollups_of_one_app_are_one_row_and_their_days_add_up() -> None:
    """web used one request on the 1st before a price changed and one on the 2nd after it, worker one on the 2nd."""
    found = spend([rollup("web", "1", {1: "1"}), rollup("web", "1", {2: "1"}), rollup("worker", "1", {2: "1"})])
    assert found.by_app == (SpendShare("web", 600), SpendShare("worker", 300))
    assert cents(found.by_day) == {date(2026, 9, 1): 300, date(2026, 9, 2): 600}
    assert found.by_day.day_not_known_cents is None


def test_a_rollup_from_before_days_were_recorded_has_its_share_on_no_day() -> None:
    found = spend([rollup("web", "1"), rollup("worker", "2", {30: "2"})])
    assert found.by_app == (SpendShare("worker", 600), SpendShare("web", 300))
    assert cents(found.by_day) == {date(2026, 9, 30): 600}
    assert found.by_day.day_not_known_cents == 300


def test_rollups_with_fewer_days_than_others_add_up_by_day() -> None:
    found = spend([rollup("web", "1", {1: "1"}, days=1), rollup("worker", "2", {1: "1", 30: "1"})])
    assert cents(found.by_day) == {date(2026, 9, 1): 600, date(2026, 9, 30): 300}


def test_a_quantity_of_a_day_that_the_month_does_not_have_takes_no_part_of_the_amount() -> None:
    """Days add up to the total even so: $9.00 on the 1st."""
    found = spend([rollup("web", "3", {1: "1", 29: "2"})], FEBRUARY)
    assert cents(found.by_day) == {date(2026, 2, 1): 900}
    assert found.by_day.day_not_known_cents is None
