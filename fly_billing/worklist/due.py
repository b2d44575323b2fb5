"""Lists the work that is due: landing days, months to close, to reconcile and to sync."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fly_billing.object_store.address import Place, StoreFolder
from fly_billing.object_store.objects import ChangedObject
from fly_billing.periods import FIRST_MONTH, BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing_folder import (
    RECENT,
    UNREAD,
    FileContent,
    LandingFile,
    LandingProblem,
    content_of,
    find_landing_problems,
    list_day_folders,
    list_files,
    size_of,
)

# The hourly schedule lands days up to this old that did not land after they ended.
CATCH_UP = timedelta(days=40)
# A paid invoice is compared with Stripe every night until this long after it was sent.
STILL_CHANGING = timedelta(days=60)


@dataclass(frozen=True, slots=True)
class _LandedContent:
    """A file of a landing day, with its content when it landed."""

    landing_day: date
    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class _RejectedFile:
    """A file that was rejected as a whole."""

    landing_day: date
    path: str
    reason: str
    message: str


def days_to_land(
    database: BillingDatabase,
    landing_dir: Place,
    now: datetime,
    months: Collection[BillingMonth] = (),
    *,
    by_content: bool = False,
    since: date = date.min,
) -> list[date]:
    """List landing days up to today whose files differ by name or size from those that landed.

    Also lists days whose folder can't be read (landing reports why), and days with rejected rows that would be accepted
    now, for example because their meter or organization exists now.

    On a disk, it looks into all day folders. In an object store, where each costs a request, it looks into those of
    days that never landed, of the last 40 days, and of `months`: the cost does not grow with history.

    Args:
        months: The months whose days are always looked into, however old they are.
        by_content: Read every file, and compare SHA-256 as well.
        since: Only days from this one on.
    """
    landed: dict[date, dict[str, FileContent]] = defaultdict(dict)
    for file in database.records(_LandedContent, "landed_files", since=since):
        landed[file.landing_day][file.path] = FileContent(file.sha256, file.bytes)
    come = [day for day in list_day_folders(landing_dir) if since <= day <= now.date()]
    if isinstance(landing_dir, StoreFolder):
        oldest = now.date() - RECENT
        come = [
            day for day in come if day >= oldest or day not in landed or any(_is_in(day, month) for month in months)
        ]
    changed = {day for day in come if _is_changed(landing_dir, day, landed[day], by_content)}
    return sorted(changed.union(day for day in database.values("days_to_land_again") if day >= since))


def _is_in(day: date, month: BillingMonth) -> bool:
    """Return True if the day's folder may have usage of the month that can be on its invoice."""
    return month.first_day <= day < (month.end + RECENT).date()


def _is_changed(landing_dir: Place, day: date, landed: Mapping[str, FileContent], by_content: bool) -> bool:
    try:
        files = list_files(landing_dir, day)
    except OSError:
        return True
    return {file.name for file in files} != landed.keys() or any(
        _is_other(file, landed[file.name], by_content) for file in files
    )


def _is_other(file: LandingFile, landed: FileContent, by_content: bool) -> bool:
    """Return True if the file differs from what landed. A file that can't be read now counts as UNREAD."""
    if file.problem:
        return landed != UNREAD
    try:
        # A file that could not be read when its day landed lands again as soon as it can be read.
        if by_content or landed == UNREAD:
            return content_of(file) != landed
        return size_of(file) != landed.bytes
    except (OSError, ChangedObject):
        return landed != UNREAD


def list_landing_problems(database: BillingDatabase, landing_dir: Place, now: datetime) -> list[LandingProblem]:
    """List problems in the landing folder that need manual fixes, and files that were rejected as a whole.

    Includes folders that are missing although their files landed in the last 40 days.
    """
    rejected = [
        LandingProblem(f"{file.landing_day}/{file.path}", f"rejected ({file.reason}): {file.message}")
        for file in database.records(_RejectedFile, "rejected_files")
    ]
    return find_landing_problems(landing_dir, now) + _missing_folders(database, landing_dir, now) + rejected


def _missing_folders(database: BillingDatabase, landing_dir: Place, now: datetime) -> list[LandingProblem]:
    there = set(list_day_folders(landing_dir))
    if not there:
        return []  # not mounted: the landing itself refuses that, in one line
    landed = database.values("days_with_files", since=now.date() - RECENT)
    message = (
        "the folder is missing, but its files landed before, and their usage still counts. Restore it (as an empty"
        " folder, if the day really has no usage), then run `fly-billing land`"
    )
    return [LandingProblem(day.isoformat(), message) for day in landed if day not in there]


