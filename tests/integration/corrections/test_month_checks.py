"""The checks of a month run side by side, and none hides what another finds."""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from fly_billing.corrections import month_checks
from fly_billing.corrections.month_checks import CheckedMonth, check_month
from fly_billing.corrections.month_run import MonthReport
from fly_billing.usage.landing_folder import LandingError
from tests.support.builders import SEPTEMBER, Platform, event

MONTH = {"month": "2026-09"}
READING = {
    "wrong_totals": "wrong_totals", "rollups_not_priced_once": "not_priced_once",
    "unbilled_usage": "unbilled", "check_items_per_event": "not_in_one_item",
}  # fmt: skip


@pytest.fixture
def report(platform: Platform) -> MonthReport:
    """September of acme, final: 3 requests for $0.30."""
    platform.use(event("e1", "3"))
    return MonthReport(SEPTEMBER, ["acme"], platform.close())


def test_a_right_month_passes_every_check(platform: Platform, report: MonthReport) -> None:
    assert check_month(platform.database, platform.usage_table, report) == CheckedMonth([], [], [], [], [], [], [])


def test_the_checks_that_read_much_begin_before_any_has_ended(
    platform: Platform, report: MonthReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_begun = Barrier(len(READING), timeout=timedelta(seconds=20).total_seconds())
    for name in READING:

        def check(*_: Any, name: str = name) -> list[dict[str, Any]]:
            all_begun.wait()
            return [{"found by": name}]

        monkeypatch.setattr(month_checks, name, check)
    found = check_month(platform.database, platform.usage_table, report)
    assert {name: getattr(found, field) for name, field in READING.items()} == {
        name: [MONTH | {"found by": name}] for name in READING
    }


@pytest.mark.parametrize("fails", READING)
def test_a_check_that_could_not_be_made_has_not_passed(
    platform: Platform, report: MonthReport, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def check(*_: Any) -> list[dict[str, Any]]:
        raise LandingError("no such folder")

    monkeypatch.setattr(month_checks, fails, check)
    with pytest.raises(LandingError, match="no such folder"):
        check_month(platform.database, platform.usage_table, report)
