"""Shows a check as failed until it passes for every month that it failed for, whatever month a run covers.

Dagster keeps one state per check. It has partitioned checks, but a run over a range of partitions records no partition
for them. So each run keeps in `failed_checks` what fails for its own partitions, and evaluates each check over all rows
of that table. Not here: the rules (`checks.rules.failures`), and what the checks look at.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckKey,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetExecutionContext,
    MetadataValue,
)

# Dagster has no public name for what an evaluation is about, and a result without a run needs it.
from dagster._core.definitions.asset_checks.asset_check_evaluation import (  # noqa: TID251
    AssetCheckEvaluationTargetMaterializationData,
)

from fly_billing.assets.run_report import REPORTED_BY_SENSOR, Link, PartitionOutcomes, described_failures, table
from fly_billing.checks.failed_checks import checks_locked, read_failures, replace_failures
from fly_billing.checks.rules.failures import FailedCheck, Place, checked_again_by, named_places, sentence
from fly_billing.postgres.database import BillingDatabase

Rows = Sequence[Mapping[str, Any]]

# In a check's metadata: the wrong rows of this run's own partitions, and those of them that are no warnings.
WRONG_IN_THIS_RUN, ERRORS_IN_THIS_RUN = "wrong_in_this_run", "errors_in_this_run"
# In a check's metadata: the other months that fail without being a warning.
OTHER_MONTHS = "other_months_that_fail"
MOST_LISTED = 50


@dataclass(frozen=True)
class PartitionCheck:
    """The wrong rows that a run found with one check.

    Attributes:
        wrong: The wrong rows of each place.
        warnings: The places whose rows are warnings. Those of the others are errors.
        is_reported: Another alert reports these failures.
        facts: More metadata.
    """

    name: str
    wrong: Mapping[Place, Rows]
    warnings: Collection[Place] = ()
    is_reported: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


def month_places(keys: Collection[str]) -> list[Place]:
    """Return the places of Dagster's partition keys: `2026-10-01|acme` or, for an asset by month, `2026-10-01`."""
    return [Place(key[: len("2026-10")], key.partition("|")[2]) for key in keys]


def partition_checks(
    context: AssetExecutionContext,
    database: BillingDatabase,
    checked: Collection[Place],
    checks: Sequence[PartitionCheck],
    outcomes: PartitionOutcomes,
    now: datetime,
) -> Iterator[AssetCheckResult]:
    """Record what fails, then yield each check: it passes if it fails for no place, of this run or of others.

    Nothing is recorded before the first result is requested. Runs of the same asset take turns from there on, so that
    none shows what another has fixed meanwhile.

    Args:
        checked: The places that this run checked.
        checks: All checks of the asset that are kept by partition.
        outcomes: A partition that failed is reported as failed, and not a second time because a check failed.
    """
    asset = context.asset_key.to_user_string()
    failed_keys = {*month_places(outcomes.failures), *(Place(key) for key in outcomes.failures)}
    found = {check.name: _found(asset, check, failed_keys, context.run.run_id, now) for check in checks}
    with checks_locked(database, asset):
        with database.transaction() as connection:
            everything = [failure for failures in found.values() for failure in failures]
            replace_failures(connection, asset, list(found), checked, everything, now)
            failing = read_failures(connection, asset)
        for check in checks:
            of_check = [failure for failure in failing if failure.check_name == check.name]
            result = _result(context, check, of_check, found[check.name])
            yield result
            _show_as_latest(context, result)


def _found(
    asset: str, check: PartitionCheck, failed: Collection[Place], run_id: str, now: datetime
) -> list[FailedCheck]:
    return [
        FailedCheck(
            id=0,
            asset=asset,
            check_name=check.name,
            period=place.period,
            billing_group=place.billing_group,
            is_warning=place in check.warnings,
            wrong=len(rows),
            reason=described_failures(rows),
            is_reported=check.is_reported or place in failed,
            failed_since=now,
            run_id=run_id,
        )
        for place, rows in check.wrong.items()
    ]


def _result(
    context: AssetExecutionContext,
    check: PartitionCheck,
    failing: Sequence[FailedCheck],
    own: Sequence[FailedCheck],
) -> AssetCheckResult:
    asset = context.asset_key.to_user_string()
    own_places = {failure.place for failure in own}
    others = [failure for failure in failing if failure.place not in own_places]
    own_rows = list({id(row): row for rows in check.wrong.values() for row in rows}.values())
    elsewhere = named_places(failure.place for failure in others if not failure.is_warning)
    errors = any(not failure.is_warning for failure in failing)
    return AssetCheckResult(
        asset_key=context.asset_key,
        check_name=check.name,
        passed=not failing,
        severity=AssetCheckSeverity.WARN if failing and not errors else AssetCheckSeverity.ERROR,
        description=sentence(failing),
        metadata={
            "wrong": sum(failure.wrong for failure in others) + len(own_rows),
            "failing_partitions": len(failing),
            "failing": _failing_table(asset, failing),
            WRONG_IN_THIS_RUN: len(own_rows),
            ERRORS_IN_THIS_RUN: sum(failure.wrong for failure in own if not failure.is_warning),
            "first_of_them": table(own_rows, most=10),
            **({OTHER_MONTHS: elsewhere} if elsewhere else {}),
            **check.facts,
            REPORTED_BY_SENSOR: True,
        },
    )


def _failing_table(asset: str, failing: Sequence[FailedCheck]) -> MetadataValue:
    """Return what fails now: whose, why, since when, the command that checks it again, and the run that found it."""
    rows = [
        {
            "month or day": Link(failure.period, f"/assets/{asset}?view=partitions&partition={_key(failure.place)}"),
            "organization": failure.billing_group or "all",
            "wrong": failure.wrong,
            "reason": failure.reason,
            "since": f"{failure.failed_since:%Y-%m-%d %H:%M}",
            "checks it again": checked_again_by(asset, failure.period),
            "found by": Link(f"run {failure.run_id[:8]}", f"/runs/{failure.run_id}"),
        }
        for failure in failing
    ]
    return table(rows, MOST_LISTED)


def _key(place: Place) -> str:
    """Return Dagster's partition key."""
    day = f"{place.period}-01" if len(place.period) == len("2026-10") else place.period
    return "|".join(filter(None, [day, place.billing_group]))


def _show_as_latest(context: AssetExecutionContext, result: AssetCheckResult) -> None:
    """Make the check's page show this result, and not that of a run that started later and ended earlier.

    The page shows the run that was planned last. Where that is another run, this result is recorded once more.
    """
    assert result.asset_key is not None and result.check_name is not None
    key = AssetCheckKey(result.asset_key, result.check_name)
    latest = context.instance.get_latest_asset_check_evaluation_record(key)
    if latest is None or latest.run_id == context.run.run_id:
        return
    context.instance.report_runless_asset_event(
        AssetCheckEvaluation(
            asset_key=result.asset_key,
            check_name=result.check_name,
            passed=result.passed,
            metadata=result.metadata,
            severity=result.severity,
            description=result.description,
            target_materialization_data=_latest_materialization(context),
        )
    )


def _latest_materialization(context: AssetExecutionContext) -> AssetCheckEvaluationTargetMaterializationData | None:
    """Return what the check's page must find in an evaluation to count it as one of the asset as it is now."""
    for record in context.instance.fetch_materializations(context.asset_key, limit=1).records:
        return AssetCheckEvaluationTargetMaterializationData(
            storage_id=record.storage_id, run_id=record.run_id, timestamp=record.timestamp
        )
    return None
