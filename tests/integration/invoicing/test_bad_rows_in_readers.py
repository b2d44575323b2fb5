"""An invalid row in everything that reads invoices: results of other organizations don't change, and it is named.

One platform is billed once; each bad row is planted in a copy of its database. `test_bad_rows` has those of billing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.corrections.shadow_billing import shadow_bill
from fly_billing.customer_alerts.evaluation import AlertChannels, AlertTerms, SpendAlertFailed, queue_spend_alerts
from fly_billing.customer_alerts.thresholds import add_threshold, thresholds
from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.focus.exports.exporter import export_focus
from fly_billing.invoicing.event_check import check_items_per_event
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.isolation import readable_rows
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.statements.page import statement_page
from fly_billing.statements.statement_reader import read_statement
from fly_billing.stripe_sync.approvals import guard_results, plan_of_sync
from fly_billing.usage.usage_table import UsageTable
from fly_billing.worklist.due import (
    months_to_close,
    months_to_reconcile,
    months_to_sync,
    months_with_late_usage,
)
from tests.support.builders import METERS, OCTOBER, PRICES, SEPTEMBER, Platform, at, event, write_jsonl
from tests.support.unguarded import damage

NAMES = ("broken", "healthy")
AUGUST = BillingMonth(2026, 8)
NOW = at("2026-10-20")
YEAR = {"first": date(2026, 1, 1), "last": date(2026, 12, 1)}

# Table, the damage to the row of `broken`, and a part of the error.
OF_SEPTEMBER = "organization_id = 'broken' and month = '2026-09-01'"
OF_INVOICE = f"invoice_id in (select id from invoices where {OF_SEPTEMBER})"  # noqa: S608
OF_SNAPSHOT = f"snapshot_id in (select id from usage_snapshots where {OF_SEPTEMBER})"  # noqa: S608
ROWS = [
    ("invoices", "total_cents = 9200000000000000000", OF_SEPTEMBER, "total_cents is too large"),
    ("invoices", "total_cents = -9200000000000000000", OF_SEPTEMBER, "total_cents is too large"),
    ("invoices", "total_cents = null", OF_SEPTEMBER, "total_cents is missing"),
    ("invoices", "currency = null", OF_SEPTEMBER, "currency is missing"),
    ("invoices", "month = 'infinity'", OF_SEPTEMBER, "month infinity is not a valid time"),
    ("invoices", "finalized_at = 'infinity'", OF_SEPTEMBER, "as_of infinity is not a valid time"),
    ("invoices", "due_on = '-infinity'", OF_SEPTEMBER, "due_on -infinity is not a valid time"),
    ("invoices", "number = null", OF_SEPTEMBER, ""),
    ("invoice_items", "amount = 'NaN'", OF_INVOICE, "amount NaN is not a finite number"),
    ("invoice_items", "amount = null", OF_INVOICE, "amount is missing"),
    ("invoice_items", "amount_cents = 9200000000000000000", OF_INVOICE, "amount_cents is too large"),
    ("invoice_items", "quantity = null", OF_INVOICE, "quantity is missing"),
    ("invoice_items", "quantity = 'Infinity'", OF_INVOICE, "quantity Infinity is not a finite number"),
    ("invoice_items", "unit = null", OF_INVOICE, "unit is missing"),
    ("invoice_items", "detail = '7'", OF_INVOICE, "detail is not a JSON object"),
    ("invoice_items", "detail = null", OF_INVOICE, "detail is missing"),
    ("invoice_items", "period_start = 'infinity'", OF_INVOICE, "period_start infinity is not a valid time"),
    ("invoice_items", "period_end = null", f"{OF_INVOICE} and period_start is not null", ""),
    ("invoice_taxes", "tax_cents = null", OF_INVOICE, "tax_cents is missing"),
    ("invoice_taxes", "percent = 'NaN'", OF_INVOICE, "percent NaN is not a finite number"),
    ("usage_snapshots", "lake_version = null", OF_SEPTEMBER, "lake_version is missing"),
    ("usage_rollups", "dimensions = '7'", OF_SNAPSHOT, ""),
    ("usage_rollups", "dimensions = null", OF_SNAPSHOT, ""),
    ("usage_rollups", "segment_start = null", OF_SNAPSHOT, ""),
    ("commitments", "months = 2000000000", "organization_id = 'broken'", ""),
    ("commitments", "last_month = '-infinity'", "organization_id = 'broken'", ""),
    ("credit_grants", "expires_at = 'infinity'", "organization_id = 'broken'",
     "expires_at infinity is not a valid time"),
    ("credit_entries", "amount = 'NaN'", "grant_id in (select id from credit_grants where organization_id = 'broken')",
     "left_over NaN is not a finite number"),
]  # fmt: skip


@dataclass(frozen=True)
class Billed:
    """The platform after it was billed: a database to copy, and each reader's result for `healthy` in it."""

    server: PostgresServer
    database_name: str
    usage_table: UsageTable
    folder: Path
    results: Mapping[str, Any]


