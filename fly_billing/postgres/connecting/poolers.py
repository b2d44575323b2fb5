"""Is there a pooler between us and the server that gives each transaction another connection? Then nothing is billed.

"One invoice, one lock" rests on locks of a session (`BillingDatabase.session_locks`), and so do the limits that are set
once per connection. A pooler in transaction or statement mode breaks both silently: the lock stays on a connection that
is somebody else's by then. pgbouncer in session mode is fine.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import psycopg

from fly_billing.postgres.connecting.problems import DatabaseProblem
from fly_billing.postgres.connecting.watching import BoundedConnection, Silence

# Each round catches a pooler by itself, unless another client takes and returns a connection at just that moment.
ROUNDS = 5
# The lock that is tried: no other lock of ours has two numbers.
LOCK = [1_718_187_110, 0]
TRANSACTION_MODE = (
    "{} leads through a pooler (such as pgbouncer) in transaction or statement mode, where session locks don't hold"
    " and invoices could be sent twice: use pool_mode = session, or name the server itself"
)
ONE_CONNECTION = "{} leads through a pooler that gave us one connection and no second one: raise the size of its pool"


def is_behind_pooler(connection: psycopg.Connection[Any], pid: int) -> bool:
    """Compare the server process that the connection was told at its start with the one that answers it."""
    return connection.info.backend_pid != pid


def refuse_swapping_pooler(connect: Callable[[], BoundedConnection], place: object) -> None:
    """Check an address that no connection is open to yet. Raises DatabaseProblem, or the driver's error."""
    with _plain(connect()) as connection:
        is_direct = not is_behind_pooler(connection, _number(connection, "select pg_backend_pid()"))
    if not is_direct:
        check_session_pooling(connect, place)


def check_session_pooling(connect: Callable[[], BoundedConnection], place: object) -> None:
    """Make sure that a session lock survives the next statement. Raises DatabaseProblem if it does not.

    A pool with idle connections hands out either the one returned last (then another client's transaction gets the one
    that we had) or the one returned first (then our next statement gets another one). So both are tried: our
    statements, with another client's transaction open in between. A lock is taken only where that changed nothing.
    """
    with ExitStack() as stack:
        ours, other = stack.enter_context(_plain(connect())), stack.enter_context(_plain(connect()))
        try:
            survives = all(_keeps_session(ours, other) for _ in range(ROUNDS)) and _keeps_lock(ours, other)
        except Silence:
            raise DatabaseProblem(ONE_CONNECTION.format(place)) from None
        except psycopg.Error as error:
            if "statement pooling" not in str(error):  # its way of saying that it has no transactions
                raise
            survives = False
    if not survives:
        raise DatabaseProblem(TRANSACTION_MODE.format(place))


def _plain(connection: BoundedConnection) -> BoundedConnection:
    connection.autocommit = True
    connection.prepare_threshold = None  # what was prepared would be missing on another connection: another error
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
