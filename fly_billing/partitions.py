"""Partitions: landing days for raw usage; month x org for everything that is billed.

A key of the `org` dimension is a billing group: an organization of its own, or one of the shared groups of the long
tail. Keeps out: which organization is in which group (`invoicing.rules.billing_groups`, `organizations.billing_group`).
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

# end_offset=1: the month (day) that is running is a partition too: the upcoming invoice, the day's usage so far.
months = MonthlyPartitionsDefinition(start_date=FIRST_MONTH.first_day.isoformat(), end_offset=1)
landing_days = DailyPartitionsDefinition(start_date=FIRST_MONTH.first_day.isoformat(), end_offset=1)
orgs = DynamicPartitionsDefinition(name="org")
month_by_org = MultiPartitionsDefinition({"month": months, "org": orgs})


@dataclass(frozen=True)
class BillingPartition:
    """What a run bills: one month, and billing groups of it."""

    month: BillingMonth
    groups: Sequence[str]


def month_key(month: BillingMonth) -> str:
    """Return Dagster's key of a month: its first day."""
    return month.first_day.isoformat()


def partition_key(month: BillingMonth, group: str) -> MultiPartitionKey:
    return MultiPartitionKey({"month": month_key(month), "org": group})


def billing_partitions(context: AssetExecutionContext) -> list[BillingPartition]:
    """Return what the run bills, month by month, oldest first."""
    groups: dict[BillingMonth, list[str]] = {}
    for key in context.partition_keys:
        if isinstance(key, MultiPartitionKey):
            dimensions = key.keys_by_dimension
            groups.setdefault(BillingMonth.parse(dimensions["month"]), []).append(dimensions["org"])
    return [BillingPartition(month, groups[month]) for month in sorted(groups)]
