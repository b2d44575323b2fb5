"""A test closes the Dagster contexts and instances that it opens.

Otherwise garbage collection closes them, in the middle of any later test: their storage is gone by then, and the
logged traceback disturbs what that test was doing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(TESTS.rglob("*.py"))
CONTEXT = re.compile(r"build_(?!init)\w*context|build_resources")
INSTANCES = {"ephemeral", "local_temp", "from_config"}


def left_open(source: str) -> list[int]:
    """Return the lines of contexts and instances that no `with` closes."""
    tree = ast.parse(source)
    closed = {id(item.context_expr) for item in _closing(tree)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _opens(node.func) and id(node) not in closed
    ]


def _closing(tree: ast.AST) -> Iterator[ast.withitem]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            yield from node.items


def _opens(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return bool(CONTEXT.fullmatch(called.id))
    return (
        isinstance(called, ast.Attribute)
        and called.attr in INSTANCES
        and isinstance(called.value, ast.Name)
        and called.value.id == "DagsterInstance"
    )


@pytest.mark.parametrize(
    "source",
    [
        "sensor(build_sensor_context())",
        "context = build_schedule_context(instance)",
        "with build_sensor_context(DagsterInstance.ephemeral()) as context: pass",
        "instance = DagsterInstance.local_temp(folder)",
        "found = [sensor(build_run_status_sensor_context(run)) for run in runs]",
    ],
)
def test_a_context_without_with_is_found(source: str) -> None:
    assert left_open(source) == [1]


@pytest.mark.parametrize(
    "source",
    [
        "with build_sensor_context() as context: sensor(context)",
        "with DagsterInstance.ephemeral() as instance, build_schedule_context(instance) as context: pass",
    ],
)
def test_a_context_in_with_is_accepted(source: str) -> None:
    assert left_open(source) == []


@pytest.mark.parametrize("module", MODULES, ids=[str(path.relative_to(TESTS)) for path in MODULES])
def test_every_context_of_a_test_is_closed(module: Path) -> None:
    assert left_open(module.read_text(encoding="utf-8")) == []
