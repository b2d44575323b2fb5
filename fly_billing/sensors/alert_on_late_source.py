"""Alerts on declared usage sources that are late."""

import json

from dagster import SensorEvaluationContext, SkipReason

from fly_billing.assets.declared_sources import last_events
from fly_billing.automations import described_sensor
from fly_billing.money import counted
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.workspace_folder import WorkspaceFolder
from fly_billing.usage.late_sources import queue_late_source_alerts


@described_sensor(300)
def alert_on_late_source(
    context: SensorEvaluationContext,
    billing_postgres: BillingPostgres,
    workspace_folder: WorkspaceFolder,
    alerts: Alerts,
    clock: Clock,
) -> SkipReason:
    """Alert once on each source of sources.yaml whose last event is older than it may be, and once when it recovers.

    The cursor lists the late sources that were alerted. A tick fails if the sources of the workspace have mistakes.
    """
    sources = workspace_folder.declared_sources().sources
    last = last_events(context.instance, [source.name for source in sources])
    late, sent = queue_late_source_alerts(
        billing_postgres.database, alerts.channels(), context.log.warning, sources, last,
        json.loads(context.cursor or "{}"), clock.now(),
    )  # fmt: skip
    context.update_cursor(json.dumps(late))
    return SkipReason(f"{counted(sent, 'alert')} queued" if sent else "nothing new")
