"""A small campaign of dashboard actions under faults and kills, and broken ledgers that its audit detects.

`make chaos-money` runs 10,000 actions, and all broken ledgers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.money_chaos.campaign import run_money
from tests.money_chaos.plan import SMALL_MONEY, TRIAL


def test_owed_here_is_asked_there_after_a_campaign_of_dashboard_actions() -> None:
    outcome = run_money(SMALL_MONEY)
    assert outcome.findings.wrong == {}, outcome.findings
    assert sum(outcome.done.values()) == SMALL_MONEY.actions
    assert outcome.kills >= SMALL_MONEY.kills
    assert sum(outcome.struck.values()) > 0


@pytest.mark.parametrize(
    "broken",
    [
        "credit notes are not recorded", "balances are recorded and not posted",
        "revenue is recognized twenty years too late", "credit notes leave their revenue deferred",
    ],
)  # fmt: skip
def test_a_broken_ledger_fails_the_audit(broken: str) -> None:
    assert run_money(replace(TRIAL, broken=broken)).findings.wrong
