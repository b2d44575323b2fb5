"""Brings the billing database's schema up to date with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from fly_billing.postgres.connecting import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, rows
from fly_billing.postgres.rights import grant_rights, owns_tables
from fly_billing.postgres.schema_check import VERSIONS, check_database, check_migrated, newer_than_code
from fly_billing.settings import Settings


def migrate(database: BillingDatabase) -> None:
    """Apply every migration that is missing, and grant each role its rights.

    Safe to run twice, and at once from two processes. Killed half-way, nothing of it is kept.
    Raises DatabaseProblem if the database can't be used or is newer than this code.
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
        try:
            command.upgrade(_config(connection), "head")
        except CommandError as problem:
            raise newer_than_code(database.place, _version(connection)) from problem
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


def _version(connection: Connection) -> str:
    (found,) = rows(connection, "schema_version")
    return str(found["version_num"])


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.attributes["connection"] = connection
    return config
