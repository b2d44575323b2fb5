"""A customer's year: prepaid credit that expires. Worked by hand.

acme buys 100.00 of credit by bank transfer, for use until 30 June 2026. It uses 42.00 of it; 58.00 is lost.

| when | event | entries (debits positive) |
|---|---|---|
| 1 January | 100.00 of credit | deferred revenue 100.00, customer credit -100.00 |
| March | 30.00, paid from the credit | customer credit 30.00, revenue -30.00 |
| June | 12.00, paid from the credit | customer credit 12.00, revenue -12.00 |
| 5 July | the rest expired | customer credit 58.00, breakage -58.00 |
| July | 20.00, which nothing pays | receivable 20.00, revenue -20.00 |

Revenue is 30.00 + 12.00 + 20.00 = 62.00, breakage 58.00: together 120.00, the 100.00 that were sold and July's 20.00.
The debit of 100.00 in deferred revenue is the sale, which the accountant books: cash 100.00, deferred revenue -100.00.
"""

from __future__ import annotations

from fly_billing.accounting.recognition import defer_revenue, recognition_problems, revenue_sums
from fly_billing.ledger.checks import ledger_differences
from fly_billing.ledger.expired_credits import record_expired_credits
from fly_billing.periods import BillingMonth, months_between
from tests.support.builders import Platform, at
from tests.support.unguarded import damage

JANUARY, JUNE, JULY = BillingMonth(2026, 1), BillingMonth(2026, 6), BillingMonth(2026, 7)


def journal(platform: Platform) -> dict[str, dict[str, int]]:
    """Return what each accounting month moves in each account, in cents."""
    rows = platform.query(
        "select month, account, cast(sum(amount_cents) as bigint) as cents from finance_journal"
        " group by month, account having sum(amount_cents) <> 0 order by month, account"
    )
    months: dict[str, dict[str, int]] = {}
    for row in rows:
        months.setdefault(f"{row['month']:%Y-%m}", {})[row["account"]] = row["cents"]
    return months


def live_through_the_year(platform: Platform) -> None:
    platform.grant("acme", "Prepaid", "100", pays="gross", granted_at=at("2026-01-01"), expires_at=at("2026-07-01"))
    platform.add_one_off("acme", "Setup", "30", at("2026-03-05"))
    platform.add_one_off("acme", "Move", "12", at("2026-06-05"))
    for month in months_between(JANUARY, JUNE):
        assert platform.close(month).failures == []
    record_expired_credits(platform.database, at("2026-07-05"))
    platform.add_one_off("acme", "Audit", "20", at("2026-07-05"))
    assert platform.close(JULY).failures == []
    assert defer_revenue(platform.database).failed == []


def test_prepaid_credit_is_revenue_when_it_is_used_and_breakage_when_it_expires(platform: Platform) -> None:
    live_through_the_year(platform)
    assert journal(platform) == {
        "2026-01": {"deferred_revenue": 10000, "customer_credit": -10000},
        "2026-03": {"customer_credit": 3000, "revenue": -3000},
        "2026-06": {"customer_credit": 1200, "revenue": -1200},
        "2026-07": {"customer_credit": 5800, "breakage": -5800, "receivable": 2000, "revenue": -2000},
    }
    for month, billed, recognized, breakage in ((JUNE, 4200, 4200, 0), (JULY, 12000, 6200, 5800)):
        (sums,) = revenue_sums(platform.database, month)
        assert (sums.billed_cents, sums.recognized_cents, sums.breakage_cents) == (billed, recognized, breakage)
        assert sums.deferred_cents == 0
        assert recognition_problems(platform.database, month) == []
        assert ledger_differences(platform.database, month) == []


def test_a_breakage_that_was_dropped_fails_the_check_of_the_ledger(platform: Platform) -> None:
    """Without the 58.00, the rebuilt ledger has an entry that the posted one lacks."""
    live_through_the_year(platform)
    damage(
        platform.database,
        "delete from ledger_entries as e using ledger_transactions as t"
        " where t.id = e.transaction_id and t.event = 'prepaid_credit_expired'",
        "delete from ledger_transactions where event = 'prepaid_credit_expired'",
    )
    found = {row["what"] for each in ledger_differences(platform.database, JULY) if (row := each.as_row(JULY))}
    assert "Breakage: prepaid credit expired" in found
