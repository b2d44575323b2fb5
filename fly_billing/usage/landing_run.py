"""Lands days and checks them: all that a run of the asset `usage_events` does.

Not here: how files are landed (`landing`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fly_billing.object_store.address import Place
from fly_billing.periods import FIRST_MONTH
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.usage.checks import count_landed_rows, unaccounted_days
from fly_billing.usage.landing import DaysNotLanded, land_days
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rules.declared_sources import NOTHING_DECLARED, DeclaredSources
from fly_billing.usage.source_contracts import LandedSource, SourceContracts
from fly_billing.usage.usage_table import UsageTable


@dataclass(frozen=True)
class LandingReport:
    """The outcome of landing some days.

    Attributes:
        days: The landing days that were landed or failed.
        failures: Why a day could not be landed, and what to do, by day.
        unaccounted: A row per landing day whose rows are not all accepted, duplicate or rejected.
        table_version: The version of the usage table afterwards.
        sources: What each declared source brought, by name.
    """

    days: Sequence[date]
    files: Sequence[LandedFile]
    failures: Mapping[date, str]
    unaccounted: Sequence[Mapping[str, Any]]
    table_version: int
    sources: Mapping[str, LandedSource]


def land_and_check(
    database: BillingDatabase,
    usage: UsageTable,
    landing_dir: Place,
    days: Sequence[date],
    now: datetime,
    progress: Callable[[str], None] = lambda _: None,
    declared: DeclaredSources = NOTHING_DECLARED,
    *,
    from_scratch: bool = False,
    processes: int = 1,
) -> LandingReport:
    """Land these days and check their rows. A day that can't be landed is reported; the others are landed.

    Args:
        from_scratch: Also read the files of days again that are as they landed.
        processes: The most processes that land new days at once.

    Raises:
        LandingError: There is no landing folder, or one without any day.
        UsageTableMismatch: The usage table is not the one that was landed into before.
    """
    failures: Mapping[date, str] = {}
    contracts = SourceContracts(declared)
    try:
        files = land_days(
            database, usage, landing_dir, days, FIRST_MONTH, now, progress, contracts,
            from_scratch=from_scratch, processes=processes,
        )  # fmt: skip
    except DaysNotLanded as problem:
        files, failures = problem.files, problem.failures
    table = open_usage_table(database, usage)
    unaccounted = unaccounted_days(count_landed_rows(database, days), table, days)
    return LandingReport(days, files, failures, unaccounted, table.version, contracts.landed)


def count_rejected_rows(database: BillingDatabase, days: Sequence[date]) -> list[Row]:
    """Return a row per reason of rejection of these days, with the number of rows and an example."""
    return database.rows("reasons_of_rejection", days=list(days))
