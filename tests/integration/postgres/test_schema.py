"""The database refuses wrong states for every user: final records stay, and sums that do not add up are not stored."""

from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.postgres.database import BillingDatabase
from tests.support.builders import OCTOBER, Platform, at, event, id_of, write_jsonl


@pytest.fixture
def platform(billing_database: BillingDatabase, landing_dir: Path) -> Platform:
    """A platform that has finalized September 2026 for acme: 3 requests for $0.30, 10 GB free and $5.00 once."""
    platform = Platform.with_acme(billing_database, landing_dir)
    write_jsonl(landing_dir, [event("e1", "3"), event("e2", "10", type="egress_gb", region="iad")])
    platform.add_one_off("acme", "setup", "5.00", at("2026-09-10"))
    platform.close()
    return platform


@pytest.fixture
def unfinished(platform: Platform) -> Platform:
    """The same, with an open invoice of October that has one item of $5.00."""
    platform.execute(OPEN_INVOICE, id=OCTOBER_ID, month=at("2026-10-01").date(), revision=0)
    platform.execute(ITEM, id=ITEM_ID, invoice=OCTOBER_ID, one_off=add_fee(platform, "october"))
    return platform


OCTOBER_ID = id_of("october invoice")
ITEM_ID = id_of("october item")
OPEN_INVOICE = (
    "insert into invoices (id, organization_id, month, revision, status, currency, amount, total_cents, computed_at)"
    " values (:id, 'acme', :month, :revision, 'open', 'USD', 5.00, 500, now())"
)
ITEM = (
    "insert into invoice_items (id, invoice_id, position, kind, organization_id, product, description, quantity, unit,"
    " amount, amount_cents, one_off_item_id)"
    " values (:id, :invoice, 1, 'one_off', 'acme', 'One-off', 'fee', 1, 'item', 5.00, 500, :one_off)"
)
FINALIZE = "update invoices set status = 'finalized', finalized_at = now(), due_on = '2026-12-01' where id = :id"


def add_fee(platform: Platform, name: str) -> object:
    platform.add_one_off("acme", name, "5.00", at("2026-10-10"))
    return id_of(f"acme {name}")


def refused(platform: Platform, statement: str, because: str, **parameters: object) -> None:
    with pytest.raises(IntegrityError, match=because):
        platform.execute(statement, **parameters)


# --- Finalized records don't change --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "total_cents = 1",
        "amount = 1",
        "month = '2026-10-01'",
        "revision = 1",
        "currency = 'EUR'",
        "due_on = '2027-01-01'",
        "finalized_at = now()",
        "computed_at = now()",
        "usage_snapshot_id = null",
        "status = 'open', finalized_at = null",
    ],
)
def test_a_finalized_invoice_can_not_be_changed(platform: Platform, change: str) -> None:
    refused(platform, f"update invoices set {change}", "is finalized: it can not be changed")  # noqa: S608


def test_a_finalized_invoice_can_be_paid_and_nothing_else_of_it_changes(platform: Platform) -> None:
    platform.execute("update invoices set status = 'paid', paid_at = now()")
    refused(platform, "update invoices set total_cents = 1", "is paid: it can not be changed")
    refused(platform, "update invoices set paid_at = null", "violates check constraint")


def test_a_finalized_invoice_can_not_be_deleted(platform: Platform) -> None:
    refused(platform, "delete from invoices", "is finalized: it can not be deleted")


@pytest.mark.parametrize(
    "statement",
    [
        "update invoice_items set amount_cents = amount_cents + 1",
        "update invoice_items set description = 'else'",
        "delete from invoice_items",
        "update invoice_item_rollups set item_id = (select min(item_id::text)::uuid from invoice_item_rollups)",
        "delete from invoice_item_rollups",
    ],
)
def test_items_of_a_finalized_invoice_can_not_be_changed(platform: Platform, statement: str) -> None:
    refused(platform, statement, "is finalized: its items can not be changed")


def test_no_item_can_be_added_to_a_finalized_invoice(unfinished: Platform) -> None:
    because = "is finalized: its items can not be changed"
    (final,) = unfinished.query("select id from invoices where status = 'finalized'")
    late = {"id": id_of("late"), "invoice": final["id"], "one_off": add_fee(unfinished, "late")}
    refused(unfinished, ITEM.replace(":invoice, 1", ":invoice, 9"), because, **late)
    refused(
        unfinished,
        "update invoice_items set invoice_id = :invoice, position = 9 where id = :id",
        because,
        id=ITEM_ID,
        invoice=final["id"],
    )


