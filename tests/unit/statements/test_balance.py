"""A customer owes the amount due in Stripe: totals, less the credit of earlier invoices, plus carried amounts."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fly_billing.statements.rules.balance import Balance, StripeAmounts, balances


@dataclass(frozen=True)
class Invoice:
    month: str
    total_cents: int | None
    in_stripe: StripeAmounts | None = None
    status: str = "finalized"
    currency: str = "USD"
    is_waiting: bool = False


def sent(
    month: int, total: int, due: int, balance: int = 0, status: str = "finalized", currency: str = "USD"
) -> Invoice:
    finalized_at = datetime(2026, month + 1, 3, tzinfo=UTC)
    return Invoice(f"2026-{month:02}", total, StripeAmounts(due, balance, finalized_at), status, currency)


def usd(*invoices: Invoice) -> Balance:
    """Return the balance of US dollars, without the sums that its calculation shows."""
    return without_sums(balances(invoices)).get("USD", Balance())


def without_sums(found: dict[str, Balance]) -> dict[str, Balance]:
    return {currency: replace(balance, billed=0) for currency, balance in found.items()}


def test_an_unpaid_invoice_is_owed() -> None:
    assert usd(Invoice("2026-09", 800)) == usd(sent(9, 800, 800)) == Balance(owed=800, unpaid=1)


def test_a_paid_invoice_is_not_owed() -> None:
    assert usd(sent(9, 800, 800, status="paid")) == usd(Invoice("2026-09", 800, status="paid")) == Balance()


def test_the_credit_of_a_negative_invoice_is_deducted_from_the_next_one() -> None:
    # -5.00 is credit in Stripe; of 8.00 it asks for 3.00
    assert usd(sent(10, 800, 300), sent(9, -500, 0, -500, "paid")) == Balance(owed=300, unpaid=1, earlier=-500)


def test_a_total_that_is_too_small_to_charge_is_added_to_the_next_invoice() -> None:
    # 0.18 is carried over; for the next month of 1.00 Stripe asks for 1.18
    assert usd(sent(10, 100, 118), sent(9, 18, 0, 18, "paid")) == Balance(owed=118, unpaid=1, earlier=18)


def test_a_total_that_is_too_small_to_charge_waits_for_the_next_invoice() -> None:
    assert usd(sent(9, 18, 0, 18, "paid")) == usd(sent(9, 18, 0, 18)) == Balance(carried_over=18)


def test_a_negative_invoice_is_credit_before_and_after_it_reaches_stripe() -> None:
    credit = Balance(credit=500)
    assert usd(Invoice("2026-09", -500)) == credit
    assert usd(sent(9, -500, 0, -500)) == usd(sent(9, -500, 0, -500, "paid")) == credit


def test_credit_that_exceeds_an_invoice_remains() -> None:
    # 5.00 of credit pays 3.00: 2.00 are left, and nothing is owed
    assert usd(sent(10, 300, 0, -200), sent(9, -500, 0, -500, "paid")) == Balance(credit=200)


def test_credit_in_stripe_is_deducted_from_an_invoice_that_is_not_synced_yet() -> None:
    paid = sent(9, -500, 0, -500, "paid")
    assert usd(Invoice("2026-10", 800), paid) == Balance(owed=300, unpaid=1, earlier=-500)
    assert usd(Invoice("2026-10", 300), paid) == Balance(credit=200)


def test_a_carried_amount_is_added_to_an_invoice_that_is_not_synced_yet() -> None:
    paid = sent(9, 18, 0, 18, "paid")
    assert usd(Invoice("2026-10", 100), paid) == Balance(owed=118, unpaid=1, earlier=18)


def test_credit_never_reduces_an_earlier_invoice() -> None:
    # Stripe asked for September's 8.00 before October's credit existed
    in_stripe = (sent(9, 800, 800), sent(10, -500, 0, -500))
    not_sent = (Invoice("2026-10", -500), Invoice("2026-09", 800))
    assert usd(*in_stripe) == usd(*not_sent) == Balance(owed=800, unpaid=1, credit=500)


def test_credit_granted_in_the_dashboard_lowers_the_amount_due() -> None:
    # the dashboard granted 40.00: Stripe charges 60.00 of 100.00
    assert usd(sent(9, 10000, 6000)) == Balance(owed=6000, unpaid=1, earlier=-4000)
    # and of 130.00 for the first 100.00
    assert usd(sent(9, 10000, 0, -3000)) == Balance(credit=3000)


def test_the_balance_is_taken_from_the_invoice_that_stripe_finalized_last() -> None:
    # September was voided and issued again in November: its 2.00 used what October had left
    late = replace(sent(9, 200, 0), in_stripe=StripeAmounts(0, -100, datetime(2026, 12, 1, tzinfo=UTC)))
    assert usd(late, sent(10, -300, 0, -300, "paid")) == Balance(credit=100)


@pytest.mark.parametrize("status", ["open", "void", "uncollectible", "paid"])
def test_invoices_that_are_not_due_and_not_in_stripe_change_nothing(status: str) -> None:
    assert usd(Invoice("2026-09", 800, status=status)) == Balance()


@pytest.mark.parametrize("status", ["void", "uncollectible"])
def test_a_void_or_uncollectible_invoice_is_not_owed_and_used_its_credit(status: str) -> None:
    assert usd(sent(10, 800, 300, 0, status), sent(9, -500, 0, -500, "paid")) == Balance()


def test_each_currency_has_its_own_balance() -> None:
    assert without_sums(balances([sent(9, -500, 0, -500, currency="EUR"), sent(10, 800, 800)])) == {
        "EUR": Balance(credit=500),
        "USD": Balance(owed=800, unpaid=1),
    }


def test_several_unpaid_invoices_are_summed() -> None:
    # 8.00 + 1.00, and the second one asks for 0.18 more
    assert usd(sent(9, 800, 800), sent(10, 100, 118)) == Balance(owed=918, unpaid=2, earlier=18)


def test_invoices_without_an_amount_have_no_balance() -> None:
    assert balances([Invoice("2026-09", 0), Invoice("2026-10", None)]) == {}


@example([0, 1], 2, 0, 1)
@given(st.lists(st.integers(-1000, 1000), max_size=8), st.integers(0, 8), st.integers(0, 60), st.integers(-900, 900))
def test_the_amount_due_equals_stripes(totals: list[int], count: int, minimum: int, balance: int) -> None:
    """Computes Stripe's side: an invoice uses the customer's balance, and a total below the minimum is carried over.

    An invoice of 0.00 is not sent to Stripe, so it asks for nothing there, also if the balance does.
    """
    start, asked, invoices = balance, 0, []
    for month, total in enumerate(totals, start=1):
        invoice = Invoice(f"2026-{month:02}", total)
        if month <= count and total:
            due = max(0, total + balance)
            due = 0 if due < minimum else due
            balance, asked = balance + total - due, asked + due
            invoice = sent(month, total, due, balance)
        invoices.append(invoice)
    found = usd(*invoices[::-1])
    if any(invoice.in_stripe for invoice in invoices):
        assert found.owed + found.carried_over - found.credit == start + sum(totals)
        if count >= len(totals):
            assert (found.owed, found.carried_over - found.credit) == (asked, balance)
