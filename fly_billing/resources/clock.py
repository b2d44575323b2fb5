"""The time of day as a Dagster resource."""

from datetime import UTC, datetime
from typing import Any

from dagster import ConfigurableResource


class Clock(ConfigurableResource[Any]):
    """The time of day, in UTC. `fixed_at` (ISO 8601 with offset) stops it, for tests and rehearsals."""

    fixed_at: str | None = None

    def now(self) -> datetime:
        return datetime.fromisoformat(self.fixed_at).astimezone(UTC) if self.fixed_at else datetime.now(UTC)
