"""`make chaos-intake`: a long campaign. Exits 1 if an event is lost or stored twice."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.intake_chaos.campaign import run_campaign

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        landing = Path(folder) / "landing"
        landing.mkdir()
        report = run_campaign(landing, asked.kills, asked.seed)
    print(  # noqa: T201
        f"kills={report.kills} stops={report.stops} acknowledged={len(report.acknowledged)} retries={report.retries}"
        f" duplicates={report.duplicates} files={report.files} lost={len(report.lost)} doubled={len(report.doubled)}"
    )
    sys.exit(bool(report.lost or report.doubled))
