"""Makes Dagster's tables whole or not at all, and completes those that an interrupted start left behind.

dagster-postgres makes its tables by statements that commit one by one; killed in between, it leaves a database that it
takes for complete ever after (`dagster instance migrate` reports success). Here it makes them in a schema that nobody
uses, and one transaction moves them to their place and makes a table that says that it is done.

Keeps out: tables of another version of Dagster; those are changed by `dagster instance migrate`.
"""

from __future__ import annotations

import logging
from typing import Any

from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from fly_billing.postgres.connecting import DatabaseAddress, DatabaseProblem, tcp_limits
from fly_billing.postgres.statements import sql
from fly_billing.settings import DatabaseLimits

log = logging.getLogger(__name__)

DONE = "fly_billing_dagster_is_set_up"
UNFINISHED = "fly_billing_unfinished"


def set_up(url: URL, setting: str) -> None:
    """Make what is missing of Dagster's tables, indexes and notes of finished data migrations. Safe to run at once.

    Raises DatabaseProblem where the database is the billing one or this user may not make tables in it.
    """
    place = DatabaseAddress.of(setting, url)
    engine = create_engine(url, poolclass=NullPool, connect_args=tcp_limits(DatabaseLimits.from_environment()))
    with engine.connect() as connection:
        if _is_there(connection, "stripe_attempts"):
            raise DatabaseProblem(
                f"{place} holds the billing tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two databases"
            )
        if _is_there(connection, DONE):
            return
    with engine.connect() as connection:
        # A session's lock: it holds while other connections make the tables, and ends with this process.
        connection.execute(text("select pg_advisory_lock(hashtextextended('set up Dagster', 0))"))
        connection.commit()
        if not _is_there(connection, DONE):
            try:
                _make(url, connection)
            except ProgrammingError as problem:
                if getattr(problem.orig, "pgcode", None) != "42501":
                    raise
                raise DatabaseProblem(
                    f"{place}: this user may not make Dagster's tables: let it own the database"
                    " (alter database ... owner to ...)"
                ) from problem


def _is_there(connection: Connection, table: str) -> bool:
    return bool(connection.execute(text("select to_regclass(:table) is not null"), {"table": table}).scalar_one())


def _make(url: URL, connection: Connection) -> None:
    """Make the tables aside; then move what is missing to its place and note that it is done, in one transaction."""
    place = str(connection.execute(text("select current_schema()")).scalar_one())
    _run(connection, f"drop schema if exists {UNFINISHED} cascade", f"create schema {UNFINISHED}")
    connection.commit()
    _fill(url)
    schemas = {"unfinished": UNFINISHED, "place": place}
    if _versions(connection, place) <= _versions(connection, UNFINISHED):
        there = _rows(connection, "dagster_tables_in_place", **schemas)
        if not any(_has_rows(connection, row.table_name) for row in there if not row.is_filled_by_set_up):
            _run(connection, *(f"drop table {row.table_name} cascade" for row in there))
        _run(connection, *(row.statement for row in _rows(connection, "complete_dagster_tables", **schemas)))
    _run(connection, f"drop schema {UNFINISHED} cascade", f"create table {DONE} as select now() as at")
    connection.commit()


def _rows(connection: Connection, name: str, **parameters: str) -> list[Any]:
    return list(connection.execute(text(sql(name)), parameters).all())


def _run(connection: Connection, *statements: str) -> None:
    """Run statements as they are: to SQLAlchemy a colon in them would be a parameter."""
    for statement in statements:
        connection.exec_driver_sql(statement)


def _versions(connection: Connection, schema: str) -> set[str]:
    """Return the number of Dagster's newest migration in a schema; nothing where there is none."""
    if not _is_there(connection, f"{schema}.alembic_version"):
        return set()
    found = connection.exec_driver_sql(f"select version_num from {schema}.alembic_version")  # noqa: S608
    return {str(row[0]) for row in found}


def _has_rows(connection: Connection, table: str) -> bool:
    return bool(connection.exec_driver_sql(f"select exists (select from {table})").scalar_one())  # noqa: S608


def _fill(url: URL) -> None:
    """Have dagster-postgres make all it needs in the schema that nobody uses."""
    storage = DagsterPostgresStorage(url.render_as_string(hide_password=False), should_autocreate_tables=False)
    engine = _engine_on(url, UNFINISHED)
    runs: Any = storage._run_storage
    events: Any = storage._event_log_storage
    schedules: Any = storage._schedule_storage
    for part in (runs, events, schedules):
        part._engine = engine
        part._init_db()
    runs.migrate()
    runs.optimize()
    events.reindex_events()
    events.reindex_assets()
    engine.dispose()


def _engine_on(url: URL, schema: str) -> Engine:
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    @event.listens_for(engine, "connect", insert=True)
    def choose(connection: Any, record: object) -> None:
        with connection, connection.cursor() as cursor:  # poolers refuse `options`
            cursor.execute("select set_config('search_path', %s, false)", (schema,))

    return engine
