"""The ledger: what each organization owes, as double entries that sum to zero.

`rules/` says which entries each event makes. The database posts them in the transaction of the event (migration 0047).
This room reads balances and compares the ledger with its sources. Not here: the amounts of invoices (`invoicing`).
"""
