"""Lists and opens the files of landing days, whatever their names and types, on a disk or in an object store.

File names are never treated as patterns, and nothing is read from them. Not here: reading file contents
(`readers.files`) and landing them (`landing`), requests to object stores (`object_store`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BufferedReader
from pathlib import Path, PurePath, PurePosixPath

from fly_billing.errors import ActionableError
from fly_billing.object_store.address import Place, StoreFolder, not_a_key
from fly_billing.object_store.objects import (
    StoredObject,
    check_bucket,
    exists,
    list_entries,
    list_objects,
    read_object,
)
from fly_billing.periods import FIRST_MONTH

# Postgres indexes file names, and an index entry holds about 2,700 bytes. A longer name is cut and ends in its hash.
LONGEST_NAME = 1000
UNFINISHED_FOR_LONG = timedelta(days=1)
UNFINISHED_TOO_LONG = "begins with a dot, so it does not land, and was last written over a day ago. Rename or remove it"
# The days of an object store that are looked into without being asked for. A month and its grace period are within.
RECENT = timedelta(days=40)
# DuckDB treats a path with one of these characters as a pattern.
PATTERN = frozenset("*?[")


class LandingError(ActionableError):
    """A landing day can't be landed. Nothing was changed for it."""


@dataclass(frozen=True)
class LandingFile:
    """A file of a landing day.

    Attributes:
        name: Its path below the day's folder, as text (`readable_name`).
        path: The file. For an object, its path below the day's folder, until landing copies it (`landing_copies`).
        problem: Why it can't be opened at all (a pipe, a broken link), else None.
        stored_in: The day's folder in the object store, else None.
        stored: The object, else None.
    """

    day: date
    name: str
    path: Path
    problem: str | None = None
    stored_in: StoreFolder | None = None
    stored: StoredObject | None = None

    @property
    def place(self) -> str:
        """Its path or address, for messages."""
        return readable_name(f"{self.stored_in}/{self.stored.name}" if self.stored else self.path)


@dataclass(frozen=True)
class FileContent:
    """A file's content when it was read.

    Attributes:
        sha256: In hexadecimal.
        bytes: The size.
    """

    sha256: str
    bytes: int


# Stands for a file that could not be read. No file has this content, so it lands again once it can be read.
UNREAD = FileContent("", 0)


@dataclass(frozen=True)
class LandingProblem:
    """An entry of the landing folder that does not land, or not as its sender may expect.

    Attributes:
        path: As readable text.
        message: The problem and what to do.
    """

    path: str
    message: str


def check_landing_folder(landing_dir: Place) -> None:
    """Raise LandingError if the landing folder or its bucket does not exist or can't be read."""
    if isinstance(landing_dir, Path):
        if not landing_dir.is_dir():
            raise LandingError(f"the landing folder {landing_dir} does not exist. Is it mounted? Nothing was landed")
        return
    try:
        check_bucket(landing_dir)
    except OSError as problem:
        raise LandingError(
            f"the landing folder {landing_dir} can't be read: {describe_error(problem)}. Nothing was landed"
        ) from None


def list_day_folders(landing_dir: Place) -> list[date]:
    """List the days from the first landing day on that have a folder (or another entry of that name).

    Returns none if the landing folder does not exist. Raises LandingError if it can't be read. In an object store, this
    takes a request per 1,000 days.
    """
    days = [parse_day(name) for name in _top_names(landing_dir)]
    return [day for day in days if day and day >= FIRST_MONTH.first_day]


def has_day_folder(landing_dir: Place, day: date) -> bool:
    """Return True if the day has a folder."""
    folder = landing_dir / day.isoformat()
    return folder.is_dir() if isinstance(folder, Path) else exists(folder)


def _top_names(landing_dir: Place) -> list[str]:
    if isinstance(landing_dir, Path):
        return [entry.name for entry in _top(landing_dir)]
    try:
        return list_entries(landing_dir)
    except OSError as problem:
        raise LandingError(f"the landing folder {landing_dir} can't be read: {describe_error(problem)}") from None


