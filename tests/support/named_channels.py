"""Channels that only have a name: messages for them stay in the outbox, where tests read them."""

from __future__ import annotations

from dataclasses import dataclass

from fly_billing.alerting.channel import AlertNotSent
from fly_billing.alerting.rules.alerts import Alert


@dataclass(frozen=True)
class NamedChannel:
    """A channel that refuses everything."""

    name: str

    def post(self, alert: Alert) -> None:
        raise AlertNotSent(self.name, alert, "it only has a name")
