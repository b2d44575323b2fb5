"""Compares landing days with the files that landed before, so that only new files are read.

A day can stay as it is if all files that landed are there with the same content, and would be judged in the same way
today: by the same meters, contracts and code, with no row that waits for something. Files that are new in such a day
can be added to it. Every other day lands whole.

Not here: landing whole days (`landing`) and new files (`landing_additions`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection

from fly_billing.code_version import code_version
from fly_billing.fingerprints import fingerprint_of
from fly_billing.object_store.address import Place
from fly_billing.object_store.objects import ChangedObject
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import records, values
from fly_billing.usage.landing_folder import UNREAD, LandingFile, content_of, list_files, size_of
from fly_billing.usage.landing_rows import LandedFile, LandingMeter
from fly_billing.usage.rules.declared_sources import DeclaredSources

# An object store lists times in seconds, by its own clock. An object that was read this long after it was written can't
# be replaced without getting another time, as clocks differ by less. (One exception: two uploads in parts, of one size,
# that began in the same second.)
MARGIN = timedelta(minutes=15)
# Earlier days rarely land, so their objects are always compared.
OFTEN_LANDED = timedelta(days=1)


@dataclass(frozen=True)
class _SettledObject:
    """An object that is as it landed if the store still lists this time."""

    day: date
    path: str
    stored_at: datetime


def rules_fingerprint(meters: Sequence[LandingMeter], declared: DeclaredSources, first_month: BillingMonth) -> str:
    """Return the fingerprint of everything but the files that decides how rows are judged.

    Organizations are not in it: a row that was accepted stays so, as an organization is never created later than it
    was, and rows that were rejected without one land again by `days_to_land_again`.
    """
    return fingerprint_of((code_version(), list(meters), declared, first_month))


def read_landed_files(connection: Connection, days: Sequence[date]) -> list[LandedFile]:
    """Return the files of these landing days with the outcome of their rows."""
    return list(records(connection, LandedFile, "landed_files_of", days=list(days)))


def find_additions(
    connection: Connection, landing_dir: Place, days: Sequence[date], rules: str, now: datetime
) -> dict[date, list[LandingFile]]:
    """Return the new files of each day whose earlier files are as they landed; none for an unchanged day.

    Days that have to land whole are not in it.

    Args:
        rules: From `rules_fingerprint`.
    """
    waiting = set(values(connection, "days_to_land_again"))
    days = [day for day in values(connection, "days_judged_by", days=list(days), rules=rules) if day not in waiting]
    landed: dict[date, dict[str, LandedFile]] = defaultdict(dict)
    for file in read_landed_files(connection, days):
        landed[file.day][file.path] = file
    objects = records(
        connection, _SettledObject, "settled_objects", days=days, margin=MARGIN, since=(now - OFTEN_LANDED).date()
    )
    settled = {(found.day, found.path): found.stored_at for found in objects}
    found = {day: _new_files(landing_dir, day, landed[day], settled) for day in days}
    return {day: files for day, files in found.items() if files is not None}


def _new_files(
    landing_dir: Place, day: date, landed: Mapping[str, LandedFile], settled: Mapping[tuple[date, str], datetime]
) -> list[LandingFile] | None:
    """Return the files that did not land yet; None if one that landed is gone, differs or can't be read."""
    try:
        files = list_files(landing_dir, day)
        known = [file for file in files if file.name in landed]
        if len(known) < len(landed) or any(_is_other(file, landed[file.name], settled) for file in known):
            return None
    except (OSError, ChangedObject):
        return None
    return [file for file in files if file.name not in landed]


def _is_other(file: LandingFile, landed: LandedFile, settled: Mapping[tuple[date, str], datetime]) -> bool:
    if file.problem or landed.sha256 == UNREAD.sha256 or size_of(file) != landed.bytes:
        return True
    if file.stored and file.stored.modified_at == settled.get((file.day, file.name)):
        return False
    return content_of(file).sha256 != landed.sha256
