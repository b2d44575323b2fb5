"""The clock as a Dagster resource."""

from datetime import UTC, datetime
from typing import Any

from dagster import ConfigurableResource


class Clock(ConfigurableResource[Any]):
    """The current time in UTC. Tests and rehearsals stop it at `fixed_at` (ISO 8601 with an offset)."""

    fixed_at: str | None = None

    def now(self) -> datetime:
        return datetime.fromisoformat(self.fixed_at).astimezone(UTC) if self.fixed_at else datetime.now(UTC)
