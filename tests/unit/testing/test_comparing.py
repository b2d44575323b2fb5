"""A difference names the item, the expected and the actual value; a wrong amount is not a missing and an extra item."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.testing.rules.comparing import compare_cents, compare_items, compare_values

REQUESTS = {
    "description": "HTTP requests", "price": "requests", "kind": "usage", "quantity": Decimal(1500000),
    "amount": Decimal("2.50"), "cents": 250,
}  # fmt: skip
SUPPORT = {
    "description": "Support plan", "price": "support", "kind": "subscription", "quantity": Decimal(1),
    "amount": Decimal(29), "cents": 2900,
}  # fmt: skip


def differences(*expected: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one.item, one.expected, one.actual) for one in compare_items("acme", expected, [REQUESTS, SUPPORT])]


def test_items_agree_in_any_order_and_with_any_of_their_fields() -> None:
    assert differences({"cents": 2900}, {"price": "requests", "amount": Decimal("2.500")}) == []


def test_a_wrong_amount_is_a_difference_of_that_item() -> None:
    assert differences({"price": "support", "amount": Decimal(39), "cents": 3900}, {"price": "requests"}) == [
        ("acme: Support plan: amount", "39", "29"),
        ("acme: Support plan: cents", "3900", "2900"),
    ]


def test_an_item_without_a_counterpart_is_missing() -> None:
    assert differences({"price": "requests"}, {"price": "support"}, {"price": "egress", "cents": 5}) == [
        ("acme: egress", "cents 5", "none")
    ]


def test_an_item_that_is_not_expected_is_named_with_its_amount() -> None:
    assert differences({"price": "requests"}) == [("acme: Support plan", "none", "quantity 1, amount 29, cents 2900")]


def test_two_equal_items_are_expected_twice() -> None:
    twice = compare_items("acme", [{"price": "support"}], [SUPPORT, SUPPORT])
    assert [one.expected for one in twice] == ["none"]


def test_an_item_is_compared_with_the_most_similar_one() -> None:
    """Both have the price support; the quantity differs."""
    two = {**SUPPORT, "quantity": Decimal(2), "amount": Decimal(58), "cents": 5800}
    expected = [{"price": "support", "quantity": Decimal(2), "cents": 5900}, {"price": "support", "cents": 2900}]
    (only,) = compare_items("acme", expected, [SUPPORT, two])
    assert (only.item, only.expected, only.actual) == ("acme: Support plan: cents", "5900", "5800")


def test_an_item_that_names_fewer_fields_leaves_the_others_to_those_that_name_more() -> None:
    other = {**SUPPORT, "cents": 1450}
    assert compare_items("acme", [{"price": "support"}, {"price": "support", "cents": 2900}], [SUPPORT, other]) == []


def test_amounts_are_shown_for_people_and_as_the_case_has_them() -> None:
    (only,) = compare_cents("acme 2026-10", 3150, 4150, "USD")
    assert (only.expected, only.actual) == ("$31.50 (3150)", "$41.50 (4150)")
    assert compare_cents("acme 2026-10", 3150, 3150, "USD") == []


def test_a_name_that_only_one_side_has_is_a_difference() -> None:
    found = compare_values({"acme": "no_price"}, {"labs": "no_price"})
    assert [(one.item, one.expected, one.actual) for one in found] == [
        ("acme", "no_price", "none"),
        ("labs", "none", "no_price"),
    ]


ITEMS = st.lists(st.fixed_dictionaries({"price": st.sampled_from("abc"), "cents": st.integers(0, 3)}), max_size=5)


@given(ITEMS, ITEMS)
def test_items_agree_exactly_if_both_sides_have_the_same_items(
    expected: list[dict[str, Any]], actual: list[dict[str, Any]]
) -> None:
    def order(item: dict[str, Any]) -> tuple[str, int]:
        return item["price"], item["cents"]

    assert (compare_items("acme", expected, actual) == []) == (sorted(expected, key=order) == sorted(actual, key=order))
