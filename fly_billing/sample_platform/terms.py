"""Terms of a few sample organizations: a coupon, a prepaid credit, a commitment, a tax, and one payer for two.

The organizations are chosen by their place in the list, so every sample of at least 20 organizations has all terms.
"""

from __future__ import annotations

from collections.abc import Sequence
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
LEAST = 20


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
