"""Reads the sandbox's log of its calls from its store, while it runs or later.

Keeps out: the final state of Stripe (audit.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

FINALIZED = """
select count(*) filter (where endpoint = 'invoices.finalize' and applied) as finalized,
    coalesce(max(seq), :after) as seq
from calls where seq > :after
"""
REFUSED = """
select count(*) from calls
where seq > ? and status = 429 and code = 'rate_limit' and fault is null
    and endpoint not in (select value from json_each(?))
"""
# Called by people and by the webhook service.
NOT_OF_THE_SYNC = frozenset({
    "customers.delete", "invoice_payments.list", "invoices.mark_uncollectible", "invoices.pay", "invoices.update_line",
    "invoices.update_lines",
})  # fmt: skip
BY_ENDPOINT = """
select endpoint, count(*) as calls, sum(applied) as applied, sum(replayed) as replayed
from calls group by endpoint order by calls desc, endpoint
"""


class CallLog:
    """The log of one sandbox; every method is one read of committed rows."""

    def __init__(self, store_path: Path) -> None:
        # One connection, used only by the campaign's thread.
        self._store = sqlite3.connect(f"file:{store_path}?mode=ro", uri=True, timeout=10)
        self._store.row_factory = sqlite3.Row
        self._finalized = 0
        self._seen = 0

    def close(self) -> None:
        self._store.close()

    @property
    def finalized(self) -> int:
        """The number of finalized invoices so far. Reads only the calls since the last time."""
        row = self._store.execute(FINALIZED, {"after": self._seen}).fetchone()
        self._finalized += row["finalized"]
        self._seen = row["seq"]
        return self._finalized

    @property
    def calls(self) -> int:
        """The number of calls so far: the log numbers them from 1."""
        return int(self._store.execute("select coalesce(max(seq), 0) from calls").fetchone()[0])

    def calls_except(self, endpoints: Collection[str]) -> int:
        """Return the number of calls so far to other endpoints than these."""
        return sum(endpoint["calls"] for endpoint in self.by_endpoint() if endpoint["endpoint"] not in endpoints)

    def refused_since(self, seq: int, but_at: Collection[str]) -> int:
        """Count the calls after number `seq` that a limit refused, not a fault, without the endpoints of `but_at`."""
        return int(self._store.execute(REFUSED, (seq, json.dumps(sorted(but_at)))).fetchone()[0])

    def by_endpoint(self) -> Sequence[Mapping[str, Any]]:
        """Return endpoint, calls, applied and replayed, by falling number of calls."""
        return [dict(row) for row in self._store.execute(BY_ENDPOINT)]

    def moments(self) -> Sequence[tuple[str, str]]:
        """Return (time in ISO 8601, endpoint) of every call."""
        return [
            (row["at"], row["endpoint"]) for row in self._store.execute("select at, endpoint from calls order by seq")
        ]
