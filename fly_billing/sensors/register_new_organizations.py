"""Adds a partition for every new organization or shared group."""

from dagster import SensorEvaluationContext, SensorResult, SkipReason

from fly_billing.automations import described_sensor
from fly_billing.jobs import unregistered_groups
from fly_billing.partitions import orgs
from fly_billing.resources.billing_postgres import BillingPostgres


@described_sensor(30)
def register_new_organizations(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres
) -> SensorResult | SkipReason:
    """Register billing groups that have organizations but no partition. Groups are never removed."""
    new = unregistered_groups(context.instance, billing_postgres.database())
    if not new:
        return SkipReason("every billing group has its partition")
    return SensorResult(dynamic_partitions_requests=[orgs.build_add_request(new)])
