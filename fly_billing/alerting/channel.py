"""What a channel is. Keeps out: how each of them posts, and which ones are set (`channels_from_settings`)."""

from __future__ import annotations

from typing import Protocol

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.foreign_text import visible


class AlertNotSent(Exception):
    """A channel did not take an alert. The message holds no secret. `retry_after`: seconds that it asked us to wait."""

    def __init__(self, channel: str, alert: Alert, reason: object, retry_after: float = 0.0) -> None:
        self.channel = channel
        self.reason = visible(str(reason))
        super().__init__(f"{channel} did not take {alert.subject!r}: {self.reason}")
        self.retry_after = retry_after


class Channel(Protocol):
    """One place where people read alerts. `name` tells it from the others, also after a restart."""

    @property
    def name(self) -> str: ...

    def post(self, alert: Alert) -> None:
        """Post one alert; return once it was taken. Raises AlertNotSent."""
