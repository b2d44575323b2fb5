"""One customer's year: a refund after a change of an annual plan, and credit notes. Worked by hand.

Acme pays by card. Its plan Pro costs 365.00 a year, 1.00 a day, in advance from 1 March 2026. On 1 June it changes to
Basic, 146.00 a year, also in advance.

| month | what | billed | Stripe asks for | paid | goes back |
|---|---|---|---|---|---|
| February | Pro, from 1 March to 28 February | 365.00 | 365.00 | 365.00 | |
| May | Pro ends after 92 days: 273 of 365 days are given back | -273.00 | | | |
| | Basic, from 1 June to 31 May | 146.00 | 0.00 | | 127.00 to the balance |
| June | acme wants the 127.00 on its card: a refund of February, and the balance is taken | | | | 127.00 to the card |
| | a setup; 2.00 are credited for an outage before it is paid | 10.00 | 8.00 | 8.00 | |
| July | a setup; acme pays, and gets 3.00 as credit | 10.00 | 10.00 | 10.00 | 3.00 to the balance |
| August | a setup, less the credit | 10.00 | 7.00 | 7.00 | |

Billed are 365.00 - 127.00 + 30.00 = 268.00. The credit notes of 127.00 + 2.00 + 3.00 take 132.00 off, and the balance
that was taken adds 127.00: 263.00 of revenue. Paid are 365.00 + 8.00 + 10.00 + 7.00 = 390.00, of which 127.00 went
back: 263.00 of cash. Nothing is owed.

Of the 263.00, 92.00 are March's to May's for Pro (31 + 30 + 31 days), and 36.80 are June's to August's for Basic
(92 x 0.40). 146.00 - 36.80 = 109.20 of Basic are still deferred at the end of August.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from fly_billing.accounting.recognition import defer_revenue, recognition_problems
from fly_billing.ledger.owed_and_asked import asked_differences
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.money_sweep import sweep_money
from fly_billing.stripe_sync.rules.credit_requests import TO_BALANCE, TO_CARD
from tests.support.builders import Platform, at, price
from tests.support.credit_builders import credit
from tests.support.stripe_builders import entry, sync, sync_tools, utc_now
from tests.support.stripe_money import account_balances, asked_in_stripe

FEBRUARY, MARCH, APRIL, MAY, JUNE, JULY, AUGUST = (BillingMonth(2026, number) for number in range(2, 9))


@pytest.fixture
def tools(platform: Platform, sandbox: SandboxServer) -> SyncTools:
    platform.load(
        price("pro", "365", unit="year", interval="year"), price("basic", "146", unit="year", interval="year")
    )
    return sync_tools(platform.database, sandbox.url)


def send(platform: Platform, tools: SyncTools, month: BillingMonth) -> str:
    """Bill the month and sync it; return Stripe's invoice."""
    assert platform.close(month).failures == []
    sync(tools, month)
    return str(entry(platform.database, "acme", month)["stripe_invoice_id"])


def poll(tools: SyncTools) -> None:
    poll_events(tools.journal.database, tools.reader(), utc_now() - timedelta(days=1), utc_now())


def pay(tools: SyncTools, sandbox: SandboxServer, invoice: str) -> int:
    """Pay what the invoice asks for, let a poll find it, and return the amount."""
    asked = int(sandbox.control.object(invoice)["amount_remaining"])
    sandbox.control.act("give-card", sandbox.control.object(invoice)["customer"])
    sandbox.control.act("pay", invoice)
    poll(tools)
    return asked


def change_to_basic(platform: Platform) -> None:
    platform.execute("update subscriptions set ended_at = '2026-06-01Z' where price_key = 'pro'")
    platform.add_subscription("acme", "basic", at("2026-06-01"), billed="in_advance", anchor="start")


def test_a_refund_after_a_change_of_an_annual_plan(
    platform: Platform, sandbox: SandboxServer, tools: SyncTools
) -> None:
    platform.add_subscription("acme", "pro", at("2026-03-01"), billed="in_advance", anchor="start")
    february = send(platform, tools, FEBRUARY)
    asked = [pay(tools, sandbox, february)]
    for month in (MARCH, APRIL):
        platform.close(month)

    change_to_basic(platform)
    may = sandbox.control.object(send(platform, tools, MAY))
    poll(tools)
    assert (may["total"], may["amount_due"], may["ending_balance"]) == (-12_700, 0, -12_700)
    assert asked_in_stripe(sandbox, platform.database) == (0, -12_700)

    refund = credit(tools, "acme", "127.00", TO_CARD, why="You changed to Basic", month=FEBRUARY, limit=20_000)
    sandbox.control.act("debit", may["customer"], amount=12_700)
    poll(tools)
    assert (refund.state, asked_in_stripe(sandbox, platform.database)) == ("issued", (0, 0))

    platform.add_one_off("acme", "Setup of June", "10.00", at("2026-06-10"))
    june = send(platform, tools, JUNE)
    credit(tools, "acme", "2.00", why="An outage on 3 June", month=JUNE)
    asked.append(pay(tools, sandbox, june))

    platform.add_one_off("acme", "Setup of July", "10.00", at("2026-07-10"))
    asked.append(pay(tools, sandbox, send(platform, tools, JULY)))
    credit(tools, "acme", "3.00", TO_BALANCE, why="Goodwill", month=JULY)

    platform.add_one_off("acme", "Setup of August", "10.00", at("2026-08-10"))
    asked.append(pay(tools, sandbox, send(platform, tools, AUGUST)))

    assert asked == [36_500, 800, 1_000, 700]
    assert account_balances(platform.database) == {"cash": 26_300, "revenue": -26_300}
    assert asked_differences(platform.database) == []
    assert not sum(sweep_money(platform.database, tools.reader(), utc_now()).missed.values())


def test_each_month_of_the_plans_recognizes_its_days(platform: Platform, tools: SyncTools) -> None:
    platform.add_subscription("acme", "pro", at("2026-03-01"), billed="in_advance", anchor="start")
    for month in (FEBRUARY, MARCH, APRIL):
        platform.close(month)
    change_to_basic(platform)
    for month in (MAY, JUNE, JULY, AUGUST):
        platform.close(month)
    assert defer_revenue(platform.database).failed == []
    rows = platform.query(
        "select month, cast(-sum(amount_cents) as bigint) as cents from finance_journal where account = 'revenue'"
        " and month <= '2026-08-01' group by month having sum(amount_cents) <> 0 order by month"
    )
    assert {f"{row['month']:%b}": row["cents"] for row in rows} == {
        "Mar": 3_100, "Apr": 3_000, "May": 3_100, "Jun": 1_200, "Jul": 1_240, "Aug": 1_240
    }  # fmt: skip
    assert [recognition_problems(platform.database, month) for month in (FEBRUARY, MAY, AUGUST)] == [[], [], []]
