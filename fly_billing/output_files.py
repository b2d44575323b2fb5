"""Writes the files that people ask for: an existing file is replaced only if they say so, and no file is ever half.

Add here what holds for every option that names a file to write. Keeps out: what is written.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from fly_billing.errors import ActionableError

_OPEN_ALREADY = re.compile(r"/(?:dev|proc/self)/fd/([0-9]+)")
# What writing to an open file fails with; other errors of a block are its own.
_OF_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ESTALE})
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


class OutputExists(ActionableError):
    """There is such a file already, and nobody said that it may be replaced."""


class OutputNotWritten(ActionableError):
    """The file can't be written; the message says why, and what to do."""


@contextmanager
def output_file(path: Path, *, overwrite: bool = False) -> Iterator[IO[bytes]]:
    """Yield a binary file to write to; what was written is at `path` once the block ends without an error.

    Until then, and if it ends with one, `path` is as it was. A pipe, a device and /dev/stdout get all of it at the end.

    Raises:
        OutputExists: a file is there already, and not `overwrite`. Nothing is lost if it appears during the block.
        OutputNotWritten: the folder is missing, the disk is full, or the like.
    """
    if is_stream(path):
        with tempfile.TemporaryFile() as whole:
            with _explained(path, _OF_WRITING):
                yield whole
                whole.seek(0)
            with _explained(path), _stream(path) as stream:
                shutil.copyfileobj(whole, stream)
        return
    # Through a symlink, the file that it names: replacing it would leave that as it was.
    target = Path(os.path.realpath(path))
    with _explained(path):
        _refuse_existing(path, target, overwrite=overwrite)
    # Its name is not made of the target's, which may be as long as names can be.
    unfinished = target.with_name(f".{secrets.token_hex(8)}.unfinished")
    with _explained(path):
        written = unfinished.open("xb")
    try:
        with _explained(path, _OF_WRITING), written:
            yield written
            written.flush()
            os.fsync(written.fileno())
        with _explained(path):
            _put(unfinished, path, target, overwrite=overwrite)
    finally:
        unfinished.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Return True for what is written through rather than replaced: a pipe, a device, /dev/stdout, /dev/fd/3."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _descriptor(path: Path) -> int | None:
    found = _OPEN_ALREADY.fullmatch(str(path))
    return int(found[1]) if found else _STANDARD.get(str(path))


def _stream(path: Path) -> IO[bytes]:
    # Opening /dev/stdout again would empty the file that it was redirected to, or write over its beginning.
    descriptor = _descriptor(path)
    return path.open("wb") if descriptor is None else os.fdopen(os.dup(descriptor), "wb")


def _refuse_existing(path: Path, target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise OutputNotWritten(f"{path} is a folder: name a file in it")
    if target.exists() and not overwrite:
        raise OutputExists(f"{path} exists: name another file, or replace it with --overwrite")


def _put(unfinished: Path, path: Path, target: Path, *, overwrite: bool) -> None:
    if overwrite:
        with suppress(FileNotFoundError):
            unfinished.chmod(stat.S_IMODE(target.stat().st_mode))
        unfinished.replace(target)
        return
    try:
        target.hardlink_to(unfinished)  # unlike a renaming, refused if the file has appeared meanwhile
    except OSError:
        # It has appeared, or this file system has no hard links.
        _refuse_existing(path, target, overwrite=False)
        unfinished.replace(target)


@contextmanager
def _explained(path: Path, only: frozenset[int] | None = None) -> Iterator[None]:
    """Say in one line why the system refused, where its error number is in `only`. Raises OutputNotWritten."""
    try:
        yield
    except OSError as problem:
        if only is not None and problem.errno not in only:
            raise
        advice = "name a file that can"
        if isinstance(problem, FileNotFoundError):
            advice = f"make the folder {path.parent} first"
        raise OutputNotWritten(f"{path} can't be written: {problem.strerror}: {advice}") from problem
