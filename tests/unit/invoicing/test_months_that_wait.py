"""A month that waits for its rejected usage names the sources, and the number of further sources."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from fly_billing.invoicing.month_closing import RejectedUsageUnresolved
from fly_billing.periods import BillingMonth
from fly_billing.usage.rejections import RejectedGroup
from fly_billing.usage.rules.rejected_amounts import Estimate

SEPTEMBER = BillingMonth(2026, 9)
DAY = date(2026, 9, 15)


def group(source: str, rows: int) -> RejectedGroup:
    estimate = Estimate({"USD": Decimal("0.3")})
    return RejectedGroup(source, "bad_time", ("acme",), 0, rows, DAY, DAY, datetime(2026, 9, 16, tzinfo=UTC), estimate)


def test_a_month_with_many_rejected_sources_names_five_and_counts_the_others() -> None:
    message = str(RejectedUsageUnresolved(SEPTEMBER, [group(f"s{number}.jsonl", 300) for number in range(7)]))
    assert "2,100 rows of rejected usage are neither fixed nor waived (s0.jsonl, bad_time: 300 rows of acme;" in message
    assert "s4.jsonl, bad_time: 300 rows of acme; estimate $0.30; and 2 more by source and reason)" in message
    assert "s5.jsonl" not in message
