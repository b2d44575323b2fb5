"""Runs add many items at once and check their foreign keys by set, with the errors and locks of a check row by row."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.embedded_postgres.roles import OWNER, PIPELINE
from fly_billing.embedded_postgres.server import connect
from fly_billing.invoicing import bill_run
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, Row
from tests.support.builders import Platform, event
from tests.support.full_month import bill_full_month

STAGED = {"invoice_items": "staged_items", "invoice_item_rollups": "staged_item_rollups"}
KEYS = """
    select c.conname as name, c.conrelid::regclass::text as on_table, c.confrelid::regclass::text as parent,
        min(a.attname) filter (where n.place = 1) as column_name,
        min(format_type(a.atttypid, null)) filter (where n.place = 1) as type,
        string_agg('s.' || a.attname, ', ' order by n.place) as columns,
        string_agg('p.' || b.attname, ', ' order by n.place) as parent_columns,
        c.confmatchtype = 's' and c.convalidated and not c.condeferrable as is_plain
    from pg_constraint as c
    cross join unnest(c.conkey, c.confkey) with ordinality as n (number, parent_number, place)
    join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = n.number
    join pg_attribute as b on b.attrelid = c.confrelid and b.attnum = n.parent_number
    where c.contype = 'f' and c.conrelid = any (cast(:tables as regclass[]))
    group by c.oid order by c.conname
"""
CHECKS = """
    select conrelid::regclass::text as on_table, conname as name from pg_constraint
    where contype = 'c' and conrelid = any (cast(:tables as regclass[]))
"""


@contextmanager
def row_by_row(postgres: PostgresServer) -> Iterator[None]:
    """Take the owner's right to switch off the check of each row, as on a server where nobody granted it."""
    with connect(postgres.port, postgres.superuser_password) as connection:
        connection.execute(f"revoke set on parameter session_replication_role from {OWNER}")
    try:
        yield
    finally:
        with connect(postgres.port, postgres.superuser_password) as connection:
            connection.execute(f"grant set on parameter session_replication_role to {OWNER}")


