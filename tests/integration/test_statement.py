"""A customer can always read what they owe and why, and what is wrong, whether Stripe is up or down."""

import json
from datetime import date, timedelta

import pytest

from fly_billing.resources.statements_of_account import NoSuchOrganization, read_statement
from tests.builders import CLOSED, NOW, OCTOBER, SEPTEMBER, Platform, at, event, write_jsonl


def test_the_statement_of_an_open_month_shows_how_each_amount_came_about(platform: Platform) -> None:
    """3 x 0.10; 110 GB - 100 free = 10 x 0.02; 14.50 for half a month; 1 second of a machine; -1.00."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.add_one_off("acme", "goodwill", "-1.00", at("2026-09-10"))
    platform.use(
        event("e1", "3"),
        event("e2", "110", type="egress_gb", region="iad"),
        event("e3", "1", type="machine_seconds", preset="shared-cpu-1x", region="iad"),
    )
    platform.bill()
    statement = read_statement(platform.database, "acme", NOW)
    assert statement.headline() == "Acme owes nothing. Usage not invoiced yet comes to $14.00 so far."
    (invoice,) = statement.invoices
    assert (invoice.month, invoice.status, invoice.total_cents, invoice.as_of, invoice.trouble) == (
        "2026-09",
        "open",
        1400,
        NOW,
        None,
    )
    assert [(item.product, item.working, item.amount, item.amount_cents) for item in invoice.items] == [
        ("Egress", "100 GB free; 10 x 0.02", "0.2", 20),
        ("Machines", "1 second x 1.94 per 2,592,000", "0.00000074845679012346", 0),
        ("Requests", "3 requests x 0.1", "0.3", 30),
        ("Support", "1,296,000 seconds x 29 per 2,592,000", "14.5", 1450),
        ("One-off", "", "-1", -100),
    ]


def test_a_statement_lists_all_months_newest_first_with_the_items_of_the_one_asked_for(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    write_jsonl(platform.landing_dir, [event("e2", "5", time="2026-10-02T00:00:00Z")], date(2026, 10, 2))
    platform.close()
    platform.roll_up(OCTOBER, now=CLOSED)
    platform.bill(OCTOBER, now=CLOSED)
    statement = read_statement(platform.database, "acme", CLOSED)
    assert [(one.month, one.status, len(one.items)) for one in statement.invoices] == [
        ("2026-10", "open", 1),
        ("2026-09", "finalized", 0),
    ]
    assert statement.headline() == (
        "Acme owes $0.30 on 1 unpaid invoice. Usage not invoiced yet comes to $0.50 so far."
    )
    september = read_statement(platform.database, "acme", CLOSED, SEPTEMBER).invoices[1]
    assert [item.working for item in september.items] == ["3 requests x 0.1"]
    assert (september.as_of, september.due_on) == (CLOSED, date(2026, 10, 18))


def test_an_invoice_that_can_not_be_computed_says_so_to_the_customer(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.bill()
    platform.add_subscription("acme", "unknown", at("2026-09-01"))
    platform.bill()
    (invoice,) = read_statement(platform.database, "acme", NOW).invoices
    assert (invoice.status, invoice.total_cents) == ("open", 30)
    assert invoice.trouble == (
        "We can't work out this month's invoice yet and are looking into it. Nothing is charged until it is right."
    )


def test_a_month_that_was_never_computed_is_on_the_statement_with_its_trouble(platform: Platform) -> None:
    platform.bill()
    statement = read_statement(platform.database, "acme", NOW, SEPTEMBER)
    (invoice,) = statement.invoices
    assert (invoice.month, invoice.status, invoice.total_cents, invoice.items) == ("2026-09", "not computed", None, ())
    assert (invoice.trouble or "").startswith("We can't work out this month's invoice yet")
    assert statement.headline() == "Acme owes nothing."


def test_an_invoice_that_does_not_reach_stripe_says_so_to_the_customer(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    (billed,) = platform.close().invoices
    platform.execute(
        "insert into stripe_invoices (invoice_id, state, step, failure_code, failure_customer_text,"
        " failure_operator_text, retryable, updated_at)"
        " values (:id, 'failed', 'create', 'server_error', 'It is delayed.', 'Stripe failed', true, now())",
        id=billed.id,
    )
    (invoice,) = read_statement(platform.database, "acme", CLOSED).invoices
    assert (invoice.status, invoice.total_cents, invoice.trouble) == ("finalized", 30, "It is delayed.")


def test_a_final_invoice_that_nobody_could_even_try_to_sync_says_that_it_is_delayed(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "3")])
    platform.close()
    (soon,) = read_statement(platform.database, "acme", CLOSED + timedelta(hours=6)).invoices
    (late,) = read_statement(platform.database, "acme", CLOSED + timedelta(hours=7)).invoices
    assert soon.trouble is None
    assert (late.trouble or "").startswith("Your invoice is ready and its amount is final")


def test_an_invoice_that_is_in_stripe_is_found_there(platform: Platform) -> None:
    (billed,) = platform.close().invoices
    platform.execute(
        "insert into stripe_invoices"
        " (invoice_id, state, stripe_invoice_id, hosted_invoice_url, updated_at, finalized_at)"
        " values (:id, 'finalized', 'in_1', 'https://invoice.example/in_1', now(), now())",
        id=billed.id,
    )
    (invoice,) = read_statement(platform.database, "acme", CLOSED).invoices
    assert (invoice.stripe_invoice_id, invoice.hosted_invoice_url, invoice.trouble) == (
        "in_1",
        "https://invoice.example/in_1",
        None,
    )


def test_an_organization_without_invoices_owes_nothing(platform: Platform) -> None:
    statement = read_statement(platform.database, "acme", NOW)
    assert (statement.invoices, statement.headline()) == ((), "Acme owes nothing.")


def test_a_statement_as_json_is_exact(platform: Platform) -> None:
    platform.use(event("e1", "12345678901234567.890123456789012"))
    platform.bill()
    data = json.loads(json.dumps(read_statement(platform.database, "acme", NOW).as_data()))
    (item,) = data["invoices"][0]["items"]
    assert item["amount"] == "1234567890123456.7890123456789012"
    assert item["working"] == "12,345,678,901,234,567.890123456789012 requests x 0.1"
    assert data["upcoming_cents"] == {"USD": 123456789012345679}


def test_an_unknown_organization_names_those_that_look_alike(platform: Platform) -> None:
    platform.add_organization("acme-labs")
    platform.add_organization("globex")
    with pytest.raises(NoSuchOrganization, match="no organization 'Acm'; did you mean acme, acme-labs"):
        read_statement(platform.database, "Acm", NOW)
    with pytest.raises(NoSuchOrganization, match=r"^no organization 'zebra'$"):
        read_statement(platform.database, "zebra", NOW)


def test_a_month_in_which_an_organization_has_nothing_is_named(platform: Platform) -> None:
    with pytest.raises(ValueError, match="acme has nothing in 2026-09"):
        read_statement(platform.database, "acme", NOW, SEPTEMBER)
