"""Recurring fees: charged for each interval (month, quarter, half-year, year), in arrears or in advance.

The invoice of a fee:
  - In arrears: the invoice of the month in which the interval ends, or the subscription, if that is earlier.
  - In advance: the last invoice before the interval begins. If the subscription begins inside the interval, it is the
    invoice of the month in which it begins. A free trial is never charged: the fee that begins with the end of the
    trial is on the invoice of the month in which the trial ends.
  - Every later invoice, up to the month in which the interval ends, charges the difference if there is one: the current
    price of the interval, less the charges of other invoices. So one rule settles an upgrade, a cancellation and a
    forgotten month, and nothing is charged twice. If a final invoice is recalculated, its charges for intervals that
    had not ended stay: only the month in which an interval ends is corrected.

A refund returns the amount that was paid: the discounts of the charging invoice are taken back in proportion. At 50 %
off, 14.50 were paid for 29.00; if half of the month is unused, 14.50 less 7.25 is given back. Discounts of the month
that gives back do not matter.

The fee of a whole interval is the subscribed quantity, rated like usage (free allowance, model, minimum, maximum) with
the price in force at the first charged moment of the interval. Then it is prorated (`proration`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from fly_billing.errors import not_computable
from fly_billing.invoicing.rules.inputs import FeeCharged, Member, Subscription
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.proration import NOTHING, IntervalShare, share_of_interval
from fly_billing.invoicing.rules.steps.currencies import same_currency
from fly_billing.invoicing.rules.steps.price_detail import negotiated_detail, price_detail
from fly_billing.invoicing.rules.steps.term_items import listed
from fly_billing.money import EXACT, exact_sum, plain
from fly_billing.periods import BillingMonth, span_text
from fly_billing.pricing.rules.intervals import CALENDAR, FeePeriod, fee_periods
from fly_billing.pricing.rules.models import PriceStep
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.rating import rate


def charge_subscriptions(invoice: InvoiceInProgress) -> None:
    """Add an item for each fee and interval that is due, and for the refunds of their discounts.

    Raises:
        BillingError: `unpriced_subscription`, `currency_mismatch`, `mixed_intervals`, `interval_changed`,
            `fee_in_another_currency`.
    """
    for member in invoice.inputs.members:
        for subscription in member.subscriptions:
            for item in _items(invoice, member, subscription):
                _charge(invoice, item)
                if (charged := invoice.inputs.fee_charged(item)) and item.amount < 0:
                    _take_back_discounts(invoice, item, charged)
    for item in invoice.inputs.charged_ahead or ():
        if item.kind == "discount":
            invoice.take_off(item, _parts_given_back(item))
        else:
            _charge(invoice, item)


def _charge(invoice: InvoiceInProgress, item: InvoiceItem) -> None:
    invoice.charge(item, invoice.inputs.rates_of_fee(item) if item.amount < 0 else None)


def _parts_given_back(item: InvoiceItem) -> dict[UUID, Decimal]:
    return {UUID(part["item"]): Decimal(part["amount"]) for part in item.detail["applied_to"]}


def _take_back_discounts(invoice: InvoiceInProgress, item: InvoiceItem, charged: FeeCharged) -> None:
    """Add an item above zero for each discount of a fee given back, in proportion to the part given back."""
    for discount in charged.discounts:
        step = PriceStep.of("discount when charged", discount.amount, EXACT.minus(item.amount), charged.amount)
        part = {item.id: EXACT.minus(step.amount)}
        returned = InvoiceItem(
            id=invoice.item_id(f"discount|{discount.discount_id}|{item.id}"),
            kind="discount",
            organization_id=invoice.inputs.organization_id,
            product="Discounts",
            description=f"{discount.description}, on the fee given back",
            quantity=Decimal(1),
            unit="item",
            amount=step.amount,
            discount_id=discount.discount_id,
            detail={"code": discount.code, "steps": [step.as_data()], "applied_to": listed(invoice, part)},
        )
        invoice.take_off(returned, part)


def _items(invoice: InvoiceInProgress, member: Member, subscription: Subscription) -> Iterator[InvoiceItem]:
    month = invoice.inputs.month
    interval = member.prices.interval_of(subscription.price_key)
    anchor = CALENDAR if subscription.anchor == "calendar" else subscription.anchored_at or subscription.paid_from
    for period in fee_periods(interval, anchor, month.start, month.next().end):
        is_kept = invoice.inputs.charged_ahead is not None and not period.is_over_by(month)
        if is_kept or not _is_due(subscription, period, month):
            continue
        if _is_paid_in_another_currency(subscription, period, invoice.inputs.currency):
            continue
        charged = subscription.charged_for(period.start, period.end, invoice.inputs.currency)
        share = share_of_interval(subscription, period, interval)
        if share == NOTHING and charged is None:
            continue
        _refuse_other_intervals(subscription, period)
        item = _item(invoice, member, subscription, period, share, charged)
        # Skip the empty item of a fee that needs no correction.
        if item.amount or charged is None:
            yield item


def _refuse_other_intervals(subscription: Subscription, period: FeePeriod) -> None:
    """Refuse to charge the same time again under other intervals, as after a change of the price book."""
    for fee in subscription.charged:
        if fee.amount and fee.start < period.end and period.start < fee.end and FeePeriod(fee.start, fee.end) != period:
            raise not_computable(
                "interval_changed",
                f"the fee {subscription.price_key!r} was charged for {span_text(fee.start, fee.end)}, which is not one"
                " of its intervals any more: end the subscription, start a new one, and refund the unused time with a"
                " one-off item",
            )


def _is_paid_in_another_currency(subscription: Subscription, period: FeePeriod, currency: str) -> bool:
    """Return True if the interval was charged in the organization's earlier currency, and so is settled.

    Raises BillingError `fee_in_another_currency` if a part of it would have to be given back.
    """
    for fee in subscription.charged:
        if fee.amount and fee.currency not in (None, currency) and (fee.start, fee.end) == (period.start, period.end):
            if subscription.ended_at is not None and subscription.ended_at < period.end:
                raise not_computable(
                    "fee_in_another_currency",
                    f"the fee {subscription.price_key!r} was charged in {fee.currency} for"
                    f" {span_text(fee.start, fee.end)} and ends earlier: refund the unused time with a one-off item in"
                    f" {currency}, and set ended_at to the end of that interval",
                )
            return True
    return False


def _is_due(subscription: Subscription, period: FeePeriod, month: BillingMonth) -> bool:
    """Return True if the month's invoice charges for the period, or corrects earlier charges for it."""
    if subscription.billed == "in_arrears":
        return min(period.end, subscription.ended_at or period.end) <= month.end
    begins = max(period.start, subscription.paid_from)
    is_trial_over = subscription.trial_ends_at is None or subscription.trial_ends_at <= month.end
    return begins < (month.next().end if is_trial_over else month.end)


