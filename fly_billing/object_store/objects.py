"""Lists, copies, writes and moves the objects of a folder.

Every error is an OSError with one line: what, where, what to do.

Not here: what the objects are for (`usage`), connections (`stores`).
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj
from typing import Any

from fly_billing.object_store.address import StoreFolder, not_a_key
from fly_billing.object_store.stores import filesystem_of

# An object up to this size is read in one request, so its content is of one moment.
BYTES_AT_ONCE = 8 * 2**20
_DENIED = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY_ID|INVALID_CLIENT_TOKEN_ID|SIGNATURE_DOES_NOT_MATCH|UNRECOGNIZED_CLIENT"
    r"|EXPIRED_TOKEN|ExpiredToken|PermissionDenied|AuthenticationFailed"
    r"|HTTP status 40[13]|HTTP response code 40[13]|40[13] (?:Forbidden|Unauthorized)"
)
_UNREACHABLE = re.compile(
    r"NETWORK_CONNECTION|REQUEST_TIMEOUT|curlCode|Could not resolve|Failed to connect|UNAVAILABLE|error sending request"
)
# The ids of requests, and the colored arrows by which delta-rs introduces a cause.
_NOISE = re.compile(r"\(Request ID: [^)]*\)|\x1b\[[0-9;]*m|↳")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or the machine's role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or the machine's service account",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or the machine's identity",
}


class StoreError(OSError):
    """An object store refused or could not answer. `strerror` is one line that says what to do."""


class ChangedObject(Exception):
    """An object was replaced while it was read."""


@dataclass(frozen=True)
class StoredObject:
    """An object of a folder.

    Attributes:
        name: Its key below the folder.
        bytes: The size.
    """

    name: str
    bytes: int
    modified_at: datetime


def list_objects(folder: StoreFolder) -> list[StoredObject]:
    """List all objects below the folder, by name. A store answers with up to 1,000 per request.

    Raises:
        FileNotFoundError: There is no object, not even the marker of an empty folder.
        StoreError: The store can't be read.
    """
    from pyarrow import fs

    with _one_line(folder):
        filesystem = filesystem_of(folder)
        found = filesystem.get_file_info(fs.FileSelector(folder.path, allow_not_found=True, recursive=True))
        if not found and filesystem.get_file_info(folder.path).type == fs.FileType.NotFound:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(folder))
    objects = [
        StoredObject(info.path.removeprefix(f"{folder.path}/"), info.size or 0, info.mtime or datetime.now(UTC))
        for info in found
        if info.type == fs.FileType.File
    ]
    return sorted(objects, key=lambda stored: stored.name.split("/"))


def list_entries(folder: StoreFolder) -> list[str]:
    """List the names directly in the folder: of objects and of folders. Returns none if the folder does not exist."""
    from pyarrow import fs

    with _one_line(folder):
        selector = fs.FileSelector(folder.path, allow_not_found=True)
        return sorted(info.path.rpartition("/")[2] for info in filesystem_of(folder).get_file_info(selector))


def exists(folder: StoreFolder) -> bool:
    """Return True if there is an object below the folder, or the marker of an empty one. Raises StoreError."""
    from pyarrow import fs

    with _one_line(folder):
        return bool(filesystem_of(folder).get_file_info(folder.path).type != fs.FileType.NotFound)


def check_bucket(folder: StoreFolder) -> None:
    """Raise StoreError unless the bucket exists and can be read."""
    bucket = StoreFolder(folder.scheme, folder.bucket, "", folder.access)
    if not exists(bucket):
        raise StoreError(errno.ENOENT, f"the bucket {folder.bucket} does not exist: create it, or correct the address")


def read_object(folder: StoreFolder, name: str, write: Callable[[bytes], Any] = lambda _: None) -> tuple[str, int]:
    """Read an object in pieces, and pass each to `write`. Returns its SHA-256 in hexadecimal and its size.

    Raises:
        ChangedObject: It was replaced meanwhile. A small object is read in one request, and can't be.
        FileNotFoundError, StoreError: It can't be read.
    """
    if not_a_key(name):
        raise StoreError(errno.EINVAL, "its key has an empty part, `.` or `..`: give it another key")
    digest, size = hashlib.sha256(), 0
    with _one_line(folder):
        filesystem, path = filesystem_of(folder), f"{folder.path}/{name}"
        with filesystem.open_input_file(path) as source:
            before = source.metadata()
            while piece := source.read(BYTES_AT_ONCE):
                digest.update(piece)
                size += len(piece)
                write(piece)
        if size > BYTES_AT_ONCE:
            with filesystem.open_input_file(path) as source:
                if source.metadata() != before:
                    raise ChangedObject(name)
    return digest.hexdigest(), size


def copy_to_disk(folder: StoreFolder, name: str, path: Path) -> tuple[str, int]:
    """Copy an object to a new file. Returns and raises as `read_object`."""
    with path.open("xb") as file:
        return read_object(folder, name, file.write)


def write_object(folder: StoreFolder, name: str, path: Path) -> None:
    """Write a file of this disk as an object. Raises StoreError; the object may then be incomplete."""
    key = f"{folder.path}/{name}"
    with _one_line(folder), path.open("rb") as source, filesystem_of(folder).open_output_stream(key) as sink:
        copyfileobj(source, sink, BYTES_AT_ONCE)


def move_objects(folder: StoreFolder, names: list[str], to: StoreFolder) -> None:
    """Move objects to another folder of the bucket, under the same names. Raises StoreError."""
    with _one_line(folder):
        for name in names:
            filesystem_of(folder).move(f"{folder.path}/{name}", f"{to.path}/{name}")


@contextmanager
def _one_line(folder: StoreFolder) -> Iterator[None]:
    """Convert what pyarrow raises: its messages contain request ids and the names of C++ functions."""
    try:
        yield
    except (StoreError, FileNotFoundError) as problem:
        if isinstance(problem, StoreError) or problem.filename is not None:
            raise
        raise FileNotFoundError(errno.ENOENT, "no such object", str(folder)) from None
    except (OSError, ValueError) as problem:
        # An error while writing the copy to the local disk has a file name or another number.
        if isinstance(problem, OSError) and problem.errno is not None and problem.filename is not None:
            raise
        raise StoreError(errno.EIO, describe_store_error(folder, str(problem))) from None


def describe_store_error(folder: StoreFolder, text: str) -> str:
    """Return one line for an error of pyarrow or delta-rs: the bucket, the reason and what to do."""
    where = folder.access.endpoint or {"s3": "Amazon S3", "gs": "Google Cloud Storage", "az": "Azure"}[folder.scheme]
    if "NO_SUCH_BUCKET" in text or "NoSuchBucket" in text or "ContainerNotFound" in text:
        return f"the bucket {folder.bucket} does not exist: create it, or correct the address"
    if _DENIED.search(text):
        return f"{where} refuses access to the bucket {folder.bucket}: check {_VARIABLES[folder.scheme]}"
    if _UNREACHABLE.search(text):
        return f"{where} can't be reached: check the network" + (
            " and AWS_ENDPOINT_URL" if folder.scheme == "s3" else ""
        )
    return " ".join(_NOISE.sub("", text).split())[:300]
