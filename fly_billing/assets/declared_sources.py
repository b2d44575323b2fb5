"""The usage sources that a workspace declares, as assets that others own: contract, freshness, what each landing had.

Dagster does not materialize them. A landing that has newer usage of a source than before records a materialization of
it, which keeps it fresh; otherwise an observation.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetSpec,
    DagsterInstance,
    FreshnessPolicy,
    MetadataValue,
    OpExecutionContext,
    TableColumn,
    TableColumnConstraints,
    TableSchema,
    TimestampMetadataValue,
)

from fly_billing.assets.catalog import OWNERS, READ_ONLY, USAGE
from fly_billing.errors import ActionableError
from fly_billing.foreign_text import visible
from fly_billing.usage.rules.declared_sources import DeclaredSource, in_words
from fly_billing.usage.source_contracts import LandedSource
from fly_billing.workspace.files import read_declared_sources
from fly_billing.workspace.usage_sources import asset_name

PREFIX = "usage_source"
LAST_EVENT = "last_event_at"
logger = logging.getLogger(__name__)


def source_key(source: str) -> AssetKey:
    """Return the key of the asset of a source."""
    return AssetKey([PREFIX, asset_name(source)])


def source_assets(folder: Path | None) -> list[AssetSpec]:
    """Return an asset per declared source. A workspace with mistakes has none: a line says so, and landings fail."""
    try:
        return [_spec(source) for source in read_declared_sources(folder).sources]
    except (ActionableError, OSError) as problem:
        logger.warning("The usage sources of the workspace are no assets: %s", "; ".join(str(problem).splitlines()))
        return []


def _spec(source: DeclaredSource) -> AssetSpec:
    contract: dict[str, Any] = {"dagster/column_schema": _contract(source)} if source.fields else {}
    return AssetSpec(
        source_key(source.name),
        description=_description(source),
        kinds={"file"},
        group_name=USAGE,
        owners=[source.owner] if source.owner else OWNERS,
        tags=READ_ONLY,
        metadata={"source": source.name, "meters": list(source.meters), "cadence": source.cadence, **contract},
        freshness_policy=FreshnessPolicy.time_window(fail_window=source.late_after),
    )


def _description(source: DeclaredSource) -> str:
    said = f"{source.description.rstrip('.')}. " if source.description else ""
    return visible(
        f"{said}Events with the source `{source.name}`, declared in the workspace's sources.yaml. It sends"
        f" {', '.join(source.meters)} ({source.cadence}), and is late {in_words(source.late_after)} after its last"
        " event."
        f" Events that break its contract are rejected: `fly-billing rejected --source '{source.name}'` lists them."
    )


def _contract(source: DeclaredSource) -> TableSchema:
    """Return the contract of `data` as a table of its fields."""
    return TableSchema(
        columns=[
            TableColumn(
                each.name,
                each.type,
                description=each.description or (f"One of {', '.join(each.values)}" if each.values else None),
                constraints=TableColumnConstraints(nullable=not each.is_required),
            )
            for each in source.fields
        ]
    )


def record_sources(
    context: AssetExecutionContext | OpExecutionContext, landed: Mapping[str, LandedSource], now: datetime
) -> None:
    """Record what a landing had of each declared source."""
    before = last_events(context.instance, list(landed))
    for name, found in landed.items():
        # An event may be up to a day ahead of its landing day: it does not keep its source fresh for longer.
        last = None if found.last_event_at is None else min(found.last_event_at.astimezone(UTC), now)
        metadata: dict[str, Any] = {
            "files": found.files,
            "landed": found.landed,
            "accepted": found.accepted,
            "duplicate": found.duplicate,
            "rejected": found.rejected,
        }
        is_newer = last is not None and (name not in before or last > before[name])
        if last is not None and is_newer:
            metadata[LAST_EVENT] = MetadataValue.timestamp(last)
        record = AssetMaterialization if is_newer else AssetObservation
        context.log_event(record(source_key(name), metadata=metadata))


def last_events(instance: DagsterInstance, sources: Sequence[str]) -> dict[str, datetime]:
    """Return the time of the last event of each source that landings recorded."""
    found = {}
    for source in sources:
        event = instance.get_latest_materialization_event(source_key(source))
        materialization = event.asset_materialization if event else None
        value = materialization.metadata.get(LAST_EVENT) if materialization else None
        if isinstance(value, TimestampMetadataValue):
            found[source] = datetime.fromtimestamp(value.value, UTC)
    return found
