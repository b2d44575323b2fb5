"""What a few organizations of the sample agreed on: a coupon, prepaid credit, a commitment, a tax, one payer for two.

Chosen by their place in the list, so that every sample of 20 organizations or more has them all.
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
# Place in the list, and what is agreed there. Amounts in USD.
WITH_COUPON, WITH_CREDIT, WITH_COMMITMENT, WITH_TAX, PAYER, PAID_FOR = 7, 10, 19, 12, 14, 8
LEAST = 20


def add_terms(connection: Connection, organizations: Sequence[Organization], first: BillingMonth) -> None:
    """Add the terms from `first` on, once. An organization that is younger has them from its own first month on."""
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
