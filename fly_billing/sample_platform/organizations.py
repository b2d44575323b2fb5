"""The sample platform's organizations and their Machines, volumes, hostnames and addresses. `usage` has their usage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeVar

from fly_billing.invoicing.rules.billing_groups import slug
from fly_billing.sample_platform.window import Window

FIRST_WORDS = """
    Amber Anvil Aspen Birch Bramble Brass Canyon Cedar Cinder Cobalt Copper Coral Cricket Delta Ember Fathom
    Fennel Finch Flint Foxglove Garnet Gull Harbor Hazel Heron Indigo Juniper Kelp Kestrel Lantern Larch
    Lichen Linden Magpie Maple Marlin Mica Moss Nettle Nimbus Oriole Otter Pebble Petrel Pine Quartz Quill
    Raven Reed Rowan Saffron Sable Sorrel Sparrow Spruce Tallow Teal Thistle Tidal Umber Velvet Walnut Willow
    Wren Yarrow Zephyr
"""
SECOND_WORDS = """
    Analytics Apps Atlas Books Bureau Cartography Chat Clinic Coffee Collective Commerce Courier Data Dispatch
    Editions Farms Foundry Freight Games Geodesy Goods Health Instruments Labs Learning Ledger Logistics Maps
    Media Mobility Music Notes Optics Outfitters Payments Pictures Post Press Radio Records Robotics Signal
    Software Sports Studio Supply Systems Tickets Tools Travel Weather Works
