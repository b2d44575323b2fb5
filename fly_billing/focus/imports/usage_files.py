"""Stores the usage of FOCUS exports as CSV files in the landing folder: one per charge day, landed on the next day.

A day's file has the current charges of all exports. A corrected charge is replaced and a vanished one removed, and the
day lands again, as with any corrected usage.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from operator import itemgetter
from pathlib import Path

from fly_billing.focus.imports.identity import ImportedCharge
from fly_billing.focus.imports.prices import DIMENSIONS, meter_key
from fly_billing.focus.imports.rows import FocusImportError, FocusRow
from fly_billing.money import plain
from fly_billing.output_files import make_folder

HEADER = ("id", "source", "type", "subject", "time", "quantity", *DIMENSIONS, "focus_scope")
NAME = "focus_charges.csv"
SOURCE = "focus"
# A day's rows by their id, each with the cells of HEADER.
DayRows = dict[str, tuple[str, ...]]


def known_usage(landing_dir: Path, covered: Collection[tuple[date, date]]) -> dict[date, DayRows]:
    """Read the usage of earlier imports for these charge days.

    Raises:
        FocusImportError: Something else changed a file, or an earlier version of this importer wrote it.
    """
    days = {first + timedelta(days=n) for first, last in covered for n in range((last - first).days + 1)}
    usage: dict[date, DayRows] = {}
    for day in sorted(days):
        folder = landing_dir / (day + timedelta(days=1)).isoformat()
        _refuse_files_of_earlier_version(folder)
        if (folder / NAME).exists():
            usage[day] = _read(folder / NAME)
    return usage


def _refuse_files_of_earlier_version(folder: Path) -> None:
    for path in sorted(folder.glob("focus-*.csv")):
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().rstrip("\n").endswith(",focus_line"):
                raise FocusImportError(
                    f"{path} was written by an import of an earlier version of fly_billing; its charges would be billed"
                    " twice. Move such files away and import their exports again: billed amounts do not change"
                )


def _read(path: Path) -> DayRows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            if tuple(next(reader, ())) != HEADER:
                raise FocusImportError(f"{path} was not written by an import: its header differs. Move it away")
            rows = {row[0]: tuple(row) for row in reader}
    except (OSError, csv.Error, UnicodeDecodeError, IndexError) as problem:
        raise FocusImportError(f"{path} can't be read, but has usage of earlier imports: {problem}") from problem
    if any(len(row) != len(HEADER) for row in rows.values()):
        raise FocusImportError(f"{path} is damaged: a row has missing or extra cells. Import its export again")
    return rows


def charges_of(days: Mapping[date, DayRows]) -> list[ImportedCharge]:
    return [ImportedCharge(row[0], row[-1], day) for day, rows in days.items() for row in rows.values()]


def plan_usage_files(
    landing_dir: Path,
    known: Mapping[date, DayRows],
    usage: Sequence[FocusRow],
    organizations: Mapping[str, str],
    taken_back: Collection[str],
) -> dict[Path, bytes]:
    """Return the files to write, with their content. `organizations` has the organization id of each sub-account id."""
    days: dict[date, DayRows] = defaultdict(dict)
    for day, before in known.items():
        days[day] = {charge_id: cells for charge_id, cells in before.items() if charge_id not in taken_back}
    for charge in usage:
        days[charge.starts_at.date()].setdefault(charge.id, _cells(charge, organizations[charge.sub_account_id]))
    return {
        landing_dir / (day + timedelta(days=1)).isoformat() / NAME: _content(rows.values())
        for day, rows in sorted(days.items())
        if rows != known.get(day)
    }


def _cells(row: FocusRow, organization: str) -> tuple[str, ...]:
    time = row.starts_at.isoformat().replace("+00:00", "Z")
    price = plain(row.list_unit_price or Decimal(0))
    quantity = plain(row.quantity or Decimal(0))
    dimensions = (row.sku, price, row.currency, row.service, row.region)
    return (row.id, SOURCE, meter_key(row.unit or ""), organization, time, quantity, *dimensions, row.scope.key)


def _content(rows: Iterable[tuple[str, ...]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(HEADER)
    in_order = sorted(rows, key=itemgetter(HEADER.index("time"), 0))
    writer.writerows(in_order)
    return text.getvalue().encode()


def write_in_one_step(path: Path, content: bytes) -> None:
    """Write the file at once, so that a reader never sees half of it."""
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
