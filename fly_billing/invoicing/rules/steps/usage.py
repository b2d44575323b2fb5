"""Usage: finds the price version of every rollup, and rates all versions of a price together, in time order.

A price with `at_zero: item` charges every organization of its book in each month that it is in force, even without
usage. The version in force at the end of the month decides.

A version may apply again after a temporary offer ends. It then has two parts in the month: the month is rated in time
order, and the version of the last part decides the minimum. A negotiated price for some dimensions is a part of its
own, before the part for the other dimensions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from uuid import UUID

from fly_billing.errors import not_computable
from fly_billing.invoicing.rules.inputs import Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.proration import share_of_month
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.price_detail import negotiated_detail, price_detail
from fly_billing.money import exact_sum, plain
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.rating import Rated, rate_month

WHOLE = Fraction(1)


def charge_usage(invoice: InvoiceInProgress) -> None:
    """Add an item per organization and price version, rated by `rating.rate_month`.

    Raises BillingError (`unpriced_usage`, `ambiguous_price`, `price_changed_inside_rollup`, `currency_mismatch`).
    """
    for member in invoice.inputs.members:
        for versions in _by_price(member, invoice.inputs.month, invoice.inputs.currency):
            parts = [(price, exact_sum([rollup.quantity for rollup in rollups])) for price, rollups in versions]
            rated = _rated(parts, member, invoice.inputs.month)
            at_list: Sequence[Rated | None] = [None] * len(parts)
            if any(price.negotiated for price, _ in parts):
                listed = [(price.list_price, quantity) for price, quantity in parts]
                at_list = _rated(listed, member, invoice.inputs.month)
            seen: set[UUID] = set()
            for (price, rollups), result, list_result in zip(versions, rated, at_list, strict=True):
                again = f"|{rollups[0].segment_start.isoformat()}" if price.id in seen else ""
                seen.add(price.id)
                invoice.charge(_item(invoice, member, price, rollups, result, list_result, again))


def _rated(parts: Sequence[tuple[Price, Decimal]], member: Member, month: BillingMonth) -> list[Rated]:
    return rate_month(parts, share=[_share(price, member.subscriptions, month) for price, _ in parts])


def _by_price(member: Member, month: BillingMonth, currency: str) -> list[list[tuple[Price, list[UsageRollup]]]]:
    """Return the versions of each price with the rollups that they price, in time order."""
    priced: dict[UUID, list[UsageRollup]] = defaultdict(list)
    versions: dict[UUID, Price] = {}
    for rollup in member.rollups:
        price = _price_of(rollup, member.prices)
        versions[price.id] = price
        priced[price.id].append(rollup)
    used = {price.key for price in versions.values()}
    for price in member.prices.charged_at_zero(month.start, month.end):
        if price.key not in used:
            versions[price.id] = price
    by_key: dict[str, list[tuple[Price, list[UsageRollup]]]] = defaultdict(list)
    for price in sorted(versions.values(), key=lambda version: (version.key, version.effective_from)):
        same_currency(price.currency, currency, f"price {price.key!r}")
        by_key[price.key].append((price, priced[price.id]))
    return [parts if len(parts) == 1 else _in_time_order(parts) for parts in by_key.values()]


def _in_time_order(parts: list[tuple[Price, list[UsageRollup]]]) -> list[tuple[Price, list[UsageRollup]]]:
    """Split a price's versions into parts in time order: a version that applies again has a second part."""
    by_time = sorted(
        ((price, rollup) for price, rollups in parts for rollup in rollups),
        key=lambda priced: (priced[1].segment_start, *_place(priced[0])),
    )
    runs = [list(run) for _, run in groupby(by_time, key=lambda priced: priced[0].id)]
    return [(run[0][0], [rollup for _, rollup in run]) for run in runs]


def _place(price: Price) -> tuple[bool, datetime, str]:
    """Order the parts of one segment: prices negotiated for some dimensions, then the price for the others."""
    is_for_some = price.negotiated is not None and bool(price.negotiated.match)
    return not is_for_some, price.effective_from, str(price.id)


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


def _share(price: Price, subscriptions: Sequence[Subscription], month: BillingMonth) -> Fraction:
    """Return the multiplier of the allowance: 1, or the units of the plans that include it.

    A plan that ran for part of the month counts for that part: three seats for half of the month grant 1 1/2 times.
    """
    if price.allowance_with is None:
        return WHOLE
    plans = [plan for plan in subscriptions if plan.price_key == price.allowance_with]
    return sum((_plan_months(plan, month) for plan in plans), Fraction(0))


def _plan_months(subscription: Subscription, month: BillingMonth) -> Fraction:
    share = share_of_month(subscription, month)
    return Fraction(subscription.quantity) * Fraction(share.quantity) / Fraction(share.per)


def _item(
    invoice: InvoiceInProgress,
    member: Member,
    price: Price,
    rollups: Sequence[UsageRollup],
    rated: Rated,
    at_list: Rated | None,
    again: str,
) -> InvoiceItem:
    """Make the item of one price version.

    Args:
        invoice: The invoice that the item is for.
        member: The organization that used it.
        price: The price version.
        rollups: The usage that it prices.
        rated: The result of rating the usage.
        at_list: The result at the list price, if the price is negotiated.
        again: Distinguishes the ids of a version's parts, if it applies more than once in the month.
    """
    return InvoiceItem(
        id=invoice.item_id(f"price|{price.id}{again}", member.organization_id),
        kind="usage",
        organization_id=member.organization_id,
        product=price.product,
        description=price.description,
        quantity=rated.quantity,
        unit=price.unit,
        amount=rated.amount,
        price_id=price.list_price.id,
        negotiated_price_id=price.negotiated.id if price.negotiated else None,
        price_key=price.key,
        meter=price.meter,
        match=price.match,
        rollup_ids=tuple(rollup.id for rollup in rollups),
        detail=price_detail(price, rated.steps)
        | ({"free_allowance_used": plain(rated.allowance_used)} if rated.allowance_used else {})
        | ({"transformed": {"used": plain(rated.used), **how.to_data()}} if (how := price.transform_quantity) else {})
        | (negotiated_detail(price, at_list.steps, at_list.allowance_used) if at_list else {}),
    )
