"""Cases from public bug reports of billing systems, each with a manually calculated expected amount."""

from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import Platform
from tests.support.case_runner import CASES, CaseRunner

FOLDERS = sorted(path.parent for path in CASES.glob("*/case.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_case_has_its_expected_total(
    folder: Path, billing_database: BillingDatabase, landing_dir: Path, request: pytest.FixtureRequest
) -> None:
    platform = Platform(billing_database, UsageTable(landing_dir.parent / "usage_table"), landing_dir)
    # Most cases need no Stripe.
    CaseRunner(folder, platform, lambda: request.getfixturevalue("sandbox")).run()


def test_every_case_is_run() -> None:
    assert len(FOLDERS) == len([path for path in CASES.iterdir() if path.is_dir()])
