"""How many connections one process has open at most. `make test-servers` counts them in the log of the server."""

from __future__ import annotations

# The pool of a process: that many statements at once, whatever STRIPE_WORKERS is; further ones wait.
POOLED = 20
KEPT_OPEN = 4
# One connection holds the locks of the invoices that a run syncs.
HOLDING_LOCKS = 1
# Dagster's storage keeps one open for runs, one for events and one for schedules.
DAGSTERS = 3
NEEDED = POOLED + HOLDING_LOCKS + DAGSTERS
