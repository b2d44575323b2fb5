"""A running server as its users see it: its address, and its databases.

Keeps out how it got to run: that is `cluster` and `lifecycle`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

USER = "fly_billing"
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
    password: str = field(repr=False)
    user: str = USER
    host: str = "127.0.0.1"

    def url(self, database: str, driver: str = "postgresql+psycopg") -> str:
        """Give the SQLAlchemy URL of a database, password included: not for a log."""
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{driver}://{login}@{self.host}:{self.port}/{quote(database, safe='')}"


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


def create_database(server: PostgresServer, name: str, template: str = "template1") -> None:
    """Create a database as a copy of `template`, to which nobody may be connected meanwhile."""
    with connect(server.port, server.password) as connection:
        # copying files is quicker where nothing is synced; elsewhere it costs two checkpoints
        is_durable = connection.execute("show fsync").fetchone() == ("on",)
        strategy = sql.SQL("wal_log" if is_durable else "file_copy")
        statement = sql.SQL("create database {} template {} strategy {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template), strategy))


def drop_database(server: PostgresServer, name: str) -> None:
    """Drop a database if it exists, and end the sessions that use it."""
    with connect(server.port, server.password) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def create_missing(server: PostgresServer, names: tuple[str, ...]) -> None:
    """Create those of the named databases that do not exist; the caller keeps others from doing the same."""
    if not names:
        return
    with connect(server.port, server.password) as connection:
        existing = {row[0] for row in connection.execute("select datname from pg_database")}
    for name in dict.fromkeys(names):
        if name not in existing:
            create_database(server, name)
