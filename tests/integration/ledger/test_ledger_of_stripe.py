"""Actions of people and banks at Stripe are posted to the ledger, and the amount owed is the one Stripe asks for.

Worked by hand against the sandbox, in cents. A debit is positive.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fly_billing.ledger.checks import ledger_differences
from fly_billing.ledger.expired_credits import record_expired_credits
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import settle_waiting_events
from fly_billing.stripe_sync.money_inbox import FoundMoney, record_money
from fly_billing.stripe_sync.rules.money_objects import MoneyObject, read_money_object
from tests.support.builders import CLOSED, SEPTEMBER, Platform, at, event
from tests.support.stripe_builders import JULY, JUNE, execute, query
from tests.support.stripe_money import StripePlatform, account_balances, agree
from tests.support.unguarded import damage
from tests.unit.stripe_sync.test_money_objects import balance_change, credit_note, refund


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    return StripePlatform(billing_database, sandbox, tmp_path)


# Owed = asked --------------------------------------------------------------------------------------------------------


def test_a_total_below_the_minimum_charge_is_owed_with_the_next_one(acme: StripePlatform) -> None:
    """0.18 is carried over. With 1.00 Stripe asks for 1.18, and acme pays it."""
    acme.bill(JUNE, "0.18")
    agree(acme, 18)
    assert acme.balances() == {"stripe_balance": 18, "revenue": -18}
    acme.bill(JULY, "1.00")
    agree(acme, 118)
    assert acme.balances() == {"receivable": 118, "revenue": -118}
    acme.pay(JULY)
    agree(acme, 0)
    assert acme.balances() == {"cash": 118, "revenue": -118}


def test_a_negative_total_is_credit_for_the_next_invoice(acme: StripePlatform) -> None:
    """-5.00, and then 8.00: Stripe asks for 3.00."""
    acme.bill(JUNE, "-5.00")
    agree(acme, -500)
    acme.bill(JULY, "8.00")
    agree(acme, 300)
    assert acme.balances() == {"receivable": 300, "revenue": -300}


def test_a_balance_that_someone_charged_is_not_called_too_small(acme: StripePlatform) -> None:
    """June's 12.00 are open, and 7.00 are charged to the balance in the dashboard. July's 3.00 ask for 10.00."""
    acme.bill(JUNE, "12.00")
    acme.act("debit", amount=700)
    agree(acme, 1900)
    assert ("Added to the next invoice", "$7.00") in acme.statement().calculation()
    assert "$7.00 is added to the next invoice." in acme.statement().headline()
    acme.bill(JULY, "3.00")
    agree(acme, 2200)
    assert ("Carried over", "$7.00") in acme.statement().calculation()


def test_credit_given_in_the_dashboard_pays_the_next_invoice(acme: StripePlatform) -> None:
    """40.00 are given after an invoice of 12.00. The next one of 30.00 asks for nothing: 10.00 of credit are left."""
    acme.bill(JUNE, "12.00")
    acme.act("credit", amount=4000)
    agree(acme, 1200 - 4000)
    acme.bill(JULY, "30.00")
    agree(acme, 1200 - 1000)
    assert acme.balances() == {"receivable": 1200, "stripe_balance": -1000, "revenue": -200}


def test_credit_that_is_taken_back_in_the_dashboard_is_owed(acme: StripePlatform) -> None:
    acme.bill(JUNE, "12.00")
    acme.act("credit", amount=4000)
    acme.act("debit", amount=4300)
    agree(acme, 1200 + 300)
    assert [name for name, _ in acme.events()[1:]] == ["stripe_credit_given", "stripe_credit_taken"]


def test_a_refund_pays_money_back_and_does_not_change_what_is_owed(acme: StripePlatform) -> None:
    """Of 12.00, 2.00 are refunded. The bank sends them back: the money is ours again."""
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("refund", amount=200)
    agree(acme, 0)
    assert acme.balances() == {"cash": 1000, "refunds": 200, "revenue": -1200}
    acme.act("fail-refund")
    agree(acme, 0)
    assert acme.balances() == {"cash": 1200, "revenue": -1200}


@pytest.mark.parametrize(
    ("decision", "left"),
    [
        ("win-dispute", {"cash": 1200, "revenue": -1200}),
        ("lose-dispute", {"cash": 500, "written_off": 700, "revenue": -1200}),
    ],
)
def test_a_dispute_holds_money_back_until_the_bank_decides(
    acme: StripePlatform, decision: str, left: dict[str, int]
) -> None:
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("dispute", amount=700)
    agree(acme, 0)
    assert acme.balances() == {"cash": 500, "disputed": 700, "revenue": -1200}
    acme.act(decision)
    agree(acme, 0)
    assert acme.balances() == left


def test_a_dispute_that_is_read_only_after_its_end_posts_both_events(acme: StripePlatform) -> None:
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("dispute", amount=700)
    acme.act("lose-dispute")
    agree(acme, 0)
    assert sorted(acme.events()[-2:]) == [
        ("dispute_lost", {"written_off": 700, "disputed": -700}),
        ("dispute_opened", {"disputed": 700, "cash": -700}),
    ]


def test_a_credit_note_on_an_open_invoice_lowers_what_is_asked_for(acme: StripePlatform) -> None:
    """5.00 of 12.00. It is voided, and then 4.00 are credited: acme pays 8.00."""
    acme.bill(JUNE, "12.00")
    acme.act("credit-note", amount=500)
    agree(acme, 700)
    acme.act("void-credit-note")
    agree(acme, 1200)
    acme.act("credit-note", amount=400)
    acme.pay()
    agree(acme, 0)
    assert acme.balances() == {"cash": 800, "revenue": -800}


def test_a_credit_note_over_all_that_remains_pays_the_invoice_without_money(acme: StripePlatform) -> None:
    """The payment event is read before the credit note, or after it: no cash is posted."""
    acme.bill(JUNE, "12.00")
    acme.act("credit-note", amount=1200)
    agree(acme, 0)
    assert acme.balances() == {}


def test_a_credit_note_on_a_paid_invoice_refunds_credits_or_pays_back_outside(acme: StripePlatform) -> None:
    """Of 12.00, 1.00 is refunded, 2.00 are credited to the balance, and 4.00 are paid back outside of Stripe."""
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("credit-note", amount=100, to="refund")
    acme.act("credit-note", amount=200, to="credit")
    acme.act("credit-note", amount=400, to="out_of_band")
    agree(acme, -200)
    assert acme.balances() == {"cash": 700, "stripe_balance": -200, "revenue": -500}


def test_a_refund_of_a_credit_note_that_comes_back_is_owed_to_the_customer(acme: StripePlatform) -> None:
    """The account `refunds` is below zero: the credit note promised 1.00 that the customer did not get."""
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("credit-note", amount=100, to="refund")
    acme.act("fail-refund")
    agree(acme, 0)
    assert acme.balances() == {"cash": 1200, "refunds": -100, "revenue": -1100}


def test_a_payment_outside_of_stripe_is_cash(acme: StripePlatform) -> None:
    acme.bill(JUNE, "12.00")
    acme.act("mark-paid")
    agree(acme, 0)
    assert acme.balances() == {"cash": 1200, "revenue": -1200}


def test_a_void_invoice_gives_back_the_balance_that_it_used(acme: StripePlatform) -> None:
    """Of 12.00, 4.00 are paid by credit and 3.00 taken back by a credit note. Void, the 4.00 are credit again."""
    acme.bill(JUNE, "-4.00")
    acme.bill(JULY, "12.00")
    acme.act("credit-note", JULY, amount=300)
    agree(acme, 500)
    acme.act("void", JULY)
    agree(acme, -400)
    assert acme.balances() == {"stripe_balance": -400, "revenue": 400}


def test_a_written_off_invoice_is_not_asked_for_and_can_be_paid_or_voided(acme: StripePlatform) -> None:
    """A credit note of 2.00 leaves 10.00 that can't be collected. Later acme pays them."""
    acme.bill(JUNE, "12.00")
    acme.act("credit-note", amount=200)
    acme.act("write-off")
    agree(acme, 0)
    assert acme.balances() == {"written_off": 1000, "revenue": -1000}
    acme.pay()
    agree(acme, 0)
    assert acme.balances() == {"cash": 1000, "revenue": -1000}


