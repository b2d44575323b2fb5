"""Assembling an invoice: usage, recurring fees and one-off items become items that add up to the cent.

The order of steps, for a reader to argue with:
  1. every rollup finds its price version;            `_usage_items`
  2. the free allowance is taken off, the price model turns the rest into steps, minimum and maximum bound them,
     all versions of a price together in time order;  `rating.rate_month`
  3. each version becomes an item;                    `_usage_item`
  4. recurring fees, prorated by the second;          `_subscription_item`
  5. one-off items as they are;                       `_one_off_item`
  6. the exact amounts are added and rounded once;    `assemble_invoice`
  7. the cents are shared out by largest remainder.   `assemble_invoice`
Keeps out: where the data comes from, when an invoice may be finalized.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.domain.errors import not_computable
from fly_billing.domain.money import exact_sum, plain, share_out_cents, to_cents
from fly_billing.domain.periods import BillingMonth, overlap_seconds
from fly_billing.domain.price_models import PriceStep
from fly_billing.domain.prices import Price, PriceBook
from fly_billing.domain.rating import Rated, rate_month

INVOICES = uuid5(NAMESPACE_URL, "fly_billing/invoices")


@dataclass(frozen=True)
class UsageRollup:
    """An organization's quantity of one meter and one set of dimensions, in one stretch of the month.

    `segment_start` is the month's start, or the moment inside it from which another price version holds.
    """

    id: UUID
    meter: str
    dimensions: Mapping[str, str]
    segment_start: datetime
    segment_end: datetime
    quantity: Decimal


@dataclass(frozen=True)
class Subscription:
    """A recurring fee, billed in arrears and prorated by the second."""

    id: UUID
    price_key: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True)
class OneOffItem:
    """A single charge, or a credit where the amount is below zero."""

    id: UUID
    description: str
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class InvoiceItem:
    """One line of an invoice with all that is needed to work it out again by hand."""

    id: UUID
    kind: str
    product: str
    description: str
    quantity: Decimal
    unit: str
    amount: Decimal
    amount_cents: int = 0
    price_id: UUID | None = None
    subscription_id: UUID | None = None
    one_off_item_id: UUID | None = None
    rollup_ids: tuple[UUID, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Invoice:
    """One organization's invoice for one month and revision; `amount` is exact, `total_cents` rounded once."""

    id: UUID
    organization_id: str
    month: BillingMonth
    revision: int
    currency: str
    amount: Decimal
    total_cents: int
    items: tuple[InvoiceItem, ...]


def invoice_id(organization_id: str, month: BillingMonth, revision: int = 0) -> UUID:
    """Return the one identity this invoice can have: billing a month again can't make a second invoice."""
    return uuid5(INVOICES, f"{organization_id}|{month}|{revision}")


def assemble_invoice(
    organization_id: str,
    currency: str,
    month: BillingMonth,
    rollups: Sequence[UsageRollup],
    subscriptions: Sequence[Subscription],
    one_offs: Sequence[OneOffItem],
    prices: PriceBook,
    revision: int = 0,
) -> Invoice:
    """Assemble the invoice. Same input, same invoice, to the item's id.

    Raises BillingError (`unpriced_usage`, `ambiguous_price`, `price_changed_inside_rollup`,
    `unpriced_subscription`, `currency_mismatch`).
    """
    identity = invoice_id(organization_id, month, revision)
    items = [
        *_usage_items(identity, currency, rollups, prices),
        *(_subscription_item(identity, currency, month, one, prices) for one in _active(subscriptions, month)),
        *(_one_off_item(identity, currency, one) for one in one_offs),
    ]
    items.sort(key=lambda item: (_KIND_ORDER[item.kind], item.product, item.description, str(item.id)))
    cents = share_out_cents([item.amount for item in items], currency)
    items = [replace(item, amount_cents=share) for item, share in zip(items, cents, strict=True)]
    amount = exact_sum([item.amount for item in items])
    return Invoice(
        identity, organization_id, month, revision, currency, amount, to_cents(amount, currency), tuple(items)
    )


_KIND_ORDER = {"usage": 0, "subscription": 1, "one_off": 2}


