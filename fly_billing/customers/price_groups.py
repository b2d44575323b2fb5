"""Price groups: the organizations that get a group's negotiated prices, and from when to when.

A group exists as soon as a price book or a workspace has a price for it. Not here: its prices (`price_overrides`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.known import Organizations
from fly_billing.customers.price_overrides import MEMBERSHIPS, write_memberships
from fly_billing.customers.writing import CustomerRefused, Written, known_rows
from fly_billing.periods import moment_text
from fly_billing.postgres.database import BillingDatabase, Row, values
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.negotiated_prices import Membership

LIST_GROUPS = "`fly-billing group list` lists them"


@dataclass(frozen=True)
class ListedMembership:
    """A membership of an organization in a price group.

    Attributes:
        price_book: The book that the organization is billed by now.
        prices: The number of negotiated prices that the group has in that book while the organization belongs to it.
    """

    price_group: str
    organization_id: str
    name: str
    price_book: str
    effective_from: datetime
    effective_until: datetime | None
    prices: int

    def as_data(self) -> dict[str, Any]:
        times = (self.effective_from, self.effective_until)
        start, end = (moment.astimezone(UTC).isoformat() if moment else None for moment in times)
        return {**vars(self), "effective_from": start, "effective_until": end}


def list_memberships(
    database: BillingDatabase, holder: str | None = None, at: datetime | None = None
) -> list[ListedMembership]:
    """List memberships by group and organization.

    Args:
        holder: Only those of this organization or group.
        at: Only those in force then, or later; None: past ones, too.
    """
    return database.records(ListedMembership, "listed_memberships", holder=holder, at=at)


def price_groups_beginning(database: BillingDatabase, beginning: str) -> list[str]:
    """Return the price groups that begin so."""
    return database.values("price_groups", beginning=beginning)


def join_group(
    connection: Connection, actor: Actor, organization_id: str, group: str, start: datetime, end: datetime | None
) -> list[Written]:
    """Add an organization to a price group. The same membership again changes nothing.

    Raises:
        CustomerRefused: There is no such organization or group, it belongs to the group then, or two groups would have
            a price for the same usage.
    """
    organizations = Organizations(connection, [organization_id])
    problem = organizations.problem(organization_id, start) or _unknown_group(connection, group)
    if problem is None and (other := _overlapping(connection, organization_id, group, start, end)):
        problem = f"it belongs to the group {_period(other)} already"
    if problem:
        raise CustomerRefused([f"{organization_id} in group {group}: {problem}"])
    return write_memberships(connection, actor, [Membership(group, organization_id, start, end)])


def leave_group(connection: Connection, actor: Actor, organization_id: str, group: str, at: datetime) -> list[Written]:
    """End an organization's membership in a price group at an instant.

    Raises:
        CustomerRefused: There is no such organization, or it does not belong to the group then.
    """
    organizations = Organizations(connection, [organization_id])
    if problem := organizations.unknown(organization_id):
        raise CustomerRefused([problem])
    memberships = known_rows(connection, MEMBERSHIPS, [organization_id]).values()
    ours = [row for row in memberships if row["price_group"] == group]
    last = max(ours, key=lambda row: row["effective_from"], default=None)
    if last is None:
        meant = did_you_mean(group, {row["price_group"] for row in memberships})
        raise CustomerRefused([f"{organization_id} is not in group {group!r}{meant}: {LIST_GROUPS}"])
    if last["effective_from"] >= at:
        raise CustomerRefused([f"{organization_id} is in group {group} {_period(last)}: give a later time with --at"])
    if last["effective_until"] is not None and last["effective_until"] < at:
        raise CustomerRefused([f"{organization_id} left group {group}: it was in it {_period(last)}"])
    return write_memberships(connection, actor, [Membership(group, organization_id, last["effective_from"], at)])


def _unknown_group(connection: Connection, group: str) -> str | None:
    known: Sequence[str] = values(connection, "price_groups", beginning="")
    if group in known:
        return None
    return f"no price group {group!r}{did_you_mean(group, known)}: a price book or terms.yaml has the prices of a group"


def _overlapping(
    connection: Connection, organization_id: str, group: str, start: datetime, end: datetime | None
) -> Row | None:
    """Return another membership of the organization in the group at the same time."""
    for row in known_rows(connection, MEMBERSHIPS, [organization_id]).values():
        begins_before_our_end = end is None or row["effective_from"] < end
        ends_after_our_start = row["effective_until"] is None or row["effective_until"] > start
        is_other = row["price_group"] == group and row["effective_from"] != start
        if is_other and begins_before_our_end and ends_after_our_start:
            return row
    return None


def _period(row: Row) -> str:
    start, end = row["effective_from"].astimezone(UTC), row["effective_until"]
    return f"from {moment_text(start)} on" + (f" until {moment_text(end.astimezone(UTC))}" if end else "")
