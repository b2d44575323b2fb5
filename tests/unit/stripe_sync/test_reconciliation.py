"""Reconciliation finds and names every kind of difference between Stripe and our invoices, with the fix."""

from dataclasses import replace

import pytest

from fly_billing.stripe_sync.rules.reconciliation import (
    ExpectedInvoice,
    FoundInvoice,
    LineDifference,
    agree_at_a_glance,
    reconcile,
)

OURS = ExpectedInvoice("inv-1", "acme", "USD", 3545, (("one", 1200), ("two", 2345)))
SETTLED = replace(OURS, state="finalized", stripe_id="in_1")
THEIRS = FoundInvoice("in_1", "inv-1", "acme", "open", "USD", 3545, (("one", 1200), ("two", 2345)))
VOIDED = replace(THEIRS, status="void")
ORPHAN = replace(THEIRS, stripe_id="in_9", invoice_id="inv-9", organization_id="bolt", total_cents=100)


def found(*theirs: FoundInvoice) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(difference.kind, difference.message, difference.stripe_ids) for difference in reconcile([OURS], theirs)]


@pytest.mark.parametrize("status", ["open", "paid", "uncollectible"])
def test_an_equal_invoice_is_in_order_in_any_payment_state(status: str) -> None:
    assert found(replace(THEIRS, status=status)) == []


def test_a_total_of_half_a_krona_is_reported_with_its_hundredths() -> None:
    """Stripe writes ISK with two decimals: 3545.50 kronur are not our 3545."""
    ours = replace(OURS, currency="ISK")
    (difference,) = reconcile([ours], [replace(THEIRS, currency="ISK", odd=50)])
    assert (difference.kind, difference.message) == (
        "differing",
        "total ISK 3,545 and 50/100 in Stripe, ISK 3,545 here",
    )


def test_the_order_of_lines_in_stripe_does_not_matter() -> None:
    assert found(replace(THEIRS, lines=(("two", 2345), ("one", 1200)))) == []


def test_an_invoice_that_is_not_in_stripe_is_missing() -> None:
    assert found() == [("missing", "$35.45 was billed, Stripe has no invoice", ())]


def test_a_voided_invoice_does_not_count() -> None:
    assert found(VOIDED) == [("missing", "$35.45 was billed, Stripe has no invoice", ())]
    assert found(THEIRS, replace(VOIDED, stripe_id="in_0")) == []


SEND = "sync the month again or run `fly-billing repair`: both send it"
ASK = "was that intended? If so, void it here too; if not, `fly-billing repair` recreates it after asking"


@pytest.mark.parametrize(
    ("ours", "theirs", "how", "what_to_do", "taken_back"),
    [
        (OURS, [], "", SEND, ()),
        (OURS, [VOIDED], "", SEND, ()),
        (replace(SETTLED, state="drafted"), [], ": in_1 of ours was deleted there", SEND, ()),
        (SETTLED, [], ": in_1 of ours was deleted there", ASK, ()),
        (SETTLED, [VOIDED], ": in_1 of ours was voided there", ASK, ("in_1",)),
        (
            replace(OURS, state="needs_attention"),
            [VOIDED],
            ": in_1, which our journal does not know, was voided there",
            ASK,
            ("in_1",),
        ),
        (
            replace(OURS, state="verified", stripe_id="in_2"),  # created again, after we had voided in_1
            [VOIDED, replace(VOIDED, stripe_id="in_2")],
            ": in_2 of ours was voided there",
            ASK,
            ("in_2",),
        ),
    ],
)
def test_a_missing_invoice_gives_the_cause_and_if_it_may_be_sent_again(
    ours: ExpectedInvoice, theirs: list[FoundInvoice], how: str, what_to_do: str, taken_back: tuple[str, ...]
) -> None:
    """An invoice that a person voided in Stripe is not sent again automatically: the customer knows that it
    is not owed.
    """
    (difference,) = reconcile([ours], theirs)
    assert (difference.kind, difference.message) == ("missing", f"$35.45 was billed, Stripe has no invoice{how}")
    assert (difference.what_to_do, difference.stripe_ids) == (what_to_do, taken_back)


