"""Queues a webhook for each invoice and threshold that it is past due, and one when it is over.

A message is added to the outbox once per invoice and threshold, whoever runs this at the same time. Not here: the
bodies (`dunning.rules.webhooks`), sending (`dunning.webhook`, `alerting.outbox`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.bounds import refuse_incomplete
from fly_billing.dunning.rules.payment_states import LatePayment
from fly_billing.dunning.rules.webhooks import DunningMessage, LateInvoice, over_message, past_due_message
from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row, lock_until_commit, rows
from fly_billing.postgres.isolation import VALUE_ERRORS, UnreadableRow, reason_of

_MAY_BE_MISSING = frozenset({"next_attempt_at", "stripe_invoice_id"})


@dataclass
class QueuedWebhooks:
    """The number of messages that were queued, and the invoices that can't be read: the others are not held up."""

    queued: int = 0
    failed: list[UnreadableRow] = field(default_factory=list)


def queue_past_due_webhooks(
    database: BillingDatabase, channels: Sequence[Channel], thresholds: Sequence[int], now: datetime
) -> QueuedWebhooks:
    """Queue the messages that are due. Repeating it queues nothing more.

    Args:
        database: The billing database.
        channels: The platform's webhooks.
        thresholds: Days past due, such as 7 and 14.
        now: The time.
    """
    done = QueuedWebhooks()
    with database.transaction() as connection:
        lock_until_commit(connection, "alerts")  # two processes at once would both find the same invoices
        for channel in channels:
            of_now = {"today": now.astimezone(UTC).date(), "channel": channel.name}
            for row in rows(connection, "over_to_tell", **of_now):
                _queue(connection, channel, row, now, done)
            for row in rows(connection, "past_due_to_tell", thresholds=list(thresholds), **of_now):
                _queue(connection, channel, row, now, done)
    return done


def late_payments(database: BillingDatabase, now: datetime, days: int) -> list[LatePayment]:
    """List the invoices that are past due by at least this many days, the longest first."""
    return database.records(LatePayment, "late_payments_now", today=now.astimezone(UTC).date(), days=days)


def _queue(connection: Connection, channel: Channel, row: Row, now: datetime, done: QueuedWebhooks) -> None:
    try:
        message = _message(row, now)
    except VALUE_ERRORS as problem:
        done.failed.append(UnreadableRow(str(row["organization_id"]), reason_of(problem)))
        return
    put(connection, Alert(message.type, message.subject, message.body), [channel], key=message.key)
    done.queued += 1


def _message(row: Row, now: datetime) -> DunningMessage:
    refuse_incomplete(row, _MAY_BE_MISSING)
    columns: Mapping[str, Any] = {name: value for name, value in row.items() if name != "threshold_days"}
    month = BillingMonth(row["month"].year, row["month"].month)
    number = invoice_number(row["organization_id"], row["number"])
    invoice = LateInvoice(**{**columns, "month": str(month), "number": number})
    if "threshold_days" in row:
        return past_due_message(invoice, row["threshold_days"], now)
    return over_message(invoice, now)
