"""Every statement names tables, columns and functions that exist, in Postgres or in DuckDB, also if no test runs it.

A misspelt column fails here and not at the end of a month.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import make_url, text

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.invoicing.event_check import ROLLUPS_OF_INVOICES, SPELLINGS
from fly_billing.periods import BillingMonth
from fly_billing.postgres.round_trips import driver_text
from fly_billing.postgres.statements import sql, statements
from fly_billing.statements.billed_events import BILLED
from fly_billing.usage.aggregation import (
    ADDING_UP,
    AGGREGATION_GROUPS,
    METERS,
    ORGANIZATIONS,
    SEGMENTS,
    STATEMENTS,
    set_bounds,
)
from fly_billing.usage.opening_levels import LEVELS
from fly_billing.usage.readers.json_lines import register_json_functions
from fly_billing.usage.readers.staged_rows import LINES, PLACE, PLACED, SHAPED
from fly_billing.usage.source_contracts import CONTRACT_FIELDS
from fly_billing.usage.usage_table import EVENTS, open_duckdb

OCTOBER = BillingMonth(2026, 10)
# Postgres resolves the names in these only when they run. The first three make temporary tables that others read.
RUN = (
    "make_computed", "make_loaded_prices", "create_rolled_up_tables", "clear_computed", "drop_parts_of_computed",
    "remove_time_limit", "check_deferred_constraints"
)  # fmt: skip
CHECKED_WHEN_PREPARED = {"select", "insert", "update", "delete", "with", "values", "merge"}
NAMED = make_url("postgresql+psycopg://").get_dialect()()
# SQLAlchemy's only dialect that writes parameters as Postgres itself does: $1, $2.
NUMBERED = make_url("postgresql+asyncpg://").get_dialect()()

# A step is a statement, with its parameters, or a table of the pipeline that the next statements read.
Step = tuple[str, Mapping[str, Any]] | tuple[str, pa.Schema]

METERS_OF_LANDING = pa.schema(
    [(name, pa.string()) for name in ("key", "property", "event_type", "quantity_of")]
    + [("dimensions", pa.list_(pa.string())), ("needs_quantity", pa.bool_())]
)
REFUSED = pa.schema([("landing_day", pa.date32()), ("source", pa.string()), ("id", pa.string())])
AGGREGATION_GROUPS_OF_ITEM = pa.schema([("dimensions", pa.string()), ("aggregation_group", pa.int64())])

COPIED = {"VARCHAR": pa.string(), "BIGINT": pa.int64()}

# The statements in the order in which the pipeline runs them, as each makes what later ones read.
LANDING: tuple[Step, ...] = (
    ("staged", PLACED),
    ("lines", LINES),
    ("exact_rows", PLACED),
    ("deleted_files", PLACE),
    ("plain_files", pa.schema([("file", pa.string()), ("landing_day", pa.date32()), ("path", pa.string())])),
    ("stage_json", {}),
    ("shaped_rows", SHAPED),
    ("insert_json", {}),
    ("stage_parquet", {"files": ["october.parquet"]}),
    ("delete_from_staged", {}),
    ("meters", METERS_OF_LANDING),
    ("plain_meters", METERS_OF_LANDING),
    ("shared_meters", METERS_OF_LANDING),
    ("organizations", pa.schema([("id", pa.string()), ("existed_from", pa.timestamp("us", "UTC"))])),
    ("measured", {}),
    ("validate_usage", {"first_month": OCTOBER.start}),
    ("declared_sources", pa.schema([("source", pa.string())])),
    ("declared_meters", pa.schema([("source", pa.string()), ("meter", pa.string())])),
    ("declared_types", {}),
    ("contract_fields", CONTRACT_FIELDS),
    ("contract_problems", {"rejects_others": False}),
    ("broken_contracts", {}),
    ("reject_broken_contracts", {}),
    ("explain_broken_contracts", {}),
    ("landing_candidates", {}),
    ("previous_events", EVENTS),
    ("removed_events", {}),
    ("usage_table", EVENTS),
    ("orphaned_days", {}),
    ("deduplicated_again", {}),
    ("rejected_before", REFUSED),
    ("landing_keys", {}),
    ("repeated_prefixes", pa.schema([("prefix", pa.uint64())])),
    ("hit_prefixes", pa.schema([("prefix", pa.uint64())])),
    ("accepted_elsewhere", {}),
    ("deduplicate_usage", {}),
    ("deduplicated", {}),
    ("shared_prefixes", pa.schema([("prefix", pa.uint64())])),
    ("candidates_by_prefix", {}),
    ("counted", {}),
    ("count_landed_months", {}),
    ("events_of_file", {"day": date(2026, 10, 1), "month_start": OCTOBER.start, "month_end": OCTOBER.end}),
    ("rejected_usage", {}),
    ("count_files", {}),
    ("count_orphaned_days", {}),
    ("count_sources", {}),
    ("events", EVENTS),
    ("count_events_by_day", {"days": [date(2026, 10, 1)]}),
    ("indexed", EVENTS),
    ("event_keys", {}),
)
ROLLING_UP: tuple[Step, ...] = (
    ("events", EVENTS),
    ("earlier_events", EVENTS),
    ("meters", METERS),
    ("segments", SEGMENTS),
    ("billed_organizations", ORGANIZATIONS),
    ("aggregation_groups", AGGREGATION_GROUPS),
    ("carried_levels", LEVELS),
    ("carry_levels", {}),
    ("events_of_month", EVENTS),
    ("organizations_with_levels", {"meters": ["volumes"]}),
    ("accepted_usage", {}),
    ("used_dimensions", {}),
    *((name, {}) for name in (*ADDING_UP, *STATEMENTS)),
    ("roll_up_usage", {"after": 0, "count": 50_000}),
    ("recount_usage", {}),
    ("create_snapshots", {}),
    ("snapshot_usage", {"first": "acme", "last": "labs"}),
)
EXPLAINING: tuple[Step, ...] = (
    ("events", EVENTS),
    ("earlier_events", EVENTS),
    ("billed", BILLED),
    ("aggregation_groups", AGGREGATION_GROUPS_OF_ITEM),
    ("counted_quantity", {}),
    ("billed_events", {}),
    ("files_of_billed_events", {}),
    ("deciding_events", {"organization": "acme", "meter": "egress_gb", "aggregation": "max"}),
    ("reported_before_month", {"organization": "acme", "meter": "egress_gb", "month_start": OCTOBER.start}),
)
CHECKING: tuple[Step, ...] = (
    ("events", EVENTS),
    ("copied_rollups", pa.schema([(name, COPIED[kind]) for name, kind in ROLLUPS_OF_INVOICES.items()])),
    ("rollups_of_invoices_in_duckdb", {}),
    ("is_any_rollup_unusual", {}),
    ("delete_unreadable_rollups", {"organizations": ["acme"]}),
    ("versions_of_rollups", {}),
    ("count_events_of_rollups", {}),
    ("dimensions_to_compare", {}),
    ("spellings", SPELLINGS),
    ("spelled_rollups", {}),
    ("items_per_event", {}),
)
COMPARING: tuple[Step, ...] = (
    ("billed", EVENTS),
    ("now", EVENTS),
    ("compare_usage_versions", {"organizations": ["acme"]}),
)
PIPELINES = {
    "landing": LANDING,
    "rolling up": ROLLING_UP,
    "explaining": EXPLAINING,
    "checking": CHECKING,
    "comparing": COMPARING,
}
# Tables that statements also write to; the others are views of data in memory or in files.
WRITTEN = {"staged", "carried_levels"}
PARQUET = pa.schema(
    [(name, pa.string()) for name in ("id", "source", "type", "subject", "quantity", "data")]
    + [("time", pa.timestamp("us", "UTC"))]
)


def test_every_statement_for_duckdb_is_run_in_one_of_the_pipelines() -> None:
    run = {name for steps in PIPELINES.values() for name, step_input in steps if not isinstance(step_input, pa.Schema)}
    assert run | {"plain_object"} == statements("sql_duckdb").keys()


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with the macros, functions and variables that statements use."""
    with open_duckdb() as connection:
        register_json_functions(connection)
        set_bounds(connection, OCTOBER, OCTOBER.end)
        for name in ("month", "property", "event_step", "event_round", "lake_version"):
            connection.execute(f"set variable {name} = null")
        yield connection


