"""Writes the tax rates of single organizations, and where and how organizations are taxed.

Not here: the rates of a price book (`pricing.price_books`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import date

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.organizations import TaxStatus
from fly_billing.customers.rules.terms import TaxTerms
from fly_billing.customers.writing import (
    TableRow,
    TermTable,
    Written,
    by_organization,
    known_rows,
    problems_of,
    refuse,
    withdraw_rows,
    write_rows,
)
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import Row

TAXES = TermTable("tax_rates", ("id",), "tax_rates_of", "add_tax_rates", "change_tax_rate", "withdraw_tax_rate")
TAX_STATUSES = TermTable(
    "tax_customers", ("organization_id", "first_month"), "tax_customers_of", "add_tax_customers", "change_tax_customer",
    "withdraw_tax_customer",
)  # fmt: skip
NOT_STORED = frozenset({"recorded_as", "place"})


def write_taxes(connection: Connection, actor: Actor, some: Sequence[TaxTerms]) -> list[Written]:
    """Add the new rates and change those that differ. A rate that a final invoice was made with can only end.

    Raises:
        CustomerRefused: Has a line for each problem: an unknown organization, two rates of one tax for the same items
            in a month, or what the database refuses.
    """
    known = known_rows(connection, TAXES, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    new = [one for one in some if (one.id,) not in known]
    problems = problems_of(some, lambda one: organizations.unknown(one.organization_id))
    problems += problems_of(new, lambda one: organizations.problem(one.organization_id, one.first_month.start))
    refuse(problems)
    given = {(one.id,) for one in some}
    others = [row for key, row in known.items() if key not in given] + [_columns(one) for one in some]
    of_organization = by_organization(others)
    refuse(problems_of(new, lambda one: _second_rate(one, of_organization[one.organization_id])))
    return write_rows(connection, actor, TAXES, [_row(one) for one in some], known)


def _second_rate(one: TaxTerms, others: Sequence[Row]) -> str | None:
    for row in others:
        if row["id"] != one.id and _is_of_same(one, row) and _meet(one, row["first_month"], row["last_month"]):
            return (
                f"it has another rate of {one.of_tax} from {row['first_month']:%Y-%m} on: end that one before"
                f" {one.first_month}"
            )
    return None


def _is_of_same(one: TaxTerms, row: Row) -> bool:
    return (one.organization_id, one.of_tax, dict(one.scope)) == (
        row["organization_id"], row["tax"] or row["name"], row["scope"],
    )  # fmt: skip


def _meet(one: TaxTerms, first: date, last: date | None) -> bool:
    ends_before = one.last_month is not None and one.last_month.first_day < first
    return not ends_before and (last is None or last >= one.first_month.first_day)


def set_tax(connection: Connection, actor: Actor, one: TaxTerms) -> list[Written]:
    """Tax an organization by this rate from its first month on. The rate of that tax until then ends before it.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, TAXES, [one.organization_id])
    before = [
        _terms(row)
        for row in known.values()
        if row["id"] != one.id and _is_of_same(one, row) and row["first_month"] < one.first_month.first_day
        and _meet(one, row["first_month"], row["last_month"])
    ]  # fmt: skip
    ended = [replace(rate, last_month=one.first_month.plus(-1)) for rate in before]
    return write_taxes(connection, actor, [*ended, one])


def _terms(row: Row) -> TaxTerms:
    months = {
        name: BillingMonth(row[name].year, row[name].month) if row[name] else None
        for name in ("first_month", "last_month")
    }
    columns = {column.name: row[column.name] for column in fields(TaxTerms) if column.name not in NOT_STORED}
    return TaxTerms(**columns | months, recorded_as=row["id"])


def _columns(one: TaxTerms) -> dict[str, object]:
    columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name not in NOT_STORED}
    return columns | {
        "id": one.id, "scope": dict(one.scope), "first_month": one.first_month.first_day,
        "last_month": one.last_month.first_day if one.last_month else None,
    }  # fmt: skip


def _row(one: TaxTerms) -> TableRow:
    return TableRow(_columns(one), one.organization_id, one.title, one.first_month, one.place)


def withdraw_taxes(connection: Connection, actor: Actor, some: Sequence[TaxTerms]) -> list[Written]:
    """Delete rates that no invoice was made with, not even an open one. Raises CustomerRefused."""
    return withdraw_rows(connection, actor, TAXES, [_row(one) for one in some])


def change_tax_status(
    connection: Connection, actor: Actor, organization_id: str, first: BillingMonth, location: str | None = None,
    kind: str | None = None,
) -> list[Written]:  # fmt: skip
    """Change where an organization is, its kind or both, from a month on. One not given stays; "" clears it.

    Raises:
        CustomerRefused: There is no such organization.
        ValueError: Names the field that is wrong.
    """
    known = known_rows(connection, TAX_STATUSES, [organization_id]).values()
    before = [row for row in known if row["first_month"] <= first.first_day]
    present = max(before, key=lambda row: row["first_month"], default={"location": None, "kind": None})
    status = TaxStatus(
        organization_id, first, present["location"] if location is None else location or None,
        present["kind"] if kind is None else kind or None,
    )  # fmt: skip
    return write_tax_statuses(connection, actor, [status])


def write_tax_statuses(connection: Connection, actor: Actor, some: Sequence[TaxStatus]) -> list[Written]:
    """Set where an organization is and of which kind, from a month on. A final invoice keeps its taxes.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, TAX_STATUSES, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    unknown = ((one, organizations.unknown(one.organization_id)) for one in some)
    refuse([f"{one.place}{problem}" for one, problem in unknown if problem])
    found = [
        TableRow(
            {
                "organization_id": one.organization_id, "first_month": one.first_month.first_day,
                "location": one.location, "kind": one.kind,
            },
            one.organization_id, f"tax status of {one.organization_id} from {one.first_month}", one.first_month,
            one.place,
        )
        for one in some
    ]  # fmt: skip
    return write_rows(connection, actor, TAX_STATUSES, found, known)
