"""A correction of any cause that would return too much waits for approval, and is then booked once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fly_billing.corrections.adjustments import book_adjustments
from fly_billing.corrections.approvals import NotApproved, approve, approve_manual_correction, check_manual_correction
from fly_billing.corrections.correction import Actor, Correction, Corrections
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.held_corrections import (
    held_totals,
    list_held_corrections,
    months_with_held_corrections,
    queue_held_correction_alerts,
)
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.rules.guard import CorrectionGuard
from tests.support.builders import CLOSED, DAY, OCTOBER, PRICES, SEPTEMBER, Platform, at, event, price, write_jsonl

LATER = CLOSED + timedelta(days=10)
ANN = Actor("ann", LATER)
GUARD = CorrectionGuard(percent=5, organization_percent=50, floor=Decimal(1))
TEN = [f"org-{number}" for number in range(10)]


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """September is final for ten organizations: 300 requests of 0.10 each, $30.00 each, $300.00 in all."""
    for name in TEN:
        platform.add_organization(name)
    use(platform, dict.fromkeys(TEN, "300"))
    platform.close()
    return platform


def use(platform: Platform, requests: dict[str, str]) -> None:
    """Send the day's file again, with this number of requests of each organization; none of those not named."""
    usage = [event(name, quantity, subject=name) for name, quantity in requests.items()]
    write_jsonl(platform.landing_dir, usage, DAY, "usage")


def land_again(platform: Platform, now: Any = LATER) -> None:
    platform.land(DAY, now=now)
    platform.roll_up(now=now)


def correct(
    platform: Platform, groups: Sequence[str] | None = None, actor: Actor = ANN, *, with_terms: bool = False
) -> Corrections:
    names = platform.organizations() if groups is None else groups
    return correct_month(
        platform.database, SEPTEMBER, names, platform.usage_table, actor, guard=GUARD, with_terms=with_terms
    )


def held(platform: Platform) -> dict[str, Decimal]:
    return {row.organization_id: row.gives_back for row in list_held_corrections(platform.database)}


def adjusted(platform: Platform) -> dict[str, Decimal]:
    found = platform.query("select organization_id, sum(amount) as amount from adjustments group by 1 order by 1")
    return {row["organization_id"]: row["amount"] for row in found}


def october(platform: Platform) -> dict[str, Decimal]:
    """Compute October, and return the total of each organization's adjustments on it."""
    platform.roll_up(OCTOBER, LATER)
    assert platform.bill(OCTOBER, LATER).failures == []
    found = platform.query(
        "select i.organization_id, sum(t.amount) as amount from invoice_items as t join invoices as i"
        " on i.id = t.invoice_id where i.month = '2026-10-01' and t.kind = 'adjustment' group by 1"
    )
    return {row["organization_id"]: row["amount"] for row in found}


def let_pass(platform: Platform, total: str, organization: str | None = None) -> int:
    return approve(
        platform.database, SEPTEMBER, "USD", Decimal(total), "bea", "seen", LATER, organization
    )  # fmt: skip


