"""Writes one-off charges, and money given back. Once billed, an item stays; another one corrects it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.checks import check_money
from fly_billing.customers.rules.terms import OneOffCharge
from fly_billing.customers.writing import (
    Effect,
    Known,
    TableRow,
    TermTable,
    Written,
    known_rows,
    problems_of,
    refuse,
    withdraw_rows,
    write_rows,
)
from fly_billing.money import plain
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import values

CHARGES = TermTable(
    "one_off_items", ("id",), "one_off_items_of", "add_charge", "change_one_off_item", "withdraw_charge"
)
NOT_STORED = frozenset({"reference", "recorded_as", "place"})


def write_charges(
    connection: Connection, actor: Actor, some: Sequence[OneOffCharge], *, may_change: bool = True
) -> list[Written]:
    """Add the new charges and change those that differ and are on no final invoice.

    Args:
        may_change: False: refuse a charge that exists with another amount. It is probably a second one.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, CHARGES, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    new = [one for one in some if (one.id,) not in known]
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    refuse(problems + problems_of(new, lambda one: _problem(one, organizations)))
    found = [_row(one, organizations, known) for one in some]
    written = write_rows(connection, actor, CHARGES, found, known)
    _refuse_changes(connection, some, written, known, may_change=may_change)
    return written


def _problem(one: OneOffCharge, organizations: Organizations) -> str | None:
    month = BillingMonth.containing(one.occurred_at)
    if problem := organizations.problem(one.organization_id, one.occurred_at):
        return problem
    currency = organizations.currency_of_charge(one.organization_id, month)
    if one.currency not in (None, currency):
        charged = organizations.charged_in(one.organization_id, month)
        return f"it is in {one.currency}, but {one.organization_id} is billed in {currency} in {charged}"
    try:
        if one.amount is not None:
            check_money("amount", one.amount, currency, may_be_negative=True)
    except ValueError as wrong:
        return str(wrong)
    return None


def _refuse_changes(
    connection: Connection, some: Sequence[OneOffCharge], written: Sequence[Written], known: Known, *, may_change: bool
) -> None:
    changed = [one for one, done in zip(some, written, strict=True) if done.effect == Effect.CHANGED]
    billed = set(values(connection, "billed_one_off_items", ids=[one.id for one in changed]))
    refuse(
        [f"{one.place}{one.title} is on a final invoice: charge the difference" for one in changed if one.id in billed]
    )
    if not may_change:
        refuse([
            f"{one.title}: it was charged {plain(known[(one.id,)]['amount'])} already; for another one, give it a"
            " reference"
            for one in changed
        ])  # fmt: skip


def _row(one: OneOffCharge, organizations: Organizations, known: Known) -> TableRow:
    columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name not in NOT_STORED}
    month = BillingMonth.containing(one.occurred_at)
    existing = known.get((one.id,))
    columns["currency"] = one.currency or (
        existing["currency"] if existing else organizations.currency_of_charge(one.organization_id, month)
    )
    columns["amount"] = one.total
    what = f"{one.title}: {one.total:f} {columns['currency']}"
    return TableRow({"id": one.id, **columns}, one.organization_id, what, month, one.place)


def withdraw_charges(connection: Connection, actor: Actor, some: Sequence[OneOffCharge]) -> list[Written]:
    """Delete charges that are on no invoice yet, not even an open one. Raises CustomerRefused."""
    known = known_rows(connection, CHARGES, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    return withdraw_rows(connection, actor, CHARGES, [_row(one, organizations, known) for one in some])


def final_invoice_notices(connection: Connection, some: Sequence[OneOffCharge]) -> list[str]:
    """Say of each new charge of a month with a final invoice that it goes on the next one."""
    organizations = Organizations(connection, (one.organization_id for one in some))
    months = [(one, BillingMonth.containing(one.occurred_at)) for one in some]
    return [
        f"{one.title}: the invoice for {month} is final, so it goes on the next one"
        for one, month in months
        if organizations.charged_in(one.organization_id, month) != month
    ]
