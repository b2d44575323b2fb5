"""Opens a connection to the billing Postgres: limits its times, watches it, and refuses servers that can't work.

A statement sets the limits after connecting, because poolers reject `options` in the connection request. Not here:
engines of SQLAlchemy (`engines`), and the address (`addresses`).
"""

from __future__ import annotations

import os
import threading
from typing import Any

from fly_billing.postgres.connections.poolers import check_session_pooling, is_behind_pooler
from fly_billing.postgres.connections.problems import DatabaseAddress, DatabaseProblem
from fly_billing.postgres.connections.times import read_all_times
from fly_billing.postgres.connections.watched_connection import BoundedConnection, Watch, WatchedConnection
from fly_billing.settings import DatabaseLimits

# The oldest major version that supports everything the migrations use (`nulls not distinct`).
OLDEST_SERVER = 15

_checked: set[tuple[DatabaseAddress, str]] = set()
_checking = threading.Lock()


def open_connection(
    place: DatabaseAddress, limits: DatabaseLimits, *arguments: Any, **parameters: Any
) -> WatchedConnection:
    """Open a connection with these arguments of psycopg's `connect`.

    Raises:
        DatabaseProblem: The server is too old, or a pooler swaps connections.
        psycopg.Error: Connecting failed.
    """
    known = {**tcp_limits(limits), **parameters}
    connection = WatchedConnection.connect(*arguments, **known)
    try:
        _refuse_old_server(connection, place)
        _set_up(connection, known, limits)
        read_all_times(connection)
        _refuse_swapping_pooler(connection, place)
    except BaseException:
        connection.close()
        raise
    return connection


def tcp_limits(limits: DatabaseLimits) -> dict[str, Any]:
    """Return libpq's parameters that limit the time to connect and detect a lost machine.

    `tcp_user_timeout` is in milliseconds, the other times are in seconds.
    """
    silence = limits.silence_seconds
    return {
        "connect_timeout": limits.connect_seconds,
        "keepalives": 1,
        "keepalives_idle": max(1, silence // 2),
        "keepalives_interval": max(1, silence // 6),
        "keepalives_count": 3,
        "tcp_user_timeout": silence * 1000,
    }


def session_limits(limits: DatabaseLimits) -> dict[str, str]:
    """Return the parameters of a session. They override the defaults of the server, database and role.

    They limit statements, locks, idle transactions and lost clients in time, and set the formats of values and the
    transaction isolation.
    """
    return {
        "client_encoding": "UTF8",
        "timezone": "UTC",
        # psycopg reads times in ISO format only.
        "datestyle": "ISO",
        "intervalstyle": "postgres",
        # Otherwise a backslash in a text, as in some constraints of the schema, would be an escape.
        "standard_conforming_strings": "on",
        # Migrations find constraints by their text, as the server writes it.
        "quote_all_identifiers": "off",
        # After waiting for a lock, a statement must read the changes that the lock's previous owner committed. Stricter
        # levels would read a snapshot from before the wait.
        "default_transaction_isolation": "read committed",
        "application_name": f"fly_billing (process {os.getpid()})",
        "statement_timeout": f"{limits.statement_seconds}s",
        "lock_timeout": f"{limits.lock_seconds}s",
        "idle_in_transaction_session_timeout": f"{limits.idle_transaction_seconds}s",
        # The server gives up a lost client machine, and releases its locks, after a minute and a half.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "6",
        "tcp_user_timeout": "90s",
    }


def _refuse_old_server(connection: WatchedConnection, place: DatabaseAddress) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER * 10_000:
        raise DatabaseProblem(
            f"{place} is PostgreSQL {version // 10_000}: fly_billing needs {OLDEST_SERVER} or newer; upgrade the server"
        )


def _set_up(connection: WatchedConnection, parameters: dict[str, Any], limits: DatabaseLimits) -> None:
    """Set the session's limits and start to watch it, in one round trip."""
    wanted = session_limits(limits)
    calls = ", ".join(["set_config(%s, %s, false)"] * len(wanted))
    before, connection.autocommit = connection.autocommit, True  # a rollback would undo the settings
    values = [word for pair in wanted.items() for word in pair]
    row = connection.execute(f"select pg_backend_pid(), {calls}".encode(), values).fetchone()
    connection.autocommit = before
    assert row is not None
    connection.watch = Watch(row[0], parameters, limits.silence_seconds)


def _refuse_swapping_pooler(connection: WatchedConnection, place: DatabaseAddress) -> None:
    watch = connection.watch
    assert watch is not None
    if not is_behind_pooler(connection, watch.pid):
        return

    def another() -> BoundedConnection:
        opened = BoundedConnection.connect(**watch.parameters)
        opened.bound = float(watch.parameters["connect_timeout"])
        return opened

    with _checking:  # once per process and address, because a pooler does not change its mode while it runs
        checked = (place, str(watch.parameters.get("user")))  # a pooler can have another mode for another user
        if checked not in _checked:
            check_session_pooling(another, place)
            _checked.add(checked)
