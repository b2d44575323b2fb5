"""Reads CSV tables with a header, written by people. Not here: usage files, which must never stop at a bad row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from fly_billing.money import counted
from fly_billing.pricing.rules.fields import refuse_repeated


class CsvRow(dict[str, str]):
    """A row's texts by column. `line` is the line of the file on which the row ends."""

    line: int = 0


def read_csv_table(path: Path) -> Iterator[CsvRow]:
    """Yield the rows of a file. Lines that begin with `#` are comments.

    Raises:
        ValueError: Names the file and the problem: no header, a column that occurs twice, or a row with more or fewer
            fields than the header.
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
            raise ValueError(
                f"row {','.join(fields)!r} has {counted(len(fields), 'field')}, but the header has {len(header)}"
            )
        row = CsvRow(zip(header, fields, strict=True))
        row.line = number
        yield row