def test_two_invoices_in_stripe_for_one_of_ours_are_a_duplicate() -> None:
    again = replace(THEIRS, stripe_id="in_2", status="paid")
    message = "Stripe has 2 invoices for this one: the customer is asked to pay 2 times"
    assert found(THEIRS, again) == [("duplicate", message, ("in_1", "in_2"))]


def test_a_different_total_is_shown_with_both_amounts() -> None:
    theirs = replace(THEIRS, total_cents=354500)
    assert found(theirs) == [("differing", "total $3,545.00 in Stripe, $35.45 here", ("in_1",))]


def test_the_same_number_in_another_currency_differs() -> None:
    assert found(replace(THEIRS, currency="JPY")) == [("differing", "currency JPY in Stripe, USD here", ("in_1",))]


def test_an_extra_line_is_a_difference_even_if_the_total_is_right() -> None:
    theirs = replace(THEIRS, lines=(*THEIRS.lines, ("three", 0)))
    assert found(theirs) == [("differing", "3 lines in Stripe, 2 here", ("in_1",))]


def test_different_lines_with_the_same_total_are_found() -> None:
    theirs = replace(THEIRS, lines=(("one", 1300), ("two", 2245)))
    assert found(theirs) == [("differing", "differs in 2 lines, first item one", ("in_1",))]


def test_a_line_that_replaces_another_is_a_difference() -> None:
    ours = replace(OURS, total_cents=2400, lines=(("one", 1200), ("two", 1200)))
    theirs = replace(THEIRS, total_cents=2400, lines=(("one", 1200), ("one", 1200)))
    assert [difference.message for difference in reconcile([ours], [theirs])] == ["differs in 1 line, first item two"]


def test_each_different_line_is_listed_with_the_cents_of_both_sides() -> None:
    """$12.00 + $23.45 were edited to $13.00 + $22.45, the second as a separate line."""
    theirs = replace(THEIRS, lines=(("one", 1300), ("three", 2245)))
    (difference,) = reconcile([OURS], [theirs])
    assert difference.lines == (
        LineDifference("one", 1200, 1300),
        LineDifference("three", None, 2245),
        LineDifference("two", 2345, None),
    )


def test_a_line_that_is_equal_on_both_sides_is_not_listed() -> None:
    theirs = replace(THEIRS, lines=(("one", 1200), ("three", 2345)))
    (difference,) = reconcile([OURS], [theirs])
    assert difference.lines == (LineDifference("three", None, 2345), LineDifference("two", 2345, None))


def test_lines_that_were_not_read_are_only_counted() -> None:
    assert found(replace(THEIRS, lines=(), unread_lines=2)) == []
    assert found(replace(THEIRS, lines=(), unread_lines=3)) == [("differing", "3 lines in Stripe, 2 here", ("in_1",))]


@pytest.mark.parametrize(
    ("theirs", "agree"),
    [
        (THEIRS, True),
        (replace(THEIRS, lines=(), unread_lines=2), True),
        (replace(THEIRS, lines=(), unread_lines=3), False),
        (replace(THEIRS, total_cents=3546), False),
        (replace(THEIRS, currency="EUR"), False),
    ],
)
def test_lines_are_only_read_if_currency_total_or_their_number_differ(theirs: FoundInvoice, agree: bool) -> None:
    assert agree_at_a_glance(OURS, theirs) is agree


@pytest.mark.parametrize(
    ("ours", "kind"),
    [
        (SETTLED, "edited"),
        (replace(SETTLED, state="verified"), "edited"),
        (replace(SETTLED, state="drafted"), "differing"),  # perhaps our own interrupted sync
        (replace(SETTLED, stripe_id="in_0"), "differing"),  # not the correct one
    ],
)
def test_different_lines_of_a_correctly_synced_invoice_were_edited_later(ours: ExpectedInvoice, kind: str) -> None:
    theirs = replace(THEIRS, lines=(("one", 1300), ("two", 2245)))
    assert [difference.kind for difference in reconcile([ours], [theirs])] == [kind]


MARKED = replace(SETTLED, metadata=(("fly_billing_invoice", "inv-1"), ("month", "2023-06"), ("organization", "acme")))


