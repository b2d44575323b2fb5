"""A void invoice charges nothing, and none of its items is billed automatically. A reissue bills each of them once.

A fee of $29.00 in advance unless a test says otherwise. A void in Stripe and one in our database have the same effect.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.reissue import Reissued, reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.errors import ActionableError
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.event_inbox import poll_events
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import CLOSED, OCTOBER, SEPTEMBER, TERMS, Platform, at, event, write_jsonl
from tests.support.stripe_builders import JUNE, bill_june, invoice_in_stripe, kinds, sync, sync_tools, utc_now

NOVEMBER = OCTOBER.next()
LATER = CLOSED + timedelta(days=100)


@pytest.fixture
def september(platform: Platform) -> Platform:
    """September is final: 29.00, 29.00 ahead for October, 5.00 of setup and 1.00 of usage: 64.00."""
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.add_one_off("acme", "setup", "5", at("2026-09-10"))
    write_jsonl(platform.landing_dir, [event("e1", "10")])
    platform.close()
    assert platform.totals() == [6400]
    return platform


def void(platform: Platform, month: BillingMonth = SEPTEMBER) -> None:
    platform.execute("update invoices set status = 'void' where month = :month", month=month.first_day)


def correct(platform: Platform, month: BillingMonth) -> Decimal:
    done = correct_month(
        platform.database,
        month,
        platform.organizations(),
        platform.usage_table,
        Actor("ann", LATER),
        guard=OFF,
        with_terms=True,
    )
    assert done.failures == []
    return sum((correction.amount for correction in done.found), Decimal(0))


def roll_up_and_reissue(platform: Platform, month: BillingMonth = SEPTEMBER) -> Reissued:
    """Roll usage up and reissue, as `fly-billing rebill --reissue` does."""
    platform.roll_up(month, LATER)
    done = reissue(platform.database, "acme", month, TERMS, LATER, "ann")
    assert done.billed.failures == []
    return done


def finished_in_stripe(platform: Platform) -> None:
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, stripe_invoice_id, updated_at, finalized_at)"
        " select id, 'finalized', 'in_1', now(), now() from invoices"
    )


def voided_in_stripe(platform: Platform) -> None:
    platform.execute(
        "insert into stripe_events"
        " (id, type, created_at, received_at, source, object_id, invoice_id, livemode, outcome, reason)"
        " select 'evt_1', 'invoice.voided', now(), now(), 'webhook', 'in_1', id, false, 'applied', 'void' from invoices"
    )


def test_a_month_that_a_void_invoice_charged_ahead_is_charged_by_its_own_invoice(september: Platform) -> None:
    """October is unpaid: its invoice has 29.00 for it, and 29.00 in advance for November."""
    void(september)
    for month in (OCTOBER, NOVEMBER):
        september.close(month)
    assert september.amounts("subscription", OCTOBER) == [29, 29]
    assert september.totals() == [5800, 2900]


def test_a_final_month_is_corrected_once_after_the_invoice_that_charged_it_ahead_is_voided(september: Platform) -> None:
    """October's invoice left out the 29.00 that September's had charged: they are missing now, as an adjustment."""
    september.close(OCTOBER)
    assert september.totals() == [6400, 2900]
    assert correct(september, OCTOBER) == 0
    void(september)
    assert [correct(september, OCTOBER), correct(september, OCTOBER)] == [29, 0]
    september.close(NOVEMBER)
    assert september.totals() == [2900, 5800]


def test_no_item_of_a_void_invoice_is_billed_again_automatically(september: Platform) -> None:
    """Neither its one-off item nor its usage."""
    void(september)
    september.close(OCTOBER)
    assert [*september.amounts("one_off", OCTOBER), *september.amounts("usage", OCTOBER)] == []
    assert correct(september, SEPTEMBER) == 0
    billed = september.bill(SEPTEMBER, LATER)
    assert (billed.invoices, billed.already_final) == ([], ["acme"])


def test_a_void_invoice_is_reissued_with_all_its_items(september: Platform) -> None:
    void(september)
    done = roll_up_and_reissue(september)
    assert [(invoice.revision, invoice.total_cents) for invoice in done.billed.invoices] == [(1, 6400)]
    for month in (OCTOBER, NOVEMBER):
        september.close(month)
    assert september.totals() == [6400, 2900, 2900]


def test_a_reissue_after_the_next_month_was_billed_charges_only_the_advance_fees_that_it_did_not(
    september: Platform,
) -> None:
    """October charged 29.00 for itself as September was void: reissued, September has 29.00 + 5.00 + 1.00."""
    void(september)
    september.close(OCTOBER)
    roll_up_and_reissue(september)
    assert september.totals() == [3500, 5800]
    assert correct(september, OCTOBER) == 0


def test_a_reissue_after_the_next_month_was_corrected_does_not_charge_that_month_too(september: Platform) -> None:
    """October's 29.00 became an adjustment, which November has."""
    september.close(OCTOBER)
    void(september)
    assert correct(september, OCTOBER) == 29
    roll_up_and_reissue(september)
    assert correct(september, OCTOBER) == 0
    september.close(NOVEMBER)
    assert september.totals() == [3500, 2900, 5800]


