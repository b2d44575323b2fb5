"""Reads the usage that invoices bill. Not here: their other inputs (`inputs_reader`)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from fly_billing.bounds import MOST_UNITS, refuse_unreadable
from fly_billing.errors import BillingError
from fly_billing.invoicing.readable_records import Grouped, checked
from fly_billing.invoicing.rules.inputs import (
    InvoiceInputs,
    UsageRollup,
)
from fly_billing.postgres.database import tuples
from fly_billing.postgres.isolation import VALUE_ERRORS

# The columns that rollups of one kind share.
_KIND = ("meter", "dimensions", "segment_start", "segment_end")


@dataclass(frozen=True)
class UsageToBill:
    """Usage by organization, and the error of each organization whose usage can't be used in a calculation."""

    rollups: Grouped[UsageRollup]
    unreadable: Mapping[str, BillingError]

    def added_to(self, inputs: InvoiceInputs) -> InvoiceInputs:
        """Return the inputs with the members' usage. Raises BillingError if usage of one of them is unreadable."""
        for member in inputs.members:
            if member.organization_id in self.unreadable:
                raise self.unreadable[member.organization_id]
        members = [replace(member, rollups=self.rollups[member.organization_id]) for member in inputs.members]
        return replace(inputs, members=members)


def read_rollups(connection: Connection, snapshots: Sequence[UUID]) -> UsageToBill:
    """Read the usage of these snapshots."""
    wrong: dict[str, BillingError] = {}
    return UsageToBill(read_usage(connection, snapshots, wrong), wrong)


def read_usage(
    connection: Connection, snapshots: Sequence[UUID], wrong: dict[str, BillingError]
) -> Grouped[UsageRollup]:
    """Group rollups by organization, as `group_readable`. What rollups of one kind share is read and checked once."""
    usage: dict[str, list[UsageRollup]] = defaultdict(list)
    for name, id, quantity, *kind in tuples(connection, "rollups_to_price", snapshots=list(snapshots)):
        if id and isinstance(quantity, Decimal) and quantity.is_finite() and quantity.copy_abs() < MOST_UNITS:
            try:
                usage[name].append(_of_kind(*kind).like(id, quantity))
                continue
            except VALUE_ERRORS:
                pass  # then the row is checked as a whole, which names the column
        fields = {"id": id, **dict(zip(_KIND, kind, strict=True)), "quantity": quantity}
        made = checked(fields, "usage_rollups", name, _rollup, wrong)
        if made is not None:
            usage[name].append(made)
    return usage


# At most 16 MB. A dimension with a value per app may have more kinds, which are then read again.
@lru_cache(maxsize=16_384)
def _of_kind(*columns: Any) -> UsageRollup:
    """Return a rollup of this kind, from which others are made. Raises an error of VALUE_ERRORS for a bad column."""
    fields = dict(zip(_KIND, columns, strict=True))
    refuse_unreadable(fields)
    first = _rollup(id=UUID(int=0), quantity=Decimal(0), **fields)
    first.kind  # noqa: B018 calculated once, then shared
    return first


def _rollup(
    *, id: UUID | None, meter: str | None, dimensions: str | None, segment_start: datetime | None,
    segment_end: datetime | None, quantity: Decimal | None,
) -> UsageRollup:  # fmt: skip
    # `is`, for each column: this is asked of every rollup, and `in` would compare ids and numbers with None.
    if (
        id is None or meter is None or dimensions is None
        or segment_start is None or segment_end is None or quantity is None
    ):  # fmt: skip
        columns = {
            "id": id, "meter": meter, "dimensions": dimensions,
            "segment_start": segment_start, "segment_end": segment_end, "quantity": quantity,
        }  # fmt: skip
        raise ValueError(f"{next(name for name, value in columns.items() if value is None)} is missing")
    return UsageRollup(id, meter, _dimensions(dimensions), segment_start, segment_end, quantity)


@lru_cache(maxsize=65_536)
def _dimensions(text: str) -> Mapping[str, str]:
    """Read dimensions from JSON. Rows with equal dimensions share one read-only mapping.

    Raises ValueError if they are not a JSON object of texts.
    """
    dimensions = json.loads(text)
    if not isinstance(dimensions, dict) or not all(isinstance(value, str) for value in dimensions.values()):
        raise ValueError("dimensions are not a JSON object of texts")
    return MappingProxyType(dimensions)
