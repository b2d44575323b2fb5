"""The address of a database as a person sets it. Keeps out: connecting to it."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from fly_billing.settings import SettingsError

SCHEMES = ("postgresql", "postgres")


def read_address(text: str, setting: str, driver: str = "psycopg") -> URL:
    """Read a database URL for a driver, whatever driver (or none) its scheme names.

    Raises SettingsError, which names the setting and shows nothing of the URL: a password that is not percent-encoded
    may be in any part of it.
    """
    wrong = SettingsError(
        f"{setting} is not a database URL: write postgresql://user:password@host:port/database, with special"
        " characters of user and password percent-encoded (@ is %40, / is %2F, # is %23)"
    )
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise wrong from None
    if any(sign in (url.database or "") for sign in "@/:"):  # the rest of a password that was not encoded
        raise wrong
    if any("\0" in (part or "") for part in (url.username, url.password, url.host, url.database)):
        raise wrong
    scheme = url.drivername.partition("+")[0]
    if scheme not in SCHEMES:
        raise SettingsError(f"{setting} begins with {scheme}://: fly_billing needs PostgreSQL, postgresql://...")
    _refuse_unknown_options(url, setting)
    # A bare postgresql:// means psycopg 3 to SQLAlchemy 2.1, and psycopg 2 to older ones: named, so that it stays so.
    return url.set(drivername=f"postgresql+{driver}")


def describe_address(url: URL) -> str:
    """Name the server and database without user and password: `host:port/database`."""
    host = url.host or str(url.query.get("host") or "local socket")
    return f"{host}:{url.port or 5432}/{url.database or url.username or ''}"


def _refuse_unknown_options(url: URL, setting: str) -> None:
    """Raise SettingsError where PostgreSQL's client library does not know an option, or can't read its value."""
    options = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    try:
        timeout_from_conninfo(conninfo_to_dict(make_conninfo("", **options)))
    except psycopg.ProgrammingError:
        raise SettingsError(
            f"{setting} has an option after ? that PostgreSQL's client does not know, or a value that it can't read:"
            " leave out what other tools add, such as ?schema=, ?pgbouncer= or ?ssl=true (which is ?sslmode=require)"
        ) from None
