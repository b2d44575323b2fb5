"""Neither a bug in the pipeline nor its leaked password can change a final invoice; a reader changes nothing at all."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.embedded_postgres.roles import DAGSTER, OWNER, PIPELINE, READER, ROLES, adopt
from fly_billing.embedded_postgres.server import USER, connect
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.postgres.rights import API, EXECUTES, NOT_FOR_READERS, RUN_AS_OWNER, WRITES
from fly_billing.postgres.schema_check import VERSIONS
from fly_billing.statements.statement_reader import read_statement
from tests.support.builders import Platform, at, event, write_jsonl
from tests.support.schema_files import SCHEMA

UPSERT = r"\binsert\s+into\s+(\w+)(?:(?!\binsert\s+into\b).)*?\bdo\s+update\b"
OWNED_BY = """
select (select count(*) from pg_class where relowner = %(role)s::regrole and relnamespace = 'public'::regnamespace),
       (select count(*) from pg_proc where proowner = %(role)s::regrole and pronamespace = 'public'::regnamespace)
"""
REFUSED = r"permission denied|cannot (delete from|insert into) view|is not a table"
CODE = VERSIONS.parents[2]
# The functions that run with their owner's rights, and who may call them.
OF_OWNER = """
select p.proname as name, p.proconfig = '{"search_path=public, pg_temp"}' as is_path_fixed,
       array(select r.rolname from pg_roles as r
              where r.rolname = any(:roles) and has_function_privilege(r.oid, p.oid, 'execute')) as callers
  from pg_proc as p
 where p.prosecdef and p.pronamespace = 'public'::regnamespace
 order by p.proname
