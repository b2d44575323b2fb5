"""Bills a large month on several cores: each process bills a part of the payers, in a transaction of its own.

The parts share no lock (`rules.shards`). A part that fails leaves the others' invoices as they are, and the next run
bills the rest. Not here: billing a part (`bill_run`), and processes (`processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from fly_billing.errors import ActionableError
from fly_billing.invoicing.bill_run import Billed, PartOfPayers, bill
from fly_billing.invoicing.invoice_locks import lock_month
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.rules.shards import split_shards
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, rows
from fly_billing.processes import call_in_processes

# A process takes 0.4 CPU s to start: as much as the invoices of 250 organizations.
ORGANIZATIONS_PER_PROCESS = 2000


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
    most = min(processes, _to_bill(database, month, groups) // ORGANIZATIONS_PER_PROCESS) if calculates_all else 1
    arguments: dict[str, Any] = {
        "database": database, "month": month, "groups": groups, "terms": terms, "now": now, "run_id": run_id,
        "unlanded_days": unlanded_days, "from_scratch": from_scratch,
    }  # fmt: skip
    if most <= 1:
        return bill(**arguments)
    parts = [PartOfPayers(shards) for shards in split_shards(_prepare(database, month, groups, run_id), most)]
    return _joined(month, call_in_processes(bill, [arguments | {"part": part} for part in parts]))


def _to_bill(database: BillingDatabase, month: BillingMonth, groups: Sequence[str]) -> int:
    (number,) = database.values("count_organizations_to_bill", groups=list(groups), month=month.first_day)
    return int(number)


def _prepare(
    database: BillingDatabase, month: BillingMonth, groups: Sequence[str], run_id: str
) -> list[tuple[str, str]]:
    """Do what concerns all parts. Returns each payer of the month with an organization that it pays for."""
    with database.transaction() as connection:
        lock_month(connection, month, closes=False)
        rows(connection, "set_audit_context", who=run_id, why="")
        rows(connection, "drop_open_of_linked", month=month.first_day, groups=list(groups))
        return [
            (link["payer_id"], link["organization_id"])
            for link in rows(connection, "links_of_month", month=month.first_day)
        ]


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