def _item(
    invoice: InvoiceInProgress,
    member: Member,
    subscription: Subscription,
    period: FeePeriod,
    share: IntervalShare,
    charged: FeeCharged | None,
) -> InvoiceItem:
    month = invoice.inputs.month
    moment = max(period.start, subscription.paid_from)
    # A price may have ended after it was charged: a refund still needs it.
    find = member.prices.last_for_key if share == NOTHING else member.prices.for_key
    price = find(subscription.price_key, moment)
    same_currency(price.currency, invoice.inputs.currency, f"price {price.key!r}")
    steps = _steps(price, subscription, share, charged)
    is_settled = period.is_over_by(month)
    name = f"subscription|{subscription.id}" + ("" if is_settled else f"|{BillingMonth.containing(period.start)}")
    start, end = _part(subscription, period)
    return InvoiceItem(
        id=invoice.item_id(name, member.organization_id),
        kind="subscription",
        organization_id=member.organization_id,
        product=price.product,
        description=price.description + _which_period(period, start, end, month, is_new=charged is None),
        quantity=share.quantity,
        unit=share.unit,
        amount=exact_sum([step.amount for step in steps]),
        price_id=price.list_price.id,
        negotiated_price_id=price.negotiated.id if price.negotiated else None,
        price_key=price.key,
        subscription_id=subscription.id,
        period_start=start,
        period_end=end,
        interval_start=period.start,
        interval_end=period.end,
        detail=price_detail(price, steps)
        | negotiated_detail(price, _steps(price.list_price, subscription, share, charged))
        | ({"subscribed": plain(subscription.quantity)} if subscription.quantity != 1 else {})
        | ({"billed_before": plain(charged.amount)} if charged and charged.amount else {}),
    )


def _which_period(period: FeePeriod, start: datetime, end: datetime, month: BillingMonth, *, is_new: bool) -> str:
    """Name the time that a fee covers, unless it is the invoice's month; add `in advance` if it ends later."""
    if (period.start, period.end) == (month.start, month.end):
        return ""
    whole = BillingMonth.containing(period.start)
    is_month = (period.start, period.end) == (whole.start, whole.end)
    ahead = " in advance" if end > month.end and (is_new or start >= month.end) else ""
    return f", {whole if is_month else span_text(start, end)}{ahead}"


def _steps(
    price: Price, subscription: Subscription, share: IntervalShare, charged: FeeCharged | None
) -> list[PriceStep]:
    steps = []
    if share != NOTHING:
        fee = rate(price, subscription.quantity).amount
        steps.append(PriceStep.of(f"share of the {price.interval}", share.quantity, fee, share.per))
    if charged and charged.amount:
        steps.append(PriceStep.fee("already charged", EXACT.minus(charged.amount)))
    return steps


def _part(subscription: Subscription, period: FeePeriod) -> tuple[datetime, datetime]:
    """Return the charged part of the period; the whole period if the fee is only given back."""
    start = max(period.start, subscription.paid_from)
    end = min(period.end, subscription.ended_at or period.end)
    return (start, end) if start < end else (period.start, period.end)
