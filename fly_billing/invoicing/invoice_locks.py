"""The locks under which invoices are made, so that runs wait for each other only if they bill the same billing groups.

An item that came too late goes on any open invoice of its organization, and a minimum counts earlier months. So an
organization is billed for one month at a time. The locks are those of billing groups (`group_parts`): a run bills whole
groups, and Postgres has no room for a lock of each organization. Whatever concerns invoices of any organization takes
the lock `invoices` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from fly_billing.invoicing.payers import Payer
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import lock_groups_until_commit, lock_until_commit, values


def lock_month(connection: Connection, month: BillingMonth, *, closes: bool) -> None:
    """Keep whatever concerns all rollups of the month or all invoices out, until the transaction ends.

    Args:
        closes: Also wait for a landing in progress.
    """
    if closes:
        lock_until_commit(connection, "land_usage", is_shared=True)
    lock_until_commit(connection, f"usage_rollups {month}", is_shared=True)
    lock_until_commit(connection, "invoices", is_shared=True)


def lock_payers(connection: Connection, month: BillingMonth, read: Callable[[], Sequence[Payer]]) -> Sequence[Payer]:
    """Lock these payers and the organizations that they pay for until the transaction ends. Keep their usage as it is.

    Returns the payers as they are under the locks: another run may have billed them or rolled up their usage, or links
    may have changed, before.
    """
    locked: frozenset[str] = frozenset()
    payers = read()
    # Only after a link changed during the wait, more groups are needed.
    while needed := _groups_of(connection, payers) - locked:
        lock_groups_until_commit(connection, f"usage_rollups {month}", needed, is_shared=True)
        lock_groups_until_commit(connection, "invoices", needed)
        locked |= needed
        payers = read()
    return payers


def _groups_of(connection: Connection, payers: Sequence[Payer]) -> frozenset[str]:
    names = [name for payer in payers for name in (payer.organization_id, *payer.member_names)]
    return frozenset(values(connection, "groups_of_organizations", organizations=names))
