"""A platform of any number of organizations with months of usage. It is deterministic, and kept in a folder.

Sizes are heavy-tailed: of a thousand organizations one has 500 items on its invoice, ten have about 60, the others 5 to
20. 30,000 organizations have 20 million events. Usage is Parquet, two files per landing day; 1 event in 1,000 is sent
twice, 1 in 10,000 names an organization that does not exist. Not here: billing it.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

from fly_billing.invoicing.rules.billing_groups import billing_group_of
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase, copy_rows
from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files
from fly_billing.usage.usage_table import open_duckdb
from tests.support.builders import id_of

MONTH = BillingMonth(2026, 9)
FIRST_MONTH = BillingMonth(2023, 1)
# In the month's grace period only the first day brings usage: files of the last hours.
NOW = datetime(2026, 10, 4, 1, tzinfo=UTC)
EVENTS_PER_1000 = 666_667
OWN_GROUPS, SHARED_GROUPS = 200, 64
CREATED = datetime(2024, 1, 1, tzinfo=UTC)
# Part of the cache's name: a new number creates the usage again.
EDITION = 2

ORGANIZATIONS = """
create temp table members as
select
    n, printf('org-%05d', n) as id,
    case
        when n % 1000 = 7 then 500 when n % 100 = 3 then 40 + hash(n, 'size') % 40 else 5 + hash(n, 'size') % 16
    end::bigint as size
from range($organizations) as numbers (n)
"""
# A resource becomes one item: a Machine of one preset in one region, a volume, traffic from one region, ...
RESOURCES = """
create temp table resources as
with numbered as (select *, unnest(range(size)) as resource from members),
placed as (
    select
        id, n, resource, 'app-' || resource % 3 as app,
        machines[1 + (hash(n, 'first') % 1000 + resource * 7)::bigint % len(machines)] as machine,
        case
            when resource = 1 then 'volume_gb_hours' when resource = 2 then 'egress_gb'
            when resource = 3 then 'volume_snapshot_gb_hours' when resource = 4 then 'dedicated_ipv4_months'
            else 'machine_seconds'
        end as meter
    from numbered, (select list({'preset': preset, 'memory': memory, 'region': region}) as machines from machines)
)
select
    row_number() over (order by n, resource) - 1 as number, id, meter,
    case meter
        when 'machine_seconds' then json_object(
            'app', app, 'region', machine.region, 'preset', machine.preset, 'memory', machine.memory
        )
        when 'dedicated_ipv4_months' then json_object('app', app)
        else json_object('app', app, 'region', machine.region)
    end::varchar as data
