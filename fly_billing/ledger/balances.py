"""Reads the balances of accounts, and posts events that are missing. Not here: tables for people (`finance`)."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from fly_billing.periods import FIRST_MONTH, LAST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase, records
from fly_billing.postgres.organizations import organization_name


@dataclass(frozen=True)
class AccountBalance:
    """An account in one currency, in cents. Debits are positive.

    Attributes:
        opening_cents: The balance before the month; 0 if all months are read.
        debit_cents, credit_cents: What moved since, both positive.
        balance_cents: The balance at the end.
    """

    currency: str
    account: str
    opening_cents: int
    debit_cents: int
    credit_cents: int
    balance_cents: int


def read_balances(
    connection: Connection, organization_id: str | None = None, month: BillingMonth | None = None
) -> list[AccountBalance]:
    """Read the accounts of an organization, or of all together, at the end of the month, or now.

    Raises:
        NoSuchOrganization: No organization has this id.
    """
    first, last = (month or FIRST_MONTH).first_day, (month or LAST_MONTH).first_day
    if organization_id is None:
        return records(connection, AccountBalance, "balances_of_everyone", first=first, last=last)
    organization_name(connection, organization_id)
    return records(
        connection, AccountBalance, "balances_of_organization",
        organization_id=organization_id, first=first, last=last,
    )  # fmt: skip


def post_missing(database: BillingDatabase) -> int:
    """Post every event that is not in the ledger; return their number. Repeating it posts nothing more."""
    (posted,) = database.values("post_missing_to_ledger")
    return int(posted)
