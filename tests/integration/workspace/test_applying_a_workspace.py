"""Applying a workspace makes the database agree with its files, in one transaction, and rewrites no final invoice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import text

from fly_billing.corrections.correction import Actor
from fly_billing.customers.writing import CustomerRefused
from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.server import connect
from fly_billing.postgres.database import lock_until_commit
from fly_billing.workspace.applying import AppliedWorkspace, WorkspaceNotApplied, apply_workspace
from fly_billing.workspace.reading import WorkspaceHasMistakes
from tests.integration.workspace.conftest import GROUPS, TERMS, Shop
from tests.support.builders import CLOSED, NOW, OCTOBER, SEPTEMBER, Platform, at

TABLES = (
    "organizations", "billing_details", "prices", "meters", "subscriptions", "coupons", "discounts", "tax_rates",
    "workspace_records", "customer_changes", "organization_history",
)  # fmt: skip
HALFWAY = datetime.fromisoformat("2026-10-16T12:00:00Z")


def contents(platform: Platform) -> dict[str, list[str]]:
    return {
        table: [row["row"] for row in platform.query(f"select to_jsonb(t)::text as row from {table} as t order by 1")]  # noqa: S608
        for table in TABLES
    }


def test_applying_twice_changes_nothing(shop: Shop, platform: Platform) -> None:
    first = shop.apply()
    assert [(change.action, change.kind, change.key) for change in first.plan.changes] == [
        ("changed", "organization", "acme"),
        ("added", "organization", "labs"),
        ("taken over", "meter", "requests"),
        ("added", "price", "shop/requests/2026-01-01"),
        ("added", "price", "shop/support/2026-01-01"),
        ("added", "tax", "labs/VAT/2026-01"),
        ("added", "subscription", "acme/support/2026-01-10"),
        ("added", "subscription", "labs/support/2026-01-10"),
        ("added", "coupon", "TEN"),
        ("added", "discount", "labs/TEN/2026-09"),
    ]
    before = contents(platform)
    assert shop.changes() == []
    again = shop.apply(CLOSED, who="ben")
    assert (again.plan.counts["unchanged"], again.plan.changes) == (10, [])
    assert contents(platform) == before


def test_what_was_applied_is_billed(shop: Shop, platform: Platform) -> None:
    """acme: 29.00. labs: 2 x 29.00 = 58.00, less 10 % = 52.20, plus 19 % = 9.918: 62.118, which is 62.12."""
    shop.apply()
    assert platform.close().failures == []
    assert (platform.totals("acme"), platform.totals("labs")) == ([2900], [6212])


@pytest.mark.parametrize(
    ("file", "old", "new", "change"),
    [
        ("organizations.csv", "acme,Acme,", "acme,Acme Inc.,", ("changed", "organization", "acme")),
        ("organizations.csv", "a@labs.example", "b@labs.example", ("changed", "organization", "labs")),
        ("organizations.csv", "acme,Acme", "finch,Finch,USD,,\nacme,Acme", ("added", "organization", "finch")),
        ("terms.yaml", "quantity: 2}", "quantity: 3}", ("changed", "subscription", "labs/support/2026-01-10")),
        (
            "terms.yaml", "subscriptions:", "charges: [{organization: acme, description: Setup, amount: 5,"
            " occurred_at: 2026-09-10}]\nsubscriptions:", ("added", "charge", "acme/Setup/2026-09-10"),
        ),
        (
            "terms.yaml", "subscriptions:", "links: [{organization: labs, payer: acme, first_month: 2026-12}]\n"
            "subscriptions:", ("added", "link", "labs/2026-12"),
        ),
        (
            "terms.yaml", "subscriptions:", "tax_customers: [{organization: labs, location: DE, first_month: 2026-09}]"
            "\nsubscriptions:", ("added", "tax customer", "labs/2026-09"),
        ),
        (
            "terms.yaml", "subscriptions:", "commitments: [{organization: acme, description: At least 40, amount: 40,"
            " first_month: 2026-09}]\nsubscriptions:", ("added", "commitment", "acme/minimum/At least 40/2026-09"),
        ),
        (
            "terms.yaml", "subscriptions:", "credits: [{organization: acme, description: Gift, amount: 5,"
            " granted_at: 2026-09-01}]\nsubscriptions:", ("added", "credit", "acme/Gift/2026-09-01"),
        ),
        (
            "terms.yaml", "subscriptions:", "negotiated: [{key: support, organization: acme, percent_off: 10,"
            " effective_from: 2026-09-01}]\nsubscriptions:",
            ("added", "negotiated price", "shop/support/acme/2026-09-01"),
        ),
        (
            "terms.yaml", "subscriptions:", "members: [{group: early, organization: acme, effective_from: 2026-09-01}]"
            "\nsubscriptions:", ("added", "group member", "early/acme/2026-09-01"),
        ),
        ("terms.yaml", "percent: 10", "percent: 12.5", ("changed", "coupon", "TEN")),
        ("terms.yaml", "2026-09}", "2026-09, last_month: 2026-10}", ("changed", "discount", "labs/TEN/2026-09")),
        ("terms.yaml", "percent: 19", "percent: 20", ("changed", "tax", "labs/VAT/2026-01")),
        ("price_book/shop/prices.yaml", "0.10", "0.20", ("changed", "price", "shop/requests/2026-01-01")),
        ("price_book/shop/prices.yaml", "name: Requests", "name: Calls", ("changed", "meter", "requests")),
        (
            "price_book/shop/prices.yaml", "meters:", "taxes: [{key: vat, tax: VAT, percent: 20,"
            " first_month: 2026-01}]\nmeters:", ("added", "book tax", "shop/vat/2026-01"),
        ),
    ],
)  # fmt: skip
def test_after_an_edit_the_plan_shows_exactly_that_edit(
    shop: Shop, file: str, old: str, new: str, change: tuple[str, str, str]
) -> None:
    shop.apply()
    shop.edit(file, old, new)
    assert shop.changes() == [change]
    shop.apply()
    assert shop.changes() == []
    if change[0] == "added":  # and the other way: what begun ends, what had not begun goes
        shop.edit(file, new, old)
        ((action, *_),) = shop.changes()
        assert action == ("removed" if change[1] in ("charge", "link", "tax customer") else "ended")
        shop.apply()
        assert shop.changes() == []


def test_a_billed_subscription_without_a_line_ends_now_and_its_invoice_stays(shop: Shop, platform: Platform) -> None:
    """October: 29.00 for 15.5 of 31 days is 14.50. September stays at 29.00."""
    shop.apply()
    platform.close()
    september = platform.items(SEPTEMBER)
    shop.edit("terms.yaml", "  - {organization: acme, price: support, started_at: 2026-01-10}\n", "")
    (change,) = shop.plan(HALFWAY).plan.changes
    assert (change.action, change.used_by) == ("ended", "final invoice number 1 of acme for 2026-09")
    shop.apply(HALFWAY)
    assert shop.changes(HALFWAY) == []
    platform.close(OCTOBER)
    assert platform.items(SEPTEMBER) == september
    assert platform.amounts("subscription", OCTOBER) == [Decimal("14.50")]
    assert platform.totals("acme") == [2900, 1450]


def test_a_billed_subscription_is_superseded_by_an_end_and_another_line(shop: Shop, platform: Platform) -> None:
    """October of labs: 2 x 29.00 x 15.5 / 31 + 3 x 29.00 x 15.5 / 31 = 29.00 + 43.50."""
    shop.apply()
    platform.close()
    shop.edit("terms.yaml", "quantity: 2}", "quantity: 3}")
    (change,) = shop.plan(HALFWAY).plan.changes
    assert change.refused == (
        "quantity can't change, as final invoice number 1 of labs for 2026-09 used it: set its ended_at, and add"
        " another one from then on"
    )
    with pytest.raises(
        WorkspaceNotApplied, match=r"^terms.yaml: line 4: subscription labs/support/2026-01-10: quantity"
    ):
        shop.apply(HALFWAY)
    shop.edit("terms.yaml", "quantity: 3}", "quantity: 2, ended_at: 2026-10-16T12:00:00Z}\n  - {organization: labs,"
              " price: support, started_at: 2026-10-16T12:00:00Z, quantity: 3}")  # fmt: skip
    shop.apply(HALFWAY)
    platform.close(OCTOBER)
    assert sorted(platform.amounts("subscription", OCTOBER, "labs")) == [Decimal("29.00"), Decimal("43.50")]


def test_a_price_that_was_billed_is_superseded_by_a_later_version(shop: Shop, platform: Platform) -> None:
    """A new price of 40.00 from November on: October stays at 29.00."""
    shop.apply()
    platform.close()
    shop.edit("price_book/shop/prices.yaml", "unit_amount: 29.00", "unit_amount: 40.00")
    (change,) = shop.plan(HALFWAY).plan.changes
    assert change.refused == (
        "unit_amount can't change, as a final invoice used it: add a version with a later effective_from"
    )
    version = (
        "  - {key: support, product: Support, description: Support, unit: month, unit_amount: 40.00, effective_from:"
        " 2026-11-01}\n"
    )
    shop.edit("price_book/shop/prices.yaml", "unit_amount: 40.00, effective_from: 2026-01-01}\n", "unit_amount: 29.00,"
              f" effective_from: 2026-01-01}}\n{version}")  # fmt: skip
    assert shop.changes(HALFWAY) == [("added", "price", "shop/support/2026-11-01")]
    shop.apply(HALFWAY)
    platform.close(OCTOBER)
    assert platform.totals("acme") == [2900, 2900]


def test_a_version_that_has_not_begun_is_removed_without_its_line(shop: Shop, platform: Platform) -> None:
    version = (
        "  - {key: support, product: Support, description: Support, unit: month, unit_amount: 40.00, effective_from:"
        " 2026-11-01}\n"
    )
    shop.edit("price_book/shop/prices.yaml", "prices:\n", f"prices:\n{version}")
    shop.apply()
    shop.edit("price_book/shop/prices.yaml", version, "")
    assert shop.changes() == [("removed", "price", "shop/support/2026-11-01")]
    shop.apply()
    assert platform.query("select 1 from prices where effective_from > '2026-10-01'") == []


def test_a_charge_without_a_line_leaves_the_open_invoice_and_stays_on_a_final_one(
    shop: Shop, platform: Platform
) -> None:
    charge = "charges:\n  - {organization: acme, description: Setup, amount: 5.00, occurred_at: 2026-09-10}\n"
    shop.write("terms.yaml", f"{charge}# the rest")
    shop.apply()
    platform.compute()
    assert platform.amounts("one_off") == [Decimal("5.00")]
    shop.write("terms.yaml", "# the rest")
    assert shop.changes() == [("removed", "charge", "acme/Setup/2026-09-10")]
    shop.apply()
    platform.compute()
    assert platform.amounts("one_off") == []
    shop.write("terms.yaml", f"{charge}# the rest")
    shop.apply()
    platform.close()
    shop.write("terms.yaml", "# the rest")
    assert shop.changes(HALFWAY) == [("released", "charge", "acme/Setup/2026-09-10")]
    shop.apply(HALFWAY)
    assert (platform.totals("acme"), shop.changes(HALFWAY)) == ([500], [])


MORE_TERMS = """  - {organization: acme, name: VAT, percent: 10, first_month: 2026-01}
commitments: [{organization: acme, description: At leats 50, amount: 50, first_month: 2026-01}]
credits: [{organization: labs, description: Gfit, amount: 5, granted_at: 2026-01-10}]
charges: [{organization: acme, description: Stepu, amount: 7, occurred_at: 2026-09-10}]
"""
FIVE = "  - {code: FIVE, description: 5 % off, percent: 5, months: 3}\ndiscounts:"
MORE_OF_BOOK = """taxes: [{key: vat, tax: VAT, percent: 20, first_month: 2026-01}]
prices:
  - {key: plus, product: Support, description: Plus, unit: month, unit_amount: 99.00, effective_from: 2026-01-01}
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("terms.yaml", "Stepu", "Setup", "acme/Stepu/2026-09-10, which final invoice number 1 of acme for 2026-09 has"),
        ("terms.yaml", "at: 2026-09-10", "at: 2026-09-11", "acme/Stepu/2026-09-10, which final invoice number 1 of"),
        ("terms.yaml", "{organization: acme, name: VAT", "{organization: acme, name: Tax", "acme/VAT/2026-01, and"),
        ("terms.yaml", "leats 50, amount: 50", "least 60, amount: 60", "acme/minimum/At leats 50/2026-01, and both"),
        ("terms.yaml", "Gfit", "Gift", "labs/Gfit/2026-01-10, and both would apply until 2026-10-16 12:00:00: begin"),
        ("terms.yaml", "{organization: acme, price: support", "{organization: acme, price: plus", "acme/support/2026"),
        ("terms.yaml", "TEN, first_month: 2026-09", "FIVE, first_month: 2026-10", "labs/TEN/2026-09, and both would"),
        ("price_book/shop/prices.yaml", "key: requests, meter", "key: calls, meter", "shop/requests/2026-01-01, and"),
        ("price_book/shop/prices.yaml", "key: vat", "key: tax", "shop/vat/2026-01, and both would apply until"),
    ],
)  # fmt: skip
def test_an_edit_of_the_fields_that_name_a_billed_record_does_not_bill_it_twice(
    shop: Shop, platform: Platform, file: str, old: str, new: str, reason: str
) -> None:
    """October of acme would have two taxes, two minimums, the charge of September again, and two subscriptions."""
    shop.write("terms.yaml", TERMS.replace("discounts:", FIVE) + MORE_TERMS)
    shop.edit("price_book/shop/prices.yaml", "prices:\n", MORE_OF_BOOK)
    shop.apply()
    platform.close()
    shop.edit(file, old, new)
    (refused,) = shop.plan(HALFWAY).plan.refusals
    assert f"it looks like an edit of {reason}" in str(refused.refused)
    with pytest.raises(WorkspaceNotApplied, match="looks like an edit"):
        shop.apply(HALFWAY)
    shop.edit(file, new, old)
    assert shop.changes(HALFWAY) == []