"""


@dataclass(frozen=True)
class Roles:
    """The same billing database, with a final invoice of $0.30 in it, as each role sees it."""

    pipeline: BillingDatabase
    reader: BillingDatabase
    dagster: BillingDatabase

    @staticmethod
    def do(database: BillingDatabase, statement: str) -> None:
        with database.transaction() as connection:
            connection.execute(text(statement))


@pytest.fixture
def roles(postgres: PostgresServer, billing_database: BillingDatabase, landing_dir: Path) -> Iterator[Roles]:
    platform = Platform.with_acme(billing_database, landing_dir)
    write_jsonl(landing_dir, [event("e1", "3")])
    platform.close()
    name = str(billing_database.engine.url.database)
    databases = [BillingDatabase(postgres.url(name, role=role)) for role in (PIPELINE, READER, DAGSTER)]
    yield Roles(*databases)
    for database in databases:
        database.engine.dispose()


def tables_of(database: BillingDatabase) -> set[str]:
    return {row["relname"] for row in database.rows("billing_tables")}


@pytest.mark.parametrize(
    "statement",
    [
        "alter table invoices disable trigger all",
        "drop trigger refuse_finalized_invoice_change on invoices",
        "drop table invoices cascade",
        "truncate invoices cascade",
        "truncate stripe_attempts",
        "create table notes (note text)",
        "create or replace function pace_take() returns int language sql as 'select 1'",
        "set session_replication_role = replica",
        "set role fly_billing_owner",
        "set session authorization fly_billing",
        "create role another superuser",
        "alter role fly_billing_pipeline superuser",
        "update alembic_version set version_num = '0001'",
        "delete from stripe_attempts",
        "delete from sync_approvals",
        "delete from stripe_invoices",
        "update credit_entries set amount = 1000000",
        "update invoice_changes set why = 'nobody knows'",
        "copy invoices to program 'cat > /tmp/leak'",
        "copy invoices from program 'cat /etc/passwd'",
        "copy invoices to '/tmp/leak'",
        "select pg_read_file('/etc/passwd')",
        "alter database postgres set search_path = nowhere",
    ],
)
def test_the_pipelines_role_lacks_rights_that_it_does_not_need(roles: Roles, statement: str) -> None:
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner of"):
        roles.do(roles.pipeline, statement)


@pytest.mark.parametrize(
    "statement",
    ["update invoices set total_cents = 1", "delete from invoices", "update invoice_items set amount_cents = 1"],
)
def test_the_pipelines_role_can_not_change_a_final_invoice(roles: Roles, statement: str) -> None:
    with pytest.raises(DBAPIError, match="is finalized"):
        roles.do(roles.pipeline, statement)


def test_a_reader_reads_every_table_but_stripes_events_and_writes_none(
    roles: Roles, billing_database: BillingDatabase
) -> None:
    tables = tables_of(billing_database)
    for table in tables:
        if table in NOT_FOR_READERS:
            with pytest.raises(DatabaseProblem, match="permission denied"):
                roles.do(roles.reader, f"select * from {table}")  # noqa: S608
        else:
            roles.do(roles.reader, f"select * from {table}")  # noqa: S608
        for write in (f"delete from {table}", f"insert into {table} default values", f"truncate {table}"):  # noqa: S608
            with pytest.raises(
                DBAPIError, match=r"permission denied|cannot (delete from|insert into) view|not a table"
            ):
                roles.do(roles.reader, write)
    statement = read_statement(roles.reader, "acme", at("2026-10-05"))
    assert [invoice.total_cents for invoice in statement.invoices if invoice.status == "finalized"] == [30]


def test_dagsters_role_reads_nothing_of_the_billing_records(roles: Roles, billing_database: BillingDatabase) -> None:
    for table in tables_of(billing_database):
        with pytest.raises(DatabaseProblem, match="permission denied"):
            roles.do(roles.dagster, f"select * from {table}")  # noqa: S608


def test_no_role_in_a_url_is_a_superuser(postgres: PostgresServer) -> None:
    with connect(postgres.port, postgres.superuser_password) as connection:
        found = connection.execute(
            "select rolname from pg_roles"
            " where rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication"
        ).fetchall()
        members = connection.execute(
            "select count(*) from pg_auth_members where member::regrole::text = any(%s)", [list(ROLES)]
        ).fetchone()
    assert found == [(USER,)]
    assert members == (0,)
    assert f"//{OWNER}:" in postgres.url("billing")


def test_the_rights_are_exactly_those_that_statements_and_triggers_need(billing_database: BillingDatabase) -> None:
    """In both directions: nothing is missing, nothing is granted that no statement needs."""
    tables = tables_of(billing_database)
    assert set(WRITES) <= tables
    needed = {table: verbs for table, verbs in written_by_code().items() if table in tables}
    missing = {table: verbs - WRITES.get(table, set()) for table, verbs in needed.items()}
    assert {table: verbs for table, verbs in missing.items() if verbs} == {}
    spare = {table: set(verbs) - needed.get(table, set()) for table, verbs in WRITES.items()}
    assert {table: verbs for table, verbs in spare.items() if verbs} == {}


def written_by_code() -> dict[str, set[str]]:
    """Find the tables that statements of the pipeline and triggers write: table -> verbs."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    left_out = ("stripe_sandbox", "connecting", "embedded_postgres", "rights")
    paths = [path for path in CODE.rglob("*") if path.suffix in (".sql", ".py") and "migrations" not in path.parts]
    paths.remove(SCHEMA)
    texts = [path.read_text(encoding="utf-8") for path in paths if not {*path.parts, path.stem} & set(left_out)]
    schema = SCHEMA.read_text(encoding="utf-8")
    functions = re.finditer(r"\nCREATE FUNCTION (.*?)AS (\$\w*\$)(.*?)\2", schema, re.DOTALL)
    # The others run with the rights of their owner.
    texts += [body for head, _, body in (found.groups() for found in functions) if "SECURITY DEFINER" not in head]
    for body in texts:
        statement = re.sub(r"--.*", "", body).lower()
        for verb, pattern in (
            ("insert", r"\binsert\s+into\s+(\w+)"),
            ("insert", r"copy_rows\(\s*[\w.]+,\s*\"(\w+)\""),
            ("insert", r"\"(\w+)\": \("),  # `invoicing` copies into a dictionary of tables
            ("insert", r"\binto=\"(\w+)\""),
            ("update", r"\bupdate\s+(\w+)(?:\s+(?:as\s+)?\w+)?\s+set\b"),
            ("update", r"\bfrom\s+(\w+)[^;()]*?\bfor\s+(?:no\s+key\s+)?(?:update|share)\b"),  # a lock needs it
            ("delete", r"\bdelete\s+from\s+(\w+)"),
        ):
            for match in re.finditer(pattern, statement):
                found[match[1]].add(verb)
        for match in re.finditer(
            r"\binsert\s+into\s+(\w+)(?:(?!\binsert\s+into\b).)*?\bdo\s+update\b", statement, re.S
        ):
            found[match[1]].add("update")
    return found


