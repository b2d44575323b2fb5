"""Earlier months that acme paid, as rows: ten years take too long to bill. Not here: months of every other kind."""

from __future__ import annotations

from fly_billing.periods import BillingMonth
from tests.support.builders import SEPTEMBER, Platform
from tests.support.unguarded import damage


def add_paid_months(platform: Platform, number: int, before: BillingMonth = SEPTEMBER) -> None:
    """Add months of $10.00 each, numbered backwards from 9999."""
    damage(
        platform.database,
        """
        insert into invoices (
            id, organization_id, month, status, currency, amount, total_cents, computed_at, finalized_at, due_on,
            paid_at, number
        )
        select
            md5('acme' || back)::uuid, 'acme', month, 'paid', 'USD', 10, 1000, month, month, month, month, 10000 - back
        from (
            select back, cast(cast(:before as date) - make_interval(months => back) as date) as month
            from generate_series(1, :number) as back
        ) as earlier
        """,
        before=before.first_day,
        number=number,
    )
