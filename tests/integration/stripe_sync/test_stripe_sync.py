"""Finalized invoices reach Stripe once, with the fewest calls, and no other invoices do."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.client import make_stripe_client
from fly_billing.stripe_sync.month_sync import sync_month
from tests.support.stripe_builders import (
    API_KEY,
    JULY,
    JUNE,
    add_organization,
    bill_june,
    calls,
    charge,
    close_month,
    entry,
    execute,
    groups_of,
    in_stripe,
    invoice_in_stripe,
    kinds,
    mutations,
    outcome,
    query,
    reconcile,
    sent,
    sync,
    sync_tools,
)
from tests.support.unguarded import damage


@pytest.mark.parametrize("lines", [1, 100])
def test_an_invoice_of_up_to_100_lines_takes_three_calls(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, lines: int
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"] * lines)
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({"finalized": 1}, [])
    assert sent(sandbox) == ["customers.create", "invoices.create", "invoices.add_lines", "invoices.finalize"]
    assert in_stripe(sandbox) == [("acme", "open", lines * 100, lines)]


@pytest.mark.parametrize("lines", [101, 200])
def test_an_invoice_of_101_to_200_lines_takes_four_calls(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, lines: int
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"] * lines)
    sync(sync_tools(billing_database, sandbox.url))
    assert mutations(sandbox) == {"invoices.create": 1, "invoices.add_lines": 2, "invoices.finalize": 1}
    assert len(sent(sandbox)) == 5
    assert in_stripe(sandbox) == [("acme", "open", lines * 100, lines)]


def test_an_invoice_of_300_lines_reaches_stripe_as_248_with_the_same_total(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["1.00"] * 247 + ["0.01"] * 53)
    sync(sync_tools(billing_database, sandbox.url))
    assert in_stripe(sandbox) == [("acme", "open", 24753, 248)]
    assert invoice_in_stripe(sandbox, "acme")["lines"][-1]["amount"] == 53
    assert reconcile(sync_tools(billing_database, sandbox.url)).discrepancies == []


def test_stripe_gets_the_lines_in_our_order_with_our_item_ids(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00", "23.45"])
    sync(sync_tools(billing_database, sandbox.url))
    sent = invoice_in_stripe(sandbox, "acme")
    items = query(billing_database, "select id from invoice_items order by position")
    assert [(line["amount"], line["description"], line["metadata"]["fly_billing_item"]) for line in sent["lines"]] == [
        (1200, "One-off: charge 0001", str(items[0]["id"])),
        (2345, "One-off: charge 0002", str(items[1]["id"])),
    ]
    noon = int(datetime(2023, 6, 1, 12, tzinfo=UTC).timestamp())
    assert sent["lines"][0]["period"] == {"start": noon, "end": noon}  # the day of the charge
    assert (sent["currency"], sent["description"]) == ("usd", "Acme: June 2023")


def test_the_journal_has_the_finalized_invoice_and_every_request(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["35.45"])
    sync(sync_tools(billing_database, sandbox.url))
    row, sent = entry(billing_database, "acme"), invoice_in_stripe(sandbox, "acme")
    assert (row["state"], row["stripe_invoice_id"], row["stripe_total_cents"]) == ("finalized", sent["id"], 3545)
    assert row["hosted_invoice_url"] == sent["hosted_invoice_url"]
    attempts = query(billing_database, "select step, outcome, http_status from stripe_attempts order by id")
    assert [(attempt["step"], attempt["outcome"], attempt["http_status"]) for attempt in attempts] == [
        ("create_customer", "applied", 200),
        ("create", "applied", 200),
        ("add_lines", "applied", 200),
        ("finalize", "applied", 200),
    ]


def test_syncing_a_month_again_sends_no_request(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=[])
    sync(sync_tools(billing_database, sandbox.url))
    sandbox.control.clear_calls()
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({}, [])
    assert calls(sandbox) == []


def test_an_invoice_of_zero_is_not_sent(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=[], bolt=["5.00", "-5.00"])
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({"skipped_zero": 2}, [])
    assert calls(sandbox) == []
    assert entry(billing_database, "bolt")["state"] == "skipped_zero"
    assert kinds(sync_tools(billing_database, sandbox.url)) == []


def test_a_credit_reaches_stripe_as_a_negative_total(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["3.00", "-10.00"])
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({"finalized": 1}, [])
    # No payment is due: Stripe marks it paid, and the customer's balance has the credit.
    assert in_stripe(sandbox) == [("acme", "paid", -700, 2)]
    assert sandbox.control.objects("customer")[0]["balance"] == -700
    assert kinds(sync_tools(billing_database, sandbox.url)) == []


def test_a_total_below_the_minimum_charge_is_synced_too(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["0.49"])
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({"finalized": 1}, [])
    assert in_stripe(sandbox) == [("acme", "paid", 49, 1)]


def test_yen_are_not_multiplied_by_a_hundred(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    add_organization(billing_database, "kyoto", currency="JPY")
    charge(billing_database, "kyoto", "1200", "34")
    close_month(billing_database, tmp_path)
    sync(sync_tools(billing_database, sandbox.url))
    assert in_stripe(sandbox) == [("kyoto", "open", 1234, 2)]
    assert invoice_in_stripe(sandbox, "kyoto")["currency"] == "jpy"
    assert kinds(sync_tools(billing_database, sandbox.url)) == []


def test_an_open_invoice_is_never_sent(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    add_organization(billing_database, "acme")
    charge(billing_database, "acme", "12.00")
    close_month(billing_database, tmp_path, finalize=False)
    tools = sync_tools(billing_database, sandbox.url)
    assert outcome(sync(tools)) == ({}, [])
    (open_invoice,) = query(billing_database, "select id, status from invoices")
    assert open_invoice["status"] == "open"
    assert tools.journal.finalized_invoices([open_invoice["id"]]) == []
    assert calls(sandbox) == []


@pytest.mark.parametrize("status", ["void", "paid"])
def test_an_invoice_that_is_void_or_paid_is_not_sent(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, status: str
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"])
    paid_at = "now()" if status == "paid" else "null"
    execute(billing_database, f"update invoices set status = :status, paid_at = {paid_at}", status=status)  # noqa: S608
    assert outcome(sync(sync_tools(billing_database, sandbox.url))) == ({}, [])
    assert calls(sandbox) == []


def test_an_imported_invoice_is_never_sent(billing_database: BillingDatabase, sandbox: SandboxServer) -> None:
    add_organization(billing_database, "acme")
    execute(
        billing_database,
        """
        insert into invoices (id, organization_id, month, origin, status, currency, amount, total_cents, computed_at)
        values (gen_random_uuid(), 'acme', '2023-06-01', 'imported', 'open', 'USD', 0, 0, now())
        """,
    )
    execute(billing_database, "update invoices set status = 'finalized', finalized_at = now(), due_on = '2023-07-01'")
    tools = sync_tools(billing_database, sandbox.url)
    assert outcome(sync(tools)) == ({}, [])
    assert tools.journal.finalized_invoices([query(billing_database, "select id from invoices")[0]["id"]]) == []
    assert calls(sandbox) == []


def test_only_the_groups_of_the_run_are_synced(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"])
    assert groups_of(billing_database) == ["acme", "bolt"]
    assert outcome(sync_month(sync_tools(billing_database, sandbox.url), JUNE, ["bolt"])) == ({"finalized": 1}, [])
    assert in_stripe(sandbox) == [("bolt", "open", 500, 1)]


def test_progress_is_reported_up_to_the_last_invoice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, acme=["12.00"], bolt=["5.00"], crux=[])
    progress: list[tuple[int, int]] = []
    sync_month(
        sync_tools(billing_database, sandbox.url),
        JUNE,
        groups_of(billing_database),
        lambda *done: progress.append(done),
    )
    assert progress == [(1, 3), (2, 3), (3, 3)]


def test_an_organizations_customer_is_created_once_for_all_its_months(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    add_organization(billing_database, "acme")
    charge(billing_database, "acme", "12.00")
    charge(billing_database, "acme", "23.45", month=JULY)
    close_month(billing_database, tmp_path)
    close_month(billing_database, tmp_path, JULY)
    tools = sync_tools(billing_database, sandbox.url)
    sync(tools)
    sync(tools, JULY)
    assert [(customer["name"], customer["metadata"]) for customer in sandbox.control.objects("customer")] == [
        ("Acme", {"organization": "acme"})
    ]
    assert in_stripe(sandbox) == [("acme", "open", 1200, 1), ("acme", "open", 2345, 1)]
    assert (kinds(tools), kinds(tools, JULY)) == ([], [])


def test_a_known_customer_is_billed_and_no_other_is_created(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.control.seed_customer("cus_1234", name="Fly")
    add_organization(billing_database, "fly", customer="cus_1234")
    charge(billing_database, "fly", "35.45")
    close_month(billing_database, tmp_path)
    sync(sync_tools(billing_database, sandbox.url))
    assert invoice_in_stripe(sandbox, "fly")["customer"] == "cus_1234"
    assert len(sandbox.control.objects("customer")) == 1


def test_an_authentication_error_stops_the_run_early(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    bill_june(billing_database, tmp_path, **{f"org-{n}": ["1.00"] for n in range(10)})
    revoked = sandbox.control.add_fault("error", "*", status=401, message="Expired API Key provided.")
    report = sync(sync_tools(billing_database, sandbox.url))
    assert [failed.failure.code for failed in report.failures] == ["authentication"]
    assert "STRIPE_API_KEY" in report.failures[0].failure.operator_text
    assert "sk_test_" not in report.failures[0].failure.operator_text
    assert (report.states, len(report.not_tried), report.done) == ({}, 9, 10)
    assert len(calls(sandbox)) == 1
    sandbox.control.clear_faults(revoked["id"])
    report = sync(sync_tools(billing_database, sandbox.url))
    assert outcome(report) == ({"finalized": 10}, [])
    assert len(in_stripe(sandbox)) == 10


def test_pending_items_of_the_customer_are_not_added_to_our_invoice(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.control.seed_customer("cus_1234", name="Fly")
    client = make_stripe_client(API_KEY, sandbox.url)
    client.v1.invoice_items.create({"customer": "cus_1234", "amount": 999, "currency": "usd"})
    add_organization(billing_database, "fly", customer="cus_1234")
    charge(billing_database, "fly", "35.45")
    close_month(billing_database, tmp_path)
    sync(sync_tools(billing_database, sandbox.url))
    assert in_stripe(sandbox) == [("fly", "open", 3545, 1)]


def test_a_customer_balance_changes_the_amount_due_and_not_the_total(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.control.seed_customer("cus_1234", name="Fly", balance=-1000)
    add_organization(billing_database, "fly", customer="cus_1234")
    charge(billing_database, "fly", "35.45")
    close_month(billing_database, tmp_path)
    tools = sync_tools(billing_database, sandbox.url)
    assert outcome(sync(tools)) == ({"finalized": 1}, [])
    sent = invoice_in_stripe(sandbox, "fly")
    assert (sent["total"], sent["amount_due"]) == (3545, 2545)
    assert kinds(tools) == []


OF_BROKEN = "invoice_id in (select id from invoices where organization_id = 'broken')"


@pytest.mark.parametrize(
    "statement",
    [
        "update invoice_items set detail = null where OF_BROKEN",
        "update invoice_items set detail = '[7]' where OF_BROKEN",
        "update invoice_items set amount_cents = null where OF_BROKEN",
        "update invoices set total_cents = null where organization_id = 'broken'",
        "update invoices set currency = null where organization_id = 'broken'",
        "delete from invoice_items where OF_BROKEN",
        "update organizations set created_at = 'infinity' where id = 'broken'",
    ],
)
def test_an_invoice_whose_rows_can_not_be_read_fails_alone_and_the_others_reach_stripe_to_the_cent(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path, statement: str
) -> None:
    bill_june(billing_database, tmp_path, acme=["12"], broken=["12"], gamma=["12"])
    for sql_text in (
        "alter table invoice_items alter detail drop not null, alter amount_cents drop not null",
        "alter table invoice_items drop constraint if exists detail_is_an_object",
        "alter table invoices alter total_cents drop not null, alter currency drop not null",
        "alter table organizations drop constraint if exists created_at_is_a_time",
    ):
        execute(billing_database, sql_text)
    damage(billing_database, statement.replace("OF_BROKEN", OF_BROKEN))
    tools = sync_tools(billing_database, sandbox.url)
    report = sync(tools)
    there = {invoice[0]: invoice[1:3] for invoice in in_stripe(sandbox)}
    assert (there["acme"], there["gamma"]) == (("open", 1200), ("open", 1200))
    if "created_at" not in statement:  # an organization's creation time affects no invoice
        (failed,) = report.failures
        assert (failed.invoice.organization_id, failed.failure.code) == ("broken", "unreadable_invoice")
        assert {discrepancy.organization_id for discrepancy in reconcile(tools).discrepancies} == {"broken"}
