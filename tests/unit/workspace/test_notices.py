"""A plan says what its changes do not show: months that are over are billed, and landed usage is counted as before."""

from __future__ import annotations

import pytest

from fly_billing.periods import BillingMonth
from fly_billing.pricing.rules.book_difference import FieldChange
from fly_billing.workspace.rules.notices import notices_of
from fly_billing.workspace.rules.planning import ADDED, CHANGED, PlannedChange

NOVEMBER = BillingMonth(2026, 11)


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
    assert notices_of([PlannedChange(CHANGED, "meter", "requests", None, changes, "requests")], NOVEMBER) == notices
    assert notices_of([PlannedChange(ADDED, "meter", "requests", None, changes)], NOVEMBER) == []
    assert notices_of([PlannedChange(CHANGED, "price", "main/requests/2026-01-01", None, changes)], NOVEMBER) == []


def new(organization: str, since: str) -> PlannedChange:
    return PlannedChange(ADDED, "organization", organization, organization, [FieldChange("created_at", None, since)])


@pytest.mark.parametrize(
    ("organizations", "says"),
    [
        (
            [new("acme", "2026-08-15")],
            "acme begins before this month, so the nightly run also bills 2026-08 to 2026-10,",
        ),
        ([new("acme", "2026-10-01")], "acme begins before this month, so the nightly run also bills 2026-10, which is"),
        (
            [new("acme", "2026-08-15"), new("labs", "2026-02-01"), new("finch", "2026-11-02")],
            "2 organizations begin before this month, so the nightly run also bills 2026-02 to 2026-10,",
        ),
    ],
)
def test_organizations_that_begin_before_this_month_are_billed_for_the_months_that_are_over(
    organizations: list[PlannedChange], says: str
) -> None:
    (notice,) = notices_of(organizations, NOVEMBER)
    assert notice.startswith(says)
    assert notice.endswith("if another system did, set created_at to the first month to bill here")


def test_an_organization_that_begins_this_month_or_was_billed_already_needs_no_word() -> None:
    later = PlannedChange(
        CHANGED, "organization", "labs", "labs", [FieldChange("name", "Labs", "Laboratories")], "labs"
    )
    assert notices_of([new("acme", "2026-11-01"), later], NOVEMBER) == []
