"""Reads organizations.csv: a row per organization, with the details for its invoices. Not here: terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fly_billing.pricing.csv_tables import read_csv_table
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.workspace.entries import OrganizationEntry
from fly_billing.workspace.reading import WorkspaceReading, encoding_problem

ORGANIZATIONS = "organizations.csv"
# The values that an empty cell stands for; otherwise none.
_EMPTY: Mapping[str, Any] = {"tax_ids": (), "collection": "charge_automatically"}
# Columns whose empty cells mean nothing: they are required, have another default, or stay as they are.
_STAYING = ("id", "name", "currency", "price_book", "created_at", "stripe_customer_id")
# The start of an organization whose file has none, for the check of its other fields.
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def read_organizations(reading: WorkspaceReading) -> list[tuple[str, OrganizationEntry]]:
    """Return the rows without mistakes, each with its place. Reports the mistakes."""
    path = reading.folder / ORGANIZATIONS
    if not path.is_file():
        return []
    if problem := encoding_problem(path) or _separator_problem(path):
        reading.report(ORGANIZATIONS, problem)
        return []
    found, columns = [], OrganizationEntry.model_fields.keys()
    unknown: set[str] = set()
    try:
        for row in read_csv_table(path):
            place = f"{ORGANIZATIONS}: line {row.line}: "
            unknown |= {name.strip() for name in row} - columns
            entry = reading.entry(OrganizationEntry, _cells(row), place)
            if isinstance(entry, OrganizationEntry):
                found.append((place, entry))
            else:
                reading.unread_organizations.add(row.get("id", "").strip())
    except ValueError as problem_of_table:
        reading.problems += str(problem_of_table).splitlines()
    for name in sorted(unknown):
        known = ", ".join(sorted(columns))
        reading.report(
            ORGANIZATIONS, f"line 1: unknown column {name!r}{did_you_mean(name, columns)}; known are {known}"
        )
    return found


def with_price_books(
    reading: WorkspaceReading, organizations: Sequence[tuple[str, OrganizationEntry]], only: str | None
) -> Iterator[tuple[str, OrganizationEntry]]:
    """Yield the organizations without mistakes, with a price book each.

    Args:
        only: The price book of a row that names none. None: it must name one.
    """
    for place, entry in organizations:
        complete = entry if entry.price_book else entry.model_copy(update={"price_book": only})
        problems = [] if complete.price_book else ["price_book is missing: there is not just one in price_book/"]
        problems += [problem for check in _CHECKS if complete.price_book and (problem := _problem_of(check, complete))]
        for problem in problems:
            reading.report(place, f"organization {entry.id}: {problem}")
        if problems:
            reading.unread_organizations.add(entry.id)
        else:
            yield place, complete


_CHECKS: tuple[Callable[[OrganizationEntry], Any], ...] = (
    lambda entry: entry.organization("", _SOME_TIME),
    lambda entry: entry.details(""),
)


def _problem_of(check: Callable[[OrganizationEntry], Any], entry: OrganizationEntry) -> str | None:
    try:
        check(entry)
    except ValueError as problem:
        return str(problem)
    return None


def _cells(row: Mapping[str, str]) -> dict[str, str | tuple[str, ...] | None]:
    """Return the values of the known columns. An empty cell clears its field, unless the field keeps what it is."""
    cells = {name.strip(): value.strip() or None for name, value in row.items()}
    return {
        name: _EMPTY.get(name) if value is None else value
        for name, value in cells.items()
        if name in OrganizationEntry.model_fields and (value is not None or name not in _STAYING)
    }


def _separator_problem(path: Path) -> str | None:
    header = next((line for line in path.read_text(encoding="utf-8-sig").splitlines() if not line.startswith("#")), "")
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in header and "," not in header:
            return f"line 1: its columns are separated by {name}: separate them by commas"
    return None
