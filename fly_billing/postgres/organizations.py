"""Looks up an organization by its id, for commands and statements that name one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fly_billing.errors import ActionableError
from fly_billing.postgres.round_trips import round_trip

if TYPE_CHECKING:
    from fly_billing.postgres.round_trips import AnyConnection

MOST_SUGGESTIONS = 5


class NoSuchOrganization(ActionableError):
    """No organization has this id. The message suggests similar ones."""


@dataclass(frozen=True)
class _Organization:
    id: str
    name: str
    currency: str


@dataclass(frozen=True)
class _OrganizationId:
    id: str
    existed_from: datetime


def organization_name(connection: AnyConnection, organization_id: str) -> str:
    """Return the organization's name. Raises NoSuchOrganization."""
    with round_trip(connection) as trip:
        organizations = trip.records(_Organization, "organization", id=organization_id)
    found = organizations.all()
    if not found:
        raise no_such_organization(connection, organization_id)
    return found[0].name


def no_such_organization(connection: AnyConnection, organization_id: str) -> NoSuchOrganization:
    """Return the error of an id that no organization has; it suggests similar ones."""
    beginning = organization_id.lower()[:3]
    similar = [name for name in list_organization_ids(connection) if beginning in name][:MOST_SUGGESTIONS]
    suggestion = f"; did you mean {', '.join(similar)}?" if similar else ""
    return NoSuchOrganization(f"no organization {organization_id!r}{suggestion}")


def list_organization_ids(connection: AnyConnection) -> list[str]:
    """Return the ids of all organizations, in order."""
    with round_trip(connection) as trip:
        organizations = trip.records(_OrganizationId, "organization_ids")
    return [row.id for row in organizations.all()]
