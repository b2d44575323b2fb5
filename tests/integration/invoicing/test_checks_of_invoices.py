"""The checks of invoices find every kind of difference between usage, rollups and items, and name its organization."""

from datetime import date

import pytest

from fly_billing.postgres.database import Row
from tests.support.builders import CLOSED, OCTOBER, REQUESTS, Platform, at, event, write_jsonl
from tests.support.unguarded import damage

OCTOBERS_DAY = date(2026, 10, 2)
ROLLUP_OF_ACME = (
    "(select r.id from usage_rollups as r join usage_snapshots as s on s.id = r.snapshot_id"
    " where s.organization_id = 'acme' and s.month = '2026-09-01')"
)


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """Acme used 3 requests in September and 4 in October, globex 5 and 6. September is final."""
    platform.load(REQUESTS)
    platform.add_organization("globex")
    platform.use(event("a9", "3"), event("g9", "5", subject="globex"))
    platform.close()
    october = {"time": "2026-10-02T12:00:00Z"}
    used = [event("a10", "4", **october), event("g10", "6", subject="globex", **october)]
    write_jsonl(platform.landing_dir, used, OCTOBERS_DAY)
    platform.land(OCTOBERS_DAY, now=at("2026-10-03"))
    platform.compute(OCTOBER)
    return platform


def found_by(platform: Platform, check: str, month: str = "2026-09-01", *groups: str) -> list[Row]:
    return platform.database.rows(check, month=month, groups=list(groups) or ["acme", "globex"])


def bill_acmes_usage_too(platform: Platform, organization: str, month: str) -> None:
    damage(
        platform.database,
        "insert into invoice_item_rollups (invoice_id, rollup_id, item_id)"  # noqa: S608 constants
        f" select t.invoice_id, {ROLLUP_OF_ACME}, t.id from invoice_items as t"
        " join invoices as i on i.id = t.invoice_id"
        f" where i.organization_id = '{organization}' and i.month = '{month}' and t.kind = 'usage'",
    )


def test_right_invoices_pass_every_check(platform: Platform) -> None:
    for check in ("check_items_sum", "check_rollups_priced", "check_late_usage"):
        assert found_by(platform, check) == found_by(platform, check, "2026-10-01") == []


def test_usage_that_an_invoice_of_another_month_bills_too_is_found_in_both_months(platform: Platform) -> None:
    bill_acmes_usage_too(platform, "globex", "2026-10-01")
    for month, organization in (("2026-09-01", "acme"), ("2026-10-01", "globex")):
        (row,) = found_by(platform, "check_rollups_priced", month)
        assert (row["organization_id"], row["meter"], row["items"], row["quantity"]) == (organization, "requests", 1, 3)


def test_usage_that_only_a_void_invoice_bills_too_is_no_error(platform: Platform) -> None:
    bill_acmes_usage_too(platform, "globex", "2026-10-01")
    damage(
        platform.database,
        "update invoices set status = 'void', finalized_at = now(), due_on = '2026-11-30', number = 9"
        " where organization_id = 'globex' and month = '2026-10-01'",
    )
    assert found_by(platform, "check_rollups_priced") == []


def test_a_rollup_without_an_item_is_found_with_its_quantity(platform: Platform) -> None:
    damage(platform.database, f"delete from invoice_item_rollups where rollup_id = {ROLLUP_OF_ACME}")  # noqa: S608
    rollup, item = found_by(platform, "check_rollups_priced")
    assert (rollup["meter"], rollup["items"], rollup["quantity"]) == ("requests", 0, 3)
    # Its item has no usage any more.
    assert (item["organization_id"], item["dimensions"], item["items"]) == ("acme", "quantity of item 1", 0)


def test_only_the_requested_groups_are_checked(platform: Platform) -> None:
    damage(platform.database, "update invoices set total_cents = total_cents + 1 where month = '2026-09-01'")
    assert [row["organization_id"] for row in found_by(platform, "check_items_sum")] == ["acme", "globex"]
    (row,) = found_by(platform, "check_items_sum", "2026-09-01", "globex")
    assert (row["total_cents"], row["items_cents"]) == (51, 50)


def test_usage_that_changed_after_the_month_was_closed_is_found(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("late", "2", subject="globex")], OCTOBERS_DAY, "late")
    platform.land(OCTOBERS_DAY, now=CLOSED)
    platform.roll_up(now=CLOSED)
    (row,) = found_by(platform, "check_late_usage")
    assert (row["organization_id"], row["billed_quantity"], row["used_quantity"]) == ("globex", 5, 7)


def test_billed_usage_that_is_no_longer_current_is_found(platform: Platform) -> None:
    damage(
        platform.database, "update usage_snapshots set is_current = false"
        " where organization_id = 'acme' and month = '2026-09-01'",
    )  # fmt: skip
    (row,) = found_by(platform, "check_late_usage")
    assert (row["organization_id"], row["billed_quantity"], row["used_quantity"]) == ("acme", 3, 0)
