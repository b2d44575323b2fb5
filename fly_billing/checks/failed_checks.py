"""Reads and replaces the rows of `failed_checks`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection

from fly_billing.checks.rules.failures import FailedCheck, Place
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, lock_until_commit, records, rows


@contextmanager
def checks_locked(database: BillingDatabase, asset: str) -> Iterator[None]:
    """Keep other runs from replacing this asset's failures, so that what a run reads is still true when it is shown."""
    with database.transaction() as connection:
        lock_until_commit(connection, f"failed_checks {asset}")
        yield


def replace_failures(
    connection: Connection,
    asset: str,
    checks: Collection[str],
    checked: Collection[Place],
    found: Sequence[FailedCheck],
    now: datetime,
) -> None:
    """Replace the failures of the checked places. Those of all other places stay.

    Also removes failures that no run can check again: of billing groups without an organization, of months that have
    not begun, and of checks that the asset no longer has.

    Args:
        checks: All checks of the asset that are kept by partition.
        checked: The places that the run checked. A failure of a whole month is replaced by every run of that month.
        found: What fails now. It may include other places, whose failures are added or updated. `id` is ignored.
    """
    places = sorted({*checked, *(Place(place.period) for place in checked)})
    rows(
        connection, "clear_failed_checks",
        asset=asset, checks=list(checks), last_month=str(BillingMonth.containing(now)),
        periods=[place.period for place in places], groups=[place.billing_group for place in places],
        failing=[f"{each.check_name} {each.period} {each.billing_group}" for each in found],
    )  # fmt: skip
    if found:
        rows(
            connection, "add_failed_checks",
            asset=asset, checks=[each.check_name for each in found], periods=[each.period for each in found],
            groups=[each.billing_group for each in found], are_warnings=[each.is_warning for each in found],
            wrong=[each.wrong for each in found], reasons=[each.reason for each in found],
            are_reported=[each.is_reported for each in found], since=[each.failed_since for each in found],
            run_ids=[each.run_id for each in found],
        )  # fmt: skip


def list_failures(database: BillingDatabase) -> list[FailedCheck]:
    """List everything that fails now, by asset, check, month and billing group."""
    return database.records(FailedCheck, "failed_checks", asset=None)


def read_failures(connection: Connection, asset: str) -> list[FailedCheck]:
    """List what fails now of one asset, by check, month and billing group."""
    return records(connection, FailedCheck, "failed_checks", asset=asset)
