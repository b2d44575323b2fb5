"""What a token may read and write, and until when. Pure: pass the time in.

An organization's token is about its own organization, as far as its scopes go. An operator's token has a role instead.
The database's functions that write for a token (`act_with_token`) have the same rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

READING = ("statement", "invoices", "usage", "balance", "alerts")
# Sets thresholds and the cap.
WRITE_ALERTS = "alerts:write"
SCOPES = (*READING, WRITE_ALERTS)
# Acknowledges a call about a cap in place of the platform. No organization's token may: its machines would run on.
ACKNOWLEDGE = "alerts:acknowledge"
# Says which address gets the alerts: our server sends mail to whomever it names.
ADDRESS = "alerts:address"
# The platform's backend: it also issues tokens of organizations, with any scope, and makes links.
ISSUER = "issuer"
# Role -> what it may do for every organization. Invoices have customers' addresses and tax ids: not for support.
ROLES: dict[str, tuple[str, ...]] = {
    "finance": READING,
    "support": ("statement", "usage", "alerts"),
    ISSUER: (WRITE_ALERTS, ACKNOWLEDGE, ADDRESS),
}


@dataclass(frozen=True)
class ApiToken:
    """A token as Postgres has it: without the token itself.

    Attributes:
        organization_id: The organization that it is about; None for an operator's.
        role: A key of ROLES, for an operator's.
        replaces: The token that it replaced by a rotation.
        revoked_at: From when it no longer works; may be in the future, after a rotation.
    """

    id: UUID
    organization_id: str | None
    role: str | None
    scopes: Sequence[str]
    name: str
    issued_by: str
    replaces: UUID | None
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    revoked_by: str | None

    @property
    def ends_at(self) -> datetime:
        """When it stops to work."""
        return min(self.expires_at, self.revoked_at or self.expires_at)

    def works(self, now: datetime) -> bool:
        return now < self.ends_at

    def state(self, now: datetime) -> str:
        """Return `works`, `ends soon` (it was rotated), `revoked` or `expired`."""
        if self.works(now):
            return "works" if self.revoked_at is None else "ends soon"
        return "revoked" if self.revoked_at and self.revoked_at < self.expires_at else "expired"

    def has_scope(self, scope: str) -> bool:
        return scope in (ROLES.get(self.role, ()) if self.role else self.scopes)

    def is_about(self, organization_id: str) -> bool:
        """Return True if it may read or write of this organization, as far as its scopes go."""
        return self.role is not None or self.organization_id == organization_id

    @property
    def may_issue(self) -> bool:
        return self.role == ISSUER

    def as_data(self, now: datetime) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "id": str(self.id),
            "organization_id": self.organization_id,
            "role": self.role,
            "scopes": list(self.scopes),
            "name": self.name,
            "state": self.state(now),
            "issued_by": self.issued_by,
            "issued_at": self.issued_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "revoked_at": self.revoked_at.isoformat() if self.revoked_at else None,
            "revoked_by": self.revoked_by,
            "replaces": str(self.replaces) if self.replaces else None,
        }


def read_scopes(text: str) -> tuple[str, ...]:
    """Read `statement,usage`. Raises ValueError that names an unknown scope."""
    return check_scopes([part.strip() for part in text.split(",") if part.strip()])


def check_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes in their usual order, each once. Raises ValueError for an unknown one, or none."""
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise ValueError(f"{unknown[0]!r} is not a scope: choose from {', '.join(SCOPES)}")
    if not scopes:
        raise ValueError(f"a token without a scope may do nothing: choose from {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)
