"""The entries of a workspace's files, one model each.

A model reports all its mistakes at once; each begins with its field. Its typed record (`Entry.record`) checks the
values with the rules that commands use, too. Not here: reading files (`files`), and mistakes between entries
(`rules.mistakes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fly_billing.customers.rules.organizations import CustomerDetails, OrganizationRecord, PayerLink, TaxStatus
from fly_billing.customers.rules.terms import (
    COMMITMENT_KINDS,
    COUPON_KINDS,
    CREDIT_KINDS,
    PAYS,
    CommitmentTerms,
    CouponTerms,
    CreditTerms,
    DiscountTerms,
    OneOffCharge,
    SubscriptionTerms,
    TaxTerms,
)
from fly_billing.invoicing.rules.inputs import ANCHORS, BILLED, COMMITMENTS, PRORATIONS
from fly_billing.pricing.rules.fields import did_you_mean
from fly_billing.pricing.rules.tax_rates import CATEGORIES, EXPLAINED, LEGAL_TEXT_LENGTH, NOT_CHARGED
from fly_billing.workspace.entry_values import (
    LongText,
    Moment,
    Month,
    Name,
    Number,
    ScopeData,
    Text,
    Whole,
)
from fly_billing.workspace.field_schemas import (
    CURRENCY,
    FALSE,
    FLAG,
    LOCATION,
    LONG_TEXT,
    MONTHS,
    NOT_ZERO,
    ONE,
    PERCENT,
    POSITIVE,
    SOME,
    SOME_PERCENT,
    ZERO,
    exactly_one,
    given,
    only_if,
    rules,
    schema,
    scope_of,
    together,
    when,
    words,
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

    def check(self) -> None:
        """Check the values together, with the rules of its typed record. Raises ValueError."""
        if self.MAKES is not None:
            self.record("")

    @classmethod
    def title(cls, data: Mapping[str, Any]) -> str:
        """Name an entry that may have mistakes: its kind, and as much of its key as it has."""
        return f"{cls.KIND} {cls.readable_key(data)}"

    @classmethod
    def readable_key(cls, data: Mapping[str, Any]) -> str:
        """Return as much of the key as an entry with mistakes has."""
        return "/".join(str(data[name]) for name in cls.KEY if isinstance(data.get(name), str))


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

    def check(self) -> None:
        self.model_copy(update={"price_book": self.price_book or "main"}).organization("", _SOME_TIME)
        self.details("")

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


# The start of an organization whose file has none, for the check of its other fields.
_SOME_TIME = datetime(2026, 1, 1, tzinfo=UTC)
DETAILS = (
    "legal_name", "email", "line1", "line2", "postal_code", "city", "state", "country", "tax_ids", "collection",
    "net_days", "purchase_order", "memo", "footer",
)  # fmt: skip


class SubscriptionEntry(Entry):
    """A recurring fee. `key` distinguishes two of one price and start."""

    model_config = rules(only_if("anchored_at", "anchor", "start"))
    KIND = "subscription"
    KEY: ClassVar[tuple[str, ...]] = ("organization", "price", "started_at", "key")
    MAKES = SubscriptionTerms

    organization: Text
    price: Text
    started_at: Moment
    ended_at: Moment | None = None
    quantity: Annotated[Number, schema(POSITIVE)] = Decimal(1)
    trial_ends_at: Moment | None = None
    billed: Annotated[Text, words(BILLED)] = "in_arrears"
    proration: Annotated[Text, words(PRORATIONS)] = "second"
    anchor: Annotated[Text, words(ANCHORS)] = "calendar"
    anchored_at: Moment | None = None
    key: Text | None = None


class CouponEntry(Entry):
    """A discount that organizations can get."""

    model_config = rules(exactly_one("percent", "amount"), together("amount", "currency"))
    KIND = "coupon"
    KEY = ("code",)
    MAKES = CouponTerms

    code: Text
    description: LongText
    percent: Annotated[Number, schema(SOME_PERCENT)] | None = None
    amount: Annotated[Number, schema(POSITIVE)] | None = None
    currency: Annotated[Text, schema(CURRENCY)] | None = None
    months: Annotated[Whole, schema(MONTHS)] | None = None
    redeem_by: Moment | None = None
    most_redemptions: Annotated[Whole, schema(SOME)] | None = None
    scope: Annotated[ScopeData, scope_of(COUPON_KINDS)] = Field(default_factory=dict)
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
    """The least or most that an organization pays. `key` distinguishes two of one description and first month."""

    model_config = rules(when("kind", ["maximum"], {"properties": {"months": ONE}}))
    KIND = "commitment"
    KEY = ("organization", "kind", "description", "first_month", "key")
    MAKES = CommitmentTerms

    organization: Text
    kind: Annotated[Text, words(COMMITMENTS)] = "minimum"
    description: LongText
    amount: Annotated[Number, schema(POSITIVE)]
    currency: Annotated[Text, schema(CURRENCY)] | None = None
    first_month: Month
    last_month: Month | None = None
    months: Annotated[Whole, schema(MONTHS)] = 1
    runs_from: Moment | None = None
    runs_until: Moment | None = None
    scope: Annotated[ScopeData, scope_of(COMMITMENT_KINDS)] = Field(default_factory=dict)
    key: Text | None = None


class CreditEntry(Entry):
    """Credit that pays invoices until it expires or is used up."""

    KIND = "credit"
    KEY = ("organization", "description", "granted_at", "key")
    MAKES = CreditTerms

    organization: Text
    description: LongText
    amount: Annotated[Number, schema(POSITIVE)]
    currency: Annotated[Text, schema(CURRENCY)] | None = None
    granted_at: Moment
    expires_at: Moment | None = None
    pays: Annotated[Text, words(PAYS)] = "net"
    priority: Whole = 0
    scope: Annotated[ScopeData, scope_of(CREDIT_KINDS)] = Field(default_factory=dict)
    key: Text | None = None


class ChargeEntry(Entry):
    """A single charge, or (below zero) an amount that is given back."""

    model_config = rules(
        exactly_one("amount", "unit_amount"),
        together("period_start", "period_end"),
        {"if": given("amount"), "then": {"properties": {"quantity": ONE, "unit": {"const": "item"}}}},
    )
    KIND = "charge"
    KEY: ClassVar[tuple[str, ...]] = ("organization", "description", "occurred_at", "key")
    MAKES = OneOffCharge

    organization: Text
    description: LongText
    occurred_at: Moment
    amount: Annotated[Number, schema(NOT_ZERO)] | None = None
    quantity: Annotated[Number, schema(NOT_ZERO)] = Decimal(1)
    unit: Text = "item"
    unit_amount: Annotated[Number, schema(NOT_ZERO)] | None = None
    currency: Annotated[Text, schema(CURRENCY)] | None = None
    product: Text = "One-off"
    period_start: Moment | None = None
    period_end: Moment | None = None
    key: Text | None = None

    def values(self) -> dict[str, Any]:
        return super().values() | {"amount": comparable(self.record("").total)}


class TaxEntry(Entry):
    """A tax of one organization, instead of those of its price book."""

    model_config = rules(
        when("category", EXPLAINED, given("legal_text")),
        when("category", NOT_CHARGED, {"properties": {"percent": ZERO, "is_inclusive": FALSE}}),
        {"if": given("legal_text"), "then": {"properties": {"is_inclusive": FALSE}}},
    )
    KIND = "tax"
    KEY = ("organization", "name", "first_month")
    MAKES = TaxTerms

    organization: Text
    name: Text
    percent: Annotated[Number, schema(PERCENT)]
    first_month: Month
    last_month: Month | None = None
    is_inclusive: Annotated[bool, schema(FLAG)] = False
    tax: Text | None = None
    category: Annotated[Text, words(CATEGORIES)] = "standard"
    legal_text: Annotated[LongText, schema({**LONG_TEXT, "maxLength": LEGAL_TEXT_LENGTH})] | None = None
    scope: Annotated[ScopeData, scope_of(COUPON_KINDS)] = Field(default_factory=dict)


class TaxCustomerEntry(Entry):
    """An organization's location and kind, from a month until its next entry."""

    KIND = "tax customer"
    KEY = ("organization", "first_month")
    MAKES = TaxStatus

    organization: Text
    first_month: Month
    location: Annotated[Text, schema(LOCATION)] | None = None
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
    """Describe every mistake of an entry, each beginning with its field; unknown fields first."""
    errors = sorted(problem.errors(include_url=False), key=lambda error: error["type"] != "extra_forbidden")
    return [_sentence(model, error) for error in errors]


def _sentence(model: type[Entry], error: Any) -> str:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = sorted(model.model_fields)
        return f"unknown field {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
    if error["type"] == "missing" or error["input"] is None:
        return f"{name} is missing"
    if cause := error.get("ctx", {}).get("error"):
        return str(cause)
    if error["type"].startswith("bool"):
        return f"{name} {error['input']!r} is not true or false"
    return f"{name} {error['input']!r}: {error['msg']}"
