"""The inputs of one invoice: payer and members, their usage and purchases, and the terms. Data only."""

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
# The items that a credit pays for by default: all but taxes, which are calculated on the rest.
CREDITABLE = (*CHARGES, "adjustment", "minimum")
ALL_CHARGES = Scope()
ALL_CREDITABLE = Scope(kinds=CREDITABLE)
# Of a rollup: its meter, its dimensions, and the start and end of its segment.
UsageKind = tuple[str, tuple[tuple[str, str], ...], datetime, datetime]


@dataclass(frozen=True)
class UsageRollup:
    """An organization's quantity of one meter and one set of dimensions in one segment of the month.

    Attributes:
        segment_start: The start of the month, or of a price version inside the month.
        segment_end: The end of the segment, exclusive.
    """

    id: UUID
    meter: str
    dimensions: Mapping[str, str]
    segment_start: datetime
    segment_end: datetime
    quantity: Decimal

    @cached_property
    def kind(self) -> UsageKind:
        """Its meter, dimensions and segment: usage of one kind has one price in a book."""
        return self.meter, tuple(sorted(self.dimensions.items())), self.segment_start, self.segment_end

    def like(self, id: UUID, quantity: Decimal) -> UsageRollup:
        """Return another rollup of the same kind. Takes a third of the time of a new one."""
        other = object.__new__(UsageRollup)
        other.__dict__.update(self.__dict__, id=id, quantity=quantity)
        return other


@dataclass(frozen=True)
class DiscountTaken:
    """The amount, above zero, by which a discount reduced a fee when the fee was charged."""

    discount_id: UUID
    code: str
    description: str
    amount: Decimal


@dataclass(frozen=True)
class CreditPaid:
    """The amount, above zero, that a credit paid towards a fee, less refunds. Includes taxes if it pays `gross`."""

    grant_id: UUID
    description: str
    amount: Decimal
    pays: str = "net"


@dataclass(frozen=True)
class FeeCharged:
    """The amount that other invoices charged for the interval `[start, end)` of a subscription's fee.

    Attributes:
        amount: Before discounts, less refunds; booked corrections are included.
        month: The month of the last invoice that charged the interval. A refund has that month's tax rates.
        discounts: The amounts that discounts took off.
        credits: The amounts that credits paid of the rest, in the order in which they were drawn.
        currency: None: the invoice's.
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
        return exact_sum([discount.amount for discount in self.discounts])


@dataclass(frozen=True)
class Subscription:
    """A recurring fee for `quantity` units (seats, addresses) in `[started_at, ended_at)`.

    Attributes:
        billed: `in_arrears`: on the invoice of the month in which the interval ends. `in_advance`: on the invoice
            before the interval begins; later invoices charge or give back the difference if something changes.
        proration: `second`; `day`, which counts the first day but not the last; or `none`, which charges every
            interval as a whole.
        anchor: `calendar`: intervals of the calendar. `start`: intervals counted from `anchored_at`, else `paid_from`.
        trial_ends_at: The fee is free until then.
        charged: The amounts that other invoices charged, by interval that has not ended when the month begins.
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
                f"{name}: anchored_at {self.anchored_at} needs anchor start, and must not be after started_at"
                f" {self.started_at}"
            )

    @property
    def paid_from(self) -> datetime:
        return self.trial_ends_at or self.started_at

    def charged_for(self, start: datetime, end: datetime, currency: str) -> FeeCharged | None:
        """Return the charges of other invoices for this interval in this currency, or None."""
        return next(
            (fee for fee in self.charged if (fee.start, fee.end) == (start, end) and fee.currency in (None, currency)),
            None,
        )


@dataclass(frozen=True)
class OneOffItem:
    """A single charge, or goodwill if the amount is below zero.

    Attributes:
        quantity: Below zero: takes units back.
        unit: The unit of the quantity, in the singular.
        unit_amount: In the currency's major unit. If given, `amount` is exactly `quantity` x `unit_amount`.
        product: The product that scopes name, as a price's product.
        period_start: Start of the time that it is for, `[period_start, period_end)`; None: the month that bills it.
    """

    id: UUID
    description: str
    amount: Decimal
    currency: str
    quantity: Decimal = Decimal(1)
    unit: str = "item"
    unit_amount: Decimal | None = None
    product: str = "One-off"
    period_start: datetime | None = None
    period_end: datetime | None = None


