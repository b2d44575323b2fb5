"""The views for finance show the amounts of invoices and statements: every sum ties to the cent."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.postgres.database import Row
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import CLOSED, OCTOBER, SEPTEMBER, Platform, at, event, id_of, write_jsonl
from tests.support.full_month import bill_full_month

ROOT = Path(__file__).parents[3]
MONTHS = [date(2026, month, 1) for month in (7, 8, 9)]


@pytest.fixture
def books(platform: Platform) -> Platform:
    """September of `bill_full_month`, and two more organizations.

    delta: 119.00 EUR with 19 % of tax in it (19.00), of which 50.00 are paid from a deposit; epsilon: -12.34 USD.
    """
    platform.add_organization("delta", "EUR")
    platform.add_one_off("delta", "Workshop", "119", at("2026-09-10"), "EUR")
    platform.add_tax("delta", "MwSt", "19", is_inclusive=True)
    platform.grant("delta", "deposit", "50", currency="EUR", pays="gross")
    platform.add_organization("epsilon")
    platform.add_one_off("epsilon", "Outage refund", "-12.34", at("2026-09-10"))
    return bill_full_month(platform)


def read(platform: Platform, query: str, as_of: datetime | None = None, **parameters: Any) -> list[Row]:
    """Run a query on the views, at a moment of our choice."""
    with platform.database.transaction() as connection:
        if as_of:
            connection.execute(text("select set_config('fly_billing.as_of', :at, true)"), {"at": as_of.isoformat()})
        return [dict(row) for row in connection.execute(text(query), parameters).mappings()]


def rows(platform: Platform, query: str, as_of: datetime | None = None, **parameters: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in read(platform, query, as_of, **parameters)]


# Revenue and tax ---------------------------------------------------------------------------------------------------


def test_a_month_is_split_into_revenue_tax_and_prepaid_credit(books: Platform) -> None:
    """USD: 49.10 - 12.34 and 9.33 of tax; EUR: 100.00, 19.00 of tax, 50.00 of the deposit; JPY has no decimals."""
    found = rows(
        books,
        "select currency, invoices, revenue_cents, tax_cents, prepaid_cents, total_cents from finance_months"
        " where month = '2026-09-01' order by currency",
    )
    assert found == [
        ("EUR", 1, 10000, 1900, -5000, 6900),
        ("JPY", 1, 1200, 0, 0, 1200),
        ("USD", 2, 3676, 933, 0, 4609),
    ]


def test_revenue_by_product_adds_up_to_the_invoices_before_tax(books: Platform) -> None:
    """The discount is 6.34484: 6.35, as the machines' 0.7484 get the cent that the floors leave. The rest is exact."""
    found = rows(
        books,
        "select currency, kind, product, organization_id, payer_id, revenue_cents from finance_revenue"
        " order by currency, revenue_cents desc",
    )
    assert found == [
        ("EUR", "one_off", "One-off", "delta", "delta", 11900),
        ("EUR", "contained_tax", "Taxes contained in prices", "delta", "delta", -1900),
        ("JPY", "one_off", "One-off", "gamma", "gamma", 1200),
        ("USD", "subscription", "Support", "acme", "acme", 2900),
        ("USD", "usage", "Requests", "acme", "acme", 2250),
        ("USD", "one_off", "One-off", "acme", "acme", 500),
        ("USD", "usage", "Egress", "acme", "acme", 100),
        ("USD", "usage", "Machines", "acme", "acme", 75),
        ("USD", "usage", "Requests", "beta", "acme", 20),
        ("USD", "credit", "Credits", "acme", "acme", -300),
        ("USD", "discount", "Discounts", "acme", "acme", -635),
        ("USD", "one_off", "One-off", "epsilon", "epsilon", -1234),
    ]
    assert ties(books) == []