def test_an_organization_without_a_row_closes_its_account_and_is_billed_for_its_last_days(
    shop: Shop, platform: Platform
) -> None:
    """labs in October: 58.00 x 15.5 / 31 = 29.00, less 10 % = 26.10, plus 19 % = 4.959: 31.059, which is 31.06."""
    shop.apply()
    platform.close()
    shop.edit("organizations.csv", "labs,Labs,USD,2026-01-10,a@labs.example\n", "")
    terms = "subscriptions:\n  - {organization: acme, price: support, started_at: 2026-01-10}\n"
    shop.write("terms.yaml", f"{terms}coupons: [{{code: TEN, description: 10 % off, percent: 10, months: 3}}]\n")
    assert shop.changes(HALFWAY) == [
        ("ended", "organization", "labs"),
        ("released", "tax", "labs/VAT/2026-01"),
        ("ended", "subscription", "labs/support/2026-01-10"),
        ("released", "discount", "labs/TEN/2026-09"),
    ]
    shop.apply(HALFWAY)
    platform.close(OCTOBER)
    assert platform.totals("labs") == [6212, 3106]
    assert shop.changes(HALFWAY) == []
    (labs,) = platform.query("select closed_at from organizations where id = 'labs'")
    assert labs["closed_at"] == HALFWAY


