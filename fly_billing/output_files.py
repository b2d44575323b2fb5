"""Writes output files safely: never replaces one unasked, never leaves half of one. Makes the folders for them, too.

Add rules here that apply to every option that names an output file. Not here: the content.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from fly_billing.errors import ActionableError

_DESCRIPTOR_PATH = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")
# Errors of writing to an open file. Any other OSError in a block comes from the caller's own code.
_WRITE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE})
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class OutputExists(ActionableError):
    """The file exists already, and the user did not ask to replace it."""


class OutputNotWritten(ActionableError):
    """The file can't be written. The message gives the reason and the next step."""


class FolderNotMade(ActionableError):
    """A folder can't be made. The message gives the reason and the fix."""


def make_folder(folder: Path, mode: int = 0o777) -> None:
    """Make the folder and its parents if they are missing. `mode` is for the folder itself. Raises FolderNotMade."""
    refuse_file_in_place_of_folder(folder)
    try:
        folder.mkdir(mode=mode, parents=True, exist_ok=True)
    except OSError as problem:
        raise FolderNotMade(f"the folder {folder} can't be made: {problem.strerror}") from problem


def refuse_file_in_place_of_folder(folder: Path) -> None:
    """Raise FolderNotMade if the folder, or a folder above it, is a file or a link to nothing."""
    for path in (*reversed(folder.parents), folder):
        try:
            is_folder = stat.S_ISDIR(path.stat().st_mode)
        except FileNotFoundError:
            if path.is_symlink():
                raise FolderNotMade(
                    f"{path} is a link to nothing, but a folder is needed there: remove the link"
                ) from None
            return
        except OSError:  # no permission, say: making the folder fails with the reason
            return
        if not is_folder:
            raise FolderNotMade(f"{path} is a file, but a folder is needed there: move the file away")


@contextmanager
def csv_writer(binary: IO[bytes]) -> Iterator[Any]:
    """Yield a writer of CSV rows (`csv.writer`) into the file, which stays open. Text is UTF-8."""
    file = io.TextIOWrapper(binary, newline="", encoding="utf-8")
    try:
        # RFC 4180's line ends: with "\n" alone, csv would not quote text that contains "\r", which would break the row.
        yield csv.writer(file, lineterminator="\r\n")
    finally:
        file.detach()


@contextmanager
def output_file(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Yield a binary file. When the block ends without an error, `path` has its content.

    Until then, and after an error, `path` does not change. A pipe, a device or /dev/stdout gets the whole content at
    the end.

    Raises:
        OutputExists: The file exists and `overwrite` is False. A file that appears during the block is not replaced.
        OutputNotWritten: The folder is missing, the disk is full, or the like.
    """
    if is_stream(path):
        with tempfile.TemporaryFile() as whole:
            with _explain(path, _WRITE_ERRORS):
                yield whole
                whole.seek(0)
            with _explain(path), _stream(path) as stream:
                shutil.copyfileobj(whole, stream)
        return
    # Follow a symlink: replacing the link itself would leave the file behind it unchanged.
    target = Path(os.path.realpath(path))
    with _explain(path):
        _refuse_existing(path, target, overwrite=overwrite)
    # Not the target's name with a suffix: the target's name may have the maximum length already.
    unfinished = target.with_name(f".{secrets.token_hex(8)}.unfinished")
    with _explain(path):
        written = unfinished.open("xb")
    try:
        with _explain(path, _WRITE_ERRORS), written:
            yield written
            written.flush()
            os.fsync(written.fileno())
        with _explain(path):
            _put(unfinished, path, target, overwrite=overwrite)
    finally:
        unfinished.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Return True if the path is written to rather than replaced: a pipe, a device, /dev/stdout, /dev/fd/3."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _descriptor(path: Path) -> int | None:
    match = _DESCRIPTOR_PATH.fullmatch(str(path))
    return int(match[1]) if match else _STANDARD.get(str(path))


def _stream(path: Path) -> IO[bytes]:
    # Opening /dev/stdout again would truncate the file that it is redirected to, or overwrite its beginning.
    descriptor = _descriptor(path)
    return path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


def _refuse_existing(path: Path, target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise OutputNotWritten(f"{path} is a folder: name a file inside it")
    if target.exists() and not overwrite:
        raise OutputExists(f"{path} exists already: choose another file, or replace it with --overwrite")


def _put(unfinished: Path, path: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        with suppress(FileNotFoundError):
            unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
        unfinished.replace(target)
        return
    try:
        target.hardlink_to(unfinished)  # unlike a rename, this fails if the file exists by now
    except OSError:
        # The file exists by now, or the file system has no hard links.
        _refuse_existing(path, target, overwrite=False)
        unfinished.replace(target)


@contextmanager
def _explain(path: Path, only: frozenset[int] | None = None) -> Iterator[None]:
    """Turn an OSError into OutputNotWritten, a message of one line. `only`: the error numbers that it applies to."""
    try:
        yield
    except OSError as problem:
        if only is not None and problem.errno not in only:
            raise
        advice = "choose another file"
        if isinstance(problem, FileNotFoundError):
            advice = f"create the folder {path.parent} first"
        raise OutputNotWritten(f"{path} can't be written: {problem.strerror}: {advice}") from problem
