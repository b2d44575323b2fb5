"""Finance: revenue, taxes, receivables, credits and the audit trail, read from the views named `finance_*`.

Not here: the views (`postgres/migrations/versions/0044_finance_views.sql`) and the amounts of invoices (`invoicing`).
"""
