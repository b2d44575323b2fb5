"""An open month can be computed repeatedly. It is finalized once, with all its usage, and then never changes."""

from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.invoicing.bill_run import bill
from fly_billing.invoicing.month_closing import UsageNotLanded
from fly_billing.invoicing.rules.assembly import invoice_id
from fly_billing.postgres.connections.engines import DatabaseFailed
from fly_billing.pricing.rules.models import Flat
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity
from fly_billing.statements.explanation_reader import read_explanation
from fly_billing.worklist.due import days_before_closing, months_to_close, months_to_sync
from tests.support.builders import (
    CLOSED,
    DAY,
    LANDING_DAYS,
    NOW,
    OCTOBER,
    PRICES,
    REQUESTS,
    SEPTEMBER,
    TERMS,
    Platform,
    at,
    event,
    id_of,
    price,
    write_jsonl,
)


def invoices(platform: Platform) -> list[tuple[Any, ...]]:
    found = platform.query(
        "select organization_id, to_char(month, 'YYYY-MM'), status, total_cents from invoices order by 1, 2"
    )
    return [tuple(row.values()) for row in found]


def everything(platform: Platform) -> list[Any]:
    """Return all rows about invoices."""
    tables = ("invoices order by id", "invoice_items order by id", "invoice_item_rollups order by item_id, rollup_id")
    return [platform.query(f"select * from {table}") for table in tables]  # noqa: S608 our own three literals


def failures(platform: Platform) -> list[tuple[Any, ...]]:
    found = platform.query("select organization_id, code, retryable, run_id from billing_failures order by 1")
    return [tuple(row.values()) for row in found]


def checks(platform: Platform) -> list[Any]:
    found = []
    for name in ("check_items_sum", "check_rollups_priced"):
        found += platform.database.rows(name, month=SEPTEMBER.first_day, groups=platform.organizations())
    return found


# --- While the month is open ---------------------------------------------------------------------------------------


def test_a_month_of_more_organizations_than_one_block_holds_bills_each_once(platform: Platform) -> None:
    """2,500 organizations beside acme owe $1.01; one of them, in the second thousand, can't be billed."""
    platform.execute(
        "insert into organizations (id, name, currency, billing_group, created_at)"
        " select 'org-' || n, 'Org ' || n, 'USD', 'org-' || n, '2026-01-10Z' from generate_series(1000, 3499) as n"
    )
    platform.execute(
        "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
        " select gen_random_uuid(), 'org-' || n, 'Setup', 1.01, 'USD', '2026-09-05Z'"
        " from generate_series(1000, 3499) as n"
    )
    platform.add_subscription("org-2345", "no such price", at("2026-09-01"))
    for _ in range(2):
        platform.roll_up()
        billed = platform.bill()
        assert [failure.organization_id for failure in billed.failures] == ["org-2345"]
        assert (len(billed.invoices), sum(invoice.total_cents for invoice in billed.invoices)) == (2500, 2499 * 101)
        (written,) = platform.query("select count(*) as items, sum(amount_cents) as cents from invoice_items")
        assert (written["items"], written["cents"]) == (2499, 2499 * 101)
    assert checks(platform) == []


def test_rebilling_a_first_month_that_failed_uses_current_statistics_of_invoices(platform: Platform) -> None:
    """Postgres would join each block with all invoices before it: six times the time with 10,000 organizations.

    The first run fails when its blocks are written: the table of failures, which it updates last, is missing.
    """
    statistics = (
        "select relname, reltuples::int from pg_class where relname in ('invoices', 'invoice_items') order by 1"
    )
    platform.add_organization("globex")
    platform.use(event("one"), event("two", subject="globex"))
    run = partial(bill, platform.database, SEPTEMBER, platform.organizations(), TERMS, NOW, payers_at_once=1)
    platform.execute("alter table billing_failures rename to billing_failures_elsewhere")
    with pytest.raises(DatabaseFailed, match='relation "billing_failures" does not exist'):
        run()
    platform.execute("alter table billing_failures_elsewhere rename to billing_failures")
    platform.execute("analyze invoices, invoice_items")  # as autovacuum does within a minute
    assert [row["reltuples"] for row in platform.query(statistics)] == [0, 0]
    assert len(run().invoices) == 2
    assert [row["reltuples"] for row in platform.query(statistics)] == [1, 1]


