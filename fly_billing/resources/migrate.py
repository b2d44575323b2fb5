"""Brings the billing database's schema up to date with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from fly_billing.resources.database_check import check_database, newer_than_code
from fly_billing.resources.postgres import BillingDatabase, lock_until_commit, rows
from fly_billing.resources.settings import PROJECT


def migrate(database: BillingDatabase) -> None:
    """Apply every migration that is missing. Safe to run twice, and at once from two processes.

    Killed half-way, nothing of it is kept. Raises DatabaseProblem if the database can't be used or is newer than this.
    """
    check_database(database)
    with database.transaction() as connection:
        rows(connection, "take_any_time")  # an index of years of invoices takes what it takes
        lock_until_commit(connection, "migrate")
        try:
            command.upgrade(_config(connection), "head")
        except CommandError as problem:
            raise newer_than_code(database.place, _version(connection)) from problem


def _version(connection: Connection) -> str:
    (found,) = rows(connection, "schema_version")
    return str(found["version_num"])


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(PROJECT / "migrations"))
    config.attributes["connection"] = connection
    return config
