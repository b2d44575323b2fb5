"""Thresholds and caps that a token of the API sets, with the rights of a role that can only read.

Functions of the database write, after they checked the token themselves, and record the change in its name. What a
threshold may be is the same rule as for commands (`rules.thresholds`). Not here: requests (`api.alert_routes`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.customer_alerts.rules.thresholds import Kind, Limit, SpendThreshold
from fly_billing.customer_alerts.spend_caps import NAME
from fly_billing.customer_alerts.thresholds import NoSuchThreshold, limit_of, store, thresholds
from fly_billing.errors import ActionableError
from fly_billing.postgres.database import BillingDatabase, records, values

# Changes of an organization's thresholds within 24 hours. Removed thresholds are kept, so a program that sets and
# removes them without end would fill the table.
MOST_CHANGES_A_DAY = 200


class TooManyChanges(ActionableError):
    """The organization's thresholds were changed MOST_CHANGES_A_DAY times within 24 hours."""


@dataclass(frozen=True)
class WantedLimit:
    """An amount or percentage, as it was sent.

    Attributes:
        text: `250`, `99.50`, or `150%` of the last month.
        currency: Of the amount; None for a percentage.
    """

    text: str
    currency: str | None
    kind: Kind = "amount"
    subject: str | None = None


@dataclass(frozen=True)
class ChangedThreshold:
    """A threshold or cap as it was set, even if somebody replaced it since. `is_new`: False if it was set before."""

    threshold: SpendThreshold
    is_new: bool


@dataclass(frozen=True)
class TokenChanges:
    """Changes of one organization's thresholds, its cap, and calls about it.

    Attributes:
        database: With the rights of the role that can only read.
        token_id: The token that the request has. The database refuses one that does not work or may not do it.
    """

    database: BillingDatabase
    token_id: UUID
    organization_id: str

    def add(self, wanted: WantedLimit) -> ChangedThreshold:
        """Set a threshold. Setting it twice changes nothing. Raises NoSuchThreshold, TooManyChanges."""
        with self.database.transaction() as connection:
            limit = self._limit(connection, wanted)
            return self._store(connection, "add_spend_threshold_with_token", **asdict(limit))

    def set_cap(self, wanted: WantedLimit) -> ChangedThreshold:
        """Set the cap in place of the one that there is. Raises NoSuchThreshold, TooManyChanges."""
        with self.database.transaction() as connection:
            limit = self._limit(connection, wanted)
            return self._store(
                connection, "set_spend_cap_with_token", currency=limit.currency, amount_cents=limit.amount_cents
            )

    def remove(self, threshold_id: UUID) -> bool:
        """Remove a threshold or the cap, if it is set. Return False if the organization never had this one."""
        (was_known,) = self.database.values(
            "remove_spend_threshold_with_token", **self._who(), threshold_id=threshold_id
        )
        return bool(was_known)

    def remove_cap(self) -> None:
        """Remove the cap, if there is one."""
        for threshold in thresholds(self.database, self.organization_id):
            if threshold.kind == "cap":
                self.remove(threshold.id)

    def acknowledge(self, number: int) -> bool:
        """Acknowledge a call about the cap, if it waits. Return False if a newer one replaced it, or there is none."""
        (is_acknowledged,) = self.database.values(
            "acknowledge_cap_call_with_token", **self._who(), channel=NAME, number=number
        )
        return bool(is_acknowledged)

    def _store(self, connection: Connection, statement: str, **columns: object) -> ChangedThreshold:
        (changes,) = values(connection, "changes_of_thresholds_today", organization_id=self.organization_id)
        if changes >= MOST_CHANGES_A_DAY:
            raise TooManyChanges(f"these alerts were changed {MOST_CHANGES_A_DAY} times within 24 hours")
        stored = store(connection, statement, **self._who(), **columns)
        # In this transaction, which has the organization's lock: another request can't replace the cap before.
        found = records(connection, SpendThreshold, "spend_thresholds", organization_id=self.organization_id)
        for threshold in found:
            if threshold.id == stored.threshold_id:
                return ChangedThreshold(threshold, stored.is_new)
        raise NoSuchThreshold("this alert was removed at the same moment: send the request again")

    def _limit(self, connection: Connection, wanted: WantedLimit) -> Limit:
        limit = limit_of(connection, self.organization_id, wanted.text, wanted.kind, wanted.subject)
        if wanted.currency not in (None, limit.currency):
            raise NoSuchThreshold(f"this organization is billed in {limit.currency}: send an amount in it")
        return limit

    def _who(self) -> dict[str, object]:
        return {"token_id": self.token_id, "organization_id": self.organization_id}
