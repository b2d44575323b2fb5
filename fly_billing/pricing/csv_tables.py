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
    """Yield the rows of a file. Lines that begin with `#` are comments, as is Excel's first line `sep=,`.

    Raises:
        ValueError: After every other row, with a line per problem that names the file and the line: no header, a column
            that occurs twice, a row with more or fewer fields than the header, or a quote that is not closed.
    """
    problems: list[str] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _rows(file, problems)
    except (OSError, ValueError) as problem:
        problems.append(str(problem))
    if problems:
        raise ValueError("\n".join(f"{path.name}: {problem}" for problem in problems))


def _rows(file: Iterable[str], problems: list[str]) -> Iterator[CsvRow]:
    """Yield the rows, and add a problem for each that does not fit the header."""
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for line in file:
            number += 1
            if not line.startswith("#") and not (number == 1 and line.strip() == "sep=,"):
                yield line

    reader = csv.reader(lines(), strict=True)
    try:
        header = next(reader, [])
        refuse_repeated(header, "its header")
        for fields in reader:
            if len(fields) == len(header):
                row = CsvRow(zip(header, fields, strict=True))
                row.line = number
                yield row
            elif fields:
                written, count = ",".join(fields), counted(len(fields), "field")
                problems.append(f"line {number}: row {written!r} has {count}, but the header has {len(header)}")
    except csv.Error as problem:
        problems.append(f"line {number}: {problem}")
