"""`make chaos-landing`: lands many events in several processes and kills them. Exits 1 if a row is lost or doubled."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from fly_billing.embedded_postgres import throwaway
from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.migrate import migrate
from fly_billing.usage.usage_table import UsageTable
from tests.bench.sample_of_size import add_records, make_sample
from tests.landing_chaos.campaign import LandingOrder, run_campaign
from tests.landing_chaos.many_files import in_many_files

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--organizations", type=int, default=1000)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(".data/bench"), help="the folder of generated usage")
    asked = parser.parse_args()
    sample = in_many_files(make_sample(asked.cache, asked.organizations, asked.events))
    with throwaway(databases=("billing",)) as server, tempfile.TemporaryDirectory(dir=asked.cache) as folder:
        database = BillingDatabase(server.url("billing"))
        migrate(database)
        add_records(database, asked.organizations)
        table = UsageTable(Path(folder) / "usage_table")
        order = LandingOrder(sample, server.url("billing"), table, asked.processes)
        report = run_campaign(order, asked.kills, asked.seed, Path(folder), lambda line: print(line, flush=True))  # noqa: T201
    print(  # noqa: T201
        f"events={report.events} starts={report.starts} killed={report.killed} seconds={report.seconds:.0f}"
        f" peaks={dict(report.peaks)} differences={len(report.differences)}",
        *report.differences[:10],
        sep="\n",
    )
    sys.exit(bool(report.differences))
