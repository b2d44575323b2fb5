"""The most connections that one process opens. `make test-servers` counts them in the server's log."""

from __future__ import annotations

# The pool's size: further statements wait, even if STRIPE_WORKERS is greater.
POOLED = 20
KEPT_OPEN = 4
# The connection with the locks of the invoices that a run syncs.
HOLDING_LOCKS = 1
# Dagster's storage keeps a connection for runs, one for events and one for schedules.
DAGSTERS = 3
NEEDED = POOLED + HOLDING_LOCKS + DAGSTERS
