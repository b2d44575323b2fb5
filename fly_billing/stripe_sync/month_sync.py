"""Syncs a month of finalized invoices to Stripe, several in parallel. A lock per invoice keeps other runs away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from uuid import UUID

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import SessionLocks
from fly_billing.postgres.isolation import VALUE_ERRORS
from fly_billing.stripe_sync.existing_objects import ExistingObjects, find_existing
from fly_billing.stripe_sync.invoice_sync import InvoiceSync, StepFailed, SyncTools
from fly_billing.stripe_sync.journal import StripeJournal
from fly_billing.stripe_sync.rules.requests import FinalizedInvoice
from fly_billing.stripe_sync.rules.sync_failures import StripeFailure

CHUNK = 500
# This many invoices in a row without a response, each tried several times, mean that Stripe is down.
MOST_SILENT = 16


@dataclass(frozen=True)
class FailedSync:
    """One invoice that did not reach Stripe in this run."""

    invoice: FinalizedInvoice
    state: str
    failure: StripeFailure


@dataclass
class SyncReport:
    """The outcome of a sync run.

    Attributes:
        states: Number of invoices by final state.
        failures: The invoices that failed.
        not_tried: The invoices that an early stop left out.
    """

    states: dict[str, int] = field(default_factory=dict)
    failures: list[FailedSync] = field(default_factory=list)
    not_tried: list[FinalizedInvoice] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(self.states.values()) + len(self.failures) + len(self.not_tried)

    def note(self, invoice: FinalizedInvoice, result: str | StepFailed | None) -> None:
        if result is None:
            self.not_tried.append(invoice)
        elif isinstance(result, StepFailed):
            self.failures.append(FailedSync(invoice, result.state, result.failure))
        else:
            self.states[result] = self.states.get(result, 0) + 1


def sync_month(
    tools: SyncTools,
    month: BillingMonth,
    groups: Sequence[str],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SyncReport:
    """Sync every finalized invoice of these groups that Stripe does not have yet.

    It may run again, or on two machines at once. It stops early if Stripe refuses the API key or does not answer for a
    while, because every other invoice would fail the same way.
    """
    ids = tools.journal.invoices_to_sync(month, groups)
    tools.journal.correct_refused_details(ids)
    before = find_existing(tools.journal, tools.reader(), month, ids)
    report, lock, stop = SyncReport(), threading.Lock(), threading.Event()
    silent = 0

    def sync_one(invoice: FinalizedInvoice, locks: SessionLocks) -> None:
        nonlocal silent
        result = None if stop.is_set() else _sync_alone(tools, invoice, before, locks)
        code = result.failure.code if isinstance(result, StepFailed) else None
        with lock:
            silent = silent + 1 if code == "no_answer" else 0
            if code == "authentication" or silent >= MOST_SILENT:
                stop.set()
            report.note(invoice, result)
            progress(report.done, len(ids))

    with tools.journal.database.session_locks() as locks, ThreadPoolExecutor(tools.rules.workers) as pool:
        waiting: set[Future[None]] = set()
        try:
            for invoice in _read(tools.journal, ids):
                # The next ones are read while the workers are busy: no worker waits for the slowest of a chunk.
                if len(waiting) >= 2 * tools.rules.workers:
                    waiting = _without_done(waiting)
                waiting.add(pool.submit(sync_one, invoice, locks))
            while waiting:
                waiting = _without_done(waiting)
        except BaseException:
            stop.set()
            raise
    return report


def _read(journal: StripeJournal, ids: Sequence[UUID]) -> Iterator[FinalizedInvoice]:
    for start in range(0, len(ids), CHUNK):
        yield from journal.finalized_invoices(ids[start : start + CHUNK])


def _without_done(waiting: set[Future[None]]) -> set[Future[None]]:
    """Wait until at least one is done. Raises its exception, if it had one."""
    done, rest = wait(waiting, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return rest


def _sync_alone(
    tools: SyncTools, invoice: FinalizedInvoice, before: ExistingObjects, locks: SessionLocks
) -> str | StepFailed:
    with locks.lock(f"sync {invoice.id}") as is_ours:
        if not is_ours:
            return "locked_by_another_run"
        try:
            return InvoiceSync(tools, invoice, before).run()
        except StepFailed as failed:
            return _failed(tools, invoice, failed)
        except VALUE_ERRORS:
            return _failed(tools, invoice, StepFailed("needs_attention", "create", "unreadable_invoice"))


def _failed(tools: SyncTools, invoice: FinalizedInvoice, failed: StepFailed) -> StepFailed:
    tools.journal.fail(invoice.id, failed.state, failed.step, failed.failure, tools.clock())
    return failed
