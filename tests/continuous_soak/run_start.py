"""Measures what a light run costs besides its work: `python -m tests.continuous_soak.run_start`.

Runs the job in processes of its own, as Dagster's launcher does, when nothing changed: the start of Python, the
definitions, the events of a run. Growth is that of Dagster's database.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import psycopg

from fly_billing.dagster_storage import INSTANCE_FILE
from fly_billing.embedded_postgres import throwaway
from fly_billing.embedded_postgres.roles import DAGSTER
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from tests.bench.process_cpu import server_seconds
from tests.bench.sample_of_size import add_records
from tests.bench.server import SETTINGS

# The first run creates Dagster's tables.
RUNS, WARM_UP = 10, 1


def main() -> None:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--organizations", type=int, default=1000)
    given = read.parse_args()
    with throwaway(("billing", "dagster"), SETTINGS) as server, tempfile.TemporaryDirectory() as work:
        database = BillingDatabase(server.url("billing"))
        migrate(database)
        add_records(database, given.organizations)
        (Path(work) / "landing").mkdir()
        (Path(work) / "dagster.yaml").write_text(INSTANCE_FILE.read_text(encoding="utf-8"), encoding="utf-8")
        environment = {
            **os.environ,
            "DATABASE_URL": server.url("billing"),
            "DAGSTER_DATABASE_URL": server.url("dagster", "postgresql+psycopg2", DAGSTER),
            "DAGSTER_HOME": work,
            "FLY_BILLING_DATA_DIR": work,
            "PYTHONWARNINGS": "ignore",
        }
        sizes = []
        for number in range(WARM_UP + RUNS):
            if number == WARM_UP:
                before = server_seconds(server.pid), _children(), time.perf_counter()
            _run(environment)
            sizes.append(_size(server.url("dagster", "postgresql+psycopg", DAGSTER)))
        postgres, python, wall = (
            now - then
            for now, then in zip((server_seconds(server.pid), _children(), time.perf_counter()), before, strict=True)
        )
        files = sum(file.stat().st_size for file in (Path(work) / "storage").rglob("*") if file.is_file())
    growth = (sizes[-1] - sizes[WARM_UP - 1]) / RUNS
    sys.stdout.write(
        f"per run: {wall / RUNS:.1f} s, {python / RUNS:.2f} CPU s of Python, {postgres / RUNS:.2f} of Postgres;"
        f" Dagster's database grows by {growth / 1e3:.0f} kB, its folder by {files / (WARM_UP + RUNS) / 1e3:.1f} kB\n"
    )


def _run(environment: Mapping[str, str]) -> None:
    job = ["dagster", "job", "execute", "-m", "fly_billing.definitions", "-j", "update_open_months"]
    subprocess.run(
        [sys.executable, "-m", *job], env=dict(environment), check=True, capture_output=True, encoding="utf-8"
    )


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _size(url: str) -> float:
    with psycopg.connect(url.replace("postgresql+psycopg", "postgresql")) as connection:
        row = connection.execute("select pg_database_size(current_database())").fetchone()
        assert row is not None
        return float(row[0])


if __name__ == "__main__":
    main()