def test_losing_many_organizations_is_refused_without_an_explicit_option(shop: Shop, platform: Platform) -> None:
    shop.apply()
    shop.write("organizations.csv", "id,name,currency\n")
    shop.write("terms.yaml", "# none\n")
    with pytest.raises(WorkspaceNotApplied, match=r"^it closes 2 of 2 organizations, more than 10 %: add --close-many"):
        shop.apply()
    assert platform.query("select 1 from organizations where closed_at is not null") == []
    shop.apply(may_close_many=True)
    assert len(platform.query("select 1 from organizations where closed_at is not null")) == 2


def test_what_somebody_else_added_stays_until_a_file_names_it(shop: Shop, platform: Platform) -> None:
    shop.apply()
    platform.add_organization("finch")
    platform.add_subscription("acme", "requests", at("2026-02-01"))
    assert shop.changes() == []
    shop.edit("organizations.csv", "acme,Acme", "finch,Finch,USD,2026-01-10,\nacme,Acme")
    assert shop.changes() == [("changed", "organization", "finch")]  # its price book was fly
    shop.apply()
    shop.edit("organizations.csv", "finch,Finch,USD,2026-01-10,\n", "")
    assert shop.changes() == [("ended", "organization", "finch")]


def test_who_applied_it_and_why_is_kept_with_each_change(shop: Shop, platform: Platform) -> None:
    shop.apply()
    shop.edit("terms.yaml", "quantity: 2}", "quantity: 3}")
    shop.edit("price_book/shop/prices.yaml", "0.10", "0.20")
    shop.apply(who="ben")
    found = platform.query("select changed_by, why, what from customer_changes where changed_by = 'ben' order by id")
    assert [(row["changed_by"], row["why"]) for row in found] == [("ben", "the new contract")] * 2
    assert found[0]["what"] == "price shop/requests/2026-01-01; unit_amount: 0.1 -> 0.2"
    assert "quantity: 2 -> 3" in found[1]["what"]


