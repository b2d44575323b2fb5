"""Plants damage that the database refuses, for tests of how the code handles it.

The owner of the tables can switch triggers off. Not here: constraints, which a test drops itself.
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
    """Yield a connection in a transaction during which no trigger of ours fires; afterwards all fire again."""
    with database.transaction() as connection:
        triggers = connection.execute(text(_TRIGGERS)).mappings().all()
        for trigger in triggers:
            connection.execute(text(f"alter table {trigger['on_table']} disable trigger {trigger['name']}"))
        yield connection
        for trigger in triggers:
            how = _AGAIN[_letter(trigger["enabled"])]
            connection.execute(text(f"alter table {trigger['on_table']} {how} trigger {trigger['name']}"))


def damage(database: BillingDatabase, *statements: str, **parameters: Any) -> None:
    """Run statements that the database would refuse."""
    with unguarded(database) as connection:
        for statement in statements:
            connection.execute(text(statement), parameters)


def _letter(enabled: str | bytes) -> str:
    return enabled.decode() if isinstance(enabled, bytes) else enabled
