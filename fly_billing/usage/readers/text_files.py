"""Decodes text files and splits them into lines, without losing a byte or reading an endless line into memory.

Not here: the content of lines (`json_lines`, `csv_rows`).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from fly_billing.usage.readers.staged_rows import LONGEST_LINE

TOO_LONG = f"the line has more than {LONGEST_LINE:,} characters"


class UnusableFile(Exception):
    """A whole file can't be read as usage. `problem` is the reason for `rejected_usage`, the text is its message."""

    def __init__(self, problem: str, message: str) -> None:
        super().__init__(message)
        self.problem = problem


def as_text(file: BinaryIO, newline: str) -> TextIO:
    """Decode UTF-8. Keeps invalid bytes as half surrogate pairs, which `is_text` detects."""
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


class LongLine(str):
    """The beginning of a line longer than LONGEST_LINE."""


def lines_of(file: TextIO, ends: tuple[str, ...]) -> Iterator[str]:
    """Yield a file's lines, and only the beginning of a line that is too long."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) <= LONGEST_LINE or line.endswith(ends):
            yield line
            continue
        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(ends):
            pass
        yield LongLine(f"{line[:200]}…")


def is_text(text: str) -> bool:
    """Return True if the text is valid Unicode: no undecodable bytes and no half surrogate pairs."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def bad_encoding(line: int, raw: str) -> dict[str, Any]:
    """Reject a line that is not UTF-8: two different ids could look the same once decoded."""
    shown = raw.encode(errors="surrogateescape").decode(errors="replace")
    return {"line": line, "raw": shown, "problem": "bad_encoding", "problem_message": "not UTF-8: shown with \ufffd"}