@pytest.fixture(scope="module")
def billed(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Billed]:
    """August and September are final, two requests came late, October is open; the database accepts any row."""
    folder = tmp_path_factory.mktemp("billed")
    (folder / "landing").mkdir()
    create_database(postgres, "bad_rows_billed", template="billing_template")
    database = BillingDatabase(postgres.url("bad_rows_billed"))
    platform = Platform(database, UsageTable(folder / "usage_table"), folder / "landing")
    bill_both(platform)
    drop_rules(platform)
    database.engine.dispose()
    empty = Billed(postgres, "bad_rows_billed", platform.usage_table, folder, {})
    with copied(empty, "undamaged") as as_it_was:
        results = {name: ask(as_it_was, empty) for name, ask in ASKED.items()}
    yield Billed(postgres, "bad_rows_billed", platform.usage_table, folder, results)
    drop_database(postgres, "bad_rows_billed")


def bill_both(platform: Platform) -> None:
    platform.load(*PRICES)
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    for name in NAMES:
        platform.add_organization(name)
        platform.add_subscription(name, "support", at("2026-01-10"))
        platform.add_one_off(name, "setup", "5", at("2026-09-10"))
        platform.redeem(name, "ten")
        platform.commit(name, "minimum", "10")
        platform.grant(name, "prepaid", "1")
        platform.grant(name, "for November", "5", granted_at=at("2026-11-01"))
        platform.add_tax(name, "VAT", "20")
        add_threshold(platform.database, name, "20")
    in_august, in_october = "2026-08-15T12:00:00Z", "2026-10-05T12:00:00Z"
    write_jsonl(platform.landing_dir, [event(f"a {name}", "3", subject=name, time=in_august) for name in NAMES],
                date(2026, 8, 15))  # fmt: skip
    write_jsonl(platform.landing_dir, [event(f"e {name}", "3", subject=name) for name in NAMES])
    assert platform.close(AUGUST).failures == []
    assert platform.close(SEPTEMBER).failures == []
    late = [event(f"l {name}", "2", subject=name) for name in NAMES]
    late += [event(f"o {name}", "4", subject=name, time=in_october) for name in NAMES]
    write_jsonl(platform.landing_dir, late, date(2026, 10, 6))
    platform.land(date(2026, 10, 6), now=at("2026-10-07"))
    platform.compute(OCTOBER)


def drop_rules(platform: Platform) -> None:
    for row in platform.query(
        "select conrelid::regclass::text as on_table, conname from pg_constraint"
        " where connamespace = current_schema()::regnamespace"
        " and (contype = 'c' or contype = 'f' and confdeltype <> 'c' and cardinality(conkey) > 1)"
    ):
        platform.execute(f'alter table {row["on_table"]} drop constraint "{row["conname"]}"')
    for row in platform.query(
        "select distinct a.attrelid::regclass::text as on_table, a.attname from pg_attribute as a"
        " join pg_class as c on c.oid = a.attrelid"
        " where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and a.attnum > 0 and a.attnotnull"
        " and a.attname in ('currency', 'total_cents', 'amount', 'amount_cents', 'quantity', 'unit', 'detail', 'month',"
        " 'tax_cents', 'lake_version', 'period_end', 'dimensions', 'segment_start')"
        " and not exists (select from pg_index where indrelid = c.oid and indisprimary and a.attnum = any (indkey))"
    ):
        platform.execute(f'alter table {row["on_table"]} alter column "{row["attname"]}" drop not null')


@contextmanager
def copied(billed: Billed, name: str) -> Iterator[BillingDatabase]:
    """Yield a copy of the billed database."""
    create_database(billed.server, f"bad_rows_{name}", template=billed.database_name)
    database = BillingDatabase(billed.server.url(f"bad_rows_{name}"))
    yield database
    database.engine.dispose()
    drop_database(billed.server, f"bad_rows_{name}")


def of_healthy(found: Any) -> list[Any]:
    return [row for row in found if row["organization_id"] == "healthy"]


def statement_of_healthy(database: BillingDatabase, billed: Billed) -> Any:
    return read_statement(database, "healthy", NOW, SEPTEMBER).as_data()


def guard(database: BillingDatabase, billed: Billed) -> Any:
    """October is 2.00 of requests instead of 3 for 0.30 and 5.00 once: unusual with any amount of `broken`."""
    return [(result.currency, result.passes) for result in guard_results(database, OCTOBER, 10)]


