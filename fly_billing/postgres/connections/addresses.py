"""Reads and checks the URL of a database from a setting."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from fly_billing.settings import SettingsError

SCHEMES = ("postgresql", "postgres")


def read_address(text: str, setting: str, driver: str = "psycopg") -> URL:
    """Parse a database URL, and set its driver in place of the one in its scheme, if any.

    Raises:
        SettingsError: The URL is invalid. The message names the setting and never quotes the URL, because a password
            that is not percent-encoded can be in any part of it.
    """
    wrong = SettingsError(
        f"{setting} is not a database URL: write postgresql://user:password@host:port/database, with special"
        " characters of user and password percent-encoded (@ is %40, / is %2F, # is %23)"
    )
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise wrong from None
    if any(sign in (url.database or "") for sign in "@/:"):  # a part of a password that is not percent-encoded
        raise wrong
    if any("\0" in (part or "") for part in (url.username, url.password, url.host, url.database)):
        raise wrong
    scheme = url.drivername.partition("+")[0]
    if scheme not in SCHEMES:
        raise SettingsError(f"{setting} begins with {scheme}://: fly_billing needs PostgreSQL, postgresql://...")
    _refuse_unknown_options(url, setting)
    # A bare postgresql:// means psycopg 3 in SQLAlchemy 2.1 and psycopg 2 before. With a name, it never changes.
    return url.set(drivername=f"postgresql+{driver}")


def describe_address(url: URL) -> str:
    """Return the server and database without user and password: `host:port/database`."""
    host = url.host or str(url.query.get("host") or "local socket")
    return f"{host}:{url.port or 5432}/{url.database or url.username or ''}"


def _refuse_unknown_options(url: URL, setting: str) -> None:
    """Raise SettingsError if PostgreSQL's client library does not know an option or can't parse its value."""
    options = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    try:
        timeout_from_conninfo(conninfo_to_dict(make_conninfo("", **options)))
    except psycopg.ProgrammingError:
        raise SettingsError(
            f"{setting} has an option after ? that PostgreSQL's client does not know, or a value that it can't parse:"
            " remove options of other tools, such as ?schema=, ?pgbouncer= or ?ssl=true (use ?sslmode=require)"
        ) from None
