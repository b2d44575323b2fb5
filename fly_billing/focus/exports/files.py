"""Writes FOCUS rows as CSV or Parquet, a batch at a time.

In CSV, numbers are plain decimals, times end in Z, null is an empty field, and text that a spreadsheet would run as a
formula begins with an apostrophe. In Parquet, numbers are decimal128 and times are timestamps in UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.focus.exports.columns import COST_DECIMALS, QUANTITY_DECIMALS, Cell, columns_of
from fly_billing.focus.exports.rows import Row
from fly_billing.focus.spreadsheet_text import as_cell
from fly_billing.money import plain
from fly_billing.output_files import csv_writer, output_file

Write = Callable[[Sequence[Row]], None]

_TYPES = {
    "text": pa.string(),
    "time": pa.timestamp("us", "UTC"),
    "cost": pa.decimal128(38, COST_DECIMALS),
    "quantity": pa.decimal128(38, QUANTITY_DECIMALS),
}
FORMATS = ("csv", "parquet")


@contextmanager
def new_file(path: Path, file_format: str, version: str, *, overwrite: bool = False) -> Iterator[Write]:
    """Yield a function that writes rows. The file appears, complete, when the block ends without an error.

    Raises:
        OutputExists: The file exists and `overwrite` is False.
        OutputNotWritten: The file can't be written.
    """
    with output_file(path, overwrite=overwrite) as file, ExitStack() as stack:
        yield (_csv if file_format == "csv" else _parquet)(stack, file, version)


def _csv(stack: ExitStack, binary: IO[bytes], version: str) -> Write:
    columns = columns_of(version)
    writer = stack.enter_context(csv_writer(binary))
    writer.writerow(column.name for column in columns.values())

    def write(rows: Sequence[Row]) -> None:
        writer.writerows([_text(row[name]) for name in columns] for row in rows)

    return write


def _text(cell: Cell) -> str:
    if isinstance(cell, datetime):
        return cell.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(cell, Decimal):
        return plain(cell) if cell else "0"
    return as_cell(cell) if cell else ""


def _parquet(stack: ExitStack, binary: IO[bytes], version: str) -> Write:
    columns = columns_of(version)
    fields = [pa.field(column.name, _TYPES[column.kind]) for column in columns.values()]
    schema = pa.schema(fields, metadata={"focus_version": version})
    writer = stack.enter_context(pq.ParquetWriter(binary, schema, compression="zstd"))

    def write(rows: Sequence[Row]) -> None:
        named = [{column.name: row[name] for name, column in columns.items()} for row in rows]
        writer.write_table(pa.Table.from_pylist(named, schema=schema))

    return write
