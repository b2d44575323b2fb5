"""Usage, invoices and passwords on this machine are nobody else's to read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fly_billing.cli.data_folder import make_private
from fly_billing.cli.local_platform import local_platform
from fly_billing.embedded_postgres import remove
from fly_billing.postgres.database import BillingDatabase


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_data_folder_and_one_that_was_open_to_others_are_closed(tmp_path: Path) -> None:
    new, old = tmp_path / "new" / "data", tmp_path / "old"
    old.mkdir(mode=0o755)
    for folder in (new, old):
        make_private(folder)
        assert mode(folder) == 0o700
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    make_private(shared)
    assert mode(shared) == 0o777


def test_the_account_of_a_server_whose_data_is_in_the_folder_may_pass_and_see_nothing(tmp_path: Path) -> None:
    """Root's server runs as an account of its own; an ordinary user's as that user."""
    account = 65534 if os.geteuid() == 0 else os.geteuid()
    server = tmp_path / "data" / "postgres" / "data"
    server.mkdir(parents=True)
    os.chown(server, account, account if os.geteuid() == 0 else -1)
    (tmp_path / "data").chmod(0o755)
    make_private(tmp_path / "data")
    if account == os.geteuid():
        assert mode(tmp_path / "data") == 0o700
    else:
        assert (mode(tmp_path / "data"), (tmp_path / "data").stat().st_gid) == (0o710, account)
    make_private(tmp_path / "data")
    assert mode(tmp_path / "data") in (0o700, 0o710)


def test_the_platform_runs_in_a_folder_that_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root's server runs as another account, which has its data elsewhere then: in a folder closed to others too."""
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
