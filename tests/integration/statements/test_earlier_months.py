"""A statement lists a year and what may be due. Earlier months are counted, and change no amount.

acme's history is written as rows, because ten years take too long to bill. Its newest month is August 2026.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from fly_billing.statements.rules.statement import EarlierMonths, Statement
from fly_billing.statements.statement_reader import NEWEST_MONTHS, month_of_invoice, read_statement
from tests.integration.statements.test_statement import statement_command
from tests.support.builders import SEPTEMBER, Platform, at, id_of
from tests.support.unguarded import unguarded

NOW = at("2026-09-20T12:00:00")
NEWEST = SEPTEMBER.plus(-1)
TABLES = (
    "ledger_entries", "ledger_transactions", "stripe_money", "stripe_invoice_amounts", "stripe_invoices",
    "invoice_details", "invoices", "billing_failures", "organization_links",
)  # fmt: skip
INVOICE = """
insert into invoices (
    id, organization_id, month, revision, origin, status, currency, amount, total_cents, computed_at, finalized_at,
    due_on, paid_at, number
)
values (
    :id, :organization, :month, :revision, :origin, :status, :currency, 0, :total, :at,
    case when :status <> 'open' then cast(:at as timestamptz) end, cast(cast(:at as timestamptz) as date) + 14,
    case when :status = 'paid' then cast(:at as timestamptz) end, case when :status <> 'open' then :number end
)
"""
IN_STRIPE = """
insert into stripe_invoices (
    invoice_id, state, stripe_invoice_id, updated_at, finalized_at, stripe_due_cents, stripe_balance_cents
)
values (:id, 'finalized', :stripe_id, :at, :at, :due, :balance)
"""
CREDIT_NOTE = """
insert into stripe_money (
    id, object_id, number, kind, status, organization_id, invoice_id, stripe_invoice_id, currency, amount_cents,
    unpaid_cents, refunded_cents, credited_cents, out_of_band_cents, created_at, read_at, source
)
overriding system value values (
    :number, 'cn_' || :stripe_id, 1, 'credit_note', 'issued', :organization, :id, :stripe_id, :currency, :noted, :noted,
    0, 0, 0, :at, :at, 'polling'
)
"""
PART_PAYMENT = """
insert into stripe_invoice_amounts (
    id, stripe_invoice_id, number, invoice_id, organization_id, status, currency, total_cents, starting_balance_cents,
    due_cents, paid_cents, remaining_cents, overpaid_cents, unpaid_credited_cents, paid_credited_cents, read_at, source
)
overriding system value values (
    :number, :stripe_id, 1, :id, :organization, 'open', :currency, :due, 0, :due, :part_paid,
    greatest(0, cast(:due as bigint) - :part_paid), 0, 0, 0, :at, 'polling'
)
"""
TRANSACTION = """
insert into ledger_transactions (id, organization_id, currency, month, event)
overriding system value values (:number, 'acme', :currency, '2026-08-01', :event)
"""
ENTRY = """
insert into ledger_entries (organization_id, currency, month, transaction_id, account, amount_cents)
values ('acme', :currency, '2026-08-01', :number, :account, :cents)
"""


def month_before(back: int) -> date:
    return NEWEST.plus(-back).first_day


def invoice(
    status: str = "paid",
    total: int = 1000,
    currency: str = "USD",
    due: int | None = 1000,
    balance: int = 0,
    by: str = "acme",
    origin: str = "billed",
    noted: int = 0,
    part_paid: int = 0,
) -> dict[str, Any]:
    """An invoice of a month, in cents.

    Args:
        due: What Stripe asked for; None: Stripe does not have it.
        noted, part_paid: The parts of `due` that a credit note took back, and that were paid before the rest.
    """
    return {
        "status": status, "total": total, "currency": currency, "due": due, "balance": balance, "by": by,
        "origin": origin, "noted": noted, "part_paid": part_paid,
    }  # fmt: skip


def keep_history(
    platform: Platform,
    months: Sequence[Sequence[Mapping[str, Any]]],
    ledger: Mapping[str, Sequence[int]] | None = None,
    failures: Sequence[int] = (),
    linked: tuple[int, int] | None = None,
) -> None:
    """Replace acme's history: its invoices of each month, the newest month first, in the order of their revisions.

    Args:
        ledger: For each currency, what acme owes, paid, got back, and its bank disputes, in cents. None: 0 USD.
        failures: The months, counted back, that could not be billed.
        linked: The months, counted back, that globex pays.
    """
    with unguarded(platform.database) as connection:
        for table in TABLES:
            connection.execute(text(f"delete from {table}"))  # noqa: S608 our names
        for back, invoices in enumerate(months):
            for revision, each in enumerate(invoices):
                _add(connection, back, revision, each)
        for currency, sums in ({"USD": (0, 0, 0, 0)} if ledger is None else ledger).items():
            _post(connection, currency, sums)
        for back in failures:
            connection.execute(
                text(
                    "insert into billing_failures (organization_id, month, code, customer_text, operator_text,"
                    " retryable, run_id, failed_at) values ('acme', :month, 'x', 'Not yet.', 'x', true, 'x', :at)"
                ),
                {"month": month_before(back), "at": NOW},
            )
        if linked:
            connection.execute(
                text("insert into organization_links values ('acme', 'globex', :first, :last)"),
                {"first": month_before(linked[1]), "last": month_before(linked[0])},
            )


def _add(connection: Connection, back: int, revision: int, each: Mapping[str, Any]) -> None:
    month, number = month_before(back), 10 * (1000 - back) + revision
    made: dict[str, Any] = {
        "id": id_of(f"{each['by']} {back} {revision}"), "organization": each["by"], "month": month,
        "revision": revision, "number": number, "at": datetime.fromisoformat(f"{month}T00:00:00Z") + timedelta(32),
    } | dict(each)  # fmt: skip
    connection.execute(text(INVOICE), made)
    if each["due"] is not None and each["status"] != "open":
        made["stripe_id"] = f"in_{made['id']}"
        connection.execute(text(IN_STRIPE), made)
        for statement in [CREDIT_NOTE] * bool(made["noted"]) + [PART_PAYMENT] * bool(made["part_paid"]):
            connection.execute(text(statement), made)


def _post(connection: Connection, currency: str, sums: Sequence[int]) -> None:
    events = ("invoice_finalized", "invoice_paid", "payment_refunded", "dispute_opened")
    accounts = ("receivable", "cash", "cash", "disputed")
    for place, (event, account, cents) in enumerate(zip(events, accounts, sums, strict=True)):
        number = place + (1000 if currency == "USD" else 2000)
        its = {"currency": currency, "number": number, "event": event, "account": account, "cents": cents}
        connection.execute(text(TRANSACTION), its)
        # A sum of zero has two entries: the schema refuses one of zero.
        for moved, by in [(account, cents)] if cents else [("receivable", 1), ("stripe_balance", -1)]:
            connection.execute(text(ENTRY), its | {"account": moved, "cents": by})


@pytest.fixture
def acme(platform: Platform) -> Platform:
    platform.execute("alter table ledger_transactions drop constraint one_source")
    platform.add_organization("globex")
    return platform


def read(platform: Platform, back: int | None = None, *, all_months: bool = False) -> Statement:
    month = None if back is None else NEWEST.plus(-back)
    return read_statement(platform.database, "acme", NOW, month, all_months=all_months)


def months_of(statement: Statement) -> list[str]:
    return [each.month for each in statement.invoices]


# What is listed -------------------------------------------------------------------------------------------------------


def test_ten_years_are_a_year_of_lines_and_a_count(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * 120)
    found = read(acme)
    assert months_of(found) == [str(NEWEST.plus(-back)) for back in range(13)]
    assert found.earlier_months == EarlierMonths(107, "2016-09")
    assert found.earlier_months.in_words() == "107 more months since 2016-09, with nothing due"
    every = read(acme, all_months=True)
    assert (len(every.invoices), every.earlier_months) == (120, None)


def test_thirteen_months_are_all_listed(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * NEWEST_MONTHS)
    assert (len(read(acme).invoices), read(acme).earlier_months) == (13, None)


def test_the_newest_months_are_those_that_the_customer_has(acme: Platform) -> None:
    """acme was away for two years: the months before its return are listed, as its months are few."""
    keep_history(acme, [*[[invoice()]] * 3, *[[]] * 24, *[[invoice()]] * 12])
    found = read(acme)
    assert months_of(found)[2:4] == ["2026-06", "2024-05"]
    assert found.earlier_months == EarlierMonths(2, "2023-06")


@pytest.mark.parametrize(
    "unsettled",
    [
        invoice("open", 1000, due=None),
        invoice("finalized", 1000, due=1000),
        invoice("finalized", 1000, due=None),
        invoice("finalized", -1000, due=None),
        invoice("uncollectible", 1000),
    ],
)
def test_an_old_month_that_something_may_be_due_for_is_listed(acme: Platform, unsettled: dict[str, Any]) -> None:
    keep_history(acme, [*[[invoice()]] * 30, [unsettled], *[[invoice()]] * 9])
    assert months_of(read(acme))[12:] == ["2025-08", "2024-02"]
    assert read(acme).earlier_months == EarlierMonths(26, "2023-05")


def test_an_old_invoice_that_was_voided_and_reissued_is_listed_with_both_revisions(acme: Platform) -> None:
    reissued = [invoice("void"), invoice("finalized", 700, due=700)]
    keep_history(acme, [*[[invoice()]] * 30, reissued], {"USD": (700, 30_000, 0, 0)})
    assert [(each.month, each.status) for each in read(acme).invoices][13:] == [
        ("2024-02", "finalized"),
        ("2024-02", "void"),
    ]
    assert read(acme).headline() == "Acme owes $7.00 on 1 unpaid invoice."


def test_an_old_month_that_could_not_be_billed_is_listed(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * 20 + [[]], failures=[18, 20])
    assert [(each.month, each.trouble) for each in read(acme).invoices][13:] == [
        ("2025-02", "Not yet."),
        ("2024-12", "Not yet."),
    ]


def test_an_old_invoice_is_owed_without_what_was_credited_and_paid_of_it(acme: Platform) -> None:
    """$10.00, a credit note of $2.00 and $3.00 paid: $5.00 is left, which is what the ledger has."""
    old = invoice("finalized", 1000, noted=200, part_paid=300)
    keep_history(acme, [*[[invoice()]] * 30, [old], *[[invoice()]] * 9], {"USD": (500, 39_300, 0, 0)})
    found = read(acme)
    assert found.headline() == (
        "Acme owes $5.00 on 1 unpaid invoice, after $2.00 of credit notes, after $3.00 paid so far."
    )
    assert found.calculation() == [
        ("Unpaid invoices (1)", "$10.00"), ("Credit notes", "-$2.00"), ("Paid so far", "-$3.00"), ("Owed", "$5.00"),
    ]  # fmt: skip
    assert found.earlier_months == EarlierMonths(26, "2023-05")


def test_free_months_are_settled_although_nobody_paid_them(acme: Platform) -> None:
    keep_history(acme, [[invoice("finalized", 0, due=None)]] * 20, ledger={})
    assert read(acme).earlier_months == EarlierMonths(7, "2025-01")


def test_whether_the_payer_has_paid_is_not_shown_by_what_is_listed(acme: Platform) -> None:
    for status in ("finalized", "paid"):
        keep_history(acme, [[invoice(status, by="globex")]] * 20, linked=(0, 19))
        found = read(acme)
        assert (len(found.invoices), found.earlier_months) == (13, EarlierMonths(7, "2025-01"))
        assert found.headline() == "Acme owes nothing."


def test_an_old_month_of_the_payer_that_is_open_is_listed(acme: Platform) -> None:
    keep_history(acme, [*[[invoice(by="globex")]] * 19, [invoice("open", due=None, by="globex")]], linked=(0, 19))
    assert [(each.month, each.status) for each in read(acme).invoices][13:] == [("2025-01", "open")]


def test_the_month_that_is_shown_is_listed_with_the_months_beside_it(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * 120)
    found = read(acme, 60)
    assert months_of(found)[13:] == ["2021-09", "2021-08", "2021-07"]
    assert found.earlier_months == EarlierMonths(104, "2016-09")
    shown = found.shown()
    assert shown is not None and shown == read(acme, 60, all_months=True).shown()
    oldest = read(acme, 119)
    assert (months_of(oldest)[13:], oldest.earlier_months) == (["2016-10", "2016-09"], EarlierMonths(105, "2016-11"))


def test_a_settled_month_that_is_not_listed_is_not_read(acme: Platform) -> None:
    """Its total is missing. It can't be in an amount owed, so only the list of all months names it."""
    keep_history(acme, [[invoice()]] * 20)
    acme.execute("alter table invoices alter column total_cents drop not null")
    with unguarded(acme.database) as connection:
        connection.execute(text("update invoices set total_cents = null where month = '2025-02-01'"))
    assert read(acme).problems == ()
    (problem,) = read(acme, all_months=True).problems
    assert f"{id_of('acme 18 0')} of acme in 2025-02-01 can't be read: total_cents is missing." in problem


