"""Launches runs as Dagster's pages do: through the webserver's GraphQL schema, with the variables that the pages send.

Runs execute in this process, and `backfills` does what the daemon does. For tests of what a click leads to.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dagster import DagsterInstance, DagsterRun

# Dagster has no public way to serve a code location in this process.
from dagster._core.remote_origin import InProcessCodeLocationOrigin  # noqa: TID251
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin  # noqa: TID251
from dagster._core.workspace.context import WorkspaceProcessContext  # noqa: TID251
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget  # noqa: TID251
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.schema import create_schema

from tests.support.deployment import Deployment

# Runs in the process that launches them. Two modules, because Dagster loads both by name.
IN_MEMORY = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
}
LOCATION = "test"
REPOSITORY = "__repository__"
SCHEMA = create_schema()

LAUNCH_BACKFILL = """
mutation LaunchPartitionBackfill($backfillParams: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $backfillParams) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
    ... on InvalidSubsetError { message }
    ... on PartitionKeysNotFoundError { message }
  }
}
"""
LAUNCH_RUN = """
mutation LaunchPipelineExecution($executionParams: ExecutionParams!) {
  launchPipelineExecution(executionParams: $executionParams) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
REEXECUTE = """
mutation Reexecute($reexecutionParams: ReexecutionParams!) {
  launchPipelineReexecution(reexecutionParams: $reexecutionParams) {
    __typename
    ... on LaunchRunSuccess { run { id } }
    ... on PythonError { message }
  }
}
"""
PARTITION = """
query PartitionMetadata($asset: AssetKeyInput!, $partitions: [String!]!) {
  assetOrError(assetKey: $asset) {
    __typename
    ... on Asset {
      assetMaterializations(partitions: $partitions, limit: 1) { timestamp metadataEntries { ...shown } }
      assetObservations(partitions: $partitions, limit: 1) { timestamp metadataEntries { ...shown } }
    }
  }
}
fragment shown on MetadataEntry {
  label
  ... on IntMetadataEntry { intValue }
  ... on FloatMetadataEntry { floatValue }
  ... on TextMetadataEntry { text }
  ... on PipelineRunMetadataEntry { runId }
}
"""
PARTITIONS = """
query Partitions($asset: AssetKeyInput!) {
  assetNodeOrError(assetKey: $asset) {
    ... on AssetNode { partitionKeys partitionStats { numMaterialized numPartitions } }
  }
}
"""
RUNS_OF_JOB = """
query RunsOfJob($filter: RunsFilter!) {
  runsOrError(filter: $filter) {
    ... on Runs { results { id repositoryOrigin { repositoryName repositoryLocationName } } }
  }
}
"""
CHECKS = """
query Checks($assetKey: AssetKeyInput!) {
  assetNodeOrError(assetKey: $assetKey) {
    ... on AssetNode {
      assetChecksOrError {
        ... on AssetChecks {
          checks { name executionForLatestMaterialization { status evaluation { success description } } }
        }
      }
    }
  }
}
"""
CODE_LOCATION = """
from dagster import definitions
from tests.support.deployment import Deployment
from fly_billing.definitions import build_defs
from fly_billing.resources.alerts import Alerts
from fly_billing.resources.billing_postgres import BillingPostgres
from fly_billing.resources.clock import Clock
from fly_billing.resources.stripe_account import StripeAccount
from fly_billing.resources.usage_store import UsageStore

defs = build_defs({{
    "alerts": Alerts(),
    "billing_postgres": BillingPostgres(url={database_url!r}),
    "clock": Clock(fixed_at={now!r}),
    "stripe_account": StripeAccount(api_key="sk_test_world", api_base={stripe_url!r}),
    "usage_store": UsageStore(landing_dir={landing_dir!r}, lake_dir={lake_dir!r}),
}})
"""


class Pages:
    """Dagster's pages for one deployment. Each method returns the runs that the click led to, oldest first.

    Attributes:
        launches_newest_first: Whether runs that were queued together are launched in the reverse order.
    """

    def __init__(self, process: WorkspaceProcessContext) -> None:
        self._process = process
        self._seen: set[str] = set()
        self.launches_newest_first = False

    def jobs_page(self, job: str, partitions: Sequence[str], assets: Sequence[str]) -> list[DagsterRun]:
        """Jobs -> the job -> Materialize all -> these partitions -> Launch backfill."""
        repository = {"repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": repository}
        return self._backfill({"partitionNames": list(partitions), "selector": selector, **_selected(assets)})

    def asset_page(self, assets: Sequence[str], partitions: Sequence[str]) -> list[DagsterRun]:
        """Assets -> select these -> Materialize selected -> these partitions -> Launch backfill."""
        return self._backfill({"partitionNames": list(partitions), **_selected(assets)})

    def launchpad(self, job: str, tags: Mapping[str, str]) -> list[DagsterRun]:
        """Jobs -> the job -> Launchpad -> these tags -> Launch run. "Launch as a single run" sends the same."""
        selector = {"pipelineName": job, "repositoryLocationName": LOCATION, "repositoryName": REPOSITORY}
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        params = {"selector": selector, "mode": "default", "executionMetadata": metadata, "runConfigData": "{}"}
        self._mutate(LAUNCH_RUN, {"executionParams": params}, "LaunchRunSuccess")
        return self._new_runs()

    def reexecute(self, run: DagsterRun, strategy: str = "ALL_STEPS") -> list[DagsterRun]:
        """Runs -> the run -> Re-execute all, or from failure."""
        params = {"parentRunId": run.run_id, "strategy": strategy}
        self._mutate(REEXECUTE, {"reexecutionParams": params}, "LaunchRunSuccess")
        return self._new_runs()

    def partition(self, asset: str, key: str) -> dict[str, Any]:
        """Assets -> the asset -> Partitions -> this one: the metadata of its latest event, by name.

        A number is an int or a float, as the page plots it. A link to a run is the run's id.
        """
        found = self._execute(PARTITION, {"asset": {"path": [asset]}, "partitions": [key]})["assetOrError"]
        events = [*found["assetMaterializations"], *found["assetObservations"]]
        latest = max(events, key=lambda event: float(event["timestamp"]))
        shown = {}
        for entry in latest["metadataEntries"]:
            values = [entry[name] for name in ("intValue", "floatValue", "text", "runId") if name in entry]
            shown[entry["label"]] = values[0] if values else None
        return shown

    def partitions(self, asset: str) -> tuple[list[str], int]:
        """Assets -> the asset -> Partitions: all keys, and how many are materialized (the others are missing)."""
        node = self._execute(PARTITIONS, {"asset": {"path": [asset]}})["assetNodeOrError"]
        assert node["partitionStats"]["numPartitions"] == len(node["partitionKeys"])
        return node["partitionKeys"], node["partitionStats"]["numMaterialized"]

    def runs_of_job(self, job: str, location: str) -> dict[str, str | None]:
        """Jobs -> the job of this code location -> Runs: each run's id, and the row of the timeline that has it."""
        tag = {"key": ".dagster/repository", "value": f"{REPOSITORY}@{location}"}
        found = self._execute(RUNS_OF_JOB, {"filter": {"pipelineName": job, "tags": [tag]}})
        return {
            run["id"]: (run["repositoryOrigin"] or {}).get("repositoryLocationName")
            for run in found["runsOrError"]["results"]
        }

    def check(self, asset: str, name: str) -> tuple[str, str]:
        """Assets -> the asset -> Checks -> the check: its status, such as SUCCEEDED, and its sentence."""
        node = self._execute(CHECKS, {"assetKey": {"path": [asset]}})["assetNodeOrError"]
        (check,) = [check for check in node["assetChecksOrError"]["checks"] if check["name"] == name]
        shown = check["executionForLatestMaterialization"]
        assert shown is not None, f"the page shows no evaluation of {name} for the latest materialization"
        return shown["status"], shown["evaluation"]["description"]

    def _backfill(self, params: Mapping[str, Any]) -> list[DagsterRun]:
        body = {"tags": [], "fromFailure": False, **params}
        self._mutate(LAUNCH_BACKFILL, {"backfillParams": body}, "LaunchBackfillSuccess")
        for problem in execute_backfill_iteration(self._process, logging.getLogger("tests.backfill")):
            assert problem is None, problem
        return self._new_runs()

    def _mutate(self, query: str, variables: Mapping[str, Any], success: str) -> None:
        self._seen = {run.run_id for run in self._process.instance.get_runs()}
        ((_, outcome),) = self._execute(query, variables).items()
        assert outcome["__typename"] == success, outcome

    def _execute(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        context = self._process.create_request_context()
        result = asyncio.run(SCHEMA.execute_async(query, context_value=context, variable_values=variables))
        assert not result.errors, result.errors
        data: dict[str, Any] = result.data
        return data

    def _new_runs(self) -> list[DagsterRun]:
        """Launch the queued runs, as the daemon does, and return them as they were queued, oldest first."""
        instance = self._process.instance
        new = [run for run in reversed(instance.get_runs()) if run.run_id not in self._seen]
        for run in reversed(new) if self.launches_newest_first else new:
            instance.launch_run(run.run_id, self._process.create_request_context())
        return new


def _selected(assets: Sequence[str]) -> dict[str, Any]:
    return {"assetSelection": [{"path": [name]} for name in assets]}


@contextmanager
def open_pages(deployment: Deployment, instance: DagsterInstance, folder: Path) -> Iterator[Pages]:
    """Serve the deployment's code location, as of its time now, from an instance that launches runs `IN_MEMORY`."""
    file = folder / "code_location.py"
    file.write_text(
        CODE_LOCATION.format(
            database_url=deployment.database_url,
            now=deployment.now.isoformat(),
            stripe_url=deployment.stripe_url,
            landing_dir=str(deployment.landing_dir),
            lake_dir=str(deployment.lake_dir),
        ),
        encoding="utf-8",
    )
    target = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(file), attribute="defs")
    origin = InProcessCodeLocationOrigin(target, location_name=LOCATION)
    with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as process:
        yield Pages(process)
