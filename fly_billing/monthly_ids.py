"""Ids that begin with their month: Postgres then writes and reads a month's rows side by side.

Random ids scatter a month over every page of an index. With two years of invoices, another month then rewrites most of
the index, four times the WAL. `usage/sql_duckdb/rollups.sql` makes the ids of usage by the same rule.
"""

from __future__ import annotations

from hashlib import sha1
from uuid import UUID, SafeUUID

from fly_billing.periods import BillingMonth

# Bits of a UUID, from the left: 16 of the month, 32 of the hash, 4 for version 8 (RFC 9562: vendor's own), 12 of
# the hash, 2 for the variant, 62 of the hash.
_HASH = 0x0000_FFFFFFFF_0FFF_3FFF_FFFFFFFFFFFF
_VERSION_AND_VARIANT = 0x0000_00000000_8000_8000_000000000000


def monthly_id(month: BillingMonth, namespace: UUID, name: str) -> UUID:
    """Return the id of this name in the namespace: a hash that begins with the month. It is always the same."""
    value = int.from_bytes(sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    made = object.__new__(UUID)
    # As `UUID(int=...)`, which checks its arguments for half of the time of an id.
    object.__setattr__(made, "int", month_number(month) << 112 | value & _HASH | _VERSION_AND_VARIANT)
    object.__setattr__(made, "is_safe", SafeUUID.unknown)
    return made


def month_number(month: BillingMonth) -> int:
    """Return the months from the year 0 to this one: 16 bits, which last until 5461."""
    return month.year * 12 + month.month - 1
