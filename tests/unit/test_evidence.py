"""docs/evidence.md names tests for each schedule, sensor and check, working and failing, and for each guarantee."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from fly_billing.definitions import build_defs

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
DECISIONS = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
CODE = re.compile(r"`([^`]+)`")


def rows_of(section: str) -> dict[str, tuple[list[str], list[str]]]:
    """Return name -> (tests that see it work, tests that see it fail) of a table."""
    return {
        CODE.findall(name)[0]: (CODE.findall(works), CODE.findall(fails)) for name, works, fails in table(PAGE, section)
    }


def table(page: str, section: str) -> list[list[str]]:
    """Return the cells of the table in a section, without its head."""
    text = page.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")][1:]


@cache
def functions_of(path: Path) -> set[str]:
    module = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in module.body if isinstance(node, ast.FunctionDef)}


def test_every_schedule_sensor_and_check_has_a_row() -> None:
    definitions = build_defs()
    repository = definitions.get_repository_def()
    assert rows_of("Schedules").keys() == {schedule.name for schedule in repository.schedule_defs}
    assert rows_of("Sensors").keys() == {sensor.name for sensor in repository.sensor_defs}
    assert rows_of("Checks").keys() == {key.name for key in definitions.resolve_asset_graph().asset_check_keys}


@pytest.mark.parametrize("section", ["Schedules", "Sensors", "Checks"])
def test_every_row_names_tests_that_exist_for_both(section: str) -> None:
    for name, (works, fails) in rows_of(section).items():
        assert works, name
        assert fails, name
        refuse_missing(name, [*works, *fails])


def test_every_guarantee_names_tests_that_exist_and_notice_its_loss() -> None:
    found = {name: CODE.findall(tests) for name, _, tests in table(PAGE, "Guarantees")}
    assert list(found) == [name for name, _ in table(DECISIONS, "Guarantees, and the mechanism behind each")]
    for name, tests in found.items():
        assert tests, name
        refuse_missing(name, tests)


def refuse_missing(name: str, tests: Sequence[str]) -> None:
    for test in tests:
        file, _, function = test.partition("::")
        assert function in functions_of(ROOT / "tests" / file), f"{name}: there is no {test}"
