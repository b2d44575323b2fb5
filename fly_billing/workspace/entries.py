"""The entries of a workspace's files, one model each.

A model reports all its mistakes at once; each begins with its field. Its typed record (`Entry.record`) checks the
values with the rules that commands use, too. Not here: reading files (`files`), and mistakes between entries
(`rules.mistakes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fly_billing.customers.rules.organizations import CustomerDetails, OrganizationRecord, PayerLink, TaxStatus
from fly_billing.customers.rules.terms import (
    CommitmentTerms,
    CouponTerms,
    CreditTerms,
    DiscountTerms,
    OneOffCharge,
    SubscriptionTerms,
    TaxTerms,
)
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.workspace.entry_values import (
    Cadence,
    LongText,
    Moment,
    Month,
    Name,
    Number,
    ScopeData,
    Text,
    Texts,
    Whole,
)
from fly_billing.workspace.rules.records import comparable, key_of

# The fields of a file, and those of the typed records of `customers`, where they differ.
NAMES = {
    "organization": "organization_id", "price": "price_key", "coupon": "coupon_code", "payer": "payer_id",
    "key": "reference",
}  # fmt: skip


class Entry(BaseModel):
    """An entry of a file.

    Attributes:
        KIND: The kind of its record (`rules.records.KINDS`).
        KEY: The fields that name it among all of its kind.
        MAKES: The class of its typed record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    KIND: ClassVar[str] = ""
    KEY: ClassVar[tuple[str, ...]] = ()
    MAKES: ClassVar[Callable[..., Any] | None] = None

    @property
    def record_key(self) -> str:
        return key_of(*(getattr(self, name) for name in self.KEY))

    def values(self) -> dict[str, Any]:
        """Return the fields in comparable form."""
        return {name: comparable(getattr(self, name)) for name in type(self).model_fields if name != "key"}

    def record(self, place: str) -> Any:
        """Return the typed record that `customers` writes. Raises ValueError naming the field that is wrong."""
        given = {NAMES.get(name, name): getattr(self, name) for name in type(self).model_fields}
        assert self.MAKES is not None
        return self.MAKES(**{name: value for name, value in given.items() if value is not None}, place=place)

    @classmethod
    def title(cls, data: Mapping[str, Any]) -> str:
        """Name an entry that may have mistakes: its kind, and as much of its key as it has."""
        return " ".join([cls.KIND, "/".join(str(data[name]) for name in cls.KEY if isinstance(data.get(name), str))])


class OrganizationEntry(Entry):
    """A row of organizations.csv. `tax_ids` are separated by spaces."""

    KIND = "organization"
    KEY = ("id",)

    id: Text
    name: Text
    currency: Text
    price_book: Text | None = None
    created_at: Moment | None = None
    stripe_customer_id: Text | None = None
    legal_name: LongText | None = None
    email: LongText | None = None
    line1: LongText | None = None
    line2: LongText | None = None
    postal_code: LongText | None = None
    city: LongText | None = None
    state: LongText | None = None
    country: LongText | None = None
    tax_ids: tuple[str, ...] = ()
    collection: Text = "charge_automatically"
    net_days: Whole | None = None
    purchase_order: LongText | None = None
    memo: LongText | None = None
    footer: LongText | None = None

    @model_validator(mode="before")
    @classmethod
    def _split_tax_ids(cls, data: Any) -> Any:
        return {**data, "tax_ids": tuple(data["tax_ids"].split())} if data.get("tax_ids") else data

    def values(self) -> dict[str, Any]:
        """Return the fields that the file has a column for; others keep the values that they have."""
        named = {"name", "currency", "price_book", *self.model_fields_set} - {"id"}
        return {name: comparable(getattr(self, name)) for name in type(self).model_fields if name in named}

    def organization(self, place: str, created_at: datetime) -> OrganizationRecord:
        """Return the typed record; `created_at`, unless the file has one. Raises ValueError naming the field."""
        return OrganizationRecord(
            self.id, self.name, self.created_at or created_at, self.currency, self.price_book or "",
            self.stripe_customer_id, place,
        )  # fmt: skip

    def details(self, place: str) -> CustomerDetails:
        """Return the customer on its invoices. Raises ValueError naming the field that is wrong."""
        given = {name: getattr(self, name) for name in DETAILS if name in self.model_fields_set}
        return CustomerDetails(self.id, **given, place=place)


DETAILS = (
    "legal_name", "email", "line1", "line2", "postal_code", "city", "state", "country", "tax_ids", "collection",
    "net_days", "purchase_order", "memo", "footer",
)  # fmt: skip


class SubscriptionEntry(Entry):
    """A recurring fee. `key` tells two of one price and start apart."""

    KIND = "subscription"
    KEY: ClassVar[tuple[str, ...]] = ("organization", "price", "started_at", "key")
    MAKES = SubscriptionTerms

    organization: Text
    price: Text
    started_at: Moment
    ended_at: Moment | None = None
    quantity: Number = Decimal(1)
    trial_ends_at: Moment | None = None
    billed: Text = "in_arrears"
    proration: Text = "second"
    anchor: Text = "calendar"
    anchored_at: Moment | None = None
    key: Text | None = None


