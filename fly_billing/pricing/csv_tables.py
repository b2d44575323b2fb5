"""Reads CSV tables with a header, written by people. Keeps out: usage files, which must never stop at a bad row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from fly_billing.pricing.rules.fields import refuse_repeated


class CsvRow(dict[str, str]):
    """A row's texts by column, and the `line` of the file on which it ends."""

    line: int = 0


def read_csv_table(path: Path) -> Iterator[CsvRow]:
    """Yield each row's texts by column; lines that begin with `#` are comments.

    Raises ValueError naming the file, and the line where one row is wrong: no header, a column that occurs twice, a row
    with more or fewer fields than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _rows(file)
    except (OSError, csv.Error, ValueError) as problem:
        raise ValueError(f"{path.name}: {problem}") from problem


def _rows(file: Iterable[str]) -> Iterator[CsvRow]:
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for line in file:
            number += 1
            if not line.startswith("#"):
                yield line

    reader = csv.reader(lines(), strict=True)
    header = next(reader, [])
    refuse_repeated(header, "its header")
    for fields in reader:
        if not fields:
            continue
        if len(fields) != len(header):
            raise ValueError(f"row {','.join(fields)!r} has {len(fields)} fields, the header has {len(header)}")
        row = CsvRow(zip(header, fields, strict=True))
        row.line = number
        yield row
