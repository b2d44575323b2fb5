"""What is changed in Stripe behind our back is found, whatever our own journal believes."""

from pathlib import Path
from typing import Any

import pytest

from fly_billing.resources.postgres import BillingDatabase
from fly_billing.resources.reconciling import Reconciliation, reconcile_month
from fly_billing.resources.stripe_client import make_stripe_client
from fly_billing.resources.stripe_invoice_sync import SyncTools
from fly_billing.resources.stripe_reading import ReadingFailed, StripeReader
from fly_billing.stripe_sandbox import SandboxServer
from tests.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
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
    return [(one.kind, one.organization_id, one.message) for one in both.discrepancies]


def copy_in_stripe(sandbox: SandboxServer, original: str, **metadata: str) -> Any:
    """Make an organization's invoice once more, as another program would."""
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
    assert [(one.organization_id, one.total_cents) for one in both.expected] == [("acme", 3545), ("bolt", 500)]
    assert sorted((one.organization_id, one.total_cents) for one in both.found) == [("acme", 3545), ("bolt", 500)]


def test_an_invoice_deleted_by_hand_is_missing(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "bolt")["id"])
    assert found(reconcile(tools)) == [("missing", "bolt", "$5.00 was billed, Stripe has no invoice")]


def test_an_invoice_voided_by_hand_is_missing(tools: SyncTools, sandbox: SandboxServer) -> None:
    make_stripe_client(API_KEY, sandbox.url).v1.invoices.void_invoice(invoice_in_stripe(sandbox, "bolt")["id"])
    assert [kind for kind, _, _ in found(reconcile(tools))] == ["missing"]


def test_an_invoice_made_a_second_time_is_a_duplicate(tools: SyncTools, sandbox: SandboxServer) -> None:
    copy_in_stripe(sandbox, "acme")
    message = "Stripe has 2 invoices for this one: the customer is asked to pay 2 times"
    assert found(reconcile(tools)) == [("duplicate", "acme", message)]


def test_a_total_changed_by_hand_differs(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], total=354500)
    assert found(reconcile(tools)) == [("differing", "acme", "total $3,545.00 in Stripe, $35.45 at home")]


def test_a_currency_changed_by_hand_differs(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], currency="eur")
    assert found(reconcile(tools)) == [("differing", "acme", "currency EUR in Stripe, USD at home")]


def test_a_line_changed_by_hand_differs_even_where_the_total_is_right(tools: SyncTools, sandbox: SandboxServer) -> None:
    first, second = (line["id"] for line in invoice_in_stripe(sandbox, "acme")["lines"])
    sandbox.control.edit_object(first, amount=1300)
    sandbox.control.edit_object(second, amount=2245)
    ((kind, organization, message),) = found(reconcile(tools))
    assert (kind, organization) == ("differing", "acme")
    assert message.startswith("2 lines differ, first item ")


def test_a_line_deleted_by_hand_differs(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "acme")["lines"][0]["id"])
    assert found(reconcile(tools)) == [("differing", "acme", "1 lines in Stripe, 2 at home")]


