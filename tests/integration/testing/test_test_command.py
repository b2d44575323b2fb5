"""`fly-billing test` runs folders of cases, prints what differs, and says so with its exit code."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.testing import CasesHaveMistakes
from fly_billing.workspace.starter_files import write_starter

ROOT = Path(__file__).parents[3]
CASES = ROOT / "tests" / "cases"
DOCUMENT = (ROOT / "docs" / "billing_tests.md").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).with_name("fly-billing")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["test", *map(str, arguments)])


def lines_of(result: Result) -> list[str]:
    """Return the printed lines, without times and trailing spaces."""
    return [re.sub(r" \d+\.\d s", " 0.0 s", line).rstrip() for line in result.output.splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Provide a workspace as `fly-billing init` writes it."""
    write_starter(tmp_path / "shop")
    return tmp_path / "shop"


def write_documented_cases(shop: Path) -> None:
    october, plan_ends = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    for name, text in (("october", october), ("plan_ends", plan_ends)):
        (shop / "tests" / name).mkdir()
        (shop / "tests" / name / "case.yaml").write_text(text, encoding="utf-8")
    (shop / "tests" / "plan_ends" / "without_plan.yaml").write_text("# no terms\n", encoding="utf-8")


def test_the_cases_of_the_project_pass(tmp_path: Path) -> None:
    """As a process of its own, in an environment with settings that would break every connection."""
    done = subprocess.run(
        [COMMAND, "test", CASES, "--jobs", "2", "--json"], cwd=tmp_path, capture_output=True, check=False, timeout=600,
        env={"PGSERVICE": "undefined", "DATABASE_URL": "postgresql://nowhere.invalid/billing", "HOME": str(tmp_path)},
    )  # fmt: skip
    results = json.loads(done.stdout)
    assert [result for result in results if not result["passed"]] == []
    assert [result["name"] for result in results] == sorted(path.name for path in CASES.iterdir() if path.is_dir())
    assert len(results) >= 22
    assert done.returncode == 0


def test_the_documented_cases_pass_on_a_new_workspace_as_they_stand(shop: Path) -> None:
    write_documented_cases(shop)
    done = run(shop, "--jobs", 1)
    assert lines_of(done) == [
        "passed first_month 0.0 s", "passed october 0.0 s", "passed plan_ends 0.0 s",
        "3 cases: 3 passed, 0 failed in 0.0 s",
    ]  # fmt: skip
    assert done.exit_code == 0


def test_a_changed_price_is_shown_with_its_effect_as_the_document_says(shop: Path) -> None:
    write_documented_cases(shop)
    book = shop / "price_book" / "main" / "prices.yaml"
    book.write_text(book.read_text(encoding="utf-8").replace("29.00", "39.00"), encoding="utf-8")
    done = run(shop / "tests" / "october")
    assert done.exit_code == 1
    printed = lines_of(done)
    start = DOCUMENT.index("    FAILED october")
    documented = [line[4:].rstrip() for line in DOCUMENT[start : DOCUMENT.index("        ...", start)].splitlines()]
    assert [line for line in printed if line in documented[1:]] == documented[1:]
    assert printed[0] == "FAILED october 0.0 s"
    assert printed[-1] == "1 case: 0 passed, 1 failed in 0.0 s"


def test_a_price_that_a_final_invoice_used_can_not_change_in_a_case(shop: Path) -> None:
    folder = shop / "tests" / "dearer"
    folder.mkdir()
    dearer = (shop / "price_book" / "main" / "prices.yaml").read_text(encoding="utf-8").replace("29.00", "39.00")
    (folder / "dearer.yaml").write_text(dearer, encoding="utf-8")
    steps = """\
  - workspace: ../..
  - close: 2026-01
  - workspace_is_refused:
      folder: ../..
      with: {price_book/main/prices.yaml: dearer.yaml}
      says: ["price main/support/2026-01-01: unit_amount can't change"]
"""
    (folder / "case.yaml").write_text(f"steps:\n{steps}", encoding="utf-8")
    done = run(folder)
    assert (done.exit_code, lines_of(done)[0]) == (0, "passed dearer 0.0 s")


def test_the_python_example_of_the_document_runs(shop: Path) -> None:
    write_documented_cases(shop)
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=shop.parent, capture_output=True, text=True, encoding="utf-8", check=False,
        timeout=600,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[{'organization_id': 'acme', 'total_cents': 0}]\n"


def test_every_documented_command_is_one(shop: Path) -> None:
    commands = re.findall(r"^    (fly-billing test [^#\n]+)", DOCUMENT, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        assert "Usage" in CliRunner().invoke(app, [*shlex.split(command)[1:], "--help"]).output


def test_a_case_with_a_mistake_runs_nothing(shop: Path) -> None:
    case = shop / "tests" / "first_month" / "case.yaml"
    case.write_text(case.read_text(encoding="utf-8").replace("close:", "clos:"), encoding="utf-8")
    done = run(shop)
    assert isinstance(done.exception, CasesHaveMistakes)  # the command line prints it and exits 2
    assert str(done.exception).startswith(f"{case}: line 7: step 3: unknown step 'clos' (did you mean close?)")


def test_a_mistake_in_a_case_exits_with_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [COMMAND, "test", tmp_path], capture_output=True, text=True, encoding="utf-8", check=False, timeout=600
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no case here or below: a case is a folder with a case.yaml" in " ".join(done.stderr.split())


def test_results_in_json_have_every_difference(shop: Path) -> None:
    case = shop / "tests" / "first_month" / "case.yaml"
    case.write_text(case.read_text(encoding="utf-8").replace("3150", "3151"), encoding="utf-8")
    done = run(shop, "--json")
    (result,) = json.loads(done.output)
    assert (result["name"], result["passed"], result["refused"], done.exit_code) == ("first_month", False, None, 1)
    assert result["differences"] == [
        {
            "item": "acme 2026-01", "expected": "$31.51 (3151)", "actual": "$31.50 (3150)",
            "place": "case.yaml line 13: totals",
        }
    ]  # fmt: skip


def test_landing_holds_the_contracts_of_the_workspace(shop: Path) -> None:
    """Only the declared source `proxy` may send usage: its 1,500,000 requests are $2.50, those of others nothing."""
    sources = shop / "sources.yaml"
    sources.write_text(sources.read_text(encoding="utf-8") + "\nundeclared: reject\n", encoding="utf-8")
    case = shop / "tests" / "first_month" / "case.yaml"
    stranger = "  - usage: {organization: acme, meter: requests, time: 2026-01-11, quantity: 7, source: stranger}\n"
    text = case.read_text(encoding="utf-8").replace("  - close:", f"{stranger}  - close:") + "  - rejected: 1\n"
    case.write_text(text, encoding="utf-8")
    assert lines_of(run(shop))[0] == "passed first_month 0.0 s"
