"""The ten assets, in order, from `usage_events` over `invoices` and `finance_months` to `finance_journals`.

One module per asset, with the declarations of its checks. An asset reads, calls the use case of its subject
(`usage.landing_run`, `usage.maintenance`, `usage.rollups`, `corrections.month_run`, `stripe_sync.month_sync`,
`stripe_sync.reconciliation`, `stripe_sync.money_sweep`, `finance.month_report`) and reports: at most 20 lines. Not
here: rules, machinery and the rows of checks, which are with their subjects.
"""
