"""Manual changes in Stripe's dashboard while the sync runs: drafts edited and deleted, a customer deleted, payments.

They go through Stripe's API, under the same faults. Keeps out: resolving their effects (ending.py).
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from random import Random
from types import TracebackType
from typing import Self

import stripe

from fly_billing.stripe_sandbox import SandboxError, SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from tests.chaos.months import is_tinkered
from tests.chaos.worker_pool import PATIENCE
from tests.support.stripe_builders import API_KEY

# Only the newest objects are searched, not the whole store: drafts and payable invoices are young.
YOUNG = """
select id, body ->> '$.metadata.organization' as organization, body ->> '$.total' as total from (
    select id, status, body from objects where object = 'invoice' order by seq desc limit 400
) where status = ?
"""
CUSTOMER = """
select id from customers where metadata ->> '$.organization' = ? and not deleted
"""
EDITED, SWAPPED, DELETED = "draft edited manually", "amounts of a draft swapped manually", "draft deleted manually"
CUSTOMER_DELETED = "customer deleted manually"
PAID, DECLINED, WRITTEN_OFF = "invoice paid", "payment failed", "invoice written off"


@dataclass(frozen=True)
class Seen:
    """An invoice as the dashboard shows it; the total in minor units."""

    id: str
    organization: str
    total: int


class DashboardUser:
    """A person in the dashboard: an action every `pause` seconds while the block runs. A refused one does not count.

    Other organizations get the payments than those whose drafts are changed: only a credit note can settle a wrong
    invoice that was paid.
    """

    def __init__(self, sandbox: SandboxServer, seed: int, pause: float, kept: Collection[str]) -> None:
        """`kept`: organizations whose drafts only `tinker` changes."""
        self._kept = frozenset(kept)
        self._sandbox = sandbox
        self._client = make_stripe_client(API_KEY, sandbox.url)
        self._rng = Random(f"{seed} dashboard user")
        self._pause = pause
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._problem: Exception | None = None
        self._actions: dict[str, Callable[[], bool]] = {
            PAID: lambda: self._on("open", self._pay),
            EDITED: lambda: self._on("draft", self._edit),
            DECLINED: lambda: self._on("open", self._decline),
            DELETED: lambda: self._on("draft", self._delete),
            WRITTEN_OFF: lambda: self._on("open", self._write_off),
            SWAPPED: lambda: self._on("draft", self._swap),
        }
        self._drafts = {EDITED: self._edit, SWAPPED: self._swap, DELETED: self._delete}
        self._done = dict.fromkeys((*self._actions, CUSTOMER_DELETED), 0)
        self._counting = threading.Lock()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if self._problem is not None and error is None:
            raise self._problem

    @property
    def done(self) -> Mapping[str, int]:
        """The number of each action so far."""
        with self._counting:
            return dict(self._done)

    def tinker(self, action: str, organization: str) -> None:
        """Do EDITED, SWAPPED or DELETED to the organization's draft, with as many retries as needed."""
        found = [invoice for invoice in self._young("draft") if invoice.organization == organization]
        assert found, f"{organization} has no draft in Stripe"
        deadline = time.monotonic() + PATIENCE
        # A draft that is gone was deleted by a call whose response was lost: every later one would be refused.
        while self._is_draft(found[0].id) and not self._drafts[action](found[0]):
            assert time.monotonic() < deadline, f"{action}: not in {PATIENCE:.0f} s"
        self._count(action)

    def delete_customer(self, organization: str) -> None:
        """Delete the organization's customer, with as many retries as needed."""
        assert self._customer_of(organization), f"{organization} is not a customer in Stripe"
        while customer := self._customer_of(organization):
            self._tried(lambda: self._client.v1.customers.delete(customer))
        self._count(CUSTOMER_DELETED)

    def _count(self, action: str) -> None:
        with self._counting:  # the campaign acts in its own thread too
            self._done[action] += 1

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                for name, action in self._actions.items():
                    if self._stopped.wait(self._pause):
                        break
                    if action():
                        self._count(name)
        except Exception as problem:  # noqa: BLE001 - a thread can't raise: leaving the block does
            self._problem = problem

    def _on(self, status: str, action: Callable[[Seen], bool]) -> bool:
        """Run the action on one of the young invoices of this status, if there is one."""
        found = [invoice for invoice in self._young(status) if self._is_for(invoice, status)]
        return bool(found) and action(self._rng.choice(found))

    def _is_for(self, invoice: Seen, status: str) -> bool:
        if invoice.organization in self._kept:
            return False
        return is_tinkered(invoice.organization) == (status == "draft")

    def _edit(self, draft: Seen) -> bool:
        lines = self._lines(draft)
        if not lines:
            return False
        line = self._rng.choice(lines)
        change = {"amount": line.amount + self._rng.randint(1, 900)}
        return self._tried(lambda: self._client.v1.invoices.line_items.update(draft.id, line.id, change))  # type: ignore[arg-type]

    def _swap(self, draft: Seen) -> bool:
        """Change two lines without changing the total."""
        found = self._lines(draft)[:2]
        if len(found) < 2:
            return False
        lines = [{"id": line.id, "amount": line.amount + more} for line, more in zip(found, (1, -1), strict=True)]
        return self._tried(lambda: self._client.v1.invoices.update_lines(draft.id, {"lines": lines}))  # type: ignore[typeddict-item]

    def _delete(self, draft: Seen) -> bool:
        return self._tried(lambda: self._client.v1.invoices.delete(draft.id))

    def _pay(self, invoice: Seen) -> bool:
        return self._tried(lambda: self._client.v1.invoices.pay(invoice.id))

    def _write_off(self, invoice: Seen) -> bool:
        return self._tried(lambda: self._client.v1.invoices.mark_uncollectible(invoice.id))

    def _decline(self, invoice: Seen) -> bool:
        try:
            self._sandbox.control.fail_payment(invoice.id)
        except SandboxError:
            return False  # paid meanwhile
        return True

    def _lines(self, draft: Seen) -> list[stripe.InvoiceLineItem]:
        try:
            return list(self._client.v1.invoices.line_items.list(draft.id).data)
        except stripe.StripeError:
            return []

    @staticmethod
    def _tried(call: Callable[[], object]) -> bool:
        try:
            call()
        except stripe.StripeError:
            return False
        return True

    def _young(self, status: str) -> list[Seen]:
        return [Seen(row[0], row[1] or "", row[2]) for row in self._read(YOUNG, status)]

    def _is_draft(self, id: str) -> bool:
        return any(draft.id == id for draft in self._young("draft"))

    def _customer_of(self, organization: str) -> str | None:
        return next((row[0] for row in self._read(CUSTOMER, organization)), None)

    def _read(self, statement: str, value: str) -> list[tuple[str, str | None, int]]:
        store = sqlite3.connect(f"file:{self._sandbox.store_path}?mode=ro", uri=True, timeout=10)
        try:
            return store.execute(statement, (value,)).fetchall()
        finally:
            store.close()