def test_a_written_off_invoice_that_becomes_void_leaves_nothing(acme: StripePlatform) -> None:
    acme.bill(JUNE, "12.00")
    acme.act("credit-note", amount=200)
    acme.act("write-off")
    acme.act("void")
    agree(acme, 0)
    assert acme.balances() == {}


def test_what_is_final_but_not_sent_is_owed_and_not_asked_for(acme: StripePlatform) -> None:
    acme.bill(JUNE, "0.18")
    acme.bill(JULY, "1.00", is_sent=False)
    acme.poll()
    assert (acme.owed(), acme.asked()) == (118, 18)


def test_an_invoice_that_was_paid_and_is_sent_again_keeps_the_amount_of_its_payment(acme: StripePlatform) -> None:
    """12.00 were paid. Somebody deletes the invoice at Stripe, and a repair sends it again under a new generation."""
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.poll()
    execute(
        acme.database,
        "update stripe_invoices set state = 'pending', generation = 1, stripe_invoice_id = null,"
        " stripe_due_cents = null, stripe_balance_cents = null, stripe_total_cents = null, finalized_at = null",
    )
    assert ledger_differences(acme.database, JUNE) == []
    assert acme.balances() == {"cash": 1200, "revenue": -1200}


def test_a_status_that_waits_for_our_sync_keeps_its_amounts(acme: StripePlatform) -> None:
    """A credit note of 2.00 and the payment of 10.00 arrive before our journal knows that Stripe finalized it."""
    acme.bill(JUNE, "12.00")
    acme.act("credit-note", amount=200)
    acme.pay()
    damage(acme.database, "update stripe_invoices set state = 'verified', finalized_at = null")
    acme.poll()
    assert query(acme.database, "select type from stripe_events where outcome = 'waiting'") == [
        {"type": "invoice.paid"}
    ]
    damage(acme.database, "update stripe_invoices set state = 'finalized', finalized_at = updated_at")
    assert settle_waiting_events(acme.database) == 1
    assert acme.balances() == {"cash": 1000, "revenue": -1000}


