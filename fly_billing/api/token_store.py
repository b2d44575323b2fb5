"""Tokens of the API in Postgres: issues, finds, lists, revokes and rotates them. A token is shown once, here.

The commands write with the pipeline's role. The API itself can only read, and adds a token of an organization by a
function of the database (`issue_for_issuer`).
Not here: what a token may read (`api.rules.access`), its text (`api.rules.tokens`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fly_billing.api.rules.access import ROLES, ApiToken
from fly_billing.api.rules.tokens import CUSTOMER, OPERATOR, SECRET_BYTES, digest_token, token_of
from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase, records, rows, values
from fly_billing.postgres.organizations import organization_name
from fly_billing.settings import SettingsError

# The longest that a token works: longer ones are forgotten somewhere.
MOST_DAYS = 730
DEFAULT_DAYS = 365


class TokenRefused(ActionableError):
    """The token can't be issued, revoked or rotated. The message says why, and never has a token."""


@dataclass(frozen=True)
class NewToken:
    """What to issue.

    Attributes:
        organization_id: The organization; None for an operator's token, which has a role instead.
        name: What it is for.
        expires_at: At most MOST_DAYS from now.
    """

    name: str
    expires_at: datetime
    organization_id: str | None = None
    role: str | None = None
    scopes: Sequence[str] = ()


@dataclass(frozen=True)
class IssuedToken:
    """A token that was just issued. `secret` is the token itself: show it once, and never store or log it."""

    id: UUID
    secret: str
    wanted: NewToken
    issued_at: datetime

    def as_data(self) -> dict[str, Any]:
        """Return JSON-ready data, with the token."""
        return {
            "id": str(self.id),
            "token": self.secret,
            "organization_id": self.wanted.organization_id,
            "role": self.wanted.role,
            "scopes": list(self.wanted.scopes),
            "name": self.wanted.name,
            "issued_at": self.issued_at.isoformat(),
            "expires_at": self.wanted.expires_at.isoformat(),
        }


def issue(
    database: BillingDatabase, wanted: NewToken, issued_by: str, now: datetime, replaces: UUID | None = None
) -> IssuedToken:
    """Issue a token with the pipeline's rights.

    Raises:
        NoSuchOrganization: No organization has this id.
        TokenRefused: The name or the expiry is not valid, or the role is unknown.
    """
    with database.transaction() as connection:
        return _issue(connection, wanted, issued_by, now, replaces)


def _issue(
    connection: Connection, wanted: NewToken, issued_by: str, now: datetime, replaces: UUID | None
) -> IssuedToken:
    _check(wanted, now)
    if wanted.organization_id is not None:
        organization_name(connection, wanted.organization_id)
    token_id, secret = _fresh(wanted)
    rows(
        connection, "issue_api_token",
        **_columns(token_id, secret, wanted), role=wanted.role, issued_by=issued_by, replaces=replaces, issued_at=now,
    )  # fmt: skip
    return IssuedToken(token_id, secret, wanted, now)


def issue_for_issuer(
    database: BillingDatabase, wanted: NewToken, issuer: ApiToken, now: datetime
) -> IssuedToken | None:
    """Issue a token of an organization with the API's rights; None if there is no such organization.

    Raises TokenRefused as `issue`.
    """
    _check(wanted, now)
    token_id, secret = _fresh(wanted)
    try:
        with database.transaction() as connection:
            if not records(connection, _Known, "organization", id=wanted.organization_id):
                return None
            (issued_at,) = values(
                connection, "issue_organization_token", **_columns(token_id, secret, wanted), issuer_id=issuer.id
            )
    except IntegrityError as problem:
        raise TokenRefused("the token can't be issued with these values") from problem
    return IssuedToken(token_id, secret, wanted, issued_at)


@dataclass(frozen=True)
class _Known:
    id: str
    name: str
    currency: str


def _check(wanted: NewToken, now: datetime) -> None:
    if wanted.role is not None and wanted.role not in ROLES:
        raise TokenRefused(f"{wanted.role!r} is not a role: choose from {', '.join(ROLES)}")
    if not wanted.name.strip() or len(wanted.name) > 200 or not wanted.name.isprintable():
        raise TokenRefused("name the token by what it is for, in at most 200 characters on one line")
    if not now < wanted.expires_at <= now + timedelta(days=MOST_DAYS):
        raise TokenRefused(f"a token expires after 1 to {MOST_DAYS} days")


