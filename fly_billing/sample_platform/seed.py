"""Puts the sample platform into a billing database and a landing folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.sample_platform.contracts import Contract, charges_of, contracts_of
from fly_billing.sample_platform.delivery import deliver
from fly_billing.sample_platform.files import write_if_changed
from fly_billing.sample_platform.fly import FLY, STRIPE_CUSTOMER, add_fly, compute_open_invoice
from fly_billing.sample_platform.organizations import Organization, make_organizations, possessions_of
from fly_billing.sample_platform.records import add_charges, add_contracts, add_organizations
from fly_billing.sample_platform.terms import add_terms
from fly_billing.sample_platform.usage import usage_of_day
from fly_billing.sample_platform.window import Window, window_before
from fly_billing.usage.usage_table import UsageTable

PRICED_FROM = date(2025, 8, 11)  # the youngest first price of what the sample uses: Managed Postgres storage


@dataclass(frozen=True)
class Seeded:
    """What the sample has. `events` counts each event once, however often it arrives.

    `files` lie below the landing folder of one of the `landing_days`.
    """

    closed_months: tuple[BillingMonth, ...]
    open_months: tuple[BillingMonth, ...]
    organizations: int
    subscriptions: int
    one_off_items: int
    events: int
    landing_days: tuple[date, ...]
    files: tuple[Path, ...]

    @property
    def months(self) -> tuple[BillingMonth, ...]:
        return self.closed_months + self.open_months


def seed(
    database: BillingDatabase,
    landing_dir: Path,
    *,
    usage_table: UsageTable,
    today: date,
    months: int = 3,
    organizations: int = 40,
    seed: int = 1,
    max_org_partitions: int = 200,
    shared_groups: int = 64,
    progress: Callable[[str], None] = lambda text: None,
) -> Seeded:
    """Add Fly and `organizations` invented ones, with usage of the last `months` closed months up to yesterday.

    Running it again changes nothing; running it on a later day goes on from there. One landing folder takes one seed.
    Raises ValueError where the window begins before all that is used has a price.
    """
    window = window_before(today, months)
    if window.first_day < PRICED_FROM:
        raise ValueError(f"the sample begins on {window.first_day}; not all of it has a price before {PRICED_FROM}")
    with database.transaction() as connection:
        progress("loading the price book")
        load_price_book(connection, read_price_book_files(SHIPPED / "fly"))
        invented = [FLY, *make_organizations(seed, organizations, window)]
        found = add_organizations(connection, invented, {FLY.id: STRIPE_CUSTOMER}, max_org_partitions, shared_groups)[
            1:
        ]
        add_fly(connection)
        contracts = {one.id: contracts_of(seed, one, window.now) for one in found}
        charges = [charge for one in found for charge in charges_of(seed, one, window)]
        add_contracts(connection, [contract for several in contracts.values() for contract in several])
        add_charges(connection, charges)
        add_terms(connection, found, window.months[0])
    progress(f"{len(found)} organizations; computing Fly's open invoice")
    compute_open_invoice(database, usage_table, window.now)
    written = list(_write_usage(landing_dir, seed, found, contracts, window, progress))
    return Seeded(
        closed_months=window.closed_months,
        open_months=window.open_months,
        organizations=len(invented),
        subscriptions=sum(map(len, contracts.values())),
        one_off_items=len(charges),
        events=sum(file.new_events for file in written),
        landing_days=tuple(sorted({file.landing_day for file in written})),
        files=tuple(file.path for file in written),
    )


class _Written(NamedTuple):
    path: Path
    landing_day: date
    new_events: int


def _write_usage(
    landing_dir: Path,
    seed: int,
    organizations: Sequence[Organization],
    contracts: Mapping[str, Sequence[Contract]],
    window: Window,
    progress: Callable[[str], None],
) -> Iterator[_Written]:
    possessions = {one.id: possessions_of(seed, one) for one in organizations}
    for day in window.usage_days:
        events = [
            event
            for one in organizations
            for event in usage_of_day(seed, one, possessions[one.id], contracts[one.id], day)
        ]
        for file in deliver(seed, day, events, window.today):
            path = landing_dir / file.landing_day.isoformat() / file.name
            write_if_changed(path, file.content)
            yield _Written(path, file.landing_day, file.new_events)
        if (day + timedelta(days=1)).day == 1 or day == window.usage_days[-1]:
            progress(f"wrote the usage of {day:%Y-%m}")