def test_taxes_by_rate_add_up_to_the_tax_of_the_month(books: Platform) -> None:
    found = rows(
        books,
        "select currency, organization_id, name, percent, is_inclusive, taxable_cents, tax_cents from finance_taxes"
        " order by currency",
    )
    assert found == [
        ("EUR", "delta", "MwSt", Decimal(19), True, 10000, 1900),
        ("USD", "acme", "VAT", Decimal(19), False, 4910, 933),
    ]


def ties(platform: Platform) -> list[Row]:
    """Return the months and currencies in which a view and the invoices themselves differ."""
    return read(
        platform,
        "select i.month, i.currency from invoices as i where i.status not in ('open', 'void')"
        " group by i.month, i.currency having"
        " sum(i.total_cents) <> (select revenue_cents + tax_cents + prepaid_cents from finance_months as m"
        "   where m.month = i.month and m.currency = i.currency)"
        " or (select sum(revenue_cents) from finance_revenue as r where r.month = i.month and r.currency = i.currency)"
        "   <> (select revenue_cents from finance_months as m where m.month = i.month and m.currency = i.currency)"
        " or coalesce((select sum(tax_cents) from finance_taxes as x"
        "   where x.month = i.month and x.currency = i.currency), 0)"
        "   <> (select tax_cents from finance_months as m where m.month = i.month and m.currency = i.currency)",
    )


def test_a_usage_item_is_split_over_its_regions_to_the_cent(platform: Platform) -> None:
    """150 GB, 50 each in three regions, 100 free: 1.00, so 0.34 + 0.33 + 0.33."""
    platform.use(*(event(region, "50", type="egress_gb", region=region) for region in ("fra", "ams", "iad")))
    platform.close()
    found = rows(platform, "select region, revenue_cents from finance_revenue order by region")
    assert found == [("ams", 34), ("fra", 33), ("iad", 33)]


def test_a_void_invoice_has_no_revenue_and_an_open_one_has_none_yet(books: Platform) -> None:
    books.add_one_off("acme", "Later", "7", at("2026-10-02"))
    books.compute(OCTOBER)
    assert books.totals() == [5843, 3856]
    books.execute(
        "update invoices set status = 'void' where organization_id in ('delta', 'epsilon') and status <> 'open'"
    )
    found = rows(books, "select month, revenue_cents from finance_months where currency = 'USD'")
    assert found == [(SEPTEMBER.first_day, 4910)]
    assert rows(books, "select distinct organization_id from finance_revenue order by 1") == [
        ("acme",),
        ("beta",),
        ("gamma",),
    ]
    assert rows(books, "select organization_id, tax_cents from finance_taxes") == [("acme", 933)]


def test_an_adjustment_counts_in_the_month_whose_invoice_bills_it(platform: Platform) -> None:
    """3 requests for 0.30 in September; 2 more come late: 0.20 on October's invoice, beside 1.00 of its own."""
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    correct_late_usage(platform)
    platform.add_one_off("acme", "Setup", "1", at("2026-10-08"))
    platform.close(OCTOBER)
    found = rows(platform, "select month, kind, product, revenue_cents from finance_revenue order by month, kind")
    assert found == [
        (SEPTEMBER.first_day, "usage", "Requests", 30),
        (OCTOBER.first_day, "adjustment", "Requests", 20),
        (OCTOBER.first_day, "one_off", "One-off", 100),
    ]
    assert ties(platform) == []


def correct_late_usage(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "2")])
    platform.land(now=at("2026-10-05"))
    platform.roll_up(now=at("2026-10-05"))
    actor = Actor("ann", at("2026-10-05"), why="the proxy was late")
    correct_month(platform.database, SEPTEMBER, ["acme"], platform.usage_table, actor, guard=OFF)


# Receivables -------------------------------------------------------------------------------------------------------


