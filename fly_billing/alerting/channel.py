"""The interface of a channel. Not here: the channels themselves, and which are set (`channels_from_settings`)."""

from __future__ import annotations

from typing import Protocol

from fly_billing.alerting.rules.alerts import Alert
from fly_billing.foreign_text import visible


class AlertNotSent(Exception):
    """A channel refused an alert. The message contains no secret.

    Attributes:
        channel: The channel's name.
        retry_after: How many seconds the channel asked us to wait; 0 if it did not ask.
        is_permanent: It would refuse the alert again, so it is not worth another attempt.
        is_about_recipient: It refused the alert's recipient, and may accept alerts to others.
    """

    def __init__(
        self,
        channel: str,
        alert: Alert,
        reason: object,
        retry_after: float = 0.0,
        *,
        is_permanent: bool = False,
        is_about_recipient: bool = False,
    ) -> None:
        self.channel = channel
        self.reason = visible(str(reason))
        super().__init__(f"{channel} refused {alert.subject!r}: {self.reason}")
        self.retry_after = retry_after
        self.is_permanent = is_permanent
        self.is_about_recipient = is_about_recipient


class AlertWithdrawn(AlertNotSent):
    """Nobody wants the alert any more: it is given up, and no operator is alerted."""

    def __init__(self, channel: str, alert: Alert, reason: object) -> None:
        super().__init__(channel, alert, reason, is_permanent=True)


class Channel(Protocol):
    """A place where people read alerts. `name` identifies it in the outbox, so it must survive a restart."""

    @property
    def name(self) -> str: ...

    def post(self, alert: Alert) -> None:
        """Post one alert and return when the channel has accepted it. Raises AlertNotSent."""
