"""Grants credit. The amount of a grant never changes; it can expire earlier or later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.checks import check_money
from fly_billing.customers.rules.terms import CreditTerms
from fly_billing.customers.writing import TableRow, TermTable, Written, known_rows, problems_of, refuse, write_rows
from fly_billing.periods import BillingMonth

CREDITS = TermTable("credit_grants", ("id",), "credit_grants_of", "add_credit_grants", "change_credit_grant")
NOT_STORED = frozenset({"reference", "recorded_as", "place"})


def write_credits(connection: Connection, actor: Actor, some: Sequence[CreditTerms]) -> list[Written]:
    """Grant the new credits and change those that differ and were not used.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, CREDITS, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    new = [one for one in some if (one.id,) not in known]
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    refuse(problems + problems_of(new, lambda one: _problem(one, organizations)))
    return write_rows(connection, actor, CREDITS, [_row(one, organizations) for one in some], known)


def _problem(one: CreditTerms, organizations: Organizations) -> str | None:
    month = BillingMonth.containing(one.granted_at)
    problem = organizations.problem(one.organization_id, one.granted_at)
    # Credit of a currency that the organization had before could never be used.
    currency = None if organizations.unknown(one.organization_id) else organizations[one.organization_id].currency
    if problem or currency is None:
        return problem
    if one.currency not in (None, currency):
        return f"it is in {one.currency}, but {one.organization_id} is billed in {currency} in {month}"
    try:
        check_money("amount", one.amount, currency)
    except ValueError as wrong:
        return str(wrong)
    return None


def _row(one: CreditTerms, organizations: Organizations) -> TableRow:
    columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name not in NOT_STORED}
    columns |= {
        "currency": one.currency or organizations[one.organization_id].currency, "scope": dict(one.scope),
    }  # fmt: skip
    month = BillingMonth.containing(one.granted_at)
    what = f"{one.title}: {one.amount:f} {columns['currency']}"
    return TableRow({"id": one.id, **columns}, one.organization_id, what, month, one.place)