def test_no_item_of_a_finalized_invoice_moves_to_another_invoice(unfinished: Platform) -> None:
    refused(
        unfinished,
        "update invoice_items set invoice_id = :invoice, position = 9 where kind = 'one_off' and id <> :id",
        "is finalized: its items can not be changed",
        invoice=OCTOBER_ID,
        id=ITEM_ID,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "update usage_rollups set quantity = quantity + 1",
        "update usage_rollups set dimensions = '{}'",
        "delete from usage_rollups",
        "insert into usage_rollups select gen_random_uuid(), snapshot_id, 'machine_seconds', dimensions, segment_start,"
        " segment_end, quantity, events from usage_rollups limit 1",
    ],
)
def test_usage_that_a_finalized_invoice_billed_can_not_be_changed(platform: Platform, statement: str) -> None:
    refused(platform, statement, "the usage it billed can not be changed|violates foreign key")


def test_usage_can_not_be_moved_into_or_out_of_the_snapshot_of_a_final_invoice(platform: Platform) -> None:
    platform.execute(
        "insert into usage_snapshots values (:id, 'acme', '2026-09-01', 1, 'other', 1, now(), false)", id=id_of("other")
    )
    platform.execute(
        "insert into usage_rollups values (:rollup, :id, 'machine_seconds', '{}', '2026-09-01', '2026-10-01', 1, 1)",
        id=id_of("other"),
        rollup=id_of("rollup"),
    )
    refused(
        platform,
        "update usage_rollups set snapshot_id = (select usage_snapshot_id from invoices) where id = :rollup",
        "the usage it billed can not be changed",
        rollup=id_of("rollup"),
    )
    refused(
        platform,
        "update usage_rollups set snapshot_id = :id where id <> :rollup",
        "the usage it billed can not be changed",
        id=id_of("other"),
        rollup=id_of("rollup"),
    )


def test_a_billed_snapshot_can_not_be_deleted_or_given_to_another_month(platform: Platform) -> None:
    refused(platform, "delete from usage_snapshots", "the usage it billed can not be|violates foreign key")
    refused(platform, "update usage_snapshots set month = '2026-10-01'", "usage_snapshots is kept as it was written")


def test_a_price_of_a_finalized_invoice_can_not_be_changed_or_deleted(platform: Platform) -> None:
    refused(platform, "update prices set unit_amount = 1 where key = 'requests'", "was used by a finalized invoice")
    refused(platform, "update prices set free_allowance = 1 where key = 'egress'", "was used by a finalized invoice")
    refused(platform, "delete from prices where key = 'requests'", "was used by a finalized invoice")
    platform.execute("update prices set effective_until = '2026-12-01' where key = 'requests'")
    platform.execute("update prices set unit_amount = 39 where key = 'support'")


@pytest.mark.parametrize(
    "table",
    [
        "invoices cascade",
        "invoice_items cascade",
        "invoice_item_rollups",
        "usage_rollups cascade",
        "usage_rollups, invoice_item_rollups",
        "usage_snapshots cascade",
        "prices cascade",
        "organizations cascade",
        "stripe_invoices",
        "stripe_attempts",
    ],
)
def test_billing_records_are_never_truncated(platform: Platform, table: str) -> None:
    refused(platform, f"truncate {table}", "billing records are never truncated")


# --- Finalizing is one guarded step --------------------------------------------------------------------------------


def test_an_invoice_whose_items_add_up_can_be_finalized(unfinished: Platform) -> None:
    unfinished.execute(FINALIZE, id=OCTOBER_ID)
    assert unfinished.query("select count(*) from invoices where status = 'finalized'") == [{"count": 2}]


@pytest.mark.parametrize(
    "wrong",
    [
        "update invoice_items set amount = 5.01 where id = :item and :invoice is not null",
        "update invoice_items set amount_cents = 501 where id = :item and :invoice is not null",
        "delete from invoice_items where id = :item and :invoice is not null",
        "update invoices set amount = 5.000001 where id = :invoice and :item is not null",
        "update invoices set total_cents = 499 where id = :invoice and :item is not null",
    ],
)
def test_an_invoice_whose_items_do_not_add_up_can_not_be_finalized(unfinished: Platform, wrong: str) -> None:
    unfinished.execute(
        wrong.replace(":item is", "cast(:item as uuid) is").replace(":invoice is", "cast(:invoice as uuid) is"),
        item=ITEM_ID,
        invoice=OCTOBER_ID,
    )
    refused(unfinished, FINALIZE, "its items add up to", id=OCTOBER_ID)


