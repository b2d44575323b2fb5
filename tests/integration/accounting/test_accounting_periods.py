"""Closed accounting months never change: later postings count in the first open month."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fly_billing.accounting.books import BooksDiffer, book_differences
from fly_billing.accounting.closing import Closing, PeriodNotClosed, close_period
from fly_billing.accounting.recognition import defer_revenue, recognition_problems
from fly_billing.ledger.checks import ledger_differences
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, SEPTEMBER, Platform, at, price
from tests.support.unguarded import damage

AUGUST, NOVEMBER = BillingMonth(2026, 8), BillingMonth(2026, 11)
LATE = datetime(2027, 3, 5, 8, tzinfo=UTC)


def close(platform: Platform, month: BillingMonth, *, leave_open: bool = False) -> None:
    _, is_new = close_period(platform.database, month, Closing("ann", leave_open), LATE)
    assert is_new


def journal(platform: Platform) -> dict[str, dict[str, int]]:
    """Return the sum of each account by accounting month, in cents."""
    rows = platform.query(
        "select month, account, cast(sum(amount_cents) as bigint) as cents from finance_journal"
        " group by month, account having sum(amount_cents) <> 0 order by month, account"
    )
    months: dict[str, dict[str, int]] = {}
    for row in rows:
        months.setdefault(f"{row['month']:%Y-%m}", {})[row["account"]] = row["cents"]
    return months


def bill_one_off(platform: Platform, organization: str = "acme", amount: str = "10") -> None:
    platform.add_one_off(organization, "Setup", amount, at("2026-09-03"))
    assert platform.close().failures == []


def test_an_invoice_of_a_closed_month_counts_in_the_first_open_one(platform: Platform) -> None:
    """beta's invoice of September becomes final after September was closed: its 7.00 are October's."""
    bill_one_off(platform)
    close(platform, SEPTEMBER)
    before = journal(platform)
    platform.add_organization("beta")
    bill_one_off(platform, "beta", "7")
    assert before == {"2026-09": {"receivable": 1000, "revenue": -1000}}
    assert journal(platform) == before | {"2026-10": {"receivable": 700, "revenue": -700}}
    assert ledger_differences(platform.database, SEPTEMBER) == []
    assert recognition_problems(platform.database, SEPTEMBER) == []
    close(platform, OCTOBER)
    platform.execute("update invoices set status = 'paid', paid_at = '2026-09-20Z' where organization_id = 'beta'")
    assert journal(platform)["2026-11"] == {"cash": 700, "receivable": -700}


def test_a_fee_of_closed_months_is_recognized_in_the_open_one(platform: Platform) -> None:
    """365.00 a year from 1 September on, billed after September was closed: October has 30.00 + 31.00."""
    bill_one_off(platform)
    close(platform, SEPTEMBER)
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_organization("beta")
    platform.add_subscription("beta", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    assert platform.close(AUGUST).failures == []
    assert defer_revenue(platform.database).failed == []
    months = journal(platform)
    assert months["2026-09"] == {"receivable": 1000, "revenue": -1000}
    assert months["2026-10"] == {"receivable": 36500, "revenue": -6100, "deferred_revenue": -30400}
    assert months["2026-11"] == {"deferred_revenue": 3000, "revenue": -3000}
    assert recognition_problems(platform.database, AUGUST) == []


def test_closing_stores_what_is_deferred(platform: Platform) -> None:
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_subscription("acme", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    platform.close(AUGUST)
    close(platform, AUGUST, leave_open=True)
    assert journal(platform)["2026-08"] == {"receivable": 36500, "deferred_revenue": -36500}


def test_closing_again_changes_nothing_and_says_who_closed_it(platform: Platform) -> None:
    close(platform, SEPTEMBER)
    for month in (SEPTEMBER, AUGUST):  # August was closed with it
        period, is_new = close_period(platform.database, month, Closing("bob"), LATE)
        assert (period.closed_by, period.month, is_new) == ("ann", SEPTEMBER.first_day, False)


def test_a_month_that_has_not_ended_can_not_be_closed(platform: Platform) -> None:
    with pytest.raises(PeriodNotClosed, match="2027-03 has not ended yet: close it from 2027-04-01 on"):
        close(platform, BillingMonth(2027, 3))


def test_months_are_closed_in_order(platform: Platform) -> None:
    close(platform, SEPTEMBER)
    with pytest.raises(PeriodNotClosed, match="is 2026-10: close it before 2026-11"):
        close(platform, NOVEMBER)
    with pytest.raises(IntegrityError, match="the accounting month after 2026-09 is 2026-10, not 2026-11"):
        platform.execute("insert into accounting_periods values ('2026-11-01', 0, now(), 'ann')")


def test_a_month_with_open_invoices_is_closed_only_when_asked(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10", at("2026-09-03"))
    platform.compute()
    with pytest.raises(PeriodNotClosed, match="1 invoice of 2026-09 or earlier are open"):
        close(platform, SEPTEMBER)
    close(platform, SEPTEMBER, leave_open=True)
    platform.close()
    assert journal(platform) == {"2026-10": {"receivable": 1000, "revenue": -1000}}


def test_a_month_with_revenue_that_can_not_be_read_is_not_closed(platform: Platform) -> None:
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_subscription("acme", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    platform.insert("coupons", code="HALF", description="Half off", percent=Decimal(50))
    platform.redeem("acme", "HALF", AUGUST)
    platform.close(AUGUST)
    damage(platform.database, """update invoice_items set detail = '{"applied_to": [{}]}' where kind = 'discount'""")
    with pytest.raises(PeriodNotClosed, match="can't be read: acme: KeyError 'item'"):
        close(platform, SEPTEMBER)


def test_the_database_refuses_deferrals_in_closed_months(platform: Platform) -> None:
    bill_one_off(platform)
    close(platform, SEPTEMBER)
    with pytest.raises(IntegrityError, match="the accounting month 2026-09 is closed"):
        platform.execute(
            "insert into revenue_deferrals (month, invoice_change_id, organization_id, currency, amount_cents)"
            " select m.month, c.id, 'acme', 'USD', m.cents from invoice_changes as c, (values"
            " (date '2026-09-01', -5), ('2026-10-01', 5)) as m (month, cents) where c.to_status = 'finalized'"
        )


def test_closing_waits_for_a_transaction_that_posts(platform: Platform) -> None:
    """A payment is being posted while the month is closed: it is in the closed journal, or in the next one, never lost.

    The closing waits until the payment is committed, and counts it.
    """
    bill_one_off(platform)
    started = threading.Event()
    with ThreadPoolExecutor(1) as others, platform.database.transaction() as connection:
        connection.execute(text("update invoices set status = 'paid', paid_at = '2026-09-20Z'"))

        def close_meanwhile() -> None:
            started.set()
            close(platform, SEPTEMBER)

        closing = others.submit(close_meanwhile)
        started.wait()
        wait_until_it_waits(platform, closing)
        assert not closing.done()
        connection.commit()
        closing.result()
    assert journal(platform) == {"2026-09": {"cash": 1000, "revenue": -1000}}


def wait_until_it_waits(platform: Platform, closing: Future[None]) -> None:
    waiting = "select count(*) as n from pg_locks where locktype = 'advisory' and not granted"
    while not closing.done() and platform.query(waiting) == [{"n": 0}]:
        threading.Event().wait(0.02)


def ask_in_stripe(platform: Platform, cents: int) -> None:
    """Somebody makes an invoice for acme in Stripe's dashboard."""
    platform.insert(
        "stripe_invoice_amounts", stripe_invoice_id="in_by_hand", number=1, organization_id="acme", status="open",
        currency="USD", total_cents=cents, starting_balance_cents=0, due_cents=cents, paid_cents=0,
        remaining_cents=cents, overpaid_cents=0, unpaid_credited_cents=0, paid_credited_cents=0, read_at=LATE,
        source="sweep",
    )  # fmt: skip


