"""Writes commitments: the least and the most that an organization pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.checks import check_money
from fly_billing.customers.rules.terms import CommitmentTerms
from fly_billing.customers.writing import (
    TableRow,
    TermTable,
    Written,
    known_rows,
    problems_of,
    refuse,
    withdraw_rows,
    write_rows,
)
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row

COMMITMENTS = TermTable(
    "commitments", ("id",), "commitments_of", "add_commitments", "change_commitment", "withdraw_commitment"
)
NOT_STORED = frozenset({"reference", "recorded_as", "place"})


def write_commitments(connection: Connection, actor: Actor, some: Sequence[CommitmentTerms]) -> list[Written]:
    """Add the new commitments and change those that differ. One that a final invoice used can only end.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, COMMITMENTS, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    new = [one for one in some if (one.id,) not in known]
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    refuse(problems + problems_of(new, lambda one: _problem(one, organizations)))
    return write_rows(connection, actor, COMMITMENTS, [_row(one, organizations) for one in some], known)


def _problem(one: CommitmentTerms, organizations: Organizations) -> str | None:
    if problem := organizations.problem(one.organization_id, one.first_month.start):
        return problem
    currency = organizations[one.organization_id].currency
    if (billed := organizations.currency(one.organization_id, one.first_month)) != currency:
        return (
            f"{one.organization_id} is billed in {billed} in {one.first_month}, and in {currency} later: let it begin"
            " then"
        )
    if one.currency not in (None, currency):
        return f"it is in {one.currency}, but {one.organization_id} is billed in {currency}"
    try:
        check_money("amount", one.amount, currency)
    except ValueError as wrong:
        return str(wrong)
    return None


def add_commitment(connection: Connection, actor: Actor, one: CommitmentTerms) -> list[Written]:
    """Agree on a commitment, or change it.

    Raises:
        CustomerRefused: Has a line for each problem, such as a second one of its kind for the same items and months
            without a reference: two minimums are both charged.
    """
    known = known_rows(connection, COMMITMENTS, [one.organization_id])
    if (one.id,) not in known and not one.reference:
        refuse([
            f"{one.title}: it has a {other.kind} of {other.amount:f} {other.currency} from {other.first_month} on, and"
            " both would apply: end that one with --until, or give this one a reference"
            for other in map(_terms, known.values())
            if _is_second(one, other)
        ])  # fmt: skip
    return write_commitments(connection, actor, [one])


def _is_second(one: CommitmentTerms, other: CommitmentTerms) -> bool:
    begins = max(one.first_month, other.first_month)
    meet = all(last is None or begins <= last for last in (one.last_month, other.last_month))
    return meet and (one.kind, dict(one.scope)) == (other.kind, dict(other.scope))


def end_commitments(connection: Connection, actor: Actor, organization_id: str, at: datetime) -> list[Written]:
    """End the commitments of an organization with the period (of `months`) that runs at this instant.

    The minimum of that period is still owed. A commitment that has not begun is withdrawn.

    Raises:
        CustomerRefused: The database refuses an end: a later month is billed.
    """
    month = BillingMonth.containing(at)
    terms = [_terms(row) for row in known_rows(connection, COMMITMENTS, [organization_id]).values()]
    ahead = [one for one in terms if one.first_month > month]
    running = [one for one in terms if one.first_month <= month]
    ended = [
        replace(one, last_month=last)
        for one in running
        if (last := _end_of_period(one, month)) and (one.last_month is None or one.last_month > last)
    ]
    withdrawn = withdraw_commitments(connection, actor, ahead)
    return [*write_commitments(connection, actor, ended), *withdrawn]


def withdraw_commitments(connection: Connection, actor: Actor, some: Sequence[CommitmentTerms]) -> list[Written]:
    """Delete commitments that no invoice counted, not even an open one. Raises CustomerRefused."""
    organizations = Organizations(connection, (one.organization_id for one in some))
    return withdraw_rows(connection, actor, COMMITMENTS, [_row(one, organizations) for one in some])


def _end_of_period(one: CommitmentTerms, month: BillingMonth) -> BillingMonth:
    passed = (month.year - one.first_month.year) * 12 + month.month - one.first_month.month
    return one.first_month.plus((passed // one.months + 1) * one.months - 1)


def _terms(row: Row) -> CommitmentTerms:
    columns = {column.name: row[column.name] for column in fields(CommitmentTerms) if column.name not in NOT_STORED}
    for name in ("first_month", "last_month"):
        columns[name] = BillingMonth(row[name].year, row[name].month) if row[name] else None
    return CommitmentTerms(**columns, recorded_as=row["id"])


def _row(one: CommitmentTerms, organizations: Organizations) -> TableRow:
    columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name not in NOT_STORED}
    columns |= {
        "currency": one.currency or organizations[one.organization_id].currency, "scope": dict(one.scope),
        "first_month": one.first_month.first_day,
        "last_month": one.last_month.first_day if one.last_month else None,
    }  # fmt: skip
    what = f"{one.title}: {one.amount:f} {columns['currency']}"
    return TableRow({"id": one.id, **columns}, one.organization_id, what, one.first_month, one.place)
