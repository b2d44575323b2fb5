"""Non-additive meters count together the dimensions that one price covers in the month."""

from __future__ import annotations

from fly_billing.usage.rules.aggregation_groups import aggregation_groups


def groups(*priced: tuple[str, str]) -> set[frozenset[str]]:
    found = aggregation_groups(priced)
    return {frozenset(meter for meter in found if found[meter] == group) for group in found.values()}


def test_dimensions_of_one_price_count_together() -> None:
    assert groups(("all", "ams"), ("all", "fra")) == {frozenset({"ams", "fra"})}


def test_dimensions_with_a_price_each_form_separate_groups() -> None:
    assert groups(("in-ams", "ams"), ("in-fra", "fra")) == {frozenset({"ams"}), frozenset({"fra"})}


def test_the_fallback_price_covers_all_dimensions_without_a_specific_price() -> None:
    assert groups(("in-ams", "ams"), ("else", "fra"), ("else", "iad")) == {
        frozenset({"ams"}),
        frozenset({"fra", "iad"}),
    }


def test_dimensions_stay_in_one_group_if_their_price_ends_within_the_month() -> None:
    """Until the 15th one price for all, then one for each: a user counted before is not counted again."""
    assert groups(("all", "ams"), ("all", "fra"), ("in-ams", "ams"), ("in-fra", "fra")) == {frozenset({"ams", "fra"})}


def test_a_chain_of_prices_connects_its_ends() -> None:
    priced = [("a", "1"), ("a", "2"), ("b", "2"), ("b", "3"), ("c", "4")]
    assert groups(*priced) == groups(*reversed(priced)) == {frozenset({"1", "2", "3"}), frozenset({"4"})}


def test_usage_without_prices_has_no_groups() -> None:
    assert aggregation_groups([]) == {}
