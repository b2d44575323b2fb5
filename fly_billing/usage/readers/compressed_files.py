"""Opens .gz and .zst files as streams of their uncompressed bytes, up to a limit.

A few bytes can decompress to terabytes. So a file is rejected as soon as it exceeds MOST_TIMES its size or MOST_BYTES.
Not here: file contents (`files`).
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
# Usage compresses to a tenth, repetitive JSON lines to a hundredth. The ratio is not checked up to FREE_BYTES.
MOST_TIMES = 250
FREE_BYTES = 64 * 2**20
MOST_BYTES = 16 * 2**30
# A file that is read from its end is decompressed into memory up to this size, and to disk beyond it.
IN_MEMORY = 16 * 2**20


class ArchiveTooLarge(Exception):
    """The uncompressed size exceeds the limit for a file of this size. The message says what to do."""


class InvalidArchive(Exception):
    """The file is not in the format of its extension, or is incomplete."""


@contextmanager
def unpacked(file: BinaryIO, size: int, ending: str, *, seekable: bool) -> Iterator[BinaryIO]:
    """Yield the uncompressed content of a file.

    Args:
        size: The compressed size in bytes.
        seekable: Decompress everything first, to memory or disk.

    Raises:
        ArchiveTooLarge, InvalidArchive: Raised while reading.
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
    """Decompresses, and counts the bytes."""

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
            raise InvalidArchive(f"not a complete {self._ending} file: {problem}"[:300]) from problem
        except OSError as problem:
            if problem.errno is not None:  # the operating system failed, so the file is not to blame
                raise
            raise InvalidArchive(f"not a complete {self._ending} file: {problem}"[:300]) from problem
        self._read += len(piece)
        if self._read > self._most:
            raise ArchiveTooLarge(
                f"its {self._size:,} bytes decompress to more than {self._most:,}: split it into several files, or send"
                " it uncompressed"
            )
        buffer[: len(piece)] = piece
        return len(piece)
