"""Makes a partition of every organization (or shared group) that has none yet."""

from dagster import DefaultSensorStatus, SensorEvaluationContext, SensorResult, SkipReason, sensor

from fly_billing.partitions import orgs
from fly_billing.resources.dagster_resources import BillingPostgres
from fly_billing.resources.postgres import BillingDatabase


@sensor(minimum_interval_seconds=30, default_status=DefaultSensorStatus.RUNNING)
def register_new_organizations(
    context: SensorEvaluationContext, billing_postgres: BillingPostgres
) -> SensorResult | SkipReason:
    """Register billing groups that have organizations but no partition. Groups are never taken away."""
    known = set(context.instance.get_dynamic_partitions(str(orgs.name)))
    new = [group for group in groups_in_order(billing_postgres.database()) if group not in known]
    if not new:
        return SkipReason("every billing group has its partition")
    return SensorResult(dynamic_partitions_requests=[orgs.build_add_request(new)])


def groups_in_order(database: BillingDatabase) -> list[str]:
    """List the billing groups, oldest organization first: a range of partitions follows this order."""
    return list(dict.fromkeys(row["billing_group"] for row in database.rows("billing_groups")))
