"""The address of a folder in an object store, such as `s3://bucket/landing`, and how to reach the store.

Not here: requests to a store (`stores`, `objects`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

EXAMPLES = "s3://bucket/folder, gs://bucket/folder or az://container/folder"
SCHEMES = ("s3", "gs", "az")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]")
_USER = re.compile(r"//.*@")


@dataclass(frozen=True)
class StoreAccess:
    """The address and keys of an object store. Credentials that are not here come from the store's own standard places.

    Attributes:
        endpoint: The address of an S3 server; None for Amazon's own.
        region: The region of the S3 buckets.
        account, account_key: Azure's storage account.
    """

    endpoint: str | None = None
    region: str | None = None
    account: str | None = None
    account_key: SecretStr | None = None


@dataclass(frozen=True)
class StoreFolder:
    """A folder in an object store: all objects whose keys begin with `key` and a slash.

    Attributes:
        scheme: s3, gs or az.
        key: Without slashes at its ends; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str
    access: StoreAccess = field(default=StoreAccess(), repr=False)

    def __truediv__(self, name: str) -> StoreFolder:
        return StoreFolder(self.scheme, self.bucket, f"{self.key}/{name}".strip("/"), self.access)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.path}"

    @property
    def path(self) -> str:
        """The bucket and the key, as pyarrow names a folder."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket


# A folder on a disk or in an object store. Both have `/` and `str`.
Place = Path | StoreFolder


def parse_place(text: str, access: StoreAccess = StoreAccess()) -> Place:
    """Return the folder that a setting names: a path, or an address with a scheme. Raises ValueError."""
    url = _URL.fullmatch(text)
    if url is None:
        return Path(text)
    scheme, rest = url.groups()
    if scheme not in SCHEMES:
        raise ValueError(f"has an unknown scheme: name a folder on a disk, or use {EXAMPLES}")
    if "@" in rest:
        raise ValueError(f"must not contain a user, a password or an account: use {EXAMPLES}")
    bucket, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(f"does not name a bucket: use {EXAMPLES}")
    key = key.removesuffix("/")
    if not key.isprintable() or "?" in key or "#" in key or (key and not_a_key(key)):
        raise ValueError(f"is not an address of a folder (no empty parts, `.`, `..`, ? or #): use {EXAMPLES}")
    return StoreFolder(scheme, bucket, key, access)


def not_a_key(name: str) -> bool:
    """Return True if a part of the name is empty, `.` or `..`: such objects exist, but can't be opened by name."""
    return not {"", ".", ".."}.isdisjoint(name.split("/"))


def hide_user(text: str) -> str:
    """Return the text without the user and password of an address in it."""
    return _USER.sub("//***@", text)


def address_of(place: Place) -> str:
    """Return the place as an address with a scheme."""
    return str(place) if isinstance(place, StoreFolder) else place.resolve().as_uri()
