"""The effect of an event depends on its content and on the invoice's state, not on the time it arrives."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.alerting.rules.alerts import FailedInvoice
from fly_billing.alerting.rules.payment_alerts import HEADINGS, payment_alerts
from fly_billing.stripe_sync.rules.events import (
    ACTED_ON,
    MOST_CHARACTERS,
    EventOutcome,
    NotAnEvent,
    StripeEvent,
    SyncState,
    judge,
    read_event,
    unreadable_invoice,
)
from fly_billing.stripe_sync.rules.sync_failures import ACCOUNT, ADDRESS

OURS = UUID("00000000-0000-4000-8000-000000000001")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(type: str, **facts: Any) -> StripeEvent:
    return StripeEvent("evt_1", f"invoice.{type}", NOON, "in_1", invoice_id=OURS, **facts)


def standing(
    status: str = "finalized",
    stripe_state: str | None = "finalized",
    stripe_id: str | None = "in_1",
    *,
    is_own: bool = False,
) -> SyncState:
    return SyncState(status, "billed", stripe_state, stripe_id, is_own)


def short(verdict: EventOutcome) -> tuple[str, str | None, str | None]:
    return verdict.outcome, verdict.status, verdict.code


@pytest.mark.parametrize(
    ("status", "type", "expected"),
    [
        ("finalized", "paid", ("applied", "paid", None)),
        ("finalized", "voided", ("applied", "void", "voided_by_hand")),
        ("finalized", "marked_uncollectible", ("applied", "uncollectible", "uncollectible")),
        ("uncollectible", "paid", ("applied", "paid", None)),
        ("uncollectible", "voided", ("applied", "void", "voided_by_hand")),
        ("uncollectible", "marked_uncollectible", ("superseded", None, None)),
        ("uncollectible", "payment_failed", ("superseded", None, None)),
        ("paid", "paid", ("superseded", None, None)),
        ("paid", "marked_uncollectible", ("superseded", None, None)),
        ("paid", "payment_failed", ("superseded", None, None)),
        ("void", "voided", ("superseded", None, None)),
        ("void", "payment_failed", ("superseded", None, None)),
        ("paid", "voided", ("conflict", None, "disagreement")),
        ("void", "paid", ("conflict", None, "disagreement")),
    ],
)
def test_an_invoice_only_moves_towards_paid_or_void(
    status: str, type: str, expected: tuple[str, str | None, str | None]
) -> None:
    assert short(judge(event(type), standing(status))) == expected


@given(st.permutations(["payment_failed", "marked_uncollectible", "paid", "finalized", "payment_failed"]))
def test_events_in_any_order_leave_the_invoice_in_the_same_state(types: list[str]) -> None:
    status = "finalized"
    for type in types:
        status = judge(event(type), standing(status)).status or status
    assert status == "paid"


def test_an_event_waits_until_our_sync_is_done() -> None:
    for state, type in itertools.product((None, "pending", "verified", "unknown"), ("paid", "voided")):
        assert judge(event(type), standing(stripe_state=state)).outcome == "waiting"


def test_an_event_of_an_earlier_attempt_changes_nothing_and_its_payment_is_alerted() -> None:
    assert short(judge(event("voided"), standing(stripe_id="in_2"))) == ("superseded", None, None)
    assert short(judge(event("paid"), standing(stripe_id="in_2"))) == ("conflict", None, "paid_elsewhere")


def test_an_invoice_that_we_void_to_send_it_again_stays_owed() -> None:
    assert short(judge(event("voided"), standing(is_own=True))) == ("superseded", None, None)


@pytest.mark.parametrize("type", ["created", "finalized", "will_be_due", "of_the_future"])
def test_other_types_are_ignored(type: str) -> None:
    assert judge(event(type), standing()).outcome == "ignored"


def test_an_invoice_that_is_not_ours_or_was_settled_before_us_is_ignored() -> None:
    assert judge(event("paid"), None).outcome == "ignored"
    assert judge(event("paid"), SyncState("paid", "imported", None, None)).outcome == "ignored"


PAID_ELSEWHERE = (
    "a duplicate or an earlier try was paid: refund it in Stripe, or void the invoice that we billed."
    " (https://dashboard.stripe.com/test/invoices/in_1)"
)


@pytest.mark.parametrize(
    ("event", "standing", "reason"),
    [
        (event("created"), standing(), "events of this type change nothing here"),
        (event("paid"), None, "not an invoice of ours"),
        (event("paid"), SyncState("paid", "imported", None, None), "the invoice was imported and settled elsewhere"),
        (event("paid"), standing(stripe_state="verified"), "our sync has not finished this invoice yet"),
        (
            event("paid"),
            standing(stripe_id="in_2"),
            "about an earlier try or a duplicate in Stripe, not about the invoice that we billed",
        ),
        (
            event("voided"),
            standing(stripe_id="in_2"),
            "about an earlier try or a duplicate in Stripe, not about the invoice that we billed",
        ),
        (event("finalization_failed"), standing(), "the invoice was finalized since, or a new draft was made"),
        (event("finalization_failed"), standing(stripe_state="verified"), "Stripe could not finalize the draft"),
        (event("payment_failed"), standing(), "the payment failed"),
        (event("payment_failed"), standing("paid"), "the invoice is paid since"),
        (event("paid"), standing("paid"), "the invoice is paid already"),
        (event("paid"), standing("void"), "the invoice is void here, which is final"),
        (event("voided"), standing(is_own=True), "we voided it ourselves, to send it again"),
        (event("paid"), standing(), "the invoice is paid"),
    ],
)
def test_the_reason_of_an_events_effect_is_recorded(
    event: StripeEvent, standing: SyncState | None, reason: str
) -> None:
    assert judge(event, standing).reason == reason


@pytest.mark.parametrize(
    ("event", "standing", "text"),
    [
        (event("paid"), standing(stripe_id="in_2"), PAID_ELSEWHERE),
        (
            event("voided"),
            standing("paid"),
            "the invoice is void in Stripe and paid here, and neither can change: find out what happened to it."
            " (https://dashboard.stripe.com/test/invoices/in_1)",
        ),
        (
            event("voided"),
            standing(),
            "the customer owes nothing on it any more. A fee that it charged in advance is on the invoice of its own"
            " month. If voiding it was a mistake, `fly-billing rebill ORG MONTH --reissue` issues it again."
            " (https://dashboard.stripe.com/test/invoices/in_1)",
        ),
        (
            event("marked_uncollectible"),
            standing(),
            "it no longer counts as owed: if that was a mistake, collect it in Stripe's dashboard, and it becomes paid."
            " (https://dashboard.stripe.com/test/invoices/in_1)",
        ),
        (
            event("payment_failed"),
            standing(),
            "Stripe will not retry: contact the customer, then collect it or write it off in Stripe's dashboard."
            " (https://dashboard.stripe.com/test/invoices/in_1)",
        ),
        (event("paid"), standing(), None),
        (event("voided"), standing(is_own=True), None),
    ],
)
def test_the_operators_text_has_the_event_and_the_fix(
    event: StripeEvent, standing: SyncState, text: str | None
) -> None:
    assert judge(event, standing).operator_text == text


def test_an_invoice_with_a_zero_total_has_no_events() -> None:
    assert judge(event("paid"), standing(stripe_state="skipped_zero", stripe_id=None)).code == "paid_elsewhere"


def test_a_failed_finalization_of_a_draft_that_is_not_in_our_journal_is_alerted() -> None:
    drafting = standing(stripe_state="pending", stripe_id=None)
    assert short(judge(event("finalization_failed"), drafting)) == ("applied", None, "finalization_failed")


def test_a_failed_finalization_with_an_unknown_code_is_alerted_like_one_without() -> None:
    failed = event("finalization_failed", error="No.", error_code="a_code_of_next_year")
    verdict = judge(failed, standing(stripe_state="verified"))
    assert verdict.customer_text == ACCOUNT
    assert verdict.operator_text == (
        "Stripe could not finalize the draft: fix what its message says, then launch sync_month again."
        " Stripe said: No. (a_code_of_next_year, https://dashboard.stripe.com/test/invoices/in_1)"
    )


def test_a_failed_payment_gives_the_reason_and_the_next_step() -> None:
    again = datetime(2026, 11, 26, 12, tzinfo=UTC)
    verdict = judge(event("payment_failed", error="Your card was declined.", next_attempt_at=again), standing())
    assert short(verdict) == ("applied", None, "payment_failed")
    assert verdict.customer_text == (
        'We could not collect this invoice ("Your card was declined"). You can pay the invoice online at any time.'
        " We will try again on 2026-11-26."
    )
    assert verdict.operator_text == (
        "Stripe will retry automatically on 2026-11-26: ask the customer for another payment method."
        " Stripe said: Your card was declined. (https://dashboard.stripe.com/test/invoices/in_1)"
    )


def test_an_abandoned_payment_is_alerted_even_without_a_reason() -> None:
    verdict = judge(event("payment_failed"), standing())
    assert verdict.code == "payment_given_up"
    assert verdict.customer_text == (
        "We could not collect this invoice. You can pay the invoice online at any time. We will not try again"
        " automatically."
    )


def test_a_failed_payment_explains_its_decline_code_to_customer_and_operator() -> None:
    failed = event("payment_failed", error="Your card has insufficient funds.", error_code="insufficient_funds")
    verdict = judge(failed, standing())
    assert verdict.customer_text == (
        'We could not collect this invoice ("Your card has insufficient funds"). Please make sure there are sufficient'
        " funds, or use another card. You can pay the invoice online at any time. We will not try again automatically."
    )
    assert verdict.operator_text == (
        "Not enough funds, or the card's limit is reached. Stripe will not retry: contact the customer, then"
        " collect it or write it off in Stripe's dashboard. Stripe said: Your card has insufficient funds."
        " (insufficient_funds, https://dashboard.stripe.com/test/invoices/in_1)"
    )


def test_a_stolen_card_is_shown_to_operators_and_not_to_the_customer() -> None:
    verdict = judge(event("payment_failed", error="Your card was stolen.", error_code="stolen_card"), standing())
    assert "stolen" not in (verdict.customer_text or "")
    assert "stolen_card" in (verdict.operator_text or "")


def test_a_failed_finalization_is_alerted_until_it_ends() -> None:
    failed = event("finalization_failed", error="No address.")
    verdict = judge(failed, standing(stripe_state="verified"))
    assert short(verdict) == ("applied", None, "finalization_failed")
    assert verdict.operator_text == (
        "Stripe could not finalize the draft: fix what its message says, then launch sync_month again."
        " Stripe said: No address. (https://dashboard.stripe.com/test/invoices/in_1)"
    )
    assert judge(failed, standing(stripe_state="finalized")).outcome == "superseded"
    assert judge(failed, standing(stripe_state="drafted", stripe_id="in_2")).outcome == "superseded"


def test_a_finalization_that_failed_for_the_customers_address_asks_the_customer_for_it() -> None:
    failed = event("finalization_failed", error="Unknown location.", error_code="customer_tax_location_invalid")
    verdict = judge(failed, standing(stripe_state="verified"))
    assert verdict.customer_text == ADDRESS
    assert (verdict.operator_text or "").startswith(
        "Stripe could not finalize the draft: Stripe can't tax this customer: correct their address or tax ID"
    )


# Reading -----------------------------------------------------------------------------------------------------------


def body(**invoice: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "type": "invoice.paid",
        "created": 1763899200,
        "livemode": True,
        "request": {"id": "req_1", "idempotency_key": "key-1"},
        "data": {"object": {"id": "in_1", "object": "invoice", **invoice}},
    }


def test_an_event_is_read_for_the_fields_that_are_used() -> None:
    read = read_event(
        body(metadata={"fly_billing_invoice": str(OURS)}, status_transitions={"paid_at": 1763899100}, customer_name="X")
    )
    assert read == StripeEvent(
        id="evt_1",
        type="invoice.paid",
        created=datetime(2025, 11, 23, 12, tzinfo=UTC),
        object_id="in_1",
        livemode=True,
        invoice_id=OURS,
        idempotency_key="key-1",
        paid_at=datetime(2025, 11, 23, 11, 58, 20, tzinfo=UTC),
    )
    assert read.link == "https://dashboard.stripe.com/invoices/in_1"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "card_declined", "decline_code": "lost_card", "message": "No."}, "lost_card"),
        ({"code": "customer_tax_location_invalid", "message": "No."}, "customer_tax_location_invalid"),
        ({"message": "No."}, None),
    ],
)
def test_the_reason_of_a_failed_finalization_is_read_as_precisely_as_stripe_gives_it(
    error: dict[str, str], code: str | None
) -> None:
    read = read_event({**body(last_finalization_error=error), "type": "invoice.finalization_failed"})
    assert (read.error, read.error_code) == ("No.", code)


def test_a_failed_payment_is_read_with_the_time_of_the_next_try() -> None:
    read = read_event({**body(next_payment_attempt=1763985600), "type": "invoice.payment_failed"})
    assert read.next_attempt_at == datetime(2025, 11, 24, 12, tzinfo=UTC)
    assert read.error is None


def test_an_earlier_finalization_error_does_not_change_later_events() -> None:
    read = read_event(body(last_finalization_error={"message": "No.", "code": "tax_id_invalid"}))
    assert (read.error, read.error_code) == (None, None)


def test_an_event_with_only_required_fields_is_read() -> None:
    least = {"id": "evt_1", "type": "ping", "created": 1763899200, "data": {"object": {}}}
    assert read_event(least) == StripeEvent("evt_1", "ping", datetime(2025, 11, 23, 12, tzinfo=UTC), object_id="")
    nothing = {"metadata": None, "status_transitions": None, "last_finalization_error": None}
    failed = {**body(**nothing), "request": None, "livemode": False, "type": "invoice.finalization_failed"}
    assert read_event(failed) == StripeEvent(
        "evt_1", "invoice.finalization_failed", datetime(2025, 11, 23, 12, tzinfo=UTC), "in_1"
    )


@pytest.mark.parametrize("id", [None, "", "not a uuid", 7])
def test_foreign_metadata_names_no_invoice_of_ours(id: Any) -> None:
    assert read_event(body(metadata={"fly_billing_invoice": id})).invoice_id is None


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"id": "evt_1"},
        {**body(), "id": None},
        {**body(), "type": 7},
        {**body(), "created": "yesterday"},
        {**body(), "created": 10**30},
        {**body(), "data": None},
        {**body(), "data": {"object": "in_1"}},
        body(status_transitions={"paid_at": "x"}),
        {**body(), "id": "evt_\0"},
        {**body(), "id": "evt_" + "1" * 252},
        {**body(), "type": "invoice.paid\ud800"},
        {**body(), "request": {"idempotency_key": ["a"]}},
        {**body(), "request": {"idempotency_key": 7}},
        body(id={"id": "in_1"}),
        body(id="in_\0"),
        {**body(last_finalization_error={"code": ["a"]}), "type": "invoice.finalization_failed"},
        {**body(last_finalization_error={"message": {"a": 1}}), "type": "invoice.finalization_failed"},
    ],
)
def test_a_body_that_is_not_an_event_is_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(
        NotAnEvent, match=r"^not an event of Stripe's v1 API: (Key|Type|Value|Attribute|Overflow|UnicodeEncode)Error$"
    ):
        read_event(broken)


def paid(**changes: Any) -> dict[str, Any]:
    return {"id": "evt_1", "type": "invoice.paid", "created": 1_790_000_000, "data": {"object": {}}} | changes


def test_the_longest_id_of_an_event_has_as_many_characters_as_stripe_allows() -> None:
    assert read_event(paid(id="e" * MOST_CHARACTERS)).id == "e" * MOST_CHARACTERS
    with pytest.raises(NotAnEvent) as refused:
        read_event(paid(id="e" * (MOST_CHARACTERS + 1)))
    assert str(refused.value.__cause__) == "no text, or a longer one than Stripe's"


def test_an_event_with_a_text_that_postgres_can_not_store_is_refused() -> None:
    with pytest.raises(NotAnEvent) as refused:
        read_event(paid(type="invoice.\0paid"))
    assert str(refused.value.__cause__) == "no text that can be stored"


def test_an_event_for_an_invoice_whose_row_is_damaged_waits_until_the_row_is_corrected() -> None:
    assert unreadable_invoice(event("paid"), "due_on infinity is not a valid time") == EventOutcome(
        "waiting",
        "due_on infinity is not a valid time",
        code="unreadable_invoice",
        operator_text="the event invoice.paid can't be applied to the invoice's row: due_on infinity is not a valid"
        " time: correct the row, and the next poll of Stripe's events applies it."
        " (https://dashboard.stripe.com/test/invoices/in_1)",
    )


def test_the_customers_text_quotes_the_banks_message() -> None:
    """Only the full stop is left out, because the sentence continues."""
    declined = event("payment_failed", error="Declined by AMEX.", error_code="card_declined")
    text = judge(declined, standing()).customer_text
    assert text is not None
    assert text.startswith('We could not collect this invoice ("Declined by AMEX"). ')


# Alerts ----------------------------------------------------------------------------------------------------------


def failed(organization: str, code: str, cents: int) -> FailedInvoice:
    return FailedInvoice(organization, "2026-10", code, f"mend {code}", "USD", cents)


def test_failures_are_listed_by_cause_with_the_largest_amounts_first() -> None:
    alerts = payment_alerts(
        [
            failed("acme", "payment_failed", 500),
            failed("bolt", "voided_by_hand", 300),
            failed("crux", "payment_failed", 900),
        ]
    )
    assert [alert.text for alert in alerts] == [
        "Payment failed, Stripe will retry: 2 invoices, $14.00\n"
        "- crux 2026-10: $9.00\n- acme 2026-10: $5.00\nWhat to do: mend payment_failed",
        "Voided manually in Stripe: 1 invoice, $3.00\n- bolt 2026-10: $3.00\nWhat to do: mend voided_by_hand",
    ]


def test_payments_that_failed_for_different_reasons_have_different_fixes() -> None:
    reasons = {"acme": "expired_card", "bolt": "insufficient_funds", "crux": "expired_card", "dune": None}
    alerts = payment_alerts(
        [replace(failed(name, "payment_failed", 100), reason=reason) for name, reason in reasons.items()]
    )
    assert [alert.subject for alert in alerts] == [
        "Payment failed, Stripe will retry: 1 invoice, $1.00",
        "Payment failed, Stripe will retry (expired_card): 2 invoices, $2.00",
        "Payment failed, Stripe will retry (insufficient_funds): 1 invoice, $1.00",
    ]


def test_a_cause_without_an_explanation_is_alerted_as_a_failed_payment() -> None:
    (alert,) = payment_alerts([failed("acme", "a_code_of_next_year", 100)])
    assert alert.subject == "Payment failed (a_code_of_next_year): 1 invoice, $1.00"


def test_every_cause_has_its_text() -> None:
    codes = {
        judge(event(type, next_attempt_at=next_attempt), standing(status, state, id)).code
        for type in ("paid", "voided", "marked_uncollectible", "payment_failed", "finalization_failed")
        for next_attempt in (None, NOON)
        for status in ("finalized", "uncollectible", "paid", "void")
        for state in ("finalized", "verified")
        for id in ("in_1", "in_2")
    }
    codes.add(unreadable_invoice(event("paid"), "due_on infinity is not a valid time").code)
    assert codes - {None} == set(HEADINGS)


def test_a_poll_asks_for_no_more_types_of_events_than_stripe_allows() -> None:
    assert len(set(ACTED_ON)) == len(ACTED_ON) <= 20
