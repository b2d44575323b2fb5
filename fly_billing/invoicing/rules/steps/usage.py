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
from itertools import groupby, pairwise

from fly_billing.invoicing.rules.inputs import Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.proration import share_of_month
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.usage_items import item_name, usage_item
from fly_billing.invoicing.rules.steps.usage_prices import PricesByRules, UsagePrices, UsedPrice, known_prices
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import Rated, rate_month

WHOLE = Fraction(1)
# The parts of a price in the month, in time order: each version with the usage that it prices.
Parts = list[tuple[UsedPrice, list[UsageRollup]]]


def charge_usage(invoice: InvoiceInProgress) -> None:
    """Add an item per organization and price version, rated by `rating.rate_month`.

    Raises BillingError (`unpriced_usage`, `ambiguous_price`, `price_changed_inside_rollup`, `currency_mismatch`).
    """
    for member in invoice.inputs.members:
        _charge(invoice, member, known_prices(member.prices))


def charge_usage_by_rules(invoice: InvoiceInProgress) -> None:
    """Add the same items as `charge_usage`, without prepared prices and without anything from other invoices."""
    for member in invoice.inputs.members:
        _charge(invoice, member, PricesByRules())


def _charge(invoice: InvoiceInProgress, member: Member, prices: UsagePrices) -> None:
    for parts in _by_price(member, prices, invoice.inputs.month, invoice.inputs.currency):
        for item in _plain_items(invoice, member, parts) or _items_by_rules(invoice, member, parts):
            invoice.charge(item)


def _plain_items(invoice: InvoiceInProgress, member: Member, parts: Parts) -> list[InvoiceItem]:
    """Return the items of a price whose versions are all plain, each in one part; empty if it is another one.

    Plain versions share nothing in a month: no allowance, tier or bound.
    """
    items = []
    for used, rollups in parts:
        item = used.plain.item(invoice, member.organization_id, rollups) if used.plain else None
        if item is None:
            return []
        items.append(item)
    return items if len(items) == 1 or len({used for used, _ in parts}) == len(items) else []


def _items_by_rules(invoice: InvoiceInProgress, member: Member, parts: Parts) -> list[InvoiceItem]:
    quantities = [(used.price, exact_sum([rollup.quantity for rollup in rollups])) for used, rollups in parts]
    rated = _rated(quantities, member, invoice.inputs.month)
    at_list: Sequence[Rated | None] = [None] * len(parts)
    if any(price.negotiated for price, _ in quantities):
        at_list = _rated([(price.list_price, quantity) for price, quantity in quantities], member, invoice.inputs.month)
    items: list[InvoiceItem] = []
    seen: set[UsedPrice] = set()
    for (used, rollups), result, list_result in zip(parts, rated, at_list, strict=True):
        again = f"|{rollups[0].segment_start.isoformat()}" if used in seen else ""
        seen.add(used)
        name = invoice.item_id(item_name(used.price, again), member.organization_id)
        items.append(usage_item(name, member.organization_id, used.price, rollups, result, list_result))
    return items


def _rated(parts: Sequence[tuple[Price, Decimal]], member: Member, month: BillingMonth) -> list[Rated]:
    return rate_month(parts, share=[_share(price, member.subscriptions, month) for price, _ in parts])


def _by_price(member: Member, prices: UsagePrices, month: BillingMonth, currency: str) -> list[Parts]:
    """Return the versions of each price with the rollups that they price, in time order."""
    priced: dict[UsedPrice, list[UsageRollup]] = defaultdict(list)
    for rollup in member.rollups:
        priced[prices.of(rollup, member.prices)].append(rollup)
    if at_zero := member.prices.charged_at_zero(month.start, month.end):
        used = {version.price.key for version in priced}
        priced |= {prices.version(price): [] for price in at_zero if price.key not in used}
    by_key: dict[str, Parts] = defaultdict(list)
    for version in sorted(priced, key=_order):
        same_currency(version.price.currency, currency, f"price {version.price.key!r}")
        by_key[version.price.key].append((version, priced[version]))
    return [parts if len(parts) == 1 else _in_time_order(parts) for parts in by_key.values()]


def _order(version: UsedPrice) -> tuple[str, datetime]:
    return version.price.key, version.price.effective_from


def _in_time_order(parts: Parts) -> Parts:
    """Split a price's versions into parts in time order: a version that applies again has a second part."""
    if _is_one_after_the_other(parts):
        return parts
    by_time = sorted(
        ((version, rollup) for version, rollups in parts for rollup in rollups),
        key=lambda priced: (priced[1].segment_start, *_place(priced[0].price)),
    )
    runs = [list(run) for _, run in groupby(by_time, key=lambda priced: priced[0])]
    return [(run[0][0], [rollup for _, rollup in run]) for run in runs]


def _is_one_after_the_other(parts: Parts) -> bool:
    """Return True if each version priced one segment, and each segment begins after the one before: the usual case."""
    segments = [{rollup.segment_start for rollup in rollups} for _, rollups in parts]
    return all(len(starts) == 1 for starts in segments) and all(
        min(before) < min(after) for before, after in pairwise(segments)
    )


def _place(price: Price) -> tuple[bool, datetime, str]:
    """Order the parts of one segment: prices negotiated for some dimensions, then the price for the others."""
    is_for_some = price.negotiated is not None and bool(price.negotiated.match)
    return not is_for_some, price.effective_from, str(price.id)


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
