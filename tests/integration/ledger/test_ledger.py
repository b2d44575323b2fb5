"""The database posts every event to the ledger, in its transaction: worked by hand. A debit is positive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.credit_notes import book_credit_note
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.ledger.rules.events import EVENTS, entries_of
from fly_billing.money import THREE_DECIMAL, ZERO_DECIMAL, minor_digits
from fly_billing.postgres.statements import sql
from tests.support.builders import CLOSED, DAY, OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.full_month import bill_full_month
from tests.support.unguarded import damage

LATER = CLOSED + timedelta(days=10)
ANN = Actor("ann", LATER, "the proxy was late")
THIS_MONTH = f"{datetime.now(UTC):%Y-%m}"


def posted(platform: Platform, organization: str = "acme") -> list[tuple[str, str, dict[str, int]]]:
    """Return each transaction: its event, accounting month and entries."""
    rows = platform.query(
        "select t.event, t.month, jsonb_object_agg(e.account, e.amount_cents) as entries"
        " from ledger_transactions as t join ledger_entries as e on e.transaction_id = t.id"
        " where t.organization_id = :organization group by t.id, t.event, t.month order by t.id",
        organization=organization,
    )
    return [(row["event"], f"{row['month']:%Y-%m}", row["entries"]) for row in rows]


def balances(platform: Platform, organization: str = "acme") -> dict[str, int]:
    totals: dict[str, int] = {}
    for _, _, entries in posted(platform, organization):
        for account, cents in entries.items():
            totals[account] = totals.get(account, 0) + cents
    return {account: cents for account, cents in totals.items() if cents}


def set_status(platform: Platform, status: str, paid_at: datetime | None = None) -> None:
    platform.execute(
        "update invoices set status = :status, paid_at = :paid_at where organization_id = 'acme'",
        status=status, paid_at=paid_at,
    )  # fmt: skip


def in_stripe(platform: Platform, month: str, due: int, balance: int) -> None:
    """Record that Stripe finalized the invoice of the month and asks for this amount."""
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, stripe_total_cents, stripe_due_cents,"
        " stripe_balance_cents, updated_at, finalized_at)"
        " select id, 'finalized', 'in_' || month, total_cents, :due, :balance, now(), now()"
        " from invoices where month = :month",
        month=f"{month}-01", due=due, balance=balance,
    )  # fmt: skip


# Invoices ------------------------------------------------------------------------------------------------------------


def test_final_invoices_are_posted_with_their_taxes_and_prepaid_credit(platform: Platform) -> None:
    """acme: 49.10 and 9.33 of VAT (its 3.00 of promotion lowered revenue). gamma: 1,200 yen.

    delta: 119.00 EUR with 19.00 of VAT in it; a deposit pays 50.00, and 69.00 is owed.
    """
    platform.add_organization("delta", "EUR")
    platform.add_one_off("delta", "Workshop", "119", at("2026-09-10"), "EUR")
    platform.add_tax("delta", "MwSt", "19", is_inclusive=True)
    platform.grant("delta", "deposit", "50", currency="EUR", pays="gross", granted_at=at("2026-08-15"))
    bill_full_month(platform)
    assert posted(platform) == [
        ("invoice_finalized", "2026-09", {"receivable": 5843, "revenue": -4910, "tax_payable": -933})
    ]
    assert posted(platform, "beta") == []  # acme pays for it
    assert posted(platform, "gamma") == [("invoice_finalized", "2026-09", {"receivable": 1200, "revenue": -1200})]
    assert posted(platform, "delta") == [
        ("prepaid_credit_granted", "2026-08", {"deferred_revenue": 5000, "customer_credit": -5000}),
        (
            "invoice_finalized",
            "2026-09",
            {"receivable": 6900, "customer_credit": 5000, "revenue": -10000, "tax_payable": -1900},
        ),
    ]


def test_the_revenue_and_tax_of_a_month_are_those_of_the_finance_views(platform: Platform) -> None:
    bill_full_month(platform)
    views = platform.query(
        "select currency, revenue_cents, tax_cents, total_cents from finance_months order by currency"
    )
    ledger = platform.query(
        "select currency,"
        " cast(-coalesce(sum(amount_cents) filter (where account = 'revenue'), 0) as bigint) as revenue_cents,"
        " cast(-coalesce(sum(amount_cents) filter (where account = 'tax_payable'), 0) as bigint) as tax_cents,"
        " cast(sum(amount_cents) filter (where account = 'receivable') as bigint) as total_cents"
        " from ledger_entries where month = '2026-09-01' group by currency order by currency"
    )
    assert ledger == views


def test_an_open_invoice_posts_nothing(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.compute()
    assert posted(platform) == []


def test_billing_a_final_month_again_posts_nothing_more(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    platform.close()
    assert posted(platform) == [("invoice_finalized", "2026-09", {"receivable": 1000, "revenue": -1000})]


def test_a_payment_is_posted_in_the_month_of_the_payment(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    set_status(platform, "paid", at("2026-10-20"))
    assert posted(platform)[1:] == [("invoice_paid", "2026-10", {"cash": 1000, "receivable": -1000})]


def test_a_void_invoice_is_reversed_in_the_month_in_which_it_became_void(platform: Platform) -> None:
    platform.add_tax("acme", "VAT", "19")
    platform.grant("acme", "deposit", "4", pays="gross", granted_at=at("2026-09-01"))
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    set_status(platform, "void")
    assert posted(platform)[1:] == [
        (
            "invoice_finalized",
            "2026-09",
            {"receivable": 790, "customer_credit": 400, "revenue": -1000, "tax_payable": -190},
        ),
        (
            "invoice_voided",
            THIS_MONTH,
            {"receivable": -790, "customer_credit": -400, "revenue": 1000, "tax_payable": 190},
        ),
    ]


@pytest.mark.parametrize(
    ("then", "event_key", "left"),
    [
        ("paid", "written_off_invoice_paid", {"cash": 1000, "revenue": -1000}),
        ("void", "written_off_invoice_voided", {}),
    ],
)
def test_a_written_off_invoice_can_still_be_paid_or_voided(
    platform: Platform, then: str, event_key: str, left: dict[str, int]
) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    set_status(platform, "uncollectible")
    assert balances(platform) == {"written_off": 1000, "revenue": -1000}
    set_status(platform, then, at("2026-11-02") if then == "paid" else None)
    assert posted(platform)[-1][0] == event_key
    assert balances(platform) == left


def test_an_amount_below_the_minimum_charge_is_owed_with_the_next_invoice(platform: Platform) -> None:
    """0.18 is marked paid without money; with 1.00, Stripe asks for 1.18."""
    platform.add_one_off("acme", "Ticket", "0.18", at("2026-09-03"))
    platform.add_one_off("acme", "Setup", "1.00", at("2026-10-03"))
    platform.close()
    in_stripe(platform, "2026-09", due=0, balance=18)
    set_status(platform, "paid", at("2026-10-04"))
    assert balances(platform) == {"receivable": 18, "revenue": -18}
    platform.close(OCTOBER)
    in_stripe(platform, "2026-10", due=118, balance=0)
    assert balances(platform) == {"receivable": 118, "revenue": -118}
    platform.execute("update invoices set status = 'paid', paid_at = '2026-11-05Z' where month = '2026-10-01'")
    assert balances(platform) == {"cash": 118, "revenue": -118}


def test_a_negative_total_lowers_what_the_next_invoice_asks_for(platform: Platform) -> None:
    """-5.00 is credit at Stripe; of 8.00, 3.00 is asked for."""
    platform.add_one_off("acme", "Outage", "-5.00", at("2026-09-03"))
    platform.add_one_off("acme", "Setup", "8.00", at("2026-10-03"))
    platform.close()
    in_stripe(platform, "2026-09", due=0, balance=-500)
    set_status(platform, "paid", at("2026-10-04"))
    assert balances(platform) == {"receivable": -500, "revenue": 500}
    platform.close(OCTOBER)
    in_stripe(platform, "2026-10", due=300, balance=0)
    assert balances(platform) == {"receivable": 300, "revenue": -300}


# Credits -------------------------------------------------------------------------------------------------------------


def test_a_promotion_is_not_owed_and_lowers_revenue_when_it_is_used(platform: Platform) -> None:
    platform.grant("acme", "Welcome", "4")
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    assert posted(platform) == []
    platform.close()
    assert balances(platform) == {"receivable": 600, "revenue": -600}


def test_prepaid_credit_of_fractions_of_a_yen_is_rounded_once(platform: Platform) -> None:
    platform.add_organization("kyoto", "JPY")
    platform.grant("kyoto", "deposit", "1000.5", currency="JPY", pays="gross")
    assert balances(platform, "kyoto") == {"deferred_revenue": 1001, "customer_credit": -1001}


def test_a_credit_note_takes_back_revenue_and_the_next_invoice_draws_it(platform: Platform) -> None:
    """30 requests at 0.10 were 20: a note of 1.00. October charges 5.00 and asks for 4.00."""
    platform.use(event("e1", "30"))
    platform.close()
    credit_note(platform, "20")
    platform.add_one_off("acme", "Setup", "5.00", at("2026-10-03"))
    platform.close(OCTOBER)
    assert posted(platform) == [
        ("invoice_finalized", "2026-09", {"receivable": 300, "revenue": -300}),
        ("credit_note_issued", "2026-10", {"revenue": 100, "customer_credit": -100}),
        ("invoice_finalized", "2026-10", {"receivable": 400, "customer_credit": 100, "revenue": -500}),
    ]


def test_a_credit_note_gives_back_to_a_deposit_what_the_deposit_had_paid(platform: Platform) -> None:
    """A deposit paid 2.50 of 3.00. Of 1.00, it pays everything: 0.50 of money and 1.50 of the deposit come back."""
    platform.grant("acme", "Deposit", "2.50", pays="gross", granted_at=at("2026-09-01"))
    platform.use(event("e1", "30"))
    platform.close()
    credit_note(platform, "10")
    (note,) = platform.query("select amount_cents from credit_notes")
    assert note["amount_cents"] == 50
    assert posted(platform)[-1] == ("credit_note_issued", "2026-10", {"revenue": 200, "customer_credit": -200})


def test_the_month_of_the_document(platform: Platform) -> None:
    """The amounts of docs/ledger.md."""
    platform.add_tax("acme", "VAT", "20")
    platform.grant("acme", "Deposit", "50", pays="gross", granted_at=at("2026-09-01"))
    platform.use(event("e1", "1000"))
    platform.close()
    set_status(platform, "paid", at("2026-10-10"))
    credit_note(platform, "880")
    platform.add_one_off("acme", "Setup", "30.00", at("2026-10-03"))
    platform.close(OCTOBER)
    assert posted(platform) == [
        ("prepaid_credit_granted", "2026-09", {"deferred_revenue": 5000, "customer_credit": -5000}),
        (
            "invoice_finalized",
            "2026-09",
            {"receivable": 7000, "customer_credit": 5000, "revenue": -10000, "tax_payable": -2000},
        ),
        ("invoice_paid", "2026-10", {"cash": 7000, "receivable": -7000}),
        ("credit_note_issued", "2026-10", {"revenue": 1200, "customer_credit": -1200}),
        (
            "invoice_finalized",
            "2026-10",
            {"receivable": 2160, "customer_credit": 1200, "revenue": -3000, "tax_payable": -360},
        ),
    ]
    assert balances(platform) == {
        "cash": 7000,
        "receivable": 2160,
        "tax_payable": -2360,
        "deferred_revenue": 5000,
        "revenue": -11800,
    }


def credit_note(platform: Platform, quantity: str) -> None:
    """September's requests turn out to be this many, and a credit note of October corrects the invoice."""
    write_jsonl(platform.landing_dir, [event("e1", quantity)], DAY, "usage")
    platform.land(DAY, now=LATER)
    platform.roll_up(now=LATER)
    with platform.database.transaction() as connection:
        (found,) = find_corrections(connection, SEPTEMBER, ["acme"], platform.usage_table).found
        book_credit_note(connection, found, ANN)