def add_invoice(platform: Platform, organization: str, month: date, cents: int, **columns: int | date) -> None:
    """Finalize an invoice with one item of `cents`, due on 15 October; `columns` are columns of stripe_invoices."""
    key = id_of(f"{organization} {month}")
    values = {
        "id": key, "org": organization, "month": month, "cents": cents, "amount": Decimal(cents) / 100,
        "due": date(2026, 10, 15), "item": id_of(f"{organization} charge {month}"),
    }  # fmt: skip
    with platform.database.transaction() as connection:
        for statement in (
            "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
            " values (:item, :org, 'charge', :amount, 'USD', :month)",
            "insert into invoices (id, organization_id, month, status, currency, amount, total_cents, computed_at)"
            " values (:id, :org, :month, 'open', 'USD', :amount, :cents, now())",
            "insert into invoice_items (id, invoice_id, position, kind, organization_id, product, description,"
            " quantity, unit, amount, amount_cents, one_off_item_id)"
            " values (:item, :id, 1, 'one_off', :org, 'One-off', 'charge', 1, 'item', :amount, :cents, :item)",
            "update invoices set status = 'finalized', finalized_at = now(), due_on = :due where id = :id",
        ):
            connection.execute(text(statement), values)
    if columns:
        platform.insert(
            "stripe_invoices", invoice_id=key, state="finalized", stripe_invoice_id=f"in_{key}",
            updated_at=at("2026-10-02"), finalized_at=datetime(month.year, month.month, 28, tzinfo=UTC), **columns,
        )  # fmt: skip


def asked(due: int, balance: int) -> dict[str, int]:
    """Return what Stripe asks for, and the customer's balance after that."""
    return {"stripe_due_cents": due, "stripe_balance_cents": balance}


def test_an_amount_is_as_old_as_the_days_since_it_was_due(platform: Platform) -> None:
    """Due on 15 October: current on that day, overdue from the next one on."""
    add_invoice(platform, "acme", MONTHS[0], 1000)
    ages = {
        str(day): rows(platform, "select days_overdue, age, due_cents from finance_receivables", at(day))[0]
        for day in ("2026-10-15", "2026-10-16", "2026-11-14", "2026-11-15", "2026-12-14", "2027-01-13", "2027-01-14")
    }
    assert ages == {
        "2026-10-15": (0, "current", 1000),
        "2026-10-16": (1, "1-30", 1000),
        "2026-11-14": (30, "1-30", 1000),
        "2026-11-15": (31, "31-60", 1000),
        "2026-12-14": (60, "31-60", 1000),
        "2027-01-13": (90, "61-90", 1000),
        "2027-01-14": (91, "over 90", 1000),
    }


def test_an_amount_ages_from_the_due_date_that_stripe_shows(platform: Platform) -> None:
    """Ours is 15 October. It was sent late, so Stripe's due date is 1 November: on 2 November it is a day late."""
    add_invoice(platform, "acme", MONTHS[0], 1000, stripe_due_on=date(2026, 11, 1), **asked(1000, 0))
    found = {
        str(day): rows(platform, "select due_on, days_overdue, age from finance_receivables", at(day))[0]
        for day in ("2026-10-20", "2026-11-01", "2026-11-02", "2026-12-02")
    }
    due = date(2026, 11, 1)
    assert found == {
        "2026-10-20": (due, 0, "current"),
        "2026-11-01": (due, 0, "current"),
        "2026-11-02": (due, 1, "1-30"),
        "2026-12-02": (due, 31, "31-60"),
    }


def test_a_negative_invoice_pays_the_next_ones_and_a_carried_over_total_is_added(platform: Platform) -> None:
    """acme: 10.00, -4.00, 3.00: 10.00 is asked for, the rest is credit. beta: Stripe carried 0.30 over, so 5.30."""
    platform.add_organization("beta")
    for month, cents in zip(MONTHS, (1000, -400, 300), strict=True):
        add_invoice(platform, "acme", month, cents)
    add_invoice(platform, "beta", MONTHS[0], 30, **asked(0, 30))
    add_invoice(platform, "beta", MONTHS[1], 500)
    found = rows(
        platform,
        "select organization_id, month, total_cents, due_cents, is_in_stripe from finance_receivables order by 1, 2",
    )
    assert found == [("acme", MONTHS[0], 1000, 1000, False), ("beta", MONTHS[1], 500, 530, False)]


