"""Prices that are right alone but not together are found before they are loaded, and two books are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.book_difference import FieldChange, difference, parts_of
from fly_billing.pricing.rules.book_problems import (
    BookPrices,
    problems_between_prices,
    scope_of_nothing,
    unknown_meters,
)
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.prices import Price
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import REQUESTS

JULY, AUGUST = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
SUPPORT = replace(REQUESTS, key="support", meter=None, model=PerUnit(Decimal(29)))
REGION = {"region": ("ams", "fra")}


def other(price: Price = REQUESTS, key: str = "calls", **changes: object) -> Price:
    return replace(price, key=key, **changes)  # type: ignore[arg-type]


def between(prices: Sequence[Price]) -> list[str]:
    return [found.problem for found in problems_between_prices(BookPrices.of(prices))]


def test_two_keys_for_the_same_usage_at_the_same_time_are_a_problem() -> None:
    (problem,) = between([REQUESTS, other(effective_from=JULY)])
    assert problem == (
        "prices calls and requests fit the same requests from 2026-07-01 on: end one of them, or give one more"
        " dimensions in `match`"
    )


@pytest.mark.parametrize(
    "others",
    [
        [other(effective_from=JULY, match=REGION)],  # more dimensions: it takes precedence
        [other(effective_from=JULY, meter="calls")],
        [other(meter=None, effective_from=JULY)],
        [replace(REQUESTS, effective_from=JULY)],  # a later version of the same key
    ],
)
def test_prices_of_which_one_applies_are_no_problem(others: list[Price]) -> None:
    assert between([REQUESTS, *others]) == []


def test_prices_that_follow_each_other_are_no_problem_and_an_overlap_of_a_moment_is() -> None:
    ended = replace(REQUESTS, effective_until=JULY)
    assert between([ended, other(effective_from=JULY)]) == []
    assert len(between([replace(ended, effective_until=AUGUST), other(effective_from=JULY)])) == 1


def test_only_shared_values_of_a_dimension_are_ambiguous_and_named() -> None:
    one = other(REQUESTS, "europe", match={"region": ("ams", "fra")})
    assert between([one, other(match={"region": ("ord",)})]) == []
    (problem,) = between([one, other(match={"region": ("ord", "fra")})])
    assert "fit the same requests (region fra)" in problem


def test_versions_of_a_key_in_two_currencies_are_a_problem() -> None:
    (problem,) = between([REQUESTS, replace(REQUESTS, effective_from=JULY, currency="EUR")])
    assert problem.startswith("price requests: its versions are in EUR and USD, but a month can't change its currency")


def test_an_allowance_of_no_fee_is_a_problem_with_a_suggestion() -> None:
    included = replace(REQUESTS, free_allowance=Decimal(25), allowance_with="suport")
    assert between([included, SUPPORT]) == [
        "price requests: allowance_with 'suport' is not a fee of the book (did you mean support?)"
    ]
    assert between([replace(included, allowance_with="support"), SUPPORT]) == []


def test_a_misspelt_meter_is_named_with_a_suggestion() -> None:
    assert unknown_meters([replace(REQUESTS, meter="request"), SUPPORT], {"requests", "egress_gb"}) == {
        "requests": "price requests: no meter 'request' (did you mean requests?)"
    }


def test_a_scope_of_nothing_is_named_with_a_suggestion() -> None:
    of_region = replace(REQUESTS, key="requests-ams", match={"region": ("ams",)})

    def problems(**scope: Any) -> list[str]:
        return scope_of_nothing(Scope(**scope), BookPrices.of([of_region, SUPPORT]), ["requests"])

    assert problems(price_keys=("suport",)) == ["price_keys suport: no price has that (did you mean support?)"]
    assert problems(meter="request") == ["meter request: no price has that (did you mean requests?)"]
    assert problems(match={"regoin": ("ams",)}) == ["match regoin: no price has that (did you mean region?)"]
    assert problems(products=("Nothing",)) == ["products Nothing: no price has that"]
    assert len(problems(products=("Nothing",), meter="request")) == 2
    assert problems(products=("Nothing",), kinds=("one_off",)) == []
    assert problems(price_keys=("support",), meter="requests", match={"region": ("ams",)}) == []


def test_the_shipped_book_has_no_problems() -> None:
    book = read_price_book_files(SHIPPED / "fly")
    assert between(book.prices) == []
    assert unknown_meters(book.prices, {meter.key for meter in book.meters}) == {}


def test_every_problem_between_prices_is_reported_at_once_and_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "book.yml").write_text(
        """
