"""A landed migration never changes, any release's database can be brought up to date, and the schema can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.postgres.schema_check import VERSIONS
from fly_billing.postgres.table_descriptions import FILE, described_tables
from fly_billing.usage.event_columns import usage_events_table
from tests.support import schema_files

_numbers = itertools.count()
STALE = "is not what the migrations make: run `make schema`"


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    """Return a function that makes an empty database and returns its name."""
    made: list[str] = []

    def make() -> str:
        made.append(f"migrations_{next(_numbers)}")
        create_database(postgres, made[-1])
        return made[-1]

    yield make
    for name in made:
        drop_database(postgres, name)


def up_to_date(postgres: PostgresServer, name: str) -> str:
    database = BillingDatabase(postgres.url(name))
    migrate(database)
    database.engine.dispose()
    return name


def test_the_schema_file_equals_the_migrated_schema(postgres: PostgresServer) -> None:
    assert schema_files.SCHEMA.read_text(encoding="utf-8") == schema_files.schema(postgres, "billing_template"), (
        f"{schema_files.SCHEMA} {STALE}"
    )


def test_the_diagram_shows_the_tables_and_keys_of_the_schema(postgres: PostgresServer) -> None:
    assert schema_files.DIAGRAM.read_text(encoding="utf-8") == schema_files.diagram(postgres, "billing_template"), (
        f"{schema_files.DIAGRAM} {STALE}"
    )


def test_the_described_tables_are_those_of_the_schema_and_the_page_shows_them(postgres: PostgresServer) -> None:
    described = schema_files.table_descriptions(postgres, "billing_template")
    assert FILE.read_text(encoding="utf-8") == described, f"{FILE} {STALE}"
    page = schema_files.tables_page([usage_events_table(), *described_tables().values()])
    assert schema_files.TABLES.read_text(encoding="utf-8") == page, f"{schema_files.TABLES} {STALE}"


def test_landed_migrations_have_not_changed() -> None:
    """A database that already has one would keep its result, and still count as up to date."""
    there, frozen = schema_files.migration_files(), schema_files.frozen_files()
    changed = sorted(path for path, digest in frozen.items() if there.get(path) != digest)
    assert changed == [], "it has landed: undo the change, and write the next migration (`make migration NAME=...`)"
    assert sorted(there.keys() - frozen.keys()) == [], "run `make schema` before it lands"


def test_migrations_follow_one_another_from_one_baseline() -> None:
    found = schema_files.revisions()
    assert found == sorted(found)
    assert [path.name.partition(".")[0] for path in sorted(schema_files.SNAPSHOTS.iterdir())] == found, (
        "run `make schema` before it lands"
    )


def settled(postgres: PostgresServer, name: str, empty: Callable[[], str], *, rights: bool = True) -> str:
    """Return a database's schema as pg_dump writes it of a database that was made from a dump.

    A condition is written otherwise after a restore: `(a, b) is distinct from (c, d)` becomes an `or`.
    """
    copy = empty()
    schema_files.load(postgres, copy, schema_files.dump(postgres, name, rights=rights))
    return schema_files.dump(postgres, copy, rights=rights)


@pytest.mark.parametrize("revision", schema_files.revisions())
def test_a_database_of_any_release_is_migrated_to_the_schema_of_a_new_one(
    revision: str, postgres: PostgresServer, empty: Callable[[], str]
) -> None:
    """With its triggers, functions, constraints, indexes, comments and rights."""
    name = empty()
    schema_files.load_snapshot(postgres, name, revision)
    up_to_date(postgres, name)
    assert settled(postgres, name, empty) == settled(postgres, "billing_template", empty)


def test_each_migration_makes_the_schema_of_its_release(postgres: PostgresServer, empty: Callable[[], str]) -> None:
    stepwise = empty()
    database = BillingDatabase(postgres.url(stepwise))
    for revision in schema_files.revisions():
        schema_files.upgrade(database, revision)
        landed = empty()
        schema_files.load_snapshot(postgres, landed, revision)
        assert settled(postgres, stepwise, empty, rights=False) == settled(postgres, landed, empty, rights=False)
    database.engine.dispose()
    up_to_date(postgres, stepwise)
    assert schema_files.dump(postgres, stepwise) == schema_files.dump(postgres, "billing_template")


def test_every_module_of_a_migration_has_its_sql() -> None:
    modules = [path.with_suffix("") for path in VERSIONS.glob("[0-9]*.py")]
    assert [path for path in modules if not (path.is_dir() or Path(f"{path}.sql").is_file())] == []


def test_invoices_that_were_removed_before_the_history_kept_them_are_on_it(
    postgres: PostgresServer, empty: Callable[[], str]
) -> None:
    """Until migration 0049 only the reason said whose invoice it was; an organization's id may contain blanks."""
    name = empty()
    schema_files.load_snapshot(postgres, name, "0048")
    with psycopg.connect(postgres.url(name, "postgresql"), autocommit=True) as connection:
        for why in (
            "removed the open invoice of acme for 2027-05 ($2.02): early",
            "removed the open invoice of a for b for 2027-06 ($1.00): early",
            "something else",
        ):
            connection.execute(
                "insert into invoice_changes (invoice_id, from_status, to_status, changed_by, why)"
                " values (gen_random_uuid(), 'open', 'removed', 'ann', %s)",
                [why],
            )
    up_to_date(postgres, name)
    with psycopg.connect(postgres.url(name, "postgresql")) as connection:
        found = connection.execute(
            "select organization_id, first_month::text, action, person from finance_history order by 2"
        ).fetchall()
        triggers = connection.execute(
            "select tgenabled from pg_trigger"
            " where tgrelid = 'invoice_changes'::regclass and tgname = 'refuse_record_change'"
        ).fetchall()
    assert found == [
        ("acme", "2027-05-01", "removed", "ann"),
        ("a for b", "2027-06-01", "removed", "ann"),
        (None, None, "removed", "ann"),
    ]
    assert triggers == [("A",)]  # history can't be changed again


