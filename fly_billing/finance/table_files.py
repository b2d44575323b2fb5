"""Writes a table of finance as CSV or Parquet.

In CSV, cents are whole numbers, exact amounts plain decimals, times end in Z, and text that a spreadsheet would run as
a formula begins with an apostrophe. In Parquet, cents are int64, exact amounts decimal128 and times timestamps in UTC.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.errors import ActionableError
from fly_billing.finance.rules.tables import Column, FinanceTable
from fly_billing.focus.spreadsheet_text import as_cell
from fly_billing.output_files import csv_writer, output_file

# The most decimals of an exact amount in Parquet. A decimal128 has 38 digits, so 14 are before the decimal point.
AMOUNT_DECIMALS = 24
# The most decimals of a currency's minor unit.
MONEY_DECIMALS = 3
_TYPES = {
    "text": pa.string(),
    "count": pa.int64(),
    "cents": pa.int64(),
    "amount": pa.decimal128(38, AMOUNT_DECIMALS),
    "money": pa.decimal128(38, MONEY_DECIMALS),
    "month": pa.date32(),
    "day": pa.date32(),
    "moment": pa.timestamp("us", "UTC"),
}


def write_csv(table: FinanceTable, path: Path, *, overwrite: bool = False) -> None:
    """Write the table as CSV. Raises OutputExists, OutputNotWritten."""
    with output_file(path, overwrite=overwrite) as binary, csv_writer(binary) as writer:
        writer.writerow(column.name for column in table.columns)
        writer.writerows([_cell(column, row[column.name]) for column in table.columns] for row in table.rows)


def write_parquet(table: FinanceTable, path: Path, *, overwrite: bool = False) -> None:
    """Write the table as Parquet.

    Raises:
        OutputExists, OutputNotWritten: The file can't be written.
        ActionableError: An exact amount has more decimals than Parquet can store.
    """
    schema = pa.schema([pa.field(column.name, _TYPES[column.kind]) for column in table.columns])
    named = [{column.name: _value(column, row[column.name]) for column in table.columns} for row in table.rows]
    try:
        values = pa.Table.from_pylist(named, schema=schema)
    except pa.ArrowInvalid as problem:
        raise ActionableError(
            f"an amount has more than {AMOUNT_DECIMALS} decimals, which Parquet can't store exactly: export CSV"
        ) from problem
    with output_file(path, overwrite=overwrite) as binary:
        pq.write_table(values, binary, compression="zstd")


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    text = str(column.data(value))
    return as_cell(text) if column.kind == "text" else text


def _value(column: Column, value: Any) -> Any:
    return str(value) if column.kind == "text" and value is not None else value
