"""Imports one FOCUS export: organizations, prices and one-off items into Postgres, usage into the landing folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from fly_billing.focus.imports.identity import ExportComparison, ImportedCharge, compare, covered_days, covers
from fly_billing.focus.imports.prices import price_book_of
from fly_billing.focus.imports.records import (
    KnownOneOffs,
    add_one_off_items,
    add_organizations,
    imported_at_other_cost,
    known_currencies,
    known_one_offs,
    known_prices,
    organization_ids,
)
from fly_billing.focus.imports.rows import (
    FocusImportError,
    FocusRow,
    RejectedFocusRow,
    read_focus_rows,
    reject_mixed_currencies,
)
from fly_billing.focus.imports.usage_files import (
    DayRows,
    charges_of,
    known_usage,
    plan_usage_files,
    write_in_one_step,
)
from fly_billing.money import counted
from fly_billing.output_files import make_folder
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit
from fly_billing.pricing.price_books import load_price_book

__all__ = ["FocusImport", "FocusImportError", "import_focus"]


@dataclass(frozen=True)
class FocusImport:
    """The outcome of an import. The next steps are to land `landing_days` and to bill `months`.

    Attributes:
        rows: The number of rows: `usage`, `one_off` and `rejected` together.
        new, known, changed: The numbers of rows that were never imported, that were imported before, and that replace
            a row of an earlier import.
        vanished: The number of charges of earlier imports that this export no longer has. They are reversed.
        kept: The number of vanished charges that are not reversed, because some rows of the export can't be read.
        written: The files of usage in the landing folder.

    Raises:
        AssertionError: The numbers don't account for every row.
    """

    files: tuple[Path, ...]
    rows: int
    usage: int
    one_off: int
    new: int
    known: int
    changed: int
    vanished: int
    kept: int
    rejected: tuple[RejectedFocusRow, ...]
    organizations: tuple[str, ...]
    new_organizations: int
    new_prices: int
    landing_days: tuple[date, ...]
    months: tuple[BillingMonth, ...]
    written: tuple[Path, ...]

    def __post_init__(self) -> None:
        accounted = self.usage + self.one_off, self.new + self.known + self.changed
        if accounted != (self.rows - len(self.rejected),) * 2:
            raise AssertionError(
                f"{self.files[0].name}: {self.rows} rows, {len(self.rejected)} of them rejected, but {self.usage} usage"
                f" and {self.one_off} one-off, and {self.new} new, {self.known} known and {self.changed} changed"
            )


def import_focus(
    database: BillingDatabase,
    landing_dir: Path,
    *files: Path,
    max_org_partitions: int,
    shared_groups: int,
    now: datetime,
    cost: str = "list",
    progress: Callable[[str], None] = lambda text: None,
) -> FocusImport:
    """Import an export, which may consist of several files. Importing it again changes nothing.

    In each billing month, an export is complete for the sub-accounts that it names and for the days from its first
    charge to its last. Earlier imports of these days are compared with it (see `identity`), and replaced where they
    differ.

    Args:
        database: The billing database.
        landing_dir: The landing folder of usage files.
        files: The files of the export.
        max_org_partitions: The number of organizations that get their own billing group.
        shared_groups: The number of shared billing groups.
        now: An aware datetime. Charges for later days are rejected.
        cost: "list" rates usage at its list price. "billed" makes a one-off item of each row's BilledCost, with the
            discounts, credits and taxes of the provider's invoice. A charge can't be imported both ways.
        progress: Called with a line of text after each step.

    Raises:
        FocusImportError: A file is not a FOCUS file, or charges were imported with the other `cost`. Nothing changed.
    """
    read, unreadable = read_focus_rows(files, now, cost)
    names = ", ".join(file.name for file in files)
    progress(f"read {counted(len(read) + len(unreadable), 'row')} of {names}")
    make_folder(landing_dir)  # a month must be landed before it is billed, even without usage
    with database.transaction() as connection:
        lock_until_commit(connection, "import_focus")
        export = _compare_with_earlier_imports(connection, landing_dir, read, unreadable, cost)
        stored = _store(connection, landing_dir, export, cost, max_org_partitions, shared_groups)
    progress(
        f"{counted(len(export.organizations), 'organization')} ({stored.organizations} new),"
        f" {counted(stored.prices, 'new price')}, {counted(stored.one_offs, 'one-off item')}"
    )
    rejected = sorted([*unreadable, *export.mixed_currencies], key=lambda row: (row.file, row.line))
    _write_rejected_rows(landing_dir, files, rejected)
    progress(f"wrote {counted(len(stored.usage_files), 'usage file')}; rejected {counted(len(rejected), 'row')}")
    return _report(files, len(read) + len(unreadable), export, stored, rejected)


@dataclass(frozen=True)
class _ComparedExport:
    """The readable rows of an export, compared with earlier imports.

    Attributes:
        mixed_currencies: Rows that are rejected because their sub-account is billed in another currency.
        organizations: The organization's id by sub-account id.
    """

    rows: Sequence[FocusRow]
    mixed_currencies: Sequence[RejectedFocusRow]
    organizations: Mapping[str, str]
    known: _Known
    comparison: ExportComparison

    @property
    def usage(self) -> list[FocusRow]:
        return [row for row in self.rows if row.is_usage]

    def rows_to_add(self, *, is_usage: bool) -> list[FocusRow]:
        """Return the new and changed rows that are usage, or those that are one-off items."""
        added = self.comparison.new | self.comparison.changed
        return [row for row in self.rows if row.is_usage == is_usage and row.id in added]


def _compare_with_earlier_imports(
    connection: Connection,
    landing_dir: Path,
    read: Sequence[FocusRow],
    unreadable: Sequence[RejectedFocusRow],
    cost: str,
) -> _ComparedExport:
    """Read the earlier imports of the export's days and compare. Raises FocusImportError for one at another cost."""
    organizations = organization_ids(connection, read)
    rows, mixed = reject_mixed_currencies(read, known_currencies(connection, organizations))
    covered = covered_days((row.scope, row.starts_at.date()) for row in rows)
    known = _known(connection, landing_dir, organizations, covered, cost)
    unnamed = _match_unnamed_one_offs(rows, known.one_offs, organizations)
    comparison = compare(
        [_charge(row) for row in rows],
        [*known.charges, *map(_charge, unnamed)],
        covered,
        is_whole=all(row.reason == "in_future" for row in unreadable),
    )
    return _ComparedExport(rows, mixed, organizations, known, comparison)


