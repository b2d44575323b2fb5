"""Reads organizations.csv: a row per organization, with the details for its invoices. Not here: terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fly_billing.pricing.csv_tables import read_csv_table
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.workspace.entries import OrganizationEntry
from fly_billing.workspace.reading import PlacedEntry, WorkspaceReading, encoding_problem

ORGANIZATIONS = "organizations.csv"
# The values that an empty cell stands for; otherwise none.
_EMPTY: Mapping[str, Any] = {"tax_ids": (), "collection": "charge_automatically"}
# Columns whose empty cells mean nothing: they are required, have another default, or stay as they are.
_STAYING = ("id", "name", "currency", "price_book", "created_at", "stripe_customer_id")
_REQUIRED = {name for name, about in OrganizationEntry.model_fields.items() if about.is_required()}


def read_organizations(reading: WorkspaceReading) -> list[PlacedEntry]:
    """Return the rows, as far as they can be read. Reports the mistakes."""
    path = reading.folder / ORGANIZATIONS
    if not path.is_file():
        reading.unsure.add(OrganizationEntry.KIND)
        return []
    if problem := encoding_problem(path) or _separator_problem(path):
        reading.report(ORGANIZATIONS, problem)
        reading.unsure.add(OrganizationEntry.KIND)
        return []
    found: list[PlacedEntry] = []
    columns: set[str] = set()
    try:
        for row in read_csv_table(path):
            columns = {name.strip() for name in row}
            place = f"{ORGANIZATIONS}: line {row.line}: "
            if entry := reading.entry(OrganizationEntry, _cells(row), place, absent=_REQUIRED - columns):
                found.append(entry)
    except ValueError as problem_of_table:
        reading.problems += str(problem_of_table).splitlines()
        reading.unsure.add(OrganizationEntry.KIND)
    meant = _report_columns(reading, columns) if columns else set()
    return [replace(read, unread=read.unread | meant) for read in found]


def _report_columns(reading: WorkspaceReading, columns: set[str]) -> set[str]:
    """Report unknown columns, and required ones that are not there. Return the fields that unknown ones may mean."""
    fields = set(OrganizationEntry.model_fields)
    unknown, known = sorted(columns - fields), ", ".join(sorted(fields))
    meant = {field for field in fields - columns if any(did_you_mean(name, [field]) for name in unknown)}
    for name in unknown:
        suggestion = did_you_mean(name, fields)
        reading.report(ORGANIZATIONS, f"line 1: unknown column {name!r}{suggestion}; known are {known}")
    for name in sorted(_REQUIRED - columns - meant):
        reading.report(ORGANIZATIONS, f"line 1: column {name} is missing")
    return meant


def with_price_books(
    reading: WorkspaceReading, organizations: Sequence[PlacedEntry], only: str | None
) -> Iterator[PlacedEntry]:
    """Yield the organizations with a price book each. Reports those that need to name theirs.

    Args:
        only: The price book of a row that names none. None: it must name one.
    """
    for read in organizations:
        entry = read.entry
        if not isinstance(entry, OrganizationEntry) or entry.price_book or "price_book" in read.unread:
            yield read
        elif only is not None:
            yield replace(read, entry=entry.model_copy(update={"price_book": only}))
        else:
            problem = "price_book is missing: there is not just one in price_book/"
            reading.report(read.place, f"organization {read.key}: {problem}")
            yield replace(read, unread=read.unread | {"price_book"})


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
