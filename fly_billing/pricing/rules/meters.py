"""Meters of price books: their unit, aggregation and dimensions. Not here: aggregating events (`aggregations`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fly_billing.pricing.rules.aggregations import PROPERTY, SUM, Aggregation
from fly_billing.pricing.rules.fields import read_text, read_whole, refuse_unknown, shown
from fly_billing.pricing.rules.transformed_quantity import EventRounding

METER_FIELDS = frozenset(
    {
        "key",
        "name",
        "unit",
        "aggregation",
        "dimensions",
        "unique_of",
        "series",
        "time_unit",
        "round_each_event",
        "event_type",
        "quantity_of",
    }
)
METER_COLUMNS = (
    "key", "name", "unit", "aggregation", "dimensions", "unique_of", "series", "time_unit", "event_step", "event_round",
    "event_type", "quantity_of",
)  # fmt: skip


@dataclass(frozen=True)
class Meter:
    """A meter: the unit that it counts, its aggregation, and the dimensions that every event must have.

    Several meters can read the same events.

    Attributes:
        event_type: The type of the events that it reads. None: its key.
        quantity_of: The property of an event's data that has the quantity. None: `quantity`.
    """

    key: str
    name: str
    unit: str
    aggregation: Aggregation = SUM
    dimensions: tuple[str, ...] = ()
    event_type: str | None = None
    quantity_of: str | None = None

    def __post_init__(self) -> None:
        if self.quantity_of is not None and not PROPERTY.fullmatch(self.quantity_of):
            raise ValueError(
                f"quantity_of {self.quantity_of!r} is not the name of a property of an event's data:"
                " use letters, digits and . _ / -"
            )

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Meter:
        """Read a meter of a price book with its aggregation. Raises ValueError naming the meter and the problem."""
        try:
            refuse_unknown(data, METER_FIELDS, "a meter")
            settings = {name: data.get(name) for name in ("unique_of", "series")}
            rounding = data.get("round_each_event")
            settings["round_each_event"] = None if rounding is None else EventRounding.from_data(rounding)
            settings["time_unit"] = None if data.get("time_unit") is None else read_whole(data, "time_unit")
            return cls(
                read_text(data, "key"),
                read_text(data, "name"),
                read_text(data, "unit"),
                Aggregation(data.get("aggregation", "sum"), **settings),
                _dimensions(data.get("dimensions") or ()),
                None if data.get("event_type") is None else read_text(data, "event_type"),
                None if data.get("quantity_of") is None else read_text(data, "quantity_of"),
            )
        except ValueError as problem:
            raise ValueError(f"meter {shown(data)}: {problem}") from problem

    def as_row(self) -> tuple[Any, ...]:
        """Return the values of METER_COLUMNS."""
        how = self.aggregation
        rounding = how.round_each_event
        return (
            self.key, self.name, self.unit, how.name, list(self.dimensions), how.unique_of, how.series, how.time_unit,
            rounding and rounding.step, rounding and rounding.round,
            self.event_type, self.quantity_of,
        )  # fmt: skip


def _dimensions(names: Any) -> tuple[str, ...]:
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"dimensions {names!r} is not a list of texts: write [region, app]")
    return tuple(names)
