"""Thresholds in Postgres: adds, removes and lists them, and gives new organizations their first one.

Each change is recorded with the name of whoever made it. Not here: changes with a token of the API
(`customer_alerts.changes_with_tokens`), what a month reached (`customer_alerts.evaluation`), and calls about caps
(`customer_alerts.spend_caps`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from fly_billing.customer_alerts.rules.thresholds import Kind, Limit, SpendThreshold, first_limit, read_limit
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.postgres.database import BillingDatabase, records, rows, values
from fly_billing.postgres.isolation import reason_of


class NoSuchThreshold(ActionableError):
    """The organization or the threshold does not exist, or can't be set like this. The message says why."""


@dataclass(frozen=True)
class StoredThreshold:
    """A threshold or cap that was set. `is_new`: False if the organization had it already."""

    threshold_id: UUID
    is_new: bool


def add_threshold(
    database: BillingDatabase,
    organization_id: str,
    amount: str,
    kind: Kind = "amount",
    subject: str | None = None,
    who: str = "",
) -> bool:
    """Alert the customer when a month of the organization reaches a limit. Return False if that is set already.

    If an open month is above it now, the next tick of the sensor alerts; a threshold that was removed and is set again
    does not alert again in its month.

    Args:
        database: The billing database.
        organization_id: The customer.
        amount: In the organization's currency, such as `250`; `150%` of the last month for the kind `amount`.
        kind: What reaches it.
        subject: The app or product.
        who: The person, for the record; the database's role if empty.

    Raises:
        NoSuchThreshold: There is no such organization, it has too many thresholds, or the amount is not valid.
    """
    with database.transaction() as connection:
        set_author(connection, who)
        limit = limit_of(connection, organization_id, amount, kind, subject)
        return store(connection, "add_spend_threshold", organization_id=organization_id, **asdict(limit)).is_new


def remove_threshold(
    database: BillingDatabase,
    organization_id: str,
    amount: str,
    kind: Kind = "amount",
    subject: str | None = None,
    who: str = "",
) -> None:
    """Remove a threshold. Raises NoSuchThreshold."""
    with database.transaction() as connection:
        set_author(connection, who)
        limit = limit_of(connection, organization_id, amount, kind, subject)
        if not rows(connection, "remove_spend_threshold", organization_id=organization_id, **asdict(limit)):
            raise NoSuchThreshold(
                f"{organization_id} has no spend alert at {limit.in_words()}: `fly-billing spend-alert list`"
            )


def thresholds(database: BillingDatabase, organization_id: str | None = None) -> list[SpendThreshold]:
    """List the thresholds of an organization, or of all."""
    return database.records(SpendThreshold, "spend_thresholds", organization_id=organization_id)


def limit_of(
    connection: Connection, organization_id: str, amount: str, kind: Kind = "amount", subject: str | None = None
) -> Limit:
    """Read a limit in the organization's currency. Raises NoSuchThreshold."""
    organizations = rows(connection, "organization", id=organization_id)
    if not organizations:
        raise NoSuchThreshold(
            f"no organization {visible(repr(organization_id))}: `fly-billing statement` suggests similar names"
        )
    try:
        return read_limit(amount, organizations[0]["currency"], kind, subject)
    except ValueError as problem:
        raise NoSuchThreshold(visible(str(problem))) from problem


def set_author(connection: Connection, who: str) -> None:
    """Record the changes of this transaction in the name of a person."""
    rows(connection, "set_audit_context", who=who, why="")


def store(connection: Connection, statement: str, **parameters: Any) -> StoredThreshold:
    """Set a threshold or cap with a statement. Raises NoSuchThreshold if the database refuses it."""
    try:
        (stored,) = records(connection, StoredThreshold, statement, **parameters)
    except IntegrityError as problem:
        raise NoSuchThreshold(visible(reason_of(problem))) from problem
    return stored


def add_first_alerts(connection: Connection, first_alert: Mapping[str, Decimal]) -> None:
    """Give each organization that is new its first threshold: decided once, so that a removed one does not come back.

    `first_alert`: whole units by currency; the key `""` is for all other currencies.
    """
    currencies = values(connection, "currencies_of_new_organizations")
    limits = [
        limit
        for currency in currencies
        if (limit := first_limit(first_alert.get(currency, first_alert.get("")), currency))
    ]
    if currencies:
        rows(connection, "add_first_alerts", **_columns(limits))


def _columns(limits: list[Limit]) -> dict[str, Any]:
    return {
        "currencies": [limit.currency for limit in limits],
        "amounts_cents": [limit.amount_cents for limit in limits],
    }
