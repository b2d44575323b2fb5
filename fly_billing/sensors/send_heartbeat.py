"""Calls HEARTBEAT_URL every minute, so that an outside monitor alerts when this daemon stops."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SkipReason, sensor

from fly_billing.resources.heartbeat import Heartbeat


@sensor(minimum_interval_seconds=60, default_status=DefaultSensorStatus.RUNNING)
def send_heartbeat(context: SensorEvaluationContext, heartbeat: Heartbeat) -> SkipReason:
    """Call HEARTBEAT_URL. The tick fails if the monitor can't be reached or refuses.

    A daemon that died sends no alert itself. The monitor notices that the calls stopped.
    """
    return SkipReason("the monitor was called" if heartbeat.send() else "HEARTBEAT_URL is not set")
