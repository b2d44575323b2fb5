"""Plans the repair of discrepancies. Pure. Not here: carrying out the plan (`stripe_sync.repair`).

An action is safe if no customer notices it, or if the sync would do it anyway. An action needs confirmation if it voids
what a customer was asked to pay, or bills again what somebody voided in Stripe. Invoices that are not marked as ours
are never changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fly_billing.stripe_sync.rules.reconciliation import Discrepancy, ExpectedInvoice, FoundInvoice

# The kinds of actions.
SEND, FINISH, RECREATE, VOID, REMOVE, LEAVE = "send", "finish", "recreate", "void", "remove", "leave"
# The sync completes these.
SYNCED = frozenset({SEND, FINISH, RECREATE, VOID})


@dataclass(frozen=True)
class Action:
    """One repair.

    Attributes:
        stripe_ids: The invoices to finish, void or remove in Stripe.
        is_safe: Needs no confirmation.
        kept_id: The invoice that stays in Stripe.
    """

    verb: str
    kind: str
    organization_id: str
    invoice_id: str
    stripe_ids: tuple[str, ...]
    is_safe: bool
    sentence: str
    kept_id: str | None = None
    discrepancy: Discrepancy | None = field(default=None, compare=False, repr=False)


def plan_repairs(discrepancies: Iterable[Discrepancy]) -> list[Action]:
    """Return the actions, at most one per invoice; its other discrepancies wait for the next repair.

    Duplicates come first: an invoice is not recreated while there are two. Superfluous drafts are always removed.
    """
    actions: dict[tuple[str, str | None], Action] = {}
    for discrepancy in sorted(discrepancies, key=lambda discrepancy: discrepancy.kind != "duplicate"):
        action = _plan(discrepancy)
        # Each orphan gets its own action even if several name the same invoice, and so does each draft to remove.
        is_alone = discrepancy.ours is None or action.verb == REMOVE
        actions.setdefault((discrepancy.invoice_id, discrepancy.stripe_ids[0] if is_alone else None), action)
    return list(actions.values())


def _plan(discrepancy: Discrepancy) -> Action:
    return {
        "missing": _missing,
        "stuck": _stuck,
        "duplicate": _duplicate,
        "differing": _differing,
        "edited": _differing,
        "orphaned": _orphaned,
    }[discrepancy.kind](discrepancy)


def _missing(discrepancy: Discrepancy) -> Action:
    ours = _ours(discrepancy)
    if ours.state != "finalized" and not discrepancy.theirs:
        return _action(discrepancy, SEND, "send it, through the sync", is_safe=True)
    taken_back = ", ".join(discrepancy.stripe_ids) or ours.stripe_id
    were = "were" if len(discrepancy.stripe_ids) > 1 else "was"
    return _action(discrepancy, RECREATE, f"recreate it: {taken_back} {were} voided or deleted in Stripe", ids=())


def _stuck(discrepancy: Discrepancy) -> Action:
    ours = _ours(discrepancy)
    (draft,) = discrepancy.theirs
    if not draft.is_marked_as_ours:
        return _leave(discrepancy, "its metadata fly_billing_invoice is gone: restore it in Stripe")
    if ours.stripe_id not in (None, draft.stripe_id):
        sentence = f"remove the draft: our journal has {ours.stripe_id}"
        return _action(discrepancy, REMOVE, sentence, is_safe=True, kept_id=ours.stripe_id)
    return _action(discrepancy, FINISH, "finish it, through the sync", is_safe=True)


def _duplicate(discrepancy: Discrepancy) -> Action:
    kept = _kept(discrepancy)
    if kept is None:
        return _leave(discrepancy, "several are paid, or none matches: decide manually which one to keep")
    others = [other for other in discrepancy.theirs if other is not kept]
    voidable = tuple(other.stripe_id for other in others if _can_be_voided(other))
    manual = ", ".join(f"{other.stripe_id} is {other.status}" for other in others if not _can_be_voided(other))
    if not voidable:
        return _leave(discrepancy, f"{manual}: refund it or issue a credit note in Stripe; keep {kept.stripe_id}")
    also = f"; {manual}: refund it manually" if manual else ""
    return _action(
        discrepancy,
        VOID,
        f"void {', '.join(voidable)}, keep {kept.stripe_id}{also}",
        ids=voidable,
        kept_id=kept.stripe_id,
    )


def _kept(discrepancy: Discrepancy) -> FoundInvoice | None:
    """Return the one in our journal; else the only paid one, or the oldest, which Stripe lists last."""
    ours = _ours(discrepancy)
    named = [other for other in discrepancy.theirs if other.stripe_id == ours.stripe_id]
    if named:
        return named[0]
    wanted = ours.total_cents, 0, ours.currency
    equal = [other for other in discrepancy.theirs if (other.total_cents, other.odd, other.currency) == wanted]
    paid = [other for other in equal if other.status == "paid"]
    if len(paid) > 1 or not equal:
        return None
    return paid[0] if paid else equal[-1]


def _differing(discrepancy: Discrepancy) -> Action:
    (theirs,) = discrepancy.theirs
    if discrepancy.kind == "edited" and not discrepancy.lines:
        return _leave(discrepancy, discrepancy.what_to_do)  # only its metadata
    if not _can_be_voided(theirs):
        why = f"it is {theirs.status}" if theirs.is_marked_as_ours else "its metadata fly_billing_invoice is gone"
        return _leave(discrepancy, f"{why}, so it is not voided: settle the difference manually, with a credit note")
    return _action(discrepancy, RECREATE, f"void {theirs.stripe_id} and recreate it")


def _orphaned(discrepancy: Discrepancy) -> Action:
    (theirs,) = discrepancy.theirs
    if theirs.status != "draft" or discrepancy.is_known_here or not theirs.is_marked_as_ours:
        return _leave(discrepancy, discrepancy.what_to_do)
    return _action(
        discrepancy, REMOVE, "remove the draft: it is marked as ours, but we have no such invoice", is_safe=True
    )


def _can_be_voided(theirs: FoundInvoice) -> bool:
    return theirs.status == "open" and theirs.is_marked_as_ours


def _ours(discrepancy: Discrepancy) -> ExpectedInvoice:
    """Return our invoice of the discrepancy. Only an orphan has none."""
    assert discrepancy.ours is not None
    return discrepancy.ours


def _leave(discrepancy: Discrepancy, sentence: str) -> Action:
    return _action(discrepancy, LEAVE, sentence)


def _action(
    discrepancy: Discrepancy,
    verb: str,
    sentence: str,
    *,
    is_safe: bool = False,
    ids: Sequence[str] | None = None,
    kept_id: str | None = None,
) -> Action:
    stripe_ids = discrepancy.stripe_ids if ids is None else tuple(ids)
    return Action(
        verb,
        discrepancy.kind,
        discrepancy.organization_id,
        discrepancy.invoice_id,
        stripe_ids,
        is_safe,
        sentence,
        kept_id,
        discrepancy,
    )
