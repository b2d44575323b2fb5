"""The most connections that one run opens. `make test-servers` counts them in the server's log."""

from __future__ import annotations

from dataclasses import dataclass

# The pool's size: further statements wait, even if STRIPE_WORKERS is greater.
POOLED = 20
KEPT_OPEN = 4
# The connection with the locks of the invoices that a run syncs.
HOLDING_LOCKS = 1
# Dagster's storage keeps a connection for runs, one for events and one for schedules.
DAGSTERS = 3
NEEDED = POOLED + HOLDING_LOCKS + DAGSTERS
# A process that rolls up or bills a part of a month. A run never syncs at the same time.
PER_PROCESS = 2
# So many processes fit into NEEDED, beside the connections that their run keeps.
PROCESSES_WITHIN = (POOLED + HOLDING_LOCKS - KEPT_OPEN) // PER_PROCESS


def needed(processes: int) -> int:
    """Return the connections that a run needs which shares a month among this many processes."""
    return NEEDED + PER_PROCESS * max(0, processes - PROCESSES_WITHIN)


@dataclass(frozen=True)
class PoolPolicy:
    """The ways in which a process keeps its connections.

    Attributes:
        kept_open: Connections that stay open. Further ones are opened for one use, which takes as long as several
            statements.
        most: Connections at once.
        trusted_seconds: A connection that was used more recently is not tried before its next use, which saves a round
            trip. If the server restarted meanwhile, that use fails.
    """

    kept_open: int = KEPT_OPEN
    most: int = POOLED
    trusted_seconds: float = 0.0
