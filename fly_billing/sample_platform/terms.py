"""Terms of a few sample organizations: a coupon, a prepaid credit, a commitment, a tax, one payer for two, addresses.

The organizations are chosen by their place in the list, so every sample of at least 20 organizations has all terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from fly_billing.corrections.correction import Actor
from fly_billing.customers.billing_details import DETAILS as DETAILS_TABLE
from fly_billing.customers.billing_details import write_billing_details
from fly_billing.customers.commitments import COMMITMENTS, write_commitments
from fly_billing.customers.coupons import COUPONS, DISCOUNTS, give_coupons, write_coupons
from fly_billing.customers.credits import CREDITS, write_credits
from fly_billing.customers.links import LINKS, write_links
from fly_billing.customers.organizations import show_organization
from fly_billing.customers.rules.organizations import CustomerDetails, PayerLink
from fly_billing.customers.rules.terms import CommitmentTerms, CouponTerms, CreditTerms, DiscountTerms, TaxTerms
from fly_billing.customers.taxes import TAXES, write_taxes
from fly_billing.customers.writing import TermTable, known_rows
from fly_billing.periods import BillingMonth
from fly_billing.sample_platform.contracts import SAMPLE
from fly_billing.sample_platform.organizations import Organization

COUPON = CouponTerms("WELCOME10", "Welcome: 10 % off for two months", percent=Decimal(10), months=2)
# The places in the list of the organizations with each term.
WITH_COUPON, WITH_CREDIT, WITH_COMMITMENT, WITH_TAX, PAYER, PAID_FOR = 7, 10, 19, 12, 14, 8
LARGEST = 0
LEAST = 20
# The customers on the invoices: by the place of the organization. E-mail addresses are at its id below example.com.
DETAILS: dict[int, dict[str, Any]] = {
    LARGEST: {
        "line1": "200 Harbor Street", "line2": "Floor 4", "postal_code": "02110", "city": "Boston", "state": "MA",
        "country": "US", "purchase_order": "PO-2041",
    },
    WITH_TAX: {
        "legal_form": "GmbH", "line1": "Ankerweg 12", "postal_code": "10115", "city": "Berlin", "country": "DE",
        "tax_ids": ("eu_vat:DE123456789",),
    },
    WITH_COMMITMENT: {
        "line1": "31 Lantern Lane", "postal_code": "94103", "city": "San Francisco", "state": "CA", "country": "US",
        "collection": "send_invoice", "net_days": 30, "purchase_order": "4500017733",
        "memo": "Please quote our invoice number with your payment.",
    },
}  # fmt: skip


def add_terms(connection: Connection, actor: Actor, organizations: Sequence[Organization], first: BillingMonth) -> None:
    """Add the terms, once, from the month `first` on, or from an organization's own first month if it is later."""
    if len(organizations) < LEAST:
        return

    def add(place: int, name: str, table: TermTable, write: Callable[..., Any], make: Callable[..., Any]) -> None:
        """Write the term that `make` returns, unless the organization at this place has a term of the table."""
        one = organizations[place]
        month = max(first, BillingMonth.containing(one.created_at))
        is_open = show_organization(connection, one.id, month.start).closed_at is None
        if is_open and not known_rows(connection, table, [one.id]):
            write(connection, actor, [make(one.id, month, uuid5(SAMPLE, f"{name}|{one.id}"))])

    if not known_rows(connection, COUPONS, [COUPON.code]):
        write_coupons(connection, actor, [COUPON])
    add(WITH_COUPON, "add_discount", DISCOUNTS, give_coupons, _discount)
    add(WITH_CREDIT, "add_credit_grant", CREDITS, write_credits, _credit)
    add(WITH_COMMITMENT, "add_commitment", COMMITMENTS, write_commitments, _commitment)
    add(WITH_TAX, "add_tax_rate", TAXES, write_taxes, _tax)
    _add_link(connection, actor, organizations[PAID_FOR], organizations[PAYER], first)
    new = [
        _details_of(organizations[place], details)
        for place, details in DETAILS.items()
        if not known_rows(connection, DETAILS_TABLE, [organizations[place].id])
    ]
    write_billing_details(connection, actor, new)


def _details_of(organization: Organization, details: Mapping[str, Any]) -> CustomerDetails:
    columns = {name: value for name, value in details.items() if name != "legal_form"}
    form = details.get("legal_form")
    return CustomerDetails(
        organization.id,
        legal_name=f"{organization.name} {form}" if form else None,
        email=f"billing@{organization.id}.example.com",
        **columns,
    )


def _discount(name: str, month: BillingMonth, id: UUID) -> DiscountTerms:
    return DiscountTerms(name, COUPON.code, month, redeemed_at=month.start, recorded_as=id)


def _credit(name: str, month: BillingMonth, id: UUID) -> CreditTerms:
    return CreditTerms(name, "Prepaid credit", Decimal(150), month.start, recorded_as=id)


def _commitment(name: str, month: BillingMonth, id: UUID) -> CommitmentTerms:
    return CommitmentTerms(name, "At least $700 a month", Decimal(700), month, recorded_as=id)


def _tax(name: str, month: BillingMonth, id: UUID) -> TaxTerms:
    return TaxTerms(name, "VAT", Decimal(19), month, recorded_as=id)


def _add_link(
    connection: Connection, actor: Actor, paid_for: Organization, payer: Organization, first: BillingMonth
) -> None:
    """Link an organization to its payer, unless it has a link, or a final invoice of its own since then."""
    month = max(first, BillingMonth.containing(paid_for.created_at))
    final = show_organization(connection, paid_for.id, month.start).last_final_month
    if not known_rows(connection, LINKS, [paid_for.id]) and (final is None or final < str(month)):
        write_links(connection, actor, [PayerLink(paid_for.id, payer.id, month)])
