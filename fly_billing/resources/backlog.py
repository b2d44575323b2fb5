"""What is left to do: landing days, months to close, months to sync. So a second run does nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

from fly_billing.domain.periods import BillingMonth
from fly_billing.resources.landing import LandingError, sha256_of
from fly_billing.resources.postgres import BillingDatabase


def days_to_land(database: BillingDatabase, landing_dir: Path, *, by_content: bool = False) -> list[date]:
    """List landing days whose folder holds other files than those that were landed, by name and size.

    `by_content` reads every file and compares its SHA-256 as well. A day with rejected rows whose meter or organization
    is known by now is worth landing again, too. Raises LandingError for a folder that is named like a day and is none.
    """
    landed: dict[date, dict[str, tuple[int, str]]] = defaultdict(dict)
    for row in database.rows("landed_files"):
        landed[row["landing_day"]][row["path"]] = (row["bytes"], row["sha256"] if by_content else "")
    folders = {_day_of(path): path for path in landing_dir.glob("????-??-??") if path.is_dir()}
    changed = {day for day, folder in folders.items() if _files(folder, by_content) != landed.get(day, {})}
    return sorted(changed | {row["day"] for row in database.rows("days_worth_landing_again")})


def _day_of(folder: Path) -> date:
    try:
        return date.fromisoformat(folder.name)
    except ValueError as problem:
        raise LandingError(f"{folder} is named after no day of the calendar: its usage is not landed") from problem


def _files(folder: Path, by_content: bool) -> dict[str, tuple[int, str]]:
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_size, sha256_of(path) if by_content else "")
        for path in files
    }


def days_not_landed(database: BillingDatabase, first: date, last: date) -> list[date]:
    """List landing days from `first` to `last` that were not landed since they ended."""
    return [row["day"] for row in database.rows("days_not_landed", first=first, last=last)]


def days_before_closing(database: BillingDatabase, month: BillingMonth, grace: timedelta) -> list[date]:
    """List landing days that have to be landed (again) before the month can be closed, mostly none."""
    return days_not_landed(database, month.first_day, month.last_landing_day(grace))


def months_to_close(database: BillingDatabase, before: datetime) -> list[BillingMonth]:
    """List months over before then in which an organization that existed has no final invoice."""
    return [BillingMonth.containing(row["month"]) for row in database.rows("months_to_close", before=before)]


def months_with_late_usage(database: BillingDatabase) -> list[BillingMonth]:
    """List closed months of which usage was landed since they were last rolled up."""
    return [BillingMonth.containing(row["month"]) for row in database.rows("months_with_late_usage")]


def months_to_reconcile(database: BillingDatabase, since: datetime) -> list[BillingMonth]:
    """List months of which Stripe has invoices that can still change: unpaid ones, or sent since then."""
    return [BillingMonth.containing(row["month"]) for row in database.rows("months_to_reconcile", since=since)]


def stretches(days: Iterable[date]) -> list[tuple[date, date]]:
    """Group days into unbroken stretches, each as (first, last)."""
    found: list[tuple[date, date]] = []
    for day in sorted(days):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def months_to_sync(database: BillingDatabase) -> list[BillingMonth]:
    """List months with finalized invoices that Stripe does not have and that another try can bring there."""
    return [BillingMonth.containing(row["month"]) for row in database.rows("months_to_sync")]
