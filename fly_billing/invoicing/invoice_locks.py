"""The locks under which invoices are made, so that runs wait for each other only if they bill the same organizations.

An item that came too late goes on any open invoice of its organization, and a minimum counts earlier months. So an
organization is billed for one month at a time. A lock for each organization would fill Postgres' table of locks, so
organizations share the locks of shards. Whatever concerns invoices of any organization takes the lock `invoices` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from fly_billing.invoicing.payers import Payer
from fly_billing.invoicing.rules.shards import shard_of
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import lock_until_commit, rows


def lock_month(connection: Connection, month: BillingMonth, *, closes: bool) -> None:
    """Keep the month's usage as it is, and whatever concerns all invoices out, until the transaction ends.

    Args:
        closes: Also wait for a landing in progress.
    """
    if closes:
        lock_until_commit(connection, "land_usage", is_shared=True)
    lock_until_commit(connection, f"usage_rollups {month}", is_shared=True)
    lock_until_commit(connection, "invoices", is_shared=True)


def lock_payers(connection: Connection, read: Callable[[], Sequence[Payer]]) -> Sequence[Payer]:
    """Lock these payers and the organizations that they pay for until the transaction ends.

    Returns the payers as they are under the locks: another run may have billed them, or links may have changed, before.
    """
    locked: frozenset[int] = frozenset()
    payers = read()
    while needed := _shards_of(payers) - locked:
        # In one statement and in order, so that two runs never wait for each other. Only after a link changed during
        # the wait, more are needed.
        rows(connection, "lock_shards", shards=sorted(needed))
        locked |= needed
        payers = read()
    return payers


def _shards_of(payers: Sequence[Payer]) -> frozenset[int]:
    return frozenset(shard_of(name) for payer in payers for name in (payer.organization_id, *payer.member_names))