def _fresh(wanted: NewToken) -> tuple[UUID, str]:
    prefix = OPERATOR if wanted.role else CUSTOMER
    return uuid4(), token_of(secrets.token_bytes(SECRET_BYTES), prefix)


def _columns(token_id: UUID, secret: str, wanted: NewToken) -> dict[str, Any]:
    return {
        "id": token_id,
        "sha256": digest_token(secret),
        "organization_id": wanted.organization_id,
        "scopes": list(wanted.scopes),
        "name": wanted.name,
        "expires_at": wanted.expires_at,
    }


def find_token(database: BillingDatabase, secret: str) -> ApiToken | None:
    """Return the token with this text, whether it still works or not. It is found by its digest, never compared."""
    found = database.records(ApiToken, "api_token_by_digest", sha256=digest_token(secret))
    return found[0] if found else None


def list_tokens(database: BillingDatabase, organization_id: str | None = None) -> list[ApiToken]:
    """Return the tokens of an organization, or all, the newest first."""
    return database.records(ApiToken, "api_tokens", organization_id=organization_id, id=None)


def revoke(database: BillingDatabase, token_id: UUID, revoked_by: str, now: datetime) -> ApiToken:
    """End a token now, for good. Raises TokenRefused if there is no such token, or it has ended."""
    with database.transaction() as connection:
        token = _token(connection, token_id)
        if not rows(connection, "revoke_api_token", id=token_id, revoked_at=now, revoked_by=revoked_by):
            since = f"{token.ends_at:%Y-%m-%d %H:%M} UTC"
            raise TokenRefused(f"token {token_id} is {token.state(now)} already, since {since}")
        return token


def rotate(
    database: BillingDatabase, token_id: UUID, rotated_by: str, now: datetime, overlap: timedelta, expires_at: datetime
) -> IssuedToken:
    """Issue a token that reads the same, and end the old one after the overlap, so that both work meanwhile.

    Raises TokenRefused if there is no such token, it has ended, or it was rotated before.
    """
    with database.transaction() as connection:
        old = _token(connection, token_id)
        if old.state(now) != "works":
            raise TokenRefused(f"token {token_id} {_why_not_rotated(old, now)}: issue a new one")
        ends_at = min(now + overlap, old.expires_at - timedelta(microseconds=1))
        rows(connection, "revoke_api_token", id=token_id, revoked_at=ends_at, revoked_by=rotated_by)
        wanted = NewToken(old.name, expires_at, old.organization_id, old.role, tuple(old.scopes))
        return _issue(connection, wanted, rotated_by, now, replaces=token_id)


def _why_not_rotated(token: ApiToken, now: datetime) -> str:
    return "was rotated already" if token.works(now) else f"is {token.state(now)}"


def _token(connection: Connection, token_id: UUID) -> ApiToken:
    found = records(connection, ApiToken, "api_tokens", organization_id=None, id=token_id)
    if not found:
        raise TokenRefused(f"no token {token_id}: `fly-billing token list` shows their ids")
    return found[0]


def refuse_writing_role(database: BillingDatabase) -> None:
    """Raise SettingsError if the database's role can change bills, which the API's must not."""
    if database.values("may_write_invoices")[0]:
        raise SettingsError(
            f"the role of {database.place} can change bills, and the API only reads: set FLY_BILLING_API_DATABASE_URL"
            " to the URL of fly_billing_api (deploy/roles.sql)"
        )


class ReadingRole:
    """Makes sure, once, that the database's role can only read."""

    def __init__(self, database: BillingDatabase) -> None:
        self._database = database
        self._is_checked = False

    def check(self) -> BillingDatabase:
        """Return the database. Raises SettingsError for a role that can write."""
        if not self._is_checked:
            refuse_writing_role(self._database)
            self._is_checked = True
        return self._database

    def find_token(self, secret: str) -> ApiToken | None:
        """Return the token with this text, or None. Raises SettingsError for a role that can write."""
        return find_token(self.check(), secret)
