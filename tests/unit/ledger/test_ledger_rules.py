"""The entries that each event makes: an organization's year. A debit is positive."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.ledger.rules.accounts import ACCOUNTS, OWED
from fly_billing.ledger.rules.events import EVENTS, EntryLine, entries_of

DOCUMENT = Path(__file__).parents[3] / "docs" / "ledger.md"
CENTS = st.integers(-(10**12), 10**12)


def balances(*events: tuple[str, dict[str, int]]) -> dict[str, int]:
    """Add up the entries of these events by account. Accounts that come to 0 are left out."""
    totals: dict[str, int] = {}
    for event, amounts in events:
        for account, cents in entries_of(event, amounts).items():
            totals[account] = totals.get(account, 0) + cents
    return {account: cents for account, cents in totals.items() if cents}


def invoice(total: int, revenue: int = 0, tax: int = 0, credit: int = 0) -> dict[str, int]:
    return {
        "total": total,
        "revenue": revenue or total - tax + credit,
        "tax": tax,
        "credit": credit,
        "asked": total,
        "noted": 0,
        "noted_tax": 0,
    }


def owed(totals: dict[str, int]) -> int:
    return sum(totals.get(account, 0) for account in OWED)


def test_an_invoice_charges_revenue_and_tax() -> None:
    """100.00 and 19 % VAT: the customer owes 119.00, and 19.00 of it belongs to the tax office."""
    assert entries_of("invoice_finalized", invoice(11900, tax=1900)) == {
        "receivable": 11900,
        "revenue": -10000,
        "tax_payable": -1900,
    }


def test_prepaid_credit_pays_revenue_and_tax() -> None:
    """Of 119.00, a deposit pays 50.00: 69.00 is owed, and revenue and tax stay as they are."""
    assert entries_of("invoice_finalized", invoice(6900, tax=1900, credit=5000)) == {
        "receivable": 6900,
        "customer_credit": 5000,
        "revenue": -10000,
        "tax_payable": -1900,
    }


def test_a_payment_turns_the_receivable_into_cash() -> None:
    bill = invoice(11900, tax=1900)
    paid = balances(("invoice_finalized", bill), ("invoice_paid", bill))
    assert paid == {"cash": 11900, "revenue": -10000, "tax_payable": -1900}


def test_a_void_invoice_leaves_nothing_behind() -> None:
    bill = invoice(6900, tax=1900, credit=5000)
    assert balances(("invoice_finalized", bill), ("invoice_voided", bill)) == {}


def test_a_written_off_invoice_is_not_owed_any_more_and_can_still_be_paid_or_voided() -> None:
    bill = invoice(2500)
    written_off = [("invoice_finalized", bill), ("invoice_written_off", bill)]
    assert balances(*written_off) == {"written_off": 2500, "revenue": -2500}
    assert balances(*written_off, ("written_off_invoice_paid", bill)) == {"cash": 2500, "revenue": -2500}
    assert balances(*written_off, ("written_off_invoice_voided", bill)) == {}


def test_a_total_below_the_minimum_charge_is_owed_with_the_next_invoice() -> None:
    """0.18 is too small for Stripe: it asks for 0.00 and marks it paid. With 1.00 it asks for 1.18."""
    small, next_one = invoice(18) | {"asked": 0}, invoice(100) | {"asked": 118}
    carried = [("invoice_finalized", small), ("invoice_paid", small)]
    assert balances(*carried) == {"receivable": 18, "revenue": -18}
    billed = [*carried, ("invoice_finalized", next_one)]
    assert owed(balances(*billed)) == 118
    assert balances(*billed, ("invoice_paid", next_one)) == {"cash": 118, "revenue": -118}


def test_a_negative_total_is_credit_for_the_next_invoice() -> None:
    """A refund of 5.00 and then 8.00: Stripe asks for 3.00."""
    refund, next_one = invoice(-500) | {"asked": 0}, invoice(800) | {"asked": 300}
    assert owed(balances(("invoice_finalized", refund), ("invoice_paid", refund))) == -500
    billed = [("invoice_finalized", refund), ("invoice_paid", refund), ("invoice_finalized", next_one)]
    assert owed(balances(*billed)) == 300
    assert owed(balances(*billed, ("invoice_paid", next_one))) == 0


def test_the_balance_at_stripe_moves_between_invoices_without_changing_what_is_owed() -> None:
    """0.18 is carried over (applied: 0.00 - 0.18), and then asked for with 1.00 (applied: 1.18 - 1.00)."""
    carried = balances(("invoice_finalized", invoice(18)), ("stripe_balance_applied", {"applied": -18}))
    assert carried == {"stripe_balance": 18, "revenue": -18}
    asked = balances(
        ("invoice_finalized", invoice(18)),
        ("stripe_balance_applied", {"applied": -18}),
        ("invoice_finalized", invoice(100)),
        ("stripe_balance_applied", {"applied": 18}),
    )
    assert asked == {"receivable": 118, "revenue": -118}


def test_credit_given_in_the_dashboard_lowers_what_is_owed() -> None:
    """40.00 of credit, and an invoice of 100.00: Stripe asks for 60.00 (applied: 60.00 - 100.00)."""
    totals = balances(
        ("stripe_credit_given", {"given": 4000}),
        ("invoice_finalized", invoice(10000)),
        ("stripe_balance_applied", {"applied": -4000}),
    )
    assert totals == {"receivable": 6000, "revenue": -6000}


def test_a_credit_note_takes_back_revenue_and_the_next_invoice_draws_it() -> None:
    """10.00 of 50.00 were wrong. The next invoice charges 30.00 and asks for 20.00: 70.00 of revenue in all."""
    totals = balances(
        ("invoice_finalized", invoice(5000)),
        ("invoice_paid", invoice(5000)),
        ("credit_note_issued", {"note": 1000, "returned": 0}),
        ("invoice_finalized", invoice(2000, credit=1000)),
    )
    assert totals == {"cash": 5000, "receivable": 2000, "revenue": -7000}


def test_a_credit_note_gives_back_what_a_deposit_had_paid_to_the_deposit() -> None:
    """10.00 were wrong, and a deposit had paid 4.00 of them: the note is 6.00, the deposit gets 4.00 back."""
    assert entries_of("credit_note_issued", {"note": 600, "returned": 400}) == {
        "revenue": 1000,
        "customer_credit": -1000,
    }


def test_prepaid_credit_is_deferred_until_it_is_used_and_breakage_if_it_expires() -> None:
    """100.00 are sold, 70.00 pay for usage, 30.00 expire: 70.00 of revenue, 30.00 of breakage."""
    totals = balances(
        ("prepaid_credit_granted", {"granted": 10000}),
        ("invoice_finalized", invoice(0, revenue=7000, credit=7000)),
        ("prepaid_credit_expired", {"left": 3000}),
    )
    assert totals == {"deferred_revenue": 10000, "revenue": -7000, "breakage": -3000}


def test_a_refund_pays_money_back_and_changes_nothing_that_is_owed() -> None:
    bill = invoice(2000)
    paid = [("invoice_finalized", bill), ("invoice_paid", bill)]
    assert balances(*paid, ("payment_refunded", {"refunded": 500})) == {"cash": 1500, "refunds": 500, "revenue": -2000}
    returned = [("payment_refunded", {"refunded": 500}), ("refund_failed", {"refunded": 500})]
    assert balances(*paid, *returned) == balances(*paid)


def test_a_dispute_holds_the_money_until_it_is_won_or_lost() -> None:
    opened, amount = ("dispute_opened", {"disputed": 900}), {"disputed": 900}
    assert balances(opened) == {"cash": -900, "disputed": 900}
    assert balances(opened, ("dispute_won", amount)) == {}
    assert balances(opened, ("dispute_lost", amount)) == {"cash": -900, "written_off": 900}


def test_amounts_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="the entries of invoice_finalized sum to 1 cents"):
        entries_of("invoice_finalized", {"total": 11901, "revenue": 10000, "tax": 1900, "credit": 0})


def test_an_entry_needs_an_account_that_exists() -> None:
    with pytest.raises(ValueError, match="no account 'petty_cash'"):
        EntryLine("petty_cash", "debit", "total")


@given(st.sampled_from(sorted(EVENTS)), CENTS, CENTS, CENTS)
def test_every_event_sums_to_zero_whatever_its_amounts(event: str, revenue: int, tax: int, credit: int) -> None:
    names = {line.amount for line in EVENTS[event].lines}
    amounts = {"revenue": revenue, "tax": tax, "credit": credit, "total": revenue + tax - credit}
    entries = entries_of(event, dict.fromkeys(names, 7) | amounts)
    assert sum(entries.values()) == 0
    assert 0 not in entries.values()


@pytest.mark.parametrize("side", ["debit", "credit"])
def test_a_balance_is_shown_positive_on_the_usual_side_of_its_account(side: str) -> None:
    shown = {account.text(-500, "USD") for account in ACCOUNTS.values() if account.side == side}
    assert shown == {"-$5.00" if side == "debit" else "$5.00"}


def _rows(heading: str) -> Iterable[list[str]]:
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_document_has_every_account_and_every_entry() -> None:
    accounts = {row[0].strip("`"): (row[1], row[2], row[3]) for row in _rows("Accounts")}
    assert accounts == {account.key: (account.name, account.side, account.meaning) for account in ACCOUNTS.values()}
    events = [(row[0].strip("`"), row[1], row[2], row[3]) for row in _rows("Events")]
    expected = [
        (event.key, event.name, _accounts(event.lines, "debit"), _accounts(event.lines, "credit"))
        for event in EVENTS.values()
    ]
    assert events == expected


def _accounts(lines: Iterable[EntryLine], side: str) -> str:
    return ", ".join(f"{line.account}: {line.amount}" for line in lines if line.side == side)