# Total, what Stripe did with it, and the status afterwards.
UNPAID: list[tuple[int, dict[str, int], str]] = [
    (1000, {}, "finalized"),
    (-700, {}, "finalized"),
    (30, asked(0, 30), "finalized"),
    (-500, asked(0, -450), "finalized"),
]
ALL = [
    *UNPAID,
    (900, asked(900, -50), "paid"),
    (800, asked(800, 0), "uncollectible"),
    (400, {}, "void"),
    (0, {}, "finalized"),
]


def test_receivables_equal_the_statements_in_any_order_of_invoices(platform: Platform) -> None:
    """128 organizations: four kinds of unpaid invoices in three months each, and all eight kinds in two."""
    expected: dict[str, int] = {}
    orders = [*itertools.product(UNPAID, repeat=3), *itertools.product(ALL, repeat=2)]
    for number, invoices in enumerate(orders):
        name = f"org-{number}"
        platform.add_organization(name, created_at="2026-07-01")
        for month, (cents, columns, status) in zip(MONTHS, invoices, strict=False):
            add_invoice(platform, name, month, cents, **columns)
            if status != "finalized":
                platform.execute(
                    "update invoices set status = :status, paid_at = case when :status = 'paid' then now() end"
                    " where id = :id",
                    status=status, id=id_of(f"{name} {month}"),
                )  # fmt: skip
        expected[name] = read_statement(platform.database, name, CLOSED).owed().get("USD", 0)
    found: dict[str, int] = defaultdict(int)
    for name, due in rows(platform, "select organization_id, due_cents from finance_receivables"):
        found[name] += due
    assert {name: owed for name, owed in expected.items() if owed} == found
    assert sum(expected.values()) > 0


# Credits -----------------------------------------------------------------------------------------------------------


def test_a_credit_is_used_pending_expired_or_left(platform: Platform) -> None:
    """50.00 for 12.00 of September and 8.00 of open October; 5.00 that nothing used, until the end of October."""
    platform.grant("acme", "prepaid", "50", pays="gross")
    platform.grant("acme", "promotion", "5", scope='{"kinds": ["usage"]}', expires_at=at("2026-11-01"))
    platform.grant("acme", "next year", "7", granted_at=at("2027-01-01"))
    platform.add_one_off("acme", "setup", "12", at("2026-09-10"))
    platform.close()
    platform.add_one_off("acme", "more", "8", at("2026-10-10"))
    platform.compute(OCTOBER)
    columns = "state, granted, used, pending, expired, remaining"
    query = f"select description, {columns} from finance_credits order by description"  # noqa: S608 a constant
    assert rows(platform, query, at("2026-10-20")) == [
        ("next year", "upcoming", 7, 0, 0, 0, 7),
        ("prepaid", "active", 50, 12, 8, 0, 30),
        ("promotion", "active", 5, 0, 0, 0, 5),
    ]
    assert rows(platform, query, at("2026-11-01"))[2] == ("promotion", "expired", 5, 0, 0, 5, 0)
    moved = "select month, description, movement, amount from finance_credit_movements order by month, description"
    assert rows(platform, moved, at("2026-11-01")) == [
        (date(2026, 1, 1), "prepaid", "granted", 50),
        (date(2026, 1, 1), "promotion", "granted", 5),
        (SEPTEMBER.first_day, "prepaid", "used", 12),
        (OCTOBER.first_day, "promotion", "expired", 5),
    ]


