"""An asset reads, calls one use case and reports: its body has at most 20 lines, and its SQL is with its subject."""

import ast
from pathlib import Path

import pytest

ASSETS = Path(__file__).parents[2] / "fly_billing" / "assets"
MOST_LINES = 20
DECORATORS = {"asset", "multi_asset", "asset_check"}


def decorator_name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines of a function from its first statement to its last; the docstring is not one."""
    first = function.body[1 if ast.get_docstring(function) is not None else 0]
    return (function.end_lineno or 0) - first.lineno + 1


BODIES = {
    node.name: body_lines(node)
    for path in sorted(ASSETS.glob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef) and DECORATORS & set(map(decorator_name, node.decorator_list))
}


def test_every_asset_is_measured() -> None:
    assert BODIES.keys() == {
        "usage_events", "usage_rollups", "invoices", "stripe_invoices", "stripe_reconciliation",
        "usage_table_files", "stripe_money", "finance_months", "finance_journals", "platform_records",
    }  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_an_asset_has_at_most_20_lines(name: str) -> None:
    assert BODIES[name] <= MOST_LINES


def test_the_assets_have_no_sql() -> None:
    assert [path.name for path in ASSETS.rglob("*.sql")] == []
