"""An invoice's customer, and its way of payment, as Stripe's customer and invoice take it.

Fields that nobody gave us are left alone at Stripe: someone may keep them there. Not here: sending
(`stripe_sync.customers`), and the details of each organization (the table billing_details).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME_LENGTH = 256
NUMBER_LENGTH = 26
FOOTER_LENGTH = 5000
MEMO_LENGTH = 1500
PLACE = ("line1", "line2", "postal_code", "city", "state", "country")


@dataclass(frozen=True)
class InvoiceDetails:
    """The customer of a final invoice, as of its finalization (table invoice_details).

    Attributes:
        name: The name on the invoice.
        legal_name: The name, if the organization has another one than its own.
        tax_ids: Each as `type:value`.
        collection: Stripe's `collection_method`.
        net_days: The days until the invoice is due.
    """

    name: str
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
    net_days: int = 0
    purchase_order: str | None = None
    memo: str | None = None
    footer: str | None = None

    @property
    def address(self) -> dict[str, str] | None:
        """Return the address as Stripe takes it; None without a country."""
        if self.country is None:
            return None
        # An empty text removes a part that an earlier address had.
        return {part: getattr(self, part) or "" for part in PLACE}

    @property
    def address_lines(self) -> tuple[str, ...]:
        """Return the address as it is printed."""
        town = " ".join(part for part in (self.postal_code, self.city) if part)
        return tuple(line for line in (self.line1, self.line2, town, self.state, self.country) if line)

    @property
    def is_more_than_a_name(self) -> bool:
        return bool(self.legal_name or self.email or self.address or self.tax_ids)

    @property
    def shown_tax_ids(self) -> tuple[str, ...]:
        """Return the tax ids as they are printed: `EU VAT DE123456789`."""
        found = (split_tax_id(text) for text in self.tax_ids)
        return tuple(f"{kind.replace('_', ' ').upper()} {value}" for kind, value in found)


def customer_params(details: InvoiceDetails, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details that Stripe's customer should have of us.

    Args:
        sent: Those that it has of us. A field of them that is gone now is emptied.
    """
    wanted: dict[str, Any] = {}
    if details.legal_name or "name" in sent:
        wanted["name"] = details.name[:NAME_LENGTH]
    if details.email or "email" in sent:
        wanted["email"] = details.email or ""
    if details.address or "address" in sent:
        wanted["address"] = details.address or ""
    if details.tax_ids or "tax_ids" in sent:
        wanted["tax_ids"] = list(details.tax_ids)
    return wanted


def changed_params(wanted: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of an update of Stripe's customer; empty if only tax ids changed, or nothing."""
    return {name: value for name, value in wanted.items() if name != "tax_ids" and sent.get(name) != value}


def split_tax_id(text: str) -> tuple[str, str]:
    """Split `eu_vat:DE123456789` into type and value."""
    kind, _, value = text.partition(":")
    return kind, value


def same_tax_id(text: str, kind: str, value: str) -> bool:
    """Return True if Stripe's tax id is this one: Stripe may write a value without spaces, or in capitals."""
    ours, given = split_tax_id(text)
    return ours == kind and given.replace(" ", "").upper() == value.replace(" ", "").upper()