def code_of(platform: Platform) -> str:
    """Return the code that a refusal names."""
    return book_differences(platform.database, SEPTEMBER).code


def test_a_month_is_not_closed_while_stripe_asks_for_something_else(platform: Platform) -> None:
    """acme owes 10.00, which is not sent yet. Stripe asks for 9.00 with an invoice that is not ours."""
    bill_one_off(platform)
    ask_in_stripe(platform, 900)
    with pytest.raises(BooksDiffer) as refused:
        close(platform, SEPTEMBER)
    assert str(refused.value).splitlines() == [
        "2026-09 can't be closed while the books differ (1 difference):",
        "- acme: in_by_hand asks for money in Stripe and is not ours: $0.00 here, $9.00 in Stripe"
        " (find out who made it; void it in Stripe, or collect it there)",
        "Fix them first. Then check them again: `fly-billing finance report 2026-09`. To close the month with them:"
        f' `fly-billing finance close-period 2026-09 --accept "USD=9.00 #{code_of(platform)}" --why REASON`',
    ]
    assert platform.query("select * from accounting_periods") == []


def test_differences_are_accepted_by_their_amounts_and_kept_with_the_month(platform: Platform) -> None:
    """9.00 are accepted. 8.00 are not what differs, and no reason is not a decision."""
    bill_one_off(platform)
    ask_in_stripe(platform, 900)

    def accept(cents: int, why: str | None) -> None:
        closing = Closing("ann", accepted={"USD": cents}, code=code_of(platform), why=why)
        close_period(platform.database, SEPTEMBER, closing, LATE)

    with pytest.raises(BooksDiffer, match=r"with Stripe are USD=9\.00 #......: only exactly these can be accepted"):
        accept(800, "a setup fee")
    with pytest.raises(BooksDiffer, match="needs a reason: --why REASON"):
        accept(900, " ")
    accept(900, "a setup fee, collected in the dashboard")
    (closed,) = platform.query("select closed_by, why, accepted_differences from accounting_periods")
    assert (closed["closed_by"], closed["why"]) == ("ann", "a setup fee, collected in the dashboard")
    assert "$9.00 in Stripe" in closed["accepted_differences"]
    with pytest.raises(BooksDiffer, match="2026-10 can't be closed while the books differ"):
        close(platform, OCTOBER)


