"""The end of an invoice: customer balance, minimum charge, payment, voiding, writing off."""

from collections.abc import Callable

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl

Draft = Callable[..., stripe.Invoice]


@pytest.mark.parametrize(
    ("balance", "amount", "status", "amount_due", "ending_balance"),
    [
        (0, 3545, "open", 3545, 0),
        (-1000, 3545, "open", 2545, 0),
        (700, 3545, "open", 4245, 0),
        (-5000, 3545, "paid", 0, -1455),
        (0, 49, "paid", 0, 49),
        (0, 50, "open", 50, 0),
        (-3500, 3545, "paid", 0, 45),
        (0, -800, "paid", 0, -800),
        (0, 0, "paid", 0, 0),
    ],
)
def test_finalizing_settles_the_total_with_the_customer_balance_and_the_minimum_charge(
    client: stripe.StripeClient,
    draft: Draft,
    balance: int,
    amount: int,
    status: str,
    amount_due: int,
    ending_balance: int,
) -> None:
    client.v1.customers.update("cus_1234", {"balance": balance})
    final = client.v1.invoices.finalize_invoice(draft(amount).id)
    assert (final.status, final.total, final.amount_due) == (status, amount, amount_due)
    assert (final.starting_balance, final.ending_balance) == (balance, ending_balance)
    assert client.v1.customers.retrieve("cus_1234").balance == ending_balance


def test_numbers_count_up_per_customer(client: stripe.StripeClient, control: SandboxControl, draft: Draft) -> None:
    prefix = client.v1.customers.retrieve("cus_1234").invoice_prefix
    numbers = [client.v1.invoices.finalize_invoice(draft(100).id).number for _ in range(2)]
    assert numbers == [f"{prefix}-0001", f"{prefix}-0002"]


def test_paying_moves_the_whole_amount_from_remaining_to_paid(client: stripe.StripeClient, draft: Draft) -> None:
    paid = client.v1.invoices.pay(client.v1.invoices.finalize_invoice(draft(900).id).id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining, paid.attempt_count) == ("paid", 900, 0, 1)
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(paid.id)
    with pytest.raises(stripe.InvalidRequestError, match="cannot be voided"):
        client.v1.invoices.void_invoice(paid.id)


def test_a_payment_outside_of_stripe_is_booked_without_an_attempt(client: stripe.StripeClient, draft: Draft) -> None:
    paid = client.v1.invoices.pay(draft(900).id, {"paid_out_of_band": True})
    assert (paid.status, paid.attempted, paid.amount_paid_off_stripe) == ("paid", False, 900)


def test_voiding_an_open_invoice_returns_its_credit(client: stripe.StripeClient, draft: Draft) -> None:
    client.v1.customers.update("cus_1234", {"balance": -1000})
    invoice = client.v1.invoices.finalize_invoice(draft(3545).id)
    void = client.v1.invoices.void_invoice(invoice.id)
    assert (void.status, void.total) == ("void", 3545)
    assert client.v1.customers.retrieve("cus_1234").balance == -1000


def test_only_open_invoices_are_voided_or_written_off(client: stripe.StripeClient, draft: Draft) -> None:
    invoice = draft(900)
    with pytest.raises(stripe.InvalidRequestError, match="isn't open"):
        client.v1.invoices.void_invoice(invoice.id)
    client.v1.invoices.finalize_invoice(invoice.id)
    assert client.v1.invoices.mark_uncollectible(invoice.id).status == "uncollectible"
    with pytest.raises(stripe.InvalidRequestError, match="already been marked uncollectible"):
        client.v1.invoices.mark_uncollectible(invoice.id)