def test_only_one_role_calls_the_functions_that_run_with_their_owners_rights(
    postgres: PostgresServer, billing_database: BillingDatabase
) -> None:
    """They believe a token's id, which every reader of the tables finds: the API calls them, and finance does not."""
    adds = dict.fromkeys(RUN_AS_OWNER, (PIPELINE,))
    # local roles, or older ones
    assert callers_of_functions(billing_database) == adds | dict.fromkeys(EXECUTES, (READER,))
    with connect(postgres.port, postgres.superuser_password) as connection:
        connection.execute(f"create role {API} login")
    try:
        migrate(billing_database)
        migrate(billing_database)
        assert callers_of_functions(billing_database) == adds | dict.fromkeys(EXECUTES, (API,))
        for role in (API, READER):
            assert tables_that_are_read(billing_database, role) == tables_of(billing_database) - NOT_FOR_READERS
    finally:
        with connect(
            postgres.port, postgres.superuser_password, str(billing_database.engine.url.database)
        ) as connection:
            connection.execute(f"drop owned by {API}")
            connection.execute(f"drop role {API}")


def callers_of_functions(database: BillingDatabase) -> dict[str, tuple[str, ...]]:
    with database.transaction() as connection:
        found = connection.execute(text(OF_OWNER), {"roles": [PIPELINE, READER, DAGSTER, API]}).all()
    assert all(row.is_path_fixed for row in found)
    return {row.name: tuple(row.callers) for row in found}


def tables_that_are_read(database: BillingDatabase, role: str) -> set[str]:
    """The tables and views that a role reads, and none that it writes."""
    can = "select relname from pg_class where relname = any(:tables) and has_table_privilege(:role, oid, :right)"
    with database.transaction() as connection:
        read, *written = (
            set(connection.execute(text(can), {"tables": [*tables], "role": role, "right": right}).scalars())
            for tables in [tables_of(database)]
            for right in ("select", "insert", "update", "delete", "truncate")
        )
    assert written == [set()] * 4
    return read


def test_a_migrated_database_is_not_migrated_by_the_pipelines_role(roles: Roles) -> None:
    migrate(roles.pipeline)  # already up to date: the commands that migrate first work with this role too


def test_the_error_of_a_user_without_the_right_to_migrate_names_the_command_and_setting(
    postgres: PostgresServer,
) -> None:
    create_database(postgres, "rights_empty")
    pipeline = BillingDatabase(postgres.url("rights_empty", role=PIPELINE))
    with pytest.raises(DatabaseProblem, match=r"run `fly-billing migrate`.*FLY_BILLING_MIGRATION_DATABASE_URL"):
        migrate(pipeline)
    pipeline.engine.dispose()
    drop_database(postgres, "rights_empty")


def test_a_database_made_by_the_superuser_goes_to_its_owner_with_all_its_records(postgres: PostgresServer) -> None:
    """A data folder from before the roles has such a database."""
    create_database(postgres, "rights_old", owner=USER)
    old = BillingDatabase(postgres.url("rights_old", role=USER))
    migrate(old)
    Roles.do(old, "insert into organizations (id, name, billing_group, created_at) values ('a', 'A', 'a', now())")
    Roles.do(old, "revoke all on all tables in schema public from fly_billing_pipeline")
    old.engine.dispose()

    with connect(postgres.port, postgres.superuser_password, "rights_old") as connection:
        adopt(connection, "rights_old", OWNER)
        adopt(connection, "rights_old", OWNER)
    owner, pipeline = (BillingDatabase(postgres.url("rights_old", role=role)) for role in (OWNER, PIPELINE))
    migrate(owner)
    Roles.do(owner, "alter table organizations add column note text")
    Roles.do(pipeline, "update organizations set name = 'B' where id = 'a'")
    with psycopg.connect(postgres.url("rights_old", "postgresql", role=USER)) as connection:
        left = connection.execute(OWNED_BY, {"role": USER}).fetchone()
    assert left == (0, 0)
    for database in (owner, pipeline):
        database.engine.dispose()
    drop_database(postgres, "rights_old")
