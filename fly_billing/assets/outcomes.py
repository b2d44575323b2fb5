"""How a run reports organizations that failed while others went well.

Yielding a result would mark every partition of the run as materialized, also those that failed. So where there are
failures, each good partition is logged by itself, the checks are reported, and the run fails visibly.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    Failure,
    MaterializeResult,
    MetadataValue,
)

# Set in the metadata of a Failure whose organizations stand in Postgres with their reasons: the sensors that read them
# there tell people, and `alert_on_failed_run` keeps quiet.
TOLD_ELSEWHERE = "failures_are_recorded"


def report(
    context: AssetExecutionContext,
    metadata: Mapping[str, Any],
    checks: Sequence[AssetCheckResult],
    failed_keys: set[str],
    failures: Sequence[Mapping[str, Any]] = (),
    *,
    are_recorded: bool = True,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Report the run. Raises Failure where partitions failed; `failures` has a row for each, with what to do.

    `are_recorded`: each of them stands in Postgres, from where a sensor tells people.
    """
    if not failed_keys and not failures:
        yield MaterializeResult(metadata=metadata, check_results=checks)
        return
    for key in context.partition_keys:
        if str(key) not in failed_keys:
            context.log_event(AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
    yield from checks
    raise Failure(
        f"{len(failures)} of this run failed, the others are done; first {dict(failures[0])}",
        metadata={**metadata, "failures": table(failures), **({TOLD_ELSEWHERE: True} if are_recorded else {})},
        allow_retries=False,
    )


def table(rows: Sequence[Mapping[str, Any]], most: int = 50) -> MetadataValue:
    """Return rows as a table that the UI shows; at most `most` of them, and how many more there are."""
    if not rows:
        return MetadataValue.md("none")
    text = pd.DataFrame([dict(row) for row in rows[:most]], dtype=object).to_markdown(
        index=False, disable_numparse=True
    )
    more = f"\n\n…and {len(rows) - most} more" if len(rows) > most else ""
    return MetadataValue.md(text + more)


def check(
    asset: str,
    name: str,
    wrong: Sequence[Mapping[str, Any]],
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
    **facts: Any,
) -> AssetCheckResult:
    """Return a check that passes when nothing is wrong; otherwise its metadata shows the first of what is."""
    return AssetCheckResult(
        asset_key=AssetKey(asset),
        check_name=name,
        passed=not wrong,
        severity=severity,
        metadata={**facts, "wrong": len(wrong), "first_of_them": table(wrong, most=10)},
    )
