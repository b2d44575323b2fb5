"""`make fuzz-api`: a long campaign against `fly-billing api`. Exits 1 if a response has data of anybody else,
or if anything was set for anybody else."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from fly_billing.testing import throwaway_database, throwaway_server
from tests.api_fuzz.campaign import run_campaign
from tests.api_fuzz.targets import prepare
from tests.support.api import serving_command
from tests.support.builders import Platform

# Changes of thresholds by a token that may not make them.
FOREIGN_CHANGES = """
select c.changed_by, t.organization_id
from spend_threshold_changes as c
join spend_thresholds as t on t.id = c.threshold_id
where c.changed_by like 'token %' and not exists (
    select from api_tokens as k
    where c.changed_by = 'token ' || k.id || ' (' || k.name || ')'
        and c.changed_at < least(k.expires_at, k.revoked_at)
        and (k.role = 'issuer' or (k.organization_id = t.organization_id and 'alerts:write' = any(k.scopes)))
)
"""
# Addresses for alerts that another token than an issuer's set.
ADDRESSES_OF_OTHERS = """
select a.organization_id, a.set_by from alert_addresses as a
where not exists (
    select from api_tokens as k where a.set_by = 'token ' || k.id || ' (' || k.name || ')' and k.role = 'issuer'
)
"""


def main() -> bool:
    read = argparse.ArgumentParser(description=__doc__)
    read.add_argument("--requests", type=int, default=100_000)
    read.add_argument("--organizations", type=int, default=30)
    read.add_argument("--seed", type=int, default=1)
    asked = read.parse_args()
    with (
        throwaway_server() as server,
        throwaway_database(server) as database,
        tempfile.TemporaryDirectory() as folder,
    ):
        landing = Path(folder) / "landing"
        landing.mkdir()
        platform = Platform.with_acme(database, landing)
        targets = prepare(platform, asked.organizations, random.Random(asked.seed), datetime.now(UTC))
        with serving_command(server, database, requests_per_second=1_000_000) as api:
            began = time.perf_counter()
            report = run_campaign(api.port, targets, asked.requests, asked.seed)
            seconds = time.perf_counter() - began
        written = platform.query("select count(*) as n from spend_threshold_changes where changed_by like 'token %'")
        foreign = platform.query(FOREIGN_CHANGES)
        foreign += platform.query(ADDRESSES_OF_OTHERS)
        foreign += platform.query("select * from page_link_revocations where revoked_by <> 'fuzz'")
    by_status: Counter[int] = Counter()
    for (_, status), count in report.statuses.items():
        by_status[status] += count
    for line in (*report.leaks[:10], *report.wrong[:10]):
        print(line)  # noqa: T201
    statuses = " ".join(f"{status}={count}" for status, count in sorted(by_status.items()))
    print(  # noqa: T201
        f"requests={report.requests} seconds={seconds:.0f} {statuses}"
        f" leaks={len(report.leaks)} wrong={len(report.wrong)} changes={written[0]['n']} foreign={len(foreign)}"
    )
    return not (report.leaks or report.wrong or foreign)


if __name__ == "__main__":
    sys.exit(not main())
