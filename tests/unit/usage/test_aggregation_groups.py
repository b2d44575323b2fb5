"""Non-additive meters count the dimensions together that one price covers in the month."""

from __future__ import annotations

from fly_billing.usage.rules.aggregation_groups import aggregation_groups


def groups(*priced: tuple[str, str]) -> set[frozenset[str]]:
    found = aggregation_groups(priced)
    return {frozenset(meter for meter in found if found[meter] == group) for group in found.values()}


def test_dimensions_of_one_price_count_together() -> None:
    assert groups(("all", "ams"), ("all", "fra")) == {frozenset({"ams", "fra"})}


def test_dimensions_with_a_price_each_form_separate_groups() -> None:
    assert groups(("in-ams", "ams"), ("in-fra", "fra")) == {frozenset({"ams"}), frozenset({"fra"})}


def test_the_fallback_price_covers_all_that_have_none_of_their_own() -> None:
    assert groups(("in-ams", "ams"), ("else", "fra"), ("else", "iad")) == {
        frozenset({"ams"}),
        frozenset({"fra", "iad"}),
    }


def test_if_a_price_ends_within_the_month_its_dimensions_stay_in_one_group() -> None:
    """Until the 15th one price for all, then one for each: who was counted is not counted again."""
    assert groups(("all", "ams"), ("all", "fra"), ("in-ams", "ams"), ("in-fra", "fra")) == {frozenset({"ams", "fra"})}


def test_a_chain_of_prices_connects_its_ends() -> None:
    priced = [("a", "1"), ("a", "2"), ("b", "2"), ("b", "3"), ("c", "4")]
    assert groups(*priced) == groups(*reversed(priced)) == {frozenset({"1", "2", "3"}), frozenset({"4"})}


def test_without_priced_usage_there_are_no_groups() -> None:
    assert aggregation_groups([]) == {}