def test_nothing_of_a_workspace_with_a_mistake_is_applied(shop: Shop, platform: Platform) -> None:
    before = contents(platform)
    shop.edit("terms.yaml", "coupon: TEN", "coupon: TENN")
    with pytest.raises(WorkspaceHasMistakes, match="did you mean TEN"):
        shop.apply()
    assert contents(platform) == before


def test_a_refusal_of_the_last_record_leaves_nothing(shop: Shop, platform: Platform) -> None:
    """The coupon can't be redeemed any more: only the database finds that, after all other records were written."""
    before = contents(platform)
    shop.edit("terms.yaml", "months: 3}", "months: 3, redeem_by: 2026-09-01}")
    (problem,) = shop.plan().problems
    assert problem.startswith("terms.yaml: line 8: coupon TEN of labs from 2026-09: coupon TEN could be redeemed until")
    with pytest.raises(CustomerRefused) as refused:
        shop.apply()
    assert str(refused.value) == problem
    assert contents(platform) == before


def waiting_for_a_lock(platform: Platform) -> int | None:
    """Return the process of the session that waits for a lock of another one, if any."""
    found = platform.query(
        "select pid from pg_stat_activity where datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0"
    )
    return int(found[0]["pid"]) if found else None


def wait_until(is_so: Callable[[], object], work: Future[AppliedWorkspace]) -> None:
    """Wait until another session waits for a lock; give up if the work ends before."""
    while not is_so():
        assert not work.done()
        wait([work], timeout=0.01)


