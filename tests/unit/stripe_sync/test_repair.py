"""A repair changes nothing that a customer notices without a person's approval, and nothing that is not ours."""

from dataclasses import replace

import pytest

from fly_billing.stripe_sync.rules.reconciliation import ExpectedInvoice, FoundInvoice, reconcile
from fly_billing.stripe_sync.rules.repair_plan import Action, plan_repairs

MARK = (("fly_billing_invoice", "inv-1"), ("month", "2023-06"))
OURS = ExpectedInvoice("inv-1", "acme", "USD", 3545, (("one", 1200), ("two", 2345)), "finalized", "in_1", MARK)
UNSENT = replace(OURS, state=None, stripe_id=None)
THEIRS = FoundInvoice("in_1", "inv-1", "acme", "open", "USD", 3545, OURS.lines, metadata=MARK)
AGAIN = replace(THEIRS, stripe_id="in_2")
PAID_AGAIN = replace(AGAIN, status="paid")
DRAFT = replace(THEIRS, status="draft")

Plan = list[tuple[str, tuple[str, ...], bool]]


def actions(ours: ExpectedInvoice | None, *theirs: FoundInvoice, known: tuple[str, ...] = ()) -> list[Action]:
    return plan_repairs(reconcile([ours] if ours else [], theirs, known))


def plan(ours: ExpectedInvoice | None, *theirs: FoundInvoice, known: tuple[str, ...] = ()) -> Plan:
    """Return the planned actions: (verb, Stripe ids, is safe)."""
    return [(action.verb, action.stripe_ids, action.is_safe) for action in actions(ours, *theirs, known=known)]


def test_an_invoice_that_agrees_needs_no_action() -> None:
    assert plan(OURS, THEIRS) == []


def test_an_invoice_that_stripe_never_had_is_sent() -> None:
    assert plan(UNSENT) == [("send", (), True)]


def test_a_draft_deleted_before_it_was_finalized_is_sent() -> None:
    assert plan(replace(OURS, state="drafted")) == [("send", (), True)]


@pytest.mark.parametrize("theirs", [[], [replace(THEIRS, status="void")]])
def test_an_invoice_voided_in_stripe_is_created_again_only_after_confirmation(theirs: list[FoundInvoice]) -> None:
    assert plan(OURS, *theirs) == [("recreate", (), False)]


@pytest.mark.parametrize("ours", [UNSENT, replace(OURS, state="verified"), OURS])
def test_a_draft_of_ours_is_finalized(ours: ExpectedInvoice) -> None:
    assert plan(ours, DRAFT) == [("finish", ("in_1",), True)]


def test_a_draft_beside_the_finalized_invoice_is_removed() -> None:
    assert plan(OURS, THEIRS, replace(DRAFT, stripe_id="in_2")) == [("remove", ("in_2",), True)]


@pytest.mark.parametrize("order", [[THEIRS, AGAIN], [AGAIN, THEIRS]])
def test_the_journaled_one_of_two_invoices_stays_and_the_other_is_voided_after_confirmation(
    order: list[FoundInvoice],
) -> None:
    assert plan(OURS, *order) == [("void", ("in_2",), False)]


@pytest.mark.parametrize("order", [[THEIRS, PAID_AGAIN], [PAID_AGAIN, THEIRS]])
def test_the_paid_one_of_two_unjournaled_invoices_stays(order: list[FoundInvoice]) -> None:
    assert plan(UNSENT, *order) == [("void", ("in_1",), False)]


def test_the_oldest_of_unjournaled_unpaid_invoices_stays() -> None:
    """Stripe lists the newest first."""
    assert plan(UNSENT, AGAIN, THEIRS) == [("void", ("in_2",), False)]
    assert plan(UNSENT, replace(THEIRS, stripe_id="in_3"), AGAIN, THEIRS) == [("void", ("in_3", "in_2"), False)]


def test_a_person_chooses_the_invoice_that_stays_if_no_journaled_one_is_right() -> None:
    wrong = [replace(THEIRS, total_cents=1), replace(AGAIN, total_cents=2)]
    assert plan(UNSENT, *wrong) == [("leave", ("in_1", "in_2"), False)]


def test_an_amount_paid_twice_is_refunded_manually() -> None:
    assert plan(OURS, THEIRS, PAID_AGAIN) == [("leave", ("in_1", "in_2"), False)]
    assert plan(UNSENT, replace(THEIRS, status="paid"), PAID_AGAIN) == [("leave", ("in_1", "in_2"), False)]


def test_nothing_is_created_while_there_are_two_invoices() -> None:
    assert plan(OURS, replace(THEIRS, total_cents=1), AGAIN) == [("void", ("in_2",), False)]
    paid_twice = [replace(THEIRS, status="paid"), replace(PAID_AGAIN, total_cents=1)]
    assert plan(OURS, *paid_twice) == [("leave", ("in_1", "in_2"), False)]


def test_no_draft_is_finalized_while_there_are_two_invoices() -> None:
    assert plan(UNSENT, replace(DRAFT, stripe_id="in_3"), AGAIN, THEIRS) == [("void", ("in_2",), False)]


def test_an_extra_draft_is_removed_beside_any_other_action_on_its_invoice() -> None:
    assert plan(OURS, replace(THEIRS, total_cents=354500), replace(DRAFT, stripe_id="in_2")) == [
        ("remove", ("in_2",), True),
        ("recreate", ("in_1",), False),
    ]


def test_a_differing_invoice_is_voided_and_created_again_after_confirmation() -> None:
    assert plan(OURS, replace(THEIRS, total_cents=354500)) == [("recreate", ("in_1",), False)]


