"""Lists the files of landing days and opens them, whatever they are called and whatever they are.

A name is only a name: it is never a pattern, and no part of it becomes data. Keeps out: what is in the files
(`readers.files`), what becomes of it (`landing`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BufferedReader
from pathlib import Path

from fly_billing.errors import ActionableError
from fly_billing.periods import FIRST_MONTH

# Postgres has names of files in an index, where about 2,700 bytes fit. A longer name is cut, and ends in its hash.
LONGEST_NAME = 1000
UNFINISHED_FOR_LONG = timedelta(days=1)
# DuckDB reads a path with one of these as a pattern.
PATTERN = frozenset("*?[")


class LandingError(ActionableError):
    """A landing day can't be landed as a whole; nothing of it was changed."""


@dataclass(frozen=True)
class LandingFile:
    """A file of a landing day. `name` is its place below that day's folder, as readable text (`readable_name`).

    `problem` says why it can't be read whatever is in it (a pipe, a link to nowhere), else it is None.
    """

    day: date
    name: str
    path: Path
    problem: str | None = None


@dataclass(frozen=True)
class FileContent:
    """What a file held when it was read: SHA-256 in hexadecimal, and its size in bytes."""

    sha256: str
    bytes: int


# Of a file that could not be read. It equals the content of no file, so the file lands again once it can be read.
UNREAD = FileContent("", 0)


@dataclass(frozen=True)
class NotUnderstood:
    """Something in the landing folder that is not landed, or not as it may be meant. `path` is readable text."""

    path: str
    message: str


def day_folders(landing_dir: Path) -> list[date]:
    """List the days that have a folder, or something else of that name; none where there is no landing folder.

    Days before the first landing day are left out. Raises LandingError where the landing folder can't be read.
    """
    days = [day_of(entry.name) for entry in _top(landing_dir)]
    return [day for day in days if day and day >= FIRST_MONTH.first_day]


