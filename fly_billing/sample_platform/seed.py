"""Puts the sample platform into a billing database and a landing folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

from fly_billing.customers.organizations import Groups
from fly_billing.errors import ActionableError
from fly_billing.money import counted
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.sample_platform.contracts import Contract, charges_of, contracts_of
from fly_billing.sample_platform.delivery import deliver
from fly_billing.sample_platform.files import write_if_changed
from fly_billing.sample_platform.fly import FLY, STRIPE_CUSTOMER, add_fly, compute_open_invoice
from fly_billing.sample_platform.organizations import Organization, make_organizations, possessions_of
from fly_billing.sample_platform.records import add_charges, add_contracts, add_organizations, sample_actor
from fly_billing.sample_platform.terms import add_terms
from fly_billing.sample_platform.usage import usage_of_day
from fly_billing.sample_platform.window import Window, window_before
from fly_billing.usage.usage_table import UsageTable

# The first day on which everything in the sample has a price: that of Managed Postgres storage is the latest.
PRICED_FROM = date(2025, 8, 11)


class SampleNotPriced(ActionableError):
    """The sample would begin before everything in it has a price."""


@dataclass(frozen=True)
class Seeded:
    """The contents of the sample.

    Attributes:
        events: The number of events. A repeated event counts once.
        files: The usage files, each in the folder of one of the `landing_days`.
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

    Running it again changes nothing. Running it on a later day adds the days since. Use one seed per landing folder.

    Raises:
        SampleNotPriced: The window begins before everything in the sample has a price.
    """
    window = window_before(today, months)
    if window.first_day < PRICED_FROM:
        raise SampleNotPriced(
            f"the sample would begin on {window.first_day}, but some of its prices begin on {PRICED_FROM}: choose"
            " fewer --months, or a later --today"
        )
    with database.transaction() as connection:
        progress("loading the price book")
        load_price_book(connection, read_price_book_files(SHIPPED / "fly"))
        invented = [FLY, *make_organizations(seed, organizations, window)]
        customers = {FLY.id: STRIPE_CUSTOMER}
        actor, groups = sample_actor(window.now), Groups(max_org_partitions, shared_groups)
        _, *recorded = add_organizations(connection, actor, invented, customers, groups)
        add_fly(connection, actor)
        contracts = {organization.id: contracts_of(seed, organization, window.now) for organization in recorded}
        charges = [charge for organization in recorded for charge in charges_of(seed, organization, window)]
        add_contracts(connection, actor, [contract for several in contracts.values() for contract in several])
        add_charges(connection, actor, charges)
        add_terms(connection, actor, recorded, window.months[0])
    progress(f"{counted(len(recorded), 'organization')}; computing Fly's open invoice")
    compute_open_invoice(database, usage_table, window.now)
    written = list(_write_usage(landing_dir, seed, recorded, contracts, window, progress))
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
    possessions = {organization.id: possessions_of(seed, organization) for organization in organizations}
    for day in window.usage_days:
        events = [
            event
            for organization in organizations
            for event in usage_of_day(seed, organization, possessions[organization.id], contracts[organization.id], day)
        ]
        for file in deliver(seed, day, events, window.today):
            path = landing_dir / file.landing_day.isoformat() / file.name
            write_if_changed(path, file.content)
            yield _Written(path, file.landing_day, file.new_events)
        if (day + timedelta(days=1)).day == 1 or day == window.usage_days[-1]:
            progress(f"wrote the usage of {day:%Y-%m}")
