"""Bills a large month on several cores: each process bills a part of the billing groups, in a transaction of its own.

The parts share no lock (`group_parts`). A part that fails leaves the others' invoices as they are, and the next run
bills the rest. Not here: billing a part (`bill_run`), and processes (`processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from fly_billing.errors import ActionableError
from fly_billing.group_parts import split_groups
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.group_members import LinkedGroups
from fly_billing.invoicing.month_closing import Terms
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, records
from fly_billing.processes import call_in_processes

# A process takes 0.4 CPU s to start: as much as the invoices of 250 organizations.
ORGANIZATIONS_PER_PROCESS = 2000


@dataclass(frozen=True)
class _GroupToBill:
    """A billing group, and the number of its organizations without a final invoice of the month."""

    billing_group: str
    organizations: int


class BilledInPart(ActionableError):
    """Some of the processes that billed a month failed. The others' invoices are written."""

    def __init__(self, month: BillingMonth, written: int, cause: Exception) -> None:
        super().__init__(
            f"{month} is billed in part: {counted(written, 'invoice')} {'is' if written == 1 else 'are'} written, and"
            f" the others wait for the next run, because a process failed: {cause}. Run `fly-billing bill {month}`"
        )


def bill_in_parts(
    database: BillingDatabase,
    month: BillingMonth,
    groups: Sequence[str],
    terms: Terms,
    now: datetime,
    run_id: str,
    unlanded_days: Sequence[date] = (),
    *,
    from_scratch: bool = False,
    processes: int = 1,
) -> Billed:
    """Bill the month as `bill` does, in up to this many processes if most of its invoices have to be calculated.

    Raises:
        MonthNotClosed: As `bill`.
        BilledInPart: Some parts failed. The invoices of the others are written, and the next run bills the rest.
    """
    calculates_all = from_scratch or month.is_closed(now, terms.grace)
    arguments: dict[str, Any] = {
        "database": database, "month": month, "terms": terms, "now": now, "run_id": run_id,
        "unlanded_days": unlanded_days, "from_scratch": from_scratch,
    }  # fmt: skip
    parts = _parts(database, month, groups, processes) if calculates_all and processes > 1 else []
    if len(parts) <= 1:
        return bill(groups=groups, **arguments)
    return _joined(month, call_in_processes(bill, [arguments | {"groups": part} for part in parts]))


def _parts(database: BillingDatabase, month: BillingMonth, groups: Sequence[str], processes: int) -> list[list[str]]:
    with database.transaction() as connection:
        found = records(connection, _GroupToBill, "groups_to_bill", groups=list(groups), month=month.first_day)
        links = records(connection, LinkedGroups, "linked_groups", month=month.first_day)
    sizes = {group.billing_group: group.organizations for group in found}
    most = min(processes, sum(sizes.values()) // ORGANIZATIONS_PER_PROCESS)
    return split_groups(sizes, most, [(pair.payer, pair.member) for pair in links]) if most > 1 else []


def _joined(month: BillingMonth, outcomes: Sequence[Billed | Exception]) -> Billed:
    done = [outcome for outcome in outcomes if isinstance(outcome, Billed)]
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if errors and not done:
        raise errors[0]
    if errors:
        raise BilledInPart(month, sum(len(part.invoices) for part in done), errors[0]) from errors[0]
    return Billed(
        sorted((invoice for part in done for invoice in part.invoices), key=lambda invoice: invoice.organization_id),
        any(part.finalized for part in done),
        sorted(name for part in done for name in part.already_final),
        [failure for part in done for failure in part.failures],
    )
