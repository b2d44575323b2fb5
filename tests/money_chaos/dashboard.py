"""Random actions of people and banks in Stripe's dashboard. One that Stripe refuses does not count.

Keeps out: what they mean here (the ledger), and judging the result (audit.py).
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from fly_billing.stripe_sandbox import SandboxError, SandboxServer

# Objects that an action may be for, newest first, each with the most that it can take (or take back).
UNPAID = """
select id, body ->> '$.amount_remaining' as most from objects
where object = 'invoice' and status in ({statuses}) and body ->> '$.amount_remaining' > 0 order by seq desc limit 200
"""
CREDITABLE = """
select id, most from (
    select
        id, seq,
        (body ->> '$.total') - (body ->> '$.pre_payment_credit_notes_amount')
        - (body ->> '$.post_payment_credit_notes_amount') as most
    from objects where object = 'invoice' and status in ('open', 'paid')
) where most > 0 order by seq desc limit 200
"""
CHARGED = """
select id, amount - (body ->> '$.amount_refunded') as most from objects
where object = 'charge' and status = 'succeeded' and not body ->> '$.disputed' and amount > body ->> '$.amount_refunded'
order by seq desc limit 200
"""
OF_STATUS = (
    "select id, amount as most from objects where object = '{kind}' and status = '{status}' order by seq desc limit 200"
)
CREDIT_NOTES = """
select note.id, note.amount as most from objects as note inner join objects as invoice on note.invoice = invoice.id
where note.object = 'credit_note' and note.status = 'issued' and invoice.status = 'open'
order by note.seq desc limit 200
"""
CUSTOMERS = "select id, 0 as most from objects where object = 'customer' order by seq limit 200"
# The action -> how often it is tried, and the objects that it may be for.
ACTIONS: dict[str, tuple[int, str]] = {
    "credit": (3, CUSTOMERS),
    "debit": (2, CUSTOMERS),
    "pay": (12, UNPAID.format(statuses="'open', 'uncollectible'")),
    "pay-part": (20, UNPAID.format(statuses="'open', 'uncollectible'")),
    "mark-paid": (5, UNPAID.format(statuses="'open'")),
    "void": (2, UNPAID.format(statuses="'open', 'uncollectible'")),
    "write-off": (2, UNPAID.format(statuses="'open'")),
    "credit-note": (20, CREDITABLE),
    "void-credit-note": (8, CREDIT_NOTES),
    "refund": (14, CHARGED),
    "fail-refund": (6, OF_STATUS.format(kind="refund", status="succeeded")),
    "dispute": (8, CHARGED),
    "win-dispute": (5, OF_STATUS.format(kind="dispute", status="needs_response")),
    "lose-dispute": (4, OF_STATUS.format(kind="dispute", status="needs_response")),
}
PAID_TO = ("refund", "credit", "out_of_band")
# For example, a credit note that would refund a payment which was refunded already.
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
        action, candidates = self._choose()
        id, most = self._rng.choice(candidates)
        try:
            self._control.act(action, id, **self._given(action, most))
        except SandboxError:
            self.refused[action] += 1
            return False
        self.done[action] += 1
        return True

    def _choose(self) -> tuple[str, list[tuple[str, int]]]:
        """Return an action, and the objects that it may be for. There is always a customer to credit."""
        names = [*ACTIONS]
        while True:
            (action,) = self._rng.choices(names, [ACTIONS[name][0] for name in names])
            if candidates := self._candidates(ACTIONS[action][1]):
                return action, candidates
            names.remove(action)

    def _given(self, action: str, most: int) -> dict[str, Any]:
        part = self._rng.randint(1, max(1, most))
        if action in ("credit", "debit"):
            currency = {"currency": "eur"} if self._rng.random() < 0.2 else {}
            return {"amount": self._rng.choice([self._rng.randint(1, 60), self._rng.randint(1, 6000)]), **currency}
        if action == "pay-part":
            return {"amount": self._rng.randint(1, max(1, most // 3)), "outside": self._rng.random() < 0.3}
        if action == "credit-note":
            whole, without_tax = self._rng.random() < 0.2, self._rng.random() < 0.2
            return {
                "amount": most if whole else part, "to": self._rng.choice(PAID_TO), "without_tax": without_tax,
            }  # fmt: skip
        if action in ("refund", "dispute") and self._rng.random() < 0.7:
            return {"amount": part}
        return {}

    def _candidates(self, statement: str) -> list[tuple[str, int]]:
        store = sqlite3.connect(f"file:{self._store}?mode=ro", uri=True, timeout=30)
        try:
            return [(row[0], int(row[1])) for row in store.execute(statement)]
        finally:
            store.close()
