"""Writes the customer on an organization's invoices: name, address, e-mail, tax ids, and how it pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.rules.organizations import CustomerDetails
from fly_billing.customers.writing import TableRow, TermTable, Written, known_rows, refuse, write_rows
from fly_billing.periods import BillingMonth

DETAILS = TermTable(
    "billing_details", ("organization_id",), "billing_details_of", "add_billing_details", "change_billing_details"
)


def write_billing_details(connection: Connection, actor: Actor, some: Sequence[CustomerDetails]) -> list[Written]:
    """Replace the details of organizations, for the invoices that become final from now on.

    Raises:
        CustomerRefused: Has a line for each problem.
    """
    known = known_rows(connection, DETAILS, (one.organization_id for one in some))
    organizations = Organizations(connection, (one.organization_id for one in some))
    unknown = ((one, organizations.unknown(one.organization_id)) for one in some)
    refuse([f"{one.place}{problem}" for one, problem in unknown if problem])
    month = BillingMonth.containing(actor.at)
    found = [
        TableRow(
            _columns(one), one.organization_id, f"billing details of {one.organization_id}", month, one.place
        )
        for one in some
    ]  # fmt: skip
    return write_rows(connection, actor, DETAILS, found, known)


def _columns(one: CustomerDetails) -> dict[str, Any]:
    columns = {column.name: getattr(one, column.name) for column in fields(one) if column.name != "place"}
    return columns | {"tax_ids": list(one.tax_ids)}


def change_billing_details(
    connection: Connection, actor: Actor, organization_id: str, **changes: Any
) -> Written:  # fmt: skip
    """Change some details of an organization; the others stay. An empty text clears a detail.

    Raises:
        CustomerRefused: There is no such organization.
        ValueError: Names the detail that is wrong.
    """
    existing = known_rows(connection, DETAILS, [organization_id]).get((organization_id,), {})
    kept = {name: tuple(value) if isinstance(value, list) else value for name, value in existing.items()}
    given = {name: None if value == "" else value for name, value in changes.items()}
    details = CustomerDetails(**{"organization_id": organization_id} | kept | given)
    return write_billing_details(connection, actor, [details])[0]
