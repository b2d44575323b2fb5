"""Writes the sample platform's records by the writers of `customers`. Existing records do not change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from fly_billing.bounds import UnreadableTime
from fly_billing.corrections.correction import Actor
from fly_billing.customers.charges import write_charges
from fly_billing.customers.known import Organizations
from fly_billing.customers.organizations import Groups, write_organizations
from fly_billing.customers.rules.organizations import OrganizationRecord
from fly_billing.customers.rules.terms import OneOffCharge, SubscriptionTerms
from fly_billing.customers.subscriptions import write_subscriptions
from fly_billing.invoicing.group_members import GroupMember
from fly_billing.postgres.database import records
from fly_billing.postgres.statements import sql
from fly_billing.sample_platform.contracts import Contract, SampleCharge
from fly_billing.sample_platform.organizations import Organization

# Someone may have subscribed an organization of the sample to the same fee.
REFERENCE = "sample"


def run(
    connection: Connection, name: str, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] = ()
) -> list[RowMapping]:
    """Run a statement once, or once for each item of a list of values. Returns its rows, if any."""
    if isinstance(values, Sequence) and not values and ":" in sql(name):
        return []
    result = connection.execute(text(sql(name)), values or None)
    return list(result.mappings()) if result.returns_rows else []


def sample_actor(now: datetime) -> Actor:
    """Return the author of the sample's records."""
    return Actor("sample platform", now, "seeded")


def add_organizations(
    connection: Connection,
    actor: Actor,
    organizations: Sequence[Organization],
    customers: Mapping[str, str],
    groups: Groups,
) -> list[Organization]:
    """Add the new organizations, in this order. Returns all of them, with their creation times in the database.

    `customers` has the existing Stripe customers by organization id.
    """
    known = {member.id: member.created_at for member in records(connection, GroupMember, "billing_groups")}
    new = [
        OrganizationRecord(one.id, one.name, one.created_at, stripe_customer_id=customers.get(one.id))
        for one in organizations
        if one.id not in known
    ]
    write_organizations(connection, actor, new, groups)
    return [_as_recorded(organization, known.get(organization.id)) for organization in organizations]


def _as_recorded(organization: Organization, created_at: datetime | UnreadableTime | None) -> Organization:
    return replace(organization, created_at=created_at) if isinstance(created_at, datetime) else organization


def add_contracts(connection: Connection, actor: Actor, contracts: Sequence[Contract]) -> None:
    """Add the new contracts, and end those that ended. None begins after an account was closed."""
    organizations = Organizations(connection, (one.organization_id for one in contracts))
    terms = [
        SubscriptionTerms(
            one.organization_id, one.price_key, one.started_at, one.ended_at, reference=REFERENCE, recorded_as=one.id
        )
        for one in contracts
        if organizations.problem(one.organization_id, one.started_at) is None
    ]
    write_subscriptions(connection, actor, terms)


def add_charges(connection: Connection, actor: Actor, charges: Sequence[SampleCharge]) -> None:
    """Add the new charges. None occurs after an account was closed."""
    organizations = Organizations(connection, (one.organization_id for one in charges))
    terms = [
        OneOffCharge(one.organization_id, one.description, one.occurred_at, one.amount, recorded_as=one.id)
        for one in charges
        if organizations.problem(one.organization_id, one.occurred_at) is None
    ]
    write_charges(connection, actor, terms)