def days_due(
    database: BillingDatabase, landing_dir: Place, now: datetime, grace: timedelta, month: BillingMonth | None = None
) -> list[date]:
    """List days up to today to land: days with changed files, and days without which a month can't be closed.

    Includes days without a folder: a day counts as a day without usage only once it landed after it ended.

    Args:
        month: List all days up to today that it needs before it can be closed, also if nothing else is due for it.
    """
    yesterday = now.date() - timedelta(days=1)
    due = set(days_to_land(database, landing_dir, now, [month] if month else (), by_content=True))
    # Months that ended, and those that close now: in the grace period of the last month, these begin a month earlier.
    ends = (BillingMonth.containing(now).start, closed_until(now, grace))
    for closing in {each for end in ends for each in months_to_close(database, end)}:
        due.update(day for day in days_before_closing(database, closing, grace) if day <= yesterday)
    if not month and (known := _first_known_day(database, landing_dir)):
        # Days without a folder in the months that are not over for long: statements would end before the first of them.
        first = max(known, BillingMonth.containing(now - grace).first_day)
        due.update(days_not_landed(database, first, yesterday))
    if month:
        due.update(day for day in days_before_closing(database, month, grace) if day <= now.date())
    return sorted(due)


def _first_known_day(database: BillingDatabase, landing_dir: Place) -> date | None:
    """Return the first day that has a folder or landed; None if there is none."""
    landed = [day for day in database.values("first_landing_day") if day]
    return min([*list_day_folders(landing_dir), *landed], default=None)


def first_month_with_work(database: BillingDatabase, landing_dir: Place, before: datetime) -> BillingMonth | None:
    """Return the first month that has usage, a landing folder or an invoice, or that can still be closed by itself.

    None if there is none. Months before FIRST_MONTH do not count.

    Args:
        before: The end of the last closed month (`closed_until`).

    Raises:
        LandingError: The landing folder can't be read.
    """
    recorded = [day for day in database.values("first_month_with_work", before=before) if day]
    found = [BillingMonth(day.year, day.month) for day in [*list_day_folders(landing_dir), *recorded]]
    return max(FIRST_MONTH, min(found)) if found else None


def days_to_land_for(
    database: BillingDatabase, landing_dir: Place, months: Sequence[BillingMonth], now: datetime, grace: timedelta
) -> list[date]:
    """List the days that these consecutive months need: not landed since they ended, or with changed files since."""
    if not months:
        return []
    first, last = months[0].first_day, months[-1].last_landing_day(grace)
    due = {day for month in months for day in days_before_closing(database, month, grace)}
    due.update(day for day in days_to_land(database, landing_dir, now, months) if first <= day <= last)
    return sorted(day for day in due if day <= now.date())


def days_not_landed(database: BillingDatabase, first: date, last: date) -> list[date]:
    """List landing days from `first` to `last` that did not land after they ended."""
    return database.values("days_not_landed", first=first, last=last)


def days_before_closing(database: BillingDatabase, month: BillingMonth, grace: timedelta) -> list[date]:
    """List landing days that must land (again) before the month can be closed. Usually empty."""
    return days_not_landed(database, month.first_day, month.last_landing_day(grace))


def landing_days_of(month: BillingMonth, grace: timedelta, today: date) -> list[date]:
    """List the days up to today on which usage of the month can land and still be on its invoice."""
    last = min(month.last_landing_day(grace), today)
    return [month.first_day + timedelta(days=number) for number in range((last - month.first_day).days + 1)]


def closed_until(now: datetime, grace: timedelta) -> datetime:
    """Return the end of the last month whose grace period is over."""
    return BillingMonth.containing(now - grace).start


def months_to_close(database: BillingDatabase, before: datetime) -> list[BillingMonth]:
    """List months that ended by then and lack a final invoice for an organization that existed."""
    return _months(database.values("months_to_close", before=before))


def months_with_late_usage(database: BillingDatabase) -> list[BillingMonth]:
    """List closed months with usage that landed after their last roll-up."""
    return _months(database.values("months_with_late_usage"))


def accepted_events(database: BillingDatabase) -> dict[BillingMonth, int]:
    """Return the number of accepted events by month of usage."""
    found = database.rows("accepted_events")
    return {BillingMonth(row["month"].year, row["month"].month): row["events"] for row in found}


def months_to_reconcile(database: BillingDatabase, since: datetime) -> list[BillingMonth]:
    """List months with invoices in Stripe that can still change: unpaid ones, or ones sent since then."""
    return _months(database.values("months_to_reconcile", since=since))


def months_to_sync(database: BillingDatabase) -> list[BillingMonth]:
    """List months with finalized invoices that are missing in Stripe and that a sync can create."""
    return _months(database.values("months_to_sync"))


def _months(starts: Iterable[object]) -> list[BillingMonth]:
    """Convert the starts of months.

    Skips an invalid month, which is not a datetime: `totals` and the invoice's statement report it.
    """
    return [BillingMonth.containing(start) for start in starts if isinstance(start, datetime)]
