"""Every column has a decision in docs/what_an_invoice_depends_on.md on recalculating a closed month with it.

A new column fails this until it has one.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from tests.support.builders import Platform

DOCUMENT = Path(__file__).parents[3] / "docs" / "what_an_invoice_depends_on.md"
DECISIONS = {"dated", "fixed", "noted", "kept", "no input"}


def decided() -> dict[str, str]:
    """Return column (`table.column`) -> decision; fail if a column is listed twice."""
    rows = re.findall(r"^\| (`[^|]*`) \| ([^|]*) \| ([^|]*) \|$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    found = [(name, decision) for columns, decision, _ in rows for name in re.findall(r"`(\w+\.\w+)`", columns)]
    assert [name for name, times in Counter(name for name, _ in found).items() if times > 1] == []
    assert all(event.strip() for _, _, event in rows)
    return dict(found)


def tables_without_amounts() -> set[str]:
    (text,) = re.findall(r"No amount is read from these tables.*", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    return set(re.findall(r"`(\w+)`", text))


def test_every_column_has_a_decision_about_closed_months(platform: Platform) -> None:
    rows = platform.query(
        "select table_name, column_name from information_schema.columns"
        " join information_schema.tables using (table_schema, table_name)"
        " where table_schema = current_schema() and table_type = 'BASE TABLE'"
    )
    tables = {row["table_name"] for row in rows}
    left_out = tables_without_amounts()
    columns = {f"{row['table_name']}.{row['column_name']}" for row in rows if row["table_name"] not in left_out}
    assert columns == set(decided())
    assert left_out <= tables
    assert set(decided().values()) == DECISIONS


def test_a_dated_column_belongs_to_a_table_with_months_moments_or_a_history(platform: Platform) -> None:
    """A trigger writes the history."""
    names = {name.split(".")[0] for name, decision in decided().items() if decision == "dated"}
    times = re.compile(r"(first|last)_month|(started|ended|granted|expires)_at|effective_(from|until)")
    found = platform.query("select table_name, column_name from information_schema.columns")
    dated = {row["table_name"] for row in found if times.fullmatch(row["column_name"])}
    (trigger,) = platform.query(
        "select tgrelid::regclass::text as name from pg_trigger where tgname = 'keep_what_held'"
    )
    assert names <= dated | {trigger["name"]}


def test_a_noted_column_belongs_to_a_table_whose_changes_are_noted(platform: Platform) -> None:
    names = {name.split(".")[0] for name, decision in decided().items() if decision == "noted"}
    rows = platform.query("select tgrelid::regclass::text as name from pg_trigger where tgname = 'note_term_change'")
    assert names <= {row["name"] for row in rows}
