"""Rolls a large month up on several cores: each process rolls a part of the billing groups up, in its own transaction.

All parts read the same version of the usage table, and share no lock (`group_parts`). Only a part that another run
rolled up from a later version meanwhile reads the last one. A part that fails leaves the others' rollups as they are,
and the next run rolls up the rest. Not here: rolling a part up (`rollups`), and processes (`processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fly_billing.errors import ActionableError
from fly_billing.group_parts import split_groups
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.processes import call_in_processes
from fly_billing.usage.landing_ledger import open_usage_table
from fly_billing.usage.rollups import RollupReport, roll_up
from fly_billing.usage.usage_table import UsageTable

# A process takes 0.4 CPU s to start: as much as rolling up 250,000 events.
EVENTS_PER_PROCESS = 2_000_000


class RolledUpInPart(ActionableError):
    """Some of the processes that rolled a month up failed. The others' rollups are written."""

    def __init__(self, month: BillingMonth, done: int, cause: Exception) -> None:
        super().__init__(
            f"{month} is rolled up in part: the usage of {counted(done, 'organization')} is, and that of the others"
            f" waits for the next run, because a process failed: {cause}. Run `fly-billing bill {month}`"
        )


def roll_up_in_parts(
    database: BillingDatabase,
    usage_table: UsageTable,
    month: BillingMonth,
    groups: Sequence[str],
    now: datetime,
    *,
    from_scratch: bool = False,
    processes: int = 1,
) -> RollupReport:
    """Roll the month up as `roll_up` does, in up to this many processes if all organizations have to be rolled up.

    Raises:
        UsageTableMismatch: As `roll_up`.
        RolledUpInPart: Some parts failed. The rollups of the others are written, and the next run does the rest.
    """
    arguments: dict[str, Any] = {
        "database": database, "usage_table": usage_table, "month": month, "now": now, "from_scratch": from_scratch,
    }  # fmt: skip
    if processes > 1 and (from_scratch or now >= month.end):
        table = open_usage_table(database, usage_table)
        events = sum(rows.rows for (_, of_month), rows in table.partitions.items() if of_month == month.first_day)
        parts = _parts(database, month, groups, min(processes, events // EVENTS_PER_PROCESS))
        if len(parts) > 1:
            calls = [arguments | {"groups": part, "version": table.version} for part in parts]
            return _joined(month, groups, call_in_processes(roll_up, calls))
    return roll_up(groups=groups, **arguments)


@dataclass(frozen=True)
class _GroupToRollUp:
    """A billing group, and the number of its organizations."""

    billing_group: str
    organizations: int


def _parts(database: BillingDatabase, month: BillingMonth, groups: Sequence[str], most: int) -> list[list[str]]:
    if most <= 1:
        return []
    found = database.records(_GroupToRollUp, "groups_to_roll_up", groups=list(groups))
    return split_groups({group.billing_group: group.organizations for group in found}, most)


def _joined(month: BillingMonth, groups: Sequence[str], outcomes: Sequence[RollupReport | Exception]) -> RollupReport:
    done = [outcome for outcome in outcomes if isinstance(outcome, RollupReport)]
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors and not done:
        raise errors[0]
    if errors:
        written = sum(part.organizations - len(part.failures) for part in done)
        raise RolledUpInPart(month, written, errors[0]) from errors[0]
    return RollupReport(
        groups,
        min(part.usage_table_version for part in done),
        organizations=sum(part.organizations for part in done),
        events=sum(part.events for part in done),
        rollups=sum(part.rollups for part in done),
        changed=sum(part.changed for part in done),
        failures=sorted((row for part in done for row in part.failures), key=lambda row: row.organization_id),
        unchanged=sum(part.unchanged for part in done),
    )
