"""A reconciliation finds changes made in Stripe, regardless of our journal."""

from pathlib import Path
from typing import Any

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.invoice_sync import SyncTools
from fly_billing.stripe_sync.reader import ReadingFailed
from fly_billing.stripe_sync.reconciliation import Reconciliation, reconcile_month
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
    MovableClock,
    bill_june,
    calls,
    charge,
    close_month,
    execute,
    invoice_in_stripe,
    kinds,
    reconcile,
    sync,
    sync_tools,
)


@pytest.fixture
def tools(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June 2023 of acme ($35.45 in two lines) and bolt ($5.00), in Stripe and equal."""
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"], bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    assert kinds(tools) == []
    return tools


def found(both: Reconciliation) -> list[tuple[str, str, str]]:
    return [(discrepancy.kind, discrepancy.organization_id, discrepancy.message) for discrepancy in both.discrepancies]


def copy_in_stripe(sandbox: SandboxServer, original: str, **metadata: str) -> Any:
    """Create an organization's invoice again, as another program would."""
    client, first = make_stripe_client(API_KEY, sandbox.url), invoice_in_stripe(sandbox, original)
    made = client.v1.invoices.create(
        {
            "customer": first["customer"],
            "currency": "usd",
            "auto_advance": False,
            "metadata": {**first["metadata"], **metadata},
        }
    )
    lines: Any = [
        {"amount": line["amount"], "description": line["description"], "metadata": line["metadata"]}
        for line in first["lines"]
    ]
    client.v1.invoices.add_lines(made.id, {"lines": lines})
    return client.v1.invoices.finalize_invoice(made.id)


def test_both_sides_are_counted(tools: SyncTools) -> None:
    both = reconcile(tools)
    assert [(total.organization_id, total.total_cents) for total in both.expected] == [("acme", 3545), ("bolt", 500)]
    assert sorted((total.organization_id, total.total_cents) for total in both.found) == [("acme", 3545), ("bolt", 500)]


def test_a_manually_deleted_invoice_is_missing(tools: SyncTools, sandbox: SandboxServer) -> None:
    sent = invoice_in_stripe(sandbox, "bolt")["id"]
    sandbox.control.delete_object(sent)
    message = f"$5.00 was billed, Stripe has no invoice: {sent} of ours was deleted there"
    assert found(reconcile(tools)) == [("missing", "bolt", message)]


def test_a_manually_voided_invoice_is_missing(tools: SyncTools, sandbox: SandboxServer) -> None:
    sent = invoice_in_stripe(sandbox, "bolt")["id"]
    make_stripe_client(API_KEY, sandbox.url).v1.invoices.void_invoice(sent)
    message = f"$5.00 was billed, Stripe has no invoice: {sent} of ours was voided there"
    assert found(reconcile(tools)) == [("missing", "bolt", message)]


def test_an_invoice_made_a_second_time_is_a_duplicate(tools: SyncTools, sandbox: SandboxServer) -> None:
    copy_in_stripe(sandbox, "acme")
    message = "Stripe has 2 invoices for this one: the customer is asked to pay 2 times"
    assert found(reconcile(tools)) == [("duplicate", "acme", message)]


def test_a_manually_changed_total_differs(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    assert found(reconcile(tools)) == [("differing", "acme", "total $3,545.00 in Stripe, $35.45 here")]


def test_a_manually_changed_currency_differs(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], currency="eur")
    assert found(reconcile(tools)) == [("differing", "acme", "currency EUR in Stripe, USD here")]


def test_a_manually_changed_line_is_found_even_if_the_total_is_right(tools: SyncTools, sandbox: SandboxServer) -> None:
    first, second = (line["id"] for line in invoice_in_stripe(sandbox, "acme")["lines"])
    sandbox.control.edit_object(first, amount=1300)
    sandbox.control.edit_object(second, amount=2245)
    (discrepancy,) = reconcile(tools).discrepancies
    assert (discrepancy.kind, discrepancy.organization_id) == ("edited", "acme")
    assert discrepancy.message.startswith("differs in 2 lines, first item ")
    assert sorted((line.ours_cents, line.theirs_cents) for line in discrepancy.lines) == [(1200, 1300), (2345, 2245)]


def test_a_manually_deleted_line_is_an_edit(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "acme")["lines"][0]["id"])
    assert found(reconcile(tools)) == [("edited", "acme", "1 line in Stripe, 2 here")]


