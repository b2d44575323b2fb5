"""Looks up an organization by its id, for commands and statements that name one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.errors import ActionableError
from fly_billing.postgres.database import records

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


def organization_name(connection: Connection, organization_id: str) -> str:
    """Return the organization's name. Raises NoSuchOrganization."""
    organizations = records(connection, _Organization, "organization", id=organization_id)
    if not organizations:
        raise no_such_organization(connection, organization_id)
    return organizations[0].name


def no_such_organization(connection: Connection, organization_id: str) -> NoSuchOrganization:
    """Return the error of an id that no organization has; it suggests similar ones."""
    beginning = organization_id.lower()[:3]
    similar = [name for name in list_organization_ids(connection) if beginning in name][:MOST_SUGGESTIONS]
    suggestion = f"; did you mean {', '.join(similar)}?" if similar else ""
    return NoSuchOrganization(f"no organization {organization_id!r}{suggestion}")


def list_organization_ids(connection: Connection) -> list[str]:
    """Return the ids of all organizations, in order."""
    return [row.id for row in records(connection, _OrganizationId, "organization_ids")]