def test_manually_edited_lines_are_replaced_after_confirmation() -> None:
    assert plan(OURS, replace(THEIRS, lines=(("one", 1300), ("two", 2245)))) == [("recreate", ("in_1",), False)]


@pytest.mark.parametrize("status", ["paid", "uncollectible"])
def test_a_settled_invoice_that_differs_is_never_voided(status: str) -> None:
    assert plan(OURS, replace(THEIRS, total_cents=1, status=status)) == [("leave", ("in_1",), False)]


def test_manually_edited_metadata_is_restored_manually() -> None:
    theirs = replace(THEIRS, metadata=(("fly_billing_invoice", "inv-1"), ("month", "2023-07")))
    (action,) = plan_repairs(reconcile([OURS], [theirs]))
    assert (action.verb, action.sentence) == ("leave", "restore it in Stripe's dashboard: month=2023-06")


@pytest.mark.parametrize("theirs", [replace(THEIRS, total_cents=1), DRAFT])
def test_an_invoice_that_lost_our_metadata_is_never_changed(theirs: FoundInvoice) -> None:
    assert plan(OURS, replace(theirs, metadata=(("month", "2023-06"),))) == [("leave", ("in_1",), False)]


def test_a_draft_with_our_metadata_that_is_not_ours_is_removed() -> None:
    assert plan(None, DRAFT) == [("remove", ("in_1",), True)]


def test_two_drafts_of_one_unknown_invoice_are_both_removed() -> None:
    assert plan(None, DRAFT, replace(DRAFT, stripe_id="in_2")) == [
        ("remove", ("in_1",), True),
        ("remove", ("in_2",), True),
    ]


@pytest.mark.parametrize("status", ["open", "paid", "uncollectible"])
def test_a_finalized_invoice_that_is_not_ours_is_left_to_a_person(status: str) -> None:
    assert plan(None, replace(THEIRS, status=status)) == [("leave", ("in_1",), False)]


def test_each_of_two_finalized_invoices_that_are_not_ours_is_listed() -> None:
    assert plan(None, THEIRS, AGAIN) == [("leave", ("in_1",), False), ("leave", ("in_2",), False)]


def test_a_draft_of_an_invoice_that_is_void_here_is_not_repaired_automatically() -> None:
    assert plan(None, DRAFT, known=("inv-1",)) == [("leave", ("in_1",), False)]


UNMARKED = (("month", "2023-06"),)


@pytest.mark.parametrize(
    ("ours", "theirs", "sentence"),
    [
        (UNSENT, [], "send it, through the sync"),
        (OURS, [], "recreate it: in_1 was voided or deleted in Stripe"),
        (OURS, [replace(THEIRS, status="void")], "recreate it: in_1 was voided or deleted in Stripe"),
        (
            replace(UNSENT, state="needs_attention"),
            [replace(THEIRS, status="void"), replace(AGAIN, status="void")],
            "recreate it: in_1, in_2 were voided or deleted in Stripe",
        ),
        (UNSENT, [DRAFT], "finish it, through the sync"),
        (OURS, [THEIRS, replace(DRAFT, stripe_id="in_2")], "remove the draft: our journal has in_1"),
        (
            OURS,
            [replace(DRAFT, metadata=UNMARKED)],
            "its metadata fly_billing_invoice is gone: restore it in Stripe",
        ),
        (OURS, [AGAIN, THEIRS, replace(THEIRS, stripe_id="in_3")], "void in_2, in_3, keep in_1"),
        (
            OURS,
            [THEIRS, AGAIN, replace(PAID_AGAIN, stripe_id="in_3"), replace(PAID_AGAIN, stripe_id="in_4")],
            "void in_2, keep in_1; in_3 is paid, in_4 is paid: refund it manually",
        ),
        (
            OURS,
            [THEIRS, PAID_AGAIN],
            "in_2 is paid: refund it or issue a credit note in Stripe; keep in_1",
        ),
        (
            UNSENT,
            [replace(THEIRS, status="paid"), PAID_AGAIN],
            "several are paid, or none matches: decide manually which one to keep",
        ),
        (OURS, [replace(THEIRS, total_cents=1)], "void in_1 and recreate it"),
        (
            OURS,
            [replace(THEIRS, total_cents=1, status="paid")],
            "it is paid, so it is not voided: settle the difference manually, with a credit note",
        ),
        (
            OURS,
            [replace(THEIRS, total_cents=1, metadata=UNMARKED)],
            "its metadata fly_billing_invoice is gone, so it is not voided:"
            " settle the difference manually, with a credit note",
        ),
        (None, [DRAFT], "remove the draft: it is marked as ours, but we have no such invoice"),
        (None, [THEIRS], "find out who made it; delete the draft or void it in Stripe"),
    ],
)
def test_a_confirmation_shows_the_planned_action(
    ours: ExpectedInvoice | None, theirs: list[FoundInvoice], sentence: str
) -> None:
    assert [action.sentence for action in actions(ours, *theirs)] == [sentence]


@pytest.mark.parametrize(
    ("theirs", "kind", "kept"),
    [
        ([THEIRS, AGAIN], "duplicate", "in_1"),
        ([THEIRS, replace(DRAFT, stripe_id="in_2")], "stuck", "in_1"),
        ([replace(THEIRS, total_cents=1)], "differing", None),
    ],
)
def test_an_action_names_its_invoice_and_the_invoice_that_stays(
    theirs: list[FoundInvoice], kind: str, kept: str | None
) -> None:
    (discrepancy,) = reconcile([OURS], theirs)
    (action,) = plan_repairs([discrepancy])
    assert (action.kind, action.organization_id, action.invoice_id) == (kind, "acme", "inv-1")
    assert (action.kept_id, action.discrepancy) == (kept, discrepancy)
