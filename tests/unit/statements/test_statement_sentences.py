"""The statement's sentences: the amount owed, and the calculation of each amount."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.line_text import term_working, working
from fly_billing.pricing.rules.models import PriceStep
from fly_billing.statements.rules.balance import StripeAmounts
from fly_billing.statements.rules.statement import (
    Completeness,
    PayingOrganization,
    RemainingCredit,
    Statement,
    StatementInvoice,
    StatementItem,
    UsageSource,
    subscribed_working,
)
from tests.support.builders import NOW


def invoice(status: str, cents: int | None, month: str = "2026-09", currency: str = "USD") -> StatementInvoice:
    return StatementInvoice(month, status, currency, cents, NOW, None, None, None, None)


def in_stripe(sent: StatementInvoice, due: int, balance: int = 0) -> StatementInvoice:
    return replace(sent, in_stripe=StripeAmounts(due, balance, NOW))


def statement(*invoices: StatementInvoice) -> Statement:
    return Statement("acme", "Acme", NOW, invoices)


@pytest.mark.parametrize(
    ("invoices", "text"),
    [
        ([], "Acme owes nothing."),
        ([invoice("paid", 500)], "Acme owes nothing."),
        ([invoice("void", 500), invoice("uncollectible", 500)], "Acme owes nothing."),
        ([invoice("finalized", 123450)], "Acme owes $1,234.50 on 1 unpaid invoice."),
        ([invoice("finalized", 100), invoice("finalized", 50)], "Acme owes $1.50 on 2 unpaid invoices."),
        ([invoice("open", 194)], "Acme owes nothing. Not invoiced yet: $1.94 so far."),
        (
            [invoice("open", 20), invoice("finalized", 100), invoice("paid", 900)],
            "Acme owes $1.00 on 1 unpaid invoice. Not invoiced yet: $0.20 so far.",
        ),
        (
            [invoice("finalized", 100), invoice("finalized", 1200, currency="JPY")],
            "Acme owes JPY 1,200 + $1.00 on 2 unpaid invoices.",
        ),
        ([invoice("not computed", None)], "Acme owes nothing."),
        ([invoice("finalized", -500)], "Acme owes nothing. A credit of $5.00 reduces the next invoice."),
        (
            [in_stripe(invoice("paid", -500), due=0, balance=-500)],
            "Acme owes nothing. A credit of $5.00 reduces the next invoice.",
        ),
        (
            [in_stripe(invoice("finalized", 800), due=300)],
            "Acme owes $3.00 on 1 unpaid invoice, after $5.00 of credit.",
        ),
        (
            [in_stripe(invoice("paid", 18), due=0, balance=18)],
            "Acme owes nothing. $0.18 is too small to charge and is added to the next invoice.",
        ),
        (
            [in_stripe(invoice("finalized", 100), due=118), invoice("open", 20)],
            "Acme owes $1.18 on 1 unpaid invoice, including $0.18 carried over from earlier invoices."
            " Not invoiced yet: $0.20 so far.",
        ),
        (
            [invoice("finalized", -500, currency="EUR"), invoice("finalized", 100)],
            "Acme owes $1.00 on 1 unpaid invoice. A credit of EUR 5.00 reduces the next invoice in EUR.",
        ),
    ],
)
def test_the_headline_has_the_amount_owed_and_the_usage_not_invoiced_yet(
    invoices: list[StatementInvoice], text: str
) -> None:
    assert statement(*invoices).headline() == text


def test_the_headline_warns_that_unreadable_records_are_missing_from_the_amount() -> None:
    incomplete = replace(statement(invoice("finalized", 100)), problems=("invoice 7: total is not a number",))
    assert incomplete.headline() == (
        "Acme owes $1.00 on 1 unpaid invoice. Some records could not be read, so this may be incomplete."
    )


def step(quantity: str, unit_amount: str, per: str = "1") -> dict[str, str]:
    return {"quantity": quantity, "unit_amount": unit_amount, "per": per}


PACKAGES = PriceStep.of("packages of 1,000, rounded up", Decimal(1200), Decimal(25), units=Decimal(1199500)).as_data()
FLAT_FEE = PriceStep.fee("flat fee of 0 to 5", Decimal("10.00")).as_data()
MINIMUM = PriceStep.fee("up to the minimum of 5", Decimal("4.70")).as_data()


@pytest.mark.parametrize(
    ("arguments", "text"),
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
        (
            ("6", "font", [step("5", "1"), FLAT_FEE, step("1", "2")], None),
            "5 fonts x 1; flat fee of 0 to 5: 10; 1 font x 2",
        ),
        (("1", "item", [], None), ""),
    ],
)
def test_an_amount_is_shown_as_a_calculation_that_a_person_can_repeat(arguments: Any, text: str) -> None:
    assert working(*arguments) == text


@pytest.mark.parametrize(
    ("kind", "detail", "text"),
    [
        ("discount", {"code": "TEN", "percent": "10", "base": "1725.8"}, "10 % of 1,725.8"),
        ("discount", {"code": "FIVE", "amount": "5", "base": "30"}, "5 off 30, at most 30"),
        (
            "minimum",
            {"minimum": "1000", "base": "200", "counted_before": "300"},
            "1,000 agreed; 200 this month, 300 before",
        ),
        ("maximum", {"maximum": "100", "base": "120"}, "120, capped at 100"),
        ("credit", {"available": "250", "drawn": "200", "left": "50"}, "250 available, 50 left"),
        ("tax", {"percent": "19", "base": "7"}, "19 % of 7"),
        ("usage", {"steps": []}, ""),
        ("tax", {}, ""),
    ],
)
def test_terms_of_a_contract_are_shown_with_their_numbers(kind: str, detail: dict[str, Any], text: str) -> None:
    assert term_working(kind, detail) == text


def test_a_statement_as_data_is_json_with_exact_amounts_as_text() -> None:
    item = StatementItem("Machines", "shared", "1 second x 1.94 per 2,592,000", "0.00000074845679012346", 0)
    september = StatementInvoice("2026-09", "open", "USD", 0, NOW, NOW.date(), None, None, None, (item,))
    data = json.loads(json.dumps(statement(september).as_data()))
    assert data["upcoming_cents"] == {"USD": 0}
    assert data["owed_cents"] == {}
    assert data["invoices"][0]["items"][0]["amount"] == "0.00000074845679012346"
    assert (data["invoices"][0]["as_of"], data["invoices"][0]["due_on"]) == ("2026-09-20T12:00:00+00:00", "2026-09-20")
    assert data["invoices"][0]["status_in_words"] == "open (so far)"
    assert list(data)[:5] == ["organization_id", "organization_name", "as_of", "owed_cents", "upcoming_cents"]


def test_the_items_of_a_product_are_shown_together_in_the_order_of_the_invoice() -> None:
    first, second = (StatementItem("Machines", name, "", "1", 100) for name in ("shared", "performance"))
    between = StatementItem("Volumes", "Storage", "", "1", 100)
    shown = replace(invoice("open", 300), items=(first, between, second)).items_by_product()
    assert list(shown.items()) == [("Machines", [first, second]), ("Volumes", [between])]


@pytest.mark.parametrize(
    ("status", "cents", "text"),
    [
        ("open", 20, "open (so far)"),
        ("finalized", 20, "due"),
        ("finalized", 0, "nothing to pay"),
        ("finalized", -500, "credit"),
        ("paid", 20, "paid"),
        ("void", 20, "void"),
        ("uncollectible", 20, "not collected"),
        ("not computed", None, "not calculated yet"),
    ],
)
def test_the_status_of_an_invoice_is_shown_in_words(status: str, cents: int | None, text: str) -> None:
    assert invoice(status, cents).status_in_words() == text


def test_an_invoice_without_an_amount_due_in_stripe_is_not_due() -> None:
    assert in_stripe(invoice("finalized", 300), due=0, balance=-200).status_in_words() == "nothing to pay"
    assert in_stripe(invoice("finalized", 100), due=118).status_in_words() == "due"


@pytest.mark.parametrize("status", ["finalized", "paid"])
def test_an_invoice_that_stripe_settled_without_a_payment_is_not_called_paid(status: str) -> None:
    """Stripe marks both paid at once: 0.18 waits for the next invoice, and -5.00 reduces it."""
    assert in_stripe(invoice(status, 18), due=0, balance=18).status_in_words() == "carried over"
    assert in_stripe(invoice(status, -500), due=0, balance=-500).status_in_words() == "credit"


def test_an_invoice_that_credit_paid_is_called_paid() -> None:
    # 3.00 of 5.00 of credit: 2.00 are left
    assert in_stripe(invoice("paid", 300), due=0, balance=-200).status_in_words() == "paid"


@pytest.mark.parametrize(
    ("status", "text"),
    [
        ("open", "open (so far), paid by Globex"),
        ("finalized", "paid by Globex"),
        ("paid", "paid by Globex"),
        ("void", "void"),
    ],
)
def test_the_status_names_the_payer_to_an_organization_that_does_not_pay(status: str, text: str) -> None:
    assert replace(invoice(status, 20), payer=PayingOrganization("globex", "Globex")).status_in_words() == text


def test_an_invoice_that_another_organization_pays_is_not_owed() -> None:
    paid_by_other = replace(invoice("finalized", 500), payer=PayingOrganization("globex", "Globex"))
    assert statement(paid_by_other).headline() == "Acme owes nothing."
    upcoming = replace(invoice("open", 500), payer=PayingOrganization("globex", "Globex"))
    assert statement(upcoming, invoice("finalized", 100)).headline() == "Acme owes $1.00 on 1 unpaid invoice."


def test_a_reissued_invoice_is_shown_instead_of_the_voided_one() -> None:
    found = replace(statement(invoice("void", 500), invoice("finalized", 400)), month="2026-09")
    assert found.shown() == invoice("finalized", 400)
    assert replace(found, invoices=(invoice("void", 500),)).shown() == invoice("void", 500)
    assert statement().shown() is None


def test_a_remaining_credit_is_never_overstated() -> None:
    """$12.349 left: $12.34, and not $12.35."""
    credit = RemainingCredit.of("Welcome", "USD", Decimal("50"), Decimal("12.349"), None)
    assert credit == RemainingCredit("Welcome", "USD", 5000, 1234, None)
    assert RemainingCredit.of("Welcome", "JPY", Decimal("5000"), Decimal("12.9"), None).left_cents == 12


def test_a_large_credit_is_rounded_down_too() -> None:
    """Twenty nines after the point are 99 cents, also with 999,999,999 dollars before it."""
    large = Decimal("999999999.99999999999999999999")
    credit = RemainingCredit.of("Prepaid", "USD", large, large, NOW)
    assert (credit.granted_cents, credit.left_cents, credit.expires_at) == (99_999_999_999, 99_999_999_999, NOW)


def daily(name: str, until: date, days: int = 20) -> UsageSource:
    return UsageSource(name, days, until)


def complete(until: date | None, *sources: UsageSource) -> Completeness:
    return Completeness(until, date(2026, 9, 30), sources)


@pytest.mark.parametrize(
    ("completeness", "text"),
    [
        (complete(None), "Usage for the first day of this month is still incomplete."),
        (
            complete(date(2026, 9, 20), daily("machines.jsonl", date(2026, 9, 20))),
            "Includes all usage received by the end of 2026-09-20 (UTC).",
        ),
        (
            complete(
                date(2026, 9, 20), daily("machines.jsonl", date(2026, 9, 20)), daily("ips.csv", date(2026, 9, 18))
            ),
            "Includes all usage received by the end of 2026-09-20 (UTC). Overdue: ips.csv (last received 2026-09-18).",
        ),
        (  # usage of seven consecutive days is overdue
            complete(
                date(2026, 9, 20),
                daily("ips.csv", date(2026, 9, 18), days=7),
                daily("once.csv", date(2026, 9, 1), days=6),
                daily("volumes.csv", date(2026, 9, 19)),
            ),
            "Includes all usage received by the end of 2026-09-20 (UTC)."
            " Overdue: ips.csv (last received 2026-09-18), volumes.csv (last received 2026-09-19).",
        ),
        (  # a correction that arrived three times is not overdue
            complete(date(2026, 9, 20), daily("late.csv", date(2026, 9, 9), days=3)),
            "Includes all usage received by the end of 2026-09-20 (UTC).",
        ),
        (  # the day after is not over: its folder was read at 12:05
            Completeness(
                date(2026, 9, 20),
                date(2026, 9, 30),
                (daily("machines.jsonl", date(2026, 9, 21)), daily("ips.csv", date(2026, 9, 19))),
                datetime(2026, 9, 21, 12, 5, tzinfo=UTC),
            ),
            "Includes all usage received by 2026-09-21 12:05 UTC. Last received: machines.jsonl on 2026-09-21 by 12:05,"
            " ips.csv on 2026-09-19. Overdue: ips.csv (last received 2026-09-19).",
        ),
        (  # on the first day of a month, no day is over
            Completeness(None, date(2026, 9, 30), (), datetime(2026, 9, 1, 0, 5, tzinfo=UTC)),
            "Includes all usage received by 2026-09-01 00:05 UTC.",
        ),
        (  # seven sources: five are named
            Completeness(
                date(2026, 9, 20),
                date(2026, 9, 30),
                tuple(daily(f"{n}.csv", date(2026, 9, 20)) for n in "abcdefg"),
                datetime(2026, 9, 21, 0, 5, tzinfo=UTC),
            ),
            "Includes all usage received by 2026-09-21 00:05 UTC. Last received: a.csv on 2026-09-20,"
            " b.csv on 2026-09-20, c.csv on 2026-09-20, d.csv on 2026-09-20, e.csv on 2026-09-20, and 2 more.",
        ),
        (  # usage that stopped after the month's end is not overdue in it
            complete(date(2026, 10, 3), daily("machines.jsonl", date(2026, 9, 30))),
            "Includes all usage received by the end of 2026-10-03 (UTC).",
        ),
    ],
)
def test_a_statement_names_included_and_overdue_usage(completeness: Completeness, text: str) -> None:
    assert completeness.in_words() == text


@pytest.mark.parametrize(("detail", "text"), [({"subscribed": "3"}, "quantity 3: "), ({"steps": []}, "")])
def test_the_fee_of_three_seats_names_their_number(detail: dict[str, Any], text: str) -> None:
    assert subscribed_working(detail) == text
