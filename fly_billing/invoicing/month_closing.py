"""Closing a month: the terms, and what a month waits for before its invoices become final.

Not here: building the invoices (`bill_run`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from fly_billing.errors import ActionableError, not_computable
from fly_billing.invoicing.payers import BilledMember, refuse_damaged_usage
from fly_billing.money import counted
from fly_billing.periods import BillingMonth, stretches
from fly_billing.postgres.database import values
from fly_billing.usage.rejections import RejectedGroup, read_unresolved

# The ranges of days that an error lists.
MOST_STRETCHES = 10
# The sources and reasons of rejected usage that an error lists.
MOST_GROUPS = 5


@dataclass(frozen=True)
class Terms:
    """The terms of closing a month.

    Attributes:
        grace: The time between the end of a month and its closing.
        due_days: The days between finalizing an invoice and its due date.
        waits_for_rejected_usage: A month does not close while it has rejected usage that is neither fixed nor waived.
        seller: The lines about the seller, which a final invoice keeps.
    """

    grace: timedelta
    due_days: int
    waits_for_rejected_usage: bool = False
    seller: tuple[str, ...] = ()


class MonthNotClosed(ActionableError):
    """The month can't be closed. Nothing was changed. `code` names the reason."""

    code: str


class RejectedUsageUnresolved(MonthNotClosed):
    """The month waits until its rejected usage is fixed or waived, because the terms say so."""

    code = "rejected_usage_unresolved"

    def __init__(self, month: BillingMonth, groups: Sequence[RejectedGroup]) -> None:
        number = sum(group.rows for group in groups)
        rows = f"{counted(number, 'row')} of rejected usage {'is' if number == 1 else 'are'}"
        named = "; ".join(group.sentence for group in groups[:MOST_GROUPS])
        more = f"; and {len(groups) - MOST_GROUPS:,} more by source and reason" if len(groups) > MOST_GROUPS else ""
        super().__init__(
            f"{month} can't be closed: {rows} neither fixed nor waived ({named}{more}). Fix the files and run"
            f" `fly-billing land`, or run `fly-billing waive --source SOURCE --reason REASON --month {month} --by NAME"
            f" --because TEXT`; then `fly-billing bill {month}`. `fly-billing rejected {month}` lists them. To close"
            " months without this usage, set FLY_BILLING_UNRESOLVED_REJECTIONS=close"
        )


class UsageNotLanded(MonthNotClosed):
    """The month can't be closed, because usage of it may still be in a landing folder. Nothing was changed.

    Attributes:
        days: The landing days to land.
    """

    code = "usage_not_landed"

    def __init__(self, month: BillingMonth, days: Collection[date]) -> None:
        self.days = sorted(days)
        parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in stretches(self.days)]
        more = f" and {counted(len(parts) - MOST_STRETCHES, 'more range')}" if len(parts) > MOST_STRETCHES else ""
        super().__init__(
            f"{month} can't be closed: {_counted_days(len(self.days))} not landed after the day ended, or changed since"
            f" ({', '.join(parts[:MOST_STRETCHES])}{more}). Run `fly-billing land {month}` to land all of them, then"
            f" `fly-billing bill {month}`; in Dagster, materialize usage_events for these days, then the month"
        )


def _counted_days(number: int) -> str:
    return f"{counted(number, 'landing day')} {'was' if number == 1 else 'were'}"


@dataclass(frozen=True)
class CompleteUsage:
    """The first time and version of the usage table at which the table has all usage of a closed month."""

    closed_at: datetime
    usage_table_version: int


def complete_usage(connection: Connection, month: BillingMonth, terms: Terms) -> CompleteUsage:
    """Return when the usage of a month that closes is complete."""
    days = {"first": month.first_day, "last": month.last_landing_day(terms.grace)}
    (version,) = values(connection, "last_landing", **days)
    return CompleteUsage(month.closes_at(terms.grace), version)


def refuse_unlanded_days(
    connection: Connection, month: BillingMonth, terms: Terms, unlanded_days: Sequence[date]
) -> None:
    first, last = month.first_day, month.last_landing_day(terms.grace)
    missing = values(connection, "days_not_landed", first=first, last=last)
    missing += values(connection, "days_to_land_again")
    days = {day for day in (*missing, *unlanded_days) if first <= day <= last}
    if days:
        raise UsageNotLanded(month, days)


def refuse_rejected_usage(connection: Connection, month: BillingMonth) -> None:
    if groups := read_unresolved(connection, month):
        raise RejectedUsageUnresolved(month, groups)


def refuse_incomplete_usage(member: BilledMember, month: BillingMonth, complete: CompleteUsage | None) -> None:
    """Raise BillingError if usage of the member is missing: its invoice would be too low, if final for good."""
    refuse_damaged_usage(member)
    if member.snapshot_id is None or member.rolled_up_at is None or member.usage_table_version is None:
        raise not_computable(
            "usage_not_rolled_up",
            f"usage_rollups has no {month} of {member.id}: run `fly-billing bill {month}`, which rolls it up first",
            retryable=True,
        )
    if complete and (
        member.rolled_up_at < complete.closed_at or member.usage_table_version < complete.usage_table_version
    ):
        raise not_computable(
            "usage_rolled_up_too_early",
            f"usage_rollups of {month} is from {member.rolled_up_at:%Y-%m-%d %H:%M}Z and version"
            f" {member.usage_table_version} of the usage table, but the month's usage is complete only from"
            f" {complete.closed_at:%Y-%m-%d %H:%M}Z and version {complete.usage_table_version} on: run"
            f" `fly-billing bill {month}`, which rolls it up again",
            retryable=True,
        )
