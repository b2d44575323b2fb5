"""Disputes: the money that leaves and returns, and what a disputed charge does not allow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stripe

from fly_billing.stripe_sandbox import SandboxControl, SandboxError

Draft = Callable[..., stripe.Invoice]


def paid(client: stripe.StripeClient, draft: Draft, amount: int = 900) -> str:
    return client.v1.invoices.pay(draft(amount).id).id


def listed(client: stripe.StripeClient, limit: int) -> list[str]:
    return [event.type for event in client.v1.events.list({"limit": limit}).data]


def moves(client: stripe.StripeClient) -> list[tuple[str, int, int]]:
    """Return (category, amount, fee) of each movement on the platform's account, oldest first."""
    found = client.v1.balance_transactions.list({"limit": 100}).data
    return [(each.reporting_category, each.amount, each.fee) for each in found][::-1]


def test_a_dispute_takes_the_money_and_a_fee_and_a_won_one_returns_the_money(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = paid(client, draft)
    dispute = control.act("dispute", invoice)
    assert (dispute["amount"], dispute["status"], dispute["reason"]) == (900, "needs_response", "fraudulent")
    assert listed(client, 2) == ["charge.dispute.funds_withdrawn", "charge.dispute.created"]
    assert client.v1.charges.retrieve(dispute["charge"]).disputed is True
    assert control.act("win-dispute", invoice)["status"] == "won"
    assert listed(client, 2) == ["charge.dispute.funds_reinstated", "charge.dispute.closed"]
    assert moves(client) == [("charge", 900, 0), ("dispute", -900, 1500), ("dispute_reversal", 900, 0)]
    assert client.v1.invoices.retrieve(invoice).status == "paid"


@pytest.mark.parametrize("end", ["lose-dispute", "accept"])
def test_the_money_of_a_lost_or_accepted_dispute_stays_away(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft, end: str
) -> None:
    dispute = control.act("dispute", paid(client, draft), amount=500, reason="duplicate")
    lost = (
        client.v1.disputes.close(dispute["id"]).status if end == "accept" else control.act(end, dispute["id"])["status"]
    )
    assert lost == "lost"
    assert listed(client, 1) == ["charge.dispute.closed"]
    assert moves(client) == [("charge", 900, 0), ("dispute", -500, 1500)]
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        client.v1.disputes.close(dispute["id"])


def test_a_disputed_charge_is_refunded_only_after_the_dispute_is_won(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    dispute = control.act("dispute", paid(client, draft))
    with pytest.raises(stripe.InvalidRequestError, match="has been charged back") as refused:
        client.v1.refunds.create({"charge": dispute["charge"]})
    assert refused.value.code == "charge_disputed"
    control.act("win-dispute", dispute["id"])
    assert client.v1.refunds.create({"charge": dispute["charge"]}).amount == 900


def test_only_what_was_paid_and_not_refunded_can_be_disputed_and_only_once(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    invoice = paid(client, draft)
    control.act("refund", invoice, amount=300)
    with pytest.raises(SandboxError, match="can't be disputed"):
        control.act("dispute", invoice, amount=700)
    with pytest.raises(SandboxError, match="the reason of a dispute is one of"):
        control.act("dispute", invoice, reason="mood")
    assert control.act("dispute", invoice)["amount"] == 600
    with pytest.raises(SandboxError, match="can't be disputed"):
        control.act("dispute", invoice)


def test_evidence_is_staged_and_then_submitted_to_the_bank(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    dispute = control.act("dispute", paid(client, draft))["id"]
    staged = client.v1.disputes.update(dispute, {"evidence": {"customer_name": "Ann"}, "submit": False})
    assert (staged.status, staged.evidence_details.has_evidence) == ("needs_response", True)
    sent = client.v1.disputes.update(dispute, {"evidence": {"uncategorized_text": "Used in June"}})
    assert (sent.status, sent.evidence.customer_name, sent.evidence_details.submission_count) == (
        "under_review",
        "Ann",
        1,
    )
    assert control.act("win-dispute", dispute)["status"] == "won"
    with pytest.raises(stripe.InvalidRequestError, match="already closed"):
        client.v1.disputes.update(dispute, {"evidence": {"customer_name": "Bo"}})


def test_a_refund_that_waits_for_the_customer_can_be_canceled(
    client: stripe.StripeClient, control: SandboxControl, draft: Draft
) -> None:
    """A refund to a card never waits, so it can't be canceled."""
    invoice = paid(client, draft)
    refund = control.act("refund", invoice, amount=300)
    with pytest.raises(stripe.InvalidRequestError, match="requires_action"):
        client.v1.refunds.cancel(refund["id"])
    control.edit_object(refund["id"], status="requires_action")
    assert client.v1.refunds.cancel(refund["id"]).status == "canceled"
    assert client.v1.charges.retrieve(refund["charge"]).amount_refunded == 0
