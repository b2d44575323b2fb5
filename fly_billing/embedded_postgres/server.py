"""The address and the databases of a running server. `cluster` and `lifecycle` start it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, adopt, let_owner_check_by_set, make_missing, password_of

# The superuser of every server. No URL that callers get has its login.
USER = "fly_billing"
# The owner of a database, if it is not OWNER.
OWNERS = {"dagster": DAGSTER}
# Without these, psycopg would use the caller's PG* variables.
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
    """A running server. It is valid until the end of the `running` block that returned it."""

    data_dir: Path
    port: int
    pid: int
    log_file: Path
    superuser_password: str = field(repr=False)
    host: str = "127.0.0.1"

    def url(self, database: str, driver: str = "postgresql+psycopg", role: str = OWNER) -> str:
        """Return a database's SQLAlchemy URL for a role (see `roles`). It has the password: keep it out of logs."""
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
    """Connect as the server's superuser, regardless of the environment. Each statement is committed by itself."""
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
    """Create a database as a copy of `template`, which must not have any connections meanwhile."""
    with connect(server.port, server.superuser_password) as connection:
        # copying files is faster without fsync; with fsync it would cost two checkpoints
        is_durable = connection.execute("show fsync").fetchone() == ("on",)
        strategy = sql.SQL("wal_log" if is_durable else "file_copy")
        statement = sql.SQL("create database {} template {} strategy {} owner {}")
        connection.execute(
            statement.format(sql.Identifier(name), sql.Identifier(template), strategy, sql.Identifier(owner))
        )


def drop_database(server: PostgresServer, name: str) -> None:
    """Drop a database if it exists, and end its sessions."""
    with connect(server.port, server.superuser_password) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))


def prepare(server: PostgresServer, names: tuple[str, ...]) -> None:
    """Create the missing roles and databases. The caller must prevent other processes from doing so at the same time.

    The owner of each database gets everything in it, also in a database from before there were roles, or whose
    creation was interrupted.
    """
    with connect(server.port, server.superuser_password) as connection:
        make_missing(connection, server.superuser_password)
        let_owner_check_by_set(connection)
        existing = {row[0] for row in connection.execute("select datname from pg_database")}
    for name in dict.fromkeys(names):
        owner = OWNERS.get(name, OWNER)
        if name not in existing:
            create_database(server, name, owner=owner)
        with connect(server.port, server.superuser_password, name) as connection:
            adopt(connection, name, owner)