def planned(database: BillingDatabase, billed: Billed) -> Any:
    plan = plan_of_sync(database, SEPTEMBER)
    return plan.invoices + len(plan.unreadable) in (1, 2)


def checked(name: str, database: BillingDatabase, billed: Billed) -> Any:
    return of_healthy(database.rows(name, month=SEPTEMBER.first_day, groups=list(NAMES)))


def focus_rows(database: BillingDatabase, billed: Billed) -> Any:
    file = billed.folder / "focus.csv"
    export_focus(database, SEPTEMBER, file, overwrite=True)
    return [line for line in file.read_text(encoding="utf-8").splitlines() if "healthy" in line]


def shadow(database: BillingDatabase, billed: Billed) -> Any:
    report = shadow_bill(database, SEPTEMBER, PriceBookFiles("fly", METERS, PRICES))
    return [difference for difference in report.differences if difference.organization_id == "healthy"]


def spend(database: BillingDatabase, billed: Billed) -> Any:
    try:
        terms = AlertTerms(timedelta(hours=72))
        queue_spend_alerts(database, AlertChannels(), terms, at("2026-10-20"), lambda line: None)
    except SpendAlertFailed as problem:
        assert "healthy" not in str(problem)
    return [threshold for threshold in thresholds(database) if threshold.organization_id == "healthy"]


def corrected(database: BillingDatabase, billed: Billed) -> Any:
    """Two more requests of September at 0.10, less 10 %: 0.18."""
    platform = Platform(database, billed.usage_table, billed.folder / "landing")
    platform.roll_up(SEPTEMBER, at("2026-10-21"))
    found = correct_month(
        database, SEPTEMBER, NAMES, billed.usage_table, Actor("ann", at("2026-10-21")), guard=OFF, with_terms=True
    )
    return [
        (correction.payer.organization_id, correction.amount)
        for correction in found.needed
        if correction.payer.organization_id == "healthy"
    ]


def open_month(database: BillingDatabase, billed: Billed) -> Any:
    platform = Platform(database, billed.usage_table, billed.folder / "landing")
    platform.roll_up(OCTOBER, at("2026-10-22"))
    done = platform.bill(OCTOBER, at("2026-10-22"))
    assert "healthy" not in [failure.organization_id for failure in done.failures], done.failures
    return [
        (invoice.organization_id, invoice.total_cents)
        for invoice in done.invoices
        if invoice.organization_id == "healthy"
    ]


# Each reads a damaged database, and must return for `healthy` the result of an undamaged one. Writers come last.
Ask = Callable[[BillingDatabase, Billed], Any]
ASKED: dict[str, Ask] = {
    "statement": statement_of_healthy,
    "totals": lambda database, _: database.rows("monthly_totals", organization_id="healthy", **YEAR),
    "totals of all": lambda database, _: len(database.rows("monthly_totals", organization_id=None, **YEAR)),
    "guard": guard,
    "plan of sync": planned,
    "months to sync": lambda database, _: {AUGUST, SEPTEMBER} <= set(months_to_sync(database)),
    "months to close": lambda database, _: OCTOBER in months_to_close(database, at("2026-11-10")),
    "late months": lambda database, _: SEPTEMBER in months_with_late_usage(database),
    "months to reconcile": lambda database, _: months_to_reconcile(database, at("2026-09-01")),
    "events in items": lambda database, billed: of_healthy(
        check_items_per_event(database, billed.usage_table, SEPTEMBER, NAMES)
    ),
    **{name: partial(checked, name) for name in ("check_items_sum", "check_rollups_priced", "check_late_usage")},
    "focus": focus_rows,
    "shadow": shadow,
    "spend": spend,
    "open month": open_month,
    "corrections": corrected,
}


@pytest.mark.parametrize(
    ("table", "change", "where", "named"), ROWS, ids=[f"{table}.{change}" for table, change, _, _ in ROWS]
)
def test_an_unreadable_row_changes_no_other_organizations_results_and_is_named_on_its_own_statement(
    billed: Billed, table: str, change: str, where: str, named: str
) -> None:
    with copied(billed, "damaged") as database:
        damage(database, f"update {table} set {change} where {where}")  # noqa: S608 constants
        own = read_statement(database, "broken", NOW)
        september = read_statement(database, "broken", NOW, SEPTEMBER)
        results = {name: ask(database, billed) for name, ask in ASKED.items()}
    assert results == billed.results
    # Its own statement shows August, which is correct, and names the invalid row.
    assert "2026-08" in [invoice.month for invoice in own.invoices]
    if named and table != "usage_snapshots":
        assert any(named in problem for problem in september.problems), september.problems
        assert all("correct the row" in problem for problem in september.problems)
        assert "may be incomplete" in september.headline()
    assert json.dumps(september.as_data())
    assert all(escape(problem) in statement_page(september) for problem in september.problems)


