"""Reads and checks the URL of a database from a setting, for an engine of SQLAlchemy or for a single connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo, timeout_from_conninfo

from fly_billing.settings import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import URL

SCHEMES = ("postgresql", "postgres")
# User and password, as SQLAlchemy finds them: a password may have any sign but `@`.
_CREDENTIALS = re.compile(r"([^:/@]*)(?::([^@]*))?@")


def read_address(text: str, setting: str, driver: str = "psycopg") -> URL:
    """Parse a database URL, and set its driver in place of the one in its scheme, if any.

    Raises:
        SettingsError: The URL is invalid. The message names the setting and never quotes the URL, because a password
            that is not percent-encoded can be in any part of it.
    """
    # Here, because a command that only reads does not need it, and it takes a quarter of such a command's time.
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    wrong = _not_an_address(setting)
    try:
        url = make_url(text.strip())
    except (ArgumentError, ValueError):
        raise wrong from None
    if any(sign in (url.database or "") for sign in "@/:"):  # a part of a password that is not percent-encoded
        raise wrong
    if any("\0" in (part or "") for part in (url.username, url.password, url.host, url.database)):
        raise wrong
    _refuse_other_scheme(url.drivername, setting)
    options = {name: value if isinstance(value, str) else ",".join(value) for name, value in url.query.items()}
    _refuse_unknown_options(options, setting)
    # A bare postgresql:// means psycopg 3 in SQLAlchemy 2.1 and psycopg 2 before. With a name, it never changes.
    return url.set(drivername=f"postgresql+{driver}")


def describe_address(url: URL) -> str:
    """Return the server and database without user and password: `host:port/database`."""
    host = url.host or str(url.query.get("host") or "local socket")
    return f"{host}:{url.port or 5432}/{url.database or url.username or ''}"


def read_parameters(text: str, setting: str) -> dict[str, str]:
    """Parse a database URL as `read_address` does, into parameters of PostgreSQL's client: `host`, `dbname`, `user`...

    Raises:
        SettingsError: As `read_address`.
    """
    scheme, separator, rest = text.strip().partition("://")
    place, _, query = _with_encoded_credentials(rest).partition("?")
    wrong = _not_an_address(setting)
    try:
        found = conninfo_to_dict(f"postgresql://{place}")
    except psycopg.ProgrammingError:
        raise wrong from None
    parameters = {name: str(value) for name, value in found.items() if value is not None}
    if not parameters.get("port", "").strip(","):  # a comma for each further host, and no port
        parameters.pop("port", None)
    database, port = parameters.get("dbname", ""), parameters.get("port", "0")
    if not separator or not port.isdecimal() or any(sign in database for sign in "@/:"):
        raise wrong
    _refuse_other_scheme(scheme, setting)
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        options[name] = f"{options[name]},{value}" if name in options else value
    _refuse_unknown_options(options, setting)
    return parameters | options


def _with_encoded_credentials(rest: str) -> str:
    """Percent-encode what libpq refuses in a user or password, or reads as its end: `%`, `/`, `?` and spaces."""
    given = _CREDENTIALS.match(rest)
    if not given:
        return rest
    user, password = (part if part is None else quote(unquote(part), safe="") for part in given.groups())
    return f"{user}{'' if password is None else f':{password}'}@{rest[given.end() :]}"


def describe_parameters(parameters: Mapping[str, str]) -> str:
    """Return the server and database of `read_parameters` without user and password: `host:port/database`."""
    host, database = parameters.get("host", "local socket"), parameters.get("dbname") or parameters.get("user", "")
    return f"{host}:{parameters.get('port', 5432)}/{database}"


def _not_an_address(setting: str) -> SettingsError:
    return SettingsError(
        f"{setting} is not a database URL: write postgresql://user:password@host:port/database, with special"
        " characters of user and password percent-encoded (@ is %40, / is %2F, # is %23)"
    )


def _refuse_other_scheme(scheme: str, setting: str) -> None:
    """Raise SettingsError unless a scheme, with or without the driver after its `+`, is that of PostgreSQL."""
    name = scheme.partition("+")[0]
    if name not in SCHEMES:
        raise SettingsError(f"{setting} begins with {name}://: fly_billing needs PostgreSQL, postgresql://...")


def _refuse_unknown_options(options: Mapping[str, str], setting: str) -> None:
    """Raise SettingsError if PostgreSQL's client library does not know an option or can't parse its value."""
    try:
        timeout_from_conninfo(conninfo_to_dict(make_conninfo("", **options)))
    except psycopg.ProgrammingError:
        raise SettingsError(
            f"{setting} has an option after ? that PostgreSQL's client does not know, or a value that it can't parse:"
            " remove options of other tools, such as ?schema=, ?pgbouncer= or ?ssl=true (use ?sslmode=require)"
        ) from None
