"""Accounting: revenue in the months that supply it, closed accounting months, and the journal for a general ledger.

`rules/` says how an amount is spread over months, and how journal lines are made. This room stores deferred revenue,
closes months and reads the journal. Not here: the entries of events (`ledger`), tables and files (`finance`).
"""
