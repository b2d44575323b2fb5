"""Shows or serves the platform's health: `fly-billing health`. Not here: Dagster's heartbeats (`cli.heartbeats`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from dagster import DagsterInstance

from fly_billing.cli.heartbeats import oldest_heartbeat
from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.ports import refuse_unusable_port
from fly_billing.cli.terminal import Terminal
from fly_billing.operations.facts_reader import list_attention
from fly_billing.operations.health_app import Reading, build_health_app, serve_health
from fly_billing.operations.rules.attention import daemon_silence
from fly_billing.operations.rules.health import Health
from fly_billing.operations.signs_reader import health_limits, read_health
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import Settings


class PlatformReader:
    """Reads the health and what needs a person, at each call."""

    def __init__(self, settings: Settings, instance: DagsterInstance) -> None:
        self._settings = settings
        self._instance = instance
        self._database = BillingDatabase(settings.database_url)

    def health(self) -> Health:
        return read_health(self._database, oldest_heartbeat(self._instance), health_limits(self._settings))

    def everything(self) -> Reading:
        now = datetime.now(UTC)
        silence = daemon_silence(oldest_heartbeat(self._instance), self._settings.health_heartbeat, now)
        return Reading(self.health(), list_attention(self._database, self._settings, now, silence))


@contextmanager
def _platform() -> Iterator[PlatformReader]:
    with local_platform() as settings, DagsterInstance.get() as instance:
        yield PlatformReader(settings, instance)


def show_health() -> bool:
    """Print the health as JSON. Returns True if it is good."""
    with _platform() as platform:
        found = platform.health()
    print(json.dumps(found.as_data(), indent=2))
    return found.is_good


def serve(console: Terminal, host: str, port: int) -> None:
    """Serve the health and the metrics until Ctrl-C. Raises PortNotUsable."""
    refuse_unusable_port(host, port)
    with _platform() as platform:
        app = build_health_app(platform.health, platform.everything)
        serve_health(app, host, port, lambda line: console.print(line, soft_wrap=True))