# The database --------------------------------------------------------------------------------------------------------


def test_the_database_has_the_same_rules_as_the_table_for_accountants(platform: Platform) -> None:
    found = platform.query("select event, account, sign, amount from ledger_rules()")
    expected = [
        {"event": key, "account": line.account, "sign": line.sign, "amount": line.amount}
        for key, event in EVENTS.items()
        for line in event.lines
    ]
    assert found == expected


def test_every_posted_event_equals_the_rules(platform: Platform) -> None:
    """acme's invoice: 58.43 = 49.10 of revenue + 9.33 of tax."""
    bill_full_month(platform)
    amounts = {"total": 5843, "revenue": 4910, "tax": 933, "credit": 0, "asked": 5843, "noted": 0, "noted_tax": 0}
    set_status(platform, "uncollectible")
    set_status(platform, "void")
    assert [(event_key, entries) for event_key, _, entries in posted(platform)] == [
        (key, entries_of(key, amounts))
        for key in ("invoice_finalized", "invoice_written_off", "written_off_invoice_voided")
    ]


@pytest.mark.parametrize("currency", [*sorted(ZERO_DECIMAL), *sorted(THREE_DECIMAL), "USD", "EUR"])
def test_the_database_knows_the_minor_unit_of_every_currency(platform: Platform, currency: str) -> None:
    (row,) = platform.query("select to_minor_unit(1, :currency) as units", currency=currency)
    assert row["units"] == 10 ** minor_digits(currency)


