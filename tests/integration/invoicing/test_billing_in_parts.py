"""A large month is billed by several processes at once, and two months at once, with the invoices of a single run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, text

from fly_billing.group_parts import lock_of, split_groups
from fly_billing.invoicing import bill_in_parts as parts
from fly_billing.invoicing.bill_in_parts import BilledInPart, bill_in_parts
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.invoice_locks import lock_payers
from fly_billing.invoicing.month_closing import UsageNotLanded
from fly_billing.invoicing.payers import Payer, read_payers
from fly_billing.periods import BillingMonth
from fly_billing.postgres.connections import DatabaseProblem
from fly_billing.postgres.database import BillingDatabase, lock_groups_until_commit, lock_until_commit
from fly_billing.settings import DatabaseLimits
from tests.integration.invoicing.test_rebilling_unchanged_months import fill
from tests.support.builders import CLOSED, NOW, OCTOBER, SEPTEMBER, TERMS, Platform, at, event, write_jsonl

INVOICES = """
    select to_jsonb(i) - 'computed_at' - 'finalized_at' as invoice,
        (select jsonb_agg(to_jsonb(t) order by t.position) from invoice_items as t where t.invoice_id = i.id) as items,
        (select jsonb_agg(to_jsonb(r) order by r.rollup_id) from invoice_item_rollups as r where r.invoice_id = i.id)
            as links
    from invoices as i order by i.id
