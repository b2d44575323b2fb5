"""Keeps open months current: finds what changed since the last look, then lands, rolls up and bills only that.

It owns the light run of every few minutes. It does not close months, correct final invoices or check every event:
the schedules do (`jobs`). Not here: how usage is landed and rolled up (`usage`), how invoices are built (`invoicing`).
"""
