"""Rates metered usage, builds invoices in its own Postgres and syncs each finalized invoice to Stripe."""
