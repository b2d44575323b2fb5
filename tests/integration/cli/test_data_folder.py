"""The data folder is closed to other users, and fly-billing removes only files that it created."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fly_billing.cli.data_folder import DataInUse, make_data_folder, remove_data
from fly_billing.cli.local_platform import local_platform
from fly_billing.embedded_postgres import remove
from fly_billing.embedded_postgres.locks import exclusive
from fly_billing.output_files import FolderNotMade
from fly_billing.postgres.database import BillingDatabase


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_data_folder_and_one_that_was_open_to_others_are_closed(tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "data", tmp_path / "old"
    old.mkdir(mode=0o755)
    for folder in (new, old):
        make_data_folder(folder)
        assert mode(folder) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    make_data_folder(shared)
    assert mode(shared) == 0o777


def test_the_account_of_a_server_with_data_in_the_folder_may_traverse_but_not_list_it(tmp_path: Path) -> None:
    """Root's server runs under a separate account; an ordinary user's as that user."""
    account = 65534 if os.geteuid() == 0 else os.geteuid()
    server = tmp_path / "data" / "postgres" / "data"
    server.mkdir(parents=True)
    os.chown(server, account, account if os.geteuid() == 0 else -1)
    (tmp_path / "data").chmod(0o755)
    make_data_folder(tmp_path / "data")
    if account == os.geteuid():
        assert mode(tmp_path / "data") == 0o700
    else:
        assert (mode(tmp_path / "data"), (tmp_path / "data").stat().st_gid) == (0o710, account)
    make_data_folder(tmp_path / "data")
    assert mode(tmp_path / "data") in (0o700, 0o710)


def test_the_platform_runs_in_a_folder_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's server runs under another account, with its data elsewhere: in a folder closed to others too."""
    data_dir = tmp_path / "data"
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(data_dir))
    try:
        with local_platform(migrates=True) as settings:
            assert mode(data_dir) == 0o700
            database = BillingDatabase(settings.database_url)
            with database.transaction() as connection:
                assert connection.exec_driver_sql("select current_user").scalar_one() == "fly_billing_pipeline"
            database.engine.dispose()
            assert settings.migration_database_url is not None
            assert settings.migration_database_url.get_secret_value() not in os.environ.values()
    finally:
        remove(data_dir / "postgres")


@pytest.mark.parametrize(
    ("in_the_way", "kind"),
    [
        ("", "file"), ("dagster", "file"), ("postgres", "file"), ("landing", "file"), ("usage_events", "file"),
        ("reports", "file"), ("dagster", "link to nothing"), ("landing", "link to nothing"),
    ],
)  # fmt: skip
def test_a_file_in_place_of_the_data_folder_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_the_way: str, kind: str
) -> None:
    data_dir = tmp_path / "data"
    path = data_dir / in_the_way
    path.parent.mkdir(exist_ok=True)
    path.touch() if kind == "file" else path.symlink_to(tmp_path / "nothing")
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(data_dir))

    with pytest.raises(FolderNotMade, match=f"{path} is a {kind}, but a folder is needed there: "):
        local_platform().__enter__()


@pytest.mark.parametrize("setting", ["FLY_BILLING_LANDING_DIR", "FLY_BILLING_LAKE_DIR"])
def test_a_file_in_place_of_a_folder_outside_the_data_folder_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv(setting, str(tmp_path / "file" / "below"))

    with pytest.raises(FolderNotMade, match=f"{tmp_path / 'file'} is a file, but a folder is needed there: "):
        local_platform().__enter__()


def test_removing_the_data_leaves_files_that_fly_billing_did_not_create(tmp_path: Path) -> None:
    """FLY_BILLING_DATA_DIR may name a folder with the user's files in it."""
    data_dir, shared = tmp_path / "home", tmp_path / "shared_landing"
    for folder in (data_dir / "dagster" / "storage", data_dir / "usage_events", data_dir / "photos", shared):
        folder.mkdir(parents=True)
    (data_dir / "landing").symlink_to(shared)
    own = ("seed.json", "stripe_sandbox.sqlite", "stripe_sandbox.sqlite-wal", "stripe_sandbox.json")
    for name in (*own, ".0123456789abcdef.unfinished", "notes.txt", "photos/1.jpg"):
        (data_dir / name).touch()
    (shared / "usage.jsonl").touch()

    removal = remove_data(data_dir)

    assert removal.left == ["notes.txt", "photos"]
    assert sorted(path.name for path in data_dir.rglob("*")) == ["1.jpg", "notes.txt", "photos"]
    assert (shared / "usage.jsonl").exists()


def test_a_data_folder_without_other_files_is_removed_and_a_missing_one_is_no_error(tmp_path: Path) -> None:
    make_data_folder(tmp_path / "data")
    for _ in range(2):
        assert remove_data(tmp_path / "data").left == []
        assert not (tmp_path / "data").exists()


def test_data_that_the_sandbox_uses_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "seed.json").touch()
    with exclusive(tmp_path / "stripe_sandbox.lock"), pytest.raises(DataInUse, match="end it first"):
        remove_data(tmp_path)
    assert (tmp_path / "seed.json").exists()


def test_the_platform_s_own_server_is_reached_whatever_the_variables_of_postgres_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq reads PGSERVICE before any parameter, and a service that no file defines would end every connection."""
    data_dir = tmp_path / "data"
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(data_dir))
    for name in ("DATABASE_URL", "DAGSTER_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGSERVICE", "undefined")
    try:
        with local_platform(migrates=True) as settings:
            database = BillingDatabase(settings.database_url)
            with database.transaction() as connection:
                assert connection.exec_driver_sql("select current_database()").scalar_one() == "billing"
            database.engine.dispose()
        assert os.environ["PGSERVICE"] == "undefined"
    finally:
        remove(data_dir / "postgres")