# The statement -------------------------------------------------------------------------------------------------------


def test_the_sum_is_a_calculation_that_a_customer_can_follow(acme: StripePlatform) -> None:
    """0.18 is carried over to the 12.00 of July, of which a credit note takes back 2.00. Then 40.00 are given."""
    acme.bill(JUNE, "0.18")
    acme.bill(JULY, "12.00")
    acme.act("credit-note", JULY, amount=200)
    acme.act("credit", JULY, amount=4000)
    agree(acme, 1018 - 4000)
    assert acme.statement().calculation() == [
        ("Unpaid invoices (1)", "$12.00"),
        ("Credit notes", "-$2.00"),
        ("Carried over, because it was below the minimum charge", "$0.18"),
        ("Owed", "$10.18"),
        ("Credit for the next invoice", "-$40.00"),
        ("Balance", "-$29.82"),
    ]
    assert acme.statement().headline() == (
        "Acme owes $10.18 on 1 unpaid invoice, including $0.18 carried over from earlier invoices, after $2.00 of"
        " credit notes. A credit of $40.00 reduces the next invoice."
    )
    assert acme.statement().caveats() == []


def test_the_credit_that_an_invoice_used_is_a_line_of_the_sum(acme: StripePlatform) -> None:
    acme.bill(JUNE, "-5.00")
    acme.bill(JULY, "8.00")
    agree(acme, 300)
    assert acme.statement().calculation() == [
        ("Unpaid invoices (1)", "$8.00"),
        ("Credit", "-$5.00"),
        ("Owed", "$3.00"),
    ]


def test_one_unpaid_invoice_is_no_sum(acme: StripePlatform) -> None:
    acme.bill(JUNE, "12.00")
    agree(acme, 1200)
    assert acme.statement().calculation() == []


