"""Imports run in one direction, from orchestration down to money and periods; rules import only rules."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "fly_billing"

# From the bottom up. A part imports itself and parts of the layers below it, never one of its own layer or above.
LAYERS = (
    {"bounds", "fingerprints", "foreign_text", "group_parts"},
    {"code_version", "money"},
    {"errors", "http_limits"},
    {"output_files", "periods", "processes"},
    {"monthly_ids", "object_store"},
    {"settings"},
    {"credentials"},
    {"embedded_postgres", "stripe_sandbox", "celery_workers"},
    {"postgres"},
    {"alerting", "checks", "dagster_storage"},
    {"pricing"},
    {"usage"},  # above pricing: the price decides which usage is counted together
    {"usage_intake", "worklist"},
    {"invoicing"},
    {"corrections", "ledger", "stripe_sync"},
    {"accounting", "customers", "dunning", "focus", "open_months"},
    {"workspace"},
    {"platform_database"},
    {"statements"},
    {"customer_alerts"},  # above statements: thresholds on a part or an estimate compare with what they show
    {"api", "finance"},
    {"cutover"},
    {"operations"},  # reads all subjects: what needs a person
    {"sample_platform", "testing"},
    {"resources"},
    {"automations", "partitions", "executors"},
    {"partition_start"},
    {"assets"},
    {"ops"},
    {"jobs"},
    {"sensors"},
    {"definitions"},
    {"cli"},
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}
# Parts that rules may import besides other rules.
PURE = {"bounds", "errors", "fingerprints", "foreign_text", "group_parts", "money", "monthly_ids", "periods"}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


MODULES = {
    path: imports_of(path)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py" and "migrations" not in path.parts
}


def test_every_part_of_the_package_has_a_layer() -> None:
    assert {part_of(path) for path in MODULES} == LAYER_OF.keys()


def test_no_part_imports_a_part_of_its_layer_or_above() -> None:
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, names in MODULES.items()
        for name in sorted(names)
        if name.startswith("fly_billing.")
        and (part := name.split(".")[1]) != part_of(path)
        and LAYER_OF[part] >= LAYER_OF[part_of(path)]
    ]
    assert wrong == []


def test_rules_import_the_standard_library_and_other_rules_only() -> None:
    allowed = {*sys.stdlib_module_names, "fly_billing"}
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {name}"
        for path, names in MODULES.items()
        if "rules" in path.parts or part_of(path) in PURE
        for name in sorted(names)
        if name.split(".")[0] not in allowed
        or (name.startswith("fly_billing.") and name.split(".")[1] not in PURE and ".rules." not in name)
    ]
    assert wrong == []


def test_only_orchestration_imports_dagster() -> None:
    knows = {part_of(path) for path, names in MODULES.items() if any(name.split(".")[0] == "dagster" for name in names)}
    assert knows <= {
        "assets",
        "automations",
        "cli",
        "definitions",
        "executors",
        "jobs",
        "ops",
        "partition_start",
        "partitions",
        "resources",
        "sensors",
    }


def test_resources_holds_dagster_resources_only() -> None:
    for path in sorted((PACKAGE / "resources").glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        others = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        assert others == [], path.name
