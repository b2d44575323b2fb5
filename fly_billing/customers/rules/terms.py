"""Terms of an organization: recurring fees, one-off items, credits, coupons, commitments and taxes.

Each has an `id` that is made from its natural key, so that writing it again finds the same row. `reference` tells two
apart that are otherwise the same. `currency` None means the organization's. `place` is the file and line that a term
was read from, with which its errors begin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.bounds import MOST_MONEY, MOST_UNITS
from fly_billing.customers.rules.checks import (
    check_currency,
    check_moment,
    check_money,
    check_months,
    check_number_of_months,
    check_order,
    check_text,
    check_word,
)
from fly_billing.invoicing.rules.inputs import ANCHORS, BILLED, COMMITMENTS, PRORATIONS
from fly_billing.money import EXACT, plain
from fly_billing.periods import BillingMonth, moment_text
from fly_billing.pricing.rules.fields import check_amount, read_printable
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate

CUSTOMERS = uuid5(NAMESPACE_URL, "fly_billing/customers")
PAYS = ("net", "gross")
# The kinds of items that a term of each table can apply to.
COUPON_KINDS = ("usage", "subscription", "one_off")
COMMITMENT_KINDS = (*COUPON_KINDS, "minimum")
CREDIT_KINDS = (*COMMITMENT_KINDS, "adjustment")
# The decimals of a quantity and a unit amount together.
MOST_DECIMALS = 20


def _id(*parts: object) -> UUID:
    return uuid5(CUSTOMERS, "|".join(map(_text, parts)))


def _text(part: object) -> str:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else str(part)


def check_scope(scope: Mapping[str, Any], kinds: tuple[str, ...]) -> None:
    """Refuse a scope that can't be read, or that names kinds of items that the term can't apply to."""
    for name in ("kinds", "products", "price_keys"):
        if not isinstance(scope.get(name, []), list | tuple):
            raise ValueError(f"scope: {name} {scope[name]!r} is not a list")
    for kind in Scope.from_data(scope, kinds).kinds:
        check_word("scope: kind", kind, kinds)


@dataclass(frozen=True)
class SubscriptionTerms:
    """A recurring fee in `[started_at, ended_at)`; the columns of `subscriptions`.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    price_key: str
    started_at: datetime
    ended_at: datetime | None = None
    quantity: Decimal = Decimal(1)
    billed: str = "in_arrears"
    proration: str = "second"
    anchor: str = "calendar"
    trial_ends_at: datetime | None = None
    anchored_at: datetime | None = None
    reference: str = ""
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        read_printable("price_key", self.price_key)
        for name in ("started_at", "ended_at", "trial_ends_at", "anchored_at"):
            check_moment(name, getattr(self, name))
        check_order(self.started_at, self.ended_at, names=("started_at", "ended_at"), may_be_empty=True)
        check_order(self.started_at, self.trial_ends_at, names=("started_at", "trial_ends_at"), may_be_empty=True)
        if not (self.quantity.is_finite() and 0 < self.quantity < MOST_UNITS):
            raise ValueError(f"quantity {self.quantity} must be above 0 and below 10^23")
        check_word("billed", self.billed, BILLED)
        check_word("proration", self.proration, PRORATIONS)
        check_word("anchor", self.anchor, ANCHORS)
        if self.anchored_at is not None and (self.anchor != "start" or self.anchored_at > self.started_at):
            raise ValueError("anchored_at is for anchor: start, and not after started_at")

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id(
            "subscription", self.organization_id, self.price_key, self.started_at, self.reference
        )

    @property
    def title(self) -> str:
        return f"subscription of {self.organization_id} to {self.price_key} from {moment_text(self.started_at)}"


