"""Dagster partitions: landing days for raw usage, month x org for everything that is billed.

A key of the `org` dimension is a billing group: a single large organization, or a shared group of small ones.
`invoicing.rules.billing_groups` assigns organizations to groups.

Every asset asks this module which partitions its run must cover, and not `context.partition_keys`. Those are wrong in a
backfill that was launched from a job's page: Dagster leaves the tags of the first partition beside those of the range,
and the context follows the former (https://github.com/dagster-io/dagster/issues/28861).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from dagster import (
    AssetExecutionContext,
    DagsterError,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
)

from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import FIRST_MONTH, BillingMonth, months_between, why_not_billable

orgs = DynamicPartitionsDefinition(name="org")


def partitions_from(
    first: BillingMonth,
) -> tuple[DailyPartitionsDefinition, MonthlyPartitionsDefinition, MultiPartitionsDefinition]:
    """Return landing days, months, and months by billing group, from this month on."""
    start = first.first_day.isoformat()
    # end_offset=1: the current month (day) is a partition too, for the upcoming invoice (the day's usage so far).
    months = MonthlyPartitionsDefinition(start_date=start, end_offset=1)
    days = DailyPartitionsDefinition(start_date=start, end_offset=1)
    return days, months, MultiPartitionsDefinition({"month": months, "org": orgs})


# Assets name these. The code location replaces them by those from its first month on (`partition_start`).
landing_days, months, month_by_org = partitions_from(FIRST_MONTH)

# Dagster's tags of a run: of a range, of one partition, and of one partition's dimensions.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
PARTITION, DIMENSION = "dagster/partition", "dagster/partition/"
# Our tag of a run that does everything again: lands days whose files are unchanged, and calculates open invoices whose
# inputs are unchanged.
FROM_SCRATCH = "fly_billing/from_scratch"
LAUNCH_AGAIN = "Launch the partitions again from the asset's page in Dagster, or with `fly-billing`"


class WrongPartitions(ActionableError):
    """The run's tags name no partitions, contradict each other, or name partitions that can't be materialized."""


@dataclass(frozen=True)
class BillingPartition:
    """A month and the billing groups that a run bills for it."""

    month: BillingMonth
    groups: Sequence[str]

    @property
    def keys(self) -> list[str]:
        """The keys of its partitions, one per billing group."""
        return [str(partition_key(self.month, group)) for group in self.groups]


def month_key(month: BillingMonth) -> str:
    """Return Dagster's partition key of a month: its first day."""
    return month.first_day.isoformat()


def partition_key(month: BillingMonth, group: str) -> MultiPartitionKey:
    return MultiPartitionKey({"month": month_key(month), "org": group})


def billing_partitions(context: AssetExecutionContext, now: datetime) -> list[BillingPartition]:
    """Return the months that the run must bill, oldest first, each with its billing groups. Raises WrongPartitions."""
    parts = named_billing_partitions(context.run.tags, context.instance.get_dynamic_partitions(str(orgs.name)), now)
    _follow_the_range(context, [key for part in parts for key in part.keys])
    return parts


def month_partitions(context: AssetExecutionContext, now: datetime) -> list[BillingMonth]:
    """Return the months that the run must cover, oldest first. Raises WrongPartitions."""
    found = named_months(*named_range(context.run.tags), now)
    _follow_the_range(context, [month_key(month) for month in found])
    return found


def landing_day_partitions(context: AssetExecutionContext, now: datetime) -> list[date]:
    """Return the landing days that the run must land, oldest first. Raises WrongPartitions."""
    found = named_days(*named_range(context.run.tags), now)
    _follow_the_range(context, [day.isoformat() for day in found])
    return found


def keys_of_run(context: AssetExecutionContext) -> list[str]:
    """Return the partition keys that Dagster would record for the run; [] if its tags name no valid partitions."""
    try:
        _drop_leftovers(context)
        return list(map(str, context.partition_keys))
    except (WrongPartitions, DagsterError):
        return []


