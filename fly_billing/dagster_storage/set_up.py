"""Creates Dagster's tables completely or not at all, and completes the tables of an interrupted start.

dagster-postgres commits each statement that creates its tables. If it is killed in between, the database stays
incomplete, and dagster-postgres never notices (`dagster instance migrate` reports success). So here it creates the
tables in a separate schema. Then one transaction moves them to their place and creates a table as the mark of success.

`dagster instance migrate` changes the tables of another version of Dagster; this module does not.
"""

from __future__ import annotations

import logging
from typing import Any

from dagster_postgres import DagsterPostgresStorage
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from fly_billing.postgres.connections import DatabaseAddress, DatabaseProblem, tcp_limits
from fly_billing.postgres.statements import sql
from fly_billing.settings import DatabaseLimits

log = logging.getLogger(__name__)

DONE = "fly_billing_dagster_is_set_up"
UNFINISHED = "fly_billing_unfinished"


def set_up(url: URL, setting: str) -> None:
    """Create Dagster's missing tables, indexes and records of finished data migrations.

    Several processes can run it at the same time.

    Raises:
        DatabaseProblem: It is the billing database, or this user can't create tables in it.
    """
    place = DatabaseAddress.of(setting, url)
    engine = create_engine(url, poolclass=NullPool, connect_args=tcp_limits(DatabaseLimits.from_environment()))
    with engine.connect() as connection:
        if _is_there(connection, "stripe_attempts"):
            raise DatabaseProblem(
                f"{place} has the billing tables: DATABASE_URL and DAGSTER_DATABASE_URL must name two different"
                " databases"
            )
        if _is_there(connection, DONE):
            return
    with engine.connect() as connection:
        # A lock of this session: it stays while other connections create the tables, and ends with this process.
        connection.execute(text("select pg_advisory_lock(hashtextextended('set up Dagster', 0))"))
        connection.commit()
        if not _is_there(connection, DONE):
            try:
                _make(url, connection)
            except ProgrammingError as problem:
                if getattr(problem.orig, "pgcode", None) != "42501":
                    raise
                raise DatabaseProblem(
                    f"{place}: this user can't create Dagster's tables: make it the owner of the database"
                    " (alter database ... owner to ...)"
                ) from problem


def _is_there(connection: Connection, table: str) -> bool:
    return bool(connection.execute(text("select to_regclass(:table) is not null"), {"table": table}).scalar_one())


def _make(url: URL, connection: Connection) -> None:
    """Create the tables in a separate schema, then move the missing ones to their place in one transaction."""
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
    """Run statements without SQLAlchemy's `text`, which would read a colon as a parameter."""
    for statement in statements:
        connection.exec_driver_sql(statement)


def _versions(connection: Connection, schema: str) -> set[str]:
    """Return the number of Dagster's newest migration in a schema, or an empty set if there is none."""
    if not _is_there(connection, f"{schema}.alembic_version"):
        return set()
    versions = connection.exec_driver_sql(f"select version_num from {schema}.alembic_version")  # noqa: S608
    return set(map(str, versions.scalars()))


def _has_rows(connection: Connection, table: str) -> bool:
    return bool(connection.exec_driver_sql(f"select exists (select from {table})").scalar_one())  # noqa: S608


def _fill(url: URL) -> None:
    """Let dagster-postgres create everything it needs in the separate schema."""
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
        with connection, connection.cursor() as cursor:  # poolers reject `options` in the connection request
            cursor.execute("select set_config('search_path', %s, false)", (schema,))

    return engine
