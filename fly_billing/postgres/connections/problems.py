"""Explains driver errors in one line: the problem, the database and the next step. Never the password.

It handles the errors of both drivers (psycopg 3 for billing, psycopg 2 for Dagster's storage), also when SQLAlchemy has
wrapped them. Not here: retries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from fly_billing.errors import ActionableError
from fly_billing.postgres.connections.addresses import describe_address, describe_parameters
from fly_billing.postgres.connections.connection_budget import DAGSTERS, NEEDED, PROCESSES_WITHIN

if TYPE_CHECKING:
    from sqlalchemy import URL

TOO_MANY = (
    f"has no connection left: one run needs up to {NEEDED} ({DAGSTERS} of them for Dagster), and two more for each of"
    f" FLY_BILLING_PROCESSES above {PROCESSES_WITHIN}; raise max_connections (or the pool's size, or the limit of the"
    " role or database), or end other sessions"
)
# Pattern in the driver's message of a failed connection -> our text. libpq gives no SQLSTATE for these.
ON_CONNECTING = (
    (r"password authentication failed|authentication failed|no password supplied|SASL", (
        "refuses the user name or password: check both (special characters percent-encoded)"
    )),
    (r'database ".*" does not exist|no such database', "does not exist on this server: create it, or check the name"),
    (r'role ".*" does not exist|no such user', "knows no such user: create the role, or check the user name"),
    (r"invalid \w+ value|invalid port number", "is not named right: check its port, and the options after ?"),
    (r"server does not support SSL", (
        "offers no TLS, but sslmode asks for it: enable ssl on the server, or drop sslmode from the URL if the network"
        " between is trusted"
    )),
    (r"certificate|SSL error|root\.crt", "can't prove who it is (TLS): check sslmode, sslrootcert and its certificate"),
    (r"no pg_hba\.conf entry", "does not let this machine in: add it to pg_hba.conf, or check sslmode"),
    (r"too many clients|remaining connection slots|too many connections|no more connections allowed|query_wait_timeout",
     TOO_MANY),
    (r"starting up|shutting down|recovery mode|not yet accepting", "is starting or stopping: try again in a minute"),
    (r"could not translate host name|failed to resolve|Name or service not known|No address associated", (
        "can't be found: no such host name; check it and the network"
    )),
    (r"Connection refused|No such file or directory", "is not running there: start it, or check host and port"),
    (r"timeout|timed out|no answer", (
        "does not answer: check host, port, firewall and network"
    )),
)  # fmt: skip
# SQLSTATE -> our text.
BY_STATE = {
    "28P01": "refuses the user name or password: check both (special characters percent-encoded)",
    "28000": "does not let this user in: check the user name, pg_hba.conf and sslmode",
    "3D000": "does not exist on this server: create it, or check the name",
    "53300": TOO_MANY,
    "53100": "has no disk space left: make room, then run again",
    "53200": "is out of memory: see its log",
    "57P01": "ended the connection (a restart, or an administrator): run again",
    "57P02": "crashed and ended the connection: see its log, then run again",
    "57P03": "is starting or stopping: try again in a minute",
    "57P05": "ended the connection because it was idle for too long: run again",
    "25P03": (
        "ended the connection because it was idle in a transaction for too long"
        " (FLY_BILLING_IDLE_TRANSACTION_SECONDS): nothing of that transaction was kept; run again"
    ),
    "25006": "is read-only (a standby, or default_transaction_read_only): name the primary server",
}
NOT_MIGRATED = ("42P01", "3F000")
SETTINGS_OF_DAGSTER = "DAGSTER_DATABASE_URL"


class DatabaseProblem(ActionableError):
    """The database can't be used, or rejected a statement. The message is one line with the next step."""


@dataclass(frozen=True)
class DatabaseAddress:
    """A database's name in messages: the setting that has its URL, and `host:port/database`."""

    setting: str
    address: str

    @classmethod
    def of(cls, setting: str, url: URL) -> DatabaseAddress:
        return cls(setting, describe_address(url))

    @classmethod
    def of_parameters(cls, setting: str, parameters: Mapping[str, str]) -> DatabaseAddress:
        """Return the name of a database with these parameters of PostgreSQL's client."""
        return cls(setting, describe_parameters(parameters))

    def __str__(self) -> str:
        return f"{self.setting} ({self.address})"


def describe(problem: BaseException, place: DatabaseAddress | None = None, *, waited_for: str = "") -> str | None:
    """Explain a driver's error in one line.

    Args:
        problem: The error, or an error that it caused.
        place: The database; None: unknown.
        waited_for: The session that has the lock that was waited for, if it is known.

    Returns:
        The explanation; None if the error is not about the connection, its limits or the schema.
    """
    error = _driver_error(problem)
    if error is None:
        return None
    what = str(place) if place else _setting_of(error)
    state, text = _state(error), _first_line(error)
    if state in NOT_MIGRATED:
        return f"{what} has no tables yet (or older ones): run `fly-billing migrate`, or `make demo` ({text})"
    if state == "42501":
        return f"{what}: this user may not do that ({text}): see deploy/roles.sql, then run `fly-billing migrate`"
    if state == "55P03":
        return (
            f"{what}: gave up waiting for a lock{_held_by(waited_for)}; nothing was changed (FLY_BILLING_LOCK_SECONDS)"
        )
    if state == "57014":
        return f"{what}: {text} (FLY_BILLING_STATEMENT_SECONDS, if it was not cancelled); nothing was changed"
    if state in BY_STATE:
        return f"{what} {BY_STATE[state]} ({text})"
    if state is None and _is_operational(error):
        return f"{what} {_on_connecting(str(error))} ({text})"
    return None


def _held_by(waited_for: str) -> str:
    if not waited_for:
        return ": another session holds it (see pg_stat_activity); run again when it has ended"
    return f" that {waited_for}; end that session or wait for it, then run again"


def _on_connecting(text: str) -> str:
    for pattern, meaning in ON_CONNECTING:
        if re.search(pattern, text, re.IGNORECASE):
            return meaning
    return "can't be reached, or the connection broke: check host, port and network, and run again"


def _driver_error(problem: BaseException) -> Any:
    """Find the driver's error: the error itself, the one that SQLAlchemy wrapped, or its cause."""
    seen: set[int] = set()
    left: list[BaseException | None] = [problem]
    while left:
        error = left.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        # By attribute and name: a command that only reads does not load SQLAlchemy, and only Dagster's storage loads
        # psycopg 2.
        if isinstance(original := getattr(error, "orig", None), BaseException):
            return original
        module, name = type(error).__module__, type(error).__name__
        is_pool_timeout = (module, name) == ("sqlalchemy.exc", "TimeoutError")
        if isinstance(error, psycopg.Error) or is_pool_timeout or module.startswith("psycopg2"):
            return error
        left += [error.__cause__, error.__context__]
    return None


def _setting_of(error: Any) -> str:
    """Return the setting of the error's database. Only Dagster's storage uses psycopg 2."""
    return SETTINGS_OF_DAGSTER if type(error).__module__.startswith("psycopg2") else "the database"


def _is_operational(error: Any) -> bool:
    names = {class_.__name__ for class_ in type(error).__mro__}
    return bool(names & {"OperationalError", "InterfaceError", "TimeoutError"})


def _state(error: Any) -> str | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return str(state) if state else None


def _first_line(error: Any) -> str:
    """Return the most informative line of the driver's message, without the address in front of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    best = next((line for line in lines if "FATAL" in line), lines[0] if lines else type(error).__name__)
    return re.sub(r"^.*?(FATAL|ERROR):\s*", "", best)[:200]