def named_range(tags: Mapping[str, str]) -> tuple[str, str]:
    """Return the first and the last partition key that a run's tags name. One partition is a range of its own.

    A range wins over the tags of dimensions beside it, which a job's backfill leaves there: they are those of the
    backfill's first partition, which may be outside of this run's range.

    Raises:
        WrongPartitions: The tags name no partition, half a range, or two different partitions.
    """
    start, end, single = tags.get(RANGE_START), tags.get(RANGE_END), tags.get(PARTITION)
    if bool(start) != bool(end):
        raise WrongPartitions(
            f"the run has only one of the tags {RANGE_START} and {RANGE_END}. {LAUNCH_AGAIN}, or set both tags"
        )
    parts = sorted((tag, key) for tag, key in tags.items() if tag.startswith(DIMENSION))
    dimensions = "|".join(key for _, key in parts)
    if start and end:
        if single and (start, end) != (single, single):
            raise WrongPartitions(f"{PARTITION} is {single}, but the range is {start} to {end}. {LAUNCH_AGAIN}")
        return start, end
    if single and dimensions and single != dimensions:
        raise WrongPartitions(
            f"{PARTITION} is {single}, but the tags of its dimensions are {dimensions}. {LAUNCH_AGAIN}"
        )
    key = single or dimensions
    if not key:
        raise WrongPartitions(f"the run names no partition. {LAUNCH_AGAIN}")
    return key, key


def named_billing_partitions(
    tags: Mapping[str, str], registered: Sequence[str], now: datetime
) -> list[BillingPartition]:
    """Return the months that a run's tags name, each with its billing groups.

    Args:
        tags: The run's tags.
        registered: Every billing group that has partitions, in the order in which they were added: a range's order.
        now: The current time. Months that have not begun then are refused.

    Raises:
        WrongPartitions: See `named_range`; or a month or group does not exist, or the range is reversed.
    """
    start, end = named_range(tags)
    (first_month, _, first_group), (last_month, _, last_group) = start.partition("|"), end.partition("|")
    unknown = [group for group in (first_group, last_group) if group not in registered]
    if unknown:
        raise WrongPartitions(
            f"there is no partition {start if unknown[0] == first_group else end}: the billing group"
            f" {unknown[0] or '(none)'} has none. Name a partition as MONTH|GROUP, for example 2026-10-01|acme"
        )
    groups = list(registered[registered.index(first_group) : registered.index(last_group) + 1])
    if not groups:
        raise WrongPartitions(
            f"the range {start} to {end} is reversed: {last_group} was added before {first_group}. Swap the two"
        )
    return [BillingPartition(month, groups) for month in named_months(first_month, last_month, now)]


def named_months(start: str, end: str, now: datetime) -> list[BillingMonth]:
    """Return the months from key to key, both included. Raises WrongPartitions."""
    first, last = _first_day(start), _first_day(end)
    if last < first:
        raise WrongPartitions(f"the range {first} to {last} is reversed: it ends before it begins. Swap the two months")
    for month in (first, last):
        if problem := why_not_billable(month, now):
            raise WrongPartitions(problem)
    return months_between(first, last)


def named_days(start: str, end: str, now: datetime) -> list[date]:
    """Return the landing days from key to key, both included. Raises WrongPartitions."""
    first, last, today = _day(start), _day(end), now.astimezone(UTC).date()
    if last < first:
        raise WrongPartitions(f"the range {first} to {last} is reversed: it ends before it begins. Swap the two days")
    if first < FIRST_MONTH.first_day:
        raise WrongPartitions(f"{first} is before {FIRST_MONTH.first_day}, the first landing day")
    if last > today:
        raise WrongPartitions(f"{last} has not begun. The last day that can be landed is {today}")
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _first_day(key: str) -> BillingMonth:
    day = _day(key)
    if day.day != 1:
        raise WrongPartitions(f"there is no partition {key}: the partition of a month is its first day")
    return BillingMonth(day.year, day.month)


def _day(key: str) -> date:
    try:
        day = date.fromisoformat(key)
    except ValueError:
        day = None
    if day is None or day.isoformat() != key:  # Python reads 20261001 and 2026-W40-4, too
        raise WrongPartitions(f"{key!r} is not a day: write it as YYYY-MM-DD, for example 2026-10-01")
    return day


def _follow_the_range(context: AssetExecutionContext, requested: Sequence[str]) -> None:
    """Make Dagster record the requested partitions.

    What Dagster materializes for a result follows the tags in memory, so the leftover dimensions of a job's backfill
    are removed there. The stored run keeps them.

    Raises:
        WrongPartitions: Dagster would still record other partitions than the run must cover.
    """
    _drop_leftovers(context)
    recorded = list(map(str, context.partition_keys))
    if sorted(recorded) != sorted(requested):
        raise WrongPartitions(
            f"the run asks for {counted(len(requested), 'partition')} ({requested[0]} to {requested[-1]}), but Dagster"
            f" would record {len(recorded)} ({', '.join(recorded[:3])}). Nothing was done. {LAUNCH_AGAIN}"
        )


def _drop_leftovers(context: AssetExecutionContext) -> None:
    tags = context.run.tags
    if RANGE_START in tags and isinstance(tags, dict):
        for leftover in [tag for tag in tags if tag.startswith(DIMENSION)]:
            del tags[leftover]