def test_entries_that_do_not_sum_to_zero_are_refused(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    with pytest.raises(IntegrityError, match="of acme sum to 5 instead of 0"), platform.database.transaction() as to:
        to.execute(
            text(
                "insert into ledger_entries (organization_id, currency, month, transaction_id, account, amount_cents)"
                " select organization_id, currency, month, id, 'cash', 5 from ledger_transactions"
            )
        )


def test_an_event_is_posted_once(platform: Platform) -> None:
    platform.add_one_off("acme", "Setup", "10.00", at("2026-09-03"))
    platform.close()
    (row,) = platform.query("select post_missing_to_ledger() as posted")
    assert row["posted"] == 0
    with pytest.raises(IntegrityError, match="invoice_changes_are_posted_once"):
        platform.query("select post_to_ledger(array(select r from ledger_rebuilt as r))")


def test_a_balance_is_one_scan_of_the_index(platform: Platform) -> None:
    bill_full_month(platform)
    with platform.database.transaction() as connection:
        connection.execute(text("set local enable_seqscan = off"))
        parameters = {"organization_id": "acme", "first": "2026-09-01", "last": "2026-09-01"}
        plan = connection.execute(text("explain " + sql("balances_of_organization")), parameters).scalars().all()
    scans = [line.strip(" ->").split("  ")[0] for line in plan if "Scan" in line]
    assert scans == ["Index Only Scan using ledger_entries_pkey on ledger_entries"]


def test_events_from_before_the_ledger_are_posted_by_its_migration(platform: Platform) -> None:
    """The ledger is emptied, as in a database that was never migrated; the migration's function fills it again."""
    platform.grant("acme", "deposit", "4", pays="gross", granted_at=at("2026-08-15"))
    bill_full_month(platform)
    set_status(platform, "paid", at("2026-10-20"))
    before = posted(platform), posted(platform, "gamma")
    damage(platform.database, "delete from ledger_entries", "delete from ledger_transactions")
    (row,) = platform.query("select post_missing_to_ledger() as posted")
    assert row["posted"] == 4
    assert (posted(platform), posted(platform, "gamma")) == before
