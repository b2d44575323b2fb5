"""Brings the billing database's schema up to date with Alembic."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from fly_billing.resources.postgres import BillingDatabase, lock_until_commit
from fly_billing.resources.settings import PROJECT


def migrate(database: BillingDatabase) -> None:
    """Apply every migration that is missing. Safe to run twice, and at once from two processes."""
    with database.transaction() as connection:
        lock_until_commit(connection, "migrate")
        command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(PROJECT / "migrations"))
    config.attributes["connection"] = connection
    return config
