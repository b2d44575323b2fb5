"""Compares the invoices that Stripe billed in a past month with those of fly_billing, before a platform switches.

Nothing here writes to the database or to Stripe. Not here: comparing invoices that fly_billing sent
(`stripe_sync.reconciliation`).
"""
