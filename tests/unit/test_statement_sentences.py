"""A statement says in plain sentences what is owed and how each amount was worked out."""

import json
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.domain.price_models import PriceStep
from fly_billing.domain.statement import Statement, StatementInvoice, StatementItem, working
from tests.builders import NOW


def invoice(status: str, cents: int | None, month: str = "2026-09", currency: str = "USD") -> StatementInvoice:
    return StatementInvoice(month, status, currency, cents, NOW, None, None, None, None)


def statement(*invoices: StatementInvoice) -> Statement:
    return Statement("acme", "Acme", NOW, invoices)


@pytest.mark.parametrize(
    ("invoices", "said"),
    [
        ([], "Acme owes nothing."),
        ([invoice("paid", 500)], "Acme owes nothing."),
        ([invoice("void", 500), invoice("uncollectible", 500)], "Acme owes nothing."),
        ([invoice("finalized", 123450)], "Acme owes $1,234.50 on 1 unpaid invoice."),
        ([invoice("finalized", 100), invoice("finalized", 50)], "Acme owes $1.50 on 2 unpaid invoices."),
        ([invoice("open", 194)], "Acme owes nothing. Usage not invoiced yet comes to $1.94 so far."),
        (
            [invoice("open", 20), invoice("finalized", 100), invoice("paid", 900)],
            "Acme owes $1.00 on 1 unpaid invoice. Usage not invoiced yet comes to $0.20 so far.",
        ),
        (
            [invoice("finalized", 100), invoice("finalized", 1200, currency="JPY")],
            "Acme owes JPY 1,200 + $1.00 on 2 unpaid invoices.",
        ),
        ([invoice("not computed", None)], "Acme owes nothing."),
    ],
)
def test_the_headline_says_what_is_owed_and_what_is_still_growing(invoices: list[StatementInvoice], said: str) -> None:
    assert statement(*invoices).headline() == said


def step(quantity: str, unit_amount: str, per: str = "1") -> dict[str, str]:
    return {"quantity": quantity, "unit_amount": unit_amount, "per": per}


PACKAGES = PriceStep.of("packages of 1,000, rounded up", Decimal(1200), Decimal(25), units=Decimal(1199500)).as_data()
MINIMUM = PriceStep.fee("up to the minimum of 5", Decimal("4.70")).as_data()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("3", "request", [step("3", "0.1")], None), "3 requests x 0.1"),
        (("1", "request", [step("1", "0.1")], None), "1 request x 0.1"),
        (("7500", "GB-hour", [step("300", "0.15", "720")], "7200"), "7,200 GB-hours free; 300 x 0.15 per 720"),
        (("60", "GB", [], "60"), "60 GB free"),
        (("2592000", "second", [step("2592000", "1.94", "2592000")], None), "2,592,000 seconds x 1.94 per 2,592,000"),
        (("6", "font", [step("5", "7"), step("1", "6.5")], None), "5 fonts x 7; 1 font x 6.5"),
        (("1", "month", [step("1", "29")], None), "1 month x 29"),
        (("0", "request", [], None), "0 requests"),
        (("1199500", "request", [PACKAGES], None), "packages of 1,000, rounded up: 1,200 x 25"),
        (("3", "request", [step("3", "0.1"), MINIMUM], None), "3 requests x 0.1; up to the minimum of 5: 4.7"),
        (("1", "item", [], None), ""),
    ],
)
def test_an_amount_is_shown_as_a_sum_that_a_person_can_redo(arguments: Any, said: str) -> None:
    assert working(*arguments) == said


def test_a_statement_as_data_is_json_with_exact_amounts_as_text() -> None:
    item = StatementItem("Machines", "shared", "1 second x 1.94 per 2,592,000", "0.00000074845679012346", 0)
    one = StatementInvoice("2026-09", "open", "USD", 0, NOW, NOW.date(), None, None, None, (item,))
    data = json.loads(json.dumps(statement(one).as_data()))
    assert data["upcoming_cents"] == {"USD": 0}
    assert data["owed_cents"] == {}
    assert data["invoices"][0]["items"][0]["amount"] == "0.00000074845679012346"
    assert (data["invoices"][0]["as_of"], data["invoices"][0]["due_on"]) == ("2026-09-20T12:00:00+00:00", "2026-09-20")