def test_computing_an_open_month_repeatedly_makes_one_invoice(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    for _ in range(3):
        assert not platform.bill().finalized
    assert invoices(platform) == [("acme", "2026-09", "open", 30)]
    before = everything(platform)
    platform.bill()
    assert everything(platform) == before
    platform.use(event("e2", "2"), day=date(2026, 9, 16))
    platform.bill()
    assert invoices(platform) == [("acme", "2026-09", "open", 50)]
    assert checks(platform) == []


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("update invoices set total_cents = total_cents + 1", "check_items_sum"),
        ("update invoices set amount = amount + 0.000001", "check_items_sum"),
        ("update invoice_items set amount_cents = amount_cents - 1", "check_items_sum"),
        ("delete from invoice_items", "check_items_sum"),
        ("delete from invoice_item_rollups", "check_rollups_priced"),
        ("update invoice_items set quantity = quantity + 1", "check_rollups_priced"),
        ("update usage_rollups set quantity = quantity + 1", "check_rollups_priced"),
    ],
)
def test_the_checks_on_invoices_find_manual_changes(platform: Platform, damage: str, check: str) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    assert checks(platform) == []
    platform.execute(damage)
    found = platform.database.rows(check, month=SEPTEMBER.first_day, groups=platform.organizations())
    assert {row["organization_id"] for row in found} == {"acme"}


