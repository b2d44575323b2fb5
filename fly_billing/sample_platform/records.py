"""Writes the sample platform's records into Postgres. What is there already stays; writing twice changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from fly_billing.invoicing.rules.billing_groups import billing_group_of
from fly_billing.postgres.statements import sql
from fly_billing.sample_platform.contracts import Contract, SampleCharge
from fly_billing.sample_platform.organizations import Organization


def run(
    connection: Connection, name: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()
) -> list[RowMapping]:
    """Run the statement `sql/<name>.sql` once, or once for each of a list of values; return its rows, if any."""
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
    """Add those that are new, in this order, and return all with the creation time that the database has of them.

    `customers` are the Stripe customers some of them have already, by organization id.
    """
    known = {row["id"]: row["created_at"] for row in run(connection, "known_organizations")}
    new = [one for one in organizations if one.id not in known]
    values = [
        {
            "id": one.id,
            "name": one.name,
            "created_at": one.created_at,
            "stripe_customer_id": customers.get(one.id),
            "billing_group": billing_group_of(one.id, len(known) + number, max_org_partitions, shared_groups),
        }
        for number, one in enumerate(new)
    ]
    run(connection, "add_organizations", values)
    return [replace(one, created_at=known.get(one.id, one.created_at)) for one in organizations]


def add_contracts(connection: Connection, contracts: Sequence[Contract]) -> None:
    run(connection, "add_contracts", [asdict(contract) for contract in contracts])


def add_charges(connection: Connection, charges: Sequence[SampleCharge]) -> None:
    run(connection, "add_charges", [asdict(charge) for charge in charges])