@dataclass(frozen=True)
class Adjustment:
    """A correction of a month whose invoice is final. The payer's next open invoice charges it, or gives it back.

    Attributes:
        month: The corrected month.
        taxes: The tax rates of that month.
        taxed: The amount taxed at each set of rates, if that differs by item. The parts add up to the amount. They may
            have both signs, because a discount can move from one item to another.
        about: The organization whose usage or fee it corrects, if that is not the payer.
        is_after_tax: It goes back to a credit that pays after tax, and is not taxed.
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
    """A percentage (0 to 100) or an amount off the items that `scope` covers. Give exactly one of the two.

    Attributes:
        amount: Per month; it never reduces the items below zero.
        order: Lower numbers are taken first; equal ones in the order in which they were granted.
        currency: Of the amount. None: the invoice's.

    Raises:
        ValueError: Names the discount and the problem.
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
    """A minimum or maximum of the items that `scope` covers, after discounts.

    A minimum may cover several months; a maximum covers one. A commitment that ran for only part of its months is
    prorated: `ran_seconds` of `whole_seconds`.

    Attributes:
        kind: `minimum` or `maximum`.
        amount: For the whole of its months.
        is_due: True in the last month of a minimum, which charges the shortfall.
        counted_before: The amount that earlier months counted towards it.
        currency: None: the invoice's.
        ran_seconds: None: it is not prorated.

    Raises:
        ValueError: Names the commitment and the problem.
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
        """The amount for the time that it ran; a quotient without an end is rounded half-up to 20 places."""
        if self.ran_seconds is None or self.whole_seconds is None:
            return self.amount
        return exact_product(max(self.ran_seconds, Decimal(0)), self.amount, self.whole_seconds)

    def __post_init__(self) -> None:
        name = f"commitment {self.description!r}"
        if self.kind not in COMMITMENTS:
            raise ValueError(f"{name}: kind {self.kind!r}; known are {', '.join(COMMITMENTS)}")
        check_amount(f"{name}: amount", self.amount)
        if self.kind == "maximum" and (not self.is_due or self.counted_before):
            raise ValueError(f"{name}: a maximum covers one month; only a minimum may cover several")
        _check_kinds(name, self.scope, (*CHARGES, "minimum"))


@dataclass(frozen=True)
class CreditGrant:
    """Prepaid or granted money that pays for the items that `scope` covers.

    Credits that pay `net` are drawn first. Then lower `priority` goes first, then earlier expiry, then earlier grant.

    Attributes:
        available: The balance that earlier invoices left.
        pays: `net`: before tax, so that less is taxed (promotions). `gross`: after tax (prepaid money, deposits).
        currency: None: the invoice's.

    Raises:
        ValueError: Names the credit and the problem.
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
    """One organization's part of an invoice: the payer itself, or an organization that it pays for."""

    organization_id: str
    prices: PriceBook
    rollups: Sequence[UsageRollup] = ()
    subscriptions: Sequence[Subscription] = ()
    one_offs: Sequence[OneOffItem] = ()
    adjustments: Sequence[Adjustment] = ()


@dataclass(frozen=True)
class InvoiceInputs:
    """The inputs of one payer's invoice for one month. The terms apply to the invoice as a whole.

    Attributes:
        members: The payer first.
        earlier_taxes: The tax rates of the month before, and of other months whose fees may be given back.
        charged_ahead: Only if a final invoice is recalculated: its fees for intervals that end after the month, and the
            discounts taken back with them. They stay as billed; the month in which the interval ends corrects them.
        has_random_ids: True if the month was begun before ids started with their month (`monthly_ids`). Its invoices
            and items keep the older ids.
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
    has_random_ids: bool = False

    @property
    def is_taxed_by_item(self) -> bool:
        """Return True if its items are not all taxed at the same rates."""
        return any(differ_by_item(rates) for rates in (self.taxes, *self.earlier_taxes.values()))

    def fee_charged(self, item: InvoiceItem) -> FeeCharged | None:
        """Return the charges of other invoices for the interval of this fee, or None."""
        found = self._subscriptions.get(item.subscription_id)
        if found is None or item.interval_start is None or item.interval_end is None:
            return None
        return found.charged_for(item.interval_start, item.interval_end, self.currency)

    def rates_of_fee(self, item: InvoiceItem) -> Sequence[TaxRate]:
        """Return the tax rates of a fee. A fee that is given back has those of the month that charged it."""
        if item.amount >= 0:
            return self.taxes
        charged = self.fee_charged(item)
        return self.earlier_taxes.get(charged.month if charged else self.month.plus(-1), ())

    @cached_property
    def _subscriptions(self) -> Mapping[UUID | None, Subscription]:
        return {subscription.id: subscription for member in self.members for subscription in member.subscriptions}


def _check_percent(name: str, percent: Decimal) -> None:
    check_amount(f"{name}: percent", percent)
    if percent > 100:
        raise ValueError(f"{name}: percent {percent} is above 100")


def _check_kinds(name: str, scope: Scope, known: Sequence[str]) -> None:
    """Refuse kinds of items that do not exist yet when the term is applied: it would silently do nothing."""
    if not scope.kinds or not set(scope.kinds) <= set(known):
        kinds = ", ".join(scope.kinds) or "none"
        raise ValueError(f"{name}: the kinds of its scope are {kinds}; known are {', '.join(known)}")
