"""Credit notes: what they take from an open invoice, what they pay back of a paid one, and when they can be voided."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
import stripe

Draft = Callable[..., stripe.Invoice]


def opened(client: stripe.StripeClient, draft: Draft, *amounts: int, **fields: Any) -> str:
    return client.v1.invoices.finalize_invoice(draft(*amounts, **fields).id).id


def paid(client: stripe.StripeClient, draft: Draft, *amounts: int) -> str:
    return client.v1.invoices.pay(opened(client, draft, *amounts)).id


def asked(client: stripe.StripeClient, invoice: str) -> tuple[str, int, int, int]:
    """Return (status, amount due, amount paid, amount remaining) of an invoice."""
    seen = client.v1.invoices.retrieve(invoice)
    return seen.status or "", seen.amount_due, seen.amount_paid, seen.amount_remaining


def credited(client: stripe.StripeClient, invoice: str, amount: int, **split: Any) -> stripe.CreditNote:
    params: Any = {"invoice": invoice, "amount": amount, **split}
    return client.v1.credit_notes.create(params)


def listed(client: stripe.StripeClient, limit: int) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": limit}).data]


def test_a_credit_note_lowers_what_an_open_invoice_asks_for(client: stripe.StripeClient, draft: Draft) -> None:
    """12.00 less 5.00: the customer pays 7.00."""
    invoice = opened(client, draft, 1200)
    note = credited(client, invoice, 500)
    assert (note.type, note.pre_payment_amount, note.post_payment_amount) == ("pre_payment", 500, 0)
    number = client.v1.invoices.retrieve(invoice).number
    assert (note.number, note.status) == (f"{number}-CN-01", "issued")
    assert asked(client, invoice) == ("open", 700, 0, 700)
    assert listed(client, 2) == ["invoice.updated", "credit_note.created"]
    client.v1.invoices.pay(invoice)
    assert asked(client, invoice) == ("paid", 700, 700, 0)
    assert client.v1.charges.list().data[0].amount == 700
    assert client.v1.invoices.retrieve(invoice).total == 1200


def test_an_open_invoice_that_is_credited_in_full_is_paid(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = opened(client, draft, 1200)
    credited(client, invoice, 1200)
    assert asked(client, invoice) == ("paid", 0, 0, 0)
    assert listed(client, 3) == ["invoice.paid", "payment_intent.canceled", "credit_note.created"]
    assert client.v1.invoice_payments.list({"invoice": invoice}).data[0].status == "canceled"


def test_voiding_a_credit_note_asks_for_its_amount_again(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = opened(client, draft, 1200)
    note = credited(client, invoice, 500)
    void = client.v1.credit_notes.void_credit_note(note.id)
    assert (void.status, asked(client, invoice)) == ("void", ("open", 1200, 0, 1200))
    assert client.v1.invoices.retrieve(invoice).pre_payment_credit_notes_amount == 0
    assert listed(client, 2) == ["invoice.updated", "credit_note.voided"]
    with pytest.raises(stripe.InvalidRequestError, match="already been voided"):
        client.v1.credit_notes.void_credit_note(note.id)
    assert credited(client, invoice, 1200).number == note.number.replace("CN-01", "CN-02")


def test_a_credit_note_of_a_paid_invoice_cannot_be_voided(client: stripe.StripeClient, draft: Draft) -> None:
    note = credited(client, paid(client, draft, 1200), 500, credit_amount=500)
    with pytest.raises(stripe.InvalidRequestError, match="only void a credit note if the associated invoice is open"):
        client.v1.credit_notes.void_credit_note(note.id)


def test_what_was_paid_is_refunded_credited_and_settled_elsewhere_as_the_request_says(
    client: stripe.StripeClient, draft: Draft
) -> None:
    """12.00 paid; 6.00 back: 3.00 to the card, 2.00 to the balance, 1.00 by bank transfer."""
    invoice = paid(client, draft, 1200)
    note = credited(client, invoice, 600, refund_amount=300, credit_amount=200, out_of_band_amount=100)
    assert (note.type, note.post_payment_amount, note.out_of_band_amount) == ("post_payment", 600, 100)
    [refund] = client.v1.refunds.list().data
    assert (refund.amount, [each.amount_refunded for each in note.refunds]) == (300, [300])
    assert client.v1.customers.retrieve("cus_1234").balance == -200
    [change] = client.v1.customers.balance_transactions.list("cus_1234").data
    assert (change.type, change.amount, change.credit_note) == ("credit_note", -200, note.id)
    assert note.customer_balance_transaction == change.id
    assert asked(client, invoice) == ("paid", 1200, 1200, 0)
    assert client.v1.invoices.retrieve(invoice).post_payment_credit_notes_amount == 600


def test_the_parts_of_a_credit_note_must_add_up(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = paid(client, draft, 1200)
    wrong: list[dict[str, int]] = [{}, {"refund_amount": 500}, {"refund_amount": 500, "credit_amount": 200}]
    for split in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=r"must equal the post payment amount \(\$6.00\)"):
            credited(client, invoice, 600, **split)
    with pytest.raises(stripe.InvalidRequestError, match=r"must equal the post payment amount \(\$0.00\)"):
        credited(client, opened(client, draft, 1200), 600, credit_amount=600)


def test_credit_notes_take_at_most_the_total(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = paid(client, draft, 1200)
    credited(client, invoice, 800, credit_amount=800)
    with pytest.raises(stripe.InvalidRequestError, match=r"\(\$13.00\) can't exceed the invoice total \(\$12.00\)"):
        credited(client, invoice, 500, credit_amount=500)
    assert credited(client, invoice, 400, credit_amount=400).status == "issued"


def test_a_refund_that_was_made_before_can_be_linked(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = paid(client, draft, 1200)
    refund = client.v1.refunds.create({"charge": client.v1.charges.list().data[0].id, "amount": 300})
    note = credited(client, invoice, 300, refunds=[{"refund": refund.id}])
    assert [(each.refund, each.amount_refunded) for each in note.refunds] == [(refund.id, 300)]
    assert len(client.v1.refunds.list().data) == 1


def test_a_credited_invoice_that_was_partly_covered_by_the_balance_is_credited_before_and_after_payment(
    client: stripe.StripeClient, draft: Draft
) -> None:
    """35.45 with 10.00 of credit asks for 25.45; crediting it in full gives the 10.00 back to the balance."""
    client.v1.customers.balance_transactions.create("cus_1234", {"amount": -1000, "currency": "usd"})
    invoice = opened(client, draft, 3545)
    note = credited(client, invoice, 3545, credit_amount=1000)
    assert (note.type, note.pre_payment_amount, note.post_payment_amount) == ("mixed", 2545, 1000)
    assert asked(client, invoice) == ("paid", 0, 0, 0)
    assert client.v1.customers.retrieve("cus_1234").balance == -1000


def test_an_amount_that_was_too_small_to_charge_is_credited_to_the_balance(
    client: stripe.StripeClient, draft: Draft
) -> None:
    invoice = opened(client, draft, 30)
    assert client.v1.customers.retrieve("cus_1234").balance == 30
    with pytest.raises(stripe.InvalidRequestError, match="no charge that could be refunded"):
        credited(client, invoice, 30, refund_amount=30)
    credited(client, invoice, 30, credit_amount=30)
    assert client.v1.customers.retrieve("cus_1234").balance == 0


def test_lines_of_the_invoice_are_credited_by_amount_or_quantity_and_at_most_once(
    client: stripe.StripeClient, draft: Draft
) -> None:
    """3 x 1.50 and 9.00; two pieces and 4.00 back: 7.00."""
    priced: Any = {"price_data": {"currency": "usd", "unit_amount": 150}, "quantity": 3, "description": "Shirts"}
    made = client.v1.invoices.add_lines(draft(900).id, {"lines": [priced]})
    invoice = client.v1.invoices.finalize_invoice(made.id)
    whole, pieces = (line.id for line in invoice.lines.data)
    lines: Any = [
        {"type": "invoice_line_item", "invoice_line_item": pieces, "quantity": 2},
        {"type": "invoice_line_item", "invoice_line_item": whole, "amount": 400},
    ]
    note = client.v1.credit_notes.create({"invoice": invoice.id, "lines": lines})
    assert [(line.amount, line.description) for line in note.lines.data] == [(300, "Shirts"), (400, "line 1")]
    assert note.amount == 700
    with pytest.raises(stripe.InvalidRequestError, match=r"\(\$3.00\) is more than what is left of it \(\$1.50\)"):
        client.v1.credit_notes.create({"invoice": invoice.id, "lines": lines[:1]})


def test_a_line_of_its_own_has_a_unit_amount_and_a_quantity(client: stripe.StripeClient, draft: Draft) -> None:
    """3 x 0.335 is 1.005, rounded half up: 1.01."""
    invoice = opened(client, draft, 900)
    goodwill: Any = {"type": "custom_line_item", "unit_amount_decimal": "33.5", "quantity": 3}
    note = client.v1.credit_notes.create({"invoice": invoice, "lines": [goodwill]})
    assert (note.amount, note.lines.data[0].unit_amount_decimal) == (101, Decimal("33.5"))
    wrong: list[tuple[Any, str]] = [
        ({"type": "custom_line_item"}, "Missing required param"),
        ({"type": "invoice_line_item", "invoice_line_item": "il_none", "amount": 1}, "No such invoice line item"),
        ({**goodwill, "amount": 5}, "has a unit amount and a quantity"),
    ]
    for line, message in wrong:
        with pytest.raises(stripe.InvalidRequestError, match=message):
            client.v1.credit_notes.create({"invoice": invoice, "lines": [line]})


def test_a_preview_changes_nothing(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = opened(client, draft, 1200)
    seen = client.v1.credit_notes.preview({"invoice": invoice, "amount": 500})
    assert (seen.amount, seen.pre_payment_amount) == (500, 500)
    assert client.v1.credit_notes.list().data == []
    assert asked(client, invoice) == ("open", 1200, 0, 1200)
    assert listed(client, 1) == ["invoice.finalized"]


@pytest.mark.parametrize("end", ["draft", "void", "uncollectible"])
def test_only_an_open_or_paid_invoice_takes_a_credit_note(client: stripe.StripeClient, draft: Draft, end: str) -> None:
    invoice = draft(1200).id
    if end != "draft":
        client.v1.invoices.finalize_invoice(invoice)
        ends = {"void": client.v1.invoices.void_invoice, "uncollectible": client.v1.invoices.mark_uncollectible}
        ends[end](invoice)
    with pytest.raises(stripe.InvalidRequestError, match="open or paid"):
        credited(client, invoice, 100)


@pytest.mark.parametrize(("currency", "rest"), [("jpy", 7000), ("kwd", 7000)])
def test_amounts_are_minor_units_in_every_currency(
    client: stripe.StripeClient, draft: Draft, currency: str, rest: int
) -> None:
    invoice = opened(client, draft, 12000, currency=currency)
    assert credited(client, invoice, 5000).currency == currency
    assert asked(client, invoice)[3] == rest
