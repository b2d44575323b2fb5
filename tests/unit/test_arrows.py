"""Which room may import which: definitions -> jobs, sensors -> assets -> resources -> domain. Nothing points back."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "fly_billing"

# What each room may import of the others. What is not named here (cli, definitions) assembles and may import all.
MAY_IMPORT = {
    "domain": {"domain"},
    "resources": {"domain", "resources"},
    "statement_page": {"domain", "statement_page"},
    "stripe_sandbox": {"stripe_sandbox"},
    "partitions": {"domain", "partitions"},
    "executors": {"domain", "executors", "resources"},
    "celery_workers": {"celery_workers", "resources"},
    "assets": {"assets", "domain", "partitions", "resources"},
    "jobs": {"assets", "domain", "jobs", "partitions", "resources"},
    "sensors": {"assets", "domain", "jobs", "partitions", "resources", "sensors"},
    "sample_platform": {"domain", "resources", "sample_platform"},
    "focus_export": {"domain", "focus_export", "resources"},
    "focus_import": {"domain", "focus_import", "resources"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
    return found


def modules_of(room: str) -> list[Path]:
    folder = PACKAGE / room
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def test_no_room_imports_one_that_stands_before_it() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for room, allowed in MAY_IMPORT.items()
        for path in modules_of(room)
        for name in imports_of(path)
        if name.startswith("fly_billing.") and name.split(".")[1] not in allowed
    ]
    assert wrong == []


def test_the_rules_of_billing_use_the_standard_library_only() -> None:
    foreign = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path in modules_of("domain")
        for name in imports_of(path)
        if name.split(".")[0] not in {*sys.stdlib_module_names, "fly_billing"}
    ]
    assert foreign == []


def test_only_the_rooms_of_dagster_know_of_it() -> None:
    allowed = {"assets", "cli", "sensors", "definitions.py", "executors.py", "jobs.py", "partitions.py"}
    knowing = {
        path.relative_to(PACKAGE)
        for path in PACKAGE.rglob("*.py")
        if any(name.split(".")[0] == "dagster" for name in imports_of(path))
    }
    outside = {str(path) for path in knowing if path.parts[0] not in allowed}
    assert outside == {"resources/dagster_resources.py"}