def test_a_draft_is_stuck(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.edit_object(invoice_in_stripe(sandbox, "acme")["id"], status="draft")
    assert [(kind, who) for kind, who, _ in found(reconcile(tools))] == [("stuck", "acme")]


@pytest.mark.parametrize("organization", ["acme", "nobody-we-know"])
def test_an_invoice_that_says_it_is_ours_and_is_not_is_an_orphan(
    tools: SyncTools, sandbox: SandboxServer, organization: str
) -> None:
    copy_in_stripe(
        sandbox, "bolt", organization=organization, fly_billing_invoice="99999999-2222-3333-4444-555555555555"
    )
    message = "Stripe has an invoice over $5.00 that says it is ours, and we have no such invoice"
    assert found(reconcile(tools)) == [("orphaned", organization, message)]


def test_an_invoice_voided_at_home_that_stripe_still_has_is_an_orphan(tools: SyncTools) -> None:
    execute(tools.journal.database, "update invoices set status = 'void' where organization_id = 'bolt'")
    assert [(kind, who) for kind, who, _ in found(reconcile(tools))] == [("orphaned", "bolt")]


def test_what_was_paid_or_given_up_is_still_in_order(tools: SyncTools, sandbox: SandboxServer) -> None:
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoices.pay(invoice_in_stripe(sandbox, "acme")["id"])
    client.v1.invoices.mark_uncollectible(invoice_in_stripe(sandbox, "bolt")["id"])
    execute(tools.journal.database, "update invoices set status = 'paid', paid_at = now()")
    assert kinds(tools) == []


def test_invoices_that_are_not_ours_are_nobodys_business(tools: SyncTools, sandbox: SandboxServer) -> None:
    sandbox.control.seed_customer("cus_other", name="Another shop")
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoices.create({"customer": "cus_other", "currency": "usd", "metadata": {"month": "2023-06"}})
    assert kinds(tools) == []


def test_a_month_that_was_never_synced_is_missing_as_a_whole(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=[])
    assert kinds(sync_tools(billing_database, sandbox.url)) == ["missing", "missing"]


def test_each_month_and_each_group_is_compared_by_itself(
    tools: SyncTools, sandbox: SandboxServer, tmp_path: Path
) -> None:
    database = tools.journal.database
    charge(database, "acme", "7.00", month=JULY)
    close_month(database, tmp_path, JULY)
    sandbox.control.delete_object(invoice_in_stripe(sandbox, "bolt")["id"])
    reader = StripeReader(tools.client, tools.pace, tools.sleep)
    of_acme, of_bolt = (reconcile_month(tools.journal, reader, JUNE, [group]) for group in ("acme", "bolt"))
    assert (found(of_acme), [kind for kind, _, _ in found(of_bolt)]) == ([], ["missing"])
    assert [(kind, who) for kind, who, _ in found(reconcile(tools, JULY))] == [("missing", "acme")]


def test_long_invoices_are_compared_line_by_line(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"] * 240)
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    assert kinds(tools) == []
    lines = invoice_in_stripe(sandbox, "acme")["lines"]
    sandbox.control.edit_object(lines[230]["id"], amount=99)
    sandbox.control.edit_object(lines[231]["id"], amount=101)
    assert kinds(tools) == ["differing"]


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


def test_a_month_that_can_not_be_read_is_an_error_and_no_clean_bill_of_health(
    tools: SyncTools, sandbox: SandboxServer
) -> None:
    sandbox.control.add_fault("error", "invoices.list")
    with pytest.raises(ReadingFailed, match="server_error"):
        reconcile(tools)


@pytest.mark.parametrize("how", ["voided", "deleted", "found to be right after all"])
def test_what_the_discrepancy_says_to_do_brings_the_invoice_back_and_bills_it_once(
    tools: SyncTools, sandbox: SandboxServer, how: str
) -> None:
    sent = invoice_in_stripe(sandbox, "acme")["id"]
    (ours,) = [one.id for one in reconcile(tools).expected if one.organization_id == "acme"]
    if how == "voided":
        make_stripe_client(API_KEY, sandbox.url).v1.invoices.void_invoice(sent)
    elif how == "deleted":
        sandbox.control.delete_object(sent)
    set_back = f"update stripe_invoices set state = 'pending', finalized_at = null where invoice_id = '{ours}'"  # noqa: S608
    assert all(one.what_to_do.endswith(set_back) for one in reconcile(tools).discrepancies)
    execute(tools.journal.database, set_back)
    assert sync(tools).states == {"finalized": 1}
    assert kinds(tools) == []
    living = [one for one in sandbox.control.invoices(customer_of(sandbox, "acme")) if one["status"] != "void"]
    assert [(one["status"], one["total"]) for one in living] == [("open", 3545)]


def customer_of(sandbox: SandboxServer, organization: str) -> str:
    (found,) = [one["id"] for one in sandbox.control.objects("customer") if one["name"] == organization.title()]
    return str(found)
