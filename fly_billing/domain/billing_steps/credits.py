"""Credits: prepaid or granted money pays for what is left of the items that it may pay for.

The rules, for a reader to argue with:
  - The order is that of `CreditGrant`: lower priority first, then what expires sooner, then what was granted earlier.
    Whoever grants a credit says by its priority what it is for: one that is bound to a region comes before a free one
    only so. Of equal ones, what would be lost sooner is used first.
  - A credit pays for a month that begins before it expires and ends after it was granted. A month is paid as a whole:
    one that expires on the 2nd still pays for what happened on the 30th, one granted on the 30th for what happened on
    the 2nd. To the second would be stricter, and nobody could see from an invoice what a credit was good for. This is
    the kind choice: in doubt it is the customer's money.
  - It fills the item first that the invoice lists first (`invoice_items.line_order`), and never takes more than what it
    may pay for comes to, or than the invoice comes to: what was given back elsewhere needs no credit. What is left of
    it stays for later months.
Keeps out: the ledger. `available` is read from it before; what is drawn here is booked in it when the invoice is final.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.domain.account import CreditGrant
from fly_billing.domain.billing_steps.term_items import listed, term_item
from fly_billing.domain.draft import Draft
from fly_billing.domain.money import EXACT, exact_sum, plain
from fly_billing.domain.periods import BillingMonth

_NEVER = datetime.max.replace(tzinfo=UTC)


def draw_credits(draft: Draft) -> None:
    """Add an item below zero per credit that pays for something.

    Its `detail`: what was `available` of the credit, what was `drawn` now and what is `left` of it, and `applied_to`:
    what it paid of which item.
    """
    for credit in sorted(draft.account.credits, key=_order):
        if _pays_for(credit, draft.account.month):
            parts = draft.parts_of(credit.scope, credit.available)
            if parts:
                _draw(draft, credit, parts)


def _order(credit: CreditGrant) -> tuple[int, datetime, datetime, str]:
    return credit.priority, credit.expires_at or _NEVER, credit.granted_at, str(credit.id)


def _pays_for(credit: CreditGrant, month: BillingMonth) -> bool:
    return credit.granted_at < month.end and (credit.expires_at is None or month.start < credit.expires_at)


def _draw(draft: Draft, credit: CreditGrant, parts: dict[UUID, Decimal]) -> None:
    drawn = exact_sum(list(parts.values()))
    item = term_item(
        draft,
        "credit",
        credit.id,
        "Credits",
        credit.description,
        EXACT.minus(drawn),
        {
            "available": plain(credit.available),
            "drawn": plain(drawn),
            "left": plain(EXACT.subtract(credit.available, drawn)),
            "applied_to": listed(draft, parts),
        },
    )
    draft.take_off(replace(item, credit_grant_id=credit.id), parts)
