"""Two months of random organizations are billed and recalculated from the database without any difference.

Like `tests/unit/invoicing/test_rebilling_unchanged.py`, but with the database in between: charges, counts and
payments of other months, links to payers, and organizations that joined in the middle of a month.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

from fly_billing.corrections.recalculation import find_corrections
from fly_billing.periods import BillingMonth
from tests.support.builders import OCTOBER, PRICES, SEPTEMBER, Platform, at, event, price, write_jsonl

ORGANIZATIONS = 30
BEGINNINGS = ["2026-01-10", "2026-08-20", "2026-09-01", "2026-09-11", "2026-09-21", "2026-10-01", "2026-10-16"]
SCOPES: list[dict[str, Any]] = [
    {}, {}, {"kinds": ["subscription"]}, {"kinds": ["usage"]}, {"products": ["Support"]}, {"price_keys": ["seats"]},
]  # fmt: skip


def fill(platform: Platform, random: Random) -> None:
    """Generate organizations with usage and terms, the same for the same seed."""
    dearer = price("requests", "0.30", "requests", unit="request", effective_from=at("2026-09-16"))
    offer = replace(dearer, effective_from=at("2026-10-05"), effective_until=at("2026-10-20"))
    seats = price("seats", "10.10", effective_from=at("2026-01-01"))
    quarterly = price("quarterly", "88.80", interval="quarter")
    platform.load(*PRICES, dearer, replace(offer, minimum=Decimal(7)), seats, quarterly)
    platform.insert("coupons", code="five", description="5 off", amount=5, currency="USD", scope="{}")
    for number, scope in enumerate(SCOPES):
        kind = {"percent": 25} if number % 2 else {"amount": 12, "currency": "USD"}
        platform.insert(
            "coupons", code=f"c{number}", description=f"c{number}", rank=number % 2, scope=json.dumps(scope), **kind
        )
    names = [f"org-{number}" for number in range(ORGANIZATIONS)]
    for name in names:
        platform.add_organization(name, created_at=random.choice(BEGINNINGS[:5]))
        terms(platform, random, name)
    for number, name in enumerate(names[1::4]):
        payer = names[4 * number]
        first = random.choice([SEPTEMBER, OCTOBER])
        if platform.query("select created_at < :end as is_there from organizations where id = :id",
                          end=first.end, id=payer)[0]["is_there"]:  # fmt: skip
            platform.link(name, payer, first, random.choice([None, SEPTEMBER]) if first == SEPTEMBER else None)
    for month in (SEPTEMBER, OCTOBER):
        events = [
            event(
                f"{name}-{month}-{number}", str(random.randint(1, 300)), subject=name,
                time=f"{month}-{random.randint(1, 30):02}T12:00:00Z", **random.choice([{}, {"region": "ams"}]),
            )
            for name in names for number in range(random.randint(0, 4))
        ]  # fmt: skip
        for row in events:
            row["type"] = "egress_gb" if "region" in row else "requests"
        write_jsonl(platform.landing_dir, events, month.first_day + timedelta(days=30), f"usage-{month}")


def terms(platform: Platform, random: Random, name: str) -> None:
    for key in random.sample(["support", "seats", "quarterly"], random.randint(0, 3)):
        begun = random.choice(BEGINNINGS)
        ended = random.choice([None, None, *(beginning for beginning in BEGINNINGS if beginning > begun)])
        platform.add_subscription(
            name, key, at(begun), at(ended) if ended else None, quantity=random.randint(1, 3),
            billed=random.choice(["in_advance", "in_arrears"]), proration=random.choice(["second", "day", "none"]),
            anchor=random.choice(["calendar", "start"]),
            trial_ends_at=random.choice([None, None, at(begun), at(begun) + timedelta(days=20)]),
        )  # fmt: skip
    for number in random.sample(range(len(SCOPES)), random.randint(0, 2)):
        platform.redeem(name, f"c{number}", random.choice([SEPTEMBER, OCTOBER]))
    for kind in random.sample(["minimum", "maximum"], random.randint(0, 2)):
        months = {"months": random.choice([1, 2])} if kind == "minimum" else {}
        amount, scope = str(random.randint(5, 120)), json.dumps(random.choice(SCOPES))
        platform.commit(name, kind, amount, scope=scope, **months)
    if random.random() < 0.4:
        platform.grant(name, "prepaid", str(random.randint(1, 80)), scope=json.dumps(random.choice(SCOPES[:4])))
    if random.random() < 0.5:
        platform.add_tax(name, "VAT", "19", is_inclusive=random.random() < 0.5)
    for number in range(random.randint(0, 2)):
        day = f"2026-{random.choice(['09', '10'])}-{random.randint(12, 28)}"
        platform.add_one_off(name, f"one-off {number}", str(random.randint(-20, 40)), at(day))


def wrong(platform: Platform, month: BillingMonth) -> list[tuple[str, str, Decimal]]:
    with platform.database.transaction() as connection:
        found = find_corrections(connection, month, platform.organizations(), platform.usage_table)
    assert found.failures == []
    return [
        (correction.payer.organization_id, difference.charge.key, difference.amount)
        for correction in found.found
        for difference in correction.differences
    ]


def billed_unchanged(platform: Platform, seed: int) -> None:
    fill(platform, Random(seed))
    for month in (SEPTEMBER, OCTOBER):
        assert platform.close(month).failures == []
        assert wrong(platform, month) == []
    assert wrong(platform, SEPTEMBER) == []
    (row,) = platform.query("select count(*) as invoices from invoices where status = 'finalized'")
    assert row["invoices"] > ORGANIZATIONS
    assert platform.query("select * from term_changes") == []
    kinds = {row["kind"] for row in platform.query("select distinct kind from invoice_items")}
    assert kinds >= {"usage", "subscription", "one_off", "discount", "minimum", "maximum", "credit", "tax"}


def test_recalculating_unchanged_months_finds_no_correction(platform: Platform) -> None:
    billed_unchanged(platform, 1)
