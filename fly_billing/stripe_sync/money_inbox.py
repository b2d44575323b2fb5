"""Reads credit notes, refunds, disputes and balance changes from Stripe, and records each of their states once.

People give credit, refund and write credit notes in Stripe's dashboard, and banks dispute payments. An event, from a
webhook or a poll, only says which object to read, so late, repeated and reordered events do no harm. Not here: the
object itself (`stripe_sync.rules.money_objects`), and recording the event (`stripe_sync.event_inbox`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from fly_billing.postgres.database import rows, values
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.money_objects import (
    BALANCE,
    MoneyObject,
    changes_balance,
    kind_of_event,
    read_money_object,
)

Body = Mapping[str, Any]


def money_of_event(reader: StripeReader, body: Body) -> list[MoneyObject]:
    """Read the objects that an event is about, as they are now; empty if it changes nothing that a customer owes.

    Raises:
        ReadingFailed: Stripe does not answer.
        UnreadableMoney: Stripe sent something else.
    """
    kind, thing = kind_of_event(body["type"]), body["data"]["object"]
    if kind is None or (kind == BALANCE and not changes_balance(body)):
        return []
    if kind == BALANCE:
        return [read_money_object(change) for change in reversed([*reader.balance_transactions(thing["id"])])]
    found = reader.money_object(kind, thing["id"])
    return [] if found is None else _with_its_customer(reader, read_money_object(found))


def _with_its_customer(reader: StripeReader, money: MoneyObject) -> list[MoneyObject]:
    """Return a refund or dispute with the invoice and customer of its payment; empty if it paid no invoice."""
    if money.customer is not None:
        return [money]
    stripe_invoice_id = reader.invoice_of_payment(money.payment_intent) if money.payment_intent else None
    invoice = reader.invoice(stripe_invoice_id) if stripe_invoice_id else None
    if invoice is None:
        return []
    return [replace(money, stripe_invoice_id=stripe_invoice_id, customer=invoice["customer"])]


def record_money(connection: Connection, found: Iterable[MoneyObject], source: str, read_at: datetime) -> int:
    """Record the new states of these objects; return their number. Ignores objects of customers that are not ours.

    Args:
        found: The objects, with balance changes of a customer in the order in which Stripe made them.
        source: `webhook` or `polling`.
        read_at: When they were read at Stripe. A state that was read before the recorded one is ignored.
    """
    recorded = 0
    for money in found:
        for organization_id in values(connection, "organization_of_customer", customer=money.customer):
            columns = {name: value for name, value in asdict(money).items() if name != "customer"}
            recorded += len(
                rows(
                    connection, "record_stripe_money",
                    **columns, organization_id=organization_id, read_at=read_at, source=source,
                )
            )  # fmt: skip
    return recorded
