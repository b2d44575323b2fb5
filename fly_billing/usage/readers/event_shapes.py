"""Reads JSON lines of the same shape at once: lines that differ only in the texts of their values.

A program writes its events with the same keys, spaces and punctuation in every line. So the exact reader parses one
line (`usage/rules/cells.py`), and each line with the same bytes around its texts means the same, with its own texts.
This is true because these texts have no quote, backslash or control character. The quantity may also be a number: its
digits stay text.

A shape takes only lines that `sql_duckdb/stage_json.sql` takes, and reads the same from them. All others go there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fly_billing.usage.readers.line_block import LineBlock, Places
from fly_billing.usage.readers.plain_cells import are_plain, read_moments
from fly_billing.usage.readers.staged_rows import ENVELOPE, NAMES
from fly_billing.usage.rules.cells import InvalidDocument, read_document, write_document

# Between texts: punctuation, integers of up to 18 digits, and words.
_BETWEEN = re.compile(r"(?:[{}:, \t]|(?<!\d)(?:-?[1-9]\d{0,17}|0)(?![\d.eE])|true|false|null)*", re.ASCII)
_NUMBER = re.compile(r"([ \t]*:[ \t]*)(\d[\d.]*)([ \t]*[,}].*)", re.ASCII)
# Longer lines, and lines of more values, would take long to compare: each of their values costs a few operations.
LONGEST_SHAPED_LINE, MOST_QUOTES = 64 * 2**10, 1_000
# A block of lines has few shapes. Lines of many shapes, such as with different numbers, are not worth comparing.
MOST_SHAPES = 32
MOST_RARE_SHAPES = 4
RARE = 100


@dataclass(frozen=True)
class Shape:
    """Lines that differ only in their holes: the texts of their values, and the number of their quantity.

    Attributes:
        quotes: The number of quotes of a line.
        holes: For each hole, the index of the quote before it among these quotes; None for a number.
        constants: The bytes before, between and after the holes.
        cells: The index of the hole of each cell.
        data: The JSON of `data` without its quantity, in parts: texts, and indexes of holes.
    """

    quotes: int
    holes: Sequence[int | None]
    constants: Sequence[bytes]
    cells: Mapping[str, int]
    data: Sequence[str | int]


@dataclass(frozen=True)
class ShapedLines:
    """Lines of a block and the columns that were read from them.

    Attributes:
        lines: The indexes of the lines.
        columns: Of `staged_rows.STAGED`, by name. Those that are missing are null.
    """

    lines: Places
    columns: Mapping[str, pa.Array]


@dataclass
class _Line:
    """A line, split into holes and constants, and as JSON with a mark in each hole."""

    holes: list[int | None] = field(default_factory=list)
    constants: list[str] = field(default_factory=lambda: [""])
    marked: str = ""

    def add(self, text: str) -> None:
        self.constants[-1] += text
        self.marked += text

    def add_hole(self, quote: int | None) -> None:
        mark = f"#{len(self.holes)}"
        self.marked += f'"{mark}"' if quote is None else mark
        self.holes.append(quote)
        self.constants.append("")


def learn_shape(line: bytes) -> Shape | None:
    """Return the shape of a line without backslashes and control characters; None if it has none that can be read."""
    if len(line) > LONGEST_SHAPED_LINE or line.count(b'"') > MOST_QUOTES:
        return None
    pieces = line.decode().split('"')
    if len(pieces) % 2 == 0:
        return None
    split = _split(pieces[::2], pieces[1::2])
    if split is None:
        return None
    try:
        event = read_document(split.marked)
    except InvalidDocument:
        return None
    if not isinstance(event, dict) or not isinstance(data := event.pop("data", None), dict):
        return None
    quantity = data.pop("quantity", None)
    if "quantity" in event or any(isinstance(value, dict) for value in (*event.values(), *data.values())):
        return None
    found = {name: _hole_of(event.get(name)) for name in ENVELOPE} | {"quantity": _hole_of(quantity)}
    cells = {name: hole for name, hole in found.items() if hole is not None}
    if len(cells) < len(found):
        return None
    constants = [constant.encode() for constant in split.constants]
    return Shape(len(pieces) - 1, split.holes, constants, cells, _parts_of(data))


def _split(gaps: Sequence[str], texts: Sequence[str]) -> _Line | None:
    """Split a line at its values. `gaps` are the parts outside of quotes, `texts` those inside."""
    line = _Line()
    before = ""
    for number, gap in enumerate(gaps):
        if before == "quantity" and (found := _NUMBER.fullmatch(gap)):
            line.add(found[1])
            line.add_hole(None)
            gap = found[3]
        if not _BETWEEN.fullmatch(gap):
            return None
        line.add(gap)
        if number == len(texts):
            break
        line.add('"')
        is_key = gaps[number + 1].lstrip(" \t").startswith(":")
        before = texts[number] if is_key else ""
        if is_key:
            line.add(texts[number])
        else:
            line.add_hole(2 * number)
        line.add('"')
    return line


def _hole_of(value: Any) -> int | None:
    return int(value[1:]) if isinstance(value, str) and value.startswith("#") else None


def _parts_of(data: Mapping[str, Any]) -> list[str | int]:
    """Return the JSON of the object in parts. Texts have no character that JSON escapes."""
    parts: list[str | int] = []
    text = "{"
    for name, value in data.items():
        text += f'{"" if text == "{" else ","}"{name}":'
        hole = _hole_of(value)
        if hole is None:
            text += value if isinstance(value, str) else write_document(value)
        else:
            parts += [f'{text}"', hole]
            text = '"'
    return [*parts, text + "}"]


def read_shaped(block: LineBlock) -> Iterator[ShapedLines]:
    """Yield the lines whose shape can be learned, by shape. The other lines are in none of them."""
    is_left = block.is_printable.copy()
    rare = 0
    for _ in range(MOST_SHAPES):
        left = np.flatnonzero(is_left)
        if not len(left) or rare == MOST_RARE_SHAPES:
            return
        shape = learn_shape(block.line(left[0]))
        found = _matching(block, left, shape) if shape else None
        if shape and found:
            yield _read(block, shape, *found)
        taken = found[0] if found and len(found[0]) else left[:1]
        is_left[taken] = False
        rare += len(taken) < RARE


def _matching(block: LineBlock, lines: Places, shape: Shape) -> tuple[Places, Places, Places]:
    """Return those of the lines that have this shape, and the starts and ends of their holes: a row for each hole."""
    lines = lines[block.quote_counts[lines] == shape.quotes]
    starts, ends = _holes(block, lines, shape)
    begins = np.vstack((block.starts[lines], ends))
    lengths = np.vstack((starts, block.ends[lines])) - begins
    sizes = np.array([[len(constant)] for constant in shape.constants])
    found = np.flatnonzero((lengths == sizes).all(axis=0) & (starts <= ends).all(axis=0))
    if len(found) < len(lines):
        lines, begins, starts, ends = lines[found], begins[:, found], starts[:, found], ends[:, found]
    is_same = np.ones(len(lines), np.bool_)
    for constant, places in zip(shape.constants, begins, strict=True):
        is_same &= block.has(constant, places)
    return (lines, starts, ends) if is_same.all() else (lines[is_same], starts[:, is_same], ends[:, is_same])


def _holes(block: LineBlock, lines: Places, shape: Shape) -> tuple[Places, Places]:
    """Return where the holes start and end in each line, if it has this shape. Constants are not compared yet."""
    first = block.first_quotes[lines]
    starts = np.empty((len(shape.holes), len(lines)), np.int64)
    ends = np.empty_like(starts)
    for number, quote in enumerate(shape.holes):
        if quote is not None:
            starts[number] = block.quotes[first + quote] + 1
            ends[number] = block.quotes[first + quote + 1]
    for number, quote in enumerate(shape.holes):
        if quote is None:
            before = ends[number - 1] if number else block.starts[lines]
            after = starts[number + 1] if number + 1 < len(shape.holes) else block.ends[lines]
            starts[number] = before + len(shape.constants[number])
            ends[number] = after - len(shape.constants[number + 1])
    return starts, ends


def _read(block: LineBlock, shape: Shape, lines: Places, starts: Places, ends: Places) -> ShapedLines:
    def texts(hole: int) -> pa.Array:
        return block.texts(starts[hole], ends[hole])

    moments = read_moments(texts(shape.cells["time"]).cast(pa.string()))
    quantities = texts(shape.cells["quantity"]).cast(pa.string())
    is_plain = pc.and_(moments.is_valid(), are_plain(quantities))
    if pc.all(is_plain).as_py() is False:
        plain = np.flatnonzero(is_plain.to_numpy(zero_copy_only=False))
        return _read(block, shape, lines[plain], starts[:, plain], ends[:, plain])
    cells = {name: texts(shape.cells[name]) for name in NAMES}
    parts = [part if isinstance(part, str) else texts(part).cast(pa.string()) for part in shape.data]
    data = pc.binary_join_element_wise(*parts, "") if len(parts) > 1 else pa.repeat(parts[0], len(lines))
    raw = block.texts(block.starts[lines], block.ends[lines])
    return ShapedLines(lines, {"raw": raw, **cells, "quantity": quantities, "data": data, "moment": moments})