def _top(landing_dir: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(landing_dir) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as problem:
        raise LandingError(
            f"the landing folder {readable_name(landing_dir)} can't be read: {describe_error(problem)}"
        ) from None


def _problem_of_day(day: date, today: date) -> str | None:
    if day < FIRST_MONTH.first_day:
        return f"{day} is before {FIRST_MONTH.first_day}, the first landing day. Its files are not landed"
    return None if day <= today else f"{day} is in the future. Its files land on that day"


def find_landing_problems(landing_dir: Place, now: datetime) -> list[LandingProblem]:
    """List entries that do not land, or not as their senders may expect. Raises LandingError as `list_day_folders`.

    In an object store, only the days of RECENT are looked into: listing all of them takes longer with every day.
    """
    found: list[LandingProblem] = []
    for name in _top_names(landing_dir):
        day = parse_day(name)
        if day is None and name.startswith("."):
            found += _find_stale_file(landing_dir, landing_dir / name, now) if isinstance(landing_dir, Path) else []
        elif day is None:
            message = "not a landing day. Files land from folders named YYYY-MM-DD, such as 2026-11-05"
            found.append(LandingProblem(readable_name(name), message))
        elif problem := _problem_of_day(day, now.date()):
            # A source whose clock runs ahead of UTC may write tomorrow's folder.
            if (day - now.date()).days > 1 or day < FIRST_MONTH.first_day:
                found.append(LandingProblem(readable_name(name), problem))
        elif isinstance(landing_dir, Path):
            found += _find_problems_of_day(landing_dir, landing_dir / name, now)
        elif day >= now.date() - RECENT:
            found += _find_problems_of_stored_day(landing_dir / name, name, now)
    return found


def _find_problems_of_stored_day(folder: StoreFolder, name: str, now: datetime) -> list[LandingProblem]:
    try:
        objects = list_objects(folder)
    except FileNotFoundError:
        return []
    except OSError as problem:
        return [LandingProblem(name, f"can't be read: {describe_error(problem)}. The day was not landed")]
    found = [
        LandingProblem(readable_name(f"{name}/{stored.name}"), UNFINISHED_TOO_LONG)
        for stored in objects
        if _is_unfinished(stored.name) and now - stored.modified_at > UNFINISHED_FOR_LONG
    ]
    paths = [PurePosixPath(stored.name) for stored in objects]
    return found + _nested_days(name, {above for path in paths for above in path.parents if parse_day(above.name)})


def _find_problems_of_day(landing_dir: Path, folder: Path, now: datetime) -> list[LandingProblem]:
    found: list[LandingProblem] = []
    nested: set[PurePath] = set()
    try:
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.name.startswith("."):
                found += _find_stale_file(landing_dir, path, now)
            nested |= {above for above in path.relative_to(folder).parents if parse_day(above.name)}
    except OSError as problem:
        where = readable_name(os.path.relpath(problem.filename or folder, landing_dir))
        found.append(LandingProblem(where, f"can't be read: {describe_error(problem)}. The day was not landed"))
    return found + _nested_days(folder.name, nested)


def _nested_days(folder: str, nested: Collection[PurePath]) -> list[LandingProblem]:
    message = f"a day folder inside {folder}. Its files land on {folder}: move the folder up"
    return [LandingProblem(readable_name(f"{folder}/{path}"), message) for path in sorted(nested)]


def _find_stale_file(landing_dir: Path, path: Path, now: datetime) -> list[LandingProblem]:
    """Report an entry whose name begins with a dot (still being written) if nobody wrote to it for a day."""
    try:
        written_at = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except OSError:
        return []
    if now - written_at <= UNFINISHED_FOR_LONG:
        return []
    return [LandingProblem(readable_name(path.relative_to(landing_dir)), UNFINISHED_TOO_LONG)]


def parse_day(name: str) -> date | None:
    """Parse a folder name in the form YYYY-MM-DD. Returns None for all other names, also other ISO 8601 forms."""
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None


def list_files(landing_dir: Place, day: date) -> list[LandingFile]:
    """List the day's files in all subfolders, sorted by name. Skips names that begin with a dot: unfinished files.

    Raises:
        FileNotFoundError: The day has no folder.
        OSError: The folder or a subfolder can't be listed.
    """
    folder = landing_dir / day.isoformat()
    if isinstance(folder, StoreFolder):
        stored = list_objects(folder)
        return [_landing_object(day, folder, found) for found in stored if not _is_unfinished(found.name)]
    found = [_landing_file(day, folder, entry) for entry in _entries(folder) if not entry.name.startswith(".")]
    return sorted(found, key=lambda file: file.path.parts)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder and its subfolders, except the subfolders themselves.

    Yields links to folders, and folders whose names begin with a dot, without entering them.
    """
    waiting = [os.fspath(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                    waiting.append(entry.path)
                else:
                    yield entry


def _is_unfinished(name: str) -> bool:
    """Return True if a part of an object's name begins with a dot. A part `..` is no such name, and is reported."""
    return any(part.startswith(".") and not not_a_key(part) for part in name.split("/"))


def _landing_object(day: date, folder: StoreFolder, stored: StoredObject) -> LandingFile:
    problem = "its key has an empty part, `.` or `..`: give it another key" if not_a_key(stored.name) else None
    return LandingFile(day, readable_name(stored.name), Path(stored.name), problem, folder, stored)


def _landing_file(day: date, folder: Path, entry: os.DirEntry[str]) -> LandingFile:
    name = entry.path.removeprefix(f"{os.fspath(folder)}{os.sep}")
    return LandingFile(day, readable_name(name), Path(entry.path), _problem_of(entry))


def _problem_of(entry: os.DirEntry[str]) -> str | None:
    if not entry.is_symlink():
        return None if entry.is_file(follow_symlinks=False) else "neither a file nor a folder (a pipe or a device)"
    try:
        kind = Path(entry.path).stat().st_mode
    except FileNotFoundError:
        return "a link to a missing file"
    except OSError as problem:
        return f"a broken link: {describe_error(problem)}"
    if stat.S_ISDIR(kind):
        return "a link to a folder. Links to folders are not followed: put the folder itself here"
    return None if stat.S_ISREG(kind) else "a link to a pipe or a device"


def open_file(path: Path) -> BufferedReader:
    """Open a regular file for reading. Raises OSError for anything else, and never blocks on a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def size_of(file: LandingFile) -> int:
    """Return the file's size in bytes: of an object, the size that the store listed. Raises OSError."""
    return file.stored.bytes if file.stored else file.path.stat().st_size


def content_of(file: LandingFile) -> FileContent:
    """Read the whole file, wherever it is, and return its SHA-256 and size. Raises OSError or ChangedObject."""
    if file.stored_in and file.stored:
        return FileContent(*read_object(file.stored_in, file.stored.name))
    return read_content(file.path)


def read_content(path: Path) -> FileContent:
    """Read the whole file and return its SHA-256 and size."""
    with open_file(path) as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileContent(sha256, file.tell())


def readable_name(name: Path | str) -> str:
    r"""Convert a file name to text that Postgres and the usage table can store. Different names give different texts.

    Writes bytes that are not UTF-8 as `\xff` and a backslash as `\\`. Cuts a very long name and appends its hash.
    """
    raw = os.fsencode(name)
    text = raw.replace(b"\\", b"\\\\").decode(errors="backslashreplace")
    if len(text.encode()) <= LONGEST_NAME:
        return text
    cut = text.encode()[: LONGEST_NAME - 80].decode(errors="ignore")
    return f"{cut}\\… sha256 {hashlib.sha256(raw).hexdigest()}"


def describe_error(problem: BaseException) -> str:
    """Describe an error in one line of at most 500 characters, without characters that Postgres can't store."""
    if isinstance(problem, OSError) and problem.strerror:
        text = problem.strerror
    else:
        text = f"{type(problem).__name__}: {problem}".replace("\0", "␀")
    return text.encode(errors="backslashreplace").decode()[:500]


def path_for_duckdb(path: Path) -> str:
    """Escape a path so that DuckDB's `read_parquet`, which reads every path as a pattern, opens only this file.

    Raises ValueError if DuckDB can't express the path: it is not UTF-8, or has a backslash and a pattern character.
    """
    text = str(path.absolute())
    text.encode()
    if not PATTERN & set(text):
        return text
    if "\\" in text:
        raise ValueError(f"DuckDB can't open the path {text}")
    return "".join(f"[{letter}]" if letter in PATTERN else letter for letter in text)
