"""`fly-billing init`, `plan` and `apply` from an empty folder to a changed price, as a new user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app
from fly_billing.cli.workspace_folder import FolderNotNamed
from fly_billing.workspace.applying import WorkspaceNotApplied
from fly_billing.workspace.reading import WorkspaceHasMistakes
from fly_billing.workspace.starter_files import FolderNotEmpty
from tests.support.builders import Platform


@pytest.fixture
def folder(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new workspace. The database has the organization acme of somebody else, with another price book."""
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    assert run("init", tmp_path / "shop").exit_code == 0
    return tmp_path / "shop"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_workspace_plans_and_applies_as_it_stands(folder: Path) -> None:
    planned = run("plan", folder, "--check")
    assert planned.exit_code == 1
    assert "+ subscription acme/support/2026-01-01 added: quantity 1" in planned.output
    assert "= in the database already, and the workspace's from now on: meter (1)" in planned.output
    assert "my-platform: 3 added, 1 taken over, 1 changed; 0 unchanged." in planned.output
    applied = run("apply", folder, "--yes")
    assert (applied.exit_code, applied.output.splitlines()[-2]) == (0, "Applied.")
    again = run("plan", folder, "--check")
    assert (again.exit_code, again.output) == (0, "my-platform: no changes; 5 unchanged.\n")
    assert run("apply", folder).output.splitlines()[0] == "my-platform: no changes; 5 unchanged."


def test_applying_says_that_sources_are_not_used_until_the_variable_names_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unused = f"note sources.yaml is not used until FLY_BILLING_WORKSPACE={folder} is set"
    assert run("apply", folder, "--yes").output.splitlines()[-2:] == ["Applied.", unused]
    assert run("apply", folder).output.splitlines() == ["my-platform: no changes; 5 unchanged.", unused]
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(folder))
    assert run("apply", folder).output == "my-platform: no changes; 5 unchanged.\n"
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(folder.parent))
    assert run("apply", folder).output.splitlines()[-1] == unused
    (folder / "sources.yaml").write_text("# nobody yet\n", encoding="utf-8")
    assert run("apply", folder).output == "my-platform: no changes; 5 unchanged.\n"


def test_without_a_folder_the_commands_take_the_variable_and_then_a_workspace_in_this_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for command in ("plan", "apply", "read-platform"):
        refused = run(command).exception
        assert isinstance(refused, FolderNotNamed)
        assert str(refused).startswith(f"name the folder: fly-billing {command} DIR. FLY_BILLING_WORKSPACE is not set")
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", "shop")
    assert "my-platform: 3 added" in run("plan").output
    monkeypatch.delenv("FLY_BILLING_WORKSPACE")
    monkeypatch.chdir(folder)
    assert run("apply", "--yes").exit_code == 0
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(folder.parent / "elsewhere"))
    assert isinstance(run("plan").exception, WorkspaceHasMistakes)


def test_a_plan_as_json_has_each_field_before_and_after(folder: Path) -> None:
    run("apply", folder, "--yes")
    edit(folder / "price_book/main/prices.yaml", "unit_amount: 29.00", "unit_amount: 30.00")
    data = json.loads(run("plan", folder, "--json").stdout)
    assert data["workspace"] == "my-platform"
    assert data["counts"] == {
        "added": 0, "taken over": 0, "changed": 1, "ended": 0, "removed": 0, "released": 0, "unchanged": 4,
    }  # fmt: skip
    assert (data["refused"], data["needs_close_many"], data["notices"]) == ([], None, [])
    assert data["changes"] == [
        {
            "action": "changed", "kind": "price", "key": "main/support/2026-01-01", "organization": None,
            "fields": [{"field": "unit_amount", "before": "29", "after": "30"}], "used_by": None, "refused": None,
        }
    ]  # fmt: skip
    assert json.loads(run("apply", folder, "--yes", "--json").stdout) == data


def test_without_an_answer_nothing_is_applied(folder: Path, platform: Platform) -> None:
    refused = run("apply", folder)
    assert (refused.exit_code, refused.output.splitlines()[-1]) == (
        1, "Nothing was applied. `fly-billing apply --yes` applies it without asking.",
    )  # fmt: skip
    assert platform.query("select 1 from workspace_records") == []


def test_a_plan_that_the_database_would_refuse_says_so_before_it_is_applied(folder: Path, platform: Platform) -> None:
    edit(folder / "terms.yaml", "started_at: 2026-01-01", "started_at: 2025-12-01")
    edit(folder / "price_book/main/prices.yaml", "effective_from: 2026-01-01", "effective_from: 2025-01-01")
    planned = run("plan", folder)
    assert planned.exit_code == 1
    assert "refused terms.yaml: line 5: subscription of acme to support from 2025-12-01: it begins" in planned.output
    assert "acme is a customer from 2026-01-01 on" in planned.output
    assert planned.output.splitlines()[-1] == "1 change refused: nothing can be applied."
    assert platform.query("select 1 from workspace_records") == []
    assert isinstance(run("apply", folder).exception, WorkspaceNotApplied)


def test_init_never_writes_between_other_files(folder: Path, tmp_path: Path) -> None:
    assert isinstance(run("init", folder).exception, FolderNotEmpty)
    (tmp_path / "new/.git").mkdir(parents=True)
    (tmp_path / "new/README.md").write_text("# A repository", encoding="utf-8")
    assert run("init", tmp_path / "new").exit_code == 0


def test_mistakes_and_refusals_are_what_the_command_ends_with(folder: Path, tmp_path: Path) -> None:
    assert isinstance(run("plan", tmp_path).exception, WorkspaceHasMistakes)
    run("apply", folder, "--yes")
    lines = [f"o{number},Organization {number},USD,main,2026-01-01,,\n" for number in range(3)]
    with (folder / "organizations.csv").open("a", encoding="utf-8") as file:
        file.writelines(lines)
    run("apply", folder, "--yes")
    edit(folder / "organizations.csv", "".join(lines), "")
    planned = run("plan", folder)
    assert "it closes 3 of 4 organizations, more than 10 %: `apply` needs --close-many" in planned.output
    assert planned.exit_code == 1
    assert isinstance(run("apply", folder, "--yes").exception, WorkspaceNotApplied)
    assert run("apply", folder, "--yes", "--close-many").exit_code == 0
