"""Fixtures: a real Postgres and a local Stripe sandbox on 127.0.0.1, started and stopped here.

Each worker has a throw-away server with a migrated template. Each test has a new database, copied from it in 0.02 s.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import PIPELINE
from fly_billing.postgres.database import BillingDatabase
from fly_billing.settings import is_setting
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.testing import new_account, throwaway_database, throwaway_server, throwaway_stripe
from tests.support import prepared
from tests.support.builders import Platform
from tests.support.deployment import Deployment, dagster_instance
from tests.support.implicit_instances import open_instances

# The machine's speed is no property of billing, so no example fails or counts as too slow because of its time.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
# For `make mutants`: thousands of identical runs, whose failing examples are not used.
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("untimed"),
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long tests first, so that no worker still runs them after the others have finished."""
    items.sort(key=lambda item: "scenarios" not in item.path.parts)


@pytest.fixture(autouse=True)
def environment_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove real servers and keys from the environment, so that no test can reach one.

    TERM goes too: on a terminal called `dumb`, whatever width is asked for, lines end after 80 characters.
    """
    monkeypatch.delenv("TERM", raising=False)
    for name in list(os.environ):
        if is_setting(name):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def no_dagster_instance_left_open() -> Iterator[None]:
    """Fail a test that leaves a Dagster instance open, e.g. in the context of a sensor or schedule without `with`.

    Garbage collection closes it at any later moment: inside `ast.parse`, say, which then fails in whatever test
    imports a module, or while a later test loads its definitions with the storage of an instance that is gone.
    """
    storage, before = _storage_of_open_instance(), open_instances()
    yield
    left = open_instances() - before
    assert not left and _storage_of_open_instance() is storage, (
        "use `with build_..._context(resources=...)`: it closes the instance"
    )


def _storage_of_open_instance() -> object:
    dagster = sys.modules.get("dagster._core.storage.defs_state.base")  # tests of pure rules don't import Dagster
    return dagster.DefsStateStorage.get() if dagster else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with throwaway_server() as server:
        prepared.register(server)
        yield server
        prepared.forget(server)


@pytest.fixture
def billing_database(postgres: PostgresServer) -> Iterator[BillingDatabase]:
    """Provide a migrated, empty billing database."""
    with throwaway_database(postgres) as database:
        yield database


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[SandboxServer]:
    with throwaway_stripe() as server:
        yield server


@pytest.fixture
def sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """Provide a Stripe sandbox without customers, invoices and faults. Customers pay by card."""
    return new_account(sandbox_server)


@pytest.fixture
def landing_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


@pytest.fixture
def deployment(
    postgres: PostgresServer,
    billing_database: BillingDatabase,
    sandbox: SandboxServer,
    landing_dir: Path,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """Provide a platform on 2026-11-05, when October 2026 has just closed."""
    with dagster_instance() as instance:
        yield Deployment(
            database=billing_database,
            # The test's own set-up owns the tables; the tested code has only the pipeline's rights.
            database_url=postgres.url(str(billing_database.engine.url.database), role=PIPELINE),
            landing_dir=landing_dir,
            lake_dir=tmp_path / "usage_table",
            stripe_url=sandbox.url,
            instance=instance,
            now=datetime(2026, 11, 5, tzinfo=UTC),
        )


@pytest.fixture
def platform(billing_database: BillingDatabase, landing_dir: Path) -> Platform:
    """Provide a platform with one organization, one meter and one price, without Dagster."""
    return Platform.with_acme(billing_database, landing_dir)