def test_the_statement_says_which_part_is_not_certain(acme: StripePlatform) -> None:
    """7.00 of 12.00 are disputed and 2.00 refunded; July is not sent; and Stripe was last read three hours ago."""
    acme.bill(JUNE, "12.00")
    acme.pay()
    acme.act("refund", amount=200)
    acme.act("dispute", amount=700)
    agree(acme, 0)
    assert acme.statement().caveats() == [
        "Your bank disputes $7.00 that you paid. It is not part of what you owe.",
        "$2.00 of what you paid was refunded.",
    ]
    acme.act("win-dispute")
    acme.poll()
    acme.bill(JULY, "8.00", is_sent=False)
    read_until = query(acme.database, "select until from stripe_events_polled")[0]["until"]
    assert acme.statement(later=timedelta(hours=3)).caveats() == [
        "$8.00 is invoiced, but payment has not been requested yet.",
        "$2.00 of what you paid was refunded.",
        f"Payments, refunds and credit since {moment_text(read_until)} are not included yet.",
    ]


def test_what_stripe_applied_is_known_before_its_events_are_read(acme: StripePlatform) -> None:
    """The poll did not run since July was sent: the sum is right, and so is the part that its invoice asks for."""
    acme.bill(JUNE, "0.18")
    acme.bill(JULY, "1.00")
    balance = acme.statement().balances()["USD"]
    assert (balance.owed, balance.carried_over, balance.total) == (118, 0, 118)


# Late, repeated and reordered states ---------------------------------------------------------------------------------

NOON = datetime(2023, 8, 5, 12, tzinfo=UTC)


def dispute(status: str) -> dict[str, Any]:
    """Return a dispute of 7.00 as Stripe sends it."""
    return refund(id="du_1", object="dispute", amount=700, status=status)


@pytest.fixture
def paid(acme: StripePlatform) -> StripePlatform:
    """Acme is cus_1, and its invoice of 12.00 is Stripe's in_1."""
    acme.bill(JUNE, "12.00", is_sent=False)
    execute(acme.database, "update organizations set stripe_customer_id = 'cus_1'")
    execute(
        acme.database,
        "insert into stripe_invoices"
        " (invoice_id, state, stripe_invoice_id, stripe_total_cents, updated_at, finalized_at)"
        " select id, 'finalized', 'in_1', 1200, now(), now() from invoices",
    )
    return acme


def record(acme: StripePlatform, hours: int, *found: dict[str, Any]) -> None:
    """Record these objects as read so many hours after noon."""
    with acme.database.transaction() as connection:
        record_money(
            connection, FoundMoney([_of_acme(body) for body in found]), "polling", NOON + timedelta(hours=hours)
        )


def _of_acme(body: dict[str, Any]) -> MoneyObject:
    return replace(read_money_object(body), customer="cus_1", stripe_invoice_id="in_1")


def test_a_state_that_is_read_twice_or_too_late_is_posted_once(paid: StripePlatform) -> None:
    record(paid, 2, refund(status="failed"))
    record(paid, 1, refund(status="pending"))
    record(paid, 3, refund(status="failed"), refund(status="failed"))
    assert paid.events()[1:] == [
        ("payment_refunded", {"refunds": 400, "cash": -400}),
        ("refund_failed", {"cash": 400, "refunds": -400}),
    ]
    assert ledger_differences(paid.database, BillingMonth(2026, 10)) == []


def test_an_inquiry_holds_no_money_back(paid: StripePlatform) -> None:
    record(paid, 1, dispute("warning_needs_response"))
    assert len(paid.events()) == 1
    record(paid, 2, dispute("needs_response"))
    record(paid, 3, dispute("under_review"))
    record(paid, 4, dispute("won"))
    assert [name for name, _ in paid.events()[1:]] == ["dispute_opened", "dispute_won"]


def test_a_decision_that_a_bank_changes_is_reversed(paid: StripePlatform) -> None:
    """Lost, and then won: the loss is taken back in the month in which we read it."""
    record(paid, 1, dispute("lost"))
    record(paid, 2, dispute("won"))
    assert sorted(paid.events()[3:]) == [
        ("dispute_lost", {"disputed": 700, "written_off": -700}),
        ("dispute_won", {"cash": 700, "disputed": -700}),
    ]
    assert paid.balances() == {"receivable": 1200, "revenue": -1200}


