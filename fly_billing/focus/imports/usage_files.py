"""Keeps the usage of FOCUS exports as CSV files of the landing folder: one per charge day, landing on the day after.

A day's file has what all exports say of it by now. A charge that was corrected or taken back is replaced there, and the
day lands again: that is how any usage is corrected.
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
    """Read what earlier imports left for these charge days, by charge day.

    Raises FocusImportError where a file was changed by somebody else, or an import of an earlier version wrote one.
    """
    days = {first + timedelta(days=n) for first, last in covered for n in range((last - first).days + 1)}
    found: dict[date, DayRows] = {}
    for day in sorted(days):
        folder = landing_dir / (day + timedelta(days=1)).isoformat()
        _refuse_files_of_before(folder)
        if (folder / NAME).exists():
            found[day] = _read(folder / NAME)
    return found


def _refuse_files_of_before(folder: Path) -> None:
    for path in sorted(folder.glob("focus-*.csv")):
        with path.open(encoding="utf-8", errors="replace") as file:
            if file.readline().rstrip("\n").endswith(",focus_line"):
                raise FocusImportError(
                    f"{path} is of an import that an earlier version of fly_billing made; its charges would be billed"
                    " twice. Move such files away and import what they were made from again: what is billed stays the"
                    " same"
                )


def _read(path: Path) -> DayRows:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file, strict=True)
            if tuple(next(reader, ())) != HEADER:
                raise FocusImportError(f"{path} is not what an import wrote: its header is another one. Move it away")
            rows = {row[0]: tuple(row) for row in reader}
    except (OSError, csv.Error, UnicodeDecodeError, IndexError) as problem:
        raise FocusImportError(f"{path} can't be read, and has what was imported before: {problem}") from problem
    if any(len(row) != len(HEADER) for row in rows.values()):
        raise FocusImportError(f"{path} is not what an import wrote: a row is torn. Import what it was made from again")
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
    """Return the files that change, with their content. `organizations`: the organization's id by sub-account id."""
    days: dict[date, DayRows] = defaultdict(dict)
    for day, before in known.items():
        days[day] = {one: cells for one, cells in before.items() if one not in taken_back}
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
    """Write the file so that a reader never sees half of it."""
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
