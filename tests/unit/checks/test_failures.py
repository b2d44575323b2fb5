"""A failing row belongs to the partitions that it concerns, and a month that keeps failing is not alerted again."""

from __future__ import annotations

from datetime import UTC, datetime

from fly_billing.checks.rules.failures import (
    FailedCheck,
    Place,
    checked_again_by,
    named_places,
    new_failures,
    rows_by_place,
    sentence,
)

AUGUST_ACME, AUGUST_BETA = Place("2026-08", "acme"), Place("2026-08", "beta")
SEPTEMBER_ACME = Place("2026-09", "acme")
CHECKED = [AUGUST_ACME, AUGUST_BETA, SEPTEMBER_ACME]
GROUPS = {"acme": "acme", "beta": "beta", "corp": "shared-00", "duo": "shared-00"}


def failure(number: int, place: Place = AUGUST_ACME, *, is_reported: bool = False) -> FailedCheck:
    return FailedCheck(
        id=number,
        asset="invoices",
        check_name="items_sum_to_the_total",
        period=place.period,
        billing_group=place.billing_group,
        is_warning=False,
        wrong=1,
        reason="its items add up to 90 cents and its total is 100",
        is_reported=is_reported,
        failed_since=datetime(2026, 9, 4, tzinfo=UTC),
        run_id="run",
    )


def test_a_row_belongs_to_the_month_and_the_billing_group_of_its_organization() -> None:
    rows = [{"month": "2026-08", "organization": "acme"}, {"month": "2026-08", "organization_id": "duo"}]
    assert rows_by_place(rows, CHECKED, GROUPS) == {AUGUST_ACME: [rows[0]], Place("2026-08", "shared-00"): [rows[1]]}


def test_unreadable_data_of_a_month_concerns_each_partition_of_the_month_in_the_run() -> None:
    rows: list[dict[str, str | None]] = [
        {"month": "2026-08", "kind": "unread"},
        {"month": "2026-09", "organization_id": None},
    ]
    found = rows_by_place(rows, CHECKED, GROUPS)
    assert found == {AUGUST_ACME: rows[:1], AUGUST_BETA: rows[:1], SEPTEMBER_ACME: rows[1:]}


def test_unreadable_data_of_a_month_outside_the_run_concerns_the_whole_month() -> None:
    row = {"month": "2026-07", "kind": "unread"}
    assert rows_by_place([row], CHECKED, GROUPS) == {Place("2026-07"): [row]}


def test_a_foreign_invoice_in_stripe_concerns_the_whole_month() -> None:
    rows = [{"month": "2026-08", "organization": ""}, {"month": "2026-08", "organization": "who"}]
    assert rows_by_place(rows, CHECKED, GROUPS) == {Place("2026-08"): rows}


def test_usage_of_an_organization_that_another_pays_for_concerns_the_payers_partition() -> None:
    rows = [{"month": "2026-08", "organization_id": "beta"}, {"month": "2026-09", "organization_id": "beta"}]
    found = rows_by_place(rows, CHECKED, GROUPS, payers={("2026-08", "beta"): "acme"})
    assert found == {AUGUST_ACME: rows[:1], Place("2026-09", "beta"): rows[1:]}


def test_failing_months_are_named_with_their_organizations() -> None:
    assert named_places([]) == ""
    assert named_places([SEPTEMBER_ACME, AUGUST_BETA, AUGUST_ACME]) == "2026-08 (acme, beta), 2026-09 (acme)"
    assert named_places([Place("2026-08")]) == "2026-08"
    assert named_places([AUGUST_ACME, Place("2026-08")]) == "2026-08 (the whole month, acme)"


def test_the_first_of_many_failing_organizations_and_months_are_named_and_the_rest_counted() -> None:
    of_august = [Place("2026-08", f"org-{number}") for number in range(5)]
    assert named_places(of_august) == "2026-08 (org-0, org-1, org-2 and 2 more)"
    months = [Place(f"2025-{number:02}") for number in range(1, 9)]
    assert named_places(months) == "2025-01, 2025-02, 2025-03, 2025-04, 2025-05, 2025-06 and 2 more"


def test_a_check_names_the_failing_months_or_landing_days() -> None:
    assert sentence([]) == "Passes for every month and landing day that was checked."
    assert sentence([failure(1)]) == "1 month fails: 2026-08 (acme)."
    both = [failure(1), failure(2, SEPTEMBER_ACME)]
    assert sentence(both) == "2 months fail: 2026-08 (acme), 2026-09 (acme)."
    assert sentence([failure(1, Place("2026-08-31"))]) == "1 landing day fails: 2026-08-31."


def test_each_asset_is_checked_again_by_a_command_or_in_dagster() -> None:
    assert checked_again_by("invoices", "2026-08") == "fly-billing bill 2026-08"
    assert checked_again_by("stripe_reconciliation", "2026-08") == "fly-billing reconcile 2026-08 --record"


def test_each_month_that_fails_is_alerted_once_until_it_passes() -> None:
    new, known = new_failures([failure(1), failure(2, AUGUST_BETA)], {})
    assert new == [[failure(1), failure(2, AUGUST_BETA)]]
    new, known = new_failures([failure(1), failure(2, AUGUST_BETA), failure(3, SEPTEMBER_ACME)], known)
    assert new == [[failure(3, SEPTEMBER_ACME)]]
    new, known = new_failures([failure(1), failure(2, AUGUST_BETA), failure(3, SEPTEMBER_ACME)], known)
    assert new == []
    _, known = new_failures([failure(3, SEPTEMBER_ACME)], known)
    new, _ = new_failures([failure(4), failure(3, SEPTEMBER_ACME)], known)
    assert new == [[failure(4)]]


def test_a_month_that_passes_and_fails_again_between_two_ticks_is_alerted_again() -> None:
    _, known = new_failures([failure(1)], {})
    new, _ = new_failures([failure(2)], known)
    assert new == [[failure(2)]]


def test_a_month_that_keeps_failing_is_not_alerted_again_when_its_organizations_change() -> None:
    _, known = new_failures([failure(1)], {})
    new, known = new_failures([failure(1), failure(2, AUGUST_BETA)], known)
    assert new == []
    new, _ = new_failures([failure(2, AUGUST_BETA)], known)
    assert new == []


def test_a_failure_that_another_alert_reports_is_alerted_only_when_that_alert_no_longer_reports_it() -> None:
    new, known = new_failures([failure(1, is_reported=True)], {})
    assert (new, known) == ([], {})
    new, _ = new_failures([failure(1)], known)
    assert new == [[failure(1)]]
