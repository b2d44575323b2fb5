"""Organizations and their terms: the one place that writes them.

A writer takes a connection (so that a caller makes several changes in one transaction), an `Actor` (who and why) and
typed records. Writing a record again changes nothing. A record that a final invoice used is ended, never changed or
deleted: the database refuses it. One module a subject; commands and workspaces of files call the same writers.
Not here: list prices (`pricing`), and what an invoice makes of terms (`invoicing`).
"""
