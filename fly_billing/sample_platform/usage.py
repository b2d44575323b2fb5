"""The usage events of a sample organization on one day. `delivery` puts them into files.

A day's events depend on the seed, the organization and the day alone, so each day can be made without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import NamedTuple
from uuid import uuid5

from fly_billing.sample_platform.contracts import SAMPLE, Contract
from fly_billing.sample_platform.organizations import Machine, Organization, Possessions

QUARTER_DAY = 21_600  # seconds
# Bytes that an app sends out on a day in a region, from a quiet side project to a busy site: 1 MB to 40 GB.
TRAFFIC = (10**6, 10**7, 10**8, 10**8, 10**9, 10**9, 4 * 10**9, 4 * 10**10)
POSTGRES_GB = {"basic": 10, "starter": 20, "launch": 100}


class UsageEvent(NamedTuple):
    """One measurement: the `quantity` of the meter in the period that begins at `time` (UTC)."""

    collector: str
    meter: str
    organization_id: str
    resource: str
    time: datetime
    quantity: Decimal
    data: Mapping[str, str]

    @property
    def id(self) -> str:
        return str(uuid5(SAMPLE, f"{self.meter}|{self.organization_id}|{self.resource}|{self.time.isoformat()}"))

    @property
    def source(self) -> str:
        return f"/collectors/{self.collector}/{self.data.get('region', 'global')}"


def usage_of_day(
    seed: int, organization: Organization, has: Possessions, contracts: Sequence[Contract], day: date
) -> list[UsageEvent]:
    """Return the organization's events on that UTC day; none before the day on which it was created."""
    if day < organization.created_at.date():
        return []
    rng = Random(f"{seed}|usage|{organization.id}|{day}")
    machines = [machine for machine in has.machines if machine.exists_on(day)]
    return [
        *_machine_events(rng, organization.id, machines, day),
        *_volume_events(organization.id, has, day),
        *_network_events(rng, organization.id, machines, day),
        *_address_events(organization, has, day),
        *_service_events(rng, organization.id, has, contracts, day),
    ]


def _machine_events(rng: Random, organization_id: str, machines: Sequence[Machine], day: date) -> Iterator[UsageEvent]:
    for machine in machines:
        quarters = _running_seconds(rng, machine.habit, day)
        data = {"app": machine.app, "region": machine.region, "preset": machine.preset, "memory": machine.memory}
        data["machine"] = machine.id
        reports = quarters if machine.reports == 4 else [sum(quarters)]
        for number, seconds in enumerate(reports):
            if seconds:
                time = _midnight(day) + timedelta(seconds=number * QUARTER_DAY)
                yield UsageEvent(
                    "machines", "machine_seconds", organization_id, machine.id, time, Decimal(seconds), data
                )
        stopped = 4 * QUARTER_DAY - sum(quarters)
        if stopped and machine.reports == 1:  # the others have their file systems on a volume
            where = {"app": machine.app, "region": machine.region, "machine": machine.id}
            gb_hours = (Decimal(stopped) * 2 / 3600).quantize(Decimal("0.000001"))  # an image of 2 GB
            yield UsageEvent(
                "volumes", "stopped_rootfs_gb_hours", organization_id, machine.id, _midnight(day), gb_hours, where
            )


def _running_seconds(rng: Random, habit: str, day: date) -> list[int]:
    """Return the running seconds in each quarter of the day: 0 to 21,600."""
    if habit == "steady":
        restart = rng.randrange(40) == 0
        return [QUARTER_DAY, QUARTER_DAY - (rng.randint(2, 300) if restart else 0), QUARTER_DAY, QUARTER_DAY]
    if habit == "office hours":
        if day.weekday() >= 5:
            return [0, rng.randrange(900), 0, 0]
        return [0, QUARTER_DAY - rng.randrange(3600), QUARTER_DAY - rng.randrange(7200), rng.randrange(1800)]
    if habit == "on demand":
        return [rng.randrange(7200) if rng.randrange(4) else 0 for _ in range(4)]
    return [rng.randint(600, 14_400), 0, 0, 0]  # a batch at night


