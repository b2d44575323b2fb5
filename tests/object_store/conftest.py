"""Fixtures: every test of these modules gets a platform whose landing folder and usage table are on an S3 server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from tests.support.s3_server import CREDENTIALS, S3Server, running_s3
from tests.support.stored_platform import Bucket, StoredPlatform, s3_client

_numbers = itertools.count()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with running_s3() as server:
        yield server


@pytest.fixture(scope="session")
def client(s3_server: S3Server) -> Any:
    return s3_client(s3_server)


@pytest.fixture
def bucket(s3_server: S3Server, client: Any, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    name = f"usage-{next(_numbers)}"
    client.create_bucket(Bucket=name)
    s3_server.requests()
    return Bucket(name, s3_server, client)


@pytest.fixture
def platform(billing_database: BillingDatabase, landing_dir: Path, bucket: Bucket) -> StoredPlatform:
    return StoredPlatform.on_s3(billing_database, landing_dir, bucket)
