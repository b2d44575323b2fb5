"""A credit note at Stripe takes back the revenue that it credits, worked by hand: recognized and deferred.

An annual fee of 365.00 from 1 September 2026 on is a dollar a day. Charged in advance, it is on August's invoice.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fly_billing.accounting.books import book_differences
from fly_billing.accounting.closing import Closing, close_period
from fly_billing.accounting.recognition import defer_revenue, recognition_problems, revenue_sums
from fly_billing.ledger.checks import ledger_differences
from fly_billing.periods import BillingMonth, months_between
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.stripe_sync.money_inbox import FoundMoney, record_money
from fly_billing.stripe_sync.rules.credit_requests import TO_CARD
from fly_billing.stripe_sync.rules.money_objects import CreditedLine, MoneyObject
from tests.support.builders import Platform, at, price
from tests.support.credit_builders import credit
from tests.support.stripe_builders import API_KEY, Json, entry, sync, sync_tools, utc_now
from tests.support.stripe_money import FIRST_EVENT
from tests.support.unguarded import damage

AUGUST, NOVEMBER, DECEMBER = BillingMonth(2026, 8), BillingMonth(2026, 11), BillingMonth(2026, 12)
NEXT_AUGUST = BillingMonth(2027, 8)
CREDITED = at("2026-11-10")


def sell_year(platform: Platform, *, usage: str | None = None) -> None:
    """Bill the annual fee from 1 September on, on August's invoice, which Stripe has as in_1 of acme's cus_1."""
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_subscription("acme", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    if usage:
        platform.add_one_off("acme", "Setup", usage, at("2026-08-03"))
    assert platform.close(AUGUST).failures == []
    platform.execute("update organizations set stripe_customer_id = 'cus_1'")
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, stripe_total_cents, stripe_due_cents,"
        " stripe_balance_cents, updated_at, finalized_at)"
        " select id, 'finalized', 'in_1', total_cents, total_cents, 0, now(), now() from invoices"
    )
    assert defer_revenue(platform.database).failed == []


def note(
    platform: Platform, cents: int, id: str = "cn_1", *, status: str = "issued", created: datetime = CREDITED,
    read: datetime | None = None, tax: int = 0, lines: tuple[CreditedLine, ...] = (), to: str = "refunded_cents",
) -> None:  # fmt: skip
    """Read a state of a credit note, by default one that refunds its amount."""
    names = ("unpaid_cents", "refunded_cents", "credited_cents", "out_of_band_cents")
    parts: dict[str, Any] = dict.fromkeys(names, 0) | {to: cents}
    found = MoneyObject(
        id, "credit_note", status, "USD", cents, created, "cus_1", "in_1", tax_cents=tax, credited_lines=lines, **parts
    )
    with platform.database.transaction() as connection:
        assert record_money(connection, FoundMoney([found]), "polling", read or created) == 1
    assert defer_revenue(platform.database).failed == []


def recognized(platform: Platform, account: str = "revenue") -> dict[str, int]:
    """Return what each accounting month credits to the account, in cents."""
    rows = platform.query(
        "select month, cast(-sum(amount_cents) as bigint) as cents from finance_journal where account = :account"
        " group by month having sum(amount_cents) <> 0 order by month",
        account=account,
    )
    return {f"{row['month']:%Y-%m}": row["cents"] for row in rows}


def agrees(platform: Platform) -> None:
    """Check that recognized + deferred = billed in each month, and that nothing is deferred in the end."""
    for month in months_between(AUGUST, NEXT_AUGUST):
        assert recognition_problems(platform.database, month) == []
        assert ledger_differences(platform.database, month) == []
    assert sum(recognized(platform, "deferred_revenue").values()) == 0


def problems(platform: Platform) -> set[tuple[str, str, str]]:
    return {(row["what"], row["is"], row["should be"]) for row in recognition_problems(platform.database, AUGUST)}


def test_a_year_that_is_paid_back_in_november_has_no_revenue_after_it(platform: Platform) -> None:
    """61.00 were recognized. November takes them back, and the deferral of 304.00 ends: 0.00 in the end.

    November: 30.00 of its own days, less 91.00 of September to November. The deferral falls by 30.00 + 274.00.
    """
    sell_year(platform)
    note(platform, 36500)
    assert recognized(platform) == {"2026-09": 3000, "2026-10": 3100, "2026-11": 3000 - 9100}
    assert recognized(platform, "deferred_revenue") == {
        "2026-08": 36500, "2026-09": -3000, "2026-10": -3100, "2026-11": -3000 - 27400,
    }  # fmt: skip
    (sums,) = revenue_sums(platform.database, NOVEMBER)
    assert (sums.billed_cents, sums.recognized_cents, sums.deferred_cents) == (0, 0, 0)
    agrees(platform)


def test_half_of_the_year_paid_back_halves_all_of_its_days(platform: Platform) -> None:
    """November gives back 91 half days: 30.00 - 45.50. December has 31.00 - 15.50; in the end 182.50 are recognized."""
    sell_year(platform)
    note(platform, 18250)
    months = recognized(platform)
    assert (months["2026-10"], months["2026-11"], months["2026-12"]) == (3100, 3000 - 4550, 1550)
    assert sum(months.values()) == 18250
    agrees(platform)


def test_several_credit_notes_over_the_whole_invoice_leave_nothing(platform: Platform) -> None:
    """100.00 in November, 65.33 in December and the other 199.67 in January: nothing is left for February."""
    sell_year(platform)
    note(platform, 10000)
    note(platform, 6533, "cn_2", created=at("2026-12-24"))
    note(platform, 19967, "cn_3", created=at("2027-01-05"))
    months = recognized(platform)
    assert max(months) == "2027-01"
    assert sum(months.values()) == 0
    agrees(platform)


def test_a_credit_note_is_shared_over_the_items_of_its_invoice(platform: Platform) -> None:
    """46.50 of 465.00: 36.50 of the year, 9.10 of them by November, and 10.00 of August's setup."""
    sell_year(platform, usage="100.00")
    note(platform, 4650)
    months = recognized(platform)
    assert (months["2026-11"], months["2026-12"]) == (3000 - 910 - 1000, 3100 - 310)
    assert sum(months.values()) == 46500 - 4650
    agrees(platform)


