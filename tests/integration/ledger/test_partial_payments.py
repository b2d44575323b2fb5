"""Stripe takes several payments for one invoice: each part is cash when it is read, and the rest stays owed.

Worked by hand against the sandbox, in cents. A debit is positive. acme's invoice of June is 12.00.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.dunning.past_due import late_payments
from fly_billing.ledger.checks import ledger_differences
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxError, SandboxServer
from fly_billing.stripe_sync.event_inbox import receive
from fly_billing.stripe_sync.missed_statuses import apply_missed_statuses
from fly_billing.stripe_sync.money_sweep import sweep_money
from tests.support.stripe_builders import JULY, JUNE, execute, query, reads, utc_now
from tests.support.stripe_money import StripePlatform, agree


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    platform = StripePlatform(billing_database, sandbox, tmp_path)
    platform.bill(JUNE, "12.00")
    platform.act("give-card")
    return platform


def test_a_part_by_card_is_cash_and_the_rest_is_owed_until_it_is_paid(acme: StripePlatform) -> None:
    """5.00 of 12.00, and later the other 7.00."""
    acme.act("pay-part", amount=500)
    agree(acme, 700)
    assert acme.balances() == {"cash": 500, "receivable": 700, "revenue": -1200}
    acme.act("pay")
    agree(acme, 0)
    assert acme.events()[1:] == [
        ("invoice_part_paid", {"cash": 500, "receivable": -500}),
        ("invoice_paid", {"cash": 700, "receivable": -700}),
    ]


def test_the_statement_shows_what_is_paid_so_far_and_what_remains(acme: StripePlatform) -> None:
    acme.act("pay-part", amount=500)
    acme.poll()
    statement = acme.statement()
    assert statement.calculation() == [
        ("Unpaid invoices (1)", "$12.00"),
        ("Paid so far", "-$5.00"),
        ("Owed", "$7.00"),
    ]
    assert statement.headline() == "Acme owes $7.00 on 1 unpaid invoice, after $5.00 paid so far."
    assert statement.balances()["USD"].paid == 500
    (june,) = statement.invoices
    assert june.sums() == [("Total", 1200), ("Paid so far", -500), ("Amount due", 700)]
    assert june.status_in_words() == "paid in part"
    assert "$7.00 was due on" in june.reminder(utc_now())


def test_a_part_outside_of_stripe_and_a_last_part_by_card_pay_the_invoice(acme: StripePlatform) -> None:
    """3.00 by check, 4.00 and 5.00 by card: the last part makes the invoice paid."""
    acme.act("pay-part", amount=300, outside=True)
    acme.act("pay-part", amount=400)
    agree(acme, 500)
    acme.act("pay-part", amount=500)
    agree(acme, 0)
    assert [(name, entries["cash"]) for name, entries in acme.events()[1:]] == [
        ("invoice_part_paid", 700), ("invoice_paid", 500),
    ]  # fmt: skip
    (row,) = query(
        acme.database,
        "select status, paid_cents, out_of_band_cents from stripe_invoice_amounts order by number desc limit 1",
    )
    assert dict(row) == {"status": "paid", "paid_cents": 1200, "out_of_band_cents": 300}


def test_a_part_and_the_rest_outside_of_stripe_are_cash_of_both(acme: StripePlatform) -> None:
    acme.act("pay-part", amount=500)
    acme.act("mark-paid")
    agree(acme, 0)
    assert acme.balances() == {"cash": 1200, "revenue": -1200}


def test_parts_lower_what_is_left_after_credit_notes_and_what_was_carried_over(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """0.18 carried over and 10.00: of 10.18, a credit note takes back 2.00 and 5.00 are paid: 3.18 remain."""
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.bill(JUNE, "0.18")
    acme.bill(JULY, "10.00")
    acme.act("give-card", JULY)
    acme.act("credit-note", JULY, amount=200)
    acme.act("pay-part", JULY, amount=500)
    agree(acme, 318)
    assert acme.statement().calculation() == [
        ("Unpaid invoices (1)", "$10.00"),
        ("Credit notes", "-$2.00"),
        ("Carried over, because it was below the minimum charge", "$0.18"),
        ("Paid so far", "-$5.00"),
        ("Owed", "$3.18"),
    ]
    acme.act("void-credit-note", JULY)
    agree(acme, 518)
    acme.act("pay", JULY)
    agree(acme, 0)
    assert acme.balances() == {"cash": 1018, "revenue": -1018}


def test_a_refund_of_a_part_leaves_the_rest_owed(acme: StripePlatform) -> None:
    """Of 5.00 paid, 2.00 are refunded: Stripe still asks for the other 7.00, and not for the 2.00."""
    acme.act("pay-part", amount=500)
    acme.act("refund", amount=200)
    agree(acme, 700)
    assert acme.balances() == {"cash": 300, "refunds": 200, "receivable": 700, "revenue": -1200}


def test_a_disputed_part_is_held_back_by_the_bank(acme: StripePlatform) -> None:
    acme.act("pay-part", amount=500)
    acme.act("dispute")
    acme.act("lose-dispute")
    agree(acme, 700)
    assert acme.balances() == {"written_off": 500, "receivable": 700, "revenue": -1200}


def test_stripe_refuses_to_void_an_invoice_paid_in_part_and_a_credit_note_takes_all_of_it_back(
    acme: StripePlatform,
) -> None:
    """Of 12.00, 5.00 are paid. The credit note over 12.00 takes 7.00 off the invoice and refunds 5.00."""
    acme.act("pay-part", amount=500)
    with pytest.raises(SandboxError, match="cannot be voided"):
        acme.act("void")
    acme.act("credit-note", amount=1200, to="refund")
    agree(acme, 0)
    assert acme.balances() == {}
    assert acme.invoice()["status"] == "paid"


def test_only_what_was_not_paid_is_written_off_and_it_can_be_paid_in_parts(acme: StripePlatform) -> None:
    """5.00 paid, 7.00 written off. Later acme pays 2.00, and then the other 5.00."""
    acme.act("pay-part", amount=500)
    acme.act("write-off")
    agree(acme, 0)
    assert acme.balances() == {"cash": 500, "written_off": 700, "revenue": -1200}
    acme.act("pay-part", amount=200)
    agree(acme, 0)
    assert acme.balances() == {"cash": 700, "written_off": 500, "revenue": -1200}
    acme.act("pay")
    agree(acme, 0)
    assert acme.balances() == {"cash": 1200, "revenue": -1200}
    assert [name for name, _ in acme.events()[1:]] == [
        "invoice_part_paid", "invoice_written_off", "written_off_invoice_part_paid", "written_off_invoice_paid",
    ]  # fmt: skip


# Late, lost and reordered events -------------------------------------------------------------------------------------


def test_parts_whose_events_come_after_the_payment_are_not_cash_twice(acme: StripePlatform) -> None:
    """5.00 and 7.00 are paid before anything is read. `invoice.paid` arrives first, and has the whole 12.00."""
    acme.act("pay-part", amount=500)
    acme.act("pay-part", amount=700)
    reader = acme.tools.reader()
    events = acme.tools.client.v1.events.list({"limit": 100, "types": ["invoice.paid", "invoice_payment.paid"]}).data
    for event in events:  # newest first
        receive(acme.database, event.to_dict(), "webhook", utc_now(), reader)
    agree(acme, 0)
    assert acme.events()[1:] == [("invoice_paid", {"cash": 1200, "receivable": -1200})]


def test_a_part_whose_event_is_lost_is_found_by_the_sweep(acme: StripePlatform) -> None:
    """5.00 are paid, then the invoice is written off, and both events are lost."""
    acme.act("pay-part", amount=500)
    assert sweep_money(acme.database, acme.tools.reader(), utc_now()).missed["invoices"] == 1
    assert acme.balances() == {"cash": 500, "receivable": 700, "revenue": -1200}
    acme.act("pay-part", amount=100)
    acme.act("write-off")
    sweep_money(acme.database, acme.tools.reader(), utc_now())
    assert apply_missed_statuses(acme.database, utc_now()) == 1
    agree(acme, 0)
    assert acme.balances() == {"cash": 600, "written_off": 600, "revenue": -1200}


def test_a_payment_of_all_that_remains_costs_no_further_read(acme: StripePlatform, sandbox: SandboxServer) -> None:
    """Its invoice's own event says that it is paid: reading each invoice once more would take hours at month end."""
    acme.poll()
    acme.act("pay")
    sandbox.control.clear_calls()
    acme.poll()
    assert reads(sandbox) == {"events.list": 1}


# Checks and dunning --------------------------------------------------------------------------------------------------


def test_a_part_that_is_not_posted_fails_the_check_and_is_posted_by_the_repair(acme: StripePlatform) -> None:
    execute(acme.database, "alter table stripe_invoice_amounts disable trigger post_stripe_amounts")
    acme.act("pay-part", amount=500)
    acme.poll()
    assert [(each.event, each.account, each.should_be) for each in ledger_differences(acme.database, JUNE)] == [
        ("invoice_part_paid", "cash", 500), ("invoice_part_paid", "receivable", -500),
    ]  # fmt: skip
    assert query(acme.database, "select post_missing_to_ledger() as posted") == [{"posted": 1}]
    agree(acme, 700)


def test_the_platform_is_told_that_the_rest_is_late(acme: StripePlatform) -> None:
    acme.act("pay-part", amount=500)
    acme.poll()
    (late,) = late_payments(acme.database, utc_now(), 7)
    assert late.due_cents == 700
    assert "$7.00 is" in late.in_words(utc_now())
    assert query(acme.database, "select due_cents from finance_receivables") == [{"due_cents": 700}]