def test_thresholds_that_alerted_and_were_removed_before_they_had_ids_come_back_as_removed_ones(
    postgres: PostgresServer, empty: Callable[[], str]
) -> None:
    """Until migration 0069 a removed threshold left its alerts only. Organizations of then get no first alert."""
    name = empty()
    schema_files.load_snapshot(postgres, name, "0068")
    with psycopg.connect(postgres.url(name, "postgresql"), autocommit=True) as connection:
        connection.execute(
            "insert into organizations (id, name, billing_group, created_at) values ('acme', 'Acme', 'acme', now())"
        )
        connection.execute(
            "insert into spend_thresholds (organization_id, currency, amount_cents) values"
            " ('acme', 'USD', 1000), ('acme', 'USD', 9000)"
        )
        connection.execute(
            "insert into spend_alerts (organization_id, month, currency, amount_cents, total_cents) values"
            " ('acme', '2026-08-01', 'USD', 1000, 1100), ('acme', '2026-08-01', 'USD', 500, 1100),"
            " ('acme', '2026-09-01', 'USD', 500, 600)"
        )
    up_to_date(postgres, name)
    with psycopg.connect(postgres.url(name, "postgresql")) as connection:
        thresholds = connection.execute(
            "select t.amount_cents, t.kind, t.removed_at is not null, count(a.month) from spend_thresholds as t"
            " left join spend_alerts as a on a.threshold_id = t.id group by t.id order by 1"
        ).fetchall()
        decided = connection.execute("select organization_id, threshold_id from first_alerts").fetchall()
        triggers = connection.execute(
            "select tgname, tgenabled from pg_trigger where tgrelid = 'spend_alerts'::regclass and not tgisinternal"
        ).fetchall()
    assert thresholds == [(500, "amount", True, 2), (1000, "amount", False, 1), (9000, "amount", False, 0)]
    assert decided == [("acme", None)]
    assert {enabled for _, enabled in triggers} == {"A"}


def test_months_begun_before_ids_started_with_their_month_are_recorded(
    postgres: PostgresServer, empty: Callable[[], str]
) -> None:
    """Until migration 0079 ids were random. A month that had usage or an invoice then keeps them; others do not."""
    name = empty()
    schema_files.load_snapshot(postgres, name, "0078")
    with psycopg.connect(postgres.url(name, "postgresql"), autocommit=True) as connection:
        connection.execute(
            "insert into organizations (id, name, currency, price_book, billing_group, created_at)"
            " values ('acme', 'Acme', 'USD', 'fly', 'acme', '2026-01-01Z')"
        )
        connection.execute(
            "insert into usage_snapshots ("
            " id, organization_id, month, lake_version, fingerprint, events, rolled_up_at, is_current"
            ") values (gen_random_uuid(), 'acme', '2026-08-01', 1, 'empty', 0, now(), true)"
        )
        connection.execute(
            "insert into invoices (id, organization_id, month, status, currency, amount, total_cents, computed_at)"
            " values (gen_random_uuid(), 'acme', '2026-07-01', 'open', 'USD', 0, 0, now())"
        )
    up_to_date(postgres, name)
    with psycopg.connect(postgres.url(name, "postgresql")) as connection:
        found = connection.execute("select month::text from months_with_random_ids order by month").fetchall()
    assert found == [("2026-07-01",), ("2026-08-01",)]
