"""Reads CSV tables with a header, written by people. Keeps out: usage files, which must never stop at a bad row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

from fly_billing.domain.plain_data import refuse_repeated


def read_csv_table(path: Path) -> Iterator[dict[str, str]]:
    """Yield each row's texts by column; lines that begin with `#` are comments.

    Raises ValueError naming the file, and the line where one row is wrong: no header, a column that occurs twice, a row
    with more or fewer fields than the header.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            yield from _rows(line for line in file if not line.startswith("#"))
    except (OSError, csv.Error, ValueError) as problem:
        raise ValueError(f"{path.name}: {problem}") from problem


def _rows(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    reader = csv.reader(lines, strict=True)
    header = next(reader, [])
    refuse_repeated(header, "its header")
    for fields in reader:
        if not fields:
            continue
        if len(fields) != len(header):
            raise ValueError(f"row {','.join(fields)!r} has {len(fields)} fields, the header has {len(header)}")
        yield dict(zip(header, fields, strict=True))
