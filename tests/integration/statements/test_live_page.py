"""The customer page reads the statement, its usage by day and its estimate; only the estimate is remembered.

acme used 10 requests of $0.10 on each of the first 15 days of September, and pays $29.00 a month for support.
"""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from fly_billing.statements.live_page import LivePages
from fly_billing.statements.statement_reader import NoSuchMonth
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl

NOW = at("2026-09-16T08:00:00")


@pytest.fixture
def pages(platform: Platform) -> LivePages:
    platform.add_subscription("acme", "support", at("2026-09-01"))
    for n in range(15):
        day = SEPTEMBER.first_day + timedelta(days=n)
        write_jsonl(platform.landing_dir, [event(f"{day}", "10", time=f"{day}T12:00:00Z")], day)
        platform.land(day, now=at(f"{day + timedelta(days=1)}T00:30:00"))
    platform.compute(SEPTEMBER)
    return LivePages(platform.database)


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_what_is_owed_the_estimate_and_the_bars_are_apart_and_right(pages: LivePages) -> None:
    """15 x 10 x 0.10 + 29.00 = 44.00 so far; 30 x 10 x 0.10 + 29.00 = 59.00 at the end."""
    text = text_of(pages.read("acme", NOW))
    assert "This month so far $44.00 Acme owes nothing. Not invoiced yet: $44.00 so far." in text
    assert "Month-end estimate not part of what you owe $59.00 How it was made" in text
    assert "Usage in the bars $15.00 Recurring fees $29.00 Total so far $44.00" in text


def test_an_estimate_is_made_again_when_its_invoice_was_calculated_again(pages: LivePages, platform: Platform) -> None:
    """The last estimate stands while nothing changed; 600 more requests of the 15th are $60.00 more so far."""
    before = text_of(pages.read("acme", NOW))
    assert text_of(pages.read("acme", NOW)) == before
    day = SEPTEMBER.first_day + timedelta(days=14)
    write_jsonl(platform.landing_dir, [event("late", "600", time=f"{day}T13:00:00Z")], day, "late")
    platform.land(day, now=NOW)
    platform.compute(SEPTEMBER)
    after = text_of(pages.read("acme", NOW))
    assert "This month so far $104.00" in after
    assert "$59.00" not in after


def test_a_month_that_is_over_or_not_there_has_no_estimate(pages: LivePages) -> None:
    assert "estimate" not in text_of(pages.read("acme", at("2026-10-01"), SEPTEMBER))
    with pytest.raises(NoSuchMonth):
        pages.read("acme", NOW, OCTOBER)
