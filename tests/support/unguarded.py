"""Damage that the database refuses: for tests of what happens where it was done all the same.

Whoever owns the tables can switch triggers off. Keeps out: constraints, which a test drops itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, text

from fly_billing.postgres.database import BillingDatabase

_TRIGGERS = """
    select quote_ident(c.relname) as on_table, quote_ident(t.tgname) as name, t.tgenabled as enabled
    from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal
"""
_AGAIN = {"A": "enable always", "O": "enable", "R": "enable replica", "D": "disable"}


@contextmanager
def unguarded(database: BillingDatabase) -> Iterator[Connection]:
    """Yield a connection in a transaction during which no trigger of ours fires; all are as before when it ends."""
    with database.transaction() as connection:
        triggers = connection.execute(text(_TRIGGERS)).mappings().all()
        for one in triggers:
            connection.execute(text(f"alter table {one['on_table']} disable trigger {one['name']}"))
        yield connection
        for one in triggers:
            how = _AGAIN[_letter(one["enabled"])]
            connection.execute(text(f"alter table {one['on_table']} {how} trigger {one['name']}"))


def damage(database: BillingDatabase, *statements: str, **parameters: Any) -> None:
    """Run statements that the database would refuse."""
    with unguarded(database) as connection:
        for statement in statements:
            connection.execute(text(statement), parameters)


def _letter(enabled: str | bytes) -> str:
    return enabled.decode() if isinstance(enabled, bytes) else enabled
