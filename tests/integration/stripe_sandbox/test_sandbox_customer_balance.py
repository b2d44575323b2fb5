"""The customer balance: each change has a transaction with its reason, and finalizing and voiding make theirs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, spawn

Draft = Callable[..., stripe.Invoice]
Connect = Callable[..., stripe.StripeClient]


def reasons(client: stripe.StripeClient, **wanted: Any) -> list[tuple[str, int, int]]:
    """Return (type, amount, ending balance) of the transactions of cus_1234, oldest first."""
    params: Any = {"limit": 100, **wanted}
    found = client.v1.customers.balance_transactions.list("cus_1234", params)
    return [(each.type, each.amount, each.ending_balance) for each in found.data][::-1]


def credited(client: stripe.StripeClient, amount: int, currency: str = "usd") -> stripe.CustomerBalanceTransaction:
    return client.v1.customers.balance_transactions.create("cus_1234", {"amount": amount, "currency": currency})


def test_months_of_18_cents_and_a_dollar_are_asked_for_together(client: stripe.StripeClient, draft: Draft) -> None:
    """0.18 is below the minimum charge of 0.50: marked paid without a payment, and added to the next invoice."""
    first = client.v1.invoices.finalize_invoice(draft(18).id)
    assert (first.status, first.amount_due, first.amount_paid, first.ending_balance) == ("paid", 0, 0, 18)
    second = client.v1.invoices.finalize_invoice(draft(100).id)
    assert (second.total, second.starting_balance, second.amount_due, second.ending_balance) == (100, 18, 118, 0)
    assert reasons(client) == [("invoice_too_small", 18, 18), ("applied_to_invoice", -18, 0)]
    assert reasons(client, invoice=first.id) == [("invoice_too_small", 18, 18)]


def test_a_negative_month_is_credit_for_the_next_one(client: stripe.StripeClient, draft: Draft) -> None:
    """-5.00 and 8.00: Stripe asks for 3.00."""
    assert client.v1.invoices.finalize_invoice(draft(-500).id).status == "paid"
    assert client.v1.invoices.finalize_invoice(draft(800).id).amount_due == 300
    assert reasons(client) == [("applied_to_invoice", -500, -500), ("applied_to_invoice", 500, 0)]


def test_credit_that_leaves_less_than_the_minimum_charge_is_used_and_the_rest_is_carried_over(
    client: stripe.StripeClient, draft: Draft
) -> None:
    """35.45 less 35.00 of credit leaves 0.45, which is too small to charge."""
    credited(client, -3500)
    final = client.v1.invoices.finalize_invoice(draft(3545).id)
    assert (final.status, final.amount_due, final.ending_balance) == ("paid", 0, 45)
    assert reasons(client)[1:] == [("applied_to_invoice", 3500, 0), ("invoice_too_small", 45, 45)]


def test_small_months_add_up_until_they_can_be_charged(client: stripe.StripeClient, draft: Draft) -> None:
    """0.20 + 0.20 is still below 0.50; with another 0.20 Stripe asks for 0.60."""
    dues = [client.v1.invoices.finalize_invoice(draft(20).id).amount_due for _ in range(3)]
    assert dues == [0, 0, 60]
    assert reasons(client) == [
        ("invoice_too_small", 20, 20),
        ("invoice_too_small", 20, 40),
        ("applied_to_invoice", -40, 0),
    ]


def test_voiding_returns_the_credit_and_the_debt_that_the_invoice_used(
    client: stripe.StripeClient, draft: Draft
) -> None:
    credited(client, -1000)
    invoice = client.v1.invoices.finalize_invoice(draft(3545).id)
    client.v1.invoices.void_invoice(invoice.id)
    assert reasons(client)[1:] == [("applied_to_invoice", 1000, 0), ("unapplied_from_invoice", -1000, -1000)]
    credited(client, 1700)
    invoice = client.v1.invoices.finalize_invoice(draft(3545).id)
    assert invoice.amount_due == 4245
    client.v1.invoices.void_invoice(invoice.id)
    assert reasons(client)[-1] == ("unapplied_from_invoice", 700, 700)


def test_a_balance_is_initial_when_a_customer_starts_with_it_and_an_adjustment_when_it_is_set_later(
    client: stripe.StripeClient,
) -> None:
    made = client.v1.customers.create({"balance": -900})
    changed = client.v1.customers.update(made.id, {"balance": 100})
    assert (made.balance, changed.balance, changed.currency) == (-900, 100, "usd")
    found = client.v1.customers.balance_transactions.list(made.id).data
    assert [(each.type, each.amount, each.ending_balance) for each in found] == [
        ("adjustment", 1000, 100),
        ("initial", -900, -900),
    ]


def test_each_currency_has_a_balance_of_its_own(client: stripe.StripeClient, draft: Draft) -> None:
    """Credit in yen (no decimals) and in Kuwaiti dinar (three) is not used for dollars."""
    credited(client, -100)
    credited(client, -5000, "jpy")
    credited(client, -1230, "kwd")
    assert client.v1.customers.retrieve("cus_1234").balance == -100
    dues = {
        currency: client.v1.invoices.finalize_invoice(draft(6000, currency=currency).id).amount_due
        for currency in ("usd", "jpy", "kwd")
    }
    assert dues == {"usd": 5900, "jpy": 1000, "kwd": 4770}
    assert client.v1.customers.retrieve("cus_1234").to_dict().get("_other_balances") is None


def test_a_draft_shows_what_would_be_due_with_todays_balance(client: stripe.StripeClient, draft: Draft) -> None:
    credited(client, -300)
    assert (draft(1000).amount_due, draft(1000).starting_balance, draft(1000).ending_balance) == (700, -300, None)


def test_a_transaction_is_found_only_under_its_customer_and_only_its_notes_change(client: stripe.StripeClient) -> None:
    given = credited(client, -100)
    transactions = client.v1.customers.balance_transactions
    changed = transactions.update("cus_1234", given.id, {"description": "June", "metadata": {"ticket": "7"}})
    assert (changed.amount, changed.description, changed.to_dict()["metadata"]) == (-100, "June", {"ticket": "7"})
    other = client.v1.customers.create({})
    with pytest.raises(stripe.InvalidRequestError, match="No such customer balance transaction"):
        transactions.retrieve(other.id, given.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        transactions.create("cus_none", {"amount": 1, "currency": "usd"})


def test_every_change_of_a_balance_is_an_event_of_the_customer(client: stripe.StripeClient, draft: Draft) -> None:
    credited(client, -100)
    client.v1.invoices.finalize_invoice(draft(1000).id)
    changed = client.v1.events.list({"type": "customer.updated"}).data
    assert [event.data.object["balance"] for event in changed] == [0, -100]


def test_a_transaction_is_no_line_of_its_invoice(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    client.v1.invoices.finalize_invoice(draft(18).id)
    [held] = control.invoices()
    assert [line["amount"] for line in held["lines"]] == [18]


def test_a_file_of_the_first_version_takes_transactions(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "old.sqlite"
    with spawn(path) as server:
        server.control.seed_customer("cus_1234")
    old = "text not null check (object in ('customer', 'invoice', 'invoiceitem'))"
    with sqlite3.connect(path) as store:
        store.execute("pragma writable_schema = on")
        store.execute(
            "update sqlite_schema set sql = replace(sql, 'object text not null', ?) where name = 'objects'",
            (f"object {old}",),
        )
    store.close()
    with spawn(path) as server:
        assert credited(connect(server.url), -100).ending_balance == -100
    with sqlite3.connect(path) as store:
        assert store.execute("pragma integrity_check").fetchone() == ("ok",)
    store.close()