meters: [{key: requests, name: Requests, unit: request}]
prices:
  - {key: a, meter: requests, product: A, description: A, unit: request, unit_amount: 1, effective_from: 2026-01-01}
  - {key: b, meter: requests, product: B, description: B, unit: request, unit_amount: 1, effective_from: 2026-01-01}
  - {key: c, product: C, description: C, unit: seat, unit_amount: 1, currency: USD, effective_from: 2026-01-01}
  - {key: c, product: C, description: C, unit: seat, unit_amount: 1, currency: EUR, effective_from: 2026-02-01}
""",
        encoding="utf-8",
    )
    with pytest.raises(ValueError) as refused:
        read_price_book_files(tmp_path)
    path = tmp_path / "book.yml"
    assert str(refused.value).splitlines() == [
        f"{path}: line 7: price c: its versions are in EUR and USD, but a month can't change its currency: give each"
        f" currency a key or a book of its own (the other is in {path}: line 6)",
        f"{path}: line 5: prices a and b fit the same requests from 2026-01-01 on: end one of them, or give one more"
        f" dimensions in `match` (the other is in {path}: line 4)",
    ]


def test_a_book_differs_from_itself_in_nothing() -> None:
    prices = read_price_book_files(SHIPPED / "fly").prices
    assert difference(prices, prices) == []


def test_added_removed_and_changed_versions_are_listed_with_their_fields() -> None:
    cheaper = replace(REQUESTS, model=PerUnit(Decimal("0.01")), free_allowance=Decimal(100))
    changed, removed, added = sorted(
        difference([REQUESTS, SUPPORT], [cheaper, other(effective_from=JULY)]),
        key=lambda change: ["changed", "removed", "added"].index(change.kind),
    )
    assert (changed.key, [(field.field, field.before, field.after) for field in changed.fields]) == (
        "requests",
        [("unit_amount", "0.1", "0.01"), ("free_allowance", None, "100")],
    )
    assert (removed.key, removed.kind, added.key, added.kind) == ("support", "removed", "calls", "added")
    assert (added.effective_from, ("currency", None, "USD")) == (
        JULY,
        next((f.field, f.before, f.after) for f in added.fields if f.field == "currency"),
    )


def test_another_order_of_a_dimensions_values_is_no_difference_and_a_name_like_a_number_is_one() -> None:
    assert difference([other(match=REGION)], [other(match={"region": ("fra", "ams")})]) == []
    assert len(difference([other(product="Version 2.10")], [other(product="Version 2.1")])) == 1
    assert len(difference([other(product="2.10")], [other(product="2.1")])) == 1


def test_another_spelling_of_a_number_is_no_difference() -> None:
    spelled = replace(REQUESTS, model=PerUnit(Decimal("0.100")))
    assert difference([REQUESTS], [spelled]) == []
    assert len(difference([REQUESTS], [replace(REQUESTS, model=PerUnit(Decimal("0.1001")))])) == 1


FIRST, LAST = {"up_to": "100", "unit_amount": "0.1"}, {"unit_amount": "0.08"}


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        ([FIRST, LAST], [FIRST, {"unit_amount": "0.07"}], [("tiers: 2: unit_amount", "0.08", "0.07")]),
        (
            [FIRST, LAST],
            [{"up_to": "50", "unit_amount": "0.2"}, LAST],
            [("tiers: 1: up_to", "100", "50"), ("tiers: 1: unit_amount", "0.1", "0.2")],
        ),
        (
            [FIRST, LAST],
            [FIRST, {"up_to": "200", "unit_amount": "0.09"}, LAST],
            [("tiers", None, {"up_to": "200", "unit_amount": "0.09"})],
        ),
        ([FIRST, LAST], [LAST], [("tiers", FIRST, None)]),
        ([FIRST], None, [("tiers", [FIRST], None)]),
        (["ams"], ["ams", "fra"], [("tiers", ["ams"], ["ams", "fra"])]),
        ({"region": ["ams"], "size": ["s"]}, {"region": ["fra"], "size": ["s"]}, [("tiers: region", ["ams"], ["fra"])]),
        ([FIRST, FIRST, LAST], [FIRST, LAST], [("tiers", [FIRST, FIRST, LAST], [FIRST, LAST])]),
    ],
)
def test_a_change_of_one_tier_names_that_tier_and_its_fields(before: Any, after: Any, parts: list[Any]) -> None:
    assert parts_of(FieldChange("tiers", before, after)) == [FieldChange(*part) for part in parts]
