"""Checks of landed usage: each function returns a row per error, and none where every landed row is accounted for.

Not here: the landing folder (`worklist.due.needs_attention`); whether rollups equal the events (`rollups`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.usage_table import UsageTableVersion, count_by_day


@dataclass(frozen=True)
class LandingAccount:
    """What the files of a landing day brought, in rows.

    Attributes:
        landed, accepted, duplicate, rejected: As recorded when the files were landed.
        rejected_rows: The rows that are in `rejected_usage` now.
    """

    landing_day: date
    files: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int
    rejected_rows: int


def landing_accounts(database: BillingDatabase, days: Sequence[date]) -> list[LandingAccount]:
    """Return the accounts of those of these days that have files, oldest first."""
    return database.records(LandingAccount, "accounted_usage", days=list(days))


def unaccounted_days(
    accounts: Sequence[LandingAccount], usage: UsageTableVersion, days: Sequence[date]
) -> list[dict[str, Any]]:
    """Return the landing days whose account differs from the usage table or from `rejected_usage`."""
    in_table = count_by_day(usage, days)
    wrong = []
    for account in accounts:
        accepted, duplicate = in_table.get(account.landing_day, (0, 0))
        landed = accepted + duplicate + account.rejected_rows
        if (account.accepted, account.duplicate, account.landed) != (accepted, duplicate, landed):
            wrong.append({**asdict(account), "accepted_in_table": accepted, "duplicate_in_table": duplicate})
    return wrong
