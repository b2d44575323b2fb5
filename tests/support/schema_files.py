"""Writes the files made from the migrations: schema.sql, tables.json, docs/schema.md, docs/tables.md, and the hashes
that freeze landed migrations.

`make schema` runs this module; tests/integration/postgres/test_migrations.py fails if its files are out of date.
`make migration NAME=what_it_does` creates the two files of the next migration.
Add other views of the schema here. Not here: the schema itself, which is fly_billing/postgres/migrations.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import psycopg
from alembic import command
from alembic.script import ScriptDirectory
from psycopg.rows import class_row

from fly_billing.embedded_postgres import PostgresServer, create_database, throwaway
from fly_billing.embedded_postgres.binaries import installed
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate, migrations
from fly_billing.postgres.schema_check import VERSIONS, newest_migration
from fly_billing.postgres.table_descriptions import FILE, TableDescription, described_tables
from fly_billing.usage.event_columns import usage_events_table

ROOT = Path(__file__).parents[2]
SCHEMA = VERSIONS.parents[1] / "schema.sql"
DIAGRAM = ROOT / "docs" / "schema.md"
TABLES = ROOT / "docs" / "tables.md"
# The hash of every file of a landed migration, as `sha256sum` writes and checks it.
FROZEN = VERSIONS.parent / "frozen.sha256"
# The schema right after each migration, by pg_dump: that of a database that the code of its time created.
SNAPSHOTS = ROOT / "tests" / "data" / "schemas"

HEADER = """\
-- The whole schema, written by pg_dump: do not edit it. Change it by a migration and run `make schema`.
-- To read it by subject, with the reasons: postgres/migrations/versions/0039_baseline; as a picture: docs/schema.md.

SET check_function_bodies = false;
"""
# The lines of a dump about its time, its server, its session and owners.
UNSTABLE = re.compile(
    r"^\\(?:un)?restrict .*\n"
    r"|^-- (?:Dumped|PostgreSQL database dump).*\n"
    r"|^SET .*;\n"
    r"|^SELECT pg_catalog\.set_config\('search_path'.*\n"
    r"|^--\n-- Name: .*\n--\n"
    r"|^--\n",
    re.MULTILINE,
)

# Each table is in the diagram of one subject.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "Organizations": (
        "organizations", "organization_links", "organization_history", "billing_details", "customer_changes",
        "workspace_records",
    ),
    "Usage": (
        "meters", "landing_days", "landed_months", "usage_files", "rejected_usage", "rejected_usage_waivers",
        "usage_tables", "usage_snapshots", "usage_rollups", "months_with_random_ids", "carried_months",
        "carried_levels", "rollup_failures", "usage_confirmations",
    ),
    "Prices and taxes": ("prices", "negotiated_prices", "price_group_members", "tax_rates", "tax_customers"),
    "Terms": (
        "subscriptions", "one_off_items", "coupons", "discounts", "commitments", "credit_grants", "credit_entries",
        "credit_expiries", "term_changes", "term_decisions",
    ),
    "Invoices": (
        "invoices", "invoice_items", "invoice_item_rollups", "invoice_snapshots", "invoice_taxes", "invoice_tax_rates",
        "invoice_commitments", "invoice_changes", "invoice_details", "billing_failures",
        "invoice_confirmations",
    ),
    "Corrections": (
        "adjustments", "credit_notes", "corrected_snapshots", "correction_approvals", "correction_decisions",
    ),
    "Ledger": ("ledger_transactions", "ledger_entries", "revenue_deferrals", "accounting_periods"),
    "Stripe": (
        "stripe_invoices", "stripe_attempts", "stripe_events", "stripe_events_polled", "stripe_money",
        "stripe_invoice_amounts", "credit_requests", "stripe_pace", "stripe_repairs", "stripe_reconciliations",
        "stripe_customers",
        "sync_approvals",
    ),
    "API": ("api_tokens", "page_link_revocations"),
    "Alerts": (
        "alerts", "failed_checks", "billing_recoveries", "spend_thresholds", "spend_threshold_changes",
        "spend_alerts", "first_alerts", "threshold_checks", "spend_cap_calls", "alert_addresses",
        "alert_unsubscriptions",
    ),
    "Migrations": ("alembic_version",),
}  # fmt: skip

# A type in a diagram is one word.
SHORT_TYPES = {"timestamp with time zone": "timestamptz", "character": "char", "character varying": "varchar"}

COLUMNS = """
select c.relname as on_table, a.attname as name,
       format_type(a.atttypid, null) as type,
       coalesce(bool_or(k.contype = 'p'), false) as is_primary, coalesce(bool_or(k.contype = 'f'), false) as is_foreign,
       coalesce(bool_or(k.contype = 'u'), false) as is_unique
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_constraint as k on k.conrelid = c.oid and a.attnum = any (k.conkey) and k.contype in ('p', 'f', 'u')
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
group by c.relname, a.attname, a.attnum, a.atttypid
order by c.relname, a.attnum
"""
KEYS = """
select k.conrelid::regclass::text as on_table, k.confrelid::regclass::text as to_table,
       (select string_agg(a.attname, ', ' order by u.position)
          from unnest(k.conkey) with ordinality as u (number, position)
          join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = u.number) as columns,
       (select bool_and(a.attnotnull) from pg_attribute as a
         where a.attrelid = k.conrelid and a.attnum = any (k.conkey)) as is_required,
       exists (select from pg_constraint as u where u.conrelid = k.conrelid and u.contype in ('p', 'u')
                  and u.conkey <@ k.conkey) as is_single