def test_earlier_months_are_counted_although_no_listed_month_can_be_read(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * 20)
    acme.execute("alter table invoices alter column total_cents drop not null")
    with unguarded(acme.database) as connection:
        connection.execute(text("update invoices set total_cents = null where month > '2025-07-01'"))
    found = read(acme)
    assert (found.invoices, len(found.problems), found.earlier_months) == ((), 13, EarlierMonths(7, "2025-01"))


def test_an_old_unpaid_month_that_can_not_be_read_is_named(acme: Platform) -> None:
    keep_history(acme, [*[[invoice()]] * 18, [invoice("finalized")]])
    acme.execute("alter table invoices alter column total_cents drop not null")
    with unguarded(acme.database) as connection:
        connection.execute(text("update invoices set total_cents = null where month = '2025-02-01'"))
    assert len(read(acme).problems) == 1
    assert "Some records could not be read" in read(acme).headline()


def test_an_invoice_is_found_by_its_id_in_any_month(acme: Platform) -> None:
    keep_history(acme, [[invoice()]] * 20)
    assert str(month_of_invoice(acme.database, id_of("acme 18 0"))) == "2025-02"
    assert month_of_invoice(acme.database, id_of("nobody's")) is None


def test_the_command_counts_earlier_months_and_lists_them_if_asked(acme: Platform, tmp_path: Path) -> None:
    keep_history(acme, [[invoice()]] * 20)
    counted = "7 more months since 2025-01, with nothing due: `--all-months` lists them"
    short, full = (statement_command(acme, tmp_path, "acme", *flags).stdout for flags in ((), ("--all-months",)))
    assert counted in short and "2025-01 " not in short
    assert "2025-01 " in full and "more months" not in full


