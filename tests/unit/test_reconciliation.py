"""Each way in which Stripe can disagree with what we billed is found, named and comes with what to do."""

from dataclasses import replace

import pytest

from fly_billing.domain.reconciliation import ExpectedInvoice, FoundInvoice, reconcile

OURS = ExpectedInvoice("inv-1", "acme", "USD", 3545, (("one", 1200), ("two", 2345)))
THEIRS = FoundInvoice("in_1", "inv-1", "acme", "open", "USD", 3545, (("one", 1200), ("two", 2345)))


def found(*theirs: FoundInvoice) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(one.kind, one.message, one.stripe_ids) for one in reconcile([OURS], theirs)]


@pytest.mark.parametrize("status", ["open", "paid", "uncollectible"])
def test_an_equal_invoice_is_in_order_whatever_became_of_its_payment(status: str) -> None:
    assert found(replace(THEIRS, status=status)) == []


def test_the_order_of_lines_is_stripes_own() -> None:
    assert found(replace(THEIRS, lines=(("two", 2345), ("one", 1200)))) == []


def test_an_invoice_that_stripe_does_not_have_is_missing() -> None:
    assert found() == [("missing", "$35.45 was billed, Stripe has no invoice", ())]


def test_a_voided_invoice_does_not_count() -> None:
    assert found(replace(THEIRS, status="void")) == [("missing", "$35.45 was billed, Stripe has no invoice", ())]
    assert found(THEIRS, replace(THEIRS, stripe_id="in_0", status="void")) == []


def test_two_invoices_for_one_ask_the_customer_twice() -> None:
    again = replace(THEIRS, stripe_id="in_2", status="paid")
    message = "Stripe has 2 invoices for this one: the customer is asked to pay 2 times"
    assert found(THEIRS, again) == [("duplicate", message, ("in_1", "in_2"))]


def test_another_total_is_told_with_both_amounts() -> None:
    theirs = replace(THEIRS, total_cents=354500)
    assert found(theirs) == [("differing", "total $3,545.00 in Stripe, $35.45 at home", ("in_1",))]


def test_the_same_number_in_another_currency_differs() -> None:
    assert found(replace(THEIRS, currency="JPY")) == [("differing", "currency JPY in Stripe, USD at home", ("in_1",))]


def test_a_line_too_many_differs_even_where_the_total_is_right() -> None:
    theirs = replace(THEIRS, lines=(*THEIRS.lines, ("three", 0)))
    assert found(theirs) == [("differing", "3 lines in Stripe, 2 at home", ("in_1",))]


def test_lines_that_differ_and_add_up_all_the_same_are_found() -> None:
    theirs = replace(THEIRS, lines=(("one", 1300), ("two", 2245)))
    assert found(theirs) == [("differing", "2 lines differ, first item one", ("in_1",))]


def test_one_line_twice_in_place_of_another_differs() -> None:
    ours = replace(OURS, total_cents=2400, lines=(("one", 1200), ("two", 1200)))
    theirs = replace(THEIRS, total_cents=2400, lines=(("one", 1200), ("one", 1200)))
    assert [one.message for one in reconcile([ours], [theirs])] == ["1 lines differ, first item two"]


def test_a_draft_is_stuck_and_not_missing() -> None:
    message = "Stripe has it as a draft: the customer has not been asked to pay"
    assert found(replace(THEIRS, status="draft")) == [("stuck", message, ("in_1",))]


def test_a_draft_beside_the_finished_invoice_is_stuck_too() -> None:
    kinds = [kind for kind, _, _ in found(THEIRS, replace(THEIRS, stripe_id="in_2", status="draft"))]
    assert kinds == ["stuck"]


def test_an_invoice_that_says_it_is_ours_and_is_not_is_an_orphan() -> None:
    orphan = replace(THEIRS, stripe_id="in_9", invoice_id="inv-9", total_cents=100)
    message = "Stripe has an invoice over $1.00 that says it is ours, and we have no such invoice"
    assert found(THEIRS, orphan) == [("orphaned", message, ("in_9",))]


def test_a_voided_orphan_is_nobodys_business() -> None:
    assert found(THEIRS, replace(THEIRS, invoice_id="inv-9", status="void")) == []


def test_every_discrepancy_says_what_to_do() -> None:
    theirs = [replace(THEIRS, total_cents=1), replace(THEIRS, status="draft"), replace(THEIRS, invoice_id="inv-9")]
    for one in [*reconcile([OURS], []), *reconcile([OURS], [THEIRS, *theirs])]:
        assert one.what_to_do