def _usage_items(invoice: UUID, currency: str, rollups: Sequence[UsageRollup], prices: PriceBook) -> list[InvoiceItem]:
    priced: dict[UUID, list[UsageRollup]] = defaultdict(list)
    versions: dict[UUID, Price] = {}
    for rollup in rollups:
        price = _price_of(rollup, prices)
        versions[price.id] = price
        priced[price.id].append(rollup)
    by_key: dict[str, list[Price]] = defaultdict(list)
    for price in sorted(versions.values(), key=lambda one: (one.key, one.effective_from)):
        _same_currency(price.currency, currency, f"price {price.key!r}")
        by_key[price.key].append(price)
    items = []
    for same_price in by_key.values():
        quantities = [exact_sum([rollup.quantity for rollup in priced[price.id]]) for price in same_price]
        rated = rate_month(list(zip(same_price, quantities, strict=True)))
        for price, one in zip(same_price, rated, strict=True):
            items.append(_usage_item(invoice, price, priced[price.id], one))
    return items


def _price_of(rollup: UsageRollup, prices: PriceBook) -> Price:
    if prices.changes_inside(rollup.meter, rollup.dimensions, rollup.segment_start, rollup.segment_end):
        raise not_computable(
            "price_changed_inside_rollup",
            f"the price changes between {rollup.segment_start:%Y-%m-%d %H:%M}Z and"
            f" {rollup.segment_end:%Y-%m-%d %H:%M}Z, inside one rollup of {rollup.meter!r} with"
            f" {dict(rollup.dimensions)}: materialize usage_rollups for this month again, then invoices",
            retryable=True,
        )
    return prices.for_usage(rollup.meter, rollup.dimensions, rollup.segment_start)


def _usage_item(invoice: UUID, price: Price, rollups: Sequence[UsageRollup], rated: Rated) -> InvoiceItem:
    return InvoiceItem(
        id=uuid5(invoice, f"price|{price.id}"),
        kind="usage",
        product=price.product,
        description=price.description,
        quantity=rated.quantity,
        unit=price.unit,
        amount=rated.amount,
        price_id=price.id,
        rollup_ids=tuple(rollup.id for rollup in rollups),
        detail=_explain(rated.steps, price, rated.allowance_used),
    )


def _explain(steps: Sequence[PriceStep], price: Price, free: Decimal) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "price": price.key,
        "price_effective_from": price.effective_from.isoformat(),
        "steps": [step.as_data() for step in steps],
    }
    return detail | ({"free_allowance_used": plain(free)} if free else {})


def _active(subscriptions: Sequence[Subscription], month: BillingMonth) -> list[Subscription]:
    return [one for one in subscriptions if overlap_seconds(month, one.started_at, one.ended_at) > 0]


def _subscription_item(
    invoice: UUID, currency: str, month: BillingMonth, subscription: Subscription, prices: PriceBook
) -> InvoiceItem:
    price = prices.for_key(subscription.price_key, max(month.start, subscription.started_at))
    _same_currency(price.currency, currency, f"price {price.key!r}")
    quantity, unit, per = _share_of_month(month, subscription)
    fee = exact_sum([step.amount for step in price.model.steps(Decimal(1))])
    steps = [PriceStep.of("share of the month", quantity, fee, per)]
    return InvoiceItem(
        id=uuid5(invoice, f"subscription|{subscription.id}"),
        kind="subscription",
        product=price.product,
        description=price.description,
        quantity=quantity,
        unit=unit,
        amount=steps[0].amount,
        price_id=price.id,
        subscription_id=subscription.id,
        detail=_explain(steps, price, Decimal(0)),
    )


def _share_of_month(month: BillingMonth, subscription: Subscription) -> tuple[Decimal, str, Decimal]:
    """Return (quantity, unit, per): the whole month, or so many of its seconds."""
    seconds = overlap_seconds(month, subscription.started_at, subscription.ended_at)
    if seconds == month.seconds:
        return Decimal(1), "month", Decimal(1)
    return Decimal(seconds), "second", Decimal(month.seconds)


def _one_off_item(invoice: UUID, currency: str, one_off: OneOffItem) -> InvoiceItem:
    _same_currency(one_off.currency, currency, f"one-off item {one_off.id}")
    return InvoiceItem(
        id=uuid5(invoice, f"one_off|{one_off.id}"),
        kind="one_off",
        product="One-off",
        description=one_off.description,
        quantity=Decimal(1),
        unit="item",
        amount=one_off.amount,
        one_off_item_id=one_off.id,
    )


def _same_currency(found: str, wanted: str, what: str) -> None:
    if found != wanted:
        raise not_computable(
            "currency_mismatch",
            f"{what} is in {found}, the organization is billed in {wanted}: give it a price in {wanted}",
        )
