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
    for one in sorted(discrepancies, key=lambda one: one.kind != "duplicate"):
        action = _plan(one)
        # Each orphan gets its own action even if several name the same invoice, and so does each draft to remove.
        is_alone = one.ours is None or action.verb == REMOVE
        actions.setdefault((one.invoice_id, one.stripe_ids[0] if is_alone else None), action)
    return list(actions.values())


def _plan(one: Discrepancy) -> Action:
    return {
        "missing": _missing,
        "stuck": _stuck,
        "duplicate": _duplicate,
        "differing": _differing,
        "edited": _differing,
        "orphaned": _orphaned,
    }[one.kind](one)


def _missing(one: Discrepancy) -> Action:
    ours = _ours(one)
    if ours.state != "finalized" and not one.theirs:
        return _action(one, SEND, "send it, through the sync", is_safe=True)
    taken_back = ", ".join(one.stripe_ids) or ours.stripe_id
    were = "were" if len(one.stripe_ids) > 1 else "was"
    return _action(one, RECREATE, f"recreate it: {taken_back} {were} voided or deleted in Stripe", ids=())


def _stuck(one: Discrepancy) -> Action:
    ours = _ours(one)
    (draft,) = one.theirs
    if not draft.is_marked_as_ours:
        return _leave(one, "its metadata fly_billing_invoice is gone: restore it in Stripe")
    if ours.stripe_id not in (None, draft.stripe_id):
        sentence = f"remove the draft: our journal has {ours.stripe_id}"
        return _action(one, REMOVE, sentence, is_safe=True, kept_id=ours.stripe_id)
    return _action(one, FINISH, "finish it, through the sync", is_safe=True)


def _duplicate(one: Discrepancy) -> Action:
    kept = _kept(one)
    if kept is None:
        return _leave(one, "several are paid, or none matches: decide manually which one to keep")
    others = [other for other in one.theirs if other is not kept]
    voidable = tuple(other.stripe_id for other in others if _can_be_voided(other))
    by_hand = ", ".join(f"{other.stripe_id} is {other.status}" for other in others if not _can_be_voided(other))
    if not voidable:
        return _leave(one, f"{by_hand}: refund it or issue a credit note in Stripe; keep {kept.stripe_id}")
    also = f"; {by_hand}: refund it manually" if by_hand else ""
    return _action(
        one, VOID, f"void {', '.join(voidable)}, keep {kept.stripe_id}{also}", ids=voidable, kept_id=kept.stripe_id
    )


def _kept(one: Discrepancy) -> FoundInvoice | None:
    """Return the one in our journal; else the only paid one, or the oldest, which Stripe lists last."""
    ours = _ours(one)
    named = [other for other in one.theirs if other.stripe_id == ours.stripe_id]
    if named:
        return named[0]
    wanted = ours.total_cents, 0, ours.currency
    equal = [other for other in one.theirs if (other.total_cents, other.odd, other.currency) == wanted]
    paid = [other for other in equal if other.status == "paid"]
    if len(paid) > 1 or not equal:
        return None
    return paid[0] if paid else equal[-1]


def _differing(one: Discrepancy) -> Action:
    (theirs,) = one.theirs
    if one.kind == "edited" and not one.lines:
        return _leave(one, one.what_to_do)  # only its metadata
    if not _can_be_voided(theirs):
        why = f"it is {theirs.status}" if theirs.is_marked_as_ours else "its metadata fly_billing_invoice is gone"
        return _leave(one, f"{why}, so it is not voided: settle the difference manually, with a credit note")
    return _action(one, RECREATE, f"void {theirs.stripe_id} and recreate it")


def _orphaned(one: Discrepancy) -> Action:
    (theirs,) = one.theirs
    if theirs.status != "draft" or one.is_known_here or not theirs.is_marked_as_ours:
        return _leave(one, one.what_to_do)
    return _action(one, REMOVE, "remove the draft: it is marked as ours, but we have no such invoice", is_safe=True)


def _can_be_voided(theirs: FoundInvoice) -> bool:
    return theirs.status == "open" and theirs.is_marked_as_ours


def _ours(one: Discrepancy) -> ExpectedInvoice:
    """Return our invoice of the discrepancy. Only an orphan has none."""
    assert one.ours is not None
    return one.ours


def _leave(one: Discrepancy, sentence: str) -> Action:
    return _action(one, LEAVE, sentence)


def _action(
    one: Discrepancy,
    verb: str,
    sentence: str,
    *,
    is_safe: bool = False,
    ids: Sequence[str] | None = None,
    kept_id: str | None = None,
) -> Action:
    stripe_ids = one.stripe_ids if ids is None else tuple(ids)
    return Action(verb, one.kind, one.organization_id, one.invoice_id, stripe_ids, is_safe, sentence, kept_id, one)