def _match_unnamed_one_offs(
    rows: Sequence[FocusRow], known: KnownOneOffs, organizations: Mapping[str, str]
) -> list[FocusRow]:
    """Return the rows that an older import has already stored as one-off items without the charge's id."""
    return [
        row
        for row in rows
        if not row.is_usage
        and row.id not in known.charges
        and known.take_unnamed(row, organizations[row.sub_account_id])
    ]


@dataclass(frozen=True)
class _StoredExport:
    """The numbers of organizations, prices and one-off items that an import added, and its files of usage."""

    organizations: int
    prices: int
    one_offs: int
    usage_files: Sequence[Path]


def _store(
    connection: Connection,
    landing_dir: Path,
    export: _ComparedExport,
    cost: str,
    max_org_partitions: int,
    shared_groups: int,
) -> _StoredExport:
    """Add the organizations, prices and one-off items to Postgres and write the usage to the landing folder."""
    organizations, known, taken_back = export.organizations, export.known, export.comparison.taken_back
    one_offs = export.rows_to_add(is_usage=False)
    new = add_organizations(connection, export.rows, organizations, max_org_partitions, shared_groups)
    book = price_book_of(export.usage, known_prices(connection))
    load_price_book(connection, book)
    add_one_off_items(connection, one_offs, taken_back, known.one_offs, organizations, cost)
    usage = export.rows_to_add(is_usage=True)
    planned = plan_usage_files(landing_dir, known.usage, usage, organizations, taken_back)
    # Written under the lock, because the next import reads these files. If the commit fails, import again: the import
    # finds the usage in place and adds the records that Postgres lacks.
    for path, content in planned.items():
        write_in_one_step(path, content)
    return _StoredExport(new, len(book.prices), len(one_offs), tuple(planned))


def _write_rejected_rows(landing_dir: Path, files: Sequence[Path], rejected: Sequence[RejectedFocusRow]) -> None:
    """Write each file's rejected rows beside the landing folder. Delete the list of a file without rejected rows."""
    for file in files:
        rows_of_file = [row for row in rejected if row.file == file.name]
        _write_rejected(landing_dir.parent / "focus_rejected" / f"{file.name}.jsonl", rows_of_file)


def _report(
    files: tuple[Path, ...],
    rows: int,
    export: _ComparedExport,
    stored: _StoredExport,
    rejected: Sequence[RejectedFocusRow],
) -> FocusImport:
    usage, comparison = export.usage, export.comparison
    days = {row.starts_at.date() + timedelta(days=1) for row in usage}
    days |= {date.fromisoformat(path.parent.name) for path in stored.usage_files}
    return FocusImport(
        files=files,
        rows=rows,
        usage=len(usage),
        one_off=len(export.rows) - len(usage),
        new=len(comparison.new),
        known=len(comparison.known),
        changed=len(comparison.changed),
        vanished=len(comparison.vanished),
        kept=len(comparison.kept),
        rejected=tuple(rejected),
        organizations=tuple(sorted({export.organizations[row.sub_account_id] for row in export.rows})),
        new_organizations=stored.organizations,
        new_prices=stored.prices,
        landing_days=tuple(sorted(days)),
        months=tuple(sorted({BillingMonth.containing(row.starts_at) for row in export.rows})),
        written=tuple(stored.usage_files),
    )


@dataclass(frozen=True)
class _Known:
    usage: Mapping[date, DayRows]
    one_offs: KnownOneOffs
    charges: Sequence[ImportedCharge]


def _known(
    connection: Connection,
    landing_dir: Path,
    organizations: Mapping[str, str],
    covered: Mapping[str, tuple[date, date]],
    cost: str,
) -> _Known:
    """Read earlier imports' charges for these days and scopes. Raises FocusImportError for one at another cost."""
    if not covered:
        return _Known({}, KnownOneOffs({}, {}, {}, Counter()), ())
    usage = known_usage(landing_dir, covered.values())
    one_offs = known_one_offs(connection, list(organizations.values()), covered, cost)
    metered = [charge for charge in charges_of(usage) if covers(covered, charge)]
    if metered and cost != "list":
        raise imported_at_other_cost("list")
    return _Known(usage, one_offs, [*metered, *(one_offs.charges[identity] for identity in one_offs.in_force)])


def _charge(row: FocusRow) -> ImportedCharge:
    return ImportedCharge(row.id, row.scope.key, row.starts_at.date())


def _write_rejected(path: Path, rejected: Sequence[RejectedFocusRow]) -> None:
    if rejected:
        write_in_one_step(path, "".join(f"{json.dumps(asdict(row))}\n" for row in rejected).encode())
    else:
        path.unlink(missing_ok=True)
