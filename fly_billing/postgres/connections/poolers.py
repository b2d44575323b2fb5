"""Refuses poolers that give each transaction another connection (such as pgbouncer in transaction mode).

A run locks each invoice with a lock of its session (`BillingDatabase.session_locks`), and sets the limits of a session
once per connection. A pooler in transaction or statement mode breaks both silently: the lock stays on a connection that
another client has by then. pgbouncer in session mode is fine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg

from fly_billing.postgres.connections.problems import DatabaseProblem
from fly_billing.postgres.connections.watched_connection import BoundedConnection, ServerSilent

# Each round detects a pooler by itself, unless another client takes and returns a connection at the same moment.
ROUNDS = 5
# The lock of the test. No other lock of ours has two numbers.
LOCK = [1_718_187_110, 0]
TRANSACTION_MODE = (
    "{} goes through a pooler (such as pgbouncer) in transaction or statement mode, where session locks don't work"
    " and invoices could be sent twice: use pool_mode = session, or connect to the server directly"
)
ONE_CONNECTION = "{} goes through a pooler that gave us only one connection: raise the size of its pool"


def is_behind_pooler(connection: psycopg.Connection[Any], pid: int) -> bool:
    """Return True if another server process answers than the one that was announced when the connection was opened."""
    return connection.info.backend_pid != pid


def refuse_swapping_pooler(connect: Callable[[], BoundedConnection], place: object) -> None:
    """Connect and check for a pooler. Raises DatabaseProblem, or the driver's error."""
    with _plain(connect()) as connection:
        is_direct = not is_behind_pooler(connection, _number(connection, "select pg_backend_pid()"))
    if not is_direct:
        check_session_pooling(connect, place)


def check_session_pooling(connect: Callable[[], BoundedConnection], place: object) -> None:
    """Make sure that a session lock survives the next statement. Raises DatabaseProblem if it does not.

    A pool gives out either the idle connection that was returned last, so that another client's transaction gets ours,
    or the one that was returned first, so that our next statement gets another one. So both cases are tested: our
    statements, with another client's transaction between them. A lock is taken only if our connection stayed the same.
    """
    with ExitStack() as stack:
        ours, other = stack.enter_context(_plain(connect())), stack.enter_context(_plain(connect()))
        try:
            survives = all(_keeps_session(ours, other) for _ in range(ROUNDS)) and _keeps_lock(ours, other)
        except ServerSilent:
            raise DatabaseProblem(ONE_CONNECTION.format(place)) from None
        except psycopg.Error as error:
            if "statement pooling" not in str(error):  # the pooler's message that it does not allow transactions
                raise
            survives = False
    if not survives:
        raise DatabaseProblem(TRANSACTION_MODE.format(place))


def _plain(connection: BoundedConnection) -> BoundedConnection:
    connection.autocommit = True
    connection.prepare_threshold = None  # on a swapped connection, a prepared statement would be missing
    return connection


def _keeps_session(ours: BoundedConnection, other: BoundedConnection) -> bool:
    first, before = (_number(ours, "select pg_backend_pid()") for _ in range(2))
    with other.transaction():
        others = _number(other, "select pg_backend_pid()")
        after = _number(ours, "select pg_backend_pid()")
    return first == before == after != others


def _keeps_lock(ours: BoundedConnection, other: BoundedConnection) -> bool:
    _number(ours, "select 1 from pg_advisory_lock(%s, %s)", *LOCK)
    with other.transaction():
        taken = _number(other, "select pg_try_advisory_xact_lock(%s, %s)::int", *LOCK)
        released = _number(ours, "select pg_advisory_unlock(%s, %s)::int", *LOCK)
    return not taken and bool(released)


def _number(connection: BoundedConnection, statement: str, *values: int) -> int:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return int(row[0])
