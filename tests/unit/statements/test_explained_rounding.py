"""An item's cents are explained with the numbers that determined them, and equal the invoice's."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import exact_sum, share_out_cents, to_cents
from fly_billing.statements.rules.rounding import Rounding, explain_rounding
from tests.unit.invoicing.steps.invoices_in_progress import item


def items_of(*amounts: str | Decimal) -> list[InvoiceItem]:
    return [item(f"item {n}", amount) for n, amount in enumerate(amounts, start=1)]


def rounded(*amounts: str, number: int = 1, currency: str = "USD") -> Rounding:
    items = items_of(*amounts)
    return explain_rounding(items, currency)[items[number - 1].id]


def in_order(items: list[InvoiceItem], currency: str = "USD") -> list[Rounding]:
    events = explain_rounding(items, currency)
    return [events[line.id] for line in items]


def test_the_odd_cent_goes_to_the_largest_remainder_and_is_explained() -> None:
    """0.104 + 0.106 + 0.107 = 0.317: 32 cents, 30 of them whole; the 2 left go to 0.7 and 0.6 of a cent."""
    shared = in_order(items_of("0.104", "0.106", "0.107"))
    assert [(share.cents, share.rank) for share in shared] == [(10, 3), (11, 2), (11, 1)]
    assert rounded("0.104", "0.106", "0.107", number=2).sentence == (
        "The exact amounts of all 3 items total 0.317, which is rounded once to $0.32. Rounded down one by one, the"
        " items total $0.30, so 2 cents go to the largest remainders. This item is $0.10 plus 0.6 of a cent, the"
        " remainder ranked 2 by size, so it gets one cent more."
    )


def test_an_item_whose_cents_differ_from_its_own_rounding_gives_the_reason() -> None:
    """Three times 0.106 is 0.318: 32 cents. The last of equal remainders gets nothing."""
    last = rounded("0.106", "0.106", "0.106", number=3)
    assert (last.cents, last.own_cents, last.rank, last.left_over) == (10, 11, 3, 2)
    assert last.sentence.endswith(
        "This item is $0.10 plus 0.6 of a cent, the remainder ranked 3 by size, so it gets no cent more. Rounded alone"
        " it would be $0.11, but then the items would not add up to the total."
    )


@pytest.mark.parametrize(
    ("amounts", "currency", "sentence"),
    [
        (("1.25", "0.001"), "USD", "The amount is exactly $1.25: nothing to round."),
        (("-3", "0.4"), "JPY", "The amount is exactly -JPY 3: nothing to round."),
        (
            ("0.0046",),
            "USD",
            "This is the only item: 0.0046 is rounded half-up to $0.00.",
        ),
    ],
)
def test_an_amount_without_shared_cents_is_explained(amounts: tuple[str, ...], currency: str, sentence: str) -> None:
    assert rounded(*amounts, currency=currency).sentence == sentence


def test_a_credit_is_rounded_away_from_zero_and_shares_cents_like_any_item() -> None:
    """-1.005 is -101 cents and half a cent; 18.695 in total is 1870 cents, one more than the whole ones."""
    refund = rounded("19.70", "-1.005", number=2)
    assert (refund.cents, refund.own_cents, refund.remainder) == (-100, -101, Decimal("0.5"))
    assert "This item is -$1.01 plus 0.5 of a cent" in refund.sentence


def test_a_tax_is_rounded_separately_and_takes_no_cent_from_the_items() -> None:
    """0.104 + 0.107 = 0.211: 21 cents, and 1 cent of tax."""
    tax = item("VAT", "0.01", kind="tax")
    items = [*items_of("0.104", "0.107"), tax]
    assert [share.cents for share in in_order(items)] == [10, 11, 1]
    assert in_order(items)[2].as_data() == {
        "exact_amount": "0.01",
        "amount_cents": 1,
        "own_rounding_cents": 1,
        "remainder": "0",
        "rank_of_remainder": 1,
        "cents_left_over": 0,
        "sentence": "Each tax is rounded by itself, once per rate and invoice.",
    }


def test_a_long_remainder_is_shortened_in_the_sentence_and_complete_in_the_data() -> None:
    found = rounded("0.00123456789", "5")
    assert "0.123456… of a cent" in found.sentence
    assert found.as_data() == {
        "exact_amount": "0.00123456789",
        "amount_cents": 0,
        "own_rounding_cents": 0,
        "remainder": "0.123456789",
        "rank_of_remainder": 1,
        "cents_left_over": 0,
        "sentence": found.sentence,
    }


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.00123", "0.123 of a cent"),
        ("0.00123456", "0.123456 of a cent"),
        ("0.001234567", "0.123456… of a cent"),
    ],
)
def test_a_remainder_is_shortened_only_if_it_has_more_than_six_digits(amount: str, text: str) -> None:
    assert f"$0.00 plus {text}" in rounded(amount, "5").sentence


def test_a_remainder_of_yen_is_explained_in_yen() -> None:
    """3.4 + 2.3 = 5.7: 6 yen, 5 of them whole."""
    assert rounded("3.4", "2.3", currency="JPY").sentence == (
        "The exact amounts of all 2 items total 5.7, which is rounded once to JPY 6. Rounded down one by one, the items"
        " total JPY 5, so 1 smallest unit of JPY goes to the largest remainders. This item is JPY 3 plus 0.4 of a"
        " smallest unit of JPY, the remainder ranked 1 by size, so it gets one smallest unit of JPY more. Rounded alone"
        " it would be JPY 3, but then the items would not add up to the total."
    )


def test_a_large_amount_keeps_every_digit_of_its_remainder() -> None:
    """29 digits: more than a decimal context keeps by default."""
    found = rounded("123456789.12345678901234567891", "5")
    assert (found.cents, found.remainder) == (12_345_678_912, Decimal("0.345678901234567891"))


@given(
    st.lists(st.decimals(-100, 100, places=6), min_size=1, max_size=12),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_the_explained_cents_are_those_of_the_invoice_and_add_up_to_its_total(
    amounts: list[Decimal], currency: str
) -> None:
    items = items_of(*amounts)
    cents = [share.cents for share in in_order(items, currency)]
    assert cents == share_out_cents(amounts, currency)
    assert sum(cents) == to_cents(exact_sum(amounts), currency)


@given(st.lists(st.decimals(-100, 100, places=4), min_size=2, max_size=8))
def test_the_rank_decides_which_items_get_an_extra_cent(amounts: list[Decimal]) -> None:
    """An item gets one if its rank is within the left-over cents; equal amounts rank in the invoice's order."""
    items = items_of(*amounts)
    found = in_order(items)
    assert sorted(share.rank for share in found) == list(range(1, len(items) + 1))
    for share in found:
        whole = (share.amount * 100 - share.remainder).to_integral_exact()
        assert share.cents == whole + (1 if share.rank <= share.left_over else 0)
