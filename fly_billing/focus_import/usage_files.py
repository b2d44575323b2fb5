"""Writes the usage of a FOCUS file as CSV files of the landing folder: one per charge day, landing on the day after."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

from fly_billing.domain.billing_groups import slug
from fly_billing.domain.money import plain
from fly_billing.focus_import.prices import DIMENSIONS, meter_key
from fly_billing.focus_import.rows import FocusImportError, FocusRow

HEADER = ("id", "source", "type", "subject", "time", "quantity", *DIMENSIONS, "focus_line")


def plan_usage_files(
    landing_dir: Path, file_name: str, usage: Sequence[FocusRow], organizations: Mapping[str, str]
) -> dict[Path, bytes]:
    """Return what is to be written where. `organizations` has the organization's id by sub-account id.

    Raises FocusImportError where a file of this name was imported before with other usage: that would bill both.
    """
    by_day: dict[date, list[FocusRow]] = defaultdict(list)
    for row in usage:
        by_day[row.starts_at.date() + timedelta(days=1)].append(row)
    name = f"focus-{slug(file_name)}.csv"
    planned = {
        landing_dir / day.isoformat() / name: _content(f"focus:{file_name}", rows, organizations)
        for day, rows in sorted(by_day.items())
    }
    for path in sorted(landing_dir.glob(f"*/{name}")):
        if planned.get(path) != path.read_bytes():
            raise FocusImportError(
                f"a file {file_name} was imported before, and {path} of that import differs from this one. Import only"
                " what is new, under another file name; or take back the earlier import's files, if never billed"
            )
    return planned


def _content(source: str, rows: Sequence[FocusRow], organizations: Mapping[str, str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for row in rows:
        time = row.starts_at.isoformat().replace("+00:00", "Z")
        envelope = (row.id, source, meter_key(row.unit or ""), organizations[row.sub_account_id], time)
        price = plain(row.list_unit_price or Decimal(0))
        dimensions = (row.sku, price, row.currency, row.service, row.region)
        writer.writerow([*envelope, plain(row.quantity or Decimal(0)), *dimensions, row.line])
    return text.getvalue().encode()


def write_in_one_step(path: Path, content: bytes) -> None:
    """Write the file so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
