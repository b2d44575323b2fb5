"""An organization, its details for invoices, its payer, and where and how it is taxed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

from fly_billing.customers.rules.checks import check_currency, check_id, check_moment, check_months, check_text
from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.fields import read_printable, refuse_other_word

COLLECTIONS = ("charge_automatically", "send_invoice")
MOST_TAX_IDS = 5
MOST_NET_DAYS = 365
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_LOCATION = re.compile(r"[A-Z]{2}(-[A-Z0-9]+)*", re.ASCII)
_TAX_ID = re.compile(r"[a-z]{2}_[a-z_]+:\S[^\n]*", re.ASCII)
# The longest text of each detail that is one line, and of those that may have several.
ONE_LINE = {
    "legal_name": 256, "line1": 500, "line2": 500, "postal_code": 50, "city": 200, "state": 200, "purchase_order": 140,
}  # fmt: skip
LINES = {"memo": 1000, "footer": 2500}


@dataclass(frozen=True)
class OrganizationRecord:
    """A customer of the platform.

    Attributes:
        created_at: When it became a customer. It is billed from that month on.
        stripe_customer_id: Its customer in Stripe. None: made with its first invoice; an existing one stays.
        place: The file and line that it was read from, with which its errors begin.

    Raises:
        ValueError: Names the field that is wrong.
    """

    id: str
    name: str
    created_at: datetime
    currency: str = "USD"
    price_book: str = "fly"
    stripe_customer_id: str | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_id(self.id)
        check_text("name", self.name)
        check_currency(self.currency)
        read_printable("price_book", self.price_book)
        check_moment("created_at", self.created_at)
        if self.stripe_customer_id is not None:
            read_printable("stripe_customer_id", self.stripe_customer_id)


@dataclass(frozen=True)
class CustomerDetails:
    """The customer on an organization's invoices, and how it pays: the columns of `billing_details`.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    legal_name: str | None = None
    email: str | None = None
    line1: str | None = None
    line2: str | None = None
    postal_code: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    tax_ids: tuple[str, ...] = ()
    collection: str = "charge_automatically"
    net_days: int | None = None
    purchase_order: str | None = None
    memo: str | None = None
    footer: str | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        for name, longest in ONE_LINE.items():
            if (text := getattr(self, name)) is not None:
                read_printable(name, text, longest)
        for name, longest in LINES.items():
            if (text := getattr(self, name)) is not None:
                check_text(name, text, longest)
        if self.email is not None and not (_EMAIL.fullmatch(self.email) and len(self.email) <= 512):
            raise ValueError(f"email {self.email!r} is not an address, such as billing@example.com")
        self._check_address()
        self._check_payment()

    def _check_address(self) -> None:
        if self.country is not None and not _COUNTRY.fullmatch(self.country):
            raise ValueError(f"country {self.country!r} is not an ISO 3166 code, such as DE")
        if self.country is None and any((self.line1, self.line2, self.postal_code, self.city, self.state)):
            raise ValueError("an address needs its country")

    def _check_payment(self) -> None:
        refuse_other_word("collection", self.collection, COLLECTIONS)
        if self.collection == "send_invoice" and self.email is None:
            raise ValueError("collection send_invoice needs an email: Stripe mails the invoice")
        if self.net_days is not None and not 0 <= self.net_days <= MOST_NET_DAYS:
            raise ValueError(f"net_days {self.net_days} must be from 0 to {MOST_NET_DAYS}")
        if len(self.tax_ids) > MOST_TAX_IDS or len(set(self.tax_ids)) < len(self.tax_ids):
            raise ValueError(f"tax_ids must be at most {MOST_TAX_IDS}, each once")
        for tax_id in self.tax_ids:
            if not _TAX_ID.fullmatch(tax_id):
                raise ValueError(f"tax id {tax_id!r} must be Stripe's type and the value, such as eu_vat:DE123456789")


@dataclass(frozen=True)
class PayerLink:
    """In these months (both included; None: no end), the payer's invoice includes the organization.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    payer_id: str
    first_month: BillingMonth
    last_month: BillingMonth | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.payer_id == self.organization_id:
            raise ValueError(f"{self.payer_id} can't be its own payer: it pays for itself without a link")
        check_months(self.first_month, self.last_month)


@dataclass(frozen=True)
class TaxStatus:
    """An organization's location (`DE`, `CA-QC`) and kind (`business`) from a month on, which select its tax rates.

    Raises:
        ValueError: Names the field that is wrong.
    """

    organization_id: str
    first_month: BillingMonth
    location: str | None = None
    kind: str | None = None
    place: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        check_months(self.first_month, None)
        if self.location is not None and not _LOCATION.fullmatch(self.location):
            raise ValueError(f"location {self.location!r} is not an ISO 3166 code, such as DE or CA-QC")
        if self.kind is not None:
            read_printable("kind", self.kind)