def test_refunds_disputes_and_credit_notes_of_invoices_that_are_not_ours_are_not_posted(paid: StripePlatform) -> None:
    other = [replace(_of_acme(body), stripe_invoice_id="in_2") for body in (refund(), dispute("lost"), credit_note())]
    with paid.database.transaction() as connection:
        assert record_money(connection, FoundMoney(other), "polling", NOON) == 3
    assert len(paid.events()) == 1


# Broken variants -----------------------------------------------------------------------------------------------------


def test_a_state_that_is_not_posted_fails_the_check(paid: StripePlatform) -> None:
    execute(paid.database, "alter table stripe_money disable trigger post_stripe_money")
    record(paid, 1, refund())
    month = BillingMonth.containing(read_money_object(refund()).created_at)
    assert [each.is_missing for each in ledger_differences(paid.database, month)] == [True, True]
    assert query(paid.database, "select post_missing_to_ledger() as posted") == [{"posted": 1}]
    assert ledger_differences(paid.database, month) == []


def test_a_state_that_is_posted_twice_is_refused_and_without_the_index_fails_the_check(paid: StripePlatform) -> None:
    record(paid, 1, balance_change())
    month = BillingMonth.containing(read_money_object(balance_change()).created_at)
    again = "select post_to_ledger(array(select r from ledger_rebuilt as r where r.stripe_money_id is not null))"
    with pytest.raises(Exception, match="stripe_money_is_posted_once"):
        execute(paid.database, again)
    execute(paid.database, "drop index stripe_money_is_posted_once")
    execute(paid.database, again)
    assert [each.entries for each in ledger_differences(paid.database, month)] == [2, 2]


# Prepaid credit that expires -----------------------------------------------------------------------------------------


def test_prepaid_credit_that_expires_becomes_breakage_once_its_last_month_is_billed(platform: Platform) -> None:
    """50.00 until 20 September. September uses 30.00: 20.00 are lost, but not before its invoice is final."""
    platform.grant("acme", "Deposit", "50", pays="gross", granted_at=at("2026-09-01"), expires_at=at("2026-09-20"))
    platform.use(event("e1", "300"))
    assert record_expired_credits(platform.database, at("2026-09-25")) == 0
    platform.close()
    assert record_expired_credits(platform.database, CLOSED) == 1
    assert record_expired_credits(platform.database, CLOSED) == 0
    assert account_balances(platform.database)["breakage"] == -2000
    assert "customer_credit" not in account_balances(platform.database)
    assert ledger_differences(platform.database, BillingMonth.containing(CLOSED)) == []


def test_what_a_void_invoice_returns_to_expired_credit_is_lost_too(platform: Platform) -> None:
    platform.grant("acme", "Deposit", "50", pays="gross", granted_at=at("2026-09-01"), expires_at=at("2026-09-20"))
    platform.use(event("e1", "300"))
    platform.close()
    record_expired_credits(platform.database, CLOSED)
    platform.execute("update invoices set status = 'void' where organization_id = 'acme'")
    assert record_expired_credits(platform.database, CLOSED) == 1
    assert account_balances(platform.database) == {"deferred_revenue": 5000, "breakage": -5000}


def test_credit_that_is_extended_after_it_expired_is_credit_again(platform: Platform) -> None:
    platform.grant("acme", "Deposit", "0.505", pays="gross", granted_at=at("2026-09-01"), expires_at=at("2026-09-20"))
    platform.close()
    record_expired_credits(platform.database, CLOSED)
    assert account_balances(platform.database) == {"deferred_revenue": 51, "breakage": -51}
    platform.execute("update credit_grants set expires_at = '2027-01-01'")
    assert record_expired_credits(platform.database, CLOSED) == 1
    assert account_balances(platform.database) == {"deferred_revenue": 51, "customer_credit": -51}
    assert ledger_differences(platform.database, SEPTEMBER) == []


def test_a_promotion_that_expires_is_not_breakage(platform: Platform) -> None:
    platform.grant("acme", "Welcome", "5", granted_at=at("2026-09-01"), expires_at=at("2026-09-20"))
    platform.close()
    assert record_expired_credits(platform.database, CLOSED) == 0