def test_an_apply_that_is_killed_halfway_leaves_nothing(
    shop: Shop, platform: Platform, postgres: PostgresServer
) -> None:
    """Its session ends while it waits to write the discount: organizations, prices and others are written by then."""
    before = contents(platform)
    with ThreadPoolExecutor() as threads, platform.database.engine.connect() as other:
        other.execute(text("lock table discounts in share mode"))
        killed = threads.submit(shop.apply)
        wait_until(lambda: waiting_for_a_lock(platform), killed)
        with connect(postgres.port, postgres.superuser_password) as superuser:
            superuser.execute("select pg_terminate_backend(%s)", (waiting_for_a_lock(platform),))
        assert "terminating connection" in str(killed.exception())
        other.rollback()
    assert contents(platform) == before
    shop.apply()
    assert shop.changes() == []


def test_two_applies_at_once_write_everything_once(shop: Shop, platform: Platform) -> None:
    """The second waits for the first, and plans again: nothing is left to do."""
    with ThreadPoolExecutor() as threads, platform.database.engine.connect() as other:
        other.execute(text("lock table discounts in share mode"))
        first = threads.submit(shop.apply)
        wait_until(lambda: waiting_for_a_lock(platform), first)
        second = threads.submit(shop.apply, who="ben")
        waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted"
        wait_until(lambda: platform.query(waiting), second)
        other.rollback()
        assert [len(done.result().plan.changes) for done in (first, second)] == [10, 0]
    assert {row["changed_by"] for row in platform.query("select changed_by from customer_changes")} == {"ann"}
    assert len(platform.query("select 1 from subscriptions")) == 2


