"""Dagster partitions: landing days for raw usage, month x org for everything that is billed.

A key of the `org` dimension is a billing group: a single large organization, or a shared group of small ones.
`invoicing.rules.billing_groups` assigns organizations to groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dagster import (
    AssetExecutionContext,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
)

from fly_billing.periods import FIRST_MONTH, BillingMonth

# end_offset=1: the current month (day) is a partition too, for the upcoming invoice (the day's usage so far).
months = MonthlyPartitionsDefinition(start_date=FIRST_MONTH.first_day.isoformat(), end_offset=1)
landing_days = DailyPartitionsDefinition(start_date=FIRST_MONTH.first_day.isoformat(), end_offset=1)
orgs = DynamicPartitionsDefinition(name="org")
month_by_org = MultiPartitionsDefinition({"month": months, "org": orgs})


@dataclass(frozen=True)
class BillingPartition:
    """A month and the billing groups that a run bills for it."""

    month: BillingMonth
    groups: Sequence[str]


def month_key(month: BillingMonth) -> str:
    """Return Dagster's partition key of a month: its first day."""
    return month.first_day.isoformat()


def partition_key(month: BillingMonth, group: str) -> MultiPartitionKey:
    return MultiPartitionKey({"month": month_key(month), "org": group})


def billing_partitions(context: AssetExecutionContext) -> list[BillingPartition]:
    """Return the months that the run bills, oldest first, each with its billing groups."""
    groups: dict[BillingMonth, list[str]] = {}
    for key in context.partition_keys:
        if isinstance(key, MultiPartitionKey):
            dimensions = key.keys_by_dimension
            groups.setdefault(BillingMonth.parse(dimensions["month"]), []).append(dimensions["org"])
    return [BillingPartition(month, groups[month]) for month in sorted(groups)]