def test_a_credit_that_a_void_invoice_used_is_not_used(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50", pays="gross")
    platform.add_one_off("acme", "setup", "12", at("2026-09-10"))
    platform.close()
    platform.execute("update invoices set status = 'void'")
    assert rows(platform, "select used, remaining from finance_credits") == [(0, 50)]
    assert rows(platform, "select amount from finance_credit_movements where movement = 'used'") == []


# History -----------------------------------------------------------------------------------------------------------


def test_the_history_names_each_actor_action_and_reason(platform: Platform) -> None:
    """September: 0.30 final, 0.20 rebilled by ann, the total approved by bob, a row waived by cid, voided by dan."""
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("bad", "-1")])
    platform.close()
    correct_late_usage_of_another_file(platform)
    platform.insert(
        "sync_approvals", month=SEPTEMBER.first_day, currency="USD", total_cents=30, approved_by="bob",
        approved_at=at("2026-10-06"),
    )  # fmt: skip
    platform.execute(
        "insert into rejected_usage_waivers (landing_day, path, line, reason, content_sha256, because, waived_by,"
        " waived_at) select landing_day, path, line, reason, repeat('0', 64), 'a test row', 'cid', '2026-10-07Z'"
        " from rejected_usage"
    )
    with platform.database.transaction() as connection:
        connection.execute(text("select set_config('fly_billing.who', 'dan', true)"))
        connection.execute(text("select set_config('fly_billing.why', 'wrong customer', true)"))
        connection.execute(text("update invoices set status = 'void' where month = '2026-09-01'"))
    found = rows(
        platform,
        "select person, action, organization_id, first_month, amount_cents, amount, subject, reason"
        " from finance_history where action <> 'finalized' order by person",
    )
    september = SEPTEMBER.first_day
    assert found == [
        ("ann", "rebilled", "acme", september, None, Decimal("0.2"),
         "invoice 1: 1 adjustment on the next invoice", "the proxy was late"),
        ("bob", "approved", None, september, 30, None, "sync of the month's total", None),
        ("cid", "waived", "acme", september, None, None, "1 rejected row of 2026-09-15: negative_quantity",
         "a test row"),
        ("dan", "voided", "acme", september, 30, None, "invoice 1", "wrong customer"),
    ]  # fmt: skip
    (final,) = rows(platform, "select subject, amount_cents from finance_history where action = 'finalized'")
    assert final == ("invoice 1", 30)


def correct_late_usage_of_another_file(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e2", "2")], name="late")
    platform.land(now=at("2026-10-05"))
    platform.roll_up(now=at("2026-10-05"))
    actor = Actor("ann", at("2026-10-05"), why="the proxy was late")
    correct_month(platform.database, SEPTEMBER, ["acme"], platform.usage_table, actor, guard=OFF)


def test_a_change_of_terms_and_the_decision_to_keep_a_month_are_in_the_history(platform: Platform) -> None:
    platform.add_one_off("acme", "setup", "12", at("2026-09-10"))
    platform.close()
    platform.add_subscription("acme", "support", at("2026-09-01"))
    platform.execute(
        "insert into term_decisions (invoice_id, up_to_change, decided_by, why, decided_at)"
        " select id, 1, 'eve', 'agreed by phone', now() from invoices"
    )
    found = rows(
        platform,
        "select action, organization_id, first_month, last_month, subject, reason from finance_history"
        " where action in ('changed', 'kept') order by action",
    )
    assert [row[:4] for row in found] == [
        ("changed", "acme", SEPTEMBER.first_day, None),
        ("kept", "acme", SEPTEMBER.first_day, SEPTEMBER.first_day),
    ]
    assert "support" in found[0][4]
    assert found[1][4:] == ("invoice 1 although terms changed", "agreed by phone")


# Documents ---------------------------------------------------------------------------------------------------------


def test_every_view_for_finance_and_each_of_its_columns_is_described(platform: Platform) -> None:
    found = rows(
        platform,
        "select c.relname, obj_description(c.oid), a.attname, col_description(c.oid, a.attnum) from pg_class as c"
        " join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relkind = 'v' and c.relname like 'finance%'",
    )
    assert [row for row in found if not (row[1] and row[3])] == []
    document = (ROOT / "docs" / "finance.md").read_text(encoding="utf-8")
    assert {row[0] for row in found} == set(re.findall(r"^\| `(\w+)` ", document, re.MULTILINE))
