"""A month with one of everything: tiers, an allowance, a plan, one-off items, a coupon, a credit, a tax, a link."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from fly_billing.pricing.rules.models import Graduated
from fly_billing.pricing.rules.models.tiers import Tier
from tests.support.builders import REQUESTS, SEPTEMBER, Platform, at, event, id_of

# 0.002 each up to 10,000 requests, 0.001 above.
TIERED_REQUESTS = replace(
    REQUESTS, model=Graduated((Tier(Decimal(10_000), Decimal("0.002")), Tier(None, Decimal("0.001"))))
)
FIRST = SEPTEMBER.first_day


def bill_full_month(platform: Platform) -> Platform:
    """Close September 2026: acme pays for itself and beta, with a coupon, a credit and a tax; gamma pays in yen.

    acme: 12,500 requests 22.50, a million Machine seconds 0.7484..., 150 GB 1.00, support 29.00, onboarding 10.00,
    goodwill -5.00; beta: 100 requests 0.20. Total 58.4484...; 10 % off all but goodwill leave 52.1036..., 3.00 of
    credit 49.1036...; 19 % on 49.10 are 9.33; to pay: 58.43. gamma: 1,200 yen.
    """
    platform.load(TIERED_REQUESTS)
    platform.add_organization("beta")
    platform.add_organization("gamma", "JPY")
    platform.execute("insert into organization_links values ('beta', 'acme', :month)", month=FIRST)
    platform.add_subscription("acme", "support", at("2026-01-01"))
    platform.add_one_off("acme", "Onboarding", "10.00", at("2026-09-03T10:00:00"))
    platform.add_one_off("acme", "Goodwill", "-5.00", at("2026-09-04"))
    platform.execute(
        "insert into one_off_items values (:id, 'gamma', 'Training', 1200, 'JPY', :at)",
        id=id_of("training"), at=at("2026-09-30T23:59:59"),
    )  # fmt: skip
    _add_terms(platform)
    platform.use(
        event("e1", "12500"),
        event("e2", "100", subject="beta"),
        event("e3", "1000000", type="machine_seconds", preset="shared-cpu-1x", region="ams"),
        event("e4", "150", type="egress_gb", region="ams"),
    )
    assert platform.close().failures == []
    return platform


def _add_terms(platform: Platform) -> None:
    """Add 10 % off all charges, 3.00 of credit, and a tax of 19 %, for acme."""
    platform.execute("insert into coupons (code, description, percent) values ('TENOFF', 'Ten percent off', 10)")
    platform.execute(
        "insert into discounts (id, organization_id, coupon_code, first_month, redeemed_at)"
        " values (:id, 'acme', 'TENOFF', :month, :at)",
        id=id_of("discount"), month=FIRST, at=at("2026-09-01"),
    )  # fmt: skip
    platform.execute(
        "insert into credit_grants (id, organization_id, description, amount, currency, granted_at)"
        " values (:id, 'acme', 'Prepaid', 3, 'USD', :at)",
        id=id_of("credit"), at=at("2026-08-01"),
    )  # fmt: skip
    platform.execute(
        "insert into tax_rates (id, organization_id, name, percent, first_month)"
        " values (:id, 'acme', 'VAT', 19, :month)",
        id=id_of("tax"), month=FIRST,
    )  # fmt: skip
