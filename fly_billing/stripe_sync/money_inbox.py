"""Reads credit notes, refunds, disputes, balance changes and invoice amounts at Stripe, and records each state once.

People give credit, refund and write credit notes in Stripe's dashboard, and banks dispute payments. An event about
them, from a webhook or a poll, only says which object to read, so late, repeated and reordered events do no harm. An
invoice's amounts are taken from whatever contains it: an answer to the sync, an event, or a list. Not here: the objects
themselves (`stripe_sync.rules`), and recording the event (`stripe_sync.event_inbox`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from fly_billing.postgres.database import rows, values
from fly_billing.stripe_sync.reader import StripeReader
from fly_billing.stripe_sync.rules.invoice_amounts import AskedAmounts, read_asked_amounts
from fly_billing.stripe_sync.rules.money_objects import (
    BALANCE,
    CREDIT_NOTE,
    CUSTOMER_DELETED,
    DELETED_WITH_CUSTOMER,
    PAYMENT,
    MoneyObject,
    changes_balance,
    credited_lines,
    id_of,
    kind_of_event,
    pays_a_part,
    read_money_object,
)

Body = Mapping[str, Any]


@dataclass(frozen=True)
class FoundMoney:
    """The objects that were read at Stripe because of an event.

    Attributes:
        money: Credit notes, refunds, disputes and balance changes; those of a balance in Stripe's order.
        asked: The amounts of the invoices that these are about.
        paid_at: When the payment was made that the event is about; None: it is about no payment.
        deleted: Customers that were deleted, with the time of it: Stripe does not have the recorded balance any more.
    """

    money: Sequence[MoneyObject] = ()
    asked: Sequence[AskedAmounts] = ()
    paid_at: datetime | None = None
    deleted: Mapping[str, datetime] = field(default_factory=dict)


def money_of_event(reader: StripeReader, body: Body) -> FoundMoney:
    """Read the objects that an event is about, as they are now; nothing if it changes nothing that a customer owes.

    Raises:
        ReadingFailed: Stripe does not answer.
        UnreadableMoney: Stripe sent something else.
    """
    kind, thing = kind_of_event(body["type"]), body["data"]["object"]
    if body["type"] == CUSTOMER_DELETED:
        return FoundMoney(deleted={str(thing["id"]): datetime.fromtimestamp(body["created"], UTC)})
    if kind is None or (kind == BALANCE and not changes_balance(body)):
        return FoundMoney()
    if kind == BALANCE:
        return FoundMoney(balance_changes(reader, thing["id"]))
    if kind == PAYMENT:
        if not pays_a_part(thing):
            return FoundMoney()
        paid_at = datetime.fromtimestamp(body["created"], UTC)
        return FoundMoney(asked=_asked_for(reader, id_of(thing["invoice"])), paid_at=paid_at)
    found = reader.money_object(kind, thing["id"])
    return FoundMoney() if found is None else with_its_invoice(reader, read_money_object(found))


def _asked_for(reader: StripeReader, stripe_invoice_id: str | None) -> list[AskedAmounts]:
    invoice = reader.invoice(stripe_invoice_id) if stripe_invoice_id else None
    asked = read_asked_amounts(invoice) if invoice else None
    return [asked] if asked else []


def balance_changes(reader: StripeReader, customer: str) -> list[MoneyObject]:
    """Read all changes of a customer's balance, oldest first."""
    return [read_money_object(change) for change in reversed([*reader.balance_transactions(customer)])]


def with_its_invoice(reader: StripeReader, money: MoneyObject) -> FoundMoney:
    """Return a credit note, refund or dispute with the amounts of its invoice.

    Refunds and disputes do not name their invoice and customer; their payment does. Empty if it paid no invoice.
    """
    stripe_invoice_id = money.stripe_invoice_id
    if money.kind != CREDIT_NOTE:
        stripe_invoice_id = reader.invoice_of_payment(money.payment_intent) if money.payment_intent else None
    invoice = reader.invoice(stripe_invoice_id) if stripe_invoice_id else None
    if invoice is None:
        return FoundMoney([money] if money.customer else [])
    asked = read_asked_amounts(invoice)
    found = replace(money, stripe_invoice_id=stripe_invoice_id, customer=money.customer or invoice["customer"])
    if money.named_lines:
        found = replace(found, credited_lines=credited_lines(money.named_lines, reader.all_lines(invoice)))
    return FoundMoney([found], [asked] if asked else [])


def record_money(connection: Connection, found: FoundMoney, source: str, read_at: datetime) -> int:
    """Record the new states of these objects; return their number. Ignores objects of customers that are not ours.

    Args:
        source: `sync`, `webhook`, `polling` or `sweep`.
        read_at: When they were read at Stripe. A state that was read before the recorded one is ignored.
    """
    recorded = 0
    for money in found.money:
        for organization_id in values(connection, "organization_of_customer", customer=money.customer):
            recorded += len(
                rows(
                    connection, "record_stripe_money",
                    **_columns(money), organization_id=organization_id, read_at=read_at, source=source,
                )
            )  # fmt: skip
    for customer, deleted_at in found.deleted.items():
        recorded += _record_deleted(connection, customer, deleted_at, source, read_at)
    return recorded + sum(record_asked(connection, asked, source, read_at, found.paid_at) for asked in found.asked)


def _columns(money: MoneyObject) -> dict[str, Any]:
    lines = json.dumps([line.as_data() for line in money.credited_lines]) if money.credited_lines else None
    columns = {**asdict(money), "credited_lines": lines}
    return {name: value for name, value in columns.items() if name not in ("customer", "named_lines")}


def _record_deleted(connection: Connection, customer: str, deleted_at: datetime, source: str, read_at: datetime) -> int:
    """Record that a customer's balances are 0 since it was deleted. A repeated or reordered event records nothing."""
    return sum(
        len(
            rows(
                connection, "record_deleted_balances", customer=customer, organization_id=organization_id,
                status=DELETED_WITH_CUSTOMER, deleted_at=deleted_at, read_at=read_at, source=source,
            )
        )
        for organization_id in values(connection, "organization_of_customer", customer=customer)
    )  # fmt: skip


def record_asked(
    connection: Connection, asked: AskedAmounts, source: str, read_at: datetime, paid_at: datetime | None = None
) -> int:
    """Record what Stripe asks for with an invoice, if it changed. Ignores invoices of customers that are not ours.

    Args:
        source: As for `record_money`.
        read_at: The time at which Stripe asked for these amounts. An older state than the recorded one is ignored.
        paid_at: When the part of a payment was made that changed these amounts; None: it counts when it was read.
    """
    columns = asdict(asked)
    customer = columns.pop("customer")
    return sum(
        len(
            rows(
                connection, "record_asked_amounts",
                **columns, organization_id=organization_id, read_at=read_at, source=source, happened_at=paid_at,
            )
        )
        for organization_id in values(
            connection, "organization_of_stripe_invoice",
            stripe_invoice_id=asked.stripe_invoice_id, customer=customer,
        )
    )  # fmt: skip