@dataclass(frozen=True)
class OneOffCharge:
    """A single charge, or (below zero) money given back: an `amount`, or a `quantity` at a `unit_amount` each.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    description: str
    occurred_at: datetime
    amount: Decimal | None = None
    quantity: Decimal = Decimal(1)
    unit: str = "item"
    unit_amount: Decimal | None = None
    currency: str | None = None
    product: str = "One-off"
    period_start: datetime | None = None
    period_end: datetime | None = None
    reference: str = ""
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_text("description", self.description)
        read_printable("product", self.product)
        read_printable("unit", self.unit)
        for name in ("occurred_at", "period_start", "period_end"):
            check_moment(name, getattr(self, name))
        if (self.period_start is None) != (self.period_end is None):
            raise ValueError("a period has a start and an end: give both, or none")
        if self.period_start is not None:
            check_order(self.period_start, self.period_end, names=("period_start", "period_end"))
        if self.currency is not None:
            check_currency(self.currency)
        self._check_amount()

    def _check_amount(self) -> None:
        if (self.amount is None) == (self.unit_amount is None):
            raise ValueError("give either an amount, or a unit_amount with its quantity")
        if self.amount is not None:
            if self.quantity != 1 or self.unit != "item":
                raise ValueError("a quantity needs a unit_amount instead of an amount")
            check_money("amount", self.amount, self.currency, may_be_negative=True)
            return
        for name, number in (("quantity", self.quantity), ("unit_amount", self.unit_amount or Decimal(0))):
            if not (number.is_finite() and 0 < number.copy_abs() < MOST_MONEY):
                raise ValueError(f"{name} {number} must not be 0, and be below 10^12")
        if sum(_decimals(number) for number in (self.quantity, self.unit_amount or Decimal(0))) > MOST_DECIMALS:
            raise ValueError(f"quantity and unit_amount have more than {MOST_DECIMALS} decimals together")
        if self.total.copy_abs() >= MOST_MONEY:
            raise ValueError(f"{plain(self.total)} is not an amount of money: it must be below 10^12")

    @property
    def total(self) -> Decimal:
        """The exact amount, in the currency's major unit."""
        return self.amount if self.amount is not None else EXACT.multiply(self.quantity, self.unit_amount or Decimal(0))

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id(
            "one_off_item", self.organization_id, self.description, self.occurred_at, self.reference
        )

    @property
    def title(self) -> str:
        return f"charge of {self.organization_id} for {self.description!r} on {moment_text(self.occurred_at)}"


def _decimals(number: Decimal) -> int:
    return len(f"{number:f}".partition(".")[2])


@dataclass(frozen=True)
class CreditTerms:
    """Credit that pays invoices from `granted_at` until it expires or is used up.

    Attributes:
        pays: `net`: before tax, as a promotion does; `gross`: after tax, as prepaid money does.
        priority: Lower ones are used first.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    description: str
    amount: Decimal
    granted_at: datetime
    expires_at: datetime | None = None
    pays: str = "net"
    priority: int = 0
    scope: Mapping[str, Any] = field(default_factory=dict)
    currency: str | None = None
    reference: str = ""
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_text("description", self.description)
        if self.currency is not None:
            check_currency(self.currency)
        check_money("amount", self.amount, self.currency)
        check_moment("granted_at", self.granted_at)
        check_moment("expires_at", self.expires_at)
        check_order(self.granted_at, self.expires_at, names=("granted_at", "expires_at"))
        check_word("pays", self.pays, PAYS)
        check_scope(self.scope, CREDIT_KINDS)

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id(
            "credit", self.organization_id, self.description, self.granted_at, self.reference
        )

    @property
    def title(self) -> str:
        return f"credit of {self.organization_id} for {self.description!r} from {moment_text(self.granted_at)}"


@dataclass(frozen=True)
class CouponTerms:
    """A discount that organizations can be given: a `percent`, or an `amount` with its currency.

    Attributes:
        months: The number of months that it lasts for; None: no end.
        rank: Lower ranks are deducted first.

    Raises:
        ValueError: Names the field that is wrong.
    """

    code: str
    description: str
    percent: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    months: int | None = None
    redeem_by: datetime | None = None
    most_redemptions: int | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    rank: int = 0
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        read_printable("code", self.code)
        check_text("description", self.description)
        if (self.percent is None) == (self.amount is None):
            raise ValueError(f"coupon {self.code}: give either a percent or an amount")
        if (self.amount is None) != (self.currency is None):
            raise ValueError(f"coupon {self.code}: an amount needs its currency, and a percent has none")
        if self.percent is not None:
            check_percent("percent", self.percent)
        if self.amount is not None and self.currency is not None:
            check_currency(self.currency)
            check_money("amount", self.amount, self.currency)
        check_number_of_months("months", self.months)
        check_moment("redeem_by", self.redeem_by)
        if self.most_redemptions is not None and self.most_redemptions < 1:
            raise ValueError(f"most_redemptions {self.most_redemptions} must be above 0")
        check_scope(self.scope, COUPON_KINDS)

    @property
    def title(self) -> str:
        return f"coupon {self.code}"


def check_percent(name: str, percent: Decimal) -> None:
    """Refuse a percentage that is not above 0 and at most 100."""
    check_amount(name, percent)
    if not 0 < percent <= 100:
        raise ValueError(f"{name} {percent:f} must be above 0 and at most 100")


@dataclass(frozen=True)
class DiscountTerms:
    """A coupon that an organization has in these months (both included; None: as long as the coupon lasts).

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    coupon_code: str
    first_month: BillingMonth
    last_month: BillingMonth | None = None
    redeemed_at: datetime | None = None
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_months(self.first_month, self.last_month)
        check_moment("redeemed_at", self.redeemed_at)

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id("discount", self.organization_id, self.coupon_code, self.first_month)

    @property
    def title(self) -> str:
        return f"coupon {self.coupon_code} of {self.organization_id} from {self.first_month}"


