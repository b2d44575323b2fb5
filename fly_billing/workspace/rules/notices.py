"""Effects of a plan that its changes do not show. Not here: the changes (`planning`), and what is refused."""

from __future__ import annotations

from collections.abc import Iterable

from fly_billing.workspace.rules.planning import CHANGED, PlannedChange

# The fields of a meter by which an event is measured when it lands.
_MEASURED_BY = ("event_type", "quantity_of", "dimensions")


def notices_of(changes: Iterable[PlannedChange]) -> list[str]:
    """Return a sentence for each effect."""
    return [
        f"usage of meter {change.key} that has landed is counted as before: a day is counted by the new"
        f" {' and '.join(fields)} once it lands again"
        for change in changes
        if change.kind == "meter" and change.action == CHANGED and (fields := _measuring(change))
    ]


def _measuring(change: PlannedChange) -> list[str]:
    return [each.field for each in change.fields if each.field in _MEASURED_BY]
