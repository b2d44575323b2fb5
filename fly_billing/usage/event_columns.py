"""Describes the columns of the usage table, for the documentation and Dagster's catalog. Their types: `usage_table`."""

from __future__ import annotations

from fly_billing.postgres.table_descriptions import ColumnDescription, TableDescription
from fly_billing.usage.usage_table import EVENTS

COLUMNS = {
    "usage_month": "The month in which the usage happened, as YYYY-MM.",
    "landing_day": "The day whose folder has the file.",
    "path": "The file, below its landing day's folder.",
    "line": "The line (JSONL, CSV) or row (Parquet) of the file, counted from 1.",
    "source": "The source that the event names. With `id`, it identifies the event.",
    "id": "The id that the source gave to the event.",
    "meter": "The meter that reads the event.",
    "organization_id": "The organization that used it.",
    "time": "When it was used.",
    "quantity": "The exact quantity, in the meter's unit.",
    "dimensions": "The dimensions by which the meter groups usage, as a JSON object.",
    "data": "The other properties of the event, as a JSON object; null: none.",
    "is_duplicate": "True if the event landed before with the same content. It is not billed.",
}


def usage_events_table() -> TableDescription:
    """Return the description of the usage table. Raises KeyError if a column has none."""
    return TableDescription(
        "usage_events",
        "One row per accepted usage event: a Delta table, partitioned by usage month and landing day.",
        tuple(ColumnDescription(field.name, str(field.type), field.nullable, COLUMNS[field.name]) for field in EVENTS),
    )
