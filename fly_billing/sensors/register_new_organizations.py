"""Adds a partition for every new organization or shared group, and alerts on months that have none."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import SensorEvaluationContext, SensorResult, SkipReason

from fly_billing.alerting.channel import Channel
from fly_billing.alerting.outbox import put
from fly_billing.automations import described_sensor
from fly_billing.jobs import unregistered_groups
from fly_billing.object_store.address import Place
from fly_billing.partition_start import earlier_month_alert, first_partition
from fly_billing.partitions import orgs
from fly_billing.postgres.database import BillingDatabase
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.billing_terms import BillingTerms
from fly_billing.resources.usage_store import UsageStore
from fly_billing.usage.landing_folder import LandingError
from fly_billing.worklist.due import closed_until, first_month_with_work


@described_sensor(30)
def register_new_organizations(
    context: SensorEvaluationContext,
    billing_postgres: BillingPostgres,
    billing_terms: BillingTerms,
    usage_store: UsageStore,
    alerts: Alerts,
) -> SensorResult | SkipReason:
    """Register billing groups that have organizations but no partition. Groups are never removed.

    Months get their partitions when the code location loads. An alert says, once, that an earlier one has data since.
    """
    database = billing_postgres.database()
    closed = closed_until(datetime.now(UTC), billing_terms.terms().grace)
    _alert_on_earlier_month(context, database, usage_store.landing(), closed, alerts.channels())
    new = unregistered_groups(context.instance, database)
    if not new:
        return SkipReason("every billing group has its partition")
    return SensorResult(dynamic_partitions_requests=[orgs.build_add_request(new)])


def _alert_on_earlier_month(
    context: SensorEvaluationContext,
    database: BillingDatabase,
    landing_dir: Place,
    closed: datetime,
    channels: Sequence[Channel],
) -> None:
    first = first_partition(context)
    try:
        found = first_month_with_work(database, landing_dir, closed)
    except LandingError as problem:  # landing fails, too, which sends an alert
        context.log.error(str(problem))
        return
    if found and found < first:
        with database.transaction() as connection:
            put(connection, earlier_month_alert(found, first), channels, f"partitions {found} {first}")
