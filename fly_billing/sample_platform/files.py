"""Writes usage events as files in three formats. The same events give the same bytes.

JSONL has one CloudEvents 1.0 document (cloudevents.io) per line. CSV and Parquet have the same fields as columns.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fly_billing.output_files import make_folder
from fly_billing.sample_platform.usage import UsageEvent

ENVELOPE = ("id", "source", "type", "subject", "time", "quantity")
QUANTITY = pa.decimal128(24, 9)


def write_jsonl(events: Sequence[UsageEvent]) -> bytes:
    """Write one CloudEvent per line. The quantity is a JSON number with all measured digits."""
    return "".join(f"{_cloud_event(event)}\n" for event in events).encode()


def _cloud_event(event: UsageEvent) -> str:
    head = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.meter,
        "subject": event.organization_id,
        "time": _rfc3339(event),
    }
    # json would turn a Decimal into a float, so the number is formatted here.
    data = json.dumps(dict(event.data))
    return f'{json.dumps(head)[:-1]}, "data": {{"quantity": {event.quantity:f}, {data[1:]}}}'


def write_csv(events: Sequence[UsageEvent]) -> bytes:
    """Write a header and one row per event. A property that an event does not have is an empty cell."""
    extras = sorted({name for event in events for name in event.data})
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*ENVELOPE, *extras])
    for event in events:
        fields = (event.id, event.source, event.meter, event.organization_id, _rfc3339(event), f"{event.quantity:f}")
        writer.writerow([*fields, *(event.data.get(name, "") for name in extras)])
    return text.getvalue().encode()


def write_parquet(events: Sequence[UsageEvent]) -> bytes:
    """Write one row per event: the quantity as DECIMAL(24, 9), the time as a UTC timestamp in microseconds."""
    extras = sorted({name for event in events for name in event.data})
    columns = {
        "id": pa.array([event.id for event in events], pa.string()),
        "source": pa.array([event.source for event in events], pa.string()),
        "type": pa.array([event.meter for event in events], pa.string()),
        "subject": pa.array([event.organization_id for event in events], pa.string()),
        "time": pa.array([event.time for event in events], pa.timestamp("us", "UTC")),
        "quantity": pa.array([event.quantity for event in events], QUANTITY),
    }
    columns |= {name: pa.array([event.data.get(name) for event in events], pa.string()) for name in extras}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def _rfc3339(event: UsageEvent) -> str:
    return event.time.strftime("%Y-%m-%dT%H:%M:%SZ")


def write_if_changed(path: Path, content: bytes) -> None:
    """Write the file in one step, so that a reader never sees half of it. An unchanged file is not written."""
    if path.is_file() and path.read_bytes() == content:
        return
    make_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)
