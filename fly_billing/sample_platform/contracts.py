"""Recurring fees, one-off charges and credits of the sample platform's organizations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import NAMESPACE_URL, UUID, uuid5

from fly_billing.periods import BillingMonth, months_between
from fly_billing.sample_platform.organizations import Organization
from fly_billing.sample_platform.window import Window

SAMPLE = uuid5(NAMESPACE_URL, "fly_billing/sample_platform")

SUPPORT = ("support/standard", "support/standard", "support/standard", "support/premium")
POSTGRES = ("managed-postgres/basic", "managed-postgres/basic", "managed-postgres/starter", "managed-postgres/launch")
REDIS = ("upstash-redis/fixed-250mb", "upstash-redis/fixed-1gb")
# Text and cents. Only organizations with a bill larger than any of these credits get one.
CHARGES = (("Migration assistance", 15000), ("Compliance documents", 9900), ("Architecture review", 25000))
CREDITS = (("Credit for the outage in fra", -1250), ("Goodwill credit", -500), ("Beta feedback credit", -799))


@dataclass(frozen=True)
class Contract:
    """A recurring fee of an organization in `[started_at, ended_at)`. `ended_at` is None while it runs."""

    id: UUID
    organization_id: str
    price_key: str
    started_at: datetime
    ended_at: datetime | None

    def runs_at(self, moment: datetime) -> bool:
        return self.started_at <= moment and (self.ended_at is None or moment < self.ended_at)


@dataclass(frozen=True)
class SampleCharge:
    """A one-off charge in USD. A negative amount is a credit."""

    id: UUID
    organization_id: str
    description: str
    amount: Decimal
    occurred_at: datetime


def contracts_of(seed: int, organization: Organization, now: datetime) -> list[Contract]:
    """Return the contracts that began before `now`. They start, change and end at any second of a month."""
    families = ((SUPPORT, 45), (POSTGRES, 30), (REDIS, 15))
    return [
        contract
        for plans, percent in families
        for contract in _chain(Random(f"{seed}|{plans[0]}|{organization.id}"), seed, organization, plans, percent, now)
    ]


def _chain(
    rng: Random, seed: int, organization: Organization, plans: Sequence[str], percent: int, now: datetime
) -> Iterator[Contract]:
    if rng.randrange(100) >= percent + min(30, organization.size):
        return
    start = organization.created_at + timedelta(days=rng.randint(0, 60), seconds=rng.randrange(86400))
    while start < now:
        end = start + timedelta(days=rng.randint(40, 330), seconds=rng.randrange(86400))
        plan = rng.choice(plans)
        identity = uuid5(SAMPLE, f"{seed}|contract|{organization.id}|{plan}|{start.isoformat()}")
        yield Contract(identity, organization.id, plan, start, end if end <= now else None)
        changes_plan_at_once = rng.randrange(2) == 0
        start = end if changes_plan_at_once else end + timedelta(days=rng.randint(5, 90))


def charges_of(seed: int, organization: Organization, window: Window) -> list[SampleCharge]:
    """Return the one-off charges and credits of the window's months, up to now."""
    first = max(window.months[0], BillingMonth.containing(organization.created_at))
    drawn = [_charge(seed, organization, month) for month in months_between(first, window.months[-1])]
    return [charge for charge in drawn if charge and organization.created_at <= charge.occurred_at < window.now]


def _charge(seed: int, organization: Organization, month: BillingMonth) -> SampleCharge | None:
    rng = Random(f"{seed}|charge|{organization.id}|{month}")
    kind = rng.randrange(100)
    if kind >= (20 if organization.size >= 8 else 4):
        return None
    text, cents = rng.choice(CREDITS if kind >= 6 else CHARGES)
    occurred_at = datetime(
        month.year, month.month, rng.randint(1, 28), rng.randrange(24), rng.randrange(60), tzinfo=UTC
    )
    identity = uuid5(SAMPLE, f"{seed}|charge|{organization.id}|{month}")
    return SampleCharge(identity, organization.id, text, Decimal(cents).scaleb(-2), occurred_at)
