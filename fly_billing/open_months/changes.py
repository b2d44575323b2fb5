"""Finds what changed in open months since they were billed last, by listing folders and a few cheap statements.

Not here: doing the work (`update`), and when to look (`sensors.keep_open_months_current`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fly_billing.fingerprints import fingerprint_of
from fly_billing.money import counted
from fly_billing.object_store.address import Place
from fly_billing.periods import BillingMonth, open_months
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing import refuse_empty_share
from fly_billing.usage.landing_folder import list_files, size_of
from fly_billing.worklist.due import days_to_land

# An update that failed, and an organization that could not be billed, would fail again with the same files, usage and
# terms. They are tried again after this time.
PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Changes:
    """The work that an update of the open months would have to do.

    Attributes:
        at: When it was looked: files that arrived later are not in it.
        days: The landing days with files that did not land, or that differ from those that landed.
        months: The open months with landed usage that was not rolled up.
        terms: A hash of everything else that invoices are calculated from; it differs after any change.
        files: A hash of the files of `days`; the same as long as the same files wait.
        failed: By open month: the billing groups of payers that could not be billed an hour ago or earlier.
    """

    at: datetime
    days: Sequence[date]
    months: Sequence[BillingMonth]
    terms: str
    files: str
    failed: Mapping[BillingMonth, Sequence[str]]

    @property
    def fingerprint(self) -> str:
        """A hash of all but `failed`: an update that failed would meet the same again."""
        return fingerprint_of((list(self.days), [str(month) for month in self.months], self.terms, self.files))

    @property
    def sentence(self) -> str:
        days, months = counted(len(self.days), "landing day"), ", ".join(map(str, self.months)) or "none"
        failed = ", ".join(map(str, self.failed)) or "none"
        return (
            f"{days} with new or changed files, months with usage to roll up: {months}, months with organizations to"
            f" bill again: {failed}"
        )


def find_changes(database: BillingDatabase, landing_dir: Place, now: datetime, grace: timedelta) -> Changes:
    """Find what changed in the open months since they were billed last.

    It looks into the folders of landing days from the first open month on. Usage of a closed month waits for the hourly
    landing.

    Raises:
        LandingError: The landing folder can't be read, or it is empty although files landed from it before.
    """
    refuse_empty_share(database, landing_dir)
    months = open_months(now, grace)
    days = days_to_land(database, landing_dir, now, since=months[0].first_day)
    (terms,) = database.values("state_of_terms")
    failed = groups_to_bill_again(database, months, now)
    return Changes(now, days, months_with_new_usage(database, months), terms, _listing(landing_dir, days), failed)


def groups_to_bill_again(
    database: BillingDatabase, months: Sequence[BillingMonth], now: datetime
) -> dict[BillingMonth, list[str]]:
    """Return the billing groups of the payers that could not be billed and were last tried before the pause."""
    starts = [month.first_day for month in months]
    found = database.rows("groups_to_bill_again", months=starts, before=now - PAUSE)
    return {BillingMonth.containing(row["month"]): row["groups"] for row in found}


def months_with_new_usage(database: BillingDatabase, months: Sequence[BillingMonth]) -> list[BillingMonth]:
    """List those of these months with usage that landed after their last roll-up."""
    found = database.values("months_with_new_usage", months=[month.first_day for month in months])
    return [BillingMonth.containing(start) for start in found]


def _listing(landing_dir: Place, days: Sequence[date]) -> str:
    """Return a hash of the names and sizes of the files of these days."""
    listed: list[tuple[str, str, int | str]] = []
    for day in days:
        try:
            listed += [
                (day.isoformat(), file.name, file.problem or size_of(file)) for file in list_files(landing_dir, day)
            ]
        except OSError as problem:
            listed.append((day.isoformat(), "", str(problem)))
    return fingerprint_of(sorted(map(str, listed)))
