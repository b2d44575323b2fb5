"""With FLY_BILLING_UNRESOLVED_REJECTIONS=wait, a month closes only after its rejected usage is fixed or waived."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pytest

from fly_billing.assets.invoice_report import are_recorded, partition_outcomes
from fly_billing.corrections.month_run import MonthReport
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.month_closing import RejectedUsageUnresolved, Terms
from fly_billing.partitions import BillingPartition
from fly_billing.usage.rejections import waive
from tests.support.builders import CLOSED, DAY, SEPTEMBER, TERMS, Platform, days_of, event, write_jsonl

WAITING = replace(TERMS, waits_for_rejected_usage=True)
WITHOUT_OFFSET = "2026-09-15T12:00:00"


@pytest.fixture
def september(platform: Platform) -> Platform:
    """September is due to close: 1 request is accepted, and 3 requests at $0.10 have a time without an offset."""
    write_jsonl(platform.landing_dir, [event("e1", "1"), event("e2", "3", time=WITHOUT_OFFSET)])
    land_all(platform)
    return platform


def land_all(platform: Platform) -> None:
    platform.land(*days_of(SEPTEMBER.first_day, date(2026, 10, 3)), now=CLOSED)
    platform.roll_up(now=CLOSED)


def bill_september(platform: Platform, terms: Terms = WAITING, now: datetime = CLOSED) -> Billed:
    return bill(platform.database, SEPTEMBER, platform.organizations(), terms, now)


def status(platform: Platform) -> list[str]:
    return [row["status"] for row in platform.query("select status from invoices order by organization_id")]


def test_a_month_that_waits_names_sources_counts_money_and_commands_and_changes_nothing(september: Platform) -> None:
    september.bill()
    with pytest.raises(RejectedUsageUnresolved) as waiting:
        bill_september(september)
    message = str(waiting.value)
    assert message.startswith(
        "2026-09 can't be closed: 1 row of rejected usage is neither fixed nor waived"
        " (usage.jsonl, bad_time: 1 row of acme; estimate $0.30)."
    )
    for command in (
        "land",
        "waive --source SOURCE --reason REASON --month 2026-09",
        "bill 2026-09",
        "rejected 2026-09",
    ):
        assert f"`fly-billing {command}" in message
    assert status(september) == ["open"]


def test_every_partition_of_a_month_that_waits_fails_with_the_reason(september: Platform) -> None:
    september.bill()
    with pytest.raises(RejectedUsageUnresolved) as waiting:
        bill_september(september)
    part = BillingPartition(SEPTEMBER, ["acme"])
    report = MonthReport(SEPTEMBER, part.groups, waiting.value)
    outcomes = partition_outcomes(september.database, [part], [report])
    row = {"month": "2026-09", "code": "rejected_usage_unresolved", "what to do": str(waiting.value)}
    assert outcomes.failures == {"2026-09-01|acme": [row]}
    assert not are_recorded(outcomes)  # Postgres has no row of it, so the failed run sends the alert


def test_a_month_with_rejected_usage_closes_by_default(september: Platform) -> None:
    assert bill_september(september, TERMS).finalized
    assert status(september) == ["finalized"]


def test_an_open_month_is_billed_in_the_meantime(september: Platform) -> None:
    before = SEPTEMBER.closes_at(TERMS.grace)
    assert not bill_september(september, now=before.replace(day=3)).finalized
    assert status(september) == ["open"]


def test_a_month_closes_after_a_person_waives_its_rejected_usage(september: Platform) -> None:
    waive(september.database, "ann", "test events", CLOSED, source="usage.jsonl", reason="bad_time")
    assert bill_september(september).finalized
    assert september.amounts("usage") == [Decimal("0.10")]


def test_a_month_closes_after_the_fixed_file_lands_again(september: Platform) -> None:
    write_jsonl(september.landing_dir, [event("e1", "1"), event("e2", "3")], DAY)
    land_all(september)
    assert bill_september(september).finalized
    assert september.amounts("usage") == [Decimal("0.40")]


def test_a_final_month_is_not_held_by_usage_that_is_rejected_later(september: Platform) -> None:
    """Otherwise its late usage could not be corrected."""
    bill_september(september, TERMS)
    assert bill_september(september).already_final == ["acme"]


def test_rejected_usage_of_another_month_does_not_hold_it(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e2", "3", time="2026-10-01T12:00:00")], date(2026, 10, 1))
    land_all(platform)
    assert bill_september(platform).finalized
