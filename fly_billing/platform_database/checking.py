"""Finds rows that are right alone but not together, and the organizations that therefore stay as they are.

Not here: mistakes that files and rows have in common (`workspace.rules.mistakes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fly_billing.periods import BillingMonth, moment_text
from fly_billing.platform_database.rows import PlatformRows
from fly_billing.platform_database.rules.refusals import RefusedRow, attributed, place_of
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.workspace.entries import Entry, OrganizationEntry
from fly_billing.workspace.rules.mistakes import Books, Named, mistakes_between
from fly_billing.workspace.rules.records import Record, comparable

Placed = tuple[RefusedRow, Entry]


@dataclass
class CheckedRows:
    """The rows of a platform's database, without those of organizations that have a mistake.

    Attributes:
        entries: Each with its row.
        refused: The rows with mistakes.
        read: The number of rows of each query.
        places: The row at each place with which an error can begin.
    """

    entries: Sequence[Placed]
    refused: list[RefusedRow]
    read: Mapping[str, int]
    places: Mapping[str, RefusedRow] = field(default_factory=dict)

    @property
    def held_back(self) -> set[str]:
        """The organizations that have a refused row. They stay as they are."""
        return {row.organization for row in self.refused if row.organization is not None}

    @property
    def unreadable(self) -> set[str]:
        """The queries with a row that may be of any organization: nothing of these queries may end."""
        return {row.query for row in self.refused if row.organization is None}

    def without(self, refused: Iterable[RefusedRow]) -> CheckedRows:
        """Return the rows without the organizations of these ones."""
        all_refused = [*self.refused, *refused]
        bad = {row.organization for row in all_refused}
        kept = [(row, entry) for row, entry in self.entries if row.organization not in bad]
        return replace(self, entries=kept, refused=all_refused)


def check_rows(rows: PlatformRows, books: Books) -> CheckedRows:
    """Refuse rows that name an unknown organization, price book or price, or another currency.

    Args:
        books: The prices of each loaded book.
    """
    places = {place_of(row.query, row.row or 0): row for row, _ in rows.entries}
    checked = CheckedRows(rows.entries, list(rows.refused), rows.read, places)
    checked = checked.without(_unknown(checked, books))
    organizations = rows.organizations
    checked = checked.without(_too_early(checked.entries, organizations))
    records = [record_of(row, entry, organizations) for row, entry in checked.entries]
    refused, _ = attributed(mistakes_between(records, Named(books)), places)
    return checked.without(refused)


def record_of(row: RefusedRow, entry: Entry, organizations: Mapping[str, OrganizationEntry]) -> Record:
    """Return the comparable record of a row. A charge without a currency is in its organization's."""
    values = entry.values()
    if "currency" in values and values["currency"] is None:
        values["currency"] = organizations[values["organization"]].currency
    identity = entry.record_key if isinstance(entry, OrganizationEntry) else str(entry.record("").id)
    return Record(entry.KIND, entry.record_key, values, identity, place_of(row.query, row.row or 0))


def _unknown(checked: CheckedRows, books: Books) -> Iterator[RefusedRow]:
    """Yield rows of organizations that have no row themselves, and organizations of a book without prices."""
    named = {entry.id for _, entry in checked.entries if isinstance(entry, OrganizationEntry)}
    bad = checked.held_back
    for row, entry in checked.entries:
        if isinstance(entry, OrganizationEntry):
            if entry.price_book not in books:
                loaded = ", ".join(sorted(books)) or "none"
                yield replace(
                    row,
                    problem=f"price_book {entry.price_book!r} is not loaded{did_you_mean(entry.price_book, books)};"
                    f" loaded are {loaded}: `fly-billing apply` loads those of the workspace",
                )
        elif row.organization not in named and row.organization not in bad:
            yield replace(
                row,
                problem=f"organization {row.organization!r} has no row in the result of `organizations`"
                f"{did_you_mean(row.organization, named)}: join both queries to the same organizations",
            )


def _too_early(entries: Sequence[Placed], organizations: Mapping[str, OrganizationEntry]) -> Iterator[RefusedRow]:
    for row, entry in entries:
        begins = getattr(entry, "started_at", None) or getattr(entry, "occurred_at", None)
        about = organizations.get(row.organization or "")
        since = about.created_at if about else None
        if begins and since and begins < BillingMonth.containing(since).start:
            yield replace(
                row,
                problem=f"it begins {comparable(begins)}, but {row.organization} is a customer from"
                f" {moment_text(since)} on: set `billed_from`, if others billed it before",
            )
