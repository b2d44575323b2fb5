"""The asset that reads the platform's database before each landing, with its check, its alerts and its schedule."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import AssetKey, ExecuteInProcessResult, RunRequest, SkipReason, build_schedule_context

from fly_billing.jobs import read_platform_hourly
from fly_billing.resources.workspace_folder import WorkspaceFolder
from tests.support.deployment import Deployment

VARIABLE = "APP_DATABASE_URL"
FILES = {
    "fly_billing.yaml": "version: 1\nname: shop\n",
    "price_book/fly/prices.yaml": "# loaded already\n",
    "sources.yaml": """
databases:
  - name: app
    url_variable: APP_DATABASE_URL
    organizations: {query: "select slug as id, name, 'USD' as currency, '2026-10-01' as created_at from accounts"}
""",
}


@pytest.fixture
def app(deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The database of a platform with the accounts ash and elm, and a workspace that names it."""
    for name, text in FILES.items():
        (tmp_path / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "shop" / name).write_text(text, encoding="utf-8")
    path = tmp_path / "app.sqlite3"
    execute(path, "create table accounts (slug text, name text);"
                  "insert into accounts values ('ash', 'Ash'), ('elm', 'Elm')")  # fmt: skip
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(tmp_path / "shop"))
    monkeypatch.setenv(VARIABLE, f"sqlite:///{path}")
    deployment.load_prices()
    return path


def execute(path: Path, statements: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.executescript(statements)
    connection.close()


def said(result: ExecuteInProcessResult) -> str:
    (failure,) = [event.step_failure_data for event in result.all_events if event.is_step_failure]
    assert failure.user_failure_data is not None
    return str(failure.user_failure_data.description)


def numbers(result: ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.asset_materializations_for_node("platform_records")
    return {name: event.metadata[name].value for name in ("rows", "added", "changed", "ended", "refused")}


def tick() -> list[RunRequest | SkipReason]:
    at = datetime(2026, 11, 5, 9, 20, tzinfo=UTC)
    with build_schedule_context(
        resources={"workspace_folder": WorkspaceFolder()}, scheduled_execution_time=at
    ) as context:
        data = read_platform_hourly.evaluate_tick(context)
    return [*(data.run_requests or ()), *([SkipReason(data.skip_message)] if data.skip_message else [])]


def test_customers_are_read_before_their_usage_lands(deployment: Deployment, app: Path) -> None:
    (request,) = tick()
    assert isinstance(request, RunRequest)
    first = deployment.run("read_platform", {})
    assert numbers(first) == {"rows": 2, "added": 2, "changed": 0, "ended": 0, "refused": 0}
    assert [check.passed for check in first.get_asset_check_evaluations()] == [True]
    assert [row["id"] for row in deployment.execute("select id from organizations order by id")] == ["ash", "elm"]
    again = deployment.run("read_platform", {})
    assert numbers(again) == {"rows": 2, "added": 0, "changed": 0, "ended": 0, "refused": 0}


def test_a_refused_row_turns_the_check_red_and_the_others_are_taken(deployment: Deployment, app: Path) -> None:
    execute(app, "update accounts set name = '' where slug = 'ash'")
    result = deployment.run("read_platform", {})
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.metadata["wrong"].value) == (False, 1)
    assert "name is missing" in str(check.metadata["first_of_them"].value)
    assert [row["id"] for row in deployment.execute("select id from organizations")] == ["elm"]


def test_a_table_that_lost_its_rows_fails_the_run_and_closes_nobody(deployment: Deployment, app: Path) -> None:
    deployment.run("read_platform", {})
    execute(app, "delete from accounts")
    assert said(deployment.run("read_platform", {}, fails=True)) == (
        "app: `organizations` returned no rows, but 2 organizations came from it. Nothing was written. If that is"
        " meant: `fly-billing read-platform --close-many`"
    )
    assert deployment.execute("select 1 from organizations where closed_at is not null") == []


def test_a_database_that_is_down_fails_the_run_and_landing_does_not_wait_for_it(
    deployment: Deployment, app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "postgresql://app:hunter2@127.0.0.1:1/app")
    text = said(deployment.run("read_platform", {}, fails=True))
    assert text.startswith("app: APP_DATABASE_URL (127.0.0.1:1/app) is not running there: start it, or check host and")
    assert "hunter2" not in text
    day = datetime(2026, 10, 2, tzinfo=UTC).date()
    assert deployment.land(day, day).success


def test_without_a_workspace_nothing_is_read_and_nothing_fails(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLY_BILLING_WORKSPACE", raising=False)
    (skipped,) = tick()
    assert isinstance(skipped, SkipReason)
    result = deployment.run("read_platform", {})
    assert numbers(result)["rows"] == 0
    assert result.asset_materializations_for_node("platform_records")[0].asset_key == AssetKey("platform_records")


def test_a_workspace_with_a_mistake_fails_the_run_and_not_the_tick(
    deployment: Deployment, app: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop/sources.yaml").write_text("databases: [{name: app}]\n", encoding="utf-8")
    assert len(tick()) == 1
    assert "database app: url_variable is missing" in said(deployment.run("read_platform", {}, fails=True))
