"""Reads what organizations owe by the ledger, and what Stripe asks for, as it was last read.

Webhooks, polls and the nightly comparison record what Stripe asks for. Not here: asking Stripe (`stripe_sync`), and the
causes of differences (`ledger.rules.owed_and_asked`).
"""

from __future__ import annotations

from fly_billing.ledger.rules.owed_and_asked import AskedDifference, InvoiceAtStripe, OwedAndAsked, compare_owed
from fly_billing.postgres.database import BillingDatabase, records


def asked_differences(database: BillingDatabase) -> list[AskedDifference]:
    """Return each difference between the amounts owed and asked for at Stripe, of all organizations."""
    with database.consistent_read() as connection:
        sums = records(connection, OwedAndAsked, "owed_and_asked")
        invoices = records(connection, InvoiceAtStripe, "invoices_that_differ_at_stripe")
    return compare_owed(sums, invoices)
