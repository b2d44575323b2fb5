"""The lines of a block of bytes, and texts between two places of it as Arrow arrays, without a Python object per line.

Not here: the content of lines (`event_shapes`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_SPACE = b" \t\r"
_SPACES = np.isin(np.arange(256), list(_SPACE))
_NEWLINE, _RETURN, _QUOTE, _BACKSLASH, _FIRST_PRINTABLE = 10, 13, 34, 92, 32
# An Arrow string view has a text of up to 12 bytes in itself, and refers to a longer one.
_INLINE = 12
_PADDING = _INLINE
# Row n keeps the first n bytes of twelve, as three integers.
_FIRST_BYTES = np.frombuffer(b"".join(b"\xff" * n + bytes(_INLINE - n) for n in range(_INLINE + 1)), "<u4").reshape(
    -1, 3
)


@dataclass(frozen=True, eq=False)
class LineBlock:
    """Complete lines of UTF-8, without their ends.

    Attributes:
        content: The bytes, followed by zero bytes.
        starts, ends: The places of the lines in `content`. A line of spaces is empty.
    """

    content: npt.NDArray[np.uint8]
    starts: Places
    ends: Places

    @classmethod
    def of(cls, content: bytes, *, keeps_spaces: bool = False) -> LineBlock:
        """Split the content, in which every line ends with a newline.

        Args:
            keeps_spaces: Leave out a carriage return at the end only, and not all surrounding spaces and tabs.
        """
        padded = np.frombuffer(content + bytes(_PADDING), np.uint8)
        ends = np.flatnonzero(padded == _NEWLINE)
        starts = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64) if len(ends) else ends
        ends = ends - ((ends > starts) & (padded[ends - 1] == _RETURN))
        return cls(padded, *((starts, ends) if keeps_spaces else _stripped(padded, starts, ends)))

    @cached_property
    def quotes(self) -> Places:
        """The places of all quotes."""
        return np.flatnonzero(self.content == _QUOTE)

    @cached_property
    def first_quotes(self) -> Places:
        """The index in `quotes` of the first quote of each line."""
        return np.searchsorted(self.quotes, self.starts)

    @cached_property
    def quote_counts(self) -> Places:
        """The number of quotes of each line."""
        return np.diff(self.first_quotes, append=len(self.quotes))

    @cached_property
    def is_printable(self) -> Mask:
        """True for the lines that are not empty and have no backslash and no control character."""
        is_odd = (self.content < _FIRST_PRINTABLE) & (self.content != _NEWLINE) | (self.content == _BACKSLASH)
        odd = np.flatnonzero(is_odd[:-_PADDING])
        has_odd = np.searchsorted(odd, self.starts) < np.searchsorted(odd, self.ends)
        return np.logical_and(self.ends > self.starts, ~has_odd)

    def line(self, number: int) -> bytes:
        return self.content[self.starts[number] : self.ends[number]].tobytes()

    def has(self, text: bytes, starts: Places) -> Mask:
        """Return True for each of these places at which the text begins. It has no NUL."""
        return np.asarray(self._from_each_place(f"S{len(text)}")[starts] == text)

    def texts(self, starts: Places, ends: Places) -> pa.Array:
        """Return the texts between these places as an Arrow array of string views on this block."""
        lengths = ends - starts
        views = np.empty((len(starts), 4), "<u4")
        views[:, 0] = lengths
        views[:, 1] = self._from_each_place("<u4")[starts]
        views[:, 2] = 0
        views[:, 3] = starts
        short = np.flatnonzero(lengths <= _INLINE)
        if len(short):
            first = self._from_each_place(f"V{_INLINE}")[starts[short]].view("<u4").reshape(-1, 3)
            views[short, 1:] = first & _FIRST_BYTES[lengths[short]]
        buffers: list[Any] = [None, pa.py_buffer(views), pa.py_buffer(self.content)]
        return pa.Array.from_buffers(pa.string_view(), len(starts), buffers)

    def _from_each_place(self, kind: str) -> npt.NDArray[Any]:
        """Return the values of this type that begin at each place of the content. They overlap."""
        size = np.dtype(kind).itemsize
        return np.ndarray((len(self.content) - size + 1,), kind, self.content, strides=(1,))


def _stripped(content: npt.NDArray[np.uint8], starts: Places, ends: Places) -> tuple[Places, Places]:
    """Move starts and ends over spaces. Nearly all lines have none."""
    has_space = _SPACES[content[starts]] | _SPACES[content[np.maximum(ends - 1, 0)]]
    for number in np.flatnonzero(has_space & (ends > starts)):
        line = content[starts[number] : ends[number]].tobytes()
        starts[number] += len(line) - len(line.lstrip(_SPACE))
        ends[number] = starts[number] + len(line.strip(_SPACE))
    return starts, ends
