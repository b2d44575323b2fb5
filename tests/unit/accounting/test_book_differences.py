"""Differences of the books add up without their signs, and only differences with Stripe can be accepted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fly_billing.accounting.rules.book_differences import BookDifferences
from fly_billing.ledger.rules.owed_and_asked import BALANCE, FOREIGN, TRIAL, AskedDifference
from fly_billing.periods import BillingMonth

OCTOBER = BillingMonth(2026, 10)


def asked(
    here: int, there: int, kind: str = FOREIGN, organization: str = "acme", currency: str = "USD"
) -> AskedDifference:
    return AskedDifference(kind, organization, currency, here, there, "it differs", "fix it")


def test_no_difference_hides_another_one() -> None:
    """acme owes 9.00 that nobody asks for, and Stripe asks labs for 9.00 that it does not owe: 18.00, and not 0.00."""
    found = BookDifferences.of(
        OCTOBER, [], [asked(900, 0), asked(0, 900, organization="labs"), asked(0, -500, BALANCE, currency="JPY")]
    )
    assert found.sums == {"JPY": 500, "USD": 1800}
    assert found.to_accept == f"JPY=500, USD=18.00 #{found.code}"


@pytest.mark.parametrize(
    "other",
    [
        asked(0, 900, organization="labs"),  # another customer
        asked(900, 0),  # owed here and not asked for
        asked(0, 900, BALANCE),  # another cause
        replace(asked(0, 900), stripe_invoice_id="in_2"),  # another invoice
    ],
)
def test_another_difference_of_the_same_size_is_not_the_accepted_one(other: AskedDifference) -> None:
    """9.00 were accepted. They were fixed since, and 9.00 differ somewhere else."""
    seen, now = BookDifferences.of(OCTOBER, [], [asked(0, 900)]), BookDifferences.of(OCTOBER, [], [other])
    assert seen.sums == now.sums
    assert seen.why_not_accepted(seen.sums, seen.code) is None
    problem = now.why_not_accepted(seen.sums, seen.code)
    assert problem == f"the differences with Stripe are USD=9.00 #{now.code}: only exactly these can be accepted"


def test_a_difference_keeps_its_code_while_other_invoices_come_and_are_paid() -> None:
    """labs owes 50.00 and is asked for 59.00; a week later 20.00 and 29.00: the same 9.00. The order says nothing."""
    first, second, later = asked(0, 900), asked(5000, 5900, organization="labs"), asked(2000, 2900, organization="labs")
    codes = {BookDifferences.of(OCTOBER, [], each).code for each in ([first, second], [second, first], [later, first])}
    assert len(codes) == 1


@pytest.mark.parametrize(
    ("accepted", "problem"),
    [
        ({"USD": 900}, None),
        ({"USD": 901}, "the differences with Stripe are USD=9.00 #CODE: only exactly these can be accepted"),
        ({"USD": 900, "EUR": 1}, "the differences with Stripe are USD=9.00 #CODE: only exactly these can be accepted"),
        ({}, "the differences with Stripe are USD=9.00 #CODE: only exactly these can be accepted"),
    ],
)
def test_exactly_the_differences_can_be_accepted(accepted: dict[str, int], problem: str | None) -> None:
    found = BookDifferences.of(OCTOBER, [], [asked(0, 900)])
    assert found.why_not_accepted(accepted, found.code) == (problem and problem.replace("CODE", found.code))


def test_accounts_that_do_not_add_up_to_zero_are_the_ledgers_own_fault() -> None:
    found = BookDifferences.of(OCTOBER, [], [asked(5, 0, TRIAL)])
    assert found.sums == {}
    assert (
        found.why_not_accepted({"USD": 5}, found.code)
        == "the ledger differs from its own sources, which can't be accepted"
    )
    assert "--accept" not in found.refusal("2026-10 can't be closed")


def test_a_refusal_names_five_differences_and_counts_the_others() -> None:
    found = BookDifferences.of(OCTOBER, [], [asked(0, 100, organization=f"org{number}") for number in range(7)])
    lines = found.refusal("2026-10 can't be closed").splitlines()
    assert lines[0] == "2026-10 can't be closed while the books differ (7 differences):"
    assert lines[1] == "- org0: it differs: $0.00 here, $1.00 in Stripe (fix it)"
    assert (len(lines), lines[6]) == (
        8,
        "- and 2 more; `fly-billing reconcile 2026-10` lists all differences with Stripe",
    )
    assert f'--accept "USD=7.00 #{found.code}" --why REASON' in lines[7]


def test_books_without_differences_are_false() -> None:
    assert not BookDifferences.of(OCTOBER, [], [])