def test_a_group_can_have_any_name(shop: Shop, platform: Platform) -> None:
    group = (
        "negotiated: [{key: requests, group: early/birds 2026, percent_off: 10, effective_from: 2026-01-01}]\n"
        "members: [{group: early/birds 2026, organization: acme, effective_from: 2026-01-01}]\n"
    )
    shop.write("terms.yaml", TERMS + group)
    shop.apply()
    assert shop.changes() == []
    shop.write("terms.yaml", TERMS)
    assert [action for action, *_ in shop.changes()] == ["ended", "ended"]
    shop.apply()
    assert shop.changes() == []
    (price,) = platform.query("select effective_until from negotiated_prices")
    assert price["effective_until"] == NOW


def test_an_organization_that_moves_is_taxed_where_it_was_until_then(shop: Shop, platform: Platform) -> None:
    """October of acme: 20 % of 29.00 is 5.80. An edit of its line would have removed Germany from October as well."""
    shop.edit("price_book/shop/prices.yaml", "prices:\n", "taxes: [{key: vat, tax: VAT, percent: 20, locations: [DE],"
              " first_month: 2026-01}]\nprices:\n")  # fmt: skip
    germany = "{organization: acme, location: DE, first_month: 2026-01}"
    france = "{organization: acme, location: FR, first_month: 2026-11}"
    shop.write("terms.yaml", f"{TERMS}tax_customers: [{germany}]\n")
    shop.apply()
    platform.close()
    shop.edit("terms.yaml", germany, france)
    with pytest.raises(WorkspaceNotApplied, match="invoices of acme that are not final would lose their taxes"):
        shop.apply(HALFWAY)
    shop.edit("terms.yaml", france, f"{germany}, {france}")
    shop.apply(HALFWAY)
    platform.close(OCTOBER)
    assert platform.amounts("tax", OCTOBER) == [Decimal("5.80")]
    shop.edit("terms.yaml", f"{germany}, ", "")
    assert shop.changes(at("2026-11-05")) == [("released", "tax customer", "acme/2026-01")]


def test_a_charge_is_removed_only_while_no_billing_run_computes_invoices(shop: Shop, platform: Platform) -> None:
    """The run could put the charge on an invoice while the apply deletes it: one of them would fail."""
    shop.write("terms.yaml", "charges: [{organization: acme, description: Setup, amount: 5, occurred_at: 2026-09-10}]")
    shop.apply()
    platform.compute()
    shop.write("terms.yaml", "# none")
    with ThreadPoolExecutor() as threads, platform.database.engine.connect() as run:
        lock_until_commit(run, "invoices")
        applied = threads.submit(shop.apply)
        waiting = "select 1 from pg_locks where locktype = 'advisory' and not granted"
        wait_until(lambda: platform.query(waiting), applied)
        assert platform.amounts("one_off") == [Decimal("5.00")]
        run.rollback()
        assert [change.action for change in applied.result().plan.changes] == ["removed"]
    platform.compute()
    assert platform.amounts("one_off") == []


