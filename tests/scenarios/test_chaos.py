"""With all faults at once, each customer still gets one invoice, to the cent; the audit detects a broken sync.

The large campaign is `make chaos`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from tests.chaos import campaign
from tests.chaos.audit import Findings
from tests.chaos.plan import SMALL
from tests.chaos.trial import trial
from tests.chaos.worker_pool import WorkerPool, workers


@pytest.fixture(scope="module")
def one_seat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with workers(tmp_path_factory.mktemp("workers"), 1) as seats:
        yield seats


def test_under_all_faults_at_once_each_invoice_reaches_stripe_once_and_to_the_cent() -> None:
    outcome = campaign.run(SMALL)
    assert outcome.findings == Findings(billable=SMALL.invoices + 6)
    assert outcome.shortcomings() == []


def test_the_real_sync_passes_the_trial_that_the_broken_ones_fail(
    one_seat: WorkerPool, billing_database: BillingDatabase, tmp_path: Path
) -> None:
    assert trial(one_seat, billing_database, tmp_path, None) == Findings(billable=12)


def test_the_audit_detects_a_sync_without_a_journal(
    one_seat: WorkerPool, billing_database: BillingDatabase, tmp_path: Path
) -> None:
    found = trial(one_seat, billing_database, tmp_path, "no journal")
    # The four that were sent when the process was killed, $9.00 to $12.00, were charged again the next day.
    assert found == Findings(billable=12, duplicated=4, charged_twice=4, cents_off=4200, journal_off=4)


def test_the_audit_detects_a_sync_with_random_keys(
    one_seat: WorkerPool, billing_database: BillingDatabase, tmp_path: Path
) -> None:
    found = trial(one_seat, billing_database, tmp_path, "random keys")
    # Four customers and four drafts whose responses were lost were created twice, and the first ones forgotten.
    assert found == Findings(billable=12, duplicated=4, customers_doubled=4, drafts_left=4)


def test_the_audit_detects_a_sync_that_does_not_read_before_a_new_generation(
    one_seat: WorkerPool, billing_database: BillingDatabase, tmp_path: Path
) -> None:
    found = trial(one_seat, billing_database, tmp_path, "no read before a new generation")
    # The four with a stored 500, $5.00 to $8.00, and those that were sent the day before, were charged again.
    assert found == Findings(billable=12, duplicated=8, charged_twice=8, cents_off=6800, journal_off=8)
