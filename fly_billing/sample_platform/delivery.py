"""Delivers a day's events to the landing folder as files, some of them late, repeated, damaged or misnamed.

Every file has events of one usage day, so a longer or later window adds files and changes none. Every damaged, misnamed
or repeated event also arrives correctly once, so no organization is billed too little or too much.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

from fly_billing.sample_platform.files import write_csv, write_jsonl, write_parquet
from fly_billing.sample_platform.usage import UsageEvent

WRITERS = {".jsonl": write_jsonl, ".csv": write_csv, ".parquet": write_parquet}
FILES = {
    "machines": "machines.jsonl",
    "volumes": "volumes.parquet",
    "network": "network.csv",
    "services": "services.csv",
}


@dataclass(frozen=True)
class Delivery:
    """One file in the landing folder. `new_events` is the number of its events that no earlier file has."""

    landing_day: date
    name: str
    content: bytes
    new_events: int


def deliver(seed: int, day: date, events: Sequence[UsageEvent], today: date) -> list[Delivery]:
    """Return the files with the day's events that land up to today. They land on the next day or later."""
    rng = Random(f"{seed}|delivery|{day}")
    by_file: dict[str, list[UsageEvent]] = defaultdict(list)
    for event in events:
        by_file[FILES[event.collector]].append(event)
    machines = by_file["machines.jsonl"]
    late = _some(rng, machines, 12, one_day_in=8)
    resent = _some(rng, [event for event in machines if event not in late], 6, one_day_in=6)
    by_file["machines.jsonl"] = [event for event in machines if event not in late]
    next_day = day + timedelta(days=1)
    # Each collector delivers every day, also without events (a header only): otherwise it would be a silent source.
    files = [Delivery(next_day, name, _written(name, by_file[name]), len(by_file[name])) for name in FILES.values()]
    if machines and day.toordinal() % 29 == 0:
        files = [_with_a_torn_copy(file) if file.name == "machines.jsonl" else file for file in files]
    if by_file["network.csv"] and day.toordinal() % 37 == 0:
        files.append(_misnamed(next_day, by_file["network.csv"][0]))
    files.append(_delivery(next_day + timedelta(days=rng.randint(1, 2)), f"machines-late-{day}.jsonl", late))
    files.append(_delivery(next_day + timedelta(days=1), f"machines-resent-{day}.jsonl", resent, are_new=False))
    return [file for file in files if file.content and file.landing_day <= today]


def _some(rng: Random, events: Sequence[UsageEvent], at_most: int, one_day_in: int) -> list[UsageEvent]:
    hit = rng.randrange(one_day_in) == 0
    return rng.sample(events, min(rng.randint(1, at_most), len(events) // 2)) if hit else []


def _delivery(landing_day: date, name: str, events: Sequence[UsageEvent], are_new: bool = True) -> Delivery:
    return Delivery(landing_day, name, _written(name, events) if events else b"", len(events) if are_new else 0)


def _written(name: str, events: Sequence[UsageEvent]) -> bytes:
    return WRITERS[name[name.rindex(".") :]](events)


def _with_a_torn_copy(file: Delivery) -> Delivery:
    """Return the file as if the connection broke in the last line, and the collector sent that line again."""
    last = file.content.rstrip(b"\n").split(b"\n")[-1]
    whole = file.content[: -len(last) - 1]
    return Delivery(file.landing_day, file.name, whole + last[:120] + b"\n" + last + b"\n", file.new_events)


def _misnamed(landing_day: date, event: UsageEvent) -> Delivery:
    """Return a file of an old collector with a wrong meter name. network.csv has the event with the right name."""
    return Delivery(landing_day, "network-old-collector.csv", write_csv([event._replace(meter="egress_gigabytes")]), 0)
