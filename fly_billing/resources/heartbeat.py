"""The outside monitor that notices when the daemon stops, as a Dagster resource."""

from typing import Any

from dagster import ConfigurableResource

from fly_billing.alerting.heartbeat import send_heartbeat
from fly_billing.settings import Settings, reveal


class Heartbeat(ConfigurableResource[Any]):
    """The monitor's address. `url`: HEARTBEAT_URL."""

    url: str | None = None

    def send(self) -> bool:
        """Call the monitor. Returns False if no address is set. Raises HeartbeatNotSent, SettingsError."""
        url = reveal(Settings.from_environment({"HEARTBEAT_URL": self.url or ""}).heartbeat_url)
        if not url:
            return False
        send_heartbeat(url)
        return True
