"""A void, a write-off and a part of a payment count in the month in which they happened at Stripe."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fly_billing.ledger.checks import ledger_differences
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import record_event
from fly_billing.stripe_sync.money_inbox import FoundMoney, money_of_event, record_money
from fly_billing.stripe_sync.rules.events import StripeEvent
from tests.support.stripe_builders import JUNE, execute, query, sync_tools
from tests.support.stripe_money import StripePlatform

BEFORE_MIDNIGHT = datetime(2023, 10, 31, 23, 50, tzinfo=UTC)
AFTER_MIDNIGHT = datetime(2023, 11, 1, 0, 5, tzinfo=UTC)


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    """June's invoice of 12.00 is open at Stripe."""
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.bill(JUNE, "12.00")
    return acme


def poll_late(acme: StripePlatform, type: str, made: datetime = BEFORE_MIDNIGHT) -> None:
    """Record an event that Stripe made before midnight, five minutes after it."""
    event = StripeEvent(f"evt_{type}", type, made, acme.invoice()["id"])
    assert record_event(acme.database, event, "polling", AFTER_MIDNIGHT) == "applied"


def posted(acme: StripePlatform) -> dict[str, str]:
    """Return the accounting month of each event in the journal."""
    rows = query(acme.database, "select distinct event, month from finance_journal")
    return {row["event"]: f"{row['month']:%Y-%m}" for row in rows}


@pytest.mark.parametrize(
    ("type", "event"),
    [("invoice.voided", "invoice_voided"), ("invoice.marked_uncollectible", "invoice_written_off")],
)
def test_an_act_of_the_last_minutes_of_a_month_that_is_read_in_the_next_counts_in_its_own(
    acme: StripePlatform, type: str, event: str
) -> None:
    """At 23:50 on 31 October, polled at 00:05: it is October's."""
    poll_late(acme, type)
    assert posted(acme) == {"invoice_finalized": "2023-06", event: "2023-10"}
    assert ledger_differences(acme.database, JUNE) == []


def test_an_act_of_a_closed_month_counts_in_the_open_one(acme: StripePlatform) -> None:
    execute(
        acme.database,
        "insert into accounting_periods (month, last_transaction_id, closed_at, closed_by)"
        " select '2023-10-01', max(id), now(), 'ann' from ledger_transactions",
    )
    poll_late(acme, "invoice.voided")
    assert posted(acme) == {"invoice_finalized": "2023-06", "invoice_voided": "2023-11"}
    assert ledger_differences(acme.database, JUNE) == []


def test_a_void_by_our_own_hand_counts_when_it_is_recorded(acme: StripePlatform) -> None:
    execute(acme.database, "update invoices set status = 'void'")
    (row,) = query(acme.database, "select happened_at, changed_at from invoice_changes where to_status = 'void'")
    assert row["happened_at"] is None
    assert posted(acme)["invoice_voided"] == f"{row['changed_at']:%Y-%m}"


def test_a_part_of_a_payment_counts_when_it_was_made(acme: StripePlatform) -> None:
    """5.00 of the 12.00 are paid at 23:50 on 31 October, and read at 00:05."""
    acme.act("give-card")
    acme.act("pay-part", amount=500)
    payment: dict[str, Any] = {"id": "inpay_1", "invoice": acme.invoice()["id"], "amount_paid": 500}
    body = {
        "type": "invoice_payment.paid", "created": int(BEFORE_MIDNIGHT.timestamp()),
        "data": {"object": payment | {"amount_requested": 500, "is_default": False}},
    }  # fmt: skip
    found = money_of_event(sync_tools(acme.database, acme.sandbox.url).reader(), body)
    assert found.paid_at == BEFORE_MIDNIGHT
    later = datetime.now(UTC) + timedelta(minutes=5)
    with acme.database.transaction() as connection:
        assert record_money(connection, found, "polling", later) == 1
        assert record_money(connection, FoundMoney(asked=found.asked), "polling", later) == 0
    assert posted(acme) == {"invoice_finalized": "2023-06", "invoice_part_paid": "2023-10"}
    assert acme.balances() == {"cash": 500, "receivable": 700, "revenue": -1200}
    assert ledger_differences(acme.database, JUNE) == []
