"""The dashboard's actions: each is what a person clicks, follows Stripe's rules, and says which events it made."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError

Draft = Callable[..., stripe.Invoice]


def opened(client: stripe.StripeClient, draft: Draft, amount: int = 1200) -> stripe.Invoice:
    return client.v1.invoices.finalize_invoice(draft(amount).id)


def test_a_credit_given_in_the_dashboard_is_asked_for_less(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """40.00 credit, 10.00 debit: 30.00 less of the next invoice."""
    control.act("credit", "cus_1234", amount=4000, description="Outage")
    control.act("debit", "cus_1234", amount=1000)
    assert opened(client, draft, 5000).amount_due == 2000


def test_an_invoice_is_named_by_id_or_number_and_stands_for_its_charge_refund_and_customer(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = opened(client, draft)
    assert control.act("pay", str(invoice.number))["status"] == "paid"
    refund = control.act("refund", invoice.id, amount=200)
    assert (refund["object"], refund["amount"]) == ("refund", 200)
    assert control.act("fail-refund", invoice.id)["id"] == refund["id"]
    assert control.act("credit", invoice.id, amount=1)["customer"] == "cus_1234"
    with pytest.raises(SandboxError, match="has no dispute"):
        control.act("win-dispute", invoice.id)
    with pytest.raises(SandboxError, match="not found: in_none"):
        control.act("pay", "in_none")


PAID_BY_CARD = [
    "charge.succeeded", "payment_intent.succeeded", "invoice_payment.paid", "invoice.paid", "invoice.payment_succeeded",
]  # fmt: skip


@pytest.mark.parametrize(
    ("action", "status", "events"),
    [
        ("pay", "paid", PAID_BY_CARD),
        ("mark-paid", "paid", ["payment_intent.canceled", "invoice.paid"]),
        ("void", "void", ["payment_intent.canceled", "invoice.voided"]),
        ("write-off", "uncollectible", ["invoice.marked_uncollectible"]),
    ],
)
def test_an_open_invoice_ends_as_the_action_says(
    client: stripe.StripeClient,
    control: SandboxControl,
    draft: Draft,
    action: str,
    status: str,
    events: list[str],
) -> None:
    invoice = opened(client, draft)
    done = control.acted(action, invoice.id)
    assert (done["object"]["status"], done["events"]) == (status, events)
    assert client.v1.invoices.retrieve(invoice.id).status == status


def test_a_credit_note_goes_to_the_invoice_and_then_where_the_person_says(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = opened(client, draft)
    control.act("credit-note", invoice.id, amount=200)
    control.act("void-credit-note", invoice.id)
    control.act("credit-note", invoice.id, amount=300)
    control.act("pay", invoice.id)
    refunded = control.acted("credit-note", invoice.id, amount=400, to="refund")
    assert refunded["object"]["post_payment_amount"] == 400
    assert refunded["events"] == ["refund.created", "charge.refunded", "credit_note.created", "invoice.updated"]
    with pytest.raises(SandboxError, match="to is one of refund, credit, out_of_band"):
        control.act("credit-note", invoice.id, amount=1, to="charity")


def test_a_broken_card_declines_and_a_new_one_pays(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = opened(client, draft)
    control.act("break-card", "cus_1234")
    with pytest.raises(SandboxError, match="Your card was declined"):
        control.act("pay", invoice.id)
    assert client.v1.invoices.retrieve(invoice.id).attempt_count == 1
    control.act("give-card", invoice.id)
    assert control.act("pay", invoice.id)["amount_paid"] == 1200


def test_an_invoice_is_sent_from_the_dashboard(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    client.v1.customers.update("cus_1234", {"email": "bills@fly.test"})
    invoice = draft(900, collection_method="send_invoice", days_until_due=30)
    assert control.acted("send", invoice.id)["events"] == ["invoice.finalized", "invoice.sent"]


@pytest.mark.parametrize("amount", [None, 0, -5, 1.5, "5"])
def test_an_amount_is_a_whole_number_above_zero(control: SandboxControl, amount: object) -> None:
    with pytest.raises(SandboxError, match="amount"):
        control.act("credit", "cus_1234", amount=amount)


def test_an_unknown_action_names_the_known_ones_and_all_are_listed(control: SandboxControl) -> None:
    with pytest.raises(SandboxError, match="the actions are credit, debit, give-card"):
        control.act("shout", "cus_1234")
    assert {action["of"] for action in control.actions()} == {
        "customer", "invoice", "credit_note", "charge", "refund", "dispute"
    }  # fmt: skip


def test_what_is_paid_beyond_an_invoice_becomes_credit_for_the_next_one(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """A transfer of $12.00 for an invoice of $9.00: the next one of $5.00 asks for $2.00."""
    done = control.acted("overpay", opened(client, draft, 900).id, amount=300)
    assert done["events"] == ["payment_intent.canceled", "invoice.paid", "customer.updated", "invoice.overpaid"]
    invoice = done["object"]
    assert (invoice["status"], invoice["amount_paid"], invoice["amount_overpaid"]) == ("paid", 900, 300)
    assert opened(client, draft, 500).amount_due == 200


def test_parts_of_an_invoice_are_payments_of_their_own_and_the_last_one_pays_it(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """12.00: 5.00 by card, 3.00 outside of Stripe, and the other 4.00 by card. Only the last makes it paid."""
    invoice = opened(client, draft)
    part = control.acted("pay-part", invoice.id, amount=500)
    assert part["events"] == [
        "charge.succeeded", "payment_intent.succeeded", "invoice_payment.paid", "invoice.updated",
    ]  # fmt: skip
    assert (part["object"]["status"], part["object"]["amount_paid"], part["object"]["amount_remaining"]) == (
        "open", 500, 700,
    )  # fmt: skip
    default = client.v1.invoice_payments.list({"invoice": invoice.id, "status": "open"}).data
    assert [(payment.is_default, payment.amount_requested) for payment in default] == [(True, 700)]
    with pytest.raises(SandboxError, match=r"can't exceed the amount remaining \(\$7.00\)"):
        control.act("pay-part", invoice.id, amount=701)
    with pytest.raises(SandboxError, match="cannot be voided"):
        control.act("void", invoice.id)
    assert control.acted("pay-part", invoice.id, amount=300, outside=True)["events"] == [
        "invoice_payment.paid", "invoice.updated",
    ]  # fmt: skip
    paid = control.acted("pay-part", invoice.id, amount=400)
    assert paid["events"][-3:] == ["invoice_payment.paid", "payment_intent.canceled", "invoice.paid"]
    assert (paid["object"]["amount_paid"], paid["object"]["amount_paid_off_stripe"]) == (1200, 300)


def test_the_refund_of_a_credit_note_needs_one_payment(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """Two payments by card: a credit note can't choose, so the refunds are made first and linked."""
    invoice = opened(client, draft)
    control.act("pay-part", invoice.id, amount=500)
    control.act("pay", invoice.id)
    with pytest.raises(SandboxError, match="several payments"):
        control.act("credit-note", invoice.id, amount=900, to="refund")
    assert control.act("refund", invoice.id, amount=100)["amount"] == 100  # of the newest one


def test_a_credit_in_a_second_currency_is_a_balance_of_its_own(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """2.00 USD and 40.00 EUR of credit: an invoice in USD uses only the first. Stripe writes credit above zero."""
    control.act("credit", "cus_1234", amount=200)
    control.act("credit", "cus_1234", amount=4000, currency="eur")
    assert opened(client, draft, 1200).amount_due == 1000
    (seen,) = client.v1.customers.list({"expand": ["data.invoice_credit_balance"]}).data
    assert (seen.balance, seen.to_dict()["invoice_credit_balance"]) == (0, {"usd": 0, "eur": 4000})