def test_a_plan_that_somebody_agreed_to_is_applied_only_as_it_was_shown(shop: Shop, platform: Platform) -> None:
    """Somebody adds labs meanwhile: the plan would change it instead of adding it."""
    shown = shop.plan()
    platform.add_organization("labs")
    actor = Actor("ann", at("2026-09-20T12:00:00"))
    with pytest.raises(WorkspaceNotApplied, match="changed after the plan was shown: plan again"):
        apply_workspace(shop.database, shown.workspace, actor, GROUPS, approved=shown.plan)
    assert platform.query("select 1 from subscriptions") == []
    shown = shop.plan()
    assert apply_workspace(shop.database, shown.workspace, actor, GROUPS, approved=shown.plan).plan == shown.plan


def test_a_cancelled_subscription_comes_back_unless_the_file_says_so_and_the_plan_shows_it(
    shop: Shop, platform: Platform
) -> None:
    shop.apply()
    platform.execute("update subscriptions set ended_at = '2026-09-21' where organization_id = 'acme'")
    (change,) = shop.plan().plan.changes
    assert [(field.field, field.before, field.after) for field in change.fields] == [("ended_at", "2026-09-21", None)]
    shop.edit("terms.yaml", "price: support, started_at: 2026-01-10}\n  - {organization: labs",
              "price: support, started_at: 2026-01-10, ended_at: 2026-09-21}\n  - {organization: labs")  # fmt: skip
    assert shop.changes() == []


def test_a_line_that_comes_back_continues_its_record(shop: Shop, platform: Platform) -> None:
    line = "  - {organization: acme, price: support, started_at: 2026-01-10}\n"
    shop.apply()
    shop.edit("terms.yaml", line, "")
    shop.apply()
    shop.edit("terms.yaml", "subscriptions:\n", f"subscriptions:\n{line}")
    assert shop.changes() == [("changed", "subscription", "acme/support/2026-01-10")]
    shop.apply()
    assert platform.query("select ended_at from subscriptions where organization_id = 'acme'") == [{"ended_at": None}]


@pytest.mark.parametrize(("months", "end"), [(", months: 3", "2026-11"), ("", None)])
def test_a_discount_that_comes_back_lasts_as_long_as_its_coupon_again(
    shop: Shop, platform: Platform, months: str, end: str | None
) -> None:
    line = "  - {organization: labs, coupon: TEN, first_month: 2026-09}\n"
    shop.edit("terms.yaml", ", months: 3", months)
    shop.apply()
    shop.edit("terms.yaml", f"discounts:\n{line}", "discounts: []\n")
    shop.apply()
    assert platform.query("select to_char(last_month, 'YYYY-MM') as until from discounts") == [{"until": "2026-09"}]
    shop.edit("terms.yaml", "discounts: []\n", f"discounts:\n{line}")
    shop.apply()
    assert platform.query("select to_char(last_month, 'YYYY-MM') as until from discounts") == [{"until": end}]
    assert shop.changes() == []