from pg_constraint as k
where k.contype = 'f' and k.connamespace = current_schema()::regnamespace
order by on_table, columns, to_table
"""
DESCRIPTIONS = """
select c.relname as on_table, obj_description(c.oid, 'pg_class') as text
from pg_class as c
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and obj_description(c.oid, 'pg_class') <> ''
"""


# Every column of every table and view, with its comment.
DESCRIBED_COLUMNS = """
select c.relname as on_table, coalesce(obj_description(c.oid, 'pg_class'), '') as table_text, a.attname as name,
       format_type(a.atttypid, null) as type, not a.attnotnull as is_nullable,
       coalesce(col_description(c.oid, a.attnum), '') as text
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'v') and c.relname <> 'alembic_version'
order by c.relname collate "C", a.attnum
"""


@dataclass(frozen=True)
class DescribedColumn:
    """A column of a table or view with its comment, and the comment of its table."""

    on_table: str
    table_text: str
    name: str
    type: str
    is_nullable: bool
    text: str


@dataclass(frozen=True)
class Column:
    on_table: str
    name: str
    type: str
    is_primary: bool
    is_foreign: bool
    is_unique: bool


@dataclass(frozen=True)
class Key:
    """A foreign key. `is_required`: no column of it is null; `is_single`: at most one row refers to each target row."""

    on_table: str
    to_table: str
    columns: str
    is_required: bool
    is_single: bool


@dataclass(frozen=True)
class Description:
    on_table: str
    text: str


def dump(server: PostgresServer, database: str, *, rights: bool = True) -> str:
    """Return a database's schema by pg_dump, without lines that differ from dump to dump. `rights`: with its grants."""
    options = ["--schema-only", "--no-owner", *([] if rights else ["--no-privileges"])]
    address = ["--host", "127.0.0.1", "--port", str(server.port), "--username", server.user, "--dbname", database]
    done = subprocess.run(
        [installed().program("pg_dump"), *options, *address],
        env={"PGPASSWORD": server.password, "LC_ALL": "C"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return re.sub(r"\n{2,}", "\n\n", UNSTABLE.sub("", done.stdout)).strip() + "\n"


def schema(server: PostgresServer, database: str) -> str:
    """Return the text of schema.sql for a migrated database."""
    return f"{HEADER}\n{dump(server, database)}"


def diagram(server: PostgresServer, database: str) -> str:
    """Return the text of docs/schema.md for a migrated database. Raises LookupError naming tables without a subject."""
    with psycopg.connect(server.url(database, "postgresql")) as connection:
        columns = connection.cursor(row_factory=class_row(Column)).execute(COLUMNS).fetchall()
        keys = connection.cursor(row_factory=class_row(Key)).execute(KEYS).fetchall()
        found = connection.cursor(row_factory=class_row(Description)).execute(DESCRIPTIONS).fetchall()
    described = {comment.on_table: " ".join(comment.text.split()) for comment in found}
    grouped = {table for tables in SUBJECTS.values() for table in tables}
    if difference := {column.on_table for column in columns} ^ grouped:
        raise LookupError(f"name the subject of each table in SUBJECTS, and of no other: {sorted(difference)}")
    parts = [
        "# The schema",
        "Written by `make schema`: do not edit it. The boxes show keys only; "
        "[schema.sql](../fly_billing/postgres/schema.sql) has all columns, constraints, triggers and rights, and "
        "[the baseline](../fly_billing/postgres/migrations/versions/0039_baseline) the reasons. "
        "A box without columns is a table of another subject. A line says which columns refer to the other table.",
    ]
    for subject, tables in SUBJECTS.items():
        parts.append(f"## {subject}")
        parts.append("\n".join(["```mermaid", "erDiagram", *_entities(tables, columns, keys), "```"]))
        rows = [f"| `{table}` | {described[table]} |" for table in tables if table in described]
        if rows:
            parts.append("\n".join(["| table | its rows |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def table_descriptions(server: PostgresServer, database: str) -> str:
    """Return the text of tables.json for a migrated database."""
    with psycopg.connect(server.url(database, "postgresql")) as connection:
        found = connection.cursor(row_factory=class_row(DescribedColumn)).execute(DESCRIBED_COLUMNS).fetchall()
    tables = [
        f'"{name}": {{"text": {_json(columns[0].table_text)}, "columns": [\n{_json_columns(columns)}\n]}}'
        for name, columns in ((name, list(group)) for name, group in groupby(found, lambda column: column.on_table))
    ]
    return "{\n" + ",\n".join(tables) + "\n}\n"


def _json_columns(columns: Iterable[DescribedColumn]) -> str:
    """Return a line per column, so that a change of one is a change of one line."""
    return ",\n".join(_json([column.name, column.type, column.is_nullable, column.text]) for column in columns)


def _json(value: object) -> str:
    if isinstance(value, list):
        value = [" ".join(part.split()) if isinstance(part, str) else part for part in value]
    return json.dumps(" ".join(value.split()) if isinstance(value, str) else value, ensure_ascii=False)


def tables_page(tables: Iterable[TableDescription]) -> str:
    """Return the text of docs/tables.md: the usage table first, then the tables and views of Postgres."""
    parts = [
        "# Tables and their columns",
        "Written by `make schema` from the comments of the schema and from `usage/event_columns.py`: do not edit it. "
        "Dagster's catalog shows the same texts. [schema.md](schema.md) has the keys. Columns named `*_cents` are in "
        "the currency's minor unit; other amounts are exact, in its major unit. Times are UTC.",
    ]
    for table in tables:
        rows = [
            f"| `{column.name}` | {column.type}{'' if column.is_nullable else ', not null'} | {_cell(column.text)} |"
            for column in table.columns
        ]
        parts += [f"## {table.name}", table.text, "\n".join(["| column | type | |", "|---|---|---|", *rows])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _entities(tables: tuple[str, ...], columns: list[Column], keys: list[Key]) -> list[str]:
    lines = []
    for table in tables:
        lines.append(f"    {table} {{")
        for column in columns:
            if column.on_table == table and (column.is_primary or column.is_foreign or column.is_unique):
                kinds = {"PK": column.is_primary, "FK": column.is_foreign, "UK": column.is_unique}
                keys_of = ", ".join(kind for kind in kinds if kinds[kind])
                lines.append(
                    f"        {SHORT_TYPES.get(column.type, column.type.replace(' ', '_'))} {column.name} {keys_of}"
                )
        lines.append("    }")
    for key in keys:
        if key.on_table in tables:
            ends = ("||" if key.is_required else "|o") + "--" + ("o|" if key.is_single else "o{")
            lines.append(f'    {key.to_table} {ends} {key.on_table} : "{key.columns}"')
    return lines


def migration_files() -> dict[str, str]:
    """Return the SHA-256 of every file of a migration, by its path below migrations/."""
    return {
        path.relative_to(VERSIONS.parent).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(VERSIONS.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def frozen_files() -> dict[str, str]:
    """Read frozen.sha256: path -> SHA-256."""
    lines = FROZEN.read_text(encoding="utf-8").splitlines() if FROZEN.exists() else []
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def revisions() -> list[str]:
    """Return the numbers of the migrations, the baseline first."""
    script = ScriptDirectory.from_config(migrations())
    return [revision.revision for revision in reversed(list(script.walk_revisions()))]


def upgrade(database: BillingDatabase, revision: str) -> None:
    """Apply the migrations up to this one only."""
    with database.transaction() as connection:
        command.upgrade(migrations(connection), revision)


def load(server: PostgresServer, database: str, text: str) -> None:
    """Run a dump in an empty database."""
    with psycopg.connect(server.url(database, "postgresql")) as connection:
        connection.execute(f"{HEADER}\n{text}".encode())


def snapshot(revision: str) -> Path:
    return SNAPSHOTS / f"{revision}.sql.gz"


def load_snapshot(server: PostgresServer, database: str, revision: str) -> None:
    """Create the schema of a revision, as its code created it, in an empty database."""
    load(server, database, gzip.decompress(snapshot(revision).read_bytes()).decode())
    with psycopg.connect(server.url(database, "postgresql")) as connection:
        connection.execute("insert into alembic_version (version_num) values (%s)", [revision])


def write(server: PostgresServer) -> None:
    """Write all files. Frozen migrations stay: only new ones get a hash and a snapshot."""
    create_database(server, "schema_files")
    database = BillingDatabase(server.url("schema_files"))
    for revision in revisions():
        upgrade(database, revision)
        if not snapshot(revision).exists():
            SNAPSHOTS.mkdir(parents=True, exist_ok=True)
            text = dump(server, "schema_files", rights=False)
            snapshot(revision).write_bytes(gzip.compress(text.encode(), mtime=0))
    migrate(database)
    database.engine.dispose()
    SCHEMA.write_text(schema(server, "schema_files"), encoding="utf-8")
    DIAGRAM.write_text(diagram(server, "schema_files"), encoding="utf-8")
    FILE.write_text(table_descriptions(server, "schema_files"), encoding="utf-8")
    described_tables.cache_clear()
    TABLES.write_text(tables_page([usage_events_table(), *described_tables().values()]), encoding="utf-8")
    hashes = migration_files() | frozen_files()
    FROZEN.write_text("".join(f"{hashes[path]}  {path}\n" for path in sorted(hashes)), encoding="utf-8")


def new_migration(name: str) -> None:
    """Create the two files of the next migration, and print their paths."""
    number = f"{int(newest_migration()) + 1:04}"
    command.revision(migrations(), name, rev_id=number)
    (VERSIONS / f"{number}_{name}.sql").touch()


if __name__ == "__main__":
    if sys.argv[1:]:
        new_migration(sys.argv[1])
    else:
        with throwaway() as throwaway_server:
            write(throwaway_server)
