"""Shows, exports and waives unresolved rejected usage: `fly-billing rejected` and `waive`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table

from fly_billing.cli.local_platform import local_platform
from fly_billing.cli.terminal import Terminal
from fly_billing.focus.spreadsheet_text import as_cell
from fly_billing.foreign_text import visible
from fly_billing.money import counted, plain
from fly_billing.output_files import csv_writer, output_file
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.rejections import (
    RejectedGroup,
    RejectedRow,
    RowPlace,
    list_rows,
    list_unresolved,
    waive,
)

COLUMNS = (
    "landing_day", "source", "file", "line", "reason", "message", "organization", "meter", "event_id", "time",
    "quantity",
)  # fmt: skip


def show_rejected(
    console: Terminal,
    month: BillingMonth | None,
    csv_file: Path | None,
    *,
    source: str | None,
    as_list: bool,
    as_json: bool,
    overwrite: bool,
) -> None:
    """Print the unresolved rejected rows by source and reason, or row by row, or write them to a CSV file.

    Args:
        source: Only those of this source of files, or of events with this CloudEvents `source`.
        as_json: Print one JSON document instead, with the rows if `as_list`.

    Raises:
        OutputExists, OutputNotWritten: The file can't be written.
    """
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        groups = list_unresolved(database, month, source)
        rows = list_rows(database, month, source) if as_list or csv_file else []
    if as_json:
        print(json.dumps(as_data(month, groups, rows if as_list else None), indent=2))
    if csv_file:
        write_csv_file(csv_file, rows, overwrite=overwrite)
        if not as_json:
            console.print(f"{counted(len(rows), 'unresolved rejected row')} written to {csv_file}", soft_wrap=True)
    elif as_json:
        return
    elif not groups:
        of_source = f" of {visible(source)}" if source else ""
        console.print(f"No rejected usage{of_source} is unresolved" + (f" in {month}." if month else "."))
    elif as_list:
        for row in rows:
            console.print(f"{row.landing_day}/{row.path}:{row.line} {row.reason}: {row.message}", soft_wrap=True)
    else:
        console.print(_table(groups))
        console.print(
            "The estimate rates these rows alone at each organization's prices, without free allowances, minimums,"
            " maximums, discounts and taxes. It is unknown if a row's organization, quantity or price can't be read.",
            soft_wrap=True,
        )
        console.print(
            "What to do: fix the files and run `fly-billing land`, correct sources.yaml and run `fly-billing land"
            " --rejected`, or run `fly-billing waive --source SOURCE --reason REASON --by NAME --because TEXT`.",
            soft_wrap=True,
        )


def waive_rows(
    console: Terminal,
    by: str,
    because: str,
    source: str | None,
    reason: str | None,
    row: RowPlace | None,
    month: BillingMonth | None,
) -> None:
    """Record the waiver. Raises NothingToWaive, ActionableError."""
    with local_platform() as settings:
        database = BillingDatabase(settings.database_url)
        number = waive(database, by, because, datetime.now(UTC), source=source, reason=reason, row=row, month=month)
    console.print(f"{by} waived {counted(number, 'rejected row')}. Rows that land later need another waiver.")


def write_csv_file(path: Path, rows: Sequence[RejectedRow], *, overwrite: bool = False) -> None:
    """Write the rows as CSV, in which no text is a formula. Raises OutputExists, OutputNotWritten."""
    with output_file(path, overwrite=overwrite) as binary, csv_writer(binary) as writer:
        writer.writerow(COLUMNS)
        writer.writerows(_cells(row) for row in rows)


def _cells(row: RejectedRow) -> list[str]:
    texts = (row.reason, row.message, row.organization_id, row.meter, row.event_id)
    return [
        row.landing_day.isoformat(),
        as_cell(row.usage_source),
        as_cell(row.path),
        str(row.line),
        *(as_cell(text or "") for text in texts),
        _time(row) or "",
        plain(row.quantity) if row.quantity is not None else "",
    ]


def as_data(
    month: BillingMonth | None, groups: Sequence[RejectedGroup], rows: Sequence[RejectedRow] | None
) -> dict[str, object]:
    """Return JSON-ready data. Amounts and quantities are exact text; an amount leaves out `unknown_rows`."""
    data: dict[str, object] = {
        "month": str(month) if month else None,
        "groups": [
            {
                "source": group.source,
                "reason": group.reason,
                "organizations": list(group.organizations),
                "rows_without_organization": group.unnamed_rows,
                "rows": group.rows,
                "first_landing_day": group.first_day.isoformat(),
                "last_landing_day": group.last_day.isoformat(),
                "estimate": {
                    "amounts": {code: plain(amount) for code, amount in sorted(group.estimate.amounts.items())},
                    "unknown_rows": group.estimate.unknown_rows,
                },
            }
            for group in groups
        ],
    }
    return data if rows is None else data | {"rows": [_row_data(row) for row in rows]}


def _row_data(row: RejectedRow) -> dict[str, object]:
    return {
        "landing_day": row.landing_day.isoformat(),
        "source": row.usage_source,
        "file": row.path,
        "line": row.line,
        "reason": row.reason,
        "message": row.message,
        "organization": row.organization_id,
        "meter": row.meter,
        "event_id": row.event_id,
        "time": _time(row),
        "quantity": plain(row.quantity) if row.quantity is not None else None,
    }


def _time(row: RejectedRow) -> str | None:
    return row.happened_at.astimezone(UTC).isoformat().replace("+00:00", "Z") if row.happened_at else None


def _table(groups: Sequence[RejectedGroup]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for name in ("Source", "Reason", "Organizations", "Rows", "Landing days", "Estimate"):
        table.add_column(name, justify="right" if name in ("Rows", "Estimate") else "left", overflow="fold")
    for group in groups:
        days = f"{group.first_day}" + (f" to {group.last_day}" if group.last_day != group.first_day else "")
        table.add_row(
            group.source, group.reason, _organizations(group), f"{group.rows:,}", days, group.estimate.in_words()
        )
    return table


def _organizations(group: RejectedGroup) -> str:
    unnamed = f"not readable in {counted(group.unnamed_rows, 'row')}" if group.unnamed_rows else ""
    return ", ".join(filter(None, [group.named_organizations, unnamed]))
