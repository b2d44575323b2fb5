"""Brings the billing database's schema up to date with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from fly_billing.postgres.connecting import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.postgres.rights import grant_rights, owns_tables
from fly_billing.postgres.schema_check import (
    VERSIONS,
    check_database,
    check_migrated,
    newest_migration,
    oldest_migration,
    other_than_code,
)
from fly_billing.settings import Settings


def migrate(database: BillingDatabase) -> None:
    """Apply every migration that is missing, and grant each role its rights.

    Safe to run twice, and at once from two processes. Killed half-way, nothing of it is kept.
    Raises DatabaseProblem if the database can't be used, is newer than this code, or is from before the first release.
    """
    check_database(database)
    with database.transaction() as connection:
        is_owner = owns_tables(connection)
    if not is_owner:
        _check_already_migrated(database)
        return
    with database.transaction() as connection:
        rows(connection, "take_any_time")  # an index of years of invoices takes what it takes
        lock_until_commit(connection, "migrate")
        found = _version(connection)
        oldest, newest = oldest_migration(), newest_migration()
        if found and not oldest <= found <= newest:
            raise other_than_code(database.place, found, oldest, newest)
        command.upgrade(migrations(connection), "head")
        grant_rights(connection)


def owner_database(settings: Settings) -> BillingDatabase:
    """Name the billing database as whoever migrates it: FLY_BILLING_MIGRATION_DATABASE_URL, or else DATABASE_URL."""
    if settings.migration_database_url:
        return BillingDatabase(settings.migration_database_url, "FLY_BILLING_MIGRATION_DATABASE_URL")
    return BillingDatabase(settings.database_url)


def _check_already_migrated(database: BillingDatabase) -> None:
    try:
        check_migrated(database)
    except DatabaseProblem as problem:
        raise DatabaseProblem(
            f"{problem}, as the owner of its tables: name the owner in FLY_BILLING_MIGRATION_DATABASE_URL"
        ) from problem


def migrations(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration of our migrations, for the database of a connection."""
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> str:
    """Return the number of the newest migration that was applied; empty if there is none."""
    (facts,) = rows(connection, "database_facts")
    found = rows(connection, "schema_version") if facts["is_migrated"] else []
    return str(found[0]["version_num"]) if found else ""
