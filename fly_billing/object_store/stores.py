"""Connections to object stores: for pyarrow, which lists and copies objects, and for delta-rs, which writes the table.

Both get the same endpoint, region and limits. Both find credentials themselves, in the standard places of each store:
variables (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, ...), profiles, or the role of the machine.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fly_billing.object_store.address import StoreAccess, StoreFolder

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

CONNECT_SECONDS = 10
REQUEST_SECONDS = 60
ATTEMPTS = 4
AMAZON_DEFAULT_REGION = "us-east-1"


def filesystem_of(folder: StoreFolder) -> FileSystem:
    """Return pyarrow's file system for the folder's store, the same object for the same store."""
    return _filesystem(folder.scheme, folder.access)


@cache
def _filesystem(scheme: str, access: StoreAccess) -> FileSystem:
    from pyarrow import fs  # takes 0.1 s, which a platform with local folders does not need

    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=REQUEST_SECONDS))
    if scheme == "az":
        key = access.account_key.get_secret_value() if access.account_key else None
        return fs.AzureFileSystem(access.account, account_key=key)
    endpoint = urlsplit(access.endpoint) if access.endpoint else None
    return fs.S3FileSystem(
        region=access.region or AMAZON_DEFAULT_REGION,
        scheme=endpoint.scheme if endpoint else "https",
        endpoint_override=f"{endpoint.netloc}{endpoint.path.rstrip('/')}" if endpoint else None,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )


def delta_options(folder: StoreFolder) -> dict[str, str]:
    """Return the storage options of delta-rs."""
    options = {
        "connect_timeout": f"{CONNECT_SECONDS}s",
        "timeout": f"{REQUEST_SECONDS}s",
        "max_retries": str(ATTEMPTS - 1),
        "retry_timeout": f"{REQUEST_SECONDS}s",
    }
    access = folder.access
    if folder.scheme == "s3":
        # Two writers can't commit the same version: the store refuses to put a log file that exists.
        options |= {"aws_conditional_put": "etag", "aws_region": access.region or AMAZON_DEFAULT_REGION}
        if access.endpoint:
            options |= {"aws_endpoint_url": access.endpoint}
            options |= {"aws_allow_http": "true"} if access.endpoint.startswith("http://") else {}
    if folder.scheme == "az":
        options |= {"azure_storage_account_name": access.account} if access.account else {}
        options |= {"azure_storage_account_key": access.account_key.get_secret_value()} if access.account_key else {}
    return options
