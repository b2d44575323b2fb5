"""The address of a database as a person sets it. Keeps out: connecting to it."""

from __future__ import annotations

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
    scheme = url.drivername.partition("+")[0]
    if scheme not in SCHEMES:
        raise SettingsError(f"{setting} begins with {scheme}://: fly_billing needs PostgreSQL, postgresql://...")
    # A bare postgresql:// means psycopg 3 to SQLAlchemy 2.1, and psycopg 2 to older ones: named, so that it stays so.
    return url.set(drivername=f"postgresql+{driver}")


def describe_address(url: URL) -> str:
    """Name the server and database without user and password: `host:port/database`."""
    host = url.host or str(url.query.get("host") or "local socket")
    return f"{host}:{url.port or 5432}/{url.database or url.username or ''}"
