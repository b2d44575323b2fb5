"""The way through the house: usage_events -> usage_rollups -> invoices -> stripe_invoices.

One module per stage, with its checks. An asset reads, calls the rules or the machinery, and reports. Keeps out: rules
(`domain`), machinery (`resources`).
"""
