"""Deletes old light runs from Dagster, which keeps runs forever: there may be 288 a day, of 26 kB each.

What an old run recorded is superseded: hourly and nightly runs record the same assets. Not here: runs of other jobs.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter

KEPT_FOR = timedelta(days=30)
ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
# More than start between two runs, so that old runs never pile up; few enough for a light run.
MOST_AT_ONCE = 20


def delete_old_runs(instance: DagsterInstance, job: str, now: datetime, sources: Collection[AssetKey]) -> int:
    """Delete the oldest ended runs of the job that are more than 30 days old. Returns their number.

    Args:
        sources: The declared sources. The run that has the last event of one is kept: its lateness counts from there.
    """
    latest = (instance.get_latest_materialization_event(key) for key in sources)
    kept = {event.run_id for event in latest if event}
    old = RunsFilter(job_name=job, statuses=ENDED, created_before=now - KEPT_FOR)
    records = instance.get_run_records(old, limit=MOST_AT_ONCE + len(kept), ascending=True)
    found = [record.dagster_run.run_id for record in records if record.dagster_run.run_id not in kept]
    for run_id in found[:MOST_AT_ONCE]:
        instance.delete_run(run_id)
    return len(found[:MOST_AT_ONCE])
