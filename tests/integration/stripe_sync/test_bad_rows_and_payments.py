"""An invalid row in code that talks to Stripe: the payments of others are recorded, and the row is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fly_billing.alerting.unreported import queue_payment_failure_alerts
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import EventsRefused, PollReport, poll_events, settle_waiting_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.reader import StripeReader
from tests.support.stripe_builders import bill_june, execute, invoice_in_stripe, kinds, query, sync, sync_tools, utc_now
from tests.support.unguarded import damage


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($12.00) and bolt ($5.00), in Stripe."""
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    return tools


def poll(tools: SyncTools, reader: StripeReader | None = None) -> PollReport:
    now = utc_now()
    return poll_events(tools.journal.database, reader or tools.reader(), now - timedelta(hours=1), now)


def pay(tools: SyncTools, sandbox: SandboxServer, *names: str) -> None:
    for name in names:
        tools.client.v1.invoices.pay(str(invoice_in_stripe(sandbox, name)["id"]))


def statuses(tools: SyncTools) -> dict[str, str]:
    found = query(tools.journal.database, "select organization_id, status from invoices")
    return {row["organization_id"]: row["status"] for row in found}


def break_row(database: BillingDatabase, column: str, value: str) -> None:
    """Damage acme's invoice like a row from before a rule; the rule applies to later writes."""
    names = query(
        database,
        "select conname, pg_get_constraintdef(oid) as rule from pg_constraint"
        " where conrelid = 'invoices'::regclass and contype = 'c' and pg_get_constraintdef(oid) like :column",
        column=f"%{column}%",
    )
    for row in names:
        execute(database, f'alter table invoices drop constraint "{row["conname"]}"')
    damage(database, f"update invoices set {column} = {value} where organization_id = 'acme'")  # noqa: S608 constants
    for row in names:
        rule = row["rule"].removesuffix(" NOT VALID").replace(":", "\\:")
        execute(database, f'alter table invoices add constraint "{row["conname"]}" {rule} not valid')


@pytest.mark.parametrize(
    ("column", "bad", "right"),
    [("due_on", "'infinity'", "'2023-07-19'"), ("amount", "'NaN'", "12"), ("status", "''", "'finalized'")],
)
def test_a_payment_of_a_bad_row_is_alerted_and_applied_later_and_others_at_once(
    tools: SyncTools, sandbox: SandboxServer, column: str, bad: str, right: str
) -> None:
    database = tools.journal.database
    break_row(database, column, bad)
    pay(tools, sandbox, "acme", "bolt")
    assert poll(tools).is_done
    assert statuses(tools)["bolt"] == "paid"
    assert statuses(tools)["acme"] != "paid"
    alerts: list[str] = []
    assert queue_payment_failure_alerts(database, [], alerts.append) == 1
    assert "acme" in alerts[0]
    assert "correct the row, and the next poll of Stripe's events applies it" in alerts[0]
    # A retry sends no second alert.
    assert settle_waiting_events(database) == 0
    assert queue_payment_failure_alerts(database, [], alerts.append) == 0

    damage(database, f"update invoices set {column} = {right} where organization_id = 'acme'")  # noqa: S608 constants
    assert settle_waiting_events(database) == 1
    assert statuses(tools) == {"acme": "paid", "bolt": "paid"}
    assert query(database, "select outcome from stripe_events where outcome not in ('applied', 'ignored')") == []


def test_a_waiting_payment_of_a_bad_row_delays_no_other_payment(tools: SyncTools, sandbox: SandboxServer) -> None:
    database = tools.journal.database
    damage(database, "update stripe_invoices set state = 'filled', finalized_at = null")
    pay(tools, sandbox, "acme", "bolt")
    poll(tools)
    assert statuses(tools) == {"acme": "finalized", "bolt": "finalized"}
    damage(database, "update stripe_invoices set state = 'finalized', finalized_at = now()")
    break_row(database, "due_on", "'infinity'")
    assert settle_waiting_events(database) == 1
    assert statuses(tools) == {"acme": "finalized", "bolt": "paid"}
    assert [row["code"] for row in query(database, "select code from stripe_events where outcome = 'waiting'")] == [
        "unreadable_invoice"
    ]


class OneMore(StripeReader):
    """Stripe's events, preceded by one that can't be recorded."""

    def __init__(self, tools: SyncTools, event: Mapping[str, Any]) -> None:
        super().__init__(tools.client, tools.sender())
        self._event = event

    def event_pages(self, *given: Any) -> Iterator[Mapping[str, Any]]:
        for page in super().event_pages(*given):
            yield {**page, "data": [*page["data"], self._event]}


@pytest.mark.parametrize(
    "event",
    [{"id": "evt_strange", "type": "invoice.paid", "created": 99_999_999_999, "data": {"object": {"id": "in_1"}}},
     {"id": "evt_strange", "type": "invoice.paid", "created": 1, "data": None}],
)  # fmt: skip
def test_an_event_that_can_not_be_recorded_fails_the_poll_after_all_others_are_applied(
    tools: SyncTools, sandbox: SandboxServer, event: Mapping[str, Any]
) -> None:
    pay(tools, sandbox, "bolt")
    with pytest.raises(EventsRefused, match=r"1 Stripe event can't be recorded.*evt_strange"):
        poll(tools, OneMore(tools, event))
    assert statuses(tools)["bolt"] == "paid"
    # It does not count as read: the next poll reads it again.
    assert query(tools.journal.database, "select until from stripe_events_polled") == []


def test_a_request_with_an_invalid_time_does_not_change_the_comparison_with_stripe(tools: SyncTools) -> None:
    database = tools.journal.database
    execute(database, "alter table stripe_attempts drop constraint sent_at_is_a_time")
    damage(database, "update stripe_attempts set sent_at = 'infinity' where step = 'create'")
    assert kinds(tools) == []
