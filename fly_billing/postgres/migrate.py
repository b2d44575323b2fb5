"""Brings the billing database's schema up to date with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows
from fly_billing.postgres.rights import grant_rights, owns_tables
from fly_billing.postgres.schema_check import (
    VERSIONS,
    DatabaseFacts,
    check_database,
    check_migrated,
    newest_migration,
    oldest_migration,
    other_than_code,
)
from fly_billing.postgres.statements import sql
from fly_billing.settings import Settings


def migrate(database: BillingDatabase) -> None:
    """Apply every missing migration, and grant each role its rights.

    It can run twice, and in two processes at the same time. It is one transaction: if it is killed, nothing is applied.
    No connection stays open: the owner's login is used for nothing else, and a run needs all connections it may have.

    Raises:
        DatabaseProblem: The database can't be used, is newer than this code, or is from before the first release.
    """
    try:
        _migrate(database)
    finally:
        database.engine.dispose()


def _migrate(database: BillingDatabase) -> None:
    check_database(database)
    with database.transaction() as connection:
        is_owner = owns_tables(connection)
    if not is_owner:
        _check_already_migrated(database)
        return
    with database.transaction() as connection:
        rows(connection, "remove_time_limit")  # an index on years of invoices may take long
        lock_until_commit(connection, "migrate")
        version = _version(connection)
        oldest, newest = oldest_migration(), newest_migration()
        if version and not oldest <= version <= newest:
            raise other_than_code(database.place, version, oldest, newest)
        command.upgrade(migrations(connection), "head")
        grant_rights(connection)


def owner_database(settings: Settings) -> BillingDatabase:
    """Return the billing database with its owner's login: FLY_BILLING_MIGRATION_DATABASE_URL, or else DATABASE_URL."""
    if settings.migration_database_url:
        return BillingDatabase(settings.migration_database_url, "FLY_BILLING_MIGRATION_DATABASE_URL")
    return BillingDatabase(settings.database_url)


def _check_already_migrated(database: BillingDatabase) -> None:
    try:
        check_migrated(database)
    except DatabaseProblem as problem:
        raise DatabaseProblem(
            f"{problem}, as the owner of its tables: set FLY_BILLING_MIGRATION_DATABASE_URL to a URL with the owner's"
            " login"
        ) from problem


def migrations(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration of our migrations, for a connection's database."""
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> str:
    """Return the number of the newest migration that was applied, or "" if there is none."""
    (facts,) = records(connection, DatabaseFacts, "database_facts")
    if not facts.is_migrated:
        return ""
    return str(connection.execute(text(sql("schema_version"))).scalar_one_or_none() or "")
