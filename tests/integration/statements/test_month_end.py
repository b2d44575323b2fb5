"""The month-end estimate of an organization is read from the billing database, beside what it owes.

acme pays 0.10 for a request and 29.00 a month for support. September has 30 days.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.postgres.organizations import NoSuchOrganization
from fly_billing.statements.month_end import read_month_end
from fly_billing.statements.rules.estimate import MonthEndEstimate, NoEstimate
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.unguarded import damage

# The 16th has begun, and the 15th landed after it ended.
NOW = at("2026-09-16T08:00:00")


def use(platform: Platform, requests: int, days: int, organization: str = "acme") -> None:
    """Use as many requests on each of the first days of September, and land them in the night after."""
    for n in range(days):
        day = SEPTEMBER.first_day + timedelta(days=n)
        used = event(f"{organization} {day}", str(requests), time=f"{day}T12:00:00Z", subject=organization)
        write_jsonl(platform.landing_dir, [used], day, organization)


def land(platform: Platform, days: int) -> None:
    for n in range(days):
        day = SEPTEMBER.first_day + timedelta(days=n)
        platform.land(day, now=at(f"{day + timedelta(days=1)}T00:30:00"))


def bill(platform: Platform, days: int) -> None:
    land(platform, days)
    platform.compute(SEPTEMBER)


def estimate(platform: Platform, organization: str = "acme", now: datetime = NOW) -> MonthEndEstimate:
    found = read_month_end(platform.database, organization, now)
    assert isinstance(found, MonthEndEstimate), found
    return found


def reason(platform: Platform, month: BillingMonth | None = None, now: datetime = NOW) -> str:
    found = read_month_end(platform.database, "acme", now, month)
    assert isinstance(found, NoEstimate), found
    return found.code


@pytest.fixture
def half(platform: Platform) -> Platform:
    """15 days of 10 requests, and a fee of 29.00."""
    platform.add_subscription("acme", "support", at("2026-09-01"))
    use(platform, 10, 15)
    bill(platform, 15)
    return platform


def test_the_month_is_estimated_from_its_complete_days(half: Platform) -> None:
    found = estimate(half)
    # 300 x 0.10 + 29.00; so far it is 15.00 + 29.00.
    assert found.range_cents == (5900, 5900, 5900)
    assert (found.complete_days, found.days, found.currency) == (15, 30, "USD")
    assert read_statement(half.database, "acme", NOW).upcoming() == {"USD": 4400}


def test_an_estimate_changes_nothing_that_is_owed_or_stored(half: Platform) -> None:
    before = read_statement(half.database, "acme", NOW)
    estimate(half)
    assert read_statement(half.database, "acme", NOW) == before


def test_it_needs_no_invoice(platform: Platform) -> None:
    use(platform, 10, 15)
    land(platform, 15)
    platform.roll_up(SEPTEMBER)
    assert estimate(platform).range_cents == (3000, 3000, 3000)


def test_a_day_that_landed_before_it_ended_is_not_complete(platform: Platform) -> None:
    use(platform, 10, 15)
    land(platform, 14)
    platform.land(date(2026, 9, 15), now=at("2026-09-15T13:00:00"))
    platform.compute(SEPTEMBER)
    assert estimate(platform).complete_days == 14


def test_taxes_are_included(half: Platform) -> None:
    half.add_tax("acme", "VAT", "19")
    # 59.00 and 11.21 of VAT.
    assert estimate(half).likely_cents == 7021


def test_an_organization_that_another_one_pays_for_gets_its_own_share(half: Platform) -> None:
    half.add_organization("globex")
    half.link("globex", "acme", SEPTEMBER)
    half.add_tax("acme", "VAT", "19")
    use(half, 20, 15, "globex")
    bill(half, 15)
    share = estimate(half, "globex")
    # 600 x 0.10 without the payer's tax; the payer: 59.00 + 60.00, and 22.61 of VAT.
    assert share.likely_cents == 6000
    assert "acme" in " ".join(share.method).lower()
    assert estimate(half).likely_cents == 14161


def test_a_price_that_changed_since_the_last_estimate_is_used(half: Platform) -> None:
    assert estimate(half).likely_cents == 5900
    half.execute("update prices set unit_amount = 0.20 where key = 'requests'")
    # 300 x 0.20 + 29.00
    assert estimate(half).likely_cents == 8900


def test_a_month_that_is_over_or_final_is_not_estimated(half: Platform) -> None:
    assert reason(half, SEPTEMBER, at("2026-10-01T00:00:00")) == "month_is_over"
    assert reason(half, OCTOBER) == "month_has_not_begun"


def test_the_reason_that_a_month_can_not_be_calculated_is_not_shown_to_the_customer(half: Platform) -> None:
    damage(half.database, """update prices set settings = '{"match": {}}' where key = 'requests'""")
    assert reason(half) == "not_computable"


def test_an_organization_without_records_is_estimated_at_nothing(platform: Platform) -> None:
    platform.add_organization("initech")
    assert estimate(platform, "initech").range_cents == (0, 0, 0)


def test_an_unknown_organization_is_refused(platform: Platform, tmp_path: Path) -> None:
    with pytest.raises(NoSuchOrganization):
        read_month_end(platform.database, "acne", NOW)
