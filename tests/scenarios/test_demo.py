"""`fly-billing demo`, twice, in a new data folder and a separate process, as a newcomer runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("fly-billing")


def run(data_dir: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FLY_BILLING_DATA_DIR": str(data_dir), "COLUMNS": "132"}
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        encoding="utf-8",
    )


def read_line(output: str) -> dict[str, int]:
    last = output.strip().splitlines()[-1]
    assert last.startswith("demo: ")
    return {name: int(value) for name, _, value in (part.partition("=") for part in last[6:].split())}


def processes_of(data_dir: Path) -> list[str]:
    shown = subprocess.run(
        ["ps", "-ww", "-eo", "stat=,command="], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return [line for line in shown.stdout.splitlines() if str(data_dir) in line and not line.startswith("Z")]


def test_the_demo_ends_with_both_sides_equal_and_a_second_run_bills_nothing_twice(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"

    first = run(data_dir, "demo")
    assert first.returncode == 0, first.stdout[-3000:] + first.stderr[-3000:]
    line = read_line(first.stdout)
    assert line["organizations"] == 41
    assert line["discrepancies"] == 0
    assert line["invoices"] == line["stripe_invoices"] > 100
    assert line["total_cents"] == line["stripe_total_cents"] > 0

    second = run(data_dir, "demo")
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    assert read_line(second.stdout) == line

    statement = run(data_dir, "statement", "fly", "2023-06")
    assert "VM Network usage" in statement.stdout
    assert "$23.45" in statement.stdout
    assert "Fly owes $35.45 on 1 unpaid invoice." in statement.stdout

    assert processes_of(data_dir) == []
    assert run(data_dir, "clean").returncode == 0
    assert not data_dir.exists()
