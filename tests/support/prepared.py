"""Billing databases that many tests begin with: made once in each worker, and copied for every other test."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.postgres.database import BillingDatabase

_numbers = itertools.count()
_servers: dict[int, PreparedDatabases] = {}


@dataclass
class PreparedDatabases:
    """The prepared databases of one server, each with the files that belong to it."""

    server: PostgresServer
    folder: Path = field(default_factory=lambda: Path(mkdtemp(prefix="fly_billing-prepared-")))
    names: dict[str, str] = field(default_factory=dict)

    def restore(self, key: str, database: BillingDatabase, folder: Path) -> bool:
        """Make `database` and `folder` as they were when they were kept. Returns False if they never were."""
        if key not in self.names:
            return False
        kept, name = self.names[key], str(database.engine.url.database)
        database.engine.dispose()
        drop_database(self.server, name)
        create_database(self.server, name, template=kept)
        shutil.copytree(self.folder / kept, folder, dirs_exist_ok=True)
        return True

    def keep(self, key: str, database: BillingDatabase, folder: Path, files: Sequence[str]) -> None:
        kept = f"prepared_{next(_numbers)}"
        database.engine.dispose()
        create_database(self.server, kept, template=str(database.engine.url.database))
        for name in files:
            shutil.copytree(folder / name, self.folder / kept / name)
        self.names[key] = kept


def register(server: PostgresServer) -> None:
    """Keep prepared databases on this server, until `forget`."""
    _servers[server.port] = PreparedDatabases(server)


def forget(server: PostgresServer) -> None:
    shutil.rmtree(_servers.pop(server.port).folder)


def prepare(key: str, database: BillingDatabase, folder: Path, files: Sequence[str], make: Callable[[], None]) -> None:
    """Write to a new database what `make` writes, or restore what it wrote in an earlier test.

    Args:
        key: Names what `make` writes.
        database: The database. If it has organizations or prices already, `make` writes to it, and nothing is kept.
        folder: Where the folders of `files` are.
        files: The folders that `make` creates, and that belong to the database.
        make: Writes the database and the folders.
    """
    prepared = _servers.get(database.engine.url.port or 0)
    is_new = not database.rows("organization_ids") and not database.rows("prices")
    if prepared is None or not is_new or any((folder / name).exists() for name in files):
        make()
    elif not prepared.restore(key, database, folder):
        make()
        prepared.keep(key, database, folder, files)
