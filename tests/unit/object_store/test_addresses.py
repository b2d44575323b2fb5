"""A folder is named by a path or by an address; the settings of its store reach pyarrow and delta-rs, and no log."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow.fs import AzureFileSystem, GcsFileSystem, S3FileSystem
from pydantic import SecretStr

from fly_billing.object_store.address import StoreAccess, StoreFolder, parse_place
from fly_billing.object_store.objects import describe_store_error
from fly_billing.object_store.stores import delta_options, filesystem_of
from fly_billing.settings import Settings, SettingsError

KEY = "c2VjcmV0IG9mIHRoaXMgdGVzdA=="


def folder_in(settings: dict[str, str], address: str) -> StoreFolder:
    place = Settings.from_environment({"FLY_BILLING_LANDING_DIR": address, **settings}).landing_dir
    assert isinstance(place, StoreFolder)
    return place


@pytest.mark.parametrize("path", ["landing", "/srv/landing", "s3:/landing", "C:landing", "a b/ü"])
def test_a_text_without_scheme_is_a_path(path: str) -> None:
    assert parse_place(path) == Path(path)


@pytest.mark.parametrize(
    ("address", "bucket", "key"),
    [
        ("s3://usage/landing", "usage", "landing"),
        ("s3://usage/", "usage", ""),
        ("s3://usage", "usage", ""),
        ("gs://my-usage.example.com/a/b c/", "my-usage.example.com", "a/b c"),
        ("az://container/ü=%41", "container", "ü=%41"),
    ],
)
def test_an_address_names_a_bucket_and_a_folder(address: str, bucket: str, key: str) -> None:
    place = parse_place(address)
    assert place == StoreFolder(address[:2], bucket, key)
    assert str(place) == address.rstrip("/")
    assert str(place / "2026-09-15") == f"{address.rstrip('/')}/2026-09-15"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://usage/landing", "has an unknown scheme: name a folder on a disk, or use s3://"),
        ("S3://usage/landing", "has an unknown scheme"),
        ("s3://", "does not name a bucket"),
        ("s3:///landing", "does not name a bucket"),
        ("s3://usage//landing", "is not an address of a folder"),
        ("s3://usage/../other", "is not an address of a folder"),
        ("s3://usage/./landing", "is not an address of a folder"),
        ("s3://usage/landing?versionId=1", "is not an address of a folder"),
        ("s3://usage/line\nbreak", "is not an address of a folder"),
    ],
)
def test_another_address_is_refused_in_one_line(address: str, reason: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"FLY_BILLING_LAKE_DIR": address})
    assert str(refused.value).startswith(f"FLY_BILLING_LAKE_DIR={address!r} {reason}")
    assert "\n" not in str(refused.value)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({"FLY_BILLING_LAKE_DIR": f"s3://key:{KEY}/x@usage/landing"})
    assert str(refused.value).startswith("FLY_BILLING_LAKE_DIR='s3://***@usage/landing' must not contain a user")


def test_s3_is_reached_at_its_endpoint_and_in_its_region() -> None:
    folder = folder_in({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_REGION": "eu-west-1"}, "s3://usage/landing")
    assert {
        "aws_endpoint_url": "http://127.0.0.1:9000",
        "aws_allow_http": "true",
        "aws_region": "eu-west-1",
    }.items() <= (options := delta_options(folder)).items()
    assert options["aws_conditional_put"] == "etag"
    store = filesystem_of(folder)
    assert isinstance(store, S3FileSystem)
    assert store.region == "eu-west-1"
    amazon = delta_options(folder_in({"AWS_DEFAULT_REGION": "eu-west-2"}, "s3://usage/landing"))
    assert ("aws_allow_http" in amazon, amazon["aws_region"]) == (False, "eu-west-2")


def test_google_cloud_storage_finds_its_own_credentials() -> None:
    folder = folder_in({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "gs://usage/landing")
    assert isinstance(filesystem_of(folder), GcsFileSystem)
    assert [name for name in delta_options(folder) if name.startswith(("aws", "google"))] == []
    assert str(folder) == "gs://usage/landing"


def test_azure_is_reached_with_its_account_and_key() -> None:
    settings = {"AZURE_STORAGE_ACCOUNT_NAME": "usageaccount", "AZURE_STORAGE_ACCOUNT_KEY": KEY}
    folder = folder_in(settings, "az://container/landing")
    assert isinstance(filesystem_of(folder), AzureFileSystem)
    assert delta_options(folder)["azure_storage_account_name"] == "usageaccount"
    assert delta_options(folder)["azure_storage_account_key"] == KEY
    assert KEY not in repr(folder) + repr(folder.access) + str(folder) + repr(Settings.from_environment(settings))


def test_the_key_of_an_account_is_part_of_no_message() -> None:
    access = StoreAccess(account="usageaccount", account_key=SecretStr(KEY))
    said = describe_store_error(StoreFolder("az", "container", "x", access), "HTTP status 403 AuthenticationFailed")
    assert said == (
        "Azure refuses access to the bucket container: check AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY,"
        " or the machine's identity"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "AWS Error NO_SUCH_BUCKET during ListObjectsV2 (Request ID: x1)",
            "the bucket usage does not exist: create it",
        ),
        (
            "AWS Error ACCESS_DENIED during HeadBucket operation",
            "Amazon S3 refuses access to the bucket usage: check AWS_",
        ),
        (
            "AWS Error NETWORK_CONNECTION during HeadBucket: curlCode: 6",
            "Amazon S3 can't be reached: check the network",
        ),
        ("Generic S3 error \x1b[31m↳\x1b[0m disk\nfull (Request ID: x1)", "Generic S3 error disk full"),
    ],
)
def test_an_error_of_a_store_is_one_line_that_says_what_to_do(text: str, said: str) -> None:
    found = describe_store_error(StoreFolder("s3", "usage", "landing"), text)
    assert found.startswith(said)
    assert "Request ID" not in found


def test_commands_that_write_files_name_the_setting() -> None:
    settings = Settings.from_environment({"FLY_BILLING_LANDING_DIR": "s3://usage/landing"})
    with pytest.raises(
        SettingsError, match="FLY_BILLING_LANDING_DIR=s3://usage/landing is an object store, into which"
    ):
        settings.local_landing_dir("into which sample usage is not written")


def test_copies_are_in_the_data_folder_unless_a_setting_names_another(tmp_path: Path) -> None:
    settings = Settings.from_environment({"FLY_BILLING_DATA_DIR": str(tmp_path)})
    assert (settings.copies_dir, settings.copies_mb) == (tmp_path.resolve() / "local_copies", 20_000)
    other = Settings.from_environment({"FLY_BILLING_COPIES_DIR": str(tmp_path / "x"), "FLY_BILLING_COPIES_MB": "5"})
    assert (other.copies_dir, other.copies_mb) == (tmp_path.resolve() / "x", 5)


def test_a_container_of_an_unknown_account_is_refused() -> None:
    with pytest.raises(SettingsError, match="az://container/landing needs AZURE_STORAGE_ACCOUNT_NAME"):
        folder_in({}, "az://container/landing")
