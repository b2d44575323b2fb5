"""Reports a run in which some organizations failed and others succeeded.

Yielding a result would mark every partition of the run as materialized, including the failed ones. So if there are
failures, this module logs each good partition separately, reports the checks, and fails the run. Each failed partition
gets an observation with its cause, because Dagster's page of a failed partition shows none.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import quote

import pandas as pd
from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    Failure,
    MaterializeResult,
    MetadataValue,
)

from fly_billing.assets.failure_causes import cause_of
from fly_billing.foreign_text import visible
from fly_billing.money import counted
from fly_billing.partitions import keys_of_run

# Set in the metadata of a Failure whose organizations and reasons are recorded in Postgres: the sensors that read them
# there send the alerts, so `alert_on_failed_run` does not.
REPORTED_BY_SENSOR = "failures_are_recorded"
MOST_DESCRIBED = 3

Results = Iterator[MaterializeResult[None] | AssetCheckResult]
Body = TypeVar("Body", bound=Callable[..., Results])


class PartitionsFailed(Failure):
    """Some partitions failed. Each of them has an observation with its cause."""


@dataclass
class PartitionOutcomes:
    """The outcome of a run, by partition key.

    Attributes:
        requested: The partitions that the run must cover.
        done: The partitions that it covered, each with the metadata that Dagster shows with it.
        failures: The partitions that failed, each with a row per failure and its fix.
    """

    requested: Sequence[str]
    done: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)

    def fail(self, key: str, row: Mapping[str, Any]) -> None:
        self.failures.setdefault(key, []).append(row)

    def explained(self, key: str, run_id: str) -> Mapping[str, Any]:
        """Return the metadata of a failed partition: its numbers, its cause in one sentence, and the run."""
        return {**self.done.get(key, {}), **_explanation(described_failures(self.failures[key]), run_id)}

    def differences(self) -> list[Mapping[str, Any]]:
        """Return a row for the partitions that were requested and not covered, and one for the reverse."""
        covered = {*self.done, *self.failures}
        missing = [key for key in self.requested if key not in covered]
        extra = sorted(covered - set(self.requested))
        rows: list[Mapping[str, Any]] = []
        if missing:
            rows.append({"what to do": f"the run did not cover {_listed(missing)}. Launch these partitions again"})
        if extra:
            rows.append({"what to do": f"the run covered {_listed(extra)}, which it was not asked for: a bug"})
        return rows


def report(
    context: AssetExecutionContext,
    outcomes: PartitionOutcomes,
    checks: Iterable[AssetCheckResult],
    *,
    are_recorded: bool = True,
) -> Results:
    """Report the run: the partitions that are done, then the checks, and the failures.

    Args:
        checks: They are evaluated after the partitions are materialized, one by one.
        are_recorded: Each failure has a row in Postgres, from which a sensor alerts.

    Raises:
        PartitionsFailed: Some partitions failed, or the partitions that the run covered are not the requested ones.
    """
    different = outcomes.differences()
    done = {key: metadata for key, metadata in outcomes.done.items() if key not in outcomes.failures}
    if not outcomes.failures and not different:
        for key, metadata in done.items():
            context.add_asset_metadata(metadata, partition_key=key)
        yield MaterializeResult()
        yield from checks
        return
    for key in outcomes.requested:
        if key in done:
            context.log_event(AssetMaterialization(context.asset_key, partition=key, metadata=done[key]))
        elif key in outcomes.failures:
            explained = outcomes.explained(key, context.run.run_id)
            context.log_event(AssetObservation(context.asset_key, partition=key, metadata=explained))
    yield from checks
    # A month that can't be closed fails all its partitions in the same words.
    rows = [*different, *_distinct(row for key in outcomes.failures for row in outcomes.failures[key])]
    others = "; the others are done" if done else ""
    reported = {REPORTED_BY_SENSOR: True} if are_recorded and not different else {}
    raise PartitionsFailed(
        described_failures(rows) + others, metadata={"failures": table(rows), **reported}, allow_retries=False
    )


def explains_failures(body: Body) -> Body:
    """Wrap the body of an asset, so that an error that ends it is shown as a sentence, in the run and its partitions.

    Each partition of the run gets an observation with the cause. An error that says what to do becomes a Failure, whose
    text Dagster shows before any stack trace.
    """

    @wraps(body)
    def explained(context: AssetExecutionContext, **resources: Any) -> Results:
        try:
            yield from body(context, **resources)
        except PartitionsFailed:
            raise
        except Exception as problem:
            cause = cause_of(problem)
            text = problem.description or cause.text if isinstance(problem, Failure) else cause.text
            metadata = _explanation(text, context.run.run_id)
            for key in keys_of_run(context):
                context.log_event(AssetObservation(context.asset_key, partition=key, metadata=metadata))
            if isinstance(problem, Failure) or not cause.is_actionable:
                raise
            raise Failure(text, allow_retries=False) from problem

    return cast(Body, explained)


def _explanation(cause: str, run_id: str) -> dict[str, Any]:
    return {"cause": cause, "run": MetadataValue.dagster_run(run_id)}


def _listed(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - MOST_DESCRIBED} more" if len(keys) > MOST_DESCRIBED else ""
    return f"{counted(len(keys), 'partition')}: {', '.join(keys[:MOST_DESCRIBED])}{more}"


def _distinct(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        identity = tuple(map(str, row.values()))
        if identity not in seen:
            seen.add(identity)
            found.append(row)
    return found


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
    what = ": ".join(str(row[name]) for name in ("what", "what to do") if row.get(name))
    if not what:
        return ", ".join(f"{name} {value}" for name, value in row.items())
    whose = " ".join(str(row[name]) for name in ("landing_day", "month", "organization") if row.get(name))
    code = f" ({row['code']})" if row.get("code") else ""
    return f"{what}{code}" if what.startswith(whose) else f"{whose}: {what}{code}"


def table(rows: Sequence[Mapping[str, Any]], most: int = 50) -> MetadataValue:
    """Return the first `most` rows as a table for the UI, with a count of the rest."""
    if not rows:
        return MetadataValue.md("none")
    shown = [{markdown(str(name)): _cell(value) for name, value in row.items()} for row in rows[:most]]
    text = pd.DataFrame(shown, dtype=object).to_markdown(index=False, disable_numparse=True)
    more = f"\n\n…and {len(rows) - most} more" if len(rows) > most else ""
    return MetadataValue.md(text + more)


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to a page of Dagster.

    Attributes:
        path: The page's address below Dagster's own, such as `/runs/6f1c`.
    """

    text: str
    path: str


def _cell(value: object) -> object:
    if isinstance(value, Link):
        return f"[{markdown(value.text)}]({quote(value.path, safe='/?=&')})"
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
