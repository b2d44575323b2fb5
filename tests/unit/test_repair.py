"""What is done about each disagreement: nothing that a customer notices without a human's word, nothing not ours."""

from dataclasses import replace

import pytest

from fly_billing.domain.reconciliation import ExpectedInvoice, FoundInvoice, reconcile
from fly_billing.domain.repair import plan_repairs

MARK = (("fly_billing_invoice", "inv-1"), ("month", "2023-06"))
OURS = ExpectedInvoice("inv-1", "acme", "USD", 3545, (("one", 1200), ("two", 2345)), "finalized", "in_1", MARK)
UNSENT = replace(OURS, state=None, stripe_id=None)
THEIRS = FoundInvoice("in_1", "inv-1", "acme", "open", "USD", 3545, OURS.lines, metadata=MARK)
AGAIN = replace(THEIRS, stripe_id="in_2")
DRAFT = replace(THEIRS, status="draft")

Plan = list[tuple[str, tuple[str, ...], bool]]


def plan(ours: ExpectedInvoice | None, *theirs: FoundInvoice, known: tuple[str, ...] = ()) -> Plan:
    """Return what is to be done: (verb, Stripe ids, whether it is safe)."""
    discrepancies = reconcile([ours] if ours else [], theirs, known)
    return [(one.verb, one.stripe_ids, one.is_safe) for one in plan_repairs(discrepancies)]


def test_where_both_sides_agree_there_is_nothing_to_do() -> None:
    assert plan(OURS, THEIRS) == []


def test_what_stripe_never_had_is_sent() -> None:
    assert plan(UNSENT) == [("send", (), True)]


def test_a_draft_deleted_before_it_was_finished_is_sent() -> None:
    assert plan(replace(OURS, state="drafted")) == [("send", (), True)]


@pytest.mark.parametrize("theirs", [[], [replace(THEIRS, status="void")]])
def test_what_somebody_took_back_in_stripe_is_made_anew_only_when_a_human_says_so(theirs: list[FoundInvoice]) -> None:
    assert plan(OURS, *theirs) == [("make anew", (), False)]


@pytest.mark.parametrize("ours", [UNSENT, replace(OURS, state="verified"), OURS])
def test_a_draft_of_ours_is_finished(ours: ExpectedInvoice) -> None:
    assert plan(ours, DRAFT) == [("finish", ("in_1",), True)]


def test_a_draft_beside_the_finished_invoice_is_removed() -> None:
    assert plan(OURS, THEIRS, replace(DRAFT, stripe_id="in_2")) == [("remove", ("in_2",), True)]


@pytest.mark.parametrize("order", [[THEIRS, AGAIN], [AGAIN, THEIRS]])
def test_of_two_invoices_the_one_in_our_journal_stays_and_the_other_is_voided_when_a_human_says_so(
    order: list[FoundInvoice],
) -> None:
    assert plan(OURS, *order) == [("void", ("in_2",), False)]


def test_without_one_in_our_journal_the_paid_invoice_stays() -> None:
    assert plan(UNSENT, THEIRS, replace(AGAIN, status="paid")) == [("void", ("in_1",), False)]


def test_without_one_in_our_journal_and_none_paid_the_oldest_stays() -> None:
    assert plan(UNSENT, AGAIN, THEIRS) == [("void", ("in_2",), False)]


def test_money_that_came_in_twice_is_paid_back_by_hand() -> None:
    assert plan(OURS, THEIRS, replace(AGAIN, status="paid")) == [("leave", ("in_1", "in_2"), False)]
    assert plan(UNSENT, replace(THEIRS, status="paid"), replace(AGAIN, status="paid")) == [
        ("leave", ("in_1", "in_2"), False)
    ]


def test_as_long_as_there_are_two_nothing_is_made_anew() -> None:
    assert plan(OURS, replace(THEIRS, total_cents=1), AGAIN) == [("void", ("in_2",), False)]
    paid_twice = [replace(THEIRS, status="paid"), replace(AGAIN, status="paid", total_cents=1)]
    assert plan(OURS, *paid_twice) == [("leave", ("in_1", "in_2"), False)]


def test_an_invoice_that_differs_is_voided_and_made_anew_when_a_human_says_so() -> None:
    assert plan(OURS, replace(THEIRS, total_cents=354500)) == [("make anew", ("in_1",), False)]


def test_lines_edited_by_hand_are_made_anew_when_a_human_says_so() -> None:
    assert plan(OURS, replace(THEIRS, lines=(("one", 1300), ("two", 2245)))) == [("make anew", ("in_1",), False)]


@pytest.mark.parametrize("status", ["paid", "uncollectible"])
def test_what_differs_and_is_settled_is_never_voided(status: str) -> None:
    assert plan(OURS, replace(THEIRS, total_cents=1, status=status)) == [("leave", ("in_1",), False)]


def test_metadata_edited_by_hand_is_written_back_by_hand() -> None:
    theirs = replace(THEIRS, metadata=(("fly_billing_invoice", "inv-1"), ("month", "2023-07")))
    (action,) = plan_repairs(reconcile([OURS], [theirs]))
    assert (action.verb, action.sentence) == ("leave", "write it back in Stripe's dashboard: month=2023-06")


@pytest.mark.parametrize("theirs", [replace(THEIRS, total_cents=1), DRAFT])
def test_what_lost_our_mark_is_never_touched(theirs: FoundInvoice) -> None:
    assert plan(OURS, replace(theirs, metadata=(("month", "2023-06"),))) == [("leave", ("in_1",), False)]


def test_a_draft_that_says_it_is_ours_and_is_not_is_removed() -> None:
    assert plan(None, DRAFT) == [("remove", ("in_1",), True)]


def test_two_drafts_of_one_unknown_invoice_are_both_removed() -> None:
    assert plan(None, DRAFT, replace(DRAFT, stripe_id="in_2")) == [
        ("remove", ("in_1",), True),
        ("remove", ("in_2",), True),
    ]


@pytest.mark.parametrize("status", ["open", "paid", "uncollectible"])
def test_a_finished_invoice_that_is_none_of_ours_is_left_for_a_human(status: str) -> None:
    assert plan(None, replace(THEIRS, status=status)) == [("leave", ("in_1",), False)]


def test_a_draft_of_an_invoice_that_is_void_at_home_is_left_for_a_human() -> None:
    assert plan(None, DRAFT, known=("inv-1",)) == [("leave", ("in_1",), False)]
