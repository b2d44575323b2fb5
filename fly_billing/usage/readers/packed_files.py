"""Opens .gz and .zst files as the bytes that were packed, a piece at a time, and no further than they may unpack to.

A few bytes can unpack to terabytes: what unpacks to more than MOST_TIMES its size, or to more than MOST_BYTES, is
refused when it comes so far. Keeps out: what is in the files (`files`).
"""

from __future__ import annotations

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

import pyarrow as pa

ENDINGS = (".gz", ".zst")
# Usage packs to a tenth, repetitive JSON lines to a hundredth. Up to FREE_BYTES the ratio does not matter.
MOST_TIMES = 250
FREE_BYTES = 64 * 2**20
MOST_BYTES = 16 * 2**30
# Kept in memory where a file must be read from its end; a longer one goes to disk.
IN_MEMORY = 16 * 2**20


class UnpacksToTooMuch(Exception):
    """The file unpacks to more than a file of its size may. The message says what to do."""


class NotPacked(Exception):
    """The file is not what its ending says, or it is torn."""


@contextmanager
def unpacked(file: BinaryIO, size: int, ending: str, *, seekable: bool) -> Iterator[BinaryIO]:
    """Yield what is packed in `file`, which has `size` bytes. `seekable`: unpack all of it first.

    Reading raises UnpacksToTooMuch and NotPacked.
    """
    with io.BufferedReader(_Unpacked(file, size, ending), 2**20) as stream:
        if not seekable:
            yield cast(BinaryIO, stream)
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as whole:
            shutil.copyfileobj(stream, whole, 2**20)
            whole.seek(0)
            yield cast(BinaryIO, whole)


class _Unpacked(io.RawIOBase):
    """Counts what it unpacks."""

    def __init__(self, file: BinaryIO, size: int, ending: str) -> None:
        self._stream: Any = gzip.GzipFile(fileobj=file) if ending == ".gz" else pa.CompressedInputStream(file, "zstd")
        self._most = min(MOST_BYTES, max(FREE_BYTES, MOST_TIMES * size))
        self._size = size
        self._ending = ending
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            piece = self._stream.read(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as problem:
            raise NotPacked(f"no whole {self._ending} file: {problem}"[:300]) from problem
        except OSError as problem:
            if problem.errno is not None:  # a reason that is not in the file
                raise
            raise NotPacked(f"no whole {self._ending} file: {problem}"[:300]) from problem
        self._read += len(piece)
        if self._read > self._most:
            raise UnpacksToTooMuch(
                f"its {self._size:,} bytes unpack to more than {self._most:,}: split it into several files, or send it"
                " unpacked"
            )
        buffer[: len(piece)] = piece
        return len(piece)