def test_no_statement_has_a_problem_without_a_bad_row(billed: Billed) -> None:
    with copied(billed, "undamaged") as database:
        for name in NAMES:
            assert read_statement(database, name, NOW, SEPTEMBER).problems == ()
    assert billed.results["guard"] == [("USD", False)]
    assert billed.results["corrections"] == [("healthy", Decimal("0.18"))]
    assert len(billed.results["focus"]) > 3


def test_an_invoice_without_a_version_of_the_usage_table_is_the_only_one_whose_events_are_not_checked(
    billed: Billed,
) -> None:
    with copied(billed, "damaged") as database:
        damage(database, f"update usage_snapshots set lake_version = null where {OF_SEPTEMBER}")  # noqa: S608
        wrong = check_items_per_event(database, billed.usage_table, SEPTEMBER, NAMES)
    assert [(row["organization_id"], row["problem"]) for row in wrong] == [
        ("broken", "its rollups can't be read: lake_version is missing; correct the row")
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("dimensions = null", "dimensions is missing"),
        ("segment_start = null", "segment_start is missing"),
        ("segment_start = '-infinity'", "segment_start -infinity is not a valid time"),
        ("segment_start = '0044-03-15 BC'", "segment_start 0044-03-15 00:00:00+00 BC is not a valid time"),
        ("segment_end = 'infinity'", "segment_end infinity is not a valid time"),
        ("segment_end = '12000-01-01'", "segment_end 12000-01-01 00:00:00+00 is not a valid time"),
    ],
)
def test_an_organization_with_an_unreadable_rollup_is_named_and_the_others_are_checked(
    billed: Billed, change: str, reason: str
) -> None:
    with copied(billed, "damaged") as database:
        damage(
            database,
            f"update usage_rollups set {change} where {OF_SNAPSHOT}",  # noqa: S608 constants
            "delete from invoice_item_rollups where rollup_id in (select r.id from usage_rollups as r"
            " join usage_snapshots as s on s.id = r.snapshot_id where s.organization_id = 'healthy')",
        )
        wrong = check_items_per_event(database, billed.usage_table, SEPTEMBER, NAMES)
    assert [(row["organization_id"], row["events"], row["problem"]) for row in wrong] == [
        ("broken", 0, f"its rollups can't be read: {reason}; correct the row"),
        ("healthy", 1, "in 0 items"),
    ]


def test_totals_sum_the_readable_invoices_and_name_the_others(billed: Billed) -> None:
    """Two totals that are each a bigint, and more than one together."""
    with copied(billed, "damaged") as database:
        damage(
            database,
            f"update invoices set total_cents = 9200000000000000000 where {OF_SEPTEMBER}",  # noqa: S608
            f"update invoices set total_cents = 9200000000000000000 where {OF_SEPTEMBER.replace('09', '08')}",  # noqa: S608
        )
        monthly = database.rows("monthly_totals", organization_id=None, **YEAR)
        of_all = {BillingMonth.containing(row["month"]): row["invoices"] for row in monthly}
        _, bad = readable_rows(database.rows("unreadable_totals", organization_id=None))
    assert of_all == {AUGUST: 1, SEPTEMBER: 1, OCTOBER: 2}
    assert list(map(str, bad)) == ["broken: total_cents is too large"] * 2


def test_the_plan_of_a_sync_names_unreadable_invoices(billed: Billed) -> None:
    with copied(billed, "damaged") as database:
        damage(database, f"update invoices set currency = null where {OF_SEPTEMBER}")  # noqa: S608
        plan = plan_of_sync(database, SEPTEMBER)
    assert (plan.invoices, plan.unreadable) == (1, ("broken: currency is missing",))


def test_an_invoice_with_an_invalid_month_fails_the_check_of_sums_of_every_month(billed: Billed) -> None:
    """No other query of a month finds it, so this check is the only alert."""
    with copied(billed, "damaged") as database:
        damage(database, f"update invoices set month = 'infinity' where {OF_SEPTEMBER}")  # noqa: S608
        found = [
            database.rows("check_items_sum", month=month.first_day, groups=list(NAMES)) for month in (AUGUST, OCTOBER)
        ]
    assert [[(row["organization_id"], row["problem"]) for row in of_month] for of_month in found] == [
        [("broken", "its month is infinity: correct the row")]
    ] * 2
