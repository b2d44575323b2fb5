"""`fly-billing read-platform` shows and writes what the platform's database has, without Dagster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fly_billing.cli.main import app as command
from fly_billing.workspace.reading import WorkspaceHasMistakes
from tests.integration.workspace.conftest import Shop
from tests.integration.workspace.platforms import VARIABLE, App, make_app
from tests.support.builders import Platform


@pytest.fixture
def app(shop: Shop, platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLY_BILLING_WORKSPACE", str(shop.folder))
    monkeypatch.setenv(VARIABLE, "set by make_app")
    return make_app(shop, tmp_path / "app.sqlite3")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["read-platform", *arguments])


def test_a_dry_run_shows_the_differences_and_a_read_writes_them(app: App, platform: Platform) -> None:
    shown = run("--dry-run")
    assert shown.exit_code == 0
    assert shown.output.splitlines()[-1] == "app: 5 rows; 5 added; 0 unchanged; 0 rows refused. Nothing was written."
    assert "+ subscription cedar/18 added: organization" not in shown.output  # its key has the organization
    assert platform.query("select 1 from organizations where id = 'birch'") == []
    assert run().output.splitlines()[-1] == "app: 5 rows; 5 added; 0 unchanged; 0 rows refused."
    assert run().output == "app: 5 rows; no changes; 5 unchanged; 0 rows refused.\n"


def test_a_refused_row_and_a_loss_end_with_exit_code_1(app: App) -> None:
    run()
    app.execute("update accounts set currency = 'usd' where id = 1")
    refused = run(str(app.shop.folder))
    assert refused.exit_code == 1
    assert "refused organizations row 1 (id birch): currency 'usd' is not an ISO 4217 code" in refused.output
    app.execute("delete from accounts; delete from subscriptions; delete from charges")
    lost = run()
    assert lost.exit_code == 1
    assert "`organizations` returned no rows, but 2 organizations came from it. Nothing was written." in lost.output
    assert "needs --close-many" in run("--dry-run").output
    assert run("--close-many").exit_code == 0


def test_as_json_each_database_has_its_rows_changes_and_refusals(app: App) -> None:
    app.execute("update accounts set name = null where id = 1")
    data = json.loads(run("--json", "--dry-run").stdout)
    (database,) = data["databases"]
    assert (data["written"], data["problems"], database["rows"]["organizations"]) == (False, [], 2)
    assert (database["counts"]["added"], database["counts"]["refused"]) == (2, 1)
    assert database["refused"] == [
        {
            "query": "organizations", "row": 1, "key": "birch", "organization": "birch", "problem": "name is missing",
        }
    ]  # fmt: skip


def test_a_workspace_without_databases_says_where_to_look(app: App) -> None:
    app.shop.write("sources.yaml", "# none\n")
    read = run()
    assert (read.exit_code, read.output.partition(":")[0]) == (
        0, "sources.yaml declares no databases, so there is nothing to read",
    )  # fmt: skip


def test_mistakes_in_the_declaration_are_one_line_each_and_show_no_url(app: App) -> None:
    app.shop.write(
        "sources.yaml",
        """
databases:
  - name: app
    url_variable: postgresql://app:hunter2@host/app
    naive_times: CET
    organizations: {query: select 1, columns: {slug: ident}, values: {plan: {a: b}}}
  - {name: app, url_variable: APP, organizations: {query: "", colums: {}}}
""",
    )
    with pytest.raises(WorkspaceHasMistakes) as mistakes:
        CliRunner().invoke(command, ["read-platform"], catch_exceptions=False)
    assert [line.partition("database ")[2] for line in mistakes.value.problems] == [
        "app: url_variable must be the name of an environment variable, such as PLATFORM_DATABASE_URL: the URL itself"
        " has a password, which no file may have",
        "app: naive_times 'CET'; known are UTC",
        "app: organizations: no field 'ident'; known are id, name, currency, price_book, created_at,"
        " stripe_customer_id, legal_name, email, line1, line2, postal_code, city, state, country, tax_ids, collection,"
        " net_days, purchase_order, memo, footer",
        "app: unknown field 'colums' in organizations (did you mean columns?); known are columns, query, values",
        "app is there twice",
    ]
    planned = CliRunner().invoke(command, ["plan", str(app.shop.folder)])
    assert isinstance(planned.exception, WorkspaceHasMistakes)