def test_a_manually_changed_month_in_the_metadata_is_an_edit_and_no_missing_invoice(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    sent = invoice_in_stripe(sandbox, "bolt")
    sandbox.control.edit_object(sent["id"], metadata={**sent["metadata"], "month": "2023-07"})
    assert found(reconcile(tools)) == [("edited", "bolt", "metadata: month is 2023-07, not 2023-06")]


def test_an_invoice_without_its_metadata_is_found_by_the_id_in_our_journal(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    sent = invoice_in_stripe(sandbox, "bolt")
    left = {name: value for name, value in sent["metadata"].items() if name != "fly_billing_invoice"}
    sandbox.control.edit_object(sent["id"], metadata=left)
    ((kind, organization, message),) = found(reconcile(tools))
    assert (kind, organization) == ("edited", "bolt")
    assert message.startswith("metadata: fly_billing_invoice is gone, not ")


def test_a_draft_is_stuck(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], status="draft")
    assert [(kind, organization) for kind, organization, _ in found(reconcile(tools))] == [("stuck", "acme")]


@pytest.mark.parametrize("organization", ["acme", "nobody-we-know"])
def test_an_unknown_invoice_with_our_metadata_is_an_orphan(
    tools: SyncTools, sandbox: SandboxServer, organization: str
) -> None:
    copy_in_stripe(
        sandbox, "bolt", organization=organization, fly_billing_invoice="99999999-2222-3333-4444-555555555555"
    )
    message = "Stripe has an invoice over $5.00 that is marked as ours, but we have no such invoice"
    assert found(reconcile(tools)) == [("orphaned", organization, message)]


def test_an_invoice_voided_here_but_not_in_stripe_is_an_orphan(tools: SyncTools) -> None:
    execute(tools.journal.database, "update invoices set status = 'void' where organization_id = 'bolt'")
    assert [(kind, organization) for kind, organization, _ in found(reconcile(tools))] == [("orphaned", "bolt")]


def test_a_paid_or_written_off_invoice_is_no_discrepancy(tools: SyncTools, sandbox: SandboxServer) -> None:
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoices.pay(invoice_in_stripe(sandbox, "acme")["id"])
    client.v1.invoices.mark_uncollectible(invoice_in_stripe(sandbox, "bolt")["id"])
    execute(tools.journal.database, "update invoices set status = 'paid', paid_at = now()")
    assert kinds(tools) == []


def test_invoices_of_other_programs_are_ignored(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.seed_customer("cus_other", name="Another shop")
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoices.create({"customer": "cus_other", "currency": "usd", "metadata": {"month": "2023-06"}})
    assert kinds(tools) == []


def test_a_month_that_was_never_synced_is_missing_as_a_whole(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=[])
    assert kinds(sync_tools(billing_database, sandbox.url)) == ["missing", "missing"]


def test_each_month_and_each_group_is_compared_separately(
    tools: SyncTools, sandbox: SandboxServer, tmp_path: Path
) -> None:
    database = tools.journal.database
    charge(database, "acme", "7.00", month=JULY)
    close_month(database, tmp_path, JULY)
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "bolt")["id"])
    reader = tools.reader()
    of_acme, of_bolt = (reconcile_month(tools.journal, reader, JUNE, [group]) for group in ("acme", "bolt"))
    assert (found(of_acme), [kind for kind, _, _ in found(of_bolt)]) == ([], ["missing"])
    assert [(kind, organization) for kind, organization, _ in found(reconcile(tools, JULY))] == [("missing", "acme")]


