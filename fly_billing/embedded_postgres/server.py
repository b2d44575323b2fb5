"""A running server as its users see it: its address, and its databases.

Keeps out how it got to run: that is `cluster` and `lifecycle`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, adopt, make_missing, password_of

# The superuser of every server made here; never in a URL that is given away.
USER = "fly_billing"
# Whose a database is, if not OWNER's.
OWNERS = {"dagster": DAGSTER}
# psycopg would take each of these from the caller's PG* variables if it were not given.
IGNORE_ENVIRONMENT: dict[str, Any] = {
    "hostaddr": "127.0.0.1",
    "sslmode": "disable",
    "gssencmode": "disable",
    "channel_binding": "disable",
    "require_auth": "scram-sha-256",
    "target_session_attrs": "any",
    "client_encoding": "utf8",
    "options": "",
}


@dataclass(frozen=True)
class PostgresServer:
    """One running server; valid for as long as the `running` block that gave it."""

    data_dir: Path
    port: int
    pid: int
    log_file: Path
    superuser_password: str = field(repr=False)
    host: str = "127.0.0.1"

    def url(self, database: str, driver: str = "postgresql+psycopg", role: str = OWNER) -> str:
        """Give the SQLAlchemy URL of a database for a role (`roles`), password included: not for a log."""
        login = f"{quote(role, safe='')}:{quote(self.password_for(role), safe='')}"
        return f"{driver}://{login}@{self.host}:{self.port}/{quote(database, safe='')}"

    @property
    def user(self) -> str:
        return OWNER

    @property
    def password(self) -> str:
        return self.password_for(OWNER)

    def password_for(self, role: str) -> str:
        return self.superuser_password if role == USER else password_of(role, self.superuser_password)


def connect(port: int, password: str, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
    """Connect as the owner of the server, whatever the environment says; each statement commits by itself."""
    return psycopg.connect(
        host="127.0.0.1",
        port=port,
        user=USER,
        password=password,
        dbname=database,
        connect_timeout=10,
        autocommit=True,
        application_name="fly_billing embedded_postgres",
        **IGNORE_ENVIRONMENT,
    )


def create_database(server: PostgresServer, name: str, template: str = "template1", owner: str = OWNER) -> None:
    """Create a database as a copy of `template`, to which nobody may be connected meanwhile."""
    with connect(server.port, server.superuser_password) as connection:
        # copying files is quicker where nothing is synced; elsewhere it costs two checkpoints
        is_durable = connection.execute("show fsync").fetchone() == ("on",)
        strategy = sql.SQL("wal_log" if is_durable else "file_copy")
        statement = sql.SQL("create database {} template {} strategy {} owner {}")
        names = [sql.Identifier(one) for one in (name, template, owner)]
        connection.execute(statement.format(names[0], names[1], strategy, names[2]))


def drop_database(server: PostgresServer, name: str) -> None:
    """Drop a database if it exists, and end the sessions that use it."""
    with connect(server.port, server.superuser_password) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def prepare(server: PostgresServer, names: tuple[str, ...]) -> None:
    """Make the roles and those of the named databases that do not exist; the caller keeps others from doing the same.

    A database made before there were roles, or whose making was cut short, goes to its owner with all that is in it.
    """
    with connect(server.port, server.superuser_password) as connection:
        make_missing(connection, server.superuser_password)
        existing = {row[0] for row in connection.execute("select datname from pg_database")}
    for name in dict.fromkeys(names):
        owner = OWNERS.get(name, OWNER)
        if name not in existing:
            create_database(server, name, owner=owner)
        with connect(server.port, server.superuser_password, name) as connection:
            adopt(connection, name, owner)
