"""Brings the billing database up to date: `fly-billing migrate`. Not here: the migrations (`postgres.migrate`)."""

from __future__ import annotations

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.postgres.migrate import migrate, owner_database


def migrate_database(console: Terminal) -> None:
    """Apply all missing migrations to the billing database."""
    with local_platform(migrates=True) as settings:
        migrate(owner_database(settings))
        console.print("The billing database is up to date.")
