"""Records prepaid credit that expired, which the database posts as breakage. Not here: how invoices draw credit."""

from __future__ import annotations

from datetime import datetime

from fly_billing.postgres.database import BillingDatabase


def record_expired_credits(database: BillingDatabase, now: datetime) -> int:
    """Record what was left of prepaid credits that no invoice can use any more; return the number of these credits.

    Repeating it records nothing more. If an invoice becomes void or is corrected later, the difference is recorded.
    """
    return len(database.rows("record_expired_credits", now=now))