@pytest.mark.parametrize("steps", PIPELINES.values(), ids=PIPELINES.keys())
def test_duckdb_finds_every_name_in_its_statements(
    steps: tuple[Step, ...], duck: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pq.write_table(PARQUET.empty_table(), "october.parquet")
    for name, step_input in steps:
        if isinstance(step_input, pa.Schema):
            if name in WRITTEN:
                duck.register("no_rows", step_input.empty_table())
                duck.execute(f"create temp table {name} as from no_rows")
            else:
                duck.register(name, step_input.empty_table())
        else:
            duck.execute(sql(name), dict(step_input) or None)


def prepare(connection: psycopg.Connection[Any], name: str) -> str:
    """Have Postgres parse a statement and find its tables, columns, functions and types; return its errors."""
    statement = str(text(sql(name)).compile(dialect=NUMBERED))
    with connection.transaction(force_rollback=True):
        result = connection.pgconn.prepare(b"", statement.encode())
    return result.error_message.decode()


def first_word(name: str) -> str:
    return re.sub(r"--.*", "", sql(name)).split()[0].lower()


@pytest.mark.parametrize("name", statements("sql"))
def test_a_round_trip_writes_the_parameters_of_a_statement_as_sqlalchemy_does(name: str) -> None:
    assert driver_text(name).decode() == str(text(sql(name)).compile(dialect=NAMED))


def test_postgres_finds_every_name_in_its_statements(postgres: PostgresServer) -> None:
    wrong = {}
    with psycopg.connect(postgres.url("billing_template", "postgresql")) as connection:
        for name in RUN:
            connection.execute(sql(name).encode())
        for name in statements("sql"):
            if name not in RUN:
                assert first_word(name) in CHECKED_WHEN_PREPARED, f"{name} is not checked when it is prepared: run it"
                wrong[name] = prepare(connection, name)
        connection.rollback()
    assert {name: problem for name, problem in wrong.items() if problem} == {}
