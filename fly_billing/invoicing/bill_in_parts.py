"""Bills a large month on several cores: each process bills a part of the payers, in a transaction of its own.

The parts share nothing but the database. A part that fails leaves the others' invoices as they are, and the next run
bills the rest. Not here: billing a part (`bill_run`), and processes (`processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from fly_billing.invoicing.bill_run import Billed, PartOfPayers, bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.processes import call_in_processes

# A process takes most of a CPU second to start: as much as the invoices of several hundred organizations.
ORGANIZATIONS_PER_PROCESS = 2000


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
        ProcessLost: A process was killed. Its part is not billed; the next run bills it.
    """
    calculates_all = from_scratch or month.is_closed(now, terms.grace)
    parts = min(processes, _organizations(database, groups) // ORGANIZATIONS_PER_PROCESS) if calculates_all else 1
    arguments: dict[str, Any] = {
        "database": database, "month": month, "groups": groups, "terms": terms, "now": now, "run_id": run_id,
        "unlanded_days": unlanded_days, "from_scratch": from_scratch,
    }  # fmt: skip
    if parts <= 1:
        return bill(**arguments)
    return _joined(
        call_in_processes(bill, [arguments | {"part": PartOfPayers(number, parts)} for number in range(parts)])
    )


def _organizations(database: BillingDatabase, groups: Sequence[str]) -> int:
    (number,) = database.values("count_organizations_of_groups", groups=list(groups))
    return int(number)


def _joined(parts: Sequence[Billed]) -> Billed:
    return Billed(
        sorted((invoice for part in parts for invoice in part.invoices), key=lambda invoice: invoice.organization_id),
        any(part.finalized for part in parts),
        sorted(name for part in parts for name in part.already_final),
        [failure for part in parts for failure in part.failures],
    )
