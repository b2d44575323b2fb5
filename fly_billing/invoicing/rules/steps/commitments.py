"""Commitments: what the items that one is about come to at most, and at least, after discounts.

The rules, for a reader to argue with:
  - Neither minimums nor maximums come first: the smaller amount does, as it is about a part of the invoice and the
    larger one about the whole. So the whole has the last word; of two that contradict each other, the larger holds.
      Machines at most $50, all at least $120; Machines come to $100, volumes to $30: 50 + 30, and 40 up to the 120.
      The minimum first would find 130, and the customer would pay 80 in the end.
      Machines at least $80, all at most $100; Machines come to $100, volumes to $50: 150 - 50 is what is paid.
      The maximum first would take the 50 off Machines, and the minimum would charge 30 for them again.
  - A commitment that counts what minimums charged (`minimum` among the kinds of its scope) comes after those that do
    not, so that nothing is topped up twice, or left above a maximum.
  - A maximum takes off all that is above it, from the item on that the invoice lists first (`line_order`), and also
    where the rest of the invoice is below zero: it is what something costs, and no payment.
  - Goodwill (a one-off item below zero) counts towards neither: it is given, not spent. At least 100 with 15.00 of
    goodwill are 85.00 to pay, and at most 100 as well; counted, a minimum would charge it again and a maximum keep it.
    A fee that is given back counts below zero, as it counted when it was charged: both together count nothing.
  - One that ran for a part of its months (`commitments.runs_from`, `runs_until`) is in proportion, by the second: at
    least 100 for 10 of 30 days is 33.33. It is not rounded by itself; the invoice is, as always.
  - A minimum over several months charges in the last of them only; until then it counts.
Keeps out: which month of a commitment this is, and what the months before came to.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from fly_billing.invoicing.rules.draft import InvoiceInProgress
from fly_billing.invoicing.rules.inputs import Commitment
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.term_items import listed, term_item
from fly_billing.money import EXACT, exact_sum, plain

PRODUCT = "Commitments"


def apply_commitments(draft: InvoiceInProgress) -> None:
    """Add an item for what is above a maximum (below zero), and one for what is missing to a minimum that is due.

    The `detail` of both has `base`: what is left of the items that it is about. A maximum's: `maximum`, `applied_to`
    (what it took from which). A minimum's: `minimum`, `counted_before` (in earlier months), `counted` (which items).
    `draft.counted` gets what counts towards each minimum, whether it is due or not.
    """
    for commitment in sorted(draft.account.commitments, key=_order):
        same_currency(
            commitment.currency, draft.account.currency, f"commitment {commitment.description!r}",
            f"end it (commitments.last_month), and agree on one in {draft.account.currency}",
        )  # fmt: skip
        if commitment.kind == "maximum":
            _cut_down(draft, commitment)
        else:
            _top_up(draft, commitment)


def _order(commitment: Commitment) -> tuple[bool, Decimal, bool, str]:
    counts_minimums = "minimum" in commitment.scope.kinds
    return counts_minimums, commitment.bound, commitment.kind == "maximum", str(commitment.id)


def _counted(draft: InvoiceInProgress, commitment: Commitment) -> list[InvoiceItem]:
    return [item for item in draft.covered(commitment.scope) if item.kind != "one_off" or item.amount >= 0]


def _prorated(commitment: Commitment) -> dict[str, str]:
    """Return how the amount of one that ran for a part of its months came about; nothing where it is whole."""
    if commitment.ran_seconds is None or commitment.whole_seconds is None:
        return {}
    ran, whole = plain(max(commitment.ran_seconds, Decimal(0))), plain(commitment.whole_seconds)
    return {"agreed": plain(commitment.amount), "ran_seconds": ran, "whole_seconds": whole}


def _cut_down(draft: InvoiceInProgress, commitment: Commitment) -> None:
    base = exact_sum([draft.left[item.id] for item in _counted(draft, commitment)])
    if base <= commitment.bound:
        return
    above = EXACT.subtract(base, commitment.bound)
    parts = draft.fill(commitment.scope, above)
    item = term_item(
        draft,
        "maximum",
        commitment.id,
        PRODUCT,
        commitment.description,
        EXACT.minus(above),
        {"maximum": plain(commitment.bound), "base": plain(base), "applied_to": listed(draft, parts)}
        | _prorated(commitment),
    )
    draft.take_off(replace(item, commitment_id=commitment.id), parts)


def _top_up(draft: InvoiceInProgress, commitment: Commitment) -> None:
    counted = {item.id: draft.left[item.id] for item in _counted(draft, commitment)}
    base = exact_sum(list(counted.values()))
    draft.counted[commitment.id] = base
    missing = EXACT.subtract(commitment.bound, EXACT.add(commitment.counted_before, base))
    if not commitment.is_due or missing <= 0:
        return
    item = term_item(
        draft,
        "minimum",
        commitment.id,
        PRODUCT,
        commitment.description,
        missing,
        {
            "minimum": plain(commitment.bound),
            "counted_before": plain(commitment.counted_before),
            "base": plain(base),
            "counted": listed(draft, counted),
        }
        | _prorated(commitment),
    )
    draft.charge(replace(item, commitment_id=commitment.id))
