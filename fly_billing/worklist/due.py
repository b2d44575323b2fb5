"""What is left to do: landing days, months to close, months to sync. So a second run does nothing twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, Row
from fly_billing.usage.landing_folder import (
    UNREAD,
    FileContent,
    LandingFile,
    NotUnderstood,
    content_of,
    day_folders,
    list_files,
    not_understood,
)


def days_to_land(
    database: BillingDatabase, landing_dir: Path, now: datetime, *, by_content: bool = False
) -> list[date]:
    """List landing days up to today whose folder holds other files than those that were landed, by name and size.

    `by_content` reads every file and compares its SHA-256 as well. A day whose folder can't be read is listed, so that
    landing it says why. So is a day with rejected rows whose meter or organization is known by now.
    """
    landed: dict[date, dict[str, FileContent]] = defaultdict(dict)
    for row in database.rows("landed_files"):
        landed[row["landing_day"]][row["path"]] = FileContent(row["sha256"], row["bytes"])
    come = [day for day in day_folders(landing_dir) if day <= now.date()]
    changed = {day for day in come if _is_changed(landing_dir, day, landed[day], by_content)}
    return sorted(changed | {row["day"] for row in database.rows("days_worth_landing_again")})


def _is_changed(landing_dir: Path, day: date, landed: Mapping[str, FileContent], by_content: bool) -> bool:
    try:
        files = list_files(landing_dir, day)
    except OSError:
        return True
    return {file.name for file in files} != landed.keys() or any(
        _is_other(file, landed[file.name], by_content) for file in files
    )


def _is_other(file: LandingFile, landed: FileContent, by_content: bool) -> bool:
    """Tell whether the file holds something else than was landed. What can't be read now holds UNREAD."""
    if file.problem:
        return landed != UNREAD
    try:
        # What could not be read when it was landed is worth landing again as soon as it can be.
        if by_content or landed == UNREAD:
            return content_of(file.path) != landed
        return file.path.stat().st_size != landed.bytes
    except OSError:
        return landed != UNREAD


def needs_attention(database: BillingDatabase, landing_dir: Path, now: datetime) -> list[NotUnderstood]:
    """List what of the landing folder needs a person: what is not understood, and files rejected as a whole."""
    rejected = [
        NotUnderstood(f"{row['landing_day']}/{row['path']}", f"rejected ({row['reason']}): {row['message']}")
        for row in database.rows("rejected_files")
    ]
    return not_understood(landing_dir, now) + rejected


def days_due(database: BillingDatabase, landing_dir: Path, now: datetime, grace: timedelta) -> list[date]:
    """List the days over that wait to be landed: changed ones, and those without which no month can be closed.

    Days without a folder are among them: that they have no usage is known only once they were landed after they ended.
    """
    yesterday = now.date() - timedelta(days=1)
    due = set(days_to_land(database, landing_dir, now, by_content=True))
    for month in months_to_close(database, BillingMonth.containing(now).start):
        due.update(day for day in days_before_closing(database, month, grace) if day <= yesterday)
    return sorted(due)


def days_not_landed(database: BillingDatabase, first: date, last: date) -> list[date]:
    """List landing days from `first` to `last` that were not landed since they ended."""
    return [row["day"] for row in database.rows("days_not_landed", first=first, last=last)]


def days_before_closing(database: BillingDatabase, month: BillingMonth, grace: timedelta) -> list[date]:
    """List landing days that have to be landed (again) before the month can be closed, mostly none."""
    return days_not_landed(database, month.first_day, month.last_landing_day(grace))


def months_to_close(database: BillingDatabase, before: datetime) -> list[BillingMonth]:
    """List months over before then in which an organization that existed has no final invoice."""
    return _months(database.rows("months_to_close", before=before))


def months_with_late_usage(database: BillingDatabase) -> list[BillingMonth]:
    """List closed months of which usage was landed since they were last rolled up."""
    return _months(database.rows("months_with_late_usage"))


def months_to_reconcile(database: BillingDatabase, since: datetime) -> list[BillingMonth]:
    """List months of which Stripe has invoices that can still change: unpaid ones, or sent since then."""
    return _months(database.rows("months_to_reconcile", since=since))


def months_to_sync(database: BillingDatabase) -> list[BillingMonth]:
    """List months with finalized invoices that Stripe does not have and that another try can bring there."""
    return _months(database.rows("months_to_sync"))


def _months(found: Iterable[Row]) -> list[BillingMonth]:
    """Read months. An invoice whose month is none holds no other month up: `totals` and its statement name it."""
    return [BillingMonth.containing(row["month"]) for row in found if isinstance(row["month"], datetime)]
