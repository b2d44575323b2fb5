"""A platform whose landing folder and usage table are in a bucket. Tests write files to a disk, as for any platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from fly_billing.object_store.address import StoreAccess, StoreFolder
from fly_billing.object_store.local_copies import LocalCopies
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import DAY, FIRST_MONTH, NOW, PRICES, Platform
from tests.support.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

REGION = "us-east-1"


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own for a test."""

    name: str
    server: S3Server
    client: Any = field(repr=False)

    @property
    def access(self) -> StoreAccess:
        return StoreAccess(self.server.url, REGION)

    def folder(self, key: str) -> StoreFolder:
        return StoreFolder("s3", self.name, key, self.access)

    def put(self, key: str, content: bytes | str = b"") -> None:
        body = content.encode() if isinstance(content, str) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return sorted(found["Key"] for page in pages for found in page.get("Contents", ()))

    def replace_folder(self, prefix: str, folder: Path) -> None:
        """Let the folder in the bucket have exactly these files. An empty folder has a marker, as S3's console does."""
        wanted = {
            f"{prefix}/{path.relative_to(folder).as_posix()}{'/' if path.is_dir() else ''}": path
            for path in folder.rglob("*")
            if path.is_file() or (path.is_dir() and not any(path.iterdir()))
        }
        for key in set(self.keys(f"{prefix}/")) - wanted.keys():
            self.delete(key)
        for key, path in wanted.items():
            self.put(key, b"" if path.is_dir() else path.read_bytes())


def s3_client(server: S3Server) -> Any:
    config = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0})
    return boto3.client(
        "s3", endpoint_url=server.url, region_name=REGION, aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY, config=config,
    )  # fmt: skip


@dataclass(frozen=True)
class StoredPlatform(Platform):
    """Copies its landing folder to the bucket before each landing, and lands from there."""

    bucket: Bucket

    @classmethod
    def on_s3(cls, database: BillingDatabase, landing_dir: Path, bucket: Bucket) -> StoredPlatform:
        """Return a platform with the small price book and one organization, acme."""
        copies = LocalCopies(landing_dir.parent / "copies", 10**9)
        usage_table = UsageTable(bucket.folder("usage_table"), copies=copies)
        platform = cls(database, usage_table, landing_dir, bucket)
        platform.load(*PRICES)
        platform.add_organization("acme")
        return platform

    @property
    def stored_landing(self) -> StoreFolder:
        return self.bucket.folder("landing")

    def land(self, *days: date, now: Any = NOW) -> list[LandedFile]:
        self.bucket.replace_folder("landing", self.landing_dir)
        return self.land_stored(*days, now=now)

    def land_stored(self, *days: date, now: Any = NOW) -> list[LandedFile]:
        """Land the objects of the bucket."""
        return land_days(self.database, self.usage_table, self.stored_landing, days or [DAY], FIRST_MONTH, now)
