"""Copies the rows of a Postgres statement into a DuckDB table through a CSV file, without Python objects of them.

The way back is `copy_from_duckdb`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import psycopg
from sqlalchemy import Connection

from fly_billing.postgres.database import driver_connection
from fly_billing.postgres.round_trips import as_of_engine, driver_text


def copy_statement(
    connection: Connection,
    name: str,
    duck: duckdb.DuckDBPyConnection,
    into: str,
    columns: Mapping[str, str],
    **parameters: Any,
) -> None:
    """Create DuckDB's table `into` with the rows of a statement.

    Args:
        columns: The names and DuckDB types of all columns, in the statement's order. Postgres writes times that DuckDB
            can't read (`infinity`, years before Christ): read a time that may be one as VARCHAR.

    Raises:
        DatabaseFailed, DBAPIError: As `database.rows` raises them.
    """
    driver = driver_connection(connection)
    statement = b"copy (" + driver_text(name) + b"\n) to stdout (format csv)"
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        try:
            with path.open("wb") as file, driver.cursor() as cursor, cursor.copy(statement, parameters) as copy:
                for block in copy:
                    file.write(block)
        except psycopg.Error as problem:
            raise as_of_engine(problem, connection, driver) from problem
        # NULL is nothing, and an empty text is "".
        found = duck.read_csv(
            str(path), columns=dict(columns), header=False, auto_detect=False, sep=",", quotechar='"', escapechar='"',
            na_values="", allow_quoted_nulls=False,
        )  # fmt: skip
        found.create(into)