def test_a_credit_note_that_names_a_line_takes_back_only_this_line(platform: Platform) -> None:
    """The setup is paid back: the year stays as it was. Then the year's line is: nothing is left."""
    sell_year(platform, usage="100.00")
    setup = CreditedLine(at("2026-08-03").date(), at("2026-08-04").date(), 10000)
    note(platform, 10000, lines=(setup,))
    months = recognized(platform)
    assert (months["2026-11"], months["2026-12"], sum(months.values())) == (3000 - 10000, 3100, 36500)
    note(platform, 36500, "cn_2", lines=(CreditedLine(at("2026-09-01").date(), at("2027-09-01").date(), 36500),))
    assert max(recognized(platform)) == "2026-11"
    agrees(platform)


def test_a_credit_note_takes_back_revenue_without_its_tax(platform: Platform) -> None:
    """365.00 and 73.00 of VAT. Of a note of 438.00, 73.00 are tax: the year's 365.00 end."""
    platform.add_tax("acme", "VAT", "20", first_month=AUGUST.first_day)
    sell_year(platform)
    note(platform, 43800, tax=7300)
    assert recognized(platform) == {"2026-09": 3000, "2026-10": 3100, "2026-11": 3000 - 9100}
    agrees(platform)


def test_a_credit_note_without_tax_takes_back_the_rest_when_it_is_booked(platform: Platform) -> None:
    """Over all 438.00, without tax: 365.00 of the year, and 73.00 less revenue in November."""
    platform.add_tax("acme", "VAT", "20", first_month=AUGUST.first_day)
    sell_year(platform)
    note(platform, 43800)
    assert recognized(platform) == {"2026-09": 3000, "2026-10": 3100, "2026-11": 3000 - 9100 - 7300}
    agrees(platform)


