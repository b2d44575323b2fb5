"""Ids of usage and invoices begin with their month. Months that were begun before keep the ids that they had."""

from __future__ import annotations

from hashlib import md5
from uuid import UUID, uuid5

import pytest

from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import reissue
from fly_billing.invoicing.rules.assembly import INVOICES
from tests.support.builders import SEPTEMBER, TERMS, Platform, at, event, write_jsonl

IDS = """
    select 'snapshot' as kind, id from usage_snapshots where is_current
    union all select 'rollup', id from usage_rollups
    union all select 'invoice', id from invoices
    union all select 'item', id from invoice_items
    union all select 'link', rollup_id from invoice_item_rollups
    order by kind, id
"""


def ids_of(platform: Platform) -> dict[str, list[UUID]]:
    found: dict[str, list[UUID]] = {}
    for row in platform.query(IDS):
        found.setdefault(row["kind"], []).append(row["id"])
    return found


@pytest.fixture
def begun_before(platform: Platform) -> Platform:
    """September was begun before ids started with their month."""
    platform.insert("months_with_random_ids", month=SEPTEMBER.first_day)
    return platform


def fill(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.link("labs", "acme")
    platform.add_subscription("acme", "support", at("2026-09-01"))
    write_jsonl(platform.landing_dir, [event("e1", "3"), event("e2", "2", subject="labs")])
    platform.land()


def test_the_ids_of_a_month_begin_with_it(platform: Platform) -> None:
    fill(platform)
    platform.compute()
    found = ids_of(platform)
    assert {kind: len(ids) for kind, ids in found.items()} == {
        "snapshot": 2, "rollup": 2, "invoice": 1, "item": 3, "link": 2,
    }  # fmt: skip
    for ids in found.values():
        assert [(str(one)[:4], one.version, one.variant) for one in ids] == [
            ("5f00", 8, "specified in RFC 4122")
        ] * len(ids)


def test_a_month_begun_before_has_its_older_ids(begun_before: Platform) -> None:
    fill(begun_before)
    begun_before.compute()
    found = ids_of(begun_before)
    snapshots = begun_before.query("select organization_id, id, fingerprint from usage_snapshots")
    assert len(snapshots) == 2
    for row in snapshots:
        name = f"snapshot|{row['organization_id']}|2026-09|{row['fingerprint']}"
        assert row["id"] == UUID(md5(name.encode(), usedforsecurity=False).hexdigest())
    invoice = uuid5(INVOICES, "acme|2026-09|0")
    assert found["invoice"] == [invoice]
    (fee,) = begun_before.query("select id, subscription_id from invoice_items where kind = 'subscription'")
    assert fee["id"] == uuid5(invoice, f"subscription|{fee['subscription_id']}")


@pytest.mark.parametrize("is_begun_before", [True, False])
def test_rolled_up_and_billed_again_a_month_keeps_its_ids(platform: Platform, *, is_begun_before: bool) -> None:
    if is_begun_before:
        platform.insert("months_with_random_ids", month=SEPTEMBER.first_day)
    fill(platform)
    platform.compute()
    before = ids_of(platform)
    platform.roll_up(now=at("2026-09-21"), from_scratch=True)
    platform.bill(now=at("2026-09-21"))
    assert ids_of(platform) == before
    platform.close()
    assert ids_of(platform) == before


@pytest.mark.parametrize("is_begun_before", [True, False])
def test_a_final_month_has_no_difference_to_correct_and_can_be_reissued(
    platform: Platform, *, is_begun_before: bool
) -> None:
    """Recalculated items are compared by their ids: other ids would charge the whole month again."""
    if is_begun_before:
        platform.insert("months_with_random_ids", month=SEPTEMBER.first_day)
    fill(platform)
    platform.close()
    with platform.database.transaction() as connection:
        found = find_corrections(connection, SEPTEMBER, ["acme", "labs"], platform.usage_table)
    assert ([one.differences for one in found.found], list(found.failures)) == ([[]], [])
    (invoice,) = reissue(platform.database, "acme", SEPTEMBER, TERMS, at("2026-10-05"), "ann").billed.invoices
    assert (invoice.revision, invoice.id.version) == (1, 5 if is_begun_before else 8)
