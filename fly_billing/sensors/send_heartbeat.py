"""Calls HEARTBEAT_URL every minute, so that an outside monitor alerts when this daemon stops."""

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.resources.heartbeat import Heartbeat


@described_sensor(60)
def send_heartbeat(context: SensorEvaluationContext, heartbeat: Heartbeat) -> SkipReason:
    """Call HEARTBEAT_URL. The tick fails if the monitor can't be reached or refuses.

    A daemon that died sends no alert itself. The monitor notices that the calls stopped.
    """
    return SkipReason("the monitor was called" if heartbeat.send() else "HEARTBEAT_URL is not set")
