"""Proration: the share of an interval's fee that a subscription owes for the time that it ran.

A subscription's `proration` says how the part is counted:
  - `second`: in seconds. 46.5 days of a quarter with 92 days are 4,017,600 of 7,948,800 seconds.
  - `day`: in UTC days. The day on which the subscription begins counts, the day on which it ends does not.
  - `none`: the whole fee, however short the part is.

Add other ways to count a share of time here. Not here: the fee (`pricing.rules.rating`), its invoice
(`steps.subscriptions`), and commitments, which are prorated by the second (`inputs.Commitment.bound`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from fly_billing.invoicing.rules.inputs import Subscription
from fly_billing.periods import BillingMonth, Span, overlap_days, overlap_seconds


@dataclass(frozen=True)
class IntervalShare:
    """The charged part of an interval: `quantity` of `per` units. A whole quarter is (1, "quarter", 1)."""

    quantity: Decimal
    unit: str
    per: Decimal


NOTHING = IntervalShare(Decimal(0), "second", Decimal(1))


def share_of_month(subscription: Subscription, month: BillingMonth) -> IntervalShare:
    """Return the part of the calendar month that the subscription ran, its trial included."""
    return _share(month, "month", subscription.proration, subscription.started_at, subscription.ended_at)


def share_of_interval(subscription: Subscription, period: Span, interval: str) -> IntervalShare:
    """Return the part of the interval that the subscription is charged for: from the end of its trial on."""
    return _share(period, interval, subscription.proration, subscription.paid_from, subscription.ended_at)


def _share(span: Span, name: str, proration: str, started: datetime, ended: datetime | None) -> IntervalShare:
    seconds = overlap_seconds(span, started, ended)
    if proration == "day":
        share = IntervalShare(
            Decimal(overlap_days(span, started, ended)), "day", Decimal(overlap_days(span, span.start, None))
        )
    else:
        share = IntervalShare(Decimal(seconds), "second", Decimal(overlap_seconds(span, span.start, None)))
    if share.quantity == share.per or (proration == "none" and seconds):
        return IntervalShare(Decimal(1), name, Decimal(1))
    return share if share.quantity else NOTHING
