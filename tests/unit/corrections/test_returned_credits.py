"""A correction of a final invoice returns amounts to the credits that paid it. September 2026."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import Difference, adjustment_text
from fly_billing.corrections.rules.returned_credits import (
    CreditsUsed,
    credit_differences,
    credit_key,
    thing_of_credit_key,
)
from fly_billing.invoicing.rules.inputs import CreditGrant
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import OCTOBER, SEPTEMBER, at, id_of
from tests.unit.invoicing.steps.invoices_in_progress import credit, invoice_of, item, percent_off


def usage(name: str, amount: str | Decimal, product: str = "Machines") -> InvoiceItem:
    return item(name, amount, price_key=name, product=product)


def invoice(*items: InvoiceItem, by: Sequence[CreditGrant]) -> list[InvoiceItem]:
    """Return the items of a final invoice that these credits paid."""
    invoice = invoice_of(*items, credits=by)
    draw_credits(invoice)
    return invoice.items


def corrected(
    billed: Sequence[InvoiceItem],
    *now: InvoiceItem,
    by: Sequence[CreditGrant],
    **used: Mapping[tuple[UUID, str], Decimal],
) -> list[Difference]:
    return credit_differences(billed, invoice_of(*now), SEPTEMBER, CreditsUsed(by, **used))


def returned_by_credit(found: Sequence[Difference]) -> dict[str, Decimal]:
    """Return the amount that returns to each credit, by its name."""
    amounts: dict[str, Decimal] = defaultdict(Decimal)
    for difference in found:
        amounts[difference.charge.description.split(",")[0]] += difference.amount
    return {name: amount for name, amount in amounts.items() if amount}


@pytest.mark.parametrize(
    ("granted", "corrected_to", "expected"),
    [
        ("100", "10", "90"),  # the credit paid everything: 90 return to it, and no money
        ("100", "0", "100"),
        ("60", "70", "0"),  # 40 were paid in money: 30 of them are returned
        ("60", "60", "0"),
        ("60", "50", "10"),  # 40 in money, 10 in credit
        ("60", "0", "60"),
        ("60", "130", "0"),  # more is owed: the next invoice pays that with its own credits
        ("250", "10", "90"),  # 150 were never drawn
    ],
)
def test_a_credit_is_returned_the_part_that_it_would_not_have_paid(
    granted: str, corrected_to: str, expected: str
) -> None:
    """The invoice was 100.00."""
    by = [credit(granted)]
    billed = invoice(usage("web", "100"), by=by)
    assert returned_by_credit(corrected(billed, usage("web", corrected_to), by=by)) == (
        {"prepaid": Decimal(expected)} if Decimal(expected) else {}
    )


def test_the_credit_drawn_last_is_returned_first() -> None:
    """50 of the first and 30 of the second paid 80 of 100; at 60 the second would have paid 10: 20 return to it."""
    by = [credit("50", "first"), credit("30", "second", priority=1)]
    billed = invoice(usage("web", "100"), by=by)
    assert returned_by_credit(corrected(billed, usage("web", "60"), by=by)) == {"second": Decimal(20)}
    assert returned_by_credit(corrected(billed, usage("web", "20"), by=by)) == {
        "first": Decimal(30),
        "second": Decimal(30),
    }


def test_money_that_paid_another_item_is_returned_first() -> None:
    """60 paid web, 40 for worker were money. Web is zero now: the credit pays worker instead, and 20 return to it."""
    by = [credit("60")]
    billed = invoice(usage("web", "60"), usage("worker", "40"), by=by)
    found = corrected(billed, usage("web", "0"), usage("worker", "40"), by=by)
    assert {difference.charge.key.rsplit("|", 1)[1]: difference.amount for difference in found} == {
        "web": Decimal(60),
        "worker": Decimal(-40),
    }


def test_a_credit_keeps_its_items_while_all_of_it_is_needed() -> None:
    """Web rises by 20: the credit paid 10 of worker, and still does."""
    by = [credit("60")]
    billed = invoice(usage("web", "50"), usage("worker", "50"), by=by)
    assert corrected(billed, usage("web", "70"), usage("worker", "50"), by=by) == []


def test_a_scoped_credit_pays_only_items_of_its_scope() -> None:
    """60 paid Machines, which are zero now; volumes were money, and stay so: all 60 return to it."""
    by = [credit("100", scope=Scope(products=("Machines",)))]
    billed = invoice(usage("web", "60"), usage("disk", "40", "Volumes"), by=by)
    assert returned_by_credit(corrected(billed, usage("web", "0"), usage("disk", "40", "Volumes"), by=by)) == {
        "prepaid": Decimal(60)
    }


def test_an_expired_credit_is_returned_too() -> None:
    by = [credit("100", expires_at=at("2026-09-20"))]
    billed = invoice(usage("web", "100"), by=by)
    assert returned_by_credit(corrected(billed, usage("web", "10"), by=by)) == {"prepaid": Decimal(90)}


def test_a_second_correction_returns_only_the_difference() -> None:
    by = [credit("100")]
    billed = invoice(usage("web", "100"), by=by)
    returned = {(by[0].id, "acme|usage|web"): Decimal(-60)}
    assert returned_by_credit(corrected(billed, usage("web", "10"), by=by, elsewhere=returned)) == {
        "prepaid": Decimal(30)
    }
    assert corrected(billed, usage("web", "40"), by=by, elsewhere=returned) == []
    assert corrected(billed, usage("web", "80"), by=by, elsewhere=returned) == []


def test_a_credits_payment_of_an_earlier_correction_is_returned_too() -> None:
    """100 by credit; 40 more came late, which the credit paid in October; 30 are right in the end: 110 return to it."""
    by = [credit("200")]
    billed = invoice(usage("web", "100"), by=by)
    paid = {(by[0].id, "acme|usage|web"): Decimal(40)}
    assert returned_by_credit(corrected(billed, usage("web", "30"), by=by, elsewhere=paid)) == {"prepaid": Decimal(110)}


def test_a_correction_that_another_credit_paid_returns_to_that_credit() -> None:
    """The first paid 60, 40 were money; the second paid 20 more. At 70 the first pays 60, the second 10: 10 return to
    it.
    """
    by = [credit("60", "first"), credit("50", "second", priority=1)]
    billed = invoice(usage("web", "100"), by=by[:1])
    paid = {(by[1].id, "acme|usage|web"): Decimal(20)}
    assert returned_by_credit(corrected(billed, usage("web", "70"), by=by, elsewhere=paid)) == {"second": Decimal(10)}


def test_a_credits_payment_of_a_fee_in_advance_is_not_returned_with_the_month_that_charged_it() -> None:
    """Usage of 50 and a fee of 29 for October, both by credit: the 50 of usage are returned, and the fee stays
    October's.
    """
    fee = item(
        "support", "29", "subscription", subscription_id=id_of("support"),
        period_start=OCTOBER.start, period_end=OCTOBER.end,
        interval_start=OCTOBER.start, interval_end=OCTOBER.end,
    )  # fmt: skip
    by = [credit("100")]
    billed = invoice(usage("web", "50"), fee, by=by)
    assert returned_by_credit(corrected(billed, usage("web", "0"), fee, by=by)) == {"prepaid": Decimal(50)}


def test_a_credits_payment_of_an_earlier_months_adjustment_is_not_returned_with_this_month() -> None:
    by = [credit("100")]
    billed = invoice(usage("web", "50"), item("August", "20", "adjustment"), by=by)
    assert returned_by_credit(corrected(billed, usage("web", "0"), by=by)) == {"prepaid": Decimal(50)}


def test_a_discount_is_taken_off_before_the_credit_paid() -> None:
    """100 at half price: the credit paid 50. 40 at half price are 20: 30 return to it."""
    by = [credit("100")]
    billed = invoice_of(usage("web", "100"), credits=by, discounts=[percent_off("50")])
    now = invoice_of(usage("web", "40"), discounts=[percent_off("50")])
    for invoice in (billed, now):
        take_discounts(invoice)
    draw_credits(billed)
    assert returned_by_credit(credit_differences(billed.items, now, SEPTEMBER, CreditsUsed(by))) == {
        "prepaid": Decimal(30)
    }


def test_goodwill_on_the_invoice_counts() -> None:
    """10 of usage less 8 of goodwill: 2 were drawn. At 6 the invoice would have been below zero: 2 return to the
    credit.
    """
    by = [credit("100")]
    sorry = item("sorry", "-8", "one_off", one_off_item_id=id_of("sorry"))
    billed = invoice(usage("web", "10"), sorry, by=by)
    assert returned_by_credit(corrected(billed, usage("web", "6"), sorry, by=by)) == {"prepaid": Decimal(2)}
    assert returned_by_credit(corrected(billed, usage("web", "9"), sorry, by=by)) == {"prepaid": Decimal(1)}


def test_credits_keep_their_payment_of_a_month_that_is_below_zero() -> None:
    """10 of usage less 30 of goodwill, and a fee of 29 in advance: 9 to pay. At 5 it is 4: 5 are returned."""
    fee = item(
        "support", "29", "subscription", subscription_id=id_of("support"),
        period_start=OCTOBER.start, period_end=OCTOBER.end,
        interval_start=OCTOBER.start, interval_end=OCTOBER.end,
    )  # fmt: skip
    sorry = item("sorry", "-30", "one_off", one_off_item_id=id_of("sorry"))
    by = [credit("100")]
    billed = invoice(usage("web", "10"), sorry, fee, by=by)
    assert corrected(billed, usage("web", "10"), sorry, fee, by=by) == []
    assert returned_by_credit(corrected(billed, usage("web", "5"), sorry, fee, by=by)) == {"prepaid": Decimal(5)}


def test_an_adjustment_names_the_credit_and_the_item_that_it_paid() -> None:
    by = [credit("100", "Welcome")]
    (found,) = corrected(invoice(usage("web", "100"), by=by), usage("web", "10"), by=by)
    assert adjustment_text(found, SEPTEMBER) == "Credit for 2026-09: Welcome, which had paid web"
    assert (found.charge.credit_grant_id, found.charge.product) == (by[0].id, "Machines")


def test_the_key_of_a_credit_names_the_item_that_it_paid() -> None:
    key = credit_key("acme", id_of("c"), "labs|usage|a|b")
    assert thing_of_credit_key(key) == ("labs|usage|a|b", False)
    assert thing_of_credit_key(credit_key("acme", id_of("c"), "acme|subscription|s", fee=True)) == (
        "acme|subscription|s",
        True,
    )


# --- Any charges and corrections ----------------------------------------------------------------------------

AMOUNTS = st.decimals(0, 200, places=4)
CREDITS = st.lists(
    st.tuples(st.decimals(1, 150, places=2), st.integers(0, 1), st.sampled_from([(), ("Machines",), ("Volumes",)])),
    max_size=3,
).map(
    lambda found: [
        credit(amount, f"c{n}", priority=rank, scope=Scope(kinds=("usage",), products=products))
        for n, (amount, rank, products) in enumerate(found)
    ]
)


def charged(amounts: Sequence[Decimal]) -> list[InvoiceItem]:
    return [usage(f"u{n}", used_amount, "Machines" if n % 2 else "Volumes") for n, used_amount in enumerate(amounts)]


def drawn(items: Sequence[InvoiceItem]) -> dict[UUID, Decimal]:
    return {line.credit_grant_id: -line.amount for line in items if line.credit_grant_id}


@given(st.lists(AMOUNTS, min_size=1, max_size=4), CREDITS, st.data())
def test_corrections_step_by_step_to_zero_restore_every_credit(
    amounts: list[Decimal], by: list[CreditGrant], data: st.DataObject
) -> None:
    """No step returns more to a credit than it paid, or more than the correction returns in total."""
    billed = invoice(*charged(amounts), by=by)
    state: dict[tuple[UUID, str], Decimal] = {}
    returned: dict[UUID, Decimal] = defaultdict(Decimal)
    before: Sequence[Decimal] = amounts
    for corrected_to in [data.draw(st.tuples(*[AMOUNTS for _ in amounts])), tuple(Decimal(0) for _ in amounts)]:
        found = corrected(billed, *charged(corrected_to), by=by, elsewhere=dict(state))
        for difference in found:
            assert difference.charge.credit_grant_id is not None
            at = difference.charge.credit_grant_id, difference.detail["thing"]
            state[at] = state.get(at, Decimal(0)) - difference.amount
            returned[at[0]] += difference.amount
        gives_back = sum((difference.amount for difference in found), Decimal(0))
        assert all(amount >= 0 for amount in returned.values())
        assert gives_back <= sum(max(Decimal(0), was - is_) for was, is_ in zip(before, corrected_to, strict=True))
        assert corrected(billed, *charged(corrected_to), by=by, elsewhere=dict(state)) == []
        before = corrected_to
    assert {grant: amount for grant, amount in returned.items() if amount} == drawn(billed)


@given(st.lists(AMOUNTS, min_size=1, max_size=4), CREDITS)
def test_a_correct_invoice_returns_nothing(amounts: list[Decimal], by: list[CreditGrant]) -> None:
    billed = invoice(*charged(amounts), by=by)
    assert corrected(billed, *charged(amounts), by=by) == []