def _top(landing_dir: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(landing_dir) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise LandingError(f"the landing folder {readable_name(landing_dir)} can't be read: {said(problem)}") from None


def _problem_of_day(day: date, today: date) -> str | None:
    if day < FIRST_MONTH.first_day:
        return f"it lies before {FIRST_MONTH.first_day}, the first landing day: its files are not landed"
    return None if day <= today else f"{day} has not come yet: its files are not landed before"


def not_understood(landing_dir: Path, now: datetime) -> list[NotUnderstood]:
    """List what is in the landing folder and is not landed, or not as it may be meant. Raises as `day_folders`."""
    found: list[NotUnderstood] = []
    for entry in _top(landing_dir):
        day = day_of(entry.name)
        if day is None and entry.name.startswith("."):
            found += _left_unfinished(landing_dir, Path(entry.path), now)
        elif day is None:
            message = "named after no day: files are landed from folders called YYYY-MM-DD, such as 2026-11-05"
            found.append(NotUnderstood(readable_name(entry.name), message))
        elif problem := _problem_of_day(day, now.date()):
            # A source whose clock is ahead of UTC may write tomorrow's folder.
            if (day - now.date()).days > 1 or day < FIRST_MONTH.first_day:
                found.append(NotUnderstood(readable_name(entry.name), problem))
        else:
            found += _not_understood_of_day(landing_dir, Path(entry.path), now)
    return found


def _not_understood_of_day(landing_dir: Path, folder: Path, now: datetime) -> list[NotUnderstood]:
    found: list[NotUnderstood] = []
    nested: set[Path] = set()
    try:
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.name.startswith("."):
                found += _left_unfinished(landing_dir, path, now)
            nested |= {above for above in path.relative_to(folder).parents if day_of(above.name)}
    except OSError as problem:
        where = readable_name(os.path.relpath(problem.filename or folder, landing_dir))
        found.append(NotUnderstood(where, f"can't be read: {said(problem)}. The day is not landed"))
    message = f"a day's folder in that of {folder.name}: its files land as {folder.name}'s. Move it up"
    return found + [NotUnderstood(readable_name(f"{folder.name}/{one}"), message) for one in sorted(nested)]


def _left_unfinished(landing_dir: Path, path: Path, now: datetime) -> list[NotUnderstood]:
    """Report what begins with a point, so is still being written, but was not written to for a day."""
    try:
        written_at = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except OSError:
        return []
    if now - written_at <= UNFINISHED_FOR_LONG:
        return []
    message = "begins with a point, so it is not landed, but was last written more than a day ago: rename or remove it"
    return [NotUnderstood(readable_name(path.relative_to(landing_dir)), message)]


def day_of(name: str) -> date | None:
    """Return the day that a folder is named after as YYYY-MM-DD; None for any other name, however much like one."""
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None


def list_files(landing_dir: Path, day: date) -> list[LandingFile]:
    """List the day's files by name, those in sub-folders too, without those that begin with a point (`unfinished`).

    Raises OSError where the folder or one below it can't be listed, FileNotFoundError where there is none.
    """
    folder = landing_dir / day.isoformat()
    found = [_landing_file(day, folder, entry) for entry in _entries(folder) if not entry.name.startswith(".")]
    return sorted(found, key=lambda file: file.path.parts)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield what is in a folder and the folders below it, but for the folders themselves.

    A folder that begins with a point is yielded like a file, and not looked into; a link to a folder too.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    waiting.append(entry.path)
                else:
                    yield entry


def _landing_file(day: date, folder: Path, entry: os.DirEntry[str]) -> LandingFile:
    name = entry.path.removeprefix(f"{os.fspath(folder)}{os.sep}")
    return LandingFile(day, readable_name(name), Path(entry.path), _problem_of(entry))


def _problem_of(entry: os.DirEntry[str]) -> str | None:
    if not entry.is_symlink():
        return None if entry.is_file(follow_symlinks=False) else "neither a file nor a folder (a pipe or a device)"
    try:
        kind = Path(entry.path).stat().st_mode
    except FileNotFoundError:
        return "a link to a file that is not there"
    except OSError as problem:
        return f"a link that leads nowhere: {said(problem)}"
    if stat.S_ISDIR(kind):
        return "a link to a folder, which is not followed: put the folder itself here"
    return None if stat.S_ISREG(kind) else "a link to what is no file (a pipe or a device)"


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises OSError for anything else, without waiting for a pipe's other end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def content_of(path: Path) -> FileContent:
    """Read the whole file for its SHA-256 and size."""
    with open_file(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileContent(sha256, file.tell())


def readable_name(name: Path | str) -> str:
    r"""Write a file's name as text that Postgres and the usage table can hold; two names never become one text.

    Bytes that are no UTF-8 are written as `\xff`, a backslash as `\\`. A very long name is cut and ends in its hash.
    """
    raw = os.fsencode(name)
    text = raw.replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    if len(text.encode()) <= LONGEST_NAME:
        return text
    cut = text.encode()[: LONGEST_NAME - 80].decode(errors="ignore")
    return f"{cut}\\… sha256 {hashlib.sha256(raw).hexdigest()}"


def said(problem: BaseException) -> str:
    """Return what went wrong as a line of text that can be stored anywhere, at most 500 characters long."""
    if isinstance(problem, OSError) and problem.strerror:
        text = problem.strerror
    else:
        text = f"{type(problem).__name__}: {problem}".replace("\0", "␀")
    return text.encode(errors="backslashreplace").decode()[:500]


def path_for_duckdb(path: Path) -> str:
    """Write a path so that DuckDB reads this file and no other: its `read_parquet` takes every path for a pattern.

    Raises ValueError where DuckDB has no way to write it: not in UTF-8, or a backslash beside a letter of patterns.
    """
    text = str(path.absolute())
    text.encode()
    if not PATTERN & set(text):
        return text
    if "\\" in text:
        raise ValueError(f"DuckDB can't be told the path {text}")
    return "".join(f"[{letter}]" if letter in PATTERN else letter for letter in text)