def test_an_adjustment_on_a_void_invoice_waits_for_the_reissue(september: Platform) -> None:
    """Late usage of September, 2.00, is on October's invoice, which is voided: November's does not have it."""
    write_jsonl(september.landing_dir, [event("late", "20")], at("2026-10-06").date())
    september.land(at("2026-10-06").date(), now=at("2026-10-07"))
    september.roll_up(now=at("2026-10-07"))
    assert correct(september, SEPTEMBER) == 2
    september.close(OCTOBER)
    void(september, OCTOBER)
    september.close(NOVEMBER)
    assert september.amounts("adjustment", NOVEMBER) == []
    roll_up_and_reissue(september, OCTOBER)
    assert september.amounts("adjustment", OCTOBER) == [2]


def test_an_invoice_voided_in_stripe_is_reissued_and_leaves_no_draft_there(september: Platform) -> None:
    finished_in_stripe(september)
    void(september)
    voided_in_stripe(september)
    assert roll_up_and_reissue(september).draft_left is None
    found = september.query("select revision, status, total_cents, number from invoices order by revision")
    assert [tuple(row.values()) for row in found] == [(0, "void", 6400, 1), (1, "finalized", 6400, 2)]


def test_after_a_reissue_and_a_sync_stripe_has_the_void_invoice_and_one_payable_invoice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    sandbox.control.clear_calls()
    tools.client.v1.invoices.void_invoice(invoice_in_stripe(sandbox, "acme")["id"])
    poll_events(billing_database, tools.reader(), utc_now() - timedelta(days=1), utc_now())
    for _ in range(2):
        sync(tools)
    assert sandbox.control.call_counts().get("invoices.create", 0) == 0
    roll_up(billing_database, UsageTable(tmp_path / "usage_table"), JUNE, ["acme"], utc_now())
    done = reissue(billing_database, "acme", JUNE, TERMS, utc_now(), "ann")
    assert [invoice.total_cents for invoice in done.billed.invoices] == [1200]
    for _ in range(2):
        sync(tools)
    assert sorted((invoice["status"], invoice["total"]) for invoice in sandbox.control.invoices()) == [
        ("open", 1200),
        ("void", 1200),
    ]
    assert kinds(tools) == []


def test_an_invoice_that_is_void_here_and_may_be_paid_in_stripe_is_not_reissued(september: Platform) -> None:
    finished_in_stripe(september)
    void(september)
    with pytest.raises(
        ActionableError, match=r"acme 2026-09 is void, but Stripe may still collect it .* void it in Stripe first"
    ):
        roll_up_and_reissue(september)


def test_a_void_invoice_that_another_one_corrected_is_not_reissued(september: Platform) -> None:
    """Late usage of September, 2.00, is on October's final invoice: reissued, September would have it too."""
    write_jsonl(september.landing_dir, [event("late", "20")], at("2026-10-06").date())
    september.land(at("2026-10-06").date(), now=at("2026-10-07"))
    september.roll_up(now=at("2026-10-07"))
    assert correct(september, SEPTEMBER) == 2
    september.close(OCTOBER)
    void(september)
    with pytest.raises(ActionableError, match="would charge that twice; charge the rest with a one-off item"):
        roll_up_and_reissue(september)


def test_an_open_or_missing_invoice_is_not_reissued(platform: Platform) -> None:
    with pytest.raises(
        ActionableError, match="acme has no final invoice of its own in 2026-09: there is none to reissue"
    ):
        roll_up_and_reissue(platform)
    platform.compute()
    with pytest.raises(ActionableError, match="there is none to reissue"):
        roll_up_and_reissue(platform)