def test_a_credit_note_that_is_withdrawn_gives_everything_back(platform: Platform) -> None:
    """Issued on 10 November and void on 5 December: December has its 31.00 and the 91.00 that November took back."""
    sell_year(platform)
    note(platform, 36500, to="unpaid_cents")
    note(platform, 36500, to="unpaid_cents", status="void", read=at("2026-12-05"))
    months = recognized(platform)
    assert (months["2026-11"], months["2026-12"], months["2027-01"]) == (3000 - 9100, 3100 + 9100, 3100)
    assert sum(months.values()) == 36500
    agrees(platform)


def test_a_credit_note_after_the_service_has_ended_lowers_its_own_month(platform: Platform) -> None:
    sell_year(platform)
    before = recognized(platform)
    note(platform, 36500, created=at("2027-10-10"))
    assert recognized(platform) == before | {"2027-10": -36500}
    assert platform.query("select count(*) as n from revenue_deferrals where stripe_money_id is not null") == [{"n": 0}]
    agrees(platform)


def test_a_credit_note_to_the_balance_at_stripe_takes_back_the_deferral_too(platform: Platform) -> None:
    """The balance posts the 365.00, as Stripe's own change of it; the credit note names the invoice."""
    sell_year(platform)
    change = MoneyObject(
        "cbtxn_1", "customer_balance_transaction", "credit_note", "USD", -36500, CREDITED, "cus_1", balance_cents=-36500
    )
    with platform.database.transaction() as connection:
        record_money(connection, FoundMoney([change]), "polling", CREDITED)
    note(platform, 36500, to="credited_cents")
    assert recognized(platform) == {"2026-09": 3000, "2026-10": 3100, "2026-11": 3000 - 9100}
    agrees(platform)


def test_an_invoice_that_becomes_void_takes_back_only_what_credit_notes_left(platform: Platform) -> None:
    """A note of 65.00, and then the invoice is void: nothing is recognized in the end, or after the void month."""
    sell_year(platform)
    note(platform, 6500, to="unpaid_cents", created=at("2026-08-20"))
    platform.execute("update invoices set status = 'void'")
    assert defer_revenue(platform.database).failed == []
    assert recognition_problems(platform.database, AUGUST) == []
    assert sum(recognized(platform, "deferred_revenue").values()) == 0


def test_a_credit_note_in_a_closed_month_counts_in_the_open_one(platform: Platform) -> None:
    """Made on 10 November and read after November was closed: December takes back 122 days, and nothing is later."""
    sell_year(platform)
    differences = book_differences(platform.database, NOVEMBER)  # Stripe's side of this invoice is not read here
    closing = Closing("ann", True, differences.sums, differences.code, "the test has no sandbox")
    close_period(platform.database, NOVEMBER, closing, datetime(2027, 3, 5, tzinfo=UTC))
    before = recognized(platform)
    note(platform, 36500)
    months = recognized(platform)
    assert [months[at_end] for at_end in ("2026-09", "2026-10", "2026-11")] == [3000, 3100, 3000]
    assert months["2026-12"] == before["2026-12"] - 36500 + 24300
    assert max(months) == "2026-12"
    agrees(platform)


def test_deferring_a_credit_note_again_stores_nothing_more(platform: Platform) -> None:
    sell_year(platform)
    note(platform, 10000)
    before = recognized(platform)
    assert defer_revenue(platform.database).deferred == 0
    assert recognized(platform) == before


def test_the_journal_reverses_what_the_invoice_deferred(platform: Platform) -> None:
    """November takes back a deferral of 274.00, and December's 31.00 are recognized and taken back."""
    sell_year(platform)
    note(platform, 36500)
    rows = platform.query(
        "select event, amount_cents from finance_journal where account = 'deferred_revenue'"
        " and month in ('2026-11-01', '2026-12-01') order by month, amount_cents"
    )
    assert [(row["event"], row["amount_cents"]) for row in rows] == [
        ("revenue_recognized", 3000), ("revenue_deferred", 27400),
        ("revenue_recognized", -3100), ("revenue_recognized", 3100),
    ]  # fmt: skip


