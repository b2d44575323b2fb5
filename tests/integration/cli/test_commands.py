"""The `fly-billing` command in a separate process, as people and scripts call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.stripe_sandbox import SandboxControl

COMMAND = Path(sys.executable).with_name("fly-billing")


def run(data_dir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    names = {**os.environ, "FLY_BILLING_DATA_DIR": str(data_dir), "COLUMNS": "132", **environment}
    return subprocess.run(
        [COMMAND, *arguments], env=names, capture_output=True, text=True, timeout=600, check=False, encoding="utf-8"
    )


def test_a_named_database_replaces_the_embedded_one(postgres: PostgresServer, tmp_path: Path) -> None:
    for name in ("named_billing", "named_dagster"):
        create_database(postgres, name)
    named = {
        "DATABASE_URL": postgres.url("named_billing", "postgresql"),
        "DAGSTER_DATABASE_URL": postgres.url("named_dagster", "postgresql+psycopg2"),
    }
    try:
        assert run(tmp_path / "data", "migrate", **named).returncode == 0
        assert run(tmp_path / "data", "migrate", **named).returncode == 0
        found = run(tmp_path / "data", "statement", "nobody", **named)
        assert found.returncode == 2
        assert "no organization 'nobody'" in found.stderr
        assert not (tmp_path / "data" / "postgres").exists()
    finally:
        for name in ("named_billing", "named_dagster"):
            drop_database(postgres, name)


def test_seeding_alone_makes_flys_paid_and_open_invoices_and_their_statement(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    seeded = run(data_dir, "seed", "--today", "2026-11-23", "--organizations", "2", "--months", "1")
    assert seeded.returncode == 0, seeded.stderr
    shown = run(data_dir, "statement", "fly", "--json")

    statement = json.loads(shown.stdout)
    assert [(invoice["month"], invoice["status"], invoice["total_cents"]) for invoice in statement["invoices"]] == [
        ("2023-06", "open", 3545),
        ("2023-05", "paid", 3310),
    ]
    items = {item["description"]: item["amount_cents"] for item in statement["invoices"][0]["items"]}
    assert items == {"VM usage": 1200, "VM Network usage": 2345}
    assert run(data_dir, "clean").returncode == 0


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"STRIPE_API_KEY": "sk_live_1"}, "STRIPE_API_KEY is a live key, but FLY_BILLING_ENV is not 'production'"),
        ({"STRIPE_API_KEY": "sk_test_1", "FLY_BILLING_ENV": "production"}, "STRIPE_API_KEY is not a live key"),
        ({"FLY_BILLING_GRACE_HOURS": "three"}, "FLY_BILLING_GRACE_HOURS='three' must be a whole number"),
    ],
)
def test_an_invalid_setting_is_refused_in_one_line(environment: dict[str, str], message: str, tmp_path: Path) -> None:
    result = run(tmp_path / "data", "demo", **environment)

    assert result.returncode == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_an_invalid_month_is_named_in_the_error(tmp_path: Path) -> None:
    result = run(tmp_path / "data", "bill", "2026-13")

    assert result.returncode == 2
    assert "no such month: 2026-13" in result.stderr


def test_the_sandbox_command_runs_alone_and_stops_cleanly(tmp_path: Path) -> None:
    command = [COMMAND, "stripe-sandbox", "--port", "0", "--store", str(tmp_path / "stripe.sqlite")]
    with subprocess.Popen(
        [str(part) for part in command], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        message = process.stdout.readline()
        url = next(word for word in message.split() if word.startswith("http://127.0.0.1:"))
        assert SandboxControl(url).invoices() == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(600) == 0