@pytest.fixture
def long_one(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> SyncTools:
    """June of acme in 240 lines of $1.00, and of bolt in one, in Stripe and equal; two of acme edited manually."""
    bill_june(billing_database, tmp_path, acme=["1.00"] * 240, bolt=["5.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    assert kinds(tools) == []
    lines = invoice_in_stripe(sandbox, "acme")["lines"]
    sandbox.control.edit_object(lines[230]["id"], amount=99)
    sandbox.control.edit_object(lines[231]["id"], amount=101)
    sandbox.control.clear_calls()
    return tools


def glance(tools: SyncTools) -> Reconciliation:
    reader = tools.reader()
    return reconcile_month(tools.journal, reader, JUNE, ["acme", "bolt"], all_lines=False)


def test_long_invoices_are_compared_line_by_line(long_one: SyncTools, sandbox: SandboxServer) -> None:
    assert kinds(long_one) == ["edited"]
    assert calls(sandbox) == ["invoices.list", *["invoices.list_lines"] * 3]


def test_a_quick_comparison_counts_long_invoices_with_the_right_total_without_reading_their_lines(
    long_one: SyncTools, sandbox: SandboxServer
) -> None:
    both = glance(long_one)
    assert (both.discrepancies, both.with_unread_lines) == ([], 1)
    assert calls(sandbox) == ["invoices.list"]


def test_a_quick_comparison_reads_a_long_invoice_with_a_wrong_total_to_list_its_differing_lines(
    long_one: SyncTools, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=24100)
    sandbox.control.clear_calls()
    (discrepancy,) = glance(long_one).discrepancies
    assert (discrepancy.kind, discrepancy.message) == ("differing", "total $241.00 in Stripe, $240.00 here")
    assert sorted((line.ours_cents, line.theirs_cents) for line in discrepancy.lines) == [(100, 99), (100, 101)]
    assert calls(sandbox) == ["invoices.list", *["invoices.list_lines"] * 3]


def test_lines_of_other_groups_are_not_read(long_one: SyncTools, sandbox: SandboxServer) -> None:
    reader = long_one.reader()
    assert reconcile_month(long_one.journal, reader, JUNE, ["bolt"]).discrepancies == []
    assert calls(sandbox) == ["invoices.list"]


def test_an_old_month_is_compared_without_reading_later_invoices(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    clock = MovableClock(sandbox)
    bill_june(billing_database, tmp_path, acme=["1.00"])
    tools = sync_tools(billing_database, sandbox.url, clock=clock)
    sync(tools)
    clock.advance(hours=31 * 24)
    sandbox.control.seed_customer("cus_1234")
    for n in range(101):
        tools.client.v1.invoices.create({"customer": "cus_1234", "metadata": {"later": str(n)}})
    sandbox.control.clear_calls()

    assert glance(tools).discrepancies == []
    assert calls(sandbox) == ["invoices.list"]


def test_an_invoice_missing_from_its_time_range_is_searched_for_up_to_now(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"])
    tools = sync_tools(billing_database, sandbox.url)
    sandbox.control.advance_clock(3 * 24 * 3600)  # Stripe's clock is ahead of ours
    sync(tools)
    sandbox.control.clear_calls()

    assert glance(tools).discrepancies == []
    assert calls(sandbox) == ["invoices.list", "invoices.list"]


def test_a_hundred_and_more_invoices_are_read_page_by_page(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n:03d}": ["1.00"] for n in range(105)})
    tools = sync_tools(billing_database, sandbox.url, workers=4)
    sync(tools)
    sandbox.control.clear_calls()
    both = reconcile(tools)
    assert (len(both.found), both.discrepancies) == (105, [])
    assert calls(sandbox) == ["invoices.list", "invoices.list"]


def test_a_month_that_can_not_be_read_is_an_error_and_not_equal(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("error", "invoices.list")
    with pytest.raises(ReadingFailed, match="server_error"):
        reconcile(tools)
