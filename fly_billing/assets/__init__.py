"""The five assets, in order: usage_events -> usage_rollups -> invoices -> stripe_invoices -> stripe_reconciliation.

One module per asset, with the declarations of its checks. An asset reads, calls the use case of its subject
(`usage.landing_run`, `usage.rollups`, `corrections.month_run`, `stripe_sync.month_sync`, `stripe_sync.reconciliation`)
and reports: at most 20 lines. Not here: rules, machinery and the rows of checks, which are with their subjects.
"""