@pytest.fixture(params=["by set", "row by row"])
def checked(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[str]:
    if request.param == "by set":
        yield request.param
    else:
        with row_by_row(postgres):
            yield request.param


@pytest.fixture
def full(platform: Platform) -> Platform:
    platform.commit("acme", "minimum", "1", months=2)
    return bill_full_month(platform)


@contextmanager
def staged(platform: Platform) -> Iterator[Connection]:
    """Yield a transaction in which every item and link is taken out of its table and staged. It is rolled back."""
    with platform.database.engine.connect() as connection:
        connection.execute(text("select stage_invoice_items()"))
        for table in reversed(STAGED):
            connection.execute(text(f"alter table {table} disable trigger user"))
        for table, copy in STAGED.items():
            connection.execute(text(f"insert into {copy} select * from {table}"))  # noqa: S608
        for table in reversed(STAGED):
            connection.execute(text(f"delete from {table}"))  # noqa: S608
        yield connection
        connection.rollback()


def keys_of(platform: Platform) -> list[Row]:
    return platform.query(KEYS, tables=list(STAGED))


def error_of_broken(platform: Platform, key: Row) -> tuple[str, ...]:
    """Stage an item or link with a broken reference, and return Postgres' error."""
    with staged(platform) as connection:
        copy, column = STAGED[key["on_table"]], key["column_name"]
        for check in platform.query(CHECKS, tables=list(STAGED)):
            connection.execute(text(f"alter table {check['on_table']} drop constraint {check['name']}"))
        first = f"select ctid from {copy} order by {column}, ctid limit 1"  # noqa: S608 names from the catalog
        connection.execute(
            text(f"update {copy} set {column} = cast(:other as {key['type']}) where ctid = ({first})"),  # noqa: S608
            {"other": "0d6ac1b5-0000-4000-8000-000000000000"},
        )
        with pytest.raises(IntegrityError) as refused:
            connection.execute(text("select add_staged_items()"))
    found = refused.value.orig.diag  # type: ignore[union-attr]
    return tuple(
        str(word)
        for word in (
            found.sqlstate, found.message_primary, found.message_detail, found.table_name, found.constraint_name,
        )
    )  # fmt: skip


def test_each_broken_reference_has_the_same_error_by_set_and_row_by_row(
    full: Platform, postgres: PostgresServer
) -> None:
    keys = keys_of(full)
    assert len(keys) == 14
    by_set = {key["name"]: error_of_broken(full, key) for key in keys}
    with row_by_row(postgres):
        assert {key["name"]: error_of_broken(full, key) for key in keys} == by_set
    for name, (state, message, *_, constraint) in by_set.items():
        assert (state, constraint) == ("23503", name)  # foreign_key_violation
        assert f'violates foreign key constraint "{name}"' in message


def test_the_set_of_references_is_wrong_if_one_of_them_is_and_only_then(full: Platform) -> None:
    """By each key on its own. Without the grant no key would be looked up, and the test before would pass."""
    for key in keys_of(full):
        with staged(full) as connection:
            copy = STAGED[key["on_table"]]
            connection.execute(text("select add_staged_items()"))
            connection.execute(text(f"insert into {copy} select * from {key['on_table']}"))  # noqa: S608
            assert not is_broken(connection, key["on_table"])
            connection.execute(
                text(f"update {copy} set {key['column_name']} = cast(:other as {key['type']})"),  # noqa: S608
                {"other": str(uuid4())},
            )
            assert is_broken(connection, key["on_table"]), key["name"]


def is_broken(connection: Connection, table: str) -> bool:
    asked = text("select has_broken_references(cast(:table as regclass), cast(:copy as regclass))")
    return bool(connection.execute(asked, {"table": table, "copy": STAGED[table]}).scalar_one())


def test_the_keys_are_of_the_kind_that_is_checked_by_set(platform: Platform) -> None:
    """All columns or none are null (`match simple`), and the check is not deferred."""
    assert all(key["is_plain"] for key in keys_of(platform))


@pytest.mark.usefixtures("checked")
def test_items_are_the_same_by_set_and_row_by_row(full: Platform) -> None:
    before = [full.query(f"select * from {table} order by 1, 2, 3") for table in STAGED]  # noqa: S608
    assert all(before)
    with staged(full) as connection:
        connection.execute(text("select add_staged_items()"))
        for table, rows in zip(STAGED, before, strict=True):
            after = connection.execute(text(f"select * from {table} order by 1, 2, 3"))  # noqa: S608
            assert [dict(row) for row in after.mappings()] == [dict(row) for row in rows]
            left = connection.execute(text(f"select count(*) from {STAGED[table]}"))  # noqa: S608
            assert left.scalar_one() == 0


def test_the_check_of_each_row_is_off_only_with_the_owners_right(platform: Platform, postgres: PostgresServer) -> None:
    """An ordinary trigger, which foreign keys also are, notices it."""
    platform.execute(
        "create function notice() returns trigger language plpgsql as"
        " $$ begin raise exception 'checked row by row'; end $$"
    )
    platform.execute("create trigger notice after insert on invoice_items for each row execute function notice()")
    platform.use(event("e1", "3"))
    assert platform.bill().failures == []
    with row_by_row(postgres):
        (failure,) = platform.close().failures
    assert "checked row by row" in failure.error.operator_text


@pytest.mark.usefixtures("checked")
def test_an_invoice_with_a_broken_reference_fails_alone(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """labs' item names a price that does not exist."""
    platform.add_organization("labs")
    platform.use(event("e1", "3"), event("e2", "2", subject="labs"))

    def assemble(inputs: InvoiceInputs) -> Invoice:
        invoice = assemble_invoice(inputs)
        if inputs.organization_id == "acme":
            return invoice
        return replace(invoice, items=tuple(replace(item, price_id=uuid4()) for item in invoice.items))

    monkeypatch.setattr(bill_run, "assemble_invoice", assemble)
    billed = platform.bill()
    assert [invoice.organization_id for invoice in billed.invoices] == ["acme"]
    (failure,) = billed.failures
    assert (failure.organization_id, failure.error.code) == ("labs", "invoice_refused")
    assert 'violates foreign key constraint "invoice_items_price_id_fkey"' in failure.error.operator_text
    assert platform.query("select count(*) from invoice_items") == [{"count": 1}]


def test_each_row_is_checked_again_after_items_were_added(full: Platform) -> None:
    with staged(full) as connection:
        connection.execute(text("select add_staged_items()"))
        assert connection.execute(text("show session_replication_role")).scalar_one() == "origin"
        with pytest.raises(IntegrityError, match="violates foreign key"):
            connection.execute(text("update invoice_items set price_id = gen_random_uuid() where kind = 'usage'"))


@pytest.mark.usefixtures("checked")
def test_a_price_that_is_deleted_while_a_run_uses_it_is_missed(platform: Platform) -> None:
    """The deletion is not committed when the run reads prices. The run waits for it before it commits."""
    platform.use(event("e1", "3"))
    with ThreadPoolExecutor() as pool:
        with platform.database.transaction() as other:
            other.execute(text("delete from prices where meter = 'requests'"))
            run = pool.submit(platform.bill)
            wait_for(platform, "select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        (failure,) = run.result().failures
    assert "invoice_items_price_id_fkey" in failure.error.operator_text
    assert platform.query("select * from invoices") == []


def wait_for(platform: Platform, statement: str) -> None:
    while not platform.query(statement):
        time.sleep(0.02)


@pytest.mark.usefixtures("checked")
def test_nobody_deletes_what_an_item_refers_to_before_the_run_ends(full: Platform) -> None:
    keys = keys_of(full)
    used = {
        key["name"]: f"{key['parent']} as p where ({key['parent_columns']}) in"  # noqa: S608
        f" (select {key['columns']} from {key['on_table']} as s)"
        for key in keys
        # New items are seen by nobody else.
        if key["parent"] != "invoice_items"
    }
    locked = {name: full.query(f"select p.ctid::text as place from {rows}") for name, rows in used.items()}  # noqa: S608
    assert len([name for name, rows in locked.items() if rows]) >= 8
    with staged(full) as connection, full.database.engine.connect() as other:
        connection.execute(text("select add_staged_items()"))
        for key in keys:
            for row in locked.get(key["name"], []):
                asked = text(f"select 1 from {key['parent']} where ctid = cast(:place as tid) for update nowait")  # noqa: S608
                with pytest.raises(DatabaseProblem, match="another session holds it"):
                    other.execute(asked, row)
                other.rollback()


def test_every_trigger_of_items_fires_without_the_checks_of_each_row(platform: Platform) -> None:
    found = platform.query(
        "select tgrelid::regclass::text as on_table, tgenabled = 'A' as is_always from pg_trigger"
        " where tgrelid = any (cast(:tables as regclass[])) and not tgisinternal",
        tables=list(STAGED),
    )
    assert {row["on_table"] for row in found} == set(STAGED)
    assert all(row["is_always"] for row in found)


@pytest.fixture
def pipeline(platform: Platform, postgres: PostgresServer) -> Iterator[BillingDatabase]:
    database = BillingDatabase(postgres.url(str(platform.database.engine.url.database), role=PIPELINE))
    yield database
    database.engine.dispose()


def test_the_pipelines_role_adds_items_by_set_and_only_so(platform: Platform, pipeline: BillingDatabase) -> None:
    """It never has the right to switch off the check of a row."""
    platform.use(event("e1", "3"))
    as_pipeline = Platform(pipeline, platform.usage_table, platform.landing_dir)
    assert [invoice.total_cents for invoice in as_pipeline.bill().invoices] == [30]
    for statement in (
        "set session_replication_role = replica",
        "insert into invoice_item_rollups select * from invoice_item_rollups",
    ):
        with pytest.raises(DatabaseProblem, match="permission denied"), pipeline.transaction() as connection:
            connection.execute(text(statement))


@pytest.mark.parametrize(
    "foreign",
    [
        "create temp table staged_items as select * from invoice_items",
        "create temp view staged_items as select * from invoice_items",
    ],
)
def test_a_role_can_not_have_its_own_tables_read_with_the_owners_rights(
    platform: Platform, pipeline: BillingDatabase, foreign: str
) -> None:
    """A view, or a table with row security, would run its author's functions."""
    with pipeline.engine.connect() as connection:
        connection.execute(text(foreign))
        with pytest.raises(ProgrammingError, match='relation "staged_items" already exists'):
            connection.execute(text("select stage_invoice_items()"))
        connection.rollback()
        connection.execute(text(foreign))
        connection.execute(text("create temp table staged_item_rollups as select * from invoice_item_rollups"))
        with pytest.raises(DatabaseProblem, match="are not the tables of stage_invoice_items"):
            connection.execute(text("select add_staged_items()"))
        connection.rollback()
        with pytest.raises(DatabaseProblem, match="are not the tables of stage_invoice_items"):
            connection.execute(text("select add_staged_items()"))
