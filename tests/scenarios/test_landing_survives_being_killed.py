"""Usage lands in several processes that are killed: each batch whole or not at all, and each event once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.testing import throwaway_database
from fly_billing.usage.usage_table import UsageTable
from tests.bench.sample_of_size import add_records, make_sample
from tests.landing_chaos import campaign
from tests.landing_chaos.campaign import LandingOrder, run_campaign


def test_a_month_that_lands_under_kills_has_each_event_of_its_files_once(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,200,000 events are 50 MB: two processes. `make chaos-landing` does it with more."""
    monkeypatch.setattr(campaign, "SECONDS_TO_LIVE", 2)
    sample = make_sample(tmp_path, 60, 1_200_000)
    with throwaway_database(postgres) as database:
        add_records(database, 60)
        url = database.engine.url.render_as_string(hide_password=False)
        order = LandingOrder(sample, url, UsageTable(tmp_path / "usage_table"), processes=2)
        found = run_campaign(order, kills=4, seed=1, folder=tmp_path, progress=lambda _: None)
    assert found.differences == []
    assert sum(found.killed.values()) > 0
    assert found.events > 1_199_000  # a few name an organization that does not exist
