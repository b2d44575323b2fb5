"""Paying an invoice: cards that pay and cards that decline, charges, payments outside of Stripe, and refunds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError, spawn

Draft = Callable[..., stripe.Invoice]
Connect = Callable[..., stripe.StripeClient]


def opened(client: stripe.StripeClient, draft: Draft, amount: int = 900) -> str:
    return client.v1.invoices.finalize_invoice(draft(amount).id).id


def paid(client: stripe.StripeClient, draft: Draft, amount: int = 900, **fields: Any) -> stripe.Charge:
    """Finalize and pay an invoice; return its charge."""
    client.v1.invoices.pay(draft(amount, **fields).id)
    return client.v1.charges.list({"limit": 1}).data[0]


def listed(client: stripe.StripeClient, limit: int) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": limit}).data]


# Cards --------------------------------------------------------------------------------------------------------------


def test_a_customer_without_a_card_pays_nothing(client: stripe.StripeClient) -> None:
    customer = client.v1.customers.create({}).id
    made = client.v1.invoices.create({"customer": customer, "currency": "usd"}).id
    client.v1.invoices.add_lines(made, {"lines": [{"amount": 900}]})
    client.v1.invoices.finalize_invoice(made)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source") as refused:
        client.v1.invoices.pay(made)
    assert (refused.value.code, refused.value.http_status) == ("resource_missing", 400)
    assert client.v1.invoices.retrieve(made).status == "open"
    client.v1.invoices.pay(made, {"payment_method": "pm_card_mastercard"})
    assert client.v1.invoices.retrieve(made).amount_paid == 900


def test_a_declined_card_leaves_the_invoice_open_and_a_failed_charge(client: stripe.StripeClient, draft: Draft) -> None:
    card = client.v1.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": "cus_1234"})
    client.v1.customers.update("cus_1234", {"invoice_settings": {"default_payment_method": card.id}})
    invoice = opened(client, draft)
    with pytest.raises(stripe.CardError, match="Your card was declined") as declined:
        client.v1.invoices.pay(invoice)
    assert (declined.value.code, declined.value.http_status) == ("card_declined", 402)
    [charge] = client.v1.charges.list({"customer": "cus_1234"}).data
    assert (charge.status, charge.amount, charge.failure_code) == ("failed", 900, "card_declined")
    left = client.v1.invoices.retrieve(invoice)
    assert (left.status, left.attempt_count, left.amount_remaining) == ("open", 1, 900)
    assert listed(client, 1) == ["invoice.payment_failed"]


def test_a_card_that_declines_at_once_is_not_attached_and_makes_no_customer(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.CardError):
        client.v1.customers.create({"name": "Never", "payment_method": "pm_card_chargeDeclined"})
    assert [customer.name for customer in client.v1.customers.list().data] == ["Fly"]
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        client.v1.payment_methods.attach("pm_none", {"customer": "cus_1234"})


def test_a_customer_pays_only_with_a_card_of_its_own(client: stripe.StripeClient, draft: Draft) -> None:
    other = client.v1.customers.create({"payment_method": "pm_card_visa"})
    [card] = client.v1.customers.payment_methods.list(other.id).data
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        client.v1.invoices.pay(opened(client, draft), {"payment_method": card.id})
    with pytest.raises(stripe.InvalidRequestError, match="must be attached to the customer"):
        client.v1.customers.update("cus_1234", {"invoice_settings": {"default_payment_method": card.id}})


def test_a_detached_card_is_no_longer_the_default(client: stripe.StripeClient, draft: Draft) -> None:
    [card] = client.v1.customers.payment_methods.list("cus_1234").data
    client.v1.payment_methods.detach(card.id)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source"):
        client.v1.invoices.pay(opened(client, draft))


# Payments -----------------------------------------------------------------------------------------------------------


def test_finalizing_makes_the_payment_that_is_asked_for_and_paying_settles_it(
    client: stripe.StripeClient, draft: Draft
) -> None:
    invoice = opened(client, draft)
    [asked] = client.v1.invoice_payments.list({"invoice": invoice}).data
    assert (asked.status, asked.amount_requested, asked.amount_paid) == ("open", 900, None)
    client.v1.invoices.pay(invoice)
    wanted: Any = {"invoice": invoice, "expand": ["data.payment.payment_intent.latest_charge"]}
    [settled] = client.v1.invoice_payments.list(wanted).data
    intent: Any = settled.payment.payment_intent
    assert (settled.id, settled.status, settled.amount_paid) == (asked.id, "paid", 900)
    assert (intent.status, intent.amount_received, intent.latest_charge.amount) == ("succeeded", 900, 900)


def test_an_invoice_without_an_amount_due_has_no_payment(client: stripe.StripeClient, draft: Draft) -> None:
    assert client.v1.invoice_payments.list({"invoice": opened(client, draft, 18)}).data == []


@pytest.mark.parametrize("end", ["void", "out_of_band"])
def test_a_payment_is_canceled_when_the_invoice_ends_without_it(
    client: stripe.StripeClient, draft: Draft, end: str
) -> None:
    invoice = opened(client, draft)
    if end == "void":
        client.v1.invoices.void_invoice(invoice)
    else:
        client.v1.invoices.pay(invoice, {"paid_out_of_band": True})
    wanted: Any = {"invoice": invoice, "expand": ["data.payment.payment_intent"]}
    [payment] = client.v1.invoice_payments.list(wanted).data
    intent: Any = payment.payment.payment_intent
    assert (payment.status, intent.status) == ("canceled", "canceled")
    assert client.v1.charges.list().data == []


def test_an_uncollectible_invoice_can_still_be_paid_or_voided(client: stripe.StripeClient, draft: Draft) -> None:
    ends: list[Callable[[str], stripe.Invoice]] = [client.v1.invoices.pay, client.v1.invoices.void_invoice]
    statuses = [end(client.v1.invoices.mark_uncollectible(opened(client, draft)).id).status for end in ends]
    assert statuses == ["paid", "void"]


def test_an_invoice_is_sent_only_if_it_is_collected_that_way_and_the_customer_has_an_address(
    client: stripe.StripeClient, draft: Draft
) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="collection method is 'send_invoice'"):
        client.v1.invoices.send_invoice(draft(900).id)
    invoice = draft(900, collection_method="send_invoice", days_until_due=30)
    with pytest.raises(stripe.InvalidRequestError, match="must have a valid email"):
        client.v1.invoices.send_invoice(invoice.id)
    client.v1.customers.update("cus_1234", {"email": "bills@fly.test"})
    assert client.v1.invoices.send_invoice(invoice.id).status == "open"
    assert listed(client, 2) == ["invoice.sent", "invoice.finalized"]


# Refunds ------------------------------------------------------------------------------------------------------------


def test_a_refund_takes_a_part_of_a_charge_and_then_the_rest(client: stripe.StripeClient, draft: Draft) -> None:
    charge = paid(client, draft)
    assert client.v1.refunds.create({"charge": charge.id, "amount": 300}).amount == 300
    assert listed(client, 2) == ["charge.refunded", "refund.created"]
    part = client.v1.charges.retrieve(charge.id)
    assert (part.amount_refunded, part.refunded) == (300, False)
    with pytest.raises(stripe.InvalidRequestError, match=r"\(\$7.00\) is greater than .* \(\$6.00\)"):
        client.v1.refunds.create({"charge": charge.id, "amount": 700})
    assert client.v1.refunds.create({"charge": charge.id}).amount == 600
    assert client.v1.charges.retrieve(charge.id).refunded is True
    with pytest.raises(stripe.InvalidRequestError, match="already been refunded") as refused:
        client.v1.refunds.create({"charge": charge.id})
    assert refused.value.code == "charge_already_refunded"
    [settled] = client.v1.invoices.list().data
    assert (settled.status, settled.amount_paid) == ("paid", 900)


def test_a_refund_that_fails_returns_the_money_and_the_charge_can_be_refunded_again(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    charge = paid(client, draft)
    refund = client.v1.refunds.create({"charge": charge.id})
    failed = control.act("fail-refund", refund.id)
    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert listed(client, 3) == ["charge.refund.updated", "refund.failed", "refund.updated"]
    assert client.v1.charges.retrieve(charge.id).amount_refunded == 0
    with pytest.raises(SandboxError, match="failed can't fail"):
        control.act("fail-refund", refund.id)
    assert client.v1.refunds.create({"charge": charge.id}).status == "succeeded"
    moves = client.v1.balance_transactions.list().data
    assert [(move.type, move.amount) for move in moves] == [
        ("refund", -900),
        ("refund_failure", 900),
        ("refund", -900),
        ("charge", 900),
    ]


def test_a_refund_needs_one_charge_that_succeeded(client: stripe.StripeClient, draft: Draft) -> None:
    wrong: list[tuple[Any, str]] = [
        ({}, "payment_intent or charge"),
        ({"charge": "ch_none"}, "No such charge"),
        ({"charge": "ch_1", "payment_intent": "pi_1"}, "only specify one"),
    ]
    [payment] = client.v1.invoice_payments.list({"invoice": opened(client, draft)}).data
    wrong.append(({"payment_intent": payment.payment.payment_intent}, "does not have a successful charge"))
    for params, message in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=message):
            client.v1.refunds.create(params)


@pytest.mark.parametrize(
    ("currency", "message"), [("jpy", r"\(9000 JPY\) .* \(8000 JPY\)"), ("kwd", r"\(9.000 KWD\) .* \(8.000 KWD\)")]
)
def test_amounts_are_written_with_the_decimals_of_their_currency(
    client: stripe.StripeClient, draft: Draft, currency: str, message: str
) -> None:
    charge = paid(client, draft, 8000, currency=currency)
    with pytest.raises(stripe.InvalidRequestError, match=message):
        client.v1.refunds.create({"charge": charge.id, "amount": 9000})


# Expansion ----------------------------------------------------------------------------------------------------------


def test_an_expanded_property_is_the_object_and_any_other_is_refused(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = opened(client, draft)
    seen: Any = client.v1.invoices.retrieve(invoice, {"expand": ["customer", "payments.data.invoice"]})
    assert (seen.customer.name, seen.payments.data[0].invoice.id) == ("Fly", invoice)
    listed: Any = client.v1.invoices.list({"expand": ["data.customer.invoice_settings.default_payment_method"]})
    assert listed.data[0].customer.invoice_settings.default_payment_method.card.last4 == "4242"
    for path in ("total", "colour", "customer.name", "a.b.c.d.e"):
        with pytest.raises(stripe.InvalidRequestError, match=r"cannot expand|cannot be expanded"):
            client.v1.invoices.retrieve(invoice, {"expand": [path]})


def test_a_customer_that_was_deleted_is_expanded_to_its_stub(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = opened(client, draft)
    client.v1.customers.delete("cus_1234")
    seen: Any = client.v1.invoices.retrieve(invoice, {"expand": ["customer"]})
    assert seen.customer.to_dict() == {"id": "cus_1234", "object": "customer", "deleted": True}


def test_payments_and_receivers_in_a_file_of_the_first_version_are_read(tmp_path: Path, connect: Connect) -> None:
    path = tmp_path / "old.sqlite"
    with spawn(path):
        pass
    intent = {"id": "pi_1", "object": "payment_intent", "created": 1, "livemode": False, "status": "succeeded"}
    payment = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "invoice": "in_1",
        "status": "paid",
        "payment": {"type": "payment_intent", "payment_intent": intent},
    }
    with sqlite3.connect(path) as store:
        store.execute("create table invoice_payments (seq integer primary key, invoice text, body text)")
        store.execute("insert into invoice_payments (invoice, body) values ('in_1', ?)", (json.dumps(payment),))
        store.execute("alter table webhook_endpoints drop column body")
        hook = ("we_1", "http://127.0.0.1:9", "whsec_1", '["*"]')
        store.execute("insert into webhook_endpoints (id, url, secret, enabled_events) values (?, ?, ?, ?)", hook)
    store.close()
    for _ in range(2):
        with spawn(path) as server:
            [found] = connect(server.url).v1.invoice_payments.list({"invoice": "in_1"}).data
            assert (found.status, found.payment.payment_intent) == ("paid", "pi_1")
            assert connect(server.url).v1.webhook_endpoints.retrieve("we_1").status == "enabled"
