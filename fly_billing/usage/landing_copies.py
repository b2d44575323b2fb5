"""Copies the objects of landing days to a temporary folder while they land. Files on a disk are read in place.

The copies of a batch of days exist at the same time, so they take about `landing_batches.BYTES_AT_ONCE`, or the size of
the largest day. Not here: listing objects (`landing_folder`), reading files (`landing_staging`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fly_billing.object_store.objects import copy_to_disk
from fly_billing.usage.landing_folder import FileContent, LandingFile, read_content

# File systems allow 255 bytes in a name, object stores 1,024.
LONGEST_FILE_NAME = 200


class LandingCopies:
    """The copies of one landing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def read(self, file: LandingFile) -> tuple[LandingFile, FileContent]:
        """Read the file's content once. Returns the file with a path that can be opened, and its content.

        Raises:
            OSError: It can't be read.
            ChangedObject: The object was replaced while it was copied.
        """
        if file.stored is None or file.stored_in is None:
            return file, read_content(file.path)
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        copy = folder / _file_name(file.path)
        content = FileContent(*copy_to_disk(file.stored_in, file.stored.name, copy))
        return replace(file, path=copy), content


def _file_name(path: Path) -> str:
    """Return a file name with the extensions of the object, which decide how it is read."""
    if len(path.name.encode()) <= LONGEST_FILE_NAME:
        return path.name
    return f"long{''.join(path.suffixes[-2:])[-LONGEST_FILE_NAME // 2 :]}"


@contextmanager
def landing_copies() -> Iterator[LandingCopies]:
    """Make the folder during the block. Only this user can enter it: the copies contain customers' usage."""
    with TemporaryDirectory(prefix="fly_billing-landing-") as folder:
        yield LandingCopies(Path(folder))
