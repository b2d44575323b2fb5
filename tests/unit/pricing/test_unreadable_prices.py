"""An unreadable price version fails the organizations it could apply to, and no others."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.pricing.rules.prices import Price, PriceBook, UnreadablePrice
from tests.support.builders import EGRESS, REQUESTS, SEPTEMBER, SUPPORT, at

MIDDLE = at("2026-09-16")
REFUSAL = (
    "unreadable_price: price egress{since}: amount NaN is not a finite number: correct its row in the table prices,"
    " then bill the month again"
)


def book(**known: Any) -> PriceBook:
    """Return a book with a good list and a version of `egress` of which only these fields can be read."""
    wrong = UnreadablePrice("egress", "egress_gb", "amount NaN is not a finite number", **known)
    return PriceBook([EGRESS, REQUESTS, SUPPORT], [wrong])


def refusal(find: Callable[[], Price]) -> str | None:
    try:
        find()
    except BillingError as problem:
        return str(problem)
    return None


@pytest.mark.parametrize(
    ("known", "dimensions", "stops"),
    [
        ({}, {}, True),
        ({}, {"region": "ams"}, True),
        ({"match": {}}, {"region": "ams"}, True),
        ({"match": {"region": ("ams", "fra")}}, {"region": "ams"}, True),
        ({"match": {"region": ("ams", "fra")}}, {"region": "iad"}, False),
        ({"match": {"region": ("ams",)}}, {}, False),
        ({"match": {"region": ("ams",), "app": ("shop",)}}, {"region": "ams", "app": "shop"}, True),
        ({"match": {"region": ("ams",), "app": ("shop",)}}, {"region": "ams", "app": "blog"}, False),
    ],
)
def test_an_unreadable_price_stops_the_usage_that_it_could_apply_to(
    known: dict[str, Any], dimensions: dict[str, str], stops: bool
) -> None:
    prices = book(**known)
    message = REFUSAL.format(since="") if stops else None
    assert refusal(lambda: prices.for_usage("egress_gb", dimensions, MIDDLE)) == message
    assert prices.for_usage("requests", dimensions, MIDDLE) == REQUESTS


@pytest.mark.parametrize(
    ("since", "until", "stops"),
    [
        (None, None, True),
        ("2026-09-16", None, True),  # from that moment on
        ("2026-09-15", None, True),
        ("2026-09-16T00:00:01", None, False),
        (None, "2026-09-16", False),  # until just before it
        (None, "2026-09-16T00:00:01", True),
        ("2026-09-01", "2026-09-17", True),
        ("2026-09-01", "2026-09-10", False),
        ("2026-09-17", "2026-09-20", False),
    ],
)
def test_an_unreadable_price_stops_only_its_own_period(since: str | None, until: str | None, stops: bool) -> None:
    prices = book(effective_from=since and at(since), effective_until=until and at(until))
    message = REFUSAL.format(since=f" from {at(since):%Y-%m-%d %H:%M}" if since else "") if stops else None
    assert refusal(lambda: prices.for_usage("egress_gb", {}, MIDDLE)) == message
    assert refusal(lambda: prices.for_key("egress", MIDDLE)) == message
    assert refusal(lambda: prices.last_for_key("egress", MIDDLE)) == message


def test_the_refusal_names_the_book_and_the_row_of_the_damaged_price() -> None:
    wrong = UnreadablePrice("egress", "egress_gb", "per is missing", book="fly", id=EGRESS.id)
    with pytest.raises(BillingError) as refused:
        PriceBook([], [wrong]).for_usage("egress_gb", {}, MIDDLE)
    assert refused.value.operator_text == (
        f"price fly/egress: per is missing: correct its row in the table prices (id {EGRESS.id}), then bill the month"
        " again"
    )


def test_fees_with_other_keys_are_still_billed() -> None:
    prices = book()
    assert prices.for_key("support", MIDDLE) == SUPPORT
    assert prices.last_for_key("support", MIDDLE) == SUPPORT


def test_usage_before_the_unreadable_version_is_billed() -> None:
    prices = book(effective_from=MIDDLE)
    assert prices.for_usage("egress_gb", {}, SEPTEMBER.start).model == EGRESS.model
    assert EGRESS.free_allowance == Decimal(100)
