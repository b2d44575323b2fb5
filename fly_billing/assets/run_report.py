"""Reports a run in which some organizations failed and others succeeded.

Yielding a result would mark every partition of the run as materialized, including the failed ones. So if there are
failures, this module logs each good partition separately, reports the checks, and fails the run.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
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

from fly_billing.foreign_text import visible

# Set in the metadata of a Failure whose organizations and reasons are recorded in Postgres: the sensors that read them
# there send the alerts, so `alert_on_failed_run` does not.
REPORTED_BY_SENSOR = "failures_are_recorded"
MOST_DESCRIBED = 3


def report(
    context: AssetExecutionContext,
    metadata: Mapping[str, Any],
    checks: Sequence[AssetCheckResult],
    failed_keys: set[str],
    failures: Sequence[Mapping[str, Any]] = (),
    *,
    are_recorded: bool = True,
) -> Iterator[MaterializeResult[None] | AssetCheckResult]:
    """Report the run.

    Args:
        failures: A row per failure, with its fix.
        are_recorded: Each failure has a row in Postgres, from which a sensor alerts.

    Raises:
        Failure: Some partitions failed.
    """
    if not failed_keys and not failures:
        yield MaterializeResult(metadata=metadata, check_results=checks)
        return
    for key in context.partition_keys:
        if str(key) not in failed_keys:
            context.log_event(AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
    yield from checks
    others = "; the others are done" if len(failed_keys) < len(context.partition_keys) else ""
    raise Failure(
        described_failures(failures) + others,
        metadata={**metadata, "failures": table(failures), **({REPORTED_BY_SENSOR: True} if are_recorded else {})},
        allow_retries=False,
    )


def runs_also(context: AssetExecutionContext, asset: str) -> bool:
    """Return True if the run also materializes this asset, which then fails the partitions."""
    steps = context.run.step_keys_to_execute
    return asset in steps if steps is not None else context.job_def.has_node_named(asset)


def described_failures(failures: Sequence[Mapping[str, Any]]) -> str:
    """Describe the first three failures with their fixes, and count the rest."""
    named = "; ".join(visible(_described_failure(row)) for row in failures[:MOST_DESCRIBED])
    if len(failures) == 1:
        return named
    more = f"; and {len(failures) - MOST_DESCRIBED} more" if len(failures) > MOST_DESCRIBED else ""
    return f"{len(failures)} failed: {named}{more}"


def _described_failure(row: Mapping[str, Any]) -> str:
    what = row.get("what to do")
    if not what:
        return ", ".join(f"{name} {value}" for name, value in row.items())
    whose = " ".join(str(row[name]) for name in ("month", "organization") if row.get(name))
    code = f" ({row['code']})" if row.get("code") else ""
    return f"{what}{code}" if str(what).startswith(whose) else f"{whose}: {what}{code}"


def table(rows: Sequence[Mapping[str, Any]], most: int = 50) -> MetadataValue:
    """Return the first `most` rows as a table for the UI, with a count of the rest."""
    if not rows:
        return MetadataValue.md("none")
    shown = [{markdown(str(name)): _cell(value) for name, value in row.items()} for row in rows[:most]]
    text = pd.DataFrame(shown, dtype=object).to_markdown(index=False, disable_numparse=True)
    more = f"\n\n…and {len(rows) - most} more" if len(rows) > most else ""
    return MetadataValue.md(text + more)


def _cell(value: object) -> object:
    return value if value is None or isinstance(value, int | float | Decimal | date) else markdown(str(value))


# Characters that Markdown and its extensions interpret: emphasis, code, links, images, tables, HTML, entities, math.
_SYNTAX = re.compile(r"[\\`*\[\]<>|~&$!#(){}]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])|^[-+=]|:(?=//)|(?<=www)\.|@")


def markdown(text: str) -> str:
    """Return the text so that Markdown shows it as it is, in one line: no link, image, HTML or further table cell."""
    return _SYNTAX.sub(r"\\\g<0>", visible(text))


def check(
    asset: str,
    name: str,
    wrong: Sequence[Mapping[str, Any]],
    severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
    **facts: Any,
) -> AssetCheckResult:
    """Return a check that passes if `wrong` is empty; otherwise its metadata shows the first wrong rows."""
    return AssetCheckResult(
        asset_key=AssetKey(asset),
        check_name=name,
        passed=not wrong,
        severity=severity,
        metadata={**facts, "wrong": len(wrong), "first_of_them": table(wrong, most=10)},
    )
