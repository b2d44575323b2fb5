"""Recurring fees: in arrears or in advance, for the part of the month that they ran.

One in advance is charged a month ahead as things stand then. What turns out otherwise (it began, ended or changed
since) is the difference between what the month costs and what was charged for it before: so an upgrade, a cancellation
and a forgotten month are put right by the same rule, and nothing is charged twice.

A fee that is given back returns what was paid: the discounts of the invoice that charged it are taken back in
proportion. At 50 % off, 14.50 were paid for 29.00; half of the month unused gives back 14.50 less 7.25. Discounts of
the month that gives back do not matter.

A whole month's fee is the subscribed quantity rated like usage: free allowance, model, minimum and maximum. Then it is
prorated.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.domain.account import Member, Subscription
from fly_billing.domain.billing_steps.currencies import same_currency
from fly_billing.domain.billing_steps.price_detail import negotiated_detail, price_detail
from fly_billing.domain.billing_steps.term_items import listed
from fly_billing.domain.draft import Draft
from fly_billing.domain.invoice_items import InvoiceItem, is_ahead
from fly_billing.domain.money import EXACT, exact_sum, plain
from fly_billing.domain.periods import BillingMonth, overlap_days, overlap_seconds
from fly_billing.domain.price_models import PriceStep
from fly_billing.domain.prices import Price
from fly_billing.domain.rating import rate


@dataclass(frozen=True)
class Share:
    """The part of a month that a fee is for: `quantity` of `per` units; (1, "month", 1) is all of it."""

    quantity: Decimal
    unit: str
    per: Decimal


NOTHING = Share(Decimal(0), "second", Decimal(1))
WHOLE = Share(Decimal(1), "month", Decimal(1))


def share_of_month(subscription: Subscription, month: BillingMonth) -> Share:
    """Return the part of the month that the subscription is charged for."""
    started, ended = subscription.started_at, subscription.ended_at
    seconds = overlap_seconds(month, started, ended)
    if subscription.proration == "day":
        share = Share(Decimal(overlap_days(month, started, ended)), "day", Decimal(month.days))
    elif subscription.proration == "second":
        share = Share(Decimal(seconds), "second", Decimal(month.seconds))
    else:
        share = WHOLE if seconds else NOTHING
    if share.quantity == share.per:
        return WHOLE
    return share if share.quantity else NOTHING


def charge_subscriptions(draft: Draft) -> None:
    """Raises BillingError (`unpriced_subscription`, `currency_mismatch`)."""
    for member in draft.account.members:
        for subscription in member.subscriptions:
            for item in _items(draft, member, subscription):
                is_given_back = item.amount < 0 and not is_ahead(item, draft.account.month)
                draft.charge(item, draft.account.taxes_before if is_given_back else None)
                if item.amount < 0:
                    _take_back_discounts(draft, item, subscription)
    for item in draft.account.charged_ahead or ():
        if item.kind == "discount":
            draft.take_off(item, _parts_given_back(item))
        else:
            draft.charge(item)


def _parts_given_back(item: InvoiceItem) -> dict[UUID, Decimal]:
    return {UUID(part["item"]): Decimal(part["amount"]) for part in item.detail["applied_to"]}


def _take_back_discounts(draft: Draft, item: InvoiceItem, subscription: Subscription) -> None:
    """Add an item above zero per discount of a fee that is given back: the same part of it as of the fee."""
    if is_ahead(item, draft.account.month):
        charged, discounts = subscription.billed_ahead, subscription.discounts_ahead
    else:
        charged, discounts = subscription.billed_before, subscription.discounts_before
    for discount in discounts:
        step = PriceStep.of("taken off when it was charged", discount.amount, EXACT.minus(item.amount), charged)
        part = {item.id: EXACT.minus(step.amount)}
        returned = InvoiceItem(
            id=draft.item_id(f"discount|{discount.discount_id}|{item.id}"),
            kind="discount",
            organization_id=draft.account.organization_id,
            product="Discounts",
            description=f"{discount.description}, on the fee given back",
            quantity=Decimal(1),
            unit="item",
            amount=step.amount,
            discount_id=discount.discount_id,
            detail={"code": discount.code, "steps": [step.as_data()], "applied_to": listed(draft, part)},
        )
        draft.take_off(returned, part)


def _items(draft: Draft, member: Member, subscription: Subscription) -> Iterator[InvoiceItem]:
    month = draft.account.month
    months = [(month, subscription.billed_before)]
    if subscription.billed == "in_advance" and draft.account.charged_ahead is None:
        months.append((month.next(), subscription.billed_ahead))
    for one, billed_before in months:
        share = share_of_month(subscription, one)
        if share == NOTHING and not billed_before:
            continue
        item = _item(draft, member, subscription, one, share, billed_before)
        # An empty item would only say that all was right.
        if item.amount or not billed_before:
            yield item


def _item(
    draft: Draft,
    member: Member,
    subscription: Subscription,
    month: BillingMonth,
    share: Share,
    billed_before: Decimal,
) -> InvoiceItem:
    moment = max(month.start, subscription.started_at)
    # What is only given back was charged while its price was in force: that one may have ended since.
    find = member.prices.last_for_key if share == NOTHING else member.prices.for_key
    price = find(subscription.price_key, moment)
    same_currency(price.currency, draft.account.currency, f"price {price.key!r}")
    steps = _steps(price, subscription, share, billed_before)
    for_next = month != draft.account.month
    start, end = _period(subscription, month)
    return InvoiceItem(
        id=draft.item_id(f"subscription|{subscription.id}" + (f"|{month}" if for_next else ""), member.organization_id),
        kind="subscription",
        organization_id=member.organization_id,
        product=price.product,
        description=price.description + (f", {month} in advance" if for_next else ""),
        quantity=share.quantity,
        unit=share.unit,
        amount=exact_sum([step.amount for step in steps]),
        price_id=price.list_price.id,
        negotiated_price_id=price.negotiated.id if price.negotiated else None,
        price_key=price.key,
        subscription_id=subscription.id,
        period_start=start,
        period_end=end,
        detail=price_detail(price, steps)
        | negotiated_detail(price, _steps(price.list_price, subscription, share, billed_before))
        | ({"subscribed": plain(subscription.quantity)} if subscription.quantity != 1 else {})
        | ({"billed_before": plain(billed_before)} if billed_before else {}),
    )


def _steps(price: Price, subscription: Subscription, share: Share, billed_before: Decimal) -> list[PriceStep]:
    steps = []
    if share != NOTHING:
        fee = rate(price, subscription.quantity).amount
        steps.append(PriceStep.of("share of the month", share.quantity, fee, share.per))
    if billed_before:
        steps.append(PriceStep.fee("charged before", EXACT.minus(billed_before)))
    return steps


def _period(subscription: Subscription, month: BillingMonth) -> tuple[datetime, datetime]:
    """Return the part of the month that it ran; where it did not at all, the month in which it was charged."""
    start = max(month.start, subscription.started_at)
    end = min(month.end, subscription.ended_at or month.end)
    return (start, end) if start < end else (month.start, month.end)
