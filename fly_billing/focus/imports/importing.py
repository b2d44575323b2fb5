"""Imports one FOCUS export: organizations, prices and one-off items into Postgres, usage into the landing folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection

from fly_billing.focus.imports.identity import ImportedCharge, compare, covered_days, covers
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
    RejectedRow,
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
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit
from fly_billing.pricing.price_books import load_price_book

__all__ = ["FocusImport", "FocusImportError", "import_focus"]


@dataclass(frozen=True)
class FocusImport:
    """What became of every row of the export, and what is to be done next: land `landing_days`, bill `months`.

    Rows are `new`, `known` (imported before) or `changed` (in place of one that was), or rejected. `vanished` are
    charges of earlier imports that this export should have and has not: they are taken back, but for `kept` of them.
    Raises AssertionError where a row is not accounted for.
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
    rejected: tuple[RejectedRow, ...]
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
    """Import an export, which may be in several files; importing it again changes nothing.

    Charges for days after `now` (aware) are rejected. Of the sub-accounts that it names and the days from its first
    charge to its last, in each billing month, it is taken for the whole: what earlier imports had of them is compared
    with it (`identity`), and replaced where it differs.
    `cost` says what its rows are billed at: "list", their list price, usage as usage; or "billed", as one-off items of
    their BilledCost: what the provider's invoices said, with discounts, credits and taxes. One of the two for a charge.
    Raises FocusImportError, before anything is changed, where a file is no FOCUS file or charges were imported at the
    other cost.
    """
    read, unreadable = read_focus_rows(files, now, cost)
    names = ", ".join(file.name for file in files)
    progress(f"read {len(read) + len(unreadable)} rows of {names}")
    landing_dir.mkdir(parents=True, exist_ok=True)  # a month is landed before it is billed, also without any usage
    with database.transaction() as connection:
        lock_until_commit(connection, "import_focus")
        organizations = organization_ids(connection, read)
        rows, mixed = reject_mixed_currencies(read, known_currencies(connection, organizations))
        usage = [row for row in rows if row.is_usage]
        covered = covered_days((row.scope, row.starts_at.date()) for row in rows)
        known = _known(connection, landing_dir, organizations, covered, cost)
        unnamed = {
            row.id
            for row in rows
            if not row.is_usage
            and row.id not in known.one_offs.charges
            and known.one_offs.take_unnamed(row, organizations[row.sub_account_id])
        }
        compared = compare(
            [_charge(row) for row in rows],
            [*known.charges, *(_charge(row) for row in rows if row.id in unnamed)],
            covered,
            is_whole=all(row.reason == "in_future" for row in unreadable),
        )
        added = compared.new | compared.changed
        one_offs = [row for row in rows if not row.is_usage and row.id in added]
        new = add_organizations(connection, rows, organizations, max_org_partitions, shared_groups)
        book = price_book_of(usage, known_prices(connection))
        load_price_book(connection, book)
        add_one_off_items(connection, one_offs, compared.taken_back, known.one_offs, organizations, cost)
        planned = plan_usage_files(
            landing_dir, known.usage, [row for row in usage if row.id in added], organizations, compared.taken_back
        )
        # Under the lock, as the next import reads them. Should the commit fail, importing again mends it.
        for path, content in planned.items():
            write_in_one_step(path, content)
    progress(
        f"{len(organizations)} organizations ({new} new), {len(book.prices)} new prices, {len(one_offs)} one-off items"
    )
    rejected = sorted([*unreadable, *mixed], key=lambda row: (row.file, row.line))
    for file in files:
        mine = [row for row in rejected if row.file == file.name]
        _write_rejected(landing_dir.parent / "focus_rejected" / f"{file.name}.jsonl", mine)
    progress(f"wrote {len(planned)} files of usage; {len(rejected)} rows rejected")
    days = {row.starts_at.date() + timedelta(days=1) for row in usage}
    days |= {date.fromisoformat(path.parent.name) for path in planned}
    return FocusImport(
        files=files,
        rows=len(read) + len(unreadable),
        usage=len(usage),
        one_off=len(rows) - len(usage),
        new=len(compared.new),
        known=len(compared.known),
        changed=len(compared.changed),
        vanished=len(compared.vanished),
        kept=len(compared.kept),
        rejected=tuple(rejected),
        organizations=tuple(sorted({organizations[row.sub_account_id] for row in rows})),
        new_organizations=new,
        new_prices=len(book.prices),
        landing_days=tuple(sorted(days)),
        months=tuple(sorted({BillingMonth.containing(row.starts_at) for row in rows})),
        written=tuple(planned),
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
    """Read what earlier imports had of these days and scopes. Raises FocusImportError for one at another cost."""
    if not covered:
        return _Known({}, KnownOneOffs({}, {}, {}, Counter()), ())
    usage = known_usage(landing_dir, covered.values())
    one_offs = known_one_offs(connection, list(organizations.values()), covered, cost)
    metered = [one for one in charges_of(usage) if covers(covered, one)]
    if metered and cost != "list":
        raise imported_at_other_cost("list")
    return _Known(usage, one_offs, [*metered, *(one_offs.charges[identity] for identity in one_offs.standing)])


def _charge(row: FocusRow) -> ImportedCharge:
    return ImportedCharge(row.id, row.scope.key, row.starts_at.date())


def _write_rejected(path: Path, rejected: Sequence[RejectedRow]) -> None:
    if rejected:
        write_in_one_step(path, "".join(f"{json.dumps(asdict(row))}\n" for row in rejected).encode())
    else:
        path.unlink(missing_ok=True)
