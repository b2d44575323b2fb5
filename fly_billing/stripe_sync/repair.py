"""Carries out repairs in Stripe: voids invoices and removes drafts; the sync then sends what is missing.

Each invoice is locked against the sync and read again before it is changed, because it may have changed since the plan.
Not here: which discrepancy needs which action (`stripe_sync.rules.repair_plan`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from fly_billing.invoicing.group_members import groups_by_organization
from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.approvals import require_usual_totals
from fly_billing.stripe_sync.client import APPLIED
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.journal import InvoiceAttempts, JournalEntry, RepairAttempts
from fly_billing.stripe_sync.month_sync import sync_month
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.reconciliation import Reconciliation, reconcile_month
from fly_billing.stripe_sync.rules.idempotency_keys import idempotency_key
from fly_billing.stripe_sync.rules.repair_plan import (
    FINISH,
    LEAVE,
    RECREATE,
    REMOVE,
    SEND,
    SYNCED,
    VOID,
    Action,
    plan_repairs,
)
from fly_billing.stripe_sync.rules.requests import StripeRequest
from fly_billing.stripe_sync.sender import AttemptLog

DONE, REFUSED, LEFT, FAILED = "done", "refused", "left", "failed"

# The number of generations of keys to try for one change, if Stripe stored a failure under each.
GENERATIONS = 3

Body = Mapping[str, Any]


class NotRepaired(Exception):
    """The invoice changed since the plan, or Stripe did not apply the change. Nothing else was changed."""


@dataclass(frozen=True)
class Repaired:
    """The outcome of an action: done, refused (not confirmed), left (needs a manual fix) or failed.

    `detail` has the reason.
    """

    action: Action
    outcome: str
    detail: str = ""


def plan_of_repair(
    tools: SyncTools, month: BillingMonth, groups: Sequence[str], *, all_lines: bool = False
) -> tuple[Reconciliation, list[Action]]:
    """Read both sides and return the repairs to make. Changes nothing."""
    reader = tools.reader()
    both = reconcile_month(tools.journal, reader, month, groups, all_lines=all_lines)
    return both, plan_repairs(both.discrepancies)


def carry_out(
    tools: SyncTools,
    month: BillingMonth,
    actions: Sequence[Action],
    may: Callable[[Action], bool],
    guard_percent: int,
) -> list[Repaired]:
    """Carry out the safe actions, and those of the others that `may` allows. Running it twice changes nothing more.

    Raises UnusualTotals, before anything is changed, if a sync would follow and the spending guard blocks the month.
    """
    allowed = {action for action in actions if action.verb != LEAVE and (action.is_safe or may(action))}
    if any(action.verb in SYNCED for action in allowed):
        require_usual_totals(tools.journal.database, month, guard_percent)
    repairs = _Repairs(tools)
    done = [repairs.do(action) if action in allowed else _untouched(action) for action in actions]
    return _sync(tools, month, done)


def _untouched(action: Action) -> Repaired:
    return Repaired(action, LEFT, action.sentence) if action.verb == LEAVE else Repaired(action, REFUSED)


def _sync(tools: SyncTools, month: BillingMonth, done: Sequence[Repaired]) -> list[Repaired]:
    """Sync the billing groups that have something to send now, and add the failures to the outcomes."""
    groups = groups_by_organization(tools.journal.database)
    ready = [repaired for repaired in done if repaired.outcome == DONE and repaired.action.verb in SYNCED]
    if not ready:
        return list(done)
    report = sync_month(tools, month, sorted({groups[repaired.action.organization_id] for repaired in ready}))
    failed = {str(failed.invoice.id): failed.failure.operator_text for failed in report.failures}
    failed |= {str(invoice.id): "the sync stopped before this invoice" for invoice in report.not_tried}
    return [
        replace(repaired, outcome=FAILED, detail=failed[repaired.action.invoice_id])
        if repaired in ready and repaired.action.invoice_id in failed
        else repaired
        for repaired in done
    ]


class _Repairs:
    """The changes that the sync does not make: resetting the journal, voiding, removing drafts."""

    def __init__(self, tools: SyncTools) -> None:
        self._tools = tools
        self._journal = tools.journal
        self._invoices = tools.client.v1.invoices
        self._sender = tools.sender()
        self._reader = tools.reader()

    def do(self, action: Action) -> Repaired:
        if action.verb == SEND:
            return Repaired(action, DONE)  # the sync sends it
        steps = {FINISH: self._finish, RECREATE: self._recreate, VOID: self._void_others, REMOVE: self._remove}
        with self._journal.database.session_lock(f"sync {action.invoice_id}") as is_ours:
            if not is_ours:
                return Repaired(action, FAILED, "another sync is working on this invoice: retry in a minute")
            try:
                steps[action.verb](action)
            except NotRepaired as problem:
                return Repaired(action, FAILED, str(problem))
            except ReadingFailed as problem:
                return Repaired(action, FAILED, f"Stripe could not be read: {problem}")
        return Repaired(action, DONE)

    def _finish(self, action: Action) -> None:
        """Reset the journal to the filled draft, under new keys, because the old ones would replay old responses."""
        (draft,) = action.stripe_ids
        entry, body = self._entry(action), self._reader.invoice(draft)
        if entry.state == "finalized" and body is not None and body["status"] == "draft":
            self._move(action, "filled", entry.generation + 1, draft)

    def _recreate(self, action: Action) -> None:
        """Void the invoice in Stripe, and reset the journal to start again under the next generation's keys."""
        for stripe_id in action.stripe_ids:
            self._void(action, stripe_id)
        entry = self._entry(action)
        still = self._reader.invoice(entry.stripe_invoice_id) if entry.stripe_invoice_id else None
        if still is not None and still["status"] != "void":
            raise NotRepaired(f"{still['id']} is {still['status']} in Stripe: reconcile again")
        self._move(action, "pending", entry.generation + 1, None)

    def _void_others(self, action: Action) -> None:
        """Void all but one. If our journal has not finished that one, the sync continues it."""
        kept = self._reader.invoice(action.kept_id or "")
        if kept is None or kept["status"] in ("void", "draft"):
            raise NotRepaired(f"{action.kept_id}, the invoice to keep, is gone: reconcile again")
        for stripe_id in action.stripe_ids:
            self._void(action, stripe_id)
        entry = self._entry(action)
        if entry.state != "finalized":
            self._move(action, "filled", entry.generation + 1, action.kept_id)

    def _remove(self, action: Action) -> None:
        """Remove a draft that is marked as ours and belongs to no invoice of ours."""
        (draft,) = action.stripe_ids
        is_local = bool(self._journal.database.rows("known_invoices", ids=[action.invoice_id]))
        if is_local and (action.kept_id is None or self._entry(action).stripe_invoice_id in (None, draft)):
            raise NotRepaired(f"{draft} belongs to one of our invoices now: reconcile again")
        body = self._mine(action, draft)
        if body is None:
            return
        if body["status"] != "draft":
            raise NotRepaired(f"{draft} is {body['status']} now: reconcile again")
        request = StripeRequest("discard", {"invoice": draft})
        self._change(action, request, lambda key: self._invoices.delete(draft, {}, {"idempotency_key": key}), is_local)

    def _void(self, action: Action, stripe_id: str) -> None:
        body = self._mine(action, stripe_id)
        if body is None or body["status"] == "void":
            return
        if body["status"] != "open":
            raise NotRepaired(f"{stripe_id} is {body['status']} now and can't be voided: reconcile again")
        request = StripeRequest("void", {"invoice": stripe_id})
        self._change(action, request, lambda key: self._invoices.void_invoice(stripe_id, {}, {"idempotency_key": key}))

    def _mine(self, action: Action, stripe_id: str) -> Body | None:
        """Read an invoice. Raises NotRepaired if its metadata does not name this invoice."""
        body = self._reader.invoice(stripe_id)
        if body is not None and (body.get("metadata") or {}).get("fly_billing_invoice") != action.invoice_id:
            raise NotRepaired(f"{stripe_id} is not marked as ours: it is left unchanged")
        return body

    def _change(
        self, action: Action, request: StripeRequest, call: Callable[[str], Any], is_local: bool = True
    ) -> None:
        """Send the change until its response or a read shows that it is applied. Raises NotRepaired."""
        stripe_id: str = request.params["invoice"]
        for generation in range(GENERATIONS):
            key = idempotency_key(request, stripe_id, generation)
            log: AttemptLog = RepairAttempts(self._journal, self._tools.clock, action.invoice_id)
            if is_local:
                log = InvoiceAttempts(self._journal, self._tools.clock, UUID(action.invoice_id), generation)
            answer = self._sender.send(request, key, call, log)[-1]
            if answer.outcome == APPLIED and not answer.was_replayed:
                return
            body = self._reader.invoice(stripe_id)
            if body is None or body["status"] == "void":
                return
            if not answer.was_replayed:
                break
        raise NotRepaired(f"Stripe did not {request.step} {stripe_id}: {answer.code or ''} {answer.message}".strip())

    def _entry(self, action: Action) -> JournalEntry:
        return self._journal.open(UUID(action.invoice_id), self._tools.clock())

    def _move(self, action: Action, state: str, generation: int, stripe_id: str | None) -> None:
        now = self._tools.clock()
        self._journal.move(UUID(action.invoice_id), state, generation, now, stripe_invoice_id=stripe_id)