"""

# Numbers of Machines. Of every 40 organizations, 24 have one or two Machines, and the largest has a quarter of all.
MACHINES = (
    62, 1, 2, 5, 1, 3, 1, 9, 2, 1, 20, 1, 3, 1, 6, 2, 1, 4, 1, 30, 1, 2, 7, 1, 3, 1, 5, 2, 1, 15, 1,
    2, 4, 1, 1, 8, 2, 1, 3, 1,
)  # fmt: skip
PRESETS = (
    ("shared-cpu-1x", "256MB", 30), ("shared-cpu-1x", "512MB", 16), ("shared-cpu-1x", "1GB", 14),
    ("shared-cpu-2x", "512MB", 8), ("shared-cpu-2x", "1GB", 6), ("shared-cpu-4x", "1GB", 4),
    ("shared-cpu-8x", "4GB", 2), ("performance-1x", "2GB", 9), ("performance-2x", "4GB", 6),
    ("performance-4x", "8GB", 3), ("performance-8x", "16GB", 2),
)  # fmt: skip
REGIONS = (
    ("iad", 20), ("ams", 14), ("fra", 10), ("lhr", 8), ("ord", 8), ("sjc", 8), ("cdg", 6), ("sin", 6),
    ("syd", 5), ("nrt", 5), ("gru", 4), ("yyz", 3), ("bom", 2), ("jnb", 1),
)  # fmt: skip
HABITS = (("steady", 56), ("office hours", 18), ("on demand", 18), ("batch", 8))
APPS = ("web", "api", "worker", "jobs", "admin", "search", "gateway", "preview")

FIRST_BORN = date(2023, 7, 1)  # after the months of Fly's two invoices, in which nobody else is billed

T = TypeVar("T")


@dataclass(frozen=True)
class Organization:
    """An invented organization. `size` is the number of Machines that it has over time."""

    id: str
    name: str
    created_at: datetime
    size: int


@dataclass(frozen=True)
class Machine:
    """A Machine that exists in `[from_day, until_day)`. `reports` is its number of usage events a day: 1 or 4."""

    id: str
    app: str
    region: str
    preset: str
    memory: str
    habit: str
    reports: int
    from_day: date
    until_day: date | None

    def exists_on(self, day: date) -> bool:
        return self.from_day <= day and (self.until_day is None or day < self.until_day)


@dataclass(frozen=True)
class DiskVolume:
    """A volume of `size_gb` gigabytes from `from_day` on."""

    id: str
    app: str
    region: str
    size_gb: int
    from_day: date


@dataclass(frozen=True)
class Hostname:
    """A hostname with a certificate from `from_day` on."""

    name: str
    app: str
    from_day: date

    @property
    def is_wildcard(self) -> bool:
        return self.name.startswith("*.")


@dataclass(frozen=True)
class Possessions:
    """Everything that an organization ever has.

    Attributes:
        ipv4, static_ips: Numbers of addresses.
        redis_requests: The number of requests on a usual day.
    """

    machines: tuple[Machine, ...]
    volumes: tuple[DiskVolume, ...]
    hostnames: tuple[Hostname, ...]
    ipv4: int
    static_ips: int
    redis_requests: int


def make_organizations(seed: int, count: int, window: Window) -> list[Organization]:
    """Invent `count` organizations. Three quarters existed before the window; the others are created in it.

    A greater `count` adds organizations and changes none.
    """
    names = [f"{first} {second}" for first in FIRST_WORDS.split() for second in SECOND_WORDS.split()]
    Random(f"{seed}|names").shuffle(names)
    return [_organization(seed, number, names, window) for number in range(count)]


def _organization(seed: int, number: int, names: list[str], window: Window) -> Organization:
    rng = Random(f"{seed}|organization|{number}")
    again, index = divmod(number, len(names))
    name = f"{names[index]} {again + 1}" if again else names[index]
    window_days = max(1, (window.today - window.first_day).days)
    oldest = min(900, (window.first_day - FIRST_BORN).days)
    days = rng.randrange(window_days) if number % 4 == 3 else -rng.randint(1, oldest)
    start = datetime(window.first_day.year, window.first_day.month, window.first_day.day, tzinfo=UTC)
    created_at = min(start + timedelta(days=days, seconds=rng.randrange(86400)), window.now - timedelta(days=1))
    return Organization(slug(name), name, created_at, MACHINES[number % len(MACHINES)])


def possessions_of(seed: int, organization: Organization) -> Possessions:
    rng = Random(f"{seed}|possessions|{organization.id}")
    born = organization.created_at.date()
    homes = [_weighted(rng, REGIONS) for _ in range(1 + min(4, organization.size // 5))]
    apps = [f"{organization.id}-{app}" for app in APPS[: 1 + min(len(APPS) - 1, organization.size // 4)]]
    machines = tuple(_machine(rng, apps, homes, born, n) for n in range(organization.size))
    with_volume = [machine for machine in machines if rng.randrange(100) < 45]
    volumes = tuple(_volume(rng, machine) for machine in with_volume)
    hostnames = tuple(_hostname(rng, organization, apps, born, n) for n in range(rng.randint(1, 2 + organization.size)))
    return Possessions(
        machines,
        volumes,
        hostnames,
        ipv4=rng.randint(0, 1 + organization.size // 6),
        static_ips=rng.randint(1, 2) if organization.size > 6 and rng.randrange(3) == 0 else 0,
        redis_requests=organization.size * rng.randint(2_000, 60_000) if rng.randrange(3) == 0 else 0,
    )


def _machine(rng: Random, apps: list[str], homes: list[str], born: date, number: int) -> Machine:
    from_day = born if number == 0 or rng.randrange(10) < 6 else born + timedelta(days=rng.randint(1, 300))
    retired = number > 0 and rng.randrange(8) == 0
    preset, memory = _weighted(rng, tuple(((preset, memory), weight) for preset, memory, weight in PRESETS))
    return Machine(
        id=f"{rng.getrandbits(56):014x}",
        app=rng.choice(apps),
        region=rng.choice(homes),
        preset=preset,
        memory=memory,
        habit=_weighted(rng, HABITS),
        reports=rng.choice((1, 4, 4, 4, 4)),
        from_day=from_day,
        until_day=from_day + timedelta(days=rng.randint(20, 500)) if retired else None,
    )


def _volume(rng: Random, machine: Machine) -> DiskVolume:
    size = _weighted(rng, ((1, 30), (3, 25), (10, 25), (40, 12), (100, 6), (500, 2)))
    return DiskVolume(f"vol_{rng.getrandbits(60):015x}", machine.app, machine.region, size, machine.from_day)


def _hostname(rng: Random, organization: Organization, apps: list[str], born: date, number: int) -> Hostname:
    from_day = born if number == 0 else born + timedelta(days=rng.randint(0, 400))
    label = (
        f"*.{rng.choice(APPS)}{number}."
        if rng.randrange(12) == 0
        else "www."
        if number == 0
        else f"{rng.choice(APPS)}{number}."
    )
    return Hostname(f"{label}{organization.id}.example", rng.choice(apps), from_day)


def _weighted(rng: Random, choices: Sequence[tuple[T, int]]) -> T:
    """Draw one choice by integer weights."""
    left = rng.randrange(sum(weight for _, weight in choices))
    for choice, weight in choices:
        left -= weight
        if left < 0:
            return choice
    raise AssertionError("the weights add up to more than was drawn")
