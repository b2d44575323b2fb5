"""A real Postgres and a real Stripe sandbox for every test that asks, on 127.0.0.1, started and stopped here.

Per worker one throw-away server with a migrated template; per test a fresh database, copied from it in 0.02 s.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from dagster import DagsterInstance

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database, throwaway
from fly_billing.embedded_postgres.roles import PIPELINE
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.stripe_sandbox import SandboxServer, spawn
from tests.support.builders import Platform
from tests.support.deployment import Deployment

_numbers = itertools.count()

# How fast a machine is says nothing of billing: no example fails, and none is called too slow, because of its time.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")
# For `make mutants`: thousands of runs, each the same as the last, and nobody reads the example that failed.
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("untimed"),
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the long tests first, or one worker would still be busy with them when the others are done."""
    items.sort(key=lambda item: "scenarios" not in item.path.parts)


@pytest.fixture(autouse=True)
def environment_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a real server because the machine it runs on names one."""
    for name in list(os.environ):
        if name.startswith(("STRIPE_", "FLY_BILLING_", "PG", "ALERT_", "SLACK_", "SMTP_")) or name in (
            "DATABASE_URL",
            "DAGSTER_DATABASE_URL",
            "SPARK_MASTER",
        ):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with throwaway(databases=("billing_template",)) as server:
        template = BillingDatabase(server.url("billing_template"))
        migrate(template)
        template.engine.dispose()
        yield server


@pytest.fixture
def billing_database(postgres: PostgresServer) -> Iterator[BillingDatabase]:
    """A migrated, empty billing database of the test's own."""
    name = f"billing_{next(_numbers)}"
    create_database(postgres, name, template="billing_template")
    database = BillingDatabase(postgres.url(name))
    yield database
    database.engine.dispose()
    drop_database(postgres, name)


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with spawn(tmp_path_factory.mktemp("stripe") / "sandbox.sqlite") as server:
        yield server


@pytest.fixture
def sandbox(sandbox_server: SandboxServer) -> SandboxServer:
    """A Stripe sandbox as new: no customers, no invoices, no faults."""
    sandbox_server.control.reset()
    return sandbox_server


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
    """A platform of the test's own on 2026-11-05, when October 2026 has just closed."""
    dagster_home = tmp_path / "dagster"
    dagster_home.mkdir()
    with DagsterInstance.local_temp(str(dagster_home)) as instance:
        yield Deployment(
            database=billing_database,
            # What arranges a test owns the tables; what is tested has the pipeline's rights only.
            database_url=postgres.url(str(billing_database.engine.url.database), role=PIPELINE),
            landing_dir=landing_dir,
            lake_dir=tmp_path / "usage_table",
            stripe_url=sandbox.url,
            instance=instance,
            now=datetime(2026, 11, 5, tzinfo=UTC),
        )


@pytest.fixture
def platform(billing_database: BillingDatabase, landing_dir: Path) -> Platform:
    """One organization with one meter and one price, driven without Dagster."""
    return Platform.with_acme(billing_database, landing_dir)
