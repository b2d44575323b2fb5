"""Imports one FOCUS file: organizations, prices and one-off items into Postgres, usage into the landing folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

from fly_billing.domain.periods import BillingMonth
from fly_billing.focus_import.prices import price_book_of
from fly_billing.focus_import.records import (
    add_one_off_items,
    add_organizations,
    known_currencies,
    known_one_offs,
    known_prices,
    organization_ids,
)
from fly_billing.focus_import.rows import (
    FocusImportError,
    FocusRow,
    RejectedRow,
    read_focus_rows,
    reject_mixed_currencies,
)
from fly_billing.focus_import.usage_files import plan_usage_files, write_in_one_step
from fly_billing.resources.postgres import BillingDatabase, lock_until_commit
from fly_billing.resources.price_books import load_price_book

__all__ = ["FocusImport", "FocusImportError", "import_focus"]


@dataclass(frozen=True)
class FocusImport:
    """What became of every row of the file, and what is to be done next: land `landing_days`, bill `months`.

    Raises AssertionError where a row is not accounted for.
    """

    file: Path
    rows: int
    usage: int
    one_off: int
    rejected: tuple[RejectedRow, ...]
    organizations: tuple[str, ...]
    new_organizations: int
    new_prices: int
    landing_days: tuple[date, ...]
    months: tuple[BillingMonth, ...]
    files: tuple[Path, ...]

    def __post_init__(self) -> None:
        if self.rows != self.usage + self.one_off + len(self.rejected):
            raise AssertionError(
                f"{self.file.name}: {self.rows} rows, but {self.usage} usage, {self.one_off} one-off and"
                f" {len(self.rejected)} rejected"
            )


def import_focus(
    database: BillingDatabase,
    landing_dir: Path,
    file: Path,
    *,
    max_org_partitions: int,
    shared_groups: int,
    now: datetime,
    cost: str = "list",
    progress: Callable[[str], None] = lambda text: None,
) -> FocusImport:
    """Import the file; importing it again changes nothing. Charges for days after `now` (aware) are rejected.

    `cost` says what its rows are billed at: "list", their list price, usage as usage; or "billed", as one-off items of
    their BilledCost: what the provider's invoices said, with discounts, credits and taxes. One of the two for a file.
    Raises FocusImportError, before anything is changed, where it is no FOCUS file or one of its name was imported with
    other content.
    """
    read, rejected = read_focus_rows(file, now, cost)
    total = len(read) + len(rejected)
    progress(f"read {total} rows of {file.name}")
    with database.transaction() as connection:
        lock_until_commit(connection, "import_focus")
        organizations = organization_ids(connection, read)
        rows, mixed = reject_mixed_currencies(read, known_currencies(connection, organizations))
        usage = [row for row in rows if row.is_usage]
        one_offs = [row for row in rows if not row.is_usage]
        source = f"focus:{file.name}"
        _refuse_other_content(file, usage, one_offs, known_one_offs(connection, source, rows))
        planned = plan_usage_files(landing_dir, file.name, usage, organizations)
        new = add_organizations(connection, rows, organizations, max_org_partitions, shared_groups)
        book = price_book_of(usage, known_prices(connection))
        load_price_book(connection, book)
        add_one_off_items(connection, source, one_offs, organizations)
    progress(
        f"{len(organizations)} organizations ({new} new), {len(book.prices)} new prices, {len(one_offs)} one-off items"
    )
    landing_dir.mkdir(parents=True, exist_ok=True)  # a month is landed before it is billed, also without any usage
    for path, content in planned.items():
        write_in_one_step(path, content)
    rejected = sorted([*rejected, *mixed], key=lambda row: row.line)
    _write_rejected(landing_dir.parent / "focus_rejected" / f"{file.name}.jsonl", rejected)
    progress(f"wrote {len(usage)} usage events into {len(planned)} files; {len(rejected)} rows rejected")
    return FocusImport(
        file=file,
        rows=total,
        usage=len(usage),
        one_off=len(one_offs),
        rejected=tuple(rejected),
        organizations=tuple(sorted({organizations[row.sub_account_id] for row in rows})),
        new_organizations=new,
        new_prices=len(book.prices),
        landing_days=tuple(sorted({date.fromisoformat(path.parent.name) for path in planned})),
        months=tuple(sorted({BillingMonth.containing(row.starts_at) for row in rows})),
        files=tuple(planned),
    )


def _refuse_other_content(
    file: Path, usage: Sequence[FocusRow], one_offs: Sequence[FocusRow], known: Mapping[str, Decimal]
) -> None:
    """Refuse a row that was imported as something else (usage as what it was billed at): both would be billed."""
    wrong = [row.line for row in usage if row.id in known]
    wrong += [row.line for row in one_offs if row.id in known and known[row.id] != row.amount]
    if wrong:
        raise FocusImportError(
            f"a file {file.name} was imported before, and line {min(wrong)} of it became another amount then: import it"
            " at the same cost (list or billed) as before, or only what is new, under another file name"
        )


def _write_rejected(path: Path, rejected: Sequence[RejectedRow]) -> None:
    if rejected:
        write_in_one_step(path, "".join(f"{json.dumps(asdict(row))}\n" for row in rejected).encode())
    else:
        path.unlink(missing_ok=True)
