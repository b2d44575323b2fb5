"""Random actions of people and banks in Stripe's dashboard. One that Stripe refuses does not count.

Keeps out: what they mean here (the ledger), and judging the result (audit.py).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from fly_billing.stripe_sandbox import SandboxError, SandboxServer

# The action -> how often it is tried, and the statuses of the invoices that it may be for (none: any customer).
ACTIONS: dict[str, tuple[int, tuple[str, ...]]] = {
    "credit": (3, ()),
    "debit": (2, ()),
    "pay": (12, ("open", "uncollectible")),
    "pay-part": (20, ("open", "uncollectible")),
    "mark-paid": (5, ("open",)),
    "void": (2, ("open", "uncollectible")),
    "write-off": (2, ("open",)),
    "credit-note": (20, ("open", "paid")),
    "void-credit-note": (8, ("open",)),
    "refund": (14, ("paid", "open")),
    "fail-refund": (6, ("paid",)),
    "dispute": (8, ("paid", "open")),
    "win-dispute": (5, ("paid",)),
    "lose-dispute": (4, ("paid",)),
}
PAID_TO = ("refund", "credit", "out_of_band")
INVOICES = "select id, body ->> '$.total' from objects where object = 'invoice' and status = ? order by seq"
# The first tries of actions that need another one before: they are refused until it has happened.
MOST_REFUSED = 200


class Dashboard:
    """Does random actions, with the same random numbers for the same seed."""

    def __init__(self, sandbox: SandboxServer, seed: int, store: Path) -> None:
        self._control = sandbox.control
        self._store = store
        self._rng = Random(f"{seed} money")
        self.done: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def act(self) -> None:
        """Do one action that Stripe accepts."""
        for _ in range(MOST_REFUSED):
            if self._try():
                return
        raise AssertionError(f"Stripe refused {MOST_REFUSED} actions one after the other: {self.refused}")

    def _try(self) -> bool:
        names = [*ACTIONS]
        (action,) = self._rng.choices(names, [ACTIONS[name][0] for name in names])
        statuses = ACTIONS[action][1] or ("open", "paid", "void", "uncollectible")
        invoices = self._invoices(statuses)
        if not invoices:
            return False
        invoice, total = self._rng.choice(invoices)
        try:
            self._control.act(action, invoice, **self._given(action, total))
        except SandboxError:
            self.refused[action] += 1
            return False
        self.done[action] += 1
        return True

    def _given(self, action: str, total: int) -> dict[str, Any]:
        small = self._rng.randint(1, max(1, abs(total)))
        if action in ("credit", "debit"):
            currency = {"currency": "eur"} if self._rng.random() < 0.2 else {}
            return {"amount": self._rng.choice([self._rng.randint(1, 60), self._rng.randint(1, 6000)]), **currency}
        if action == "pay-part":
            return {"amount": self._rng.randint(1, max(1, total // 3)), "outside": self._rng.random() < 0.3}
        if action == "credit-note":
            whole = self._rng.random() < 0.2 and total > 0
            without_tax = self._rng.random() < 0.2
            return {
                "amount": total if whole else small, "to": self._rng.choice(PAID_TO), "without_tax": without_tax,
            }  # fmt: skip
        if action in ("refund", "dispute") and self._rng.random() < 0.7:
            return {"amount": small}
        return {}

    def _invoices(self, statuses: Sequence[str]) -> list[tuple[str, int]]:
        store = sqlite3.connect(f"file:{self._store}?mode=ro", uri=True, timeout=30)
        try:
            return [(row[0], int(row[1])) for status in statuses for row in store.execute(INVOICES, (status,))]
        finally:
            store.close()
