"""Reads plain CSV files without a Python object per row.

A file is plain if it is UTF-8, its header names the columns, each record is one line, and a field that has quotes is
quoted as a whole. Its lines then are records, so a row that is torn, or has an unusual time or quantity, goes to the
exact reader alone (`csv_rows`). All other files go there whole.
"""

from __future__ import annotations

import csv
from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fly_billing.usage.readers.csv_rows import Columns, csv_records, stage_csv_row
from fly_billing.usage.readers.line_block import LineBlock
from fly_billing.usage.readers.plain_cells import are_plain, read_moments
from fly_billing.usage.readers.staged_rows import NAMES, STAGED

# Python's csv refuses longer fields.
LONGEST_PLAIN_LINE = 100_000
# Rows that are read exactly are in memory at once. The exact reader takes a file with more of them in parts.
MOST_EXACT_ROWS = 20_000
_NEWLINE, _RETURN, _QUOTE, _COMMA = 10, 13, 34, 44


def read_plain_csv(content: bytes) -> list[pa.Table] | None:
    """Return the rows of a complete file as tables of schema STAGED; None if it is not plain, or few rows are."""
    content = content.removeprefix(BOM_UTF8)
    try:
        content.decode()
    except UnicodeDecodeError:
        return None
    block = LineBlock.of(content if content.endswith(b"\n") else content + b"\n", keeps_spaces=True)
    if not _is_plain(block):
        return None
    ((_, _, header),) = csv_records([block.line(0).decode()])
    if isinstance(header, csv.Error):
        return None
    columns = Columns(header)
    if columns.problem or columns.is_event:
        return None
    return _Rows(block, columns, header).tables()


def _is_plain(block: LineBlock) -> bool:
    """Return True if each line is a record whose fields with quotes are quoted as a whole."""
    content, quotes = block.content, block.quotes
    returns = np.flatnonzero(content == _RETURN)
    opening, closing = quotes[::2], quotes[1::2]
    before = np.where(opening > 0, content[opening - 1], _NEWLINE)
    return bool(
        block.ends[0] > block.starts[0]
        and (block.ends - block.starts).max() <= LONGEST_PLAIN_LINE
        and (content[returns + 1] == _NEWLINE).all()
        and (block.quote_counts % 2 == 0).all()
        and np.isin(before, (_COMMA, _NEWLINE, _QUOTE)).all()
        and np.isin(content[closing + 1], (_COMMA, _NEWLINE, _RETURN, _QUOTE)).all()
    )


class _Rows:
    """The rows of a plain file, below its header."""

    def __init__(self, block: LineBlock, columns: Columns, header: Sequence[str]) -> None:
        self._block = block
        self._columns = columns
        self._header = header
        commas = np.flatnonzero(block.content == _COMMA)
        if len(block.quotes):
            commas = commas[np.searchsorted(block.quotes, commas) % 2 == 0]
        first = np.searchsorted(commas, block.starts)
        is_line = block.ends > block.starts
        is_line[0] = False
        is_row = is_line & (np.diff(first, append=len(commas)) == columns.width - 1)
        self._torn = np.flatnonzero(is_line & ~is_row)
        self._lines = np.flatnonzero(is_row)
        separators = [commas[first[self._lines] + place] for place in range(columns.width - 1)]
        self._starts = [block.starts[self._lines], *(places + 1 for places in separators)]
        self._ends = [*separators, block.ends[self._lines]]

    def tables(self) -> list[pa.Table] | None:
        """Return the plain rows, and the other rows, read exactly; None if there are too many of those."""
        moments = read_moments(self._field("time"))
        is_plain = moments.is_valid()
        if "quantity" in self._header:
            is_plain = pc.and_(is_plain, are_plain(self._field("quantity")))
        plain = is_plain.to_numpy(zero_copy_only=False)
        others = np.concatenate((self._torn, self._lines[~plain]))
        if len(others) > MOST_EXACT_ROWS:
            return None
        rows = [self._exact(number) for number in others.tolist()]
        return [self._plain(moments).filter(is_plain), pa.Table.from_pylist(rows, schema=STAGED)]

    def _plain(self, moments: pa.Array) -> pa.Table:
        lines = self._lines
        raw = self._block.texts(self._block.starts[lines], self._block.ends[lines])
        found = {"line": pa.array(lines + 1), "raw": raw.cast(pa.string()), "moment": moments, "data": self._data()}
        found |= {name: _unless_empty(self._field(name)) for name in NAMES}
        if "quantity" in self._header:
            found["quantity"] = self._field("quantity")
        return pa.table([found.get(field.name, pa.nulls(len(lines), field.type)) for field in STAGED], schema=STAGED)

    def _exact(self, number: int) -> dict[str, Any]:
        ((_, raw, fields),) = csv_records([self._block.line(number).decode()])
        return stage_csv_row(number + 1, raw, self._columns, fields)

    def _data(self) -> pa.Array:
        if self._columns.data is not None:
            return _unless_empty(self._texts(self._columns.data))
        if not self._columns.others:
            return pa.repeat(self._columns.document_of(()), len(self._lines))
        texts = [self._texts(place) for place, _ in self._columns.others]
        # No field has a newline. Most rows repeat the same fields.
        together = pc.binary_join_element_wise(*texts, "\n").dictionary_encode()
        documents = [self._columns.document_of(tuple(text.split("\n"))) for text in together.dictionary.to_pylist()]
        return pa.array(documents, pa.string()).take(together.indices)

    def _field(self, name: str) -> pa.Array:
        return self._texts(self._header.index(name))

    def _texts(self, place: int) -> pa.Array:
        """Return the texts of a column without their quotes."""
        starts, ends = self._starts[place], self._ends[place]
        is_quoted = (self._block.content[starts] == _QUOTE) & (ends > starts)
        texts = self._block.texts(starts + is_quoted, ends - is_quoted).cast(pa.string())
        return pc.replace_substring(texts, '""', '"') if is_quoted.any() else texts


def _unless_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), None, texts)