"""


@pytest.fixture(autouse=True)
def one_organization_for_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ORGANIZATIONS_PER_PROCESS", 1)


def in_parts(platform: Platform, now: Any = NOW, month: BillingMonth = SEPTEMBER, **more: Any) -> Billed:
    return bill_in_parts(
        platform.database, month, platform.organizations(), TERMS, now, "manual", processes=3, **more
    )  # fmt: skip


def days_of(month: BillingMonth) -> list[date]:
    last = month.last_landing_day(TERMS.grace)
    return [month.first_day + timedelta(days=number) for number in range((last - month.first_day).days + 1)]


def impatient(platform: Platform) -> BillingDatabase:
    """Return the same database for sessions that wait a second for a lock."""
    return BillingDatabase(
        platform.database.engine.url.render_as_string(hide_password=False),
        limits=DatabaseLimits.from_environment({"FLY_BILLING_LOCK_SECONDS": "1"}),
    )


@pytest.fixture
def closable(platform: Platform) -> Platform:
    """acme and eight others used one request each, at 0.10; September can be closed."""
    for number in range(8):
        platform.add_organization(f"org-{number}")
    names = platform.organizations()
    write_jsonl(platform.landing_dir, [event(f"of-{name}", "1", subject=name) for name in names])
    platform.land(*days_of(SEPTEMBER), now=CLOSED)
    platform.roll_up(now=CLOSED)
    return platform


@contextmanager
def locked(platform: Platform, *organizations: str) -> Iterator[Connection]:
    with platform.database.transaction() as connection:
        lock_groups_until_commit(connection, "invoices", organizations)
        yield connection


def test_a_month_billed_in_parts_has_the_invoices_of_a_single_run(platform: Platform) -> None:
    fill(platform, Random(7))
    platform.bill_landed(SEPTEMBER, CLOSED.replace(day=2))  # in the grace period
    alone = platform.query(INVOICES)
    assert len(alone) > 20
    done = in_parts(platform, CLOSED.replace(day=2), from_scratch=True)
    assert platform.query(INVOICES) == alone
    assert [invoice.organization_id for invoice in done.invoices] == sorted(
        row["invoice"]["organization_id"] for row in alone
    )
    assert (done.finalized, done.failures) == (False, [])


def test_a_month_is_closed_in_parts_and_billed_again_without_a_change(platform: Platform) -> None:
    fill(platform, Random(8))
    platform.land(*days_of(SEPTEMBER), now=CLOSED)
    platform.roll_up(now=CLOSED)
    done = in_parts(platform, CLOSED)
    assert (done.finalized, done.failures) == (True, [])
    assert platform.query("select distinct status from invoices") == [{"status": "finalized"}]
    closed = platform.query(INVOICES)
    again = in_parts(platform, CLOSED)
    assert (again.invoices, again.already_final) == ([], [invoice.organization_id for invoice in done.invoices])
    assert platform.query(INVOICES) == closed


def test_the_next_run_bills_a_part_that_was_lost(closable: Platform) -> None:
    """As after a killed process: its transaction was rolled back, and the other part is final."""
    first = bill(closable.database, SEPTEMBER, closable.organizations()[:5], TERMS, CLOSED)
    done = in_parts(closable, CLOSED)
    assert [len(first.invoices), len(done.invoices)] == [5, 4]
    assert done.already_final == sorted(invoice.organization_id for invoice in first.invoices)
    assert closable.query("select count(*), sum(total_cents) from invoices") == [{"count": 9, "sum": 90}]


def test_an_organization_that_cannot_be_billed_fails_alone_in_its_part(closable: Platform) -> None:
    closable.execute("update organizations set price_book = 'lost' where id = 'org-3'")
    done = in_parts(closable, CLOSED)
    assert [(failure.organization_id, failure.error.code) for failure in done.failures] == [("org-3", "unpriced_usage")]
    assert len(done.invoices) == 8
    assert closable.query("select organization_id from billing_failures") == [{"organization_id": "org-3"}]


def test_a_month_that_cannot_be_closed_is_refused_by_all_parts(closable: Platform) -> None:
    with pytest.raises(UsageNotLanded, match="2026-09 can't be closed: 1 landing day was not landed") as refused:
        in_parts(closable, CLOSED, unlanded_days=[NOW.date()])
    assert refused.value.days == [NOW.date()]
    assert closable.query("select * from invoices") == []


def test_organizations_are_billed_while_another_is(closable: Platform) -> None:
    """org-1 is being billed for another month. org-2 pays for org-1 and waits for it; org-3 does not."""
    closable.link("org-1", "org-2")
    assert len({lock_of(f"org-{number}") for number in (1, 2, 3)}) == 3
    run = partial(bill, impatient(closable), SEPTEMBER, terms=TERMS, now=NOW)
    with locked(closable, "org-1"):
        assert len(run(groups=["org-3"]).invoices) == 1
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            run(groups=["org-2"])
    assert len(run(groups=["org-2"]).invoices) == 1


def test_nothing_is_billed_while_something_concerns_all_invoices(closable: Platform) -> None:
    with closable.database.transaction() as connection:
        lock_until_commit(connection, "invoices")
        with pytest.raises(DatabaseProblem, match="gave up waiting for a lock"):
            bill(impatient(closable), SEPTEMBER, ["org-3"], TERMS, NOW)


def test_an_organization_that_was_linked_during_the_wait_is_locked_too(closable: Platform) -> None:
    read = iter([["org-2"], ["org-2", "org-1"], ["org-2", "org-1"]])

    def payers() -> list[Payer]:
        (payer,) = read_payers(connection, SEPTEMBER, ["org-2"])
        return [replace(payer, members=[replace(payer.members[0], id=name) for name in next(read)])]

    with closable.database.transaction() as connection:
        (payer,) = lock_payers(connection, SEPTEMBER, payers)
        assert payer.member_names == ["org-2", "org-1"]
        for name in payer.member_names:
            with pytest.raises(DatabaseProblem, match="gave up waiting"), impatient(closable).transaction() as other:
                lock_groups_until_commit(other, "invoices", [name])


def test_two_months_at_once_bill_a_late_item_once(platform: Platform) -> None:
    """An item of 5.00 came too late for May, which was never billed: it goes on one of the two open invoices."""
    platform.add_one_off("acme", "setup", "5.00", at("2026-05-10"))
    platform.use(event("e1", "3"))
    platform.roll_up(OCTOBER, at("2026-10-02"))
    for _ in range(5):
        with ThreadPoolExecutor() as pool:
            done = [pool.submit(platform.bill, month, at("2026-10-02")) for month in (SEPTEMBER, OCTOBER)]
        assert [failure for billed in done for failure in billed.result().failures] == []
        assert platform.query("select count(*) from invoice_items where kind = 'one_off'") == [{"count": 1}]
        platform.execute("delete from invoices")


def test_a_part_that_fails_beside_others_is_told_with_its_cause(closable: Platform) -> None:
    """Another run bills org-1, so its part gives up waiting; the invoices of the other parts are final."""
    impatient_platform = replace(closable, database=impatient(closable))
    with locked(closable, "org-1"), pytest.raises(BilledInPart, match="2026-09 is billed in part: ") as failed:
        in_parts(impatient_platform, CLOSED)
    assert "because a process failed: " in str(failed.value) and "gave up waiting for a lock" in str(failed.value)
    (count,) = closable.query("select count(*) from invoices where status = 'finalized'")
    assert f"{count['count']} invoices are written" in str(failed.value)
    assert 0 < count["count"] < 9
    assert len(in_parts(closable, CLOSED).already_final) == count["count"]


def test_parts_with_a_linked_organization_do_not_wait_for_each_other(closable: Platform) -> None:
    """org-1 and org-4 would be in different parts; org-4 pays for org-1, which had an open invoice of its own."""
    closable.bill(now=NOW)
    closable.link("org-1", "org-4")
    first, second = split_groups(dict.fromkeys(closable.organizations(), 1), 2, [("org-4", "org-1")])
    assert ("org-1" in first) == ("org-4" in first)
    with locked(closable, *first):
        assert bill(impatient(closable), SEPTEMBER, second, TERMS, CLOSED).failures == []
    done = in_parts(closable, CLOSED)
    assert done.failures == []
    assert closable.query("select count(*) from invoices where organization_id = 'org-1'") == [{"count": 0}]
    assert closable.query("select count(*), sum(total_cents) from invoices") == [{"count": 8, "sum": 90}]


def test_a_part_does_not_wait_for_statistics_that_another_part_gathers(closable: Platform) -> None:
    """In a first month. Whoever analyzes a table has its lock until the transaction ends."""
    closable.execute("analyze invoices, invoice_items")
    with closable.database.transaction() as other:
        other.execute(text("analyze invoices, invoice_items"))
        done = bill(impatient(closable), SEPTEMBER, closable.organizations(), TERMS, CLOSED, payers_at_once=2)
    assert (len(done.invoices), done.failures) == (9, [])


def test_a_month_that_is_final_starts_no_process(closable: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    in_parts(closable, CLOSED)
    monkeypatch.setattr(parts, "call_in_processes", None)
    assert len(in_parts(closable, CLOSED).already_final) == 9