ALL_KINDS = """
subscriptions: [{organization: acme, price: support, started_at: 2026-01-10, quantity: 2}]
coupons: [{code: TEN, description: 10 % off, percent: 10}]
discounts: [{organization: acme, coupon: TEN, first_month: 2026-09}]
taxes: [{organization: acme, name: VAT, percent: 19, first_month: 2026-01}]
commitments: [{organization: acme, description: At least 500, amount: 500, first_month: 2026-09}]
credits: [{organization: acme, description: Gift, amount: 5, granted_at: 2026-09-01}]
charges: [{organization: acme, description: Setup, amount: 7, occurred_at: 2026-09-10}]
links: [{organization: labs, payer: acme, first_month: 2026-09}]
negotiated: [{key: support, group: early, percent_off: 20, effective_from: 2026-09-01}]
members: [{group: early, organization: acme, effective_from: 2026-09-01}]
"""
INVOICE = "final invoice number 1 of acme for 2026-09"
# An edit of each kind, the field that can't change, and the end of the record if its line is gone in October.
USED = {
    "subscription": ("quantity: 2", "quantity: 3", "quantity", "2026-10-16 12:00:00"),
    "coupon": ("percent: 10}", "percent: 20}", "percent", "2026-10-16 12:00:00"),
    "tax": ("percent: 19", "percent: 20", "percent", "2026-10"),
    "commitment": ("amount: 500", "amount: 600", "amount", "2026-10"),
    "credit": ("amount: 5,", "amount: 6,", "amount", "2026-10-16 12:00:00"),
    "charge": ("amount: 7", "amount: 8", "amount", None),
    "link": ("payer: acme", "payer: finch", "payer", "2026-10"),
    "negotiated price": ("percent_off: 20", "percent_off: 30", "charges", "2026-10-16 12:00:00"),
    "discount": (None, None, None, "2026-10"),
    "group member": (None, None, None, "2026-10-16 12:00:00"),
}


def test_what_a_final_invoice_used_of_every_kind_can_end_and_not_change(shop: Shop, platform: Platform) -> None:
    """acme's invoice has labs' items as well: the plan names it, nothing is changed, and the invoice stays."""
    shop.write("organizations.csv", "id,name,currency,created_at\n" + "".join(
        f"{name},{name},USD,2026-01-10\n" for name in ("acme", "labs", "finch")
    ))  # fmt: skip
    shop.write("terms.yaml", ALL_KINDS)
    shop.apply()
    assert shop.changes() == []
    assert platform.close().failures == []
    september = platform.items(SEPTEMBER)
    for kind, (old, new, field, _) in USED.items():
        if old and new:
            shop.edit("terms.yaml", old, new)
            (change,) = shop.plan(HALFWAY).plan.changes
            assert (change.kind, change.used_by) == (kind, INVOICE)
            assert str(change.refused).startswith(f"{field} can't change, as {INVOICE} used it: "), kind
            with pytest.raises(WorkspaceNotApplied, match=f"{field} can't change"):
                shop.apply(HALFWAY)
            shop.edit("terms.yaml", new, old)
    shop.write("terms.yaml", "# nothing\n")
    found = {change.kind: change for change in shop.plan(HALFWAY).plan.changes}
    assert {kind: change.fields[0].after if change.fields else None for kind, change in found.items()} == {
        kind: end for kind, (_, _, _, end) in USED.items()
    }
    assert found.pop("charge").action == "released"
    assert {change.action for change in found.values()} == {"ended"}
    with pytest.raises(WorkspaceNotApplied, match=r"^it ends 8 of 8 terms, more than 10 %: add --close-many"):
        shop.apply(HALFWAY)
    shop.apply(HALFWAY, may_close_many=True)
    assert shop.changes(HALFWAY) == []
    assert platform.items(SEPTEMBER) == september
    assert platform.close(OCTOBER).failures == []


def test_a_term_of_a_closed_month_changes_no_invoice_and_the_plan_says_that_somebody_has_to_decide(
    shop: Shop, platform: Platform
) -> None:
    shop.apply()
    platform.close()
    second = "  - {organization: acme, price: support, started_at: 2026-09-16, key: second}\n"
    shop.edit("terms.yaml", "coupons:", f"{second}coupons:")
    (notice,) = (change.notice for change in shop.plan(HALFWAY).closed_months)
    assert notice.startswith("subscription support was added: final invoices from 2026-09 on stay as they are")
    assert [change.notice for change in shop.apply(HALFWAY).closed_months] == [notice]
    assert platform.totals("acme") == [2900]
