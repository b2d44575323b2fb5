"""`fly-billing status` finds what needs a person in Postgres and in the landing folder, until it is fixed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fly_billing.alerting.outbox import post_waiting, put
from fly_billing.alerting.rules.alerts import Alert
from fly_billing.alerting.webhook import WebhookChannel
from fly_billing.cli.main import app
from fly_billing.embedded_postgres import PostgresServer, create_database
from fly_billing.operations.facts_reader import read_facts
from fly_billing.operations.rules.attention import AttentionRow, attention_rows
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.reconciliation import record_reconciliation
from tests.support.alert_servers import Webhook
from tests.support.builders import CLOSED, LANDING_DAYS, TERMS, Platform, event, write_jsonl, write_text
from tests.support.stripe_builders import (
    JULY,
    JUNE,
    bill_june,
    charge,
    close_month,
    execute,
    invoice_in_stripe,
    reconcile,
    sync,
    sync_tools,
)

MORNING = CLOSED + timedelta(hours=8)  # 4 October 2026, 9:00: September could be closed since midnight
NOW = datetime(2023, 8, 10, tzinfo=UTC)


def rows(database: BillingDatabase, landing_dir: Path, now: datetime) -> list[AttentionRow]:
    return attention_rows(read_facts(database, landing_dir, now, TERMS.grace, 50))


def kinds(database: BillingDatabase, landing_dir: Path, now: datetime) -> list[tuple[str, str]]:
    return [(row.kind, row.about) for row in rows(database, landing_dir, now)]


@pytest.fixture
def new(platform: Platform) -> Platform:
    """acme signs up in September 2026, so no earlier month waits to be closed."""
    platform.execute("update organizations set created_at = '2026-09-01Z'")
    return platform


def test_a_month_waits_for_a_day_that_never_landed_and_for_a_file_that_came_later(new: Platform) -> None:
    new.land(*(day for day in LANDING_DAYS if day != date(2026, 9, 10)), now=CLOSED)
    write_jsonl(new.landing_dir, [event()], date(2026, 9, 20), "late")
    (held,) = rows(new.database, new.landing_dir, MORNING)
    assert (held.kind, held.about) == ("month not closed", "2026-09")
    assert held.problem.startswith("waits for 2 landing days (2026-09-10, 2026-09-20)")
    # Until two hours after the grace period, the hourly schedule has had no chance to land its last day.
    early = kinds(new.database, new.landing_dir, CLOSED)
    assert early == [("missing landing day", "2026-09")]

    new.land(date(2026, 9, 10), date(2026, 9, 20), now=MORNING)
    assert kinds(new.database, new.landing_dir, MORNING) == []


def test_a_day_is_missing_two_hours_after_its_end_and_never_before_the_first_landing(new: Platform) -> None:
    noon = datetime(2026, 9, 20, 12, tzinfo=UTC)
    assert kinds(new.database, new.landing_dir, noon) == []  # a new platform
    new.land(date(2026, 9, 16), date(2026, 9, 18), now=noon)
    (missing,) = rows(new.database, new.landing_dir, noon)
    assert (missing.kind, missing.fix) == ("missing landing day", "fly-billing land 2026-09")
    assert missing.problem == "2 landing days (2026-09-17, 2026-09-19) did not land"
    (earlier,) = rows(new.database, new.landing_dir, datetime(2026, 9, 20, 1, 59, tzinfo=UTC))
    assert earlier.problem == "1 landing day (2026-09-17) did not land"


def test_the_landing_folder_and_rejected_usage_are_shown_until_they_are_fixed(new: Platform) -> None:
    write_text(new.landing_dir, date(2026, 9, 15), "usage.jsonl", "no json\n")
    (new.landing_dir / "today").mkdir()
    new.land(*LANDING_DAYS, now=CLOSED)
    found = rows(new.database, new.landing_dir, MORNING)
    assert [(row.kind, row.about, row.fix) for row in found] == [
        ("landing problem", "today", "fly-billing land"),
        ("rejected usage", "usage.jsonl", "fly-billing rejected"),
    ]
    facts = read_facts(new.database, new.landing_dir, MORNING, TERMS.grace, 50, waits_for_rejected=True)
    (held,) = facts.held_months
    assert (held.month, held.days, held.rejected_rows) == ("2026-09", [], 1)
    (new.landing_dir / "today").rmdir()
    write_jsonl(new.landing_dir, [event()], date(2026, 9, 15))
    new.land(date(2026, 9, 15), now=MORNING)
    assert kinds(new.database, new.landing_dir, MORNING) == []


def test_a_landing_folder_that_can_not_be_read_is_a_problem_and_hides_no_other(new: Platform, tmp_path: Path) -> None:
    new.land(date(2026, 9, 16), now=datetime(2026, 9, 17, 1, tzinfo=UTC))
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    assert kinds(new.database, tmp_path / "file", datetime(2026, 9, 18, 12, tzinfo=UTC)) == [
        ("missing landing day", "2026-09"),
        ("landing problem", "landing folder"),
    ]


def test_an_organization_that_can_not_be_billed_is_shown_until_it_can(new: Platform) -> None:
    write_jsonl(new.landing_dir, [event(type="egress_gb", region="ams")])
    new.land(*LANDING_DAYS, now=CLOSED)
    new.roll_up()
    new.execute("update prices set effective_from = '2026-10-01Z' where key = 'egress'")
    assert [failure.organization_id for failure in new.bill(now=CLOSED).failures] == ["acme"]
    (failed,) = rows(new.database, new.landing_dir, MORNING)
    assert (failed.kind, failed.about, failed.fix) == ("failed invoice", "2026-09", "fly-billing bill 2026-09")
    assert failed.problem.startswith("acme (")


def test_syncs_discrepancies_and_blocked_months_are_shown_until_stripe_agrees(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, landing_dir: Path
) -> None:
    """June is $12.00. July is $120.00: ten times as much, so the spending guard blocks it."""
    bill_june(billing_database, tmp_path, acme=["12.00"])
    execute(billing_database, "update organizations set created_at = '2023-06-01Z'")
    tools = sync_tools(billing_database, sandbox.url)
    sandbox.control.add_fault("rate_limited", "invoices.create")
    sync(tools)
    june = datetime(2023, 7, 4, 12, tzinfo=UTC)
    (failed,) = rows(billing_database, landing_dir, june)
    assert (failed.kind, failed.about, failed.fix) == ("failed sync", "2023-06", "fly-billing sync 2023-06")

    sandbox.control.clear_faults()
    sync(tools)
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=1300)
    record_reconciliation(billing_database, JUNE, reconcile(tools), "run", june)
    (differs,) = rows(billing_database, landing_dir, june)
    assert (differs.kind, differs.about, differs.fix) == ("discrepancy", "2023-06", "fly-billing repair 2023-06")

    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=1200)
    record_reconciliation(billing_database, JUNE, reconcile(tools), "run", june)
    assert rows(billing_database, landing_dir, june) == []

    charge(billing_database, "acme", "120.00", month=JULY)
    close_month(billing_database, tmp_path, JULY)
    (blocked,) = [row for row in rows(billing_database, landing_dir, NOW) if row.kind == "month not synced"]
    assert blocked.fix == "fly-billing approve 2023-07 --by NAME --total 120.00"


def test_a_check_that_fails_is_shown_until_it_passes_unless_it_is_shown_as_another_kind(new: Platform) -> None:
    new.execute(
        "insert into failed_checks (asset, check_name, period, billing_group, is_warning, wrong, reason, is_reported,"
        " failed_since, run_id) values ('invoices', 'items_sum_to_the_total', '2026-09', 'acme', false, 1,"
        " 'its total is wrong', false, now(), 'run'), ('invoices', 'no_correction_waits_for_approval', '2026-09',"
        " 'acme', true, 1, 'a correction waits', true, now(), 'run'), ('stripe_reconciliation',"
        " 'stripe_still_agrees_with_our_invoices', '2026-09', '', false, 1, 'one is missing', false, now(), 'run')"
    )
    shown = [row for row in rows(new.database, new.landing_dir, MORNING) if row.kind == "failed check"]
    assert [(row.about, row.fix) for row in shown] == [("2026-09", "fly-billing bill 2026-09")]
    new.execute("delete from failed_checks")
    assert "failed check" not in [kind for kind, _ in kinds(new.database, new.landing_dir, MORNING)]


def test_alerts_that_a_channel_refuses_are_shown_until_it_accepts_them(new: Platform, webhook: Webhook) -> None:
    webhook.status = 404
    channel = WebhookChannel(webhook.url)
    with new.database.transaction() as connection:
        for subject in ("one", "two"):
            put(connection, Alert.of("test", subject, []), [channel])
    noon = datetime(2026, 9, 20, 12, tzinfo=UTC)
    assert rows(new.database, new.landing_dir, noon) == []  # they wait, and nothing refused them
    post_waiting(new.database, [channel])
    (refused,) = rows(new.database, new.landing_dir, noon)
    assert (refused.kind, refused.about) == ("alerts not sent", "webhook")
    assert "404 Not Found" in refused.problem


def test_the_command_prints_each_problem_with_its_fix_and_exits_1_until_nothing_is_left(
    new: Platform, postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new.database.engine.url.render_as_string(hide_password=False)
    create_database(postgres, "dagster_of_status")
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", postgres.url("dagster_of_status", "postgresql+psycopg2"))
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("FLY_BILLING_LANDING_DIR", str(new.landing_dir))
    new.execute("delete from organizations")
    clean = CliRunner().invoke(app, ["status"], catch_exceptions=False)
    assert (clean.exit_code, clean.output) == (0, "Nothing needs attention.\n")
    assert json.loads(CliRunner().invoke(app, ["status", "--json"]).output) == []

    (new.landing_dir / "today").mkdir()
    shown = CliRunner().invoke(app, ["status"])
    message = "not a landing day. Files land from folders named YYYY-MM-DD, such as 2026-11-05"
    assert (shown.exit_code, shown.output.splitlines()) == (
        1, ["landing problem", f"  today: {message}", "    fix: fly-billing land", "1 thing to fix."],
    )  # fmt: skip
    assert json.loads(CliRunner().invoke(app, ["status", "--json"]).output) == [
        {"kind": "landing problem", "about": "today", "problem": message, "fix": "fly-billing land"}
    ]
    # If Dagster's database can't be used, everything else is shown all the same.
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    kinds_shown = [row["kind"] for row in json.loads(CliRunner().invoke(app, ["status", "--json"]).output)]
    assert kinds_shown == ["daemon stopped", "landing problem"]