def _volume_events(organization_id: str, has: Possessions, day: date) -> Iterator[UsageEvent]:
    for volume in has.volumes:
        if volume.from_day > day:
            continue
        data = {"app": volume.app, "region": volume.region, "volume": volume.id}
        gb_hours = Decimal(volume.size_gb * 24)
        yield UsageEvent("volumes", "volume_gb_hours", organization_id, volume.id, _midnight(day), gb_hours, data)
        stored = min(Decimal(volume.size_gb), Decimal(volume.size_gb * (60 + (day - volume.from_day).days)) / 1000)
        yield UsageEvent(
            "volumes", "volume_snapshot_gb_hours", organization_id, volume.id, _midnight(day), stored * 24, data
        )


def _network_events(rng: Random, organization_id: str, machines: Sequence[Machine], day: date) -> Iterator[UsageEvent]:
    places = sorted({(machine.app, machine.region) for machine in machines})
    regions = {region for _, region in places}
    for app, region in places:
        data = {"app": app, "region": region}
        sent = rng.choice(TRAFFIC) // 10 * rng.randint(1, 20) + rng.randrange(10**6)
        yield UsageEvent("network", "egress_gb", organization_id, f"{app}/{region}", _midnight(day), _gb(sent), data)
        if len(regions) > 1:
            inside = sent // rng.randint(3, 30)
            yield UsageEvent(
                "network", "private_egress_gb", organization_id, f"{app}/{region}", _midnight(day), _gb(inside), data
            )


def _address_events(organization: Organization, has: Possessions, day: date) -> Iterator[UsageEvent]:
    """Yield the events of addresses and hostnames: one a month, on its first day, or on the day they are added."""
    born, midnight = organization.created_at.date(), _midnight(day)
    app = {"app": has.machines[0].app}
    if day in (born, day.replace(day=1)):
        for number in range(has.ipv4):
            resource = f"ipv4-{number}"
            yield UsageEvent("services", "dedicated_ipv4_months", organization.id, resource, midnight, Decimal(1), app)
    for hostname in has.hostnames:
        if day == hostname.from_day or (day.day == 1 and hostname.from_day < day):
            meter = "wildcard_certificate_months" if hostname.is_wildcard else "certificate_months"
            data = {"app": hostname.app, "hostname": hostname.name}
            yield UsageEvent("services", meter, organization.id, hostname.name, midnight, Decimal(1), data)
    for number in range(has.static_ips):
        data = app | {"region": has.machines[0].region}
        resource = f"static-{number}"
        yield UsageEvent("services", "static_egress_ip_hours", organization.id, resource, midnight, Decimal(24), data)


def _service_events(
    rng: Random, organization_id: str, has: Possessions, contracts: Sequence[Contract], day: date
) -> Iterator[UsageEvent]:
    if has.redis_requests:
        requests = Decimal(has.redis_requests * rng.randint(50, 150) // 100)
        data = {"database": f"{organization_id}-redis"}
        yield UsageEvent(
            "services", "upstash_redis_requests", organization_id, data["database"], _midnight(day), requests, data
        )
    for contract in contracts:
        family, _, plan = contract.price_key.partition("/")
        if family == "managed-postgres" and contract.runs_at(_midnight(day)):
            data = {"cluster": f"{organization_id}-db", "region": has.machines[0].region}
            gb_hours = Decimal(POSTGRES_GB[plan] * 24)
            yield UsageEvent(
                "services",
                "managed_postgres_storage_gb_hours",
                organization_id,
                data["cluster"],
                _midnight(day),
                gb_hours,
                data,
            )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _gb(count: int) -> Decimal:
    return Decimal(count).scaleb(-9)
