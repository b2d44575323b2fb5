"""Checks that every landed row is accounted for. Each function returns a row per error.

Not here: problems in the landing folder (`worklist.due.list_landing_problems`), and whether rollups match the events
(`rollups`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.usage_table import UsageTableVersion, count_events_by_day


@dataclass(frozen=True)
class LandingCounts:
    """The row counts of a landing day.

    Attributes:
        landed, accepted, duplicate, rejected: As recorded when the files landed.
        rejected_rows: The rows that are in `rejected_usage` now.
    """

    landing_day: date
    files: int
    landed: int
    accepted: int
    duplicate: int
    rejected: int
    rejected_rows: int


def count_landed_rows(database: BillingDatabase, days: Sequence[date]) -> list[LandingCounts]:
    """Return the row counts of those days that have files, oldest first."""
    return database.records(LandingCounts, "accounted_usage", days=list(days))


def unaccounted_days(
    accounts: Sequence[LandingCounts], usage: UsageTableVersion, days: Sequence[date]
) -> list[dict[str, Any]]:
    """Return the landing days whose counts differ from the usage table or from `rejected_usage`."""
    in_table = count_events_by_day(usage, days)
    wrong = []
    for account in accounts:
        accepted, duplicate = in_table.get(account.landing_day, (0, 0))
        landed = accepted + duplicate + account.rejected_rows
        if (account.accepted, account.duplicate, account.landed) != (accepted, duplicate, landed):
            wrong.append({**asdict(account), "accepted_in_table": accepted, "duplicate_in_table": duplicate})
    return wrong
