"""Runs the read API: `fly-billing api`. Neither Stripe nor Dagster is started or asked."""

from __future__ import annotations

from fly_billing.api import database_limits, reading_pool, serve
from fly_billing.cli.local_platform import reading_database
from fly_billing.cli.ports import refuse_unusable_port
from fly_billing.cli.terminal import Terminal
from fly_billing.settings import Settings


def serve_api(console: Terminal, host: str, port: int) -> None:
    """Serve until Ctrl-C. Raises PortNotUsable, SettingsError."""
    refuse_unusable_port(host, port)
    settings = Settings.from_environment()
    with reading_database(settings, database_limits(), reading_pool()) as database:
        serve(database, settings, host, port, lambda line: console.print(line, soft_wrap=True))
