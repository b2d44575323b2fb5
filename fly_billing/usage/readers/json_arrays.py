"""Splits a JSON array of events (a CloudEvents batch), or a single object, into the texts of its elements.

Only one element is in memory at a time. The splitter looks at brackets, braces, commas and quotes only, so it splits
off invalid elements like valid ones. Not here: parsing elements (`json_lines`), which rejects invalid ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from fly_billing.usage.readers.staged_rows import LONGEST_LINE

PIECE = 2**18
_SPACE = " \t\r\n"
_OUTSIDE = re.compile(r'["{}\[\],]')
_INSIDE = re.compile(r'["\\]')


class MalformedArray(ValueError):
    """The text is not a complete JSON array. Elements before this point are complete."""


class TruncatedElement(str):
    """The beginning of an element longer than LONGEST_LINE."""


@dataclass
class _Cutter:
    """Reads a text in blocks. `text` holds the current block, and the current element from `start` on."""

    file: TextIO
    text: str = ""
    place: int = 0
    start: int = 0
    is_long: bool = False

    def more(self) -> bool:
        """Read the next block. Keeps the current element, or the beginning of a long one. Returns False at the end."""
        kept = self.text[self.start :]
        self.is_long = self.is_long or len(kept) > LONGEST_LINE
        if self.is_long:
            kept = kept[:200]
        piece = self.file.read(PIECE)
        self.place = len(kept)
        self.text, self.start = kept + piece, 0
        return bool(piece)

    def skip_space(self) -> str:
        """Move to the next character that is not whitespace, and return it. Returns an empty text at the end."""
        while True:
            while self.place < len(self.text) and self.text[self.place] in _SPACE:
                self.place += 1
            if self.place < len(self.text):
                return self.text[self.place]
            self.start = self.place
            if not self.more():
                return ""

    def find(self, pattern: re.Pattern[str]) -> str:
        """Move past the next match of the pattern, and return it. Raises MalformedArray if there is none."""
        while (found := pattern.search(self.text, self.place)) is None:
            if not self.more():
                raise MalformedArray("it ends inside an element")
        self.place = found.end()
        return found[0]

    def element(self, ends: str) -> tuple[str, str]:
        """Split off an element. Returns it with the character of `ends` that ended it, outside of all brackets."""
        self.start, self.is_long, depth = self.place, False, 0
        while True:
            letter = self.find(_OUTSIDE)
            if letter == '"':
                self.string()
            elif letter in "{[":
                depth += 1
            elif depth == 0 and letter in ends:
                break
            elif letter in "}]":
                depth -= 1
                if depth < 0:
                    raise MalformedArray(f"an unmatched {letter}")
        cut = self.text[self.start : self.place - 1].strip(_SPACE)
        self.start = self.place
        return (TruncatedElement(cut[:200]) if self.is_long or len(cut) > LONGEST_LINE else cut), letter

    def string(self) -> None:
        """Move past the end of a string."""
        while self.find(_INSIDE) == "\\":
            while self.place >= len(self.text):
                if not self.more():
                    raise MalformedArray("it ends inside an element")
            self.place += 1


def read_elements(file: TextIO) -> Iterator[str]:
    """Yield the elements of the array, or the single object, as written. A long one is a TruncatedElement.

    Raises MalformedArray.
    """
    cutter = _Cutter(file)
    first = cutter.skip_space()
    if first == "{":
        yield _whole(cutter)
        return
    if first != "[":
        raise MalformedArray("a .json file contains one event, or an array of events (a CloudEvents batch)")
    cutter.place += 1
    if cutter.skip_space() == "]":
        cutter.place += 1
    else:
        end = ","
        while end == ",":
            element, end = cutter.element(",]")
            yield element
    if cutter.skip_space():
        raise MalformedArray("text follows the end of the array")


def _whole(cutter: _Cutter) -> str:
    """Return the rest of the file as one element."""
    cutter.start = cutter.place
    while cutter.more():
        pass
    cut = cutter.text[cutter.start :].strip(_SPACE)
    return TruncatedElement(cut[:200]) if cutter.is_long or len(cut) > LONGEST_LINE else cut