def test_usage_that_disappears_is_not_refunded_and_no_correction_remains_once_it_is_back(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    for _ in range(2):
        assert len(correct(platform).holds) == 10
        assert adjusted(platform) == {}
        assert october(platform) == {}
    assert held(platform) == dict.fromkeys(TEN, Decimal(30))
    assert platform.query("select count(*) as n from correction_decisions") == [{"n": 10}]  # not again each night
    assert months_with_held_corrections(platform.database) == [SEPTEMBER]

    use(platform, dict.fromkeys(TEN, "300"))
    land_again(platform, LATER + timedelta(hours=1))
    assert correct(platform).holds == []
    assert held(platform) == {}
    assert (adjusted(platform), october(platform)) == ({}, {})
    assert months_with_held_corrections(platform.database) == []
    decisions = platform.query("select decision, count(*) as n from correction_decisions group by 1 order by 1")
    assert [tuple(row.values()) for row in decisions] == [("held", 10), ("released", 10)]


def test_held_corrections_are_listed_with_the_command_that_approves_them(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    (total,) = held_totals(list_held_corrections(platform.database, SEPTEMBER))
    assert total.sentence == (
        "10 corrections wait for approval and are not booked: 2026-09 would return $300.00 of $300.00 charged (100.0 %;"
        " the limit is 5 %). First check that no usage is missing; if it is landed again, nothing needs approval. If"
        " the corrections are right, run `fly-billing approve-corrections 2026-09 --total 300.00 --by NAME --why"
        " REASON`."
    )


def test_a_held_correction_is_alerted_once(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    alerts: list[str] = []
    seen = 0
    for _ in range(3):
        correct(platform)
        seen, _ = queue_held_correction_alerts(platform.database, [], alerts.append, seen)
    assert [text.splitlines()[0] for text in alerts] == [
        "Corrections of 2026-09 wait for approval: $300.00 would be returned"
    ]


@pytest.mark.parametrize(
    ("left", "is_held"),
    [("153", False), ("147", True)],  # 14.70 of 300.00 are 4.9 %, 15.30 are 5.1 %
)
def test_a_correction_above_five_percent_of_the_month_waits(left: str, is_held: bool, platform: Platform) -> None:
    """One organization falls by 4.9 % (5.1 %) of the month: about half of its own."""
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": left})
    land_again(platform)
    assert bool(correct(platform).holds) is is_held
    assert adjusted(platform) == ({} if is_held else {"org-0": Decimal("-14.7")})


def test_one_organization_that_loses_all_its_usage_waits_alone(platform: Platform) -> None:
    """Of a month with $1,000 more it is 2.3 %; org-1's $1.00 is returned as usual."""
    platform.add_organization("large")
    write_jsonl(platform.landing_dir, [event("large", "10000", subject="large")], DAY, "large")
    platform.land(DAY, now=LATER)
    platform.roll_up(now=LATER)
    platform.bill(now=LATER)  # `large` has its invoice now: $1,000.00
    use(platform, {**dict.fromkeys(TEN[2:], "300"), "org-1": "290"})
    land_again(platform)
    correct(platform)
    assert held(platform) == {"org-0": Decimal(30)}
    assert adjusted(platform) == {"org-1": Decimal(-1)}


def test_corrections_of_three_nights_add_up_towards_the_limit(platform: Platform) -> None:
    """2 % of the month in each night: the third would make 6 %."""
    for number, (left, booked) in enumerate([("240", "-6"), ("180", "-12"), ("120", "-12")]):
        use(platform, {**dict.fromkeys(TEN, "300"), "org-0": left})
        land_again(platform, LATER + timedelta(days=number))
        correct(platform, actor=Actor("night", LATER + timedelta(days=number)))
        assert adjusted(platform) == {"org-0": Decimal(booked)}
    assert held(platform) == {"org-0": Decimal(6)}


def test_corrections_of_many_organizations_over_several_nights_add_up_towards_the_limit(platform: Platform) -> None:
    quantities = dict.fromkeys(TEN, "300")
    for number, name in enumerate(TEN[:4]):
        quantities[name] = "255"  # $4.50 of $300.00: 1.5 %
        use(platform, quantities)
        land_again(platform, LATER + timedelta(days=number))
        correct(platform, actor=Actor("night", LATER + timedelta(days=number)))
    assert set(adjusted(platform)) == {"org-0", "org-1", "org-2"}
    assert held(platform) == {"org-3": Decimal("4.5")}


def test_a_run_of_one_billing_group_counts_the_corrections_that_other_groups_hold(platform: Platform) -> None:
    """Each loses 40 % of its own: 4 % of the month, so the first passes and no other does."""
    use(platform, dict.fromkeys(TEN, "180"))
    land_again(platform)
    for name in TEN:
        correct(platform, [name])
    assert adjusted(platform) == {"org-0": Decimal(-12)}
    assert held(platform) == dict.fromkeys(TEN[1:], Decimal(12))


def test_approved_corrections_are_booked_once(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    assert let_pass(platform, "300.00") == 10
    for _ in range(3):
        correct(platform)
        assert adjusted(platform) == dict.fromkeys(TEN, Decimal(-30))
        assert october(platform) == dict.fromkeys(TEN, Decimal(-30))
    assert held(platform) == {}
    (approved,) = platform.query("select approved_by, why, total from correction_approvals")
    assert tuple(approved.values()) == ("bea", "seen", Decimal(300))
    booked = platform.query("select approval_id from correction_decisions where decision = 'booked'")
    assert len(booked) == 10
    assert all(row["approval_id"] for row in booked)


def test_one_organization_can_be_approved_while_the_others_wait(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    assert let_pass(platform, "30", "org-3") == 1
    correct(platform)
    assert adjusted(platform) == {"org-3": Decimal(-30)}
    assert set(held(platform)) == set(TEN) - {"org-3"}


@pytest.mark.parametrize("total", ["299.99", "300.01", "3000", "1"])
def test_another_total_than_that_of_the_waiting_corrections_is_refused(total: str, platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    with pytest.raises(NotApproved, match=r"\$300.00 would be returned, not"):
        let_pass(platform, total)
    correct(platform)
    assert adjusted(platform) == {}


def test_approving_before_a_correction_waits_is_refused(platform: Platform) -> None:
    with pytest.raises(NotApproved, match="no correction waits for an approval"):
        let_pass(platform, "300")


def test_an_approval_does_not_cover_usage_that_disappears_later(platform: Platform) -> None:
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": "0"})
    land_again(platform)
    correct(platform)
    let_pass(platform, "30")
    use(platform, dict.fromkeys(TEN[2:], "300"))  # before the next run org-1 loses all of its usage, too
    land_again(platform)
    correct(platform)
    assert adjusted(platform) == {"org-0": Decimal(-30)}
    assert held(platform) == {"org-1": Decimal(30)}


def test_an_approval_ends_when_the_usage_returns(platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    let_pass(platform, "300")
    use(platform, dict.fromkeys(TEN, "300"))
    land_again(platform)
    correct(platform)
    use(platform, {})
    land_again(platform)
    correct(platform)
    assert adjusted(platform) == {}
    assert len(held(platform)) == 10


def test_after_an_approval_a_small_correction_needs_none(platform: Platform) -> None:
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": "100"})  # $20.00: 6.7 %
    land_again(platform)
    correct(platform)
    let_pass(platform, "20")
    correct(platform)
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": "100", "org-1": "260"})
    land_again(platform, LATER + timedelta(days=1))
    correct(platform, actor=Actor("night", LATER + timedelta(days=1)))
    assert adjusted(platform) == {"org-0": Decimal(-20), "org-1": Decimal(-4)}


def test_a_correction_from_a_wrong_price_waits(platform: Platform) -> None:
    platform.load(*PRICES, price("requests", "0.01", "requests", unit="request", effective_from=at("2026-09-01")))
    platform.roll_up(now=LATER)
    correct(platform, with_terms=True)
    assert adjusted(platform) == {}
    (row,) = {tuple(row.causes) for row in list_held_corrections(platform.database)}
    assert row == ("price version",)


def test_late_usage_is_charged_without_a_person(platform: Platform) -> None:
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": "9000"})
    land_again(platform)
    correct(platform)
    assert adjusted(platform) == {"org-0": Decimal(870)}


def test_late_usage_that_is_removed_again_waits_too(platform: Platform) -> None:
    use(platform, {**dict.fromkeys(TEN, "300"), "org-0": "9000"})
    land_again(platform)
    correct(platform)
    use(platform, dict.fromkeys(TEN, "300"))
    land_again(platform, LATER + timedelta(days=1))
    correct(platform, actor=Actor("night", LATER + timedelta(days=1)))
    assert adjusted(platform) == {"org-0": Decimal(870)}
    assert held(platform) == {"org-0": Decimal(870)}


def of_one(platform: Platform, name: str, total: str | None) -> Correction:
    """Book one organization's correction as `rebill` does."""
    with platform.database.transaction() as connection:
        (found,) = find_corrections(connection, SEPTEMBER, [name], platform.usage_table).found
        guarded = check_manual_correction(connection, found, GUARD)
        approve_manual_correction(connection, found, guarded, ANN, Decimal(total) if total else None)
        book_adjustments(connection, [found], ANN)
    return found


def test_rebilling_one_organization_needs_the_returned_amount(platform: Platform) -> None:
    use(platform, dict.fromkeys(TEN[1:], "300"))
    land_again(platform)
    with pytest.raises(NotApproved, match=r"repeat the command with --approve 30\.00"):
        of_one(platform, "org-0", None)
    with pytest.raises(NotApproved, match=r"\$30.00 would be returned, not 29"):
        of_one(platform, "org-0", "29")
    assert adjusted(platform) == {}
    of_one(platform, "org-0", "30.00")
    assert adjusted(platform) == {"org-0": Decimal(-30)}
    assert correct(platform).holds == []
    assert adjusted(platform) == {"org-0": Decimal(-30)}


@pytest.mark.parametrize(
    "statement",
    [
        "update correction_decisions set gives_back = 0",
        "delete from correction_decisions",
        "update correction_approvals set total = 1",
        "delete from correction_approvals",
        "truncate correction_decisions",
        "truncate correction_approvals cascade",
    ],
)
def test_a_decision_can_neither_be_changed_nor_deleted(statement: str, platform: Platform) -> None:
    use(platform, {})
    land_again(platform)
    correct(platform)
    let_pass(platform, "300")
    with pytest.raises(Exception, match=r"kept as it was written|never truncated"):
        platform.execute(statement)


def command(platform: Platform, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = platform.database.engine.url.render_as_string(hide_password=False)
    data = platform.landing_dir.parent
    names = {
        **os.environ,
        "COLUMNS": "160",
        "DATABASE_URL": url,
        "DAGSTER_DATABASE_URL": url,
        "FLY_BILLING_DATA_DIR": str(data),
        "FLY_BILLING_LAKE_DIR": str(data / "usage_table"),
    }
    program = str(Path(sys.executable).with_name("fly-billing"))
    return subprocess.run(
        [program, *arguments], env=names, capture_output=True, text=True, timeout=600, encoding="utf-8"
    )


def test_the_commands_list_waiting_corrections_and_approve_them(platform: Platform) -> None:
    use(platform, dict.fromkeys(TEN[1:], "300"))
    land_again(platform)
    correct(platform)
    listed = command(platform, "corrections")
    assert "org-0" in listed.stdout, listed.stderr
    assert "`fly-billing approve-corrections 2026-09 --total 30.00 --by NAME --why REASON`" in listed.stdout
    as_json = json.loads(command(platform, "corrections", "2026-09", "--json").stdout)
    assert [
        (correction["organization_id"], correction["gives_back"], correction["approved_by"]) for correction in as_json
    ] == [("org-0", "30", None)]

    for text, problem in (
        ("3.00", "$30.00 would be returned, not 3.00"),
        ("3000", "--total: 3000 has no cents: write 3000.00 if you mean $3,000.00"),
        ("-30.00", "--total: -30.00 is below zero"),
    ):
        wrong = command(platform, "approve-corrections", "2026-09", f"--total={text}", "--by", "bea", "--why", "[seen]")
        assert (wrong.returncode, problem in wrong.stderr) == (2, True), wrong.stderr
    right = command(platform, "approve-corrections", "2026-09", "--total", "30.00", "--by", "[bea]", "--why", "seen")
    assert right.stdout.startswith("2026-09: [bea] approved 1 correction that returns $30.00. It is booked tonight"), (
        right.stderr
    )
    correct(platform)
    assert adjusted(platform) == {"org-0": Decimal(-30)}
    assert "No correction waits" in command(platform, "corrections").stdout


def test_rebill_shows_the_amount_to_approve_and_books_nothing_without_it(platform: Platform) -> None:
    use(platform, dict.fromkeys(TEN[1:], "300"))
    land_again(platform)
    shown = command(platform, "rebill", "org-0", "2026-09", "--dry-run")
    assert "Booking it needs --approve 30.00: 2026-09 would return $30.00 of $300.00" in shown.stdout, shown.stderr
    for way in ([], ["--credit-note"], ["--reissue"]):
        refused = command(platform, "rebill", "org-0", "2026-09", *way)
        assert (refused.returncode, "--approve 30.00" in " ".join(refused.stderr.split())) == (2, True), refused.stderr
    refused = command(platform, "rebill", "org-0", "2026-09", "--approve", "30")
    assert "--approve: 30 has no cents: write 30.00 if you mean $30.00" in refused.stderr
    assert platform.query("select id from adjustments") == []
    assert {row["status"] for row in platform.query("select status from invoices")} == {"finalized"}


def test_reissuing_an_invoice_without_its_usage_needs_approval_too(platform: Platform) -> None:
    use(platform, dict.fromkeys(TEN[1:], "300"))
    land_again(platform)
    done = command(platform, "rebill", "org-0", "2026-09", "--reissue", "--approve", "30.00")
    assert "Revision 1 totals $0.00" in done.stdout, done.stderr
    found = platform.query("select organization_id, total, approved_by <> '' as is_named from correction_approvals")
    assert found == [{"organization_id": "org-0", "total": Decimal(30), "is_named": True}]