# The check -----------------------------------------------------------------------------------------------------------


def test_a_deferral_that_outlives_a_full_credit_fails_the_check(platform: Platform) -> None:
    """Without the rows of the credit note, December's 31.00 would be revenue of a service that was paid back."""
    sell_year(platform)
    note(platform, 36500)
    damage(platform.database, "delete from revenue_deferrals where stripe_money_id is not null")
    found = problems(platform)
    assert ("revenue in 2026-12 of an invoice that is void or credited in full", "$31.00", "$0.00") in found
    assert ("revenue moved to 2026-11", "nothing", "$274.00") in found
    assert defer_revenue(platform.database).deferred == 1
    assert problems(platform) == set()


def test_a_changed_deferral_of_a_credit_note_fails_the_check(platform: Platform) -> None:
    sell_year(platform)
    note(platform, 18250)
    damage(
        platform.database,
        "update revenue_deferrals set amount_cents = amount_cents - 1"
        " where month = '2026-12-01' and stripe_money_id is not null",
    )
    assert problems(platform) >= {("revenue moved to 2026-12", "-$15.51", "-$15.50")}


def test_a_credit_note_with_lines_that_can_not_be_read_is_named(platform: Platform) -> None:
    sell_year(platform)
    note(platform, 18250)
    damage(platform.database, "update stripe_money set credited_lines = '[{}]'")
    ((what, found, _),) = problems(platform)
    assert what == "KeyError 'first_day'"
    assert found == "nothing"


# With the sandbox ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["our command", "the dashboard", "the API, which names the line"])
def test_a_year_paid_back_at_stripe_leaves_nothing_deferred(
    platform: Platform, sandbox: SandboxServer, by: str
) -> None:
    """Sold, paid and credited now, by a card refund: nothing of the 365.00 is recognized in any later month."""
    platform.load(price("yearly", "365", unit="year", interval="year"))
    platform.add_subscription("acme", "yearly", at("2026-09-01"), billed="in_advance", anchor="start")
    assert platform.close(AUGUST).failures == []
    tools = sync_tools(platform.database, sandbox.url)
    sync(tools, AUGUST)
    invoice: Json = sandbox.control.object(entry(platform.database, "acme", AUGUST)["stripe_invoice_id"])
    sandbox.control.act("give-card", invoice["customer"])
    sandbox.control.act("pay", invoice["id"])
    poll_events(platform.database, tools.reader(), utc_now() - FIRST_EVENT, utc_now())
    if by == "our command":
        credit(tools, "acme", "365.00", TO_CARD, month=AUGUST, limit=100_000)
    elif by == "the dashboard":
        sandbox.control.act("credit-note", invoice["id"], amount=36500, to="refund")
    else:
        line = make_stripe_client(API_KEY, sandbox.url).v1.invoices.line_items.list(invoice["id"]).data[0]
        named: Any = {"type": "invoice_line_item", "invoice_line_item": line.id, "amount": 36500}
        make_stripe_client(API_KEY, sandbox.url).v1.credit_notes.create(
            {"invoice": invoice["id"], "lines": [named], "refund_amount": 36500}
        )
    poll_events(platform.database, tools.reader(), utc_now() - FIRST_EVENT, utc_now())
    assert defer_revenue(platform.database).failed == []
    assert sum(recognized(platform).values()) == 0
    assert sum(recognized(platform, "deferred_revenue").values()) == 0
    assert recognition_problems(platform.database, AUGUST) == []
    lines = platform.query("select credited_lines from stripe_money where kind = 'credit_note'")
    expected = [{"first_day": "2026-09-01", "end_day": "2027-09-01", "cents": 36500}]
    assert [row["credited_lines"] for row in lines] == [expected if "line" in by else None]
