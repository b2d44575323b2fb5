"""Cuts a JSON array, or a single JSON object, into its elements, as text and without holding more than one of them.

A CloudEvents batch is an array of events. Only brackets, braces, commas and quotes are looked at: an element that is
no JSON is cut out like the others, and refused by whoever reads it. Keeps out: reading elements (`json_lines`).
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


class TornArray(ValueError):
    """The text ends, or goes on, where no JSON array does. What was cut before it is whole."""


class LongElement(str):
    """The beginning of an element that is longer than LONGEST_LINE."""


@dataclass
class _Cutter:
    """Reads piece by piece. `depth`: how many brackets of the element are open; `start`: where it begins in `text`."""

    file: TextIO
    text: str = ""
    place: int = 0
    start: int = 0
    is_long: bool = False

    def more(self) -> bool:
        """Read on, keeping what is not cut yet, or the beginning of what is too long; False at the end."""
        kept = self.text[self.start :]
        self.is_long = self.is_long or len(kept) > LONGEST_LINE
        if self.is_long:
            kept = kept[:200]
        piece = self.file.read(PIECE)
        self.place = len(kept)
        self.text, self.start = kept + piece, 0
        return bool(piece)

    def skip_space(self) -> str:
        """Go to the next letter that is no space, and return it; empty at the end."""
        while True:
            while self.place < len(self.text) and self.text[self.place] in _SPACE:
                self.place += 1
            if self.place < len(self.text):
                return self.text[self.place]
            self.start = self.place
            if not self.more():
                return ""

    def find(self, pattern: re.Pattern[str]) -> str:
        """Go behind the next letter of the pattern, and return it. Raises TornArray where there is none."""
        while (found := pattern.search(self.text, self.place)) is None:
            if not self.more():
                raise TornArray("it ends inside an element")
        self.place = found.end()
        return found[0]

    def element(self, ends: str) -> tuple[str, str]:
        """Cut an element; return it and what ended it: one of `ends` outside of all brackets."""
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
                    raise TornArray(f"a {letter} closes what is not open")
        cut = self.text[self.start : self.place - 1].strip(_SPACE)
        self.start = self.place
        return (LongElement(cut[:200]) if self.is_long or len(cut) > LONGEST_LINE else cut), letter

    def string(self) -> None:
        """Go behind the end of a string."""
        while self.find(_INSIDE) == "\\":
            while self.place >= len(self.text):
                if not self.more():
                    raise TornArray("it ends inside an element")
            self.place += 1


def elements_of(file: TextIO) -> Iterator[str]:
    """Yield the elements of an array, or the one object, as they are written; a long one as LongElement.

    Raises TornArray.
    """
    cutter = _Cutter(file)
    first = cutter.skip_space()
    if first == "{":
        yield _whole(cutter)
        return
    if first != "[":
        raise TornArray("a .json file holds one event, or an array of them (a CloudEvents batch)")
    cutter.place += 1
    if cutter.skip_space() == "]":
        cutter.place += 1
    else:
        end = ","
        while end == ",":
            element, end = cutter.element(",]")
            yield element
    if cutter.skip_space():
        raise TornArray("it goes on behind the end of the array")


def _whole(cutter: _Cutter) -> str:
    """Return the rest of the file as one element."""
    cutter.start = cutter.place
    while cutter.more():
        pass
    cut = cutter.text[cutter.start :].strip(_SPACE)
    return LongElement(cut[:200]) if cutter.is_long or len(cut) > LONGEST_LINE else cut
