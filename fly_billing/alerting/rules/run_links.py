"""Links to Dagster's page of a run, for alerts. Pure: the address of Dagster's pages is passed in."""

from __future__ import annotations

import re
from collections.abc import Iterable

MOST_LINKED = 3
# Runs outside of Dagster have other ids, such as `manual`.
RUN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def run_links(run_ids: Iterable[str | None], dagster_url: str | None) -> list[str]:
    """Return the line of an alert that leads to its runs, as a list of one or no lines.

    Args:
        run_ids: The runs, the most important first. The line has the first three; ids of no Dagster run are left out.
        dagster_url: The address of Dagster's pages; None if it is not set, then the line has the ids only.
    """
    runs = list(dict.fromkeys(run for run in run_ids if run and RUN_ID.fullmatch(run)))[:MOST_LINKED]
    if not runs:
        return []
    name = "Run" if len(runs) == 1 else "Runs"
    if dagster_url is None:
        return [f"{name} in Dagster: {', '.join(runs)}"]
    return [f"{name}: {' '.join(f'{dagster_url}/runs/{run}' for run in runs)}"]
