"""A run of a command is in Dagster's UI where the daemon's runs are: under its job, and on the timeline."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from fly_billing.cli.runs import Runs
from fly_billing.periods import BillingMonth
from tests.support.dagster_pages import open_pages
from tests.support.deployment import Deployment

# Dagster warns about its own properties while it loads a code location.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*")
ROOT = Path(__file__).parents[3]
OCTOBER = BillingMonth(2026, 10)


def code_location() -> str:
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    return str(location["python_module"])


def test_a_run_of_a_command_is_under_its_job_and_on_the_timeline(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {
        "DATABASE_URL": deployment.database_url,
        "FLY_BILLING_LANDING_DIR": str(deployment.landing_dir),
        "FLY_BILLING_LAKE_DIR": str(deployment.lake_dir),
    }.items():
        monkeypatch.setenv(name, value)
    deployment.load_prices()
    deployment.add_organization("acme", created_at=datetime(2026, 10, 1, tzinfo=UTC))

    runs = Runs(deployment.instance, deployment.database)
    runs.land((OCTOBER.first_day, OCTOBER.first_day))
    runs.bill(OCTOBER)

    with open_pages(deployment, deployment.instance, tmp_path) as pages:
        for job in ("land_usage", "bill_month"):
            assert list(pages.runs_of_job(job, code_location()).values()) == [code_location()], job