@dataclass(frozen=True)
class CommitmentTerms:
    """The least (`minimum`) or most (`maximum`) that an organization pays in a month, or in `months` together.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    description: str
    amount: Decimal
    first_month: BillingMonth
    last_month: BillingMonth | None = None
    kind: str = "minimum"
    months: int = 1
    runs_from: datetime | None = None
    runs_until: datetime | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    currency: str | None = None
    reference: str = ""
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_text("description", self.description)
        check_word("kind", self.kind, COMMITMENTS)
        if self.currency is not None:
            check_currency(self.currency)
        check_money("amount", self.amount, self.currency)
        check_months(self.first_month, self.last_month)
        check_number_of_months("months", self.months)
        if self.kind == "maximum" and self.months != 1:
            raise ValueError("a maximum is for one month: only a minimum can be over several")
        for name in ("runs_from", "runs_until"):
            check_moment(name, getattr(self, name))
        if self.runs_from is not None:
            check_order(self.runs_from, self.runs_until, names=("runs_from", "runs_until"))
        if self._runs_outside():
            raise ValueError("runs_from and runs_until must be inside its months")
        check_scope(self.scope, COMMITMENT_KINDS)

    def _runs_outside(self) -> bool:
        start, end = self.first_month.start, self.last_month.end if self.last_month else None
        begins_outside = self.runs_from is not None and (
            self.runs_from < start or (end is not None and self.runs_from >= end)
        )
        return begins_outside or (self.runs_until is not None and self.runs_until <= start)

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id(
            "commitment", self.organization_id, self.kind, self.description, self.first_month, self.reference
        )

    @property
    def title(self) -> str:
        return f"{self.kind} of {self.organization_id} {self.description!r} from {self.first_month}"


@dataclass(frozen=True)
class TaxTerms:
    """A tax rate of one organization in these months (both included). `pricing.rules.tax_rates` has its rules.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    name: str
    percent: Decimal
    first_month: BillingMonth
    last_month: BillingMonth | None = None
    is_inclusive: bool = False
    category: str = "standard"
    legal_text: str | None = None
    tax: str | None = None
    scope: Mapping[str, Any] = field(default_factory=dict)
    recorded_as: UUID | None = field(default=None, compare=False)
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_text("name", self.name)
        check_months(self.first_month, self.last_month)
        check_scope(self.scope, COUPON_KINDS)
        TaxRate(
            self.id, self.name, self.percent, self.is_inclusive, self.tax, self.category, self.legal_text,
            Scope.from_data(self.scope),
        )  # fmt: skip

    @property
    def of_tax(self) -> str:
        """The tax that it is a rate of: its name, unless it names one."""
        return self.tax or self.name

    @cached_property
    def id(self) -> UUID:
        return self.recorded_as or _id("tax", self.organization_id, self.name, self.first_month)

    @property
    def title(self) -> str:
        return f"tax {self.name} {plain(self.percent)} % of {self.organization_id} from {self.first_month}"
