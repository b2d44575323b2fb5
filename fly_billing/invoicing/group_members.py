"""Reads which organization is in which billing group. `rules.billing_groups` assigns them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from fly_billing.bounds import UnreadableTime
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An organization and its billing group.

    Attributes:
        created_at: UnreadableTime if Python can't represent it. Billing the organization then fails with a clear error.
    """

    id: str
    billing_group: str
    created_at: datetime | UnreadableTime


def group_members(database: BillingDatabase) -> list[GroupMember]:
    """Return every organization, oldest first."""
    return database.records(GroupMember, "billing_groups")


def billing_groups(database: BillingDatabase) -> list[str]:
    """Return the names of all billing groups, sorted."""
    return sorted({member.billing_group for member in group_members(database)})


def groups_by_organization(database: BillingDatabase) -> dict[str, str]:
    """Return the billing group of each organization id."""
    return {member.id: member.billing_group for member in group_members(database)}


@dataclass(frozen=True)
class LinkedGroups:
    """Two billing groups: an organization of the first pays for one of the second."""

    payer: str
    member: str


def with_groups_paid_for(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> list[str]:
    """Return these groups, and those of the organizations that theirs pay for: their usage is on the same invoices."""
    links = database.records(LinkedGroups, "linked_groups", month=month.first_day)
    own = set(groups)
    return [*groups, *sorted({link.member for link in links if link.payer in own} - own)]


def payers_in_other_groups(database: BillingDatabase, months: Collection[BillingMonth]) -> dict[tuple[str, str], str]:
    """Return the payer's billing group, by (month, organization), where it is not the organization's own."""
    found = database.rows("payers_in_other_groups", months=[month.first_day for month in months])
    return {(row["month"], row["organization_id"]): row["billing_group"] for row in found}
