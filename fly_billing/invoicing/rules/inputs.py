"""All that one invoice is made of: who pays, for whom, what they used and bought, and on which terms. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from uuid import UUID

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_product, exact_sum
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import check_amount, exact_number
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import CHARGES, Scope
from fly_billing.pricing.rules.tax_rates import Rates, TaxRate, differ_by_item

COMMITMENTS = ("minimum", "maximum")
BILLED = ("in_arrears", "in_advance")
PAYS = ("net", "gross")
PRORATIONS = ("second", "day", "none")
ANCHORS = ("calendar", "start")
# What a credit pays for, unless its scope says otherwise: all but taxes, which are worked out from what is left.
CREDITABLE = (*CHARGES, "adjustment", "minimum")
ALL_CHARGES = Scope()
ALL_CREDITABLE = Scope(kinds=CREDITABLE)


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
class DiscountTaken:
    """What a discount took off a fee when the fee was charged; `amount` is above zero."""

    discount_id: UUID
    code: str
    description: str
    amount: Decimal


@dataclass(frozen=True)
class CreditPaid:
    """What a credit paid of a fee, less what it got back; `amount` is above zero, with taxes if it pays `gross`."""

    grant_id: UUID
    description: str
    amount: Decimal
    pays: str = "net"


@dataclass(frozen=True)
class FeeCharged:
    """What other invoices charged of a subscription's fee for the interval `[start, end)`, before discounts.

    `amount` is net of what they gave back, and of booked corrections. `month` is that of the last invoice that charged
    it, whose tax rates hold for what is given back. `discounts` is what was taken off, `credits` what credits paid of
    the rest, in the order in which they were drawn. `currency`; None: the invoice's.
    """

    start: datetime
    end: datetime
    amount: Decimal
    month: BillingMonth
    discounts: tuple[DiscountTaken, ...] = ()
    credits: tuple[CreditPaid, ...] = ()
    currency: str | None = None

    @property
    def discounted(self) -> Decimal:
        return exact_sum([one.amount for one in self.discounts])


@dataclass(frozen=True)
class Subscription:
    """A recurring fee for `quantity` of something (seats, addresses) in `[started_at, ended_at)`.

    The fee is charged from `paid_from` on: until `trial_ends_at` it is free. `anchor`: its intervals are those of the
    calendar, or counted from its start (`anchored_at`, else `paid_from`). `billed`: in_arrears, on the invoice of the
    month in which the interval ends; or in_advance, on the invoice before it begins, and what turns out otherwise is
    put right by later ones. `proration`: by the second, by the day (the day on which it begins counts, the day on which
    it ends does not: that one belongs to what follows), or none (every interval it runs in is charged whole).
    `charged`: what other invoices charged for each interval that is not over when the month begins.
    """

    id: UUID
    price_key: str
    started_at: datetime
    ended_at: datetime | None
    quantity: Decimal = Decimal(1)
    billed: str = "in_arrears"
    proration: str = "second"
    anchor: str = "calendar"
    trial_ends_at: datetime | None = None
    anchored_at: datetime | None = None
    charged: tuple[FeeCharged, ...] = ()

    def __post_init__(self) -> None:
        name = f"subscription {self.price_key!r}"
        if self.billed not in BILLED:
            raise ValueError(f"{name}: billed {self.billed!r}; known are {', '.join(BILLED)}")
        if self.proration not in PRORATIONS:
            raise ValueError(f"{name}: proration {self.proration!r}; known are {', '.join(PRORATIONS)}")
        if exact_number(f"{name}: quantity", self.quantity) == 0:
            raise ValueError(f"{name}: quantity must be above 0")
        if self.ended_at is not None and self.ended_at < self.started_at:
            raise ValueError(f"{name}: ended_at {self.ended_at} is before started_at {self.started_at}")
        if self.anchor not in ANCHORS:
            raise ValueError(f"{name}: anchor {self.anchor!r}; known are {', '.join(ANCHORS)}")
        if self.trial_ends_at is not None and self.trial_ends_at < self.started_at:
            raise ValueError(f"{name}: trial_ends_at {self.trial_ends_at} is before started_at {self.started_at}")
        if self.anchored_at is not None and (self.anchor != "start" or self.anchored_at > self.started_at):
            raise ValueError(
                f"{name}: anchored_at {self.anchored_at} is for anchor start, not after started_at {self.started_at}"
            )

    @property
    def paid_from(self) -> datetime:
        return self.trial_ends_at or self.started_at

    def charged_for(self, start: datetime, end: datetime, currency: str) -> FeeCharged | None:
        """Return what other invoices charged in this currency for this interval, if anything."""
        return next(
            (one for one in self.charged if (one.start, one.end) == (start, end) and one.currency in (None, currency)),
            None,
        )


@dataclass(frozen=True)
class OneOffItem:
    """A single charge, or a credit where the amount is below zero.

    With a `unit_amount` (in the currency's major unit) the amount is `quantity` x `unit_amount`, exactly; `unit` is
    what the quantity counts, in the singular. A quantity below zero takes back. `product` is what scopes name, as that
    of a price.
    """

    id: UUID
    description: str
    amount: Decimal
    currency: str
    quantity: Decimal = Decimal(1)
    unit: str = "item"
    unit_amount: Decimal | None = None
    product: str = "One-off"


@dataclass(frozen=True)
class Adjustment:
    """A difference found in a month whose invoice is final: on the next open one, once. Below zero: given back.

    `taxes` are the rates of that month. `taxed`: how much of it is taxed at which of them, where that differs by item;
    the parts add up to the amount and may have both signs, as a discount moves from one item to another.
    `about`: whose usage or fee it corrects, where that is not the organization that paid the month and gets it.
    `is_after_tax`: it goes back to a credit that pays after tax, and is not taxed.
    """

    id: UUID
    month: BillingMonth
    product: str
    description: str
    amount: Decimal
    currency: str
    causes: tuple[str, ...] = ()
    taxes: tuple[TaxRate, ...] = ()
    taxed: tuple[tuple[Rates, Decimal], ...] = ()
    about: str | None = None
    is_after_tax: bool = False


@dataclass(frozen=True)
class Discount:
    """A percentage (0 to 100) or an amount off what `scope` covers; lower `order` first, then as granted.

    Exactly one of `percent` and `amount` is given; an amount is per month and never takes anything below zero.
    `currency` is the amount's; None: the invoice's, as with all terms.
    Raises ValueError naming the discount and what is wrong with it, as all terms do.
    """

    id: UUID
    code: str
    description: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    scope: Scope = ALL_CHARGES
    order: int = 0
    currency: str | None = None

    def __post_init__(self) -> None:
        name = f"discount {self.code!r}"
        if (self.percent is None) == (self.amount is None):
            raise ValueError(f"{name}: percent {self.percent}, amount {self.amount}; give it exactly one of the two")
        if self.percent is not None:
            _check_percent(name, self.percent)
        if self.amount is not None:
            check_amount(f"{name}: amount", self.amount)
        _check_kinds(name, self.scope, CHARGES)


@dataclass(frozen=True)
class Commitment:
    """What `scope` covers must come to at least (`minimum`) or at most (`maximum`) `amount`, after discounts.

    A minimum may run over several months: `counted_before` is what the earlier ones came to, and only in the last
    (`is_due`) the rest is charged. A maximum is a month's. Where it ran for a part of its months only, it is in
    proportion: `ran_seconds` of `whole_seconds` (None: it is not prorated).
    """

    id: UUID
    kind: str
    description: str
    amount: Decimal
    scope: Scope = ALL_CHARGES
    is_due: bool = True
    counted_before: Decimal = Decimal(0)
    currency: str | None = None
    ran_seconds: Decimal | None = None
    whole_seconds: Decimal | None = None

    @property
    def bound(self) -> Decimal:
        """The amount for the time that it ran; where the division does not end, to 20 decimal places, half-up."""
        if self.ran_seconds is None or self.whole_seconds is None:
            return self.amount
        return exact_product(max(self.ran_seconds, Decimal(0)), self.amount, self.whole_seconds)

    def __post_init__(self) -> None:
        name = f"commitment {self.description!r}"
        if self.kind not in COMMITMENTS:
            raise ValueError(f"{name}: kind {self.kind!r}; known are {', '.join(COMMITMENTS)}")
        check_amount(f"{name}: amount", self.amount)
        if self.kind == "maximum" and (not self.is_due or self.counted_before):
            raise ValueError(f"{name}: a maximum is a month's; only a minimum may run over several")
        _check_kinds(name, self.scope, (*CHARGES, "minimum"))


@dataclass(frozen=True)
class CreditGrant:
    """Prepaid or granted money: pays for what `scope` covers. `available` is what earlier invoices left of it.

    `pays`: the `net` amount, so that less is taxed (promotions), or the `gross` one, after tax (prepaid, deposits).
    Drawn in this order: those that pay net; then lower `priority` first, then what expires sooner, then what is older.
    """

    id: UUID
    description: str
    available: Decimal
    granted_at: datetime
    expires_at: datetime | None = None
    priority: int = 0
    scope: Scope = ALL_CREDITABLE
    currency: str | None = None
    pays: str = "net"

    def __post_init__(self) -> None:
        name = f"credit {self.description!r}"
        if self.pays not in PAYS:
            raise ValueError(f"{name}: pays {self.pays!r}; known are {', '.join(PAYS)}")
        exact_number(f"{name}: available", self.available)
        if self.expires_at is not None and self.expires_at <= self.granted_at:
            raise ValueError(f"{name}: expires_at {self.expires_at} is not after granted_at {self.granted_at}")
        _check_kinds(name, self.scope, CREDITABLE)


@dataclass(frozen=True)
class Member:
    """One organization's part of an invoice: the payer itself, or one that is linked to it."""

    organization_id: str
    prices: PriceBook
    rollups: Sequence[UsageRollup] = ()
    subscriptions: Sequence[Subscription] = ()
    one_offs: Sequence[OneOffItem] = ()
    adjustments: Sequence[Adjustment] = ()


@dataclass(frozen=True)
class InvoiceInputs:
    """One payer's month. `members` has the payer first; the terms hold for the invoice as a whole.

    `charged_ahead`: of an invoice that is final and calculated again, its fees for intervals that are not over when the
    month is, and the discounts that it took back with such fees that it gave back. They stay as they are: the month in
    which the interval ends corrects them. `earlier_taxes`: the rates of the month before, and of other months that
    charged fees of which something may be given back.
    """

    organization_id: str
    currency: str
    month: BillingMonth
    members: Sequence[Member]
    discounts: Sequence[Discount] = ()
    commitments: Sequence[Commitment] = ()
    credits: Sequence[CreditGrant] = ()
    taxes: Sequence[TaxRate] = ()
    earlier_taxes: Mapping[BillingMonth, Sequence[TaxRate]] = field(default_factory=dict)
    revision: int = 0
    charged_ahead: Sequence[InvoiceItem] | None = None

    @property
    def is_taxed_by_item(self) -> bool:
        """Return True if its items are not all taxed at the same rates."""
        return any(differ_by_item(rates) for rates in (self.taxes, *self.earlier_taxes.values()))

    def fee_charged(self, item: InvoiceItem) -> FeeCharged | None:
        """Return what other invoices charged for the interval of this fee, if anything."""
        found = self._subscriptions.get(item.subscription_id)
        if found is None or item.interval_start is None or item.interval_end is None:
            return None
        return found.charged_for(item.interval_start, item.interval_end, self.currency)

    def rates_of_fee(self, item: InvoiceItem) -> Sequence[TaxRate]:
        """Return the rates that a fee is taxed at: one that is given back, at those of the month that charged it."""
        if item.amount >= 0:
            return self.taxes
        charged = self.fee_charged(item)
        return self.earlier_taxes.get(charged.month if charged else self.month.plus(-1), ())

    @cached_property
    def _subscriptions(self) -> Mapping[UUID | None, Subscription]:
        return {one.id: one for member in self.members for one in member.subscriptions}


def _check_percent(name: str, percent: Decimal) -> None:
    check_amount(f"{name}: percent", percent)
    if percent > 100:
        raise ValueError(f"{name}: percent {percent} is above 100")


def _check_kinds(name: str, scope: Scope, known: Sequence[str]) -> None:
    """Refuse kinds of items that are not there when the term is applied: it would silently do nothing."""
    if not scope.kinds or not set(scope.kinds) <= set(known):
        raise ValueError(f"{name}: the kinds of its scope are {list(scope.kinds)}; known are {', '.join(known)}")
