"""A plan says what its changes do not show: usage that has landed keeps its measurement."""

from __future__ import annotations

import pytest

from fly_billing.pricing.rules.book_difference import FieldChange
from fly_billing.workspace.rules.notices import notices_of
from fly_billing.workspace.rules.planning import ADDED, CHANGED, PlannedChange


@pytest.mark.parametrize(
    ("fields", "notices"),
    [
        (
            ["dimensions"],
            [
                "usage of meter requests that has landed is counted as before: a day is counted by the new dimensions"
                " once it lands again"
            ],
        ),
        (
            ["name", "event_type", "quantity_of"],
            [
                "usage of meter requests that has landed is counted as before: a day is counted by the new event_type"
                " and quantity_of once it lands again"
            ],
        ),
        (["name", "unit"], []),
    ],
)
def test_a_changed_meter_says_that_landed_usage_is_counted_as_before(fields: list[str], notices: list[str]) -> None:
    changes = [FieldChange(field, None, "new") for field in fields]
    assert notices_of([PlannedChange(CHANGED, "meter", "requests", None, changes, "requests")]) == notices
    assert notices_of([PlannedChange(ADDED, "meter", "requests", None, changes)]) == []
    assert notices_of([PlannedChange(CHANGED, "price", "main/requests/2026-01-01", None, changes)]) == []
