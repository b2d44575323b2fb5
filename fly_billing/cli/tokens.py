"""Issues, lists, revokes and rotates tokens of the API: `fly-billing token`. A token itself is printed once."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import typer
from rich.table import Table

from fly_billing.api import token_store
from fly_billing.api.rules.access import ApiToken, read_scopes
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.foreign_text import visible
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True)
class TokenOptions:
    """Options of `fly-billing token issue`."""

    name: str
    scopes: str
    role: str | None
    days: int


@contextmanager
def _database() -> Iterator[BillingDatabase]:
    with local_platform() as settings:
        yield BillingDatabase(settings.database_url)


def issue(console: Terminal, organization: str | None, options: TokenOptions, *, as_json: bool) -> None:
    """Issue a token and print it.

    Raises:
        NoSuchOrganization: No organization has this id.
        TokenRefused: A value is not valid.
        typer.BadParameter: A scope is unknown, or not exactly one of organization and role is given.
    """
    if (organization is None) == (options.role is None):
        raise typer.BadParameter("give an organization, or --role for an operator's token")
    now = datetime.now(UTC)
    scopes = () if options.role else _scopes(options.scopes)
    expires_at = now + timedelta(days=options.days)
    wanted = token_store.NewToken(options.name, expires_at, organization, options.role, scopes)
    with _database() as database:
        _print_issued(console, token_store.issue(database, wanted, getpass.getuser(), now), as_json=as_json)


def rotate(console: Terminal, token_id: str, overlap_hours: int, days: int, *, as_json: bool) -> None:
    """Replace a token and print the new one. Raises TokenRefused."""
    now, parsed, overlap = datetime.now(UTC), _id(token_id), timedelta(hours=overlap_hours)
    expires_at = now + timedelta(days=days)
    with _database() as database:
        issued = token_store.rotate(database, parsed, getpass.getuser(), now, overlap, expires_at)
    _print_issued(console, issued, as_json=as_json)
    if not as_json:
        console.print(f"The old one, {parsed}, works for {overlap_hours} more hours, or until it expires.")


def revoke(console: Terminal, token_id: str, *, as_json: bool) -> None:
    """End a token. Raises TokenRefused."""
    now, parsed = datetime.now(UTC), _id(token_id)
    with _database() as database:
        token = token_store.revoke(database, parsed, getpass.getuser(), now)
    if as_json:
        print(json.dumps({"id": str(token.id), "revoked_at": now.isoformat()}, indent=2))
    else:
        console.print(f"Revoked {token.id} ({token.name}): no request with it is answered any more")


def show(console: Terminal, organization: str | None, *, as_json: bool) -> None:
    """List tokens, without the tokens themselves."""
    now = datetime.now(UTC)
    with _database() as database:
        found = token_store.list_tokens(database, organization)
    if as_json:
        print(json.dumps([token.as_data(now) for token in found], indent=2))
    elif not found:
        console.print("No tokens" + (f" of {organization}" if organization else ""))
    else:
        console.print(_table(found, now))


def _table(found: list[ApiToken], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for column in ("Id", "Reads", "For", "State", "Until"):
        table.add_column(column)
    for token in found:
        reads = f"all as {token.role}" if token.role else f"{token.organization_id}: {', '.join(token.scopes)}"
        table.add_row(str(token.id), reads, token.name, token.state(now), moment_text(token.ends_at))
    return table


def _print_issued(console: Terminal, issued: token_store.IssuedToken, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(issued.as_data(), indent=2))
        return
    wanted = issued.wanted
    reads = (
        f"all organizations as {wanted.role}"
        if wanted.role
        else f"{wanted.organization_id}: {', '.join(wanted.scopes)}"
    )
    console.print(f"Token, shown only now: {issued.secret}", soft_wrap=True)
    console.print(f"Id {issued.id}, reads {reads}, until {moment_text(wanted.expires_at)}", soft_wrap=True)


def _scopes(text: str) -> tuple[str, ...]:
    try:
        return read_scopes(text)
    except ValueError as mistake:
        raise typer.BadParameter(visible(str(mistake))) from mistake


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(
            visible(f"{text!r} is not an id of a token: `fly-billing token list` shows them")
        ) from None
