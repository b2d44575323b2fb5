"""The way through the house, one module per stage with its checks: usage_events -> usage_rollups -> invoices -> stripe_invoices.

An asset reads, calls the rules or the machinery, and reports. Keeps out: rules (`domain`), machinery (`resources`).
"""