# The amounts ----------------------------------------------------------------------------------------------------------

PAYERS = ("acme", "globex")
CENTS = st.sampled_from([-500, 0, 18, 1000, 2500])
INVOICES = st.builds(
    invoice,
    status=st.sampled_from(["paid"] * 6 + ["open", "finalized", "void", "uncollectible"]),
    total=CENTS,
    currency=st.sampled_from(["USD", "USD", "EUR"]),
    due=st.one_of(st.none(), st.sampled_from([0, 1000, 1018])),
    balance=st.sampled_from([-700, 0, 0, 18]),
    by=st.sampled_from(["acme", "acme", "acme", "globex"]),
    origin=st.sampled_from(["billed", "billed", "imported"]),
    noted=st.sampled_from([0, 0, 200]),
    part_paid=st.sampled_from([0, 0, 300]),
)


def revisions_are_valid(invoices: Sequence[Mapping[str, Any]]) -> bool:
    """Return True if each organization has at most one invoice of the month that is not void."""
    return all(sum(each["by"] == name and each["status"] != "void" for each in invoices) < 2 for name in PAYERS)


HISTORIES = st.fixed_dictionaries(
    {
        "months": st.lists(st.lists(INVOICES, max_size=2).filter(revisions_are_valid), min_size=14, max_size=30),
        "ledger": st.dictionaries(
            st.sampled_from(["USD", "EUR"]), st.tuples(*[st.sampled_from([-300, 0, 900, 2500])] * 4)
        ),
        "failures": st.sampled_from([(), (), (17,)]),
        "linked": st.sampled_from([None, None, (2, 16), (15, 29)]),
    }
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES, st.integers(0, 29))
@example({"months": [[invoice(balance=0)]] * 15 + [[invoice(balance=-700)]] * 3, "ledger": {}}, 0)
@example({"months": [[invoice(currency="EUR")]] * 15 + [[invoice(balance=18)]] * 3, "ledger": {"EUR": (0,) * 4}}, 0)
def test_what_is_owed_is_the_same_with_and_without_earlier_months(
    acme: Platform, history: dict[str, Any], back: int
) -> None:
    """Invoices of two currencies, billed and imported, with and without a ledger.

    They are paid, paid in part, credited, waiting, void, written off, open, or a payer's.
    """
    keep_history(acme, **history)
    every = read(acme, all_months=True)
    shown = back if str(NEWEST.plus(-back)) in months_of(every) else None
    short, full = read(acme, shown), read(acme, shown, all_months=True)
    assert full.earlier_months is None
    for figures in (
        Statement.headline, Statement.calculation, Statement.caveats, Statement.owed, Statement.upcoming,
        Statement.balances, Statement.shown,
    ):  # fmt: skip
        assert figures(short) == figures(full), figures
    listed = set(months_of(short))
    assert short.invoices == tuple(each for each in full.invoices if each.month in listed)
    left_out = {month for month in months_of(full) if month not in listed}
    counted = short.earlier_months
    assert (counted and (counted.count, counted.first_month)) == ((len(left_out), min(left_out)) if left_out else None)
    assert {(each.trouble, each.is_waiting) for each in full.invoices if each.month in left_out} <= {(None, False)}
