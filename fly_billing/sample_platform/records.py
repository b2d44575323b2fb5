"""Writes the sample platform's records to Postgres. Existing records do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from fly_billing.bounds import UnreadableTime
from fly_billing.invoicing.group_members import GroupMember
from fly_billing.invoicing.rules.billing_groups import billing_group_of
from fly_billing.postgres.database import records
from fly_billing.postgres.statements import sql
from fly_billing.sample_platform.contracts import Contract, SampleCharge
from fly_billing.sample_platform.organizations import Organization


def run(
    connection: Connection, name: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()
) -> list[RowMapping]:
    """Run a statement once, or once for each item of a list of values. Returns its rows, if any."""
    if isinstance(values, Sequence) and not values and ":" in sql(name):
        return []
    result = connection.execute(text(sql(name)), values or None)
    return list(result.mappings()) if result.returns_rows else []


def add_organizations(
    connection: Connection,
    organizations: Sequence[Organization],
    customers: Mapping[str, str],
    max_org_partitions: int,
    shared_groups: int,
) -> list[Organization]:
    """Add the new organizations, in this order. Returns all of them, with their creation times in the database.

    `customers` has the existing Stripe customers by organization id.
    """
    known = {member.id: member.created_at for member in records(connection, GroupMember, "billing_groups")}
    new = [organization for organization in organizations if organization.id not in known]
    values = [
        {
            "id": organization.id,
            "name": organization.name,
            "created_at": organization.created_at,
            "stripe_customer_id": customers.get(organization.id),
            "billing_group": billing_group_of(organization.id, len(known) + number, max_org_partitions, shared_groups),
        }
        for number, organization in enumerate(new)
    ]
    run(connection, "add_organizations", values)
    return [_as_recorded(organization, known.get(organization.id)) for organization in organizations]


def _as_recorded(organization: Organization, created_at: datetime | UnreadableTime | None) -> Organization:
    return replace(organization, created_at=created_at) if isinstance(created_at, datetime) else organization


def add_contracts(connection: Connection, contracts: Sequence[Contract]) -> None:
    run(connection, "add_contracts", [asdict(contract) for contract in contracts])


def add_charges(connection: Connection, charges: Sequence[SampleCharge]) -> None:
    run(connection, "add_charges", [asdict(charge) for charge in charges])
