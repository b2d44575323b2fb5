"""Copies a DuckDB table into Postgres through a CSV file, without making Python objects of its rows.

A roll-up takes a sixth less time than with rows that are fetched and copied one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
from psycopg import sql as compose
from sqlalchemy import Connection

from fly_billing.postgres.database import driver_connection

BLOCK_BYTES = 1 << 20


def copy_table(
    duck: duckdb.DuckDBPyConnection, name: str, connection: Connection, into: str, columns: Sequence[str]
) -> None:
    """Copy columns of DuckDB's table or view `name` into the columns of the same names of Postgres' table `into`.

    Both write decimals, UUIDs, times with an offset and NULL in the same way. An array must already be text as
    Postgres writes it.
    """
    target = compose.SQL("copy {} ({}) from stdin (format csv)").format(
        compose.Identifier(into), compose.SQL(", ").join(map(compose.Identifier, columns))
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        duck.table(name).select(*columns).write_csv(str(path), header=False)
        with path.open("rb") as file, driver_connection(connection).cursor() as cursor, cursor.copy(target) as copy:
            while block := file.read(BLOCK_BYTES):
                copy.write(block)