from placed
"""
# Each resource reports at regular intervals over the month, shifted by a small offset of its own.
EVENTS = """
copy (
    with events as (
        select
            resources.*, report,
            $start::timestamptz + to_microseconds(
                ((report * 1000 + hash(number, 'shift') % 1000) * $seconds * 1000 // $reports)::bigint
            ) as time
        from resources, range($reports) as reports (report)
        where number * $reports + report < $events
    ),
    sent as (select *, 1 as copy from events union all select *, 2 from events where hash(number, report) % 1000 = 0)
    select
        md5(concat_ws('|', $start, number, report))::uuid::varchar as id,
        '/collectors/' || if(meter = 'machine_seconds', 'machines', 'others') as source,
        meter as type,
        if(hash(number, report, 'stray') % 10000 = 0, 'org-unknown', id) as subject,
        time,
        case meter
            when 'machine_seconds' then (1 + hash(number, report, 'q') % 3600)::decimal(20, 6)
            when 'dedicated_ipv4_months' then if(report = 0, 1, 0)::decimal(20, 6)
            else (hash(number, report, 'q') % 50000000)::decimal(20, 6) / 1000000
        end::decimal(20, 6)::varchar as quantity,
        data,
        strftime(time, '%Y-%m-%d') as landing_day,
        if(meter = 'machine_seconds', 'machines', 'others') as collector
    from sent
) to '{folder}' (format parquet, partition_by (landing_day, collector), overwrite_or_ignore)
"""


@dataclass(frozen=True)
class Sample:
    """Usage of a number of organizations in a month, in the folder `landing`, and their billing groups."""

    organizations: int
    events: int
    landing: Path
    month: BillingMonth = MONTH

    @property
    def landing_days(self) -> list[date]:
        first, last = self.month.first_day, self.month.last_landing_day(timedelta(hours=72))
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]

    def groups(self) -> list[str]:
        return list(dict.fromkeys(_group(number) for number in range(self.organizations)))


def make_sample(cache: Path, organizations: int, events: int | None = None, month: BillingMonth = MONTH) -> Sample:
    """Create the month's usage below `cache` unless it is there. `events` is the number without duplicates."""
    wanted = organizations * EVENTS_PER_1000 // 1000 if events is None else events
    landing = cache / f"usage-{EDITION}-{month}-{organizations}-{wanted}"
    sample = Sample(organizations, wanted, landing, month)
    if landing.is_dir():
        return sample
    making = landing.with_name(f"{landing.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    with open_duckdb() as duck:
        duck.register("machines", _machines())
        duck.execute(ORGANIZATIONS, {"organizations": organizations})
        duck.execute(RESOURCES)
        ((resources,),) = duck.execute("select count(*) from resources").fetchall()
        duck.execute(
            EVENTS.format(folder=making),
            {"start": month.start, "seconds": month.seconds, "events": wanted, "reports": -(-wanted // resources)},
        )
    for day in sorted(making.iterdir()):
        _tidy(day)
    for landing_day in sample.landing_days:
        (making / landing_day.isoformat()).mkdir(exist_ok=True)
    making.rename(landing)
    return sample


def _tidy(day: Path) -> None:
    """Rename DuckDB's folders and files as sources name them: 2026-09-15/machines-0.parquet."""
    for collector in sorted(day.iterdir()):
        for number, file in enumerate(sorted(collector.iterdir())):
            file.rename(day / f"{collector.name.partition('=')[2]}-{number}.parquet")
        collector.rmdir()
    day.rename(day.with_name(day.name.partition("=")[2]))


def _machines() -> pa.Table:
    """Return the presets, memory sizes and regions of Machines that have a price in September 2026."""
    matches = [
        price.match
        for price in read_price_book_files(SHIPPED / "fly").prices
        if price.meter == "machine_seconds" and price.effective_until is None
    ]
    return pa.Table.from_pylist(
        [{name: match[name][0] for name in ("preset", "memory", "region")} for match in matches]
    )


def add_records(database: BillingDatabase, organizations: int) -> None:
    """Load the price book; add the organizations, a subscription for every third and a one-off item for every 20th."""
    names = [f"org-{number:05d}" for number in range(organizations)]
    customers = ((name, name.capitalize(), "USD", "fly", f"cus_{name}", number) for number, name in enumerate(names))
    with database.transaction() as connection:
        load_price_book(connection, read_price_book_files(SHIPPED / "fly"))
        columns: tuple[str, ...] = (
            "id", "name", "currency", "price_book", "stripe_customer_id", "billing_group", "created_at"
        )  # fmt: skip
        copy_rows(
            connection, "organizations", columns,
            ((*plain, _group(number), CREATED + timedelta(seconds=number)) for *plain, number in customers),
        )  # fmt: skip
        columns = ("id", "organization_id", "price_key", "started_at")
        fees: list[tuple[Any, ...]] = [(id_of(f"fee {name}"), name, "support/standard", CREATED) for name in names[::3]]
        copy_rows(connection, "subscriptions", columns, fees)
        columns = ("id", "organization_id", "description", "amount", "currency", "occurred_at")
        items = [
            (id_of(f"item {name}"), name, "Migration help", Decimal("25.00"), "USD", MONTH.start)
            for name in names[::20]
        ]
        copy_rows(connection, "one_off_items", columns, items)


def _group(number: int) -> str:
    return billing_group_of(f"org-{number:05d}", number, OWN_GROUPS, SHARED_GROUPS)
