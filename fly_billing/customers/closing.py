"""Closes an organization's account, and opens it again.

Closing ends its subscriptions at the instant, and its commitments with the month or the period of months that runs
then. Everything else stays: usage that still arrives is billed at its prices and taxes, its credit pays for that, and
what it owes is collected. From then on, no new term can begin. Not here: deleting; nothing of a customer is deleted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.commitments import end_commitments
from fly_billing.customers.known import Organizations
from fly_billing.customers.organizations import change_row
from fly_billing.customers.rules.checks import check_moment
from fly_billing.customers.subscriptions import end_subscription, subscriptions_after
from fly_billing.customers.writing import CustomerRefused, Effect, Written
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.postgres.database import values


def close_organization(connection: Connection, actor: Actor, organization_id: str, at: datetime) -> list[Written]:
    """Close an account at an instant. Closing it again at the same one changes nothing.

    Raises:
        CustomerRefused: There is no such organization, it closed at another time or pays for others, or the database
            refuses an end.
        ValueError: The database can't hold the time.
    """
    check_moment("the closing", at)
    organizations = Organizations(connection, [organization_id])
    if problem := organizations.unknown(organization_id):
        raise CustomerRefused([problem])
    one = organizations[organization_id]
    if one.closed_at is not None and one.closed_at != at:
        raise CustomerRefused([f"{one.id} closed its account on {moment_text(one.closed_at.astimezone(UTC))} already"])
    if at < one.created_at:
        since = moment_text(one.created_at.astimezone(UTC))
        raise CustomerRefused([f"{one.id} is a customer from {since} on: close it then, or later"])
    month = BillingMonth.containing(at)
    if paid_for := values(connection, "paid_for_after", payer_id=one.id, month=month.first_day):
        raise CustomerRefused([
            f"{one.id} pays for {', '.join(paid_for)} after {month}: end these links first, with `fly-billing link"
            f" {paid_for[0]} {one.id} --until {month}`"
        ])  # fmt: skip
    ended = [end_subscription(connection, actor, term, at) for term in subscriptions_after(connection, one.id, at)]
    ended += end_commitments(connection, actor, one.id, at)
    return [*(done for done in ended if done.effect != Effect.UNCHANGED), _closed(connection, actor, one.id, at)]


def _closed(connection: Connection, actor: Actor, organization_id: str, at: datetime | None) -> Written:
    return change_row(connection, actor, organization_id, closed_at=at)


def reopen_organization(connection: Connection, actor: Actor, organization_id: str) -> Written:
    """Open an account again. Its terms stay as they ended: begin new ones. Raises CustomerRefused."""
    done = _closed(connection, actor, organization_id, None)
    return replace(done, what=f"{done.what}, open") if done.effect == Effect.UNCHANGED else done
