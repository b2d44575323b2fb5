"""Fixtures of tests about usage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.testing.throwaway import throwaway_database
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import Platform


@pytest.fixture
def twin(platform: Platform, postgres: PostgresServer, tmp_path: Path) -> Iterator[Platform]:
    """Provide another platform with the same records and the same landing folder, to do everything from scratch."""
    (tmp_path / "twin").mkdir()
    with throwaway_database(postgres) as database:
        other = Platform.with_acme(database, platform.landing_dir)
        yield Platform(database, UsageTable(tmp_path / "twin" / "usage_table"), other.landing_dir)
