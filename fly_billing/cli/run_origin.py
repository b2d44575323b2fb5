"""Makes runs of commands appear in Dagster's UI as the other runs do: under their job, and on the timeline.

Dagster leaves out runs without a code location there, and a run in a command's own process has none.
"""

from __future__ import annotations

from collections.abc import Mapping

from dagster import DagsterInstance

# Dagster has no public name for a run's origin. `dagster run migrate-repository` sets it in this way.
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin  # noqa: TID251

# The code location as workspace.yaml and `fly-billing dev` name it, and the name of its only repository.
CODE_LOCATION, REPOSITORY = "fly_billing.definitions", "__repository__"
_ORIGIN = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin(CODE_LOCATION), REPOSITORY)


def origin_tags() -> Mapping[str, str]:
    """Return the tag by which a job's page finds its runs."""
    return {".dagster/repository": _ORIGIN.get_label()}


def set_origin(instance: DagsterInstance, run_id: str, job: str) -> None:
    """Record the code location of a run that has ended, for the timeline and for launching it again from the UI."""
    run = instance.get_run_by_id(run_id)
    if run is not None:
        instance.run_storage.replace_job_origin(run, _ORIGIN.get_job_origin(job))