def test_changed_metadata_is_listed_by_name_with_its_old_value() -> None:
    theirs = replace(THEIRS, metadata=(("fly_billing_invoice", "inv-1"), ("month", "2023-07"), ("note", "called them")))
    (difference,) = reconcile([MARKED], [theirs])
    assert (difference.kind, difference.stripe_ids) == ("edited", ("in_1",))
    assert difference.message == "metadata: month is 2023-07, not 2023-06, organization is gone, not acme"
    assert difference.what_to_do == "restore it in Stripe's dashboard: month=2023-06, organization=acme"


def test_metadata_is_compared_only_if_it_was_read_and_had_been_right() -> None:
    assert reconcile([MARKED], [replace(THEIRS, metadata=None)]) == []
    assert reconcile([replace(MARKED, state="drafted")], [replace(THEIRS, metadata=(("month", "2023-07"),))]) == []


def test_a_draft_is_stuck_and_not_missing() -> None:
    message = "Stripe has it as a draft: the customer has not been asked to pay"
    assert found(replace(THEIRS, status="draft")) == [("stuck", message, ("in_1",))]


def test_a_draft_beside_the_finalized_invoice_is_stuck_too() -> None:
    kinds = [kind for kind, _, _ in found(THEIRS, replace(THEIRS, stripe_id="in_2", status="draft"))]
    assert kinds == ["stuck"]


def test_an_invoice_with_our_mark_that_is_not_ours_is_an_orphan() -> None:
    message = "Stripe has an invoice over $1.00 that is marked as ours, but we have no such invoice"
    assert found(THEIRS, ORPHAN) == [("orphaned", message, ("in_9",))]


def test_an_invoice_that_is_void_only_here_is_a_known_orphan() -> None:
    (difference,) = reconcile([OURS], [THEIRS, ORPHAN], known=["inv-9"])
    message = "Stripe has an invoice over $1.00 that is marked as ours, but Stripe should not have it"
    assert (difference.kind, difference.message, difference.is_known_here) == ("orphaned", message, True)


def test_a_voided_orphan_is_ignored() -> None:
    assert found(THEIRS, replace(THEIRS, invoice_id="inv-9", status="void")) == []


RECREATE = "find out who changed it; `fly-billing repair` voids it and recreates it after asking"
REMOVE_MANUALLY = "find out who made it; delete the draft or void it in Stripe"


@pytest.mark.parametrize(
    ("theirs", "kind", "what_to_do"),
    [
        (
            [THEIRS, replace(THEIRS, stripe_id="in_2")],
            "duplicate",
            "`fly-billing repair` keeps the one in our journal and voids the others after asking; refund what was"
            " paid twice",
        ),
        (
            [replace(THEIRS, status="draft")],
            "stuck",
            "`fly-billing repair` finishes it, or removes it if there is another one",
        ),
        ([replace(THEIRS, total_cents=1)], "differing", RECREATE),
        ([replace(THEIRS, lines=THEIRS.lines[:1])], "differing", RECREATE),
    ],
)
def test_every_discrepancy_names_its_organization_and_the_fix(
    theirs: list[FoundInvoice], kind: str, what_to_do: str
) -> None:
    (difference,) = reconcile([OURS], theirs)
    assert (difference.kind, difference.what_to_do) == (kind, what_to_do)
    assert (difference.organization_id, difference.invoice_id) == ("acme", "inv-1")


@pytest.mark.parametrize(
    ("status", "known", "what_to_do"),
    [
        ("draft", (), "`fly-billing repair` removes the draft"),
        ("draft", ("inv-9",), REMOVE_MANUALLY),
        ("open", (), REMOVE_MANUALLY),
        ("paid", (), REMOVE_MANUALLY),
    ],
)
def test_only_an_orphaned_draft_of_an_unknown_invoice_is_removed(
    status: str, known: tuple[str, ...], what_to_do: str
) -> None:
    (difference,) = reconcile([OURS], [THEIRS, replace(ORPHAN, status=status)], known)
    assert (difference.kind, difference.what_to_do) == ("orphaned", what_to_do)
    assert (difference.organization_id, difference.invoice_id) == ("bolt", "inv-9")