def test_an_invoice_has_usage_fees_and_one_offs_of_its_month(platform: Platform) -> None:
    """3 x 0.10 + 29.00 for 15 of 30 days - 1.00 = 13.80."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.add_one_off("acme", "goodwill", "-1.00", at("2026-09-30T23:59:59.999999"))
    platform.add_one_off("acme", "next month's", "99.00", at("2026-10-01"))
    platform.use(event("e1", "3"))
    platform.bill()
    items = platform.query("select position, kind, amount, amount_cents from invoice_items order by position")
    assert [tuple(row.values()) for row in items] == [
        (1, "usage", Decimal("0.30"), 30),
        (2, "subscription", Decimal("14.50"), 1450),
        (3, "one_off", Decimal("-1.00"), -100),
    ]
    assert invoices(platform) == [("acme", "2026-09", "open", 1380)]


def test_an_organization_with_nothing_to_pay_still_has_an_invoice(platform: Platform) -> None:
    platform.roll_up()
    platform.bill()
    assert invoices(platform) == [("acme", "2026-09", "open", 0)]


def test_only_the_organizations_of_the_requested_groups_are_billed(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.roll_up()
    bill(platform.database, SEPTEMBER, ["globex"], TERMS, NOW)
    assert invoices(platform) == [("globex", "2026-09", "open", 0)]


def test_usage_that_was_never_rolled_up_makes_no_invoice(platform: Platform) -> None:
    (failure,) = platform.bill().failures
    assert (failure.error.code, failure.error.retryable) == ("usage_not_rolled_up", True)
    assert invoices(platform) == []


# --- Closing -------------------------------------------------------------------------------------------------------


def test_a_month_is_finalized_after_its_grace_period_and_a_rerun_changes_nothing(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    billed = platform.close()
    assert (billed.finalized, billed.already_final) == (True, [])
    found = platform.query("select id, status, finalized_at, due_on from invoices")
    assert found == [
        {
            "id": invoice_id("acme", SEPTEMBER),
            "status": "finalized",
            "finalized_at": CLOSED,
            "due_on": date(2026, 10, 18),
        }
    ]
    before = everything(platform)
    platform.roll_up(now=at("2026-10-05"))
    again = platform.bill(now=at("2026-10-05"))
    assert (again.invoices, again.already_final, again.failures) == ([], ["acme"], [])
    assert everything(platform) == before
    assert checks(platform) == []


def test_a_month_stays_open_until_the_last_moment_of_its_grace_period(platform: Platform) -> None:
    platform.land(*LANDING_DAYS, now=at("2026-10-04"))
    platform.roll_up(now=at("2026-10-04"))
    assert not platform.bill(now=at("2026-10-03T23:59:59.999999")).finalized
    assert invoices(platform) == [("acme", "2026-09", "open", 0)]
    assert platform.bill(now=at("2026-10-04")).finalized
    assert invoices(platform) == [("acme", "2026-09", "finalized", 0)]


def test_a_closed_month_is_not_finalized_when_asked_only_to_compute(platform: Platform) -> None:
    platform.roll_up(now=CLOSED)
    assert not bill(platform.database, SEPTEMBER, ["acme"], TERMS, CLOSED, finalize=False).finalized
    assert invoices(platform) == [("acme", "2026-09", "open", 0)]


def test_a_month_is_not_closed_before_all_its_landing_days_have_landed(platform: Platform) -> None:
    platform.roll_up()
    platform.bill()
    landed = [day for day in LANDING_DAYS if day not in (date(2026, 9, 7), date(2026, 10, 3))]
    platform.land(*landed, now=CLOSED)
    platform.roll_up(now=CLOSED)
    missing = [date(2026, 9, 7), date(2026, 10, 3)]
    assert days_before_closing(platform.database, SEPTEMBER, TERMS.grace) == missing
    with pytest.raises(UsageNotLanded, match=r"2 landing days .* \(2026-09-07, 2026-10-03\)"):
        platform.bill(now=CLOSED)
    assert invoices(platform) == [("acme", "2026-09", "open", 0)]
    platform.land(*missing, now=CLOSED)
    assert days_before_closing(platform.database, SEPTEMBER, TERMS.grace) == []
    assert platform.bill(now=CLOSED).finalized


def test_a_day_that_landed_before_it_ended_has_not_landed(platform: Platform) -> None:
    platform.land(*LANDING_DAYS, now=at("2026-10-03T23:59:59"))
    platform.roll_up(now=CLOSED)
    with pytest.raises(UsageNotLanded, match=r"1 landing day was .* \(2026-10-03\)"):
        platform.bill(now=CLOSED)


def test_a_rollup_from_before_the_end_of_the_grace_period_is_not_billed_finally(platform: Platform) -> None:
    platform.land(*LANDING_DAYS, now=CLOSED)
    platform.roll_up(now=at("2026-10-03T23:59:59"))
    billed = platform.bill(now=CLOSED)
    assert [failure.error.code for failure in billed.failures] == ["usage_rolled_up_too_early"]
    assert invoices(platform) == []
    platform.roll_up(now=CLOSED)
    assert platform.bill(now=CLOSED).failures == []
    assert invoices(platform) == [("acme", "2026-09", "finalized", 0)]


def test_usage_that_landed_after_the_rollup_is_on_the_final_invoice(platform: Platform) -> None:
    """The day was missing when usage was rolled up, and had landed when the month was closed."""
    platform.land(*(day for day in LANDING_DAYS if day != DAY), now=CLOSED)
    platform.roll_up(now=at("2026-10-04T01:30:00"))
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.land(DAY, now=at("2026-10-04T02:00:00"))
    (failure,) = platform.bill(now=at("2026-10-04T03:00:00")).failures
    assert failure.error.code == "usage_rolled_up_too_early"
    platform.roll_up(now=at("2026-10-04T03:00:00"))
    platform.bill(now=at("2026-10-04T03:00:00"))
    assert invoices(platform) == [("acme", "2026-09", "finalized", 30)]


# --- One organization that can't be billed -------------------------------------------------------------------------


def test_an_organization_that_can_not_be_billed_fails_alone_and_is_billed_once_its_price_exists(
    platform: Platform,
) -> None:
    platform.add_organization("globex")
    platform.execute("update prices set effective_until = '2026-09-01' where key = 'machines'")
    machine = {"type": "machine_seconds", "preset": "shared-cpu-1x", "region": "iad"}
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "1296000", subject="globex", **machine)])
    platform.land(*LANDING_DAYS, now=CLOSED)
    platform.roll_up(now=CLOSED)
    billed = platform.bill(now=CLOSED, run_id="run-1")
    assert [invoice.organization_id for invoice in billed.invoices] == ["acme"]
    assert failures(platform) == [("globex", "unpriced_usage", False, "run-1")]
    (texts,) = platform.query("select customer_text, operator_text from billing_failures")
    assert texts["customer_text"].startswith("We can't calculate this month's invoice yet")
    assert "'machine_seconds' with preset shared-cpu-1x, region iad" in texts["operator_text"]
    assert invoices(platform) == [("acme", "2026-09", "finalized", 30)]
    before = platform.query("select * from invoices")
    platform.execute("update prices set effective_until = null where key = 'machines'")
    again = platform.bill(now=at("2026-10-04T02:00:00"), run_id="run-2")
    assert (again.already_final, [invoice.organization_id for invoice in again.invoices]) == (["acme"], ["globex"])
    assert failures(platform) == []
    assert invoices(platform) == [("acme", "2026-09", "finalized", 30), ("globex", "2026-09", "finalized", 97)]
    assert platform.query("select * from invoices where organization_id = 'acme'") == before


def test_a_failure_keeps_the_last_computed_invoice_and_is_recorded_again_only_when_it_changes(
    platform: Platform,
) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    platform.add_subscription("acme", "unknown", at("2026-09-01"))
    platform.bill(run_id="run-1")
    assert failures(platform) == [("acme", "unpriced_subscription", False, "run-1")]
    platform.execute("update billing_failures set alerted_code = code")
    platform.bill(run_id="run-2")
    assert failures(platform) == [("acme", "unpriced_subscription", False, "run-2")]
    assert platform.query("select alerted_code from billing_failures") == [{"alerted_code": "unpriced_subscription"}]
    assert invoices(platform) == [("acme", "2026-09", "open", 30)]


def test_an_organization_whose_price_book_does_not_exist_fails_alone(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.execute("update organizations set price_book = 'partner' where id = 'globex'")
    platform.use(event("e1", "3"), event("e2", "3", subject="globex"))
    platform.bill()
    assert failures(platform) == [("globex", "unpriced_usage", False, "manual")]
    assert invoices(platform) == [("acme", "2026-09", "open", 30)]


# --- One-off items -------------------------------------------------------------------------------------------------


def test_a_one_off_of_a_finalized_month_is_on_the_next_open_invoice_exactly_once(platform: Platform) -> None:
    platform.close()
    platform.add_one_off("acme", "forgotten setup", "10.00", at("2026-09-10"))
    for month in (OCTOBER, OCTOBER.next(), OCTOBER):
        platform.roll_up(month, now=at("2026-11-02"))
        platform.bill(month, now=at("2026-11-02"))
    assert invoices(platform) == [
        ("acme", "2026-09", "finalized", 0),
        ("acme", "2026-10", "open", 1000),
        ("acme", "2026-11", "open", 0),
    ]


def test_a_one_off_of_an_open_month_is_not_billed_in_a_later_month(platform: Platform) -> None:
    platform.add_one_off("acme", "setup", "10.00", at("2026-09-10"))
    for month in (OCTOBER, SEPTEMBER):
        platform.roll_up(month)
        platform.bill(month)
    assert invoices(platform) == [("acme", "2026-09", "open", 1000), ("acme", "2026-10", "open", 0)]


def test_a_one_off_from_before_the_organization_was_created_is_on_its_first_invoice(platform: Platform) -> None:
    platform.add_organization("newcomer", created_at="2026-09-10")
    platform.add_one_off("newcomer", "signing credit", "-10.00", at("2026-08-20"))
    for month in (SEPTEMBER, OCTOBER):
        platform.roll_up(month)
        platform.bill(month)
    assert [row for row in invoices(platform) if row[0] == "newcomer"] == [
        ("newcomer", "2026-09", "open", -1000),
        ("newcomer", "2026-10", "open", 0),
    ]


def test_a_cancelled_one_off_leaves_the_open_invoice(platform: Platform) -> None:
    platform.add_one_off("acme", "setup", "10.00", at("2026-09-10"))
    platform.roll_up()
    platform.bill()
    platform.execute("update one_off_items set occurred_at = '2026-10-10'")
    platform.bill()
    assert invoices(platform) == [("acme", "2026-09", "open", 0)]


# --- Prices that were used -----------------------------------------------------------------------------------------


def test_a_price_that_a_finalized_invoice_used_can_be_superseded_but_not_changed(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    with pytest.raises(IntegrityError, match=r"price requests .* was used by a finalized invoice"):
        platform.load(price("requests", "0.20", "requests", unit="request"))
    platform.load(REQUESTS)
    platform.load(price("requests", "0.20", "requests", effective_from=at("2026-10-01")))
    assert platform.query("select unit_amount from prices where key = 'requests' order by effective_from") == [
        {"unit_amount": Decimal("0.10")},
        {"unit_amount": Decimal("0.20")},
    ]


def test_a_price_that_only_an_open_invoice_used_can_be_corrected(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    platform.load(price("requests", "0.20", "requests", unit="request"))
    platform.bill()
    assert invoices(platform) == [("acme", "2026-09", "open", 60)]


# --- Months to close -----------------------------------------------------------------------------------------------


def test_a_month_is_left_to_close_until_all_its_organizations_have_a_final_invoice(platform: Platform) -> None:
    for moment in ("2026-10-01", "2026-10-04"):
        assert months_to_close(platform.database, at(moment))[-1] == SEPTEMBER
    assert SEPTEMBER not in months_to_close(platform.database, at("2026-09-30T23:59:59"))
    assert months_to_sync(platform.database) == []
    platform.close()
    for moment in ("2026-10-01", "2026-10-04"):
        assert SEPTEMBER not in months_to_close(platform.database, at(moment))
    assert months_to_sync(platform.database) == [SEPTEMBER]


def test_a_price_with_an_item_at_zero_is_billed_without_usage_and_passes_every_check(platform: Platform) -> None:
    """$7.50 a month for the line itself, with or without traffic."""
    platform.load(
        *PRICES,
        price("line", "0", "egress_gb", model=Flat(Decimal("7.50")), at_zero="item", match={"region": ("ams",)}),
    )
    platform.close()
    assert platform.items() == [("usage", "line as used", Decimal("7.50"))]
    for check in ("check_rollups_priced", "check_items_sum"):
        assert platform.database.rows(check, month=SEPTEMBER.first_day, groups=["acme"]) == []


def test_the_database_calculates_the_amount_of_a_one_off_item_with_a_quantity(platform: Platform) -> None:
    """Three seats of 49.00, one of them cancelled: 98.00."""
    for name, quantity in (("seats", 3), ("seat returned", -1)):
        platform.insert(
            "one_off_items", id=id_of(name), organization_id="acme", description=name, currency="USD",
            quantity=quantity, unit="seat", unit_amount=Decimal(49), occurred_at=at("2026-09-10"),
        )  # fmt: skip
    platform.compute()
    assert platform.items() == [
        ("one_off", "seat returned", Decimal(-49)),
        ("one_off", "seats", Decimal(147)),
    ]
    (found,) = platform.query("select quantity, unit from invoice_items where description = 'seats'")
    assert found == {"quantity": Decimal(3), "unit": "seat"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 3, "amount": 49},  # three of what?
        {"quantity": 3, "unit_amount": 49, "amount": 49},
        {"quantity": 3, "unit_amount": 49, "unit": " "},
        {"unit": "seat", "amount": 49},
        {"quantity": 3},
    ],
)
def test_a_one_off_item_whose_amount_is_not_its_product_is_refused(platform: Platform, wrong: dict[str, Any]) -> None:
    with pytest.raises(DBAPIError):
        platform.insert(
            "one_off_items", id=id_of("x"), organization_id="acme", description="x", currency="USD",
            occurred_at=at("2026-09-10"), **wrong,
        )  # fmt: skip


AFTER_CLOSING = CLOSED + timedelta(days=10)
STARTED_STEPS = price(
    "requests", "0.10", "requests", unit="request", transform_quantity=TransformedQuantity(step=Decimal(50))
)


def test_a_price_in_started_steps_is_billed_checked_explained_and_corrected_by_the_step(platform: Platform) -> None:
    """30 + 40 requests are two started fifties, 10.00; 20 late ones change nothing, 50 more are a third step."""
    platform.load(STARTED_STEPS)
    platform.use(event("e1", "30"), event("e2", "40"))
    assert platform.close().failures == []
    assert platform.items() == [("usage", "requests as used", Decimal(10))]
    assert checks(platform) == []
    (item,) = platform.query("select id, quantity from invoice_items")
    assert item["quantity"] == 100
    assert read_explanation(platform.database, item["id"]).explanation.problems == ()

    for name, quantity, owed in (("late", "20", 0), ("later", "50", 5)):
        write_jsonl(platform.landing_dir, [event(name, quantity)], AFTER_CLOSING.date(), name)
        platform.land(AFTER_CLOSING.date(), now=AFTER_CLOSING)
        platform.roll_up(now=AFTER_CLOSING)
        done = correct_month(
            platform.database,
            SEPTEMBER,
            platform.organizations(),
            platform.usage_table,
            Actor("ann", AFTER_CLOSING),
            guard=OFF,
        )
        assert sum(correction.amount for correction in done.found) == owed


def test_the_check_finds_steps_whose_quantity_differs_from_the_usage(platform: Platform) -> None:
    platform.load(STARTED_STEPS)
    platform.use(event("e1", "30"))
    platform.close()
    platform.execute("alter table invoice_items disable trigger user")
    platform.execute("update invoice_items set detail = jsonb_set(detail, '{transformed,used}', '\"31\"')")
    (found,) = checks(platform)
    assert found["dimensions"] == "quantity of item 1"