def test_a_difference_of_the_same_size_that_nobody_has_seen_is_not_accepted(platform: Platform) -> None:
    """9.00 of acme were seen. They are void now, and Stripe asks for 9.00 with another invoice."""
    bill_one_off(platform)
    ask_in_stripe(platform, 900)
    seen = Closing("ann", accepted={"USD": 900}, code=code_of(platform), why="a setup fee")
    damage(platform.database, "update stripe_invoice_amounts set stripe_invoice_id = 'in_another'")
    with pytest.raises(BooksDiffer, match="only exactly these can be accepted"):
        close_period(platform.database, SEPTEMBER, seen, LATE)
    assert platform.query("select * from accounting_periods") == []


def test_a_ledger_that_is_wrong_in_itself_closes_no_month_whatever_is_accepted(platform: Platform) -> None:
    """Someone changed the revenue of 10.00 to 10.01, in August's books: September's closing would close August, too."""
    platform.add_one_off("acme", "Setup", "10", at("2026-08-03"))
    assert platform.close(AUGUST).failures == []
    damage(platform.database, "update ledger_entries set amount_cents = amount_cents - 1 where account = 'revenue'")
    with pytest.raises(BooksDiffer, match=r"acme 2026-08: Revenue: .*: -\$10\.01, should be -\$10\.00"):
        close(platform, SEPTEMBER)
    with pytest.raises(BooksDiffer, match="differs from its own sources, which can't be accepted"):
        close_period(platform.database, SEPTEMBER, Closing("ann", accepted={"USD": 1}, why="tiny"), LATE)
    damage(platform.database, "update ledger_entries set amount_cents = amount_cents + 1 where account = 'revenue'")
    close(platform, SEPTEMBER)


def test_a_difference_of_nothing_is_nothing_to_accept(platform: Platform) -> None:
    bill_one_off(platform)
    with pytest.raises(BooksDiffer, match="with Stripe are none: only exactly these"):
        close_period(platform.database, SEPTEMBER, Closing("ann", accepted={"USD": 900}, why="as always"), LATE)