def test_an_invoice_can_not_be_inserted_as_finalized(platform: Platform) -> None:
    refused(
        platform,
        "insert into invoices (id, organization_id, month, status, currency, amount, total_cents, computed_at,"
        " finalized_at, due_on)"
        " values (:id, 'acme', '2026-10-01', 'finalized', 'USD', 0, 0, now(), now(), '2026-12-01')",
        "must be inserted as open",
        id=OCTOBER_ID,
    )


def test_a_finalized_invoice_has_a_day_on_which_it_is_due(unfinished: Platform) -> None:
    refused(
        unfinished,
        "update invoices set status = 'finalized', finalized_at = now() where id = :id",
        "violates check constraint",
        id=OCTOBER_ID,
    )


# --- Unique records ------------------------------------------------------------------------------------------------


def test_an_organization_has_one_invoice_per_month_and_revision(unfinished: Platform) -> None:
    october = {"month": at("2026-10-01").date()}
    refused(unfinished, OPEN_INVOICE, "duplicate key", id=id_of("second"), revision=0, **october)
    refused(unfinished, OPEN_INVOICE, "duplicate key", id=id_of("revised"), revision=1, **october)
    unfinished.execute(FINALIZE, id=OCTOBER_ID)
    unfinished.execute("update invoices set status = 'void' where id = :id", id=OCTOBER_ID)
    refused(unfinished, OPEN_INVOICE, "month_revision_key", id=id_of("second"), revision=0, **october)
    unfinished.execute(OPEN_INVOICE, id=id_of("revised"), revision=1, **october)


def test_a_month_begins_on_its_first_day(platform: Platform) -> None:
    refused(
        platform,
        OPEN_INVOICE,
        "violates check constraint",
        id=id_of("mid-month"),
        month=at("2026-10-02").date(),
        revision=0,
    )


def test_a_one_off_item_is_billed_once(unfinished: Platform) -> None:
    refused(
        unfinished,
        ITEM.replace(":invoice, 1", ":invoice, 2"),
        "duplicate key",
        id=id_of("twice"),
        invoice=OCTOBER_ID,
        one_off=id_of("acme october"),
    )


def test_a_rollup_is_priced_at_most_once_in_an_invoice(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("oct", "1", time="2026-10-04T00:00:00Z")], at("2026-10-04").date())
    platform.land(at("2026-10-04").date(), now=at("2026-10-05"))
    october = at("2026-10-05")
    platform.roll_up(OCTOBER, now=october)
    platform.bill(OCTOBER, now=october)
    refused(
        platform,
        "insert into invoice_item_rollups select l.invoice_id, l.rollup_id, l.item_id from invoice_item_rollups as l"
        " join invoices as i on i.id = l.invoice_id where i.status = 'open'",
        "duplicate key",
    )


def test_an_invoice_bills_usage_of_its_own_organization_and_month(unfinished: Platform) -> None:
    refused(
        unfinished,
        "update invoices set usage_snapshot_id = (select usage_snapshot_id from invoices where status = 'finalized')"
        " where id = :id",
        "violates foreign key",
        id=OCTOBER_ID,
    )


# --- Usage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", ["3, 1, 1, 0", "3, 1, 1, 2", "-1, -1, 0, 0"])
def test_every_landed_row_of_a_file_is_accounted_for(platform: Platform, counts: str) -> None:
    refused(
        platform,
        f"insert into usage_files values ('2026-09-15', 'other.csv', 'sha', 0, {counts})",  # noqa: S608
        "violates check constraint",
    )


def test_a_month_of_an_organization_has_one_current_snapshot(platform: Platform) -> None:
    refused(
        platform,
        "insert into usage_snapshots values (:id, 'acme', '2026-09-01', 1, 'other', 1, now(), true)",
        "one_current_snapshot",
        id=id_of("other"),
    )


def test_a_price_with_an_invalid_amount_unit_or_tiers_is_refused(platform: Platform) -> None:
    for change in ("unit_amount = -1", "per = 0", "free_allowance = -1", "unit_amount = null", "tiers = '[]'"):
        refused(platform, f"update prices set {change} where key = 'support'", "violates check constraint")  # noqa: S608