class CouponEntry(Entry):
    """A discount that organizations can get."""

    KIND = "coupon"
    KEY = ("code",)
    MAKES = CouponTerms

    code: Text
    description: LongText
    percent: Number | None = None
    amount: Number | None = None
    currency: Text | None = None
    months: Whole | None = None
    redeem_by: Moment | None = None
    most_redemptions: Whole | None = None
    scope: ScopeData = Field(default_factory=dict)
    rank: Whole = 0


class DiscountEntry(Entry):
    """A coupon that an organization has, in these months."""

    KIND = "discount"
    KEY = ("organization", "coupon", "first_month")
    MAKES = DiscountTerms

    organization: Text
    coupon: Text
    first_month: Month
    last_month: Month | None = None


class CommitmentEntry(Entry):
    """The least or most that an organization pays. `key` tells two of one description and first month apart."""

    KIND = "commitment"
    KEY = ("organization", "kind", "description", "first_month", "key")
    MAKES = CommitmentTerms

    organization: Text
    kind: Text = "minimum"
    description: LongText
    amount: Number
    currency: Text | None = None
    first_month: Month
    last_month: Month | None = None
    months: Whole = 1
    runs_from: Moment | None = None
    runs_until: Moment | None = None
    scope: ScopeData = Field(default_factory=dict)
    key: Text | None = None


class CreditEntry(Entry):
    """Credit that pays invoices until it expires or is used up."""

    KIND = "credit"
    KEY = ("organization", "description", "granted_at", "key")
    MAKES = CreditTerms

    organization: Text
    description: LongText
    amount: Number
    currency: Text | None = None
    granted_at: Moment
    expires_at: Moment | None = None
    pays: Text = "net"
    priority: Whole = 0
    scope: ScopeData = Field(default_factory=dict)
    key: Text | None = None


class ChargeEntry(Entry):
    """A single charge, or (below zero) an amount that is given back."""

    KIND = "charge"
    KEY: ClassVar[tuple[str, ...]] = ("organization", "description", "occurred_at", "key")
    MAKES = OneOffCharge

    organization: Text
    description: LongText
    occurred_at: Moment
    amount: Number | None = None
    quantity: Number = Decimal(1)
    unit: Text = "item"
    unit_amount: Number | None = None
    currency: Text | None = None
    product: Text = "One-off"
    period_start: Moment | None = None
    period_end: Moment | None = None
    key: Text | None = None

    def values(self) -> dict[str, Any]:
        return super().values() | {"amount": comparable(self.record("").total)}


class TaxEntry(Entry):
    """A tax of one organization, instead of those of its price book."""

    KIND = "tax"
    KEY = ("organization", "name", "first_month")
    MAKES = TaxTerms

    organization: Text
    name: Text
    percent: Number
    first_month: Month
    last_month: Month | None = None
    is_inclusive: bool = False
    tax: Text | None = None
    category: Text = "standard"
    legal_text: LongText | None = None
    scope: ScopeData = Field(default_factory=dict)


class TaxCustomerEntry(Entry):
    """An organization's location and kind, from a month until its next entry."""

    KIND = "tax customer"
    KEY = ("organization", "first_month")
    MAKES = TaxStatus

    organization: Text
    first_month: Month
    location: Text | None = None
    kind: Text | None = None


class LinkEntry(Entry):
    """Months in which a payer's invoice includes an organization."""

    KIND = "link"
    KEY = ("organization", "first_month")
    MAKES = PayerLink

    organization: Text
    payer: Text
    first_month: Month
    last_month: Month | None = None


class SourceEntry(Entry):
    """A source of usage files. Nothing is written for it."""

    KIND = "source"
    KEY = ("name",)

    name: Text
    meters: Texts
    cadence: Cadence = "daily"
    description: LongText | None = None


class WorkspaceSettings(Entry):
    """The file fly_billing.yaml.

    Attributes:
        name: Of the workspace; the database keeps it with each record that the workspace owns.
        most_closed_percent: Closing a larger share of the organizations, or ending a larger share of their terms, needs
            an option of `apply`.
    """

    KIND = "workspace"
    KEY = ("name",)

    version: Whole
    name: Name
    most_closed_percent: Whole = 10


# The parts of terms.yaml.
TERMS: dict[str, type[Entry]] = {
    "subscriptions": SubscriptionEntry,
    "coupons": CouponEntry,
    "discounts": DiscountEntry,
    "commitments": CommitmentEntry,
    "credits": CreditEntry,
    "charges": ChargeEntry,
    "taxes": TaxEntry,
    "tax_customers": TaxCustomerEntry,
    "links": LinkEntry,
}


def problems_of_entry(model: type[Entry], problem: ValidationError) -> list[str]:
    """Describe every mistake of an entry, each beginning with its field."""
    return [_sentence(model, error) for error in problem.errors(include_url=False)]


def _sentence(model: type[Entry], error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        return f"unknown field {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
    if error["type"] == "missing":
        return f"{name} is missing"
    if cause := error.get("ctx", {}).get("error"):
        return str(cause)
    if error["type"].startswith("bool"):
        return f"{name} {error['input']!r} is not true or false"
    return f"{name} {error['input']!r}: {error['msg']}"
