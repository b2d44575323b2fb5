"""Terms of a few sample organizations: a coupon, a prepaid credit, a commitment, a tax, one payer for two, addresses.

The organizations are chosen by their place in the list, so every sample of at least 20 organizations has all terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid5

from sqlalchemy import Connection

from fly_billing.periods import BillingMonth
from fly_billing.sample_platform.contracts import SAMPLE
from fly_billing.sample_platform.organizations import Organization
from fly_billing.sample_platform.records import run

COUPON = {"code": "WELCOME10", "description": "Welcome: 10 % off for two months", "percent": 10, "months": 2}
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
        "tax_ids": ["eu_vat:DE123456789"],
    },
    WITH_COMMITMENT: {
        "line1": "31 Lantern Lane", "postal_code": "94103", "city": "San Francisco", "state": "CA", "country": "US",
        "collection": "send_invoice", "net_days": 30, "purchase_order": "4500017733",
        "memo": "Please quote our invoice number with your payment.",
    },
}  # fmt: skip
_NO_DETAILS: dict[str, Any] = {
    **dict.fromkeys(("line2", "state", "purchase_order", "net_days", "memo")),
    "tax_ids": [], "collection": "charge_automatically",
}  # fmt: skip


def add_terms(connection: Connection, organizations: Sequence[Organization], first: BillingMonth) -> None:
    """Add the terms, once, from the month `first` on, or from an organization's own first month if it is later."""
    if len(organizations) < LEAST:
        return
    run(connection, "add_coupon", COUPON)
    records: list[tuple[int, str, dict[str, Any]]] = [
        (WITH_COUPON, "add_discount", {"coupon_code": COUPON["code"]}),
        (WITH_CREDIT, "add_credit_grant", {"description": "Prepaid credit", "amount": 150}),
        (WITH_COMMITMENT, "add_commitment", {"description": "At least $700 a month", "amount": 700}),
        (WITH_TAX, "add_tax_rate", {"name": "VAT", "percent": 19}),
        (PAID_FOR, "add_organization_link", {}),
    ]
    for place, name, values in records:
        organization = organizations[place]
        month = max(first, BillingMonth.containing(organization.created_at))
        run(connection, name, {
            "id": uuid5(SAMPLE, f"{name}|{organization.id}"),
            "organization_id": organization.id,
            "payer_id": organizations[PAYER].id,
            "first_month": month.first_day,
            "at": month.start,
            **values,
        })  # fmt: skip
    for place, details in DETAILS.items():
        run(connection, "add_sample_details", _details_of(organizations[place], details))


def _details_of(organization: Organization, details: Mapping[str, Any]) -> dict[str, Any]:
    form = details.get("legal_form")
    return {
        **_NO_DETAILS,
        **details,
        "organization_id": organization.id,
        "legal_name": f"{organization.name} {form}" if form else None,
        "email": f"billing@{organization.id}.example.com",
    }
