"""A realistic month next to the easy one: terms, several models and versions of prices, late and corrected usage.

Machines become dearer on 16 September, traffic has tiers, volumes are sold in packages, volume snapshots have an
allowance. A fifth of the organizations have 10 % off, a seventh a minimum of 150.00 a month, some goodwill or a plan
that began inside the month. One event in 50 lands after the end of the month, one in 10,000 can't be billed. After the
month is closed, usage of one organization in 100 arrives.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb

from fly_billing.postgres.database import BillingDatabase, copy_rows
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.pricing.rules.models.graduated import Graduated
from fly_billing.pricing.rules.models.package import Package
from fly_billing.pricing.rules.models.per_unit import PerUnit
from fly_billing.pricing.rules.models.tiers import Tier
from fly_billing.pricing.rules.prices import Price
from tests.bench.sample_of_size import CREATED, MONTH, Sample
from tests.support.builders import id_of

DEARER_FROM = datetime(2026, 9, 16, tzinfo=UTC)
PLAN_BEGINS = datetime(2026, 9, 11, tzinfo=UTC)
AFTER_CLOSE = MONTH.end.date() + timedelta(days=4)
CORRECTED_AT = MONTH.end + timedelta(days=4, hours=6)
COUPON, MINIMUM = "TEN", Decimal(150)
TIERS = (
    Tier(Decimal(100), Decimal("0.02")),
    Tier(Decimal(5000), Decimal("0.015")),
    Tier(None, Decimal("0.01")),
)

# $path is a file of the sample. A late event lands on one of the days after the month, see `make_realistic_usage`.
REALISTIC = """
create or replace view realistic as
select
    * replace (
        case when hash(id, 'bad') % 30000 = 1 then '-1' when hash(id, 'bad') % 30000 = 2 then 'many' else quantity end
        as quantity,
        if(hash(id, 'bad') % 30000 = 3, '{"app": "app-0"}', data) as data
    ),
    hash(id, 'late') % 50 = 0 as is_late
from read_parquet($files)
"""
LATE_PART = "copy (select * exclude is_late from realistic where {condition}) to '{path}' (format parquet)"
# Usage that arrives after the month is closed: events like others of the month, with ids of their own.
AFTER_THE_CLOSE = """
copy (
    select * exclude is_late replace ('late-' || id as id)
    from realistic
    where right(subject, 2) = '07' and hash(id, 'corrected') % 100 = 0
) to '{path}' (format parquet)
"""


def realistic_prices(prices: list[Price]) -> list[Price]:
    """Return new versions of the book's prices: dearer shared Machines, tiers for traffic, packages for volumes."""
    newest = {price.key: price for price in sorted(prices, key=lambda price: price.effective_from)}
    return [new for price in newest.values() if price.effective_until is None for new in _versions(price)]


def _versions(price: Price) -> list[Price]:
    if price.meter == "machine_seconds" and isinstance(price.model, PerUnit) and "shared" in price.key:
        dearer = PerUnit(price.model.unit_amount * Decimal("1.05"), price.model.per)
        return [replace(price, model=dearer, effective_from=DEARER_FROM)]
    if price.meter == "egress_gb":
        return [replace(price, model=Graduated(TIERS), effective_from=MONTH.start)]
    if price.key == "volume":
        return [replace(price, model=Package(Decimal("0.02"), Decimal(100)), effective_from=MONTH.start)]
    if price.key == "volume-snapshot":
        return [replace(price, free_allowance=Decimal(600), effective_from=MONTH.start)]
    return []


def add_terms(database: BillingDatabase, organizations: int) -> None:
    """Add the prices, plans, discounts, minimums and goodwill of the realistic month."""
    names = [f"org-{number:05d}" for number in range(organizations)]
    book = read_price_book_files(SHIPPED / "fly")
    first = MONTH.first_day
    with database.transaction() as connection:
        load_price_book(connection, replace(book, prices=[*book.prices, *realistic_prices(list(book.prices))]))
        copy_rows(
            connection, "subscriptions", ("id", "organization_id", "price_key", "started_at"),
            [(id_of(f"premium {name}"), name, "support/premium", PLAN_BEGINS) for name in names[::30]],
        )  # fmt: skip
        copy_rows(
            connection, "one_off_items", ("id", "organization_id", "description", "amount", "currency", "occurred_at"),
            [(id_of(f"goodwill {n}"), n, "Goodwill", Decimal("-5.00"), "USD", MONTH.start) for n in names[::40]],
        )  # fmt: skip
        copy_rows(connection, "coupons", ("code", "description", "percent"), [(COUPON, "Ten percent off", Decimal(10))])
        copy_rows(
            connection, "discounts", ("id", "organization_id", "coupon_code", "first_month", "redeemed_at"),
            [(id_of(f"discount {name}"), name, COUPON, first, CREATED) for name in names[::5]],
        )  # fmt: skip
        copy_rows(
            connection, "commitments",
            ("id", "organization_id", "kind", "description", "amount", "currency", "first_month"),
            [(id_of(f"minimum {n}"), n, "minimum", "At least 150 a month", MINIMUM, "USD", first) for n in names[::7]],
        )  # fmt: skip


def landing_after_close(sample: Sample) -> Path:
    return sample.landing.with_name(f"{sample.landing.name}-after-close")


def make_realistic_usage(sample: Sample, landing: Path) -> None:
    """Write the sample's usage with late and wrong events, and the usage that arrives after the close."""
    after_month = [day for day in sample.landing_days if day >= sample.month.end.date()]
    with duckdb.connect() as duck:
        duck.execute("set TimeZone = 'UTC'")
        for path in sorted(sample.landing.rglob("*.parquet")):
            duck.execute(REALISTIC.replace("$files", repr(str(path))))
            target = landing / path.parent.name / path.name
            duck.execute(LATE_PART.format(condition="not is_late", path=target))
        duck.execute(REALISTIC.replace("$files", repr(f"{sample.landing}/*/*.parquet")))
        for number, day in enumerate(after_month):
            condition = f"is_late and hash(id, 'day') % {len(after_month)} = {number}"
            duck.execute(LATE_PART.format(condition=condition, path=landing / day.isoformat() / "late-0.parquet"))
        folder = landing_after_close(sample) / AFTER_CLOSE.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        duck.execute(AFTER_THE_CLOSE.format(path=folder / "late-0.parquet"))
