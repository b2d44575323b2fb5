"""Customers and pending invoice items."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl


def line_count(invoice: Any) -> int:
    """Return `lines.total_count`, which Stripe sends and stripe-python's types leave out."""
    return int(invoice.lines.total_count)


def test_a_customer_is_created_changed_and_found_by_email(client: stripe.StripeClient) -> None:
    made = client.v1.customers.create({"name": "Fly", "email": "a@fly.io", "metadata": {"org": "fly"}})
    client.v1.customers.update(made.id, {"name": "Fly.io", "metadata": {"tier": "1"}})
    found = client.v1.customers.list({"email": "a@fly.io"}).data
    assert [(customer.id, customer.name, customer.to_dict()["metadata"]) for customer in found] == [
        (made.id, "Fly.io", {"org": "fly", "tier": "1"})
    ]


def test_customers_page_and_filter_by_creation(client: stripe.StripeClient, control: SandboxControl) -> None:
    control.advance_clock(100)
    ids = [client.v1.customers.create({}).id for _ in range(3)]
    since = control.now() - 50
    page = client.v1.customers.list({"limit": 2, "created": {"gte": since}})
    assert ([customer.id for customer in page.data], page.has_more) == ([ids[2], ids[1]], True)
    assert len(list(page.auto_paging_iter())) == 3


def test_a_deleted_customer_leaves_a_stub_and_takes_no_invoice(client: stripe.StripeClient) -> None:
    client.v1.customers.delete("cus_1234")
    gone = client.v1.customers.retrieve("cus_1234")
    assert gone.to_dict() == {"id": "cus_1234", "object": "customer", "deleted": True}
    assert client.v1.customers.list().data == []
    with pytest.raises(stripe.InvalidRequestError, match="No such customer: 'cus_1234'") as refused:
        client.v1.invoices.create({"customer": "cus_1234"})
    assert (refused.value.code, refused.value.param, refused.value.http_status) == ("resource_missing", "customer", 400)
    with pytest.raises(stripe.InvalidRequestError) as missing:
        client.v1.customers.retrieve("cus_nobody")
    assert missing.value.http_status == 404


def test_pending_items_land_on_an_including_invoice_newest_first(client: stripe.StripeClient) -> None:
    for amount in (100, 200, 300):
        client.v1.invoice_items.create({"customer": "cus_1234", "amount": amount, "currency": "usd"})
    without = client.v1.invoices.create({"customer": "cus_1234", "pending_invoice_items_behavior": "exclude"})
    assert (without.total, line_count(without)) == (0, 0)
    invoice = client.v1.invoices.create({"customer": "cus_1234", "pending_invoice_items_behavior": "include"})
    assert [line.amount for line in invoice.lines.data] == [300, 200, 100]
    assert invoice.total == 600


def test_pending_items_past_the_250th_slide_silently_onto_the_next_invoice(
    client: stripe.StripeClient, control: SandboxControl
) -> None:
    control.settings(max_invoice_lines=2)
    for amount in (100, 200, 300):
        client.v1.invoice_items.create({"customer": "cus_1234", "amount": amount, "currency": "usd"})
    totals = [
        client.v1.invoices.create({"customer": "cus_1234", "pending_invoice_items_behavior": "include"}).total
        for _ in range(2)
    ]
    assert totals == [500, 100]


def test_an_item_is_unit_amount_times_quantity_as_in_the_seed(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.create({"customer": "cus_1234"})
    item = client.v1.invoice_items.create(
        {"customer": "cus_1234", "invoice": invoice.id, "unit_amount_decimal": Decimal("0.35"), "quantity": 10}
    )
    assert (item.amount, item.quantity, item.invoice) == (4, 10, invoice.id)
    assert client.v1.invoice_items.update(item.id, {"quantity": 100}).amount == 35
    assert client.v1.invoices.retrieve(invoice.id).total == 35
    assert client.v1.invoice_items.retrieve(item.id).amount == 35


def test_an_item_of_a_draft_can_be_deleted_until_it_is_finalized(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.create({"customer": "cus_1234"})
    items = [
        client.v1.invoice_items.create({"customer": "cus_1234", "invoice": invoice.id, "amount": amount})
        for amount in (100, 200)
    ]
    assert client.v1.invoice_items.delete(items[0].id).deleted is True
    assert client.v1.invoices.finalize_invoice(invoice.id).total == 200
    refusals: list[Callable[[], object]] = [
        lambda: client.v1.invoice_items.delete(items[1].id),
        lambda: client.v1.invoice_items.update(items[1].id, {"amount": 1}),
        lambda: client.v1.invoice_items.create({"customer": "cus_1234", "invoice": invoice.id, "amount": 1}),
    ]
    for refused in refusals:
        with pytest.raises(stripe.InvalidRequestError, match="no longer editable"):
            refused()


def test_items_are_listed_by_invoice_and_by_pending(client: stripe.StripeClient) -> None:
    invoice = client.v1.invoices.create({"customer": "cus_1234"})
    on = client.v1.invoice_items.create({"customer": "cus_1234", "invoice": invoice.id, "amount": 1})
    waiting = client.v1.invoice_items.create({"customer": "cus_1234", "amount": 2, "currency": "usd"})
    assert [item.id for item in client.v1.invoice_items.list({"customer": "cus_1234"}).data] == [waiting.id, on.id]
    assert [item.id for item in client.v1.invoice_items.list({"invoice": invoice.id}).data] == [on.id]
    assert [item.id for item in client.v1.invoice_items.list({"pending": True}).data] == [waiting.id]
    assert [item.id for item in client.v1.invoice_items.list({"pending": False}).data] == [on.id]
    taken = client.v1.invoices.add_lines(invoice.id, {"lines": [{"invoice_item": waiting.id}]})
    assert taken.total == 3
