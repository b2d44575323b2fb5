"""Exactly one price is in force for any usage; without one, or with two, the usage is refused."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.pricing.rules.models import Graduated, PerUnit, Tier
from fly_billing.pricing.rules.prices import Price, PriceBook
from tests.support.builders import at, price

SEPTEMBER = at("2026-09-01")


def egress(unit_amount: str, key: str = "egress", **changes: Any) -> Price:
    return price(key, unit_amount, "egress_gb", **changes)


def key_for(prices: list[Price], moment: datetime = SEPTEMBER, **dimensions: str) -> str:
    return PriceBook(prices).for_usage("egress_gb", dimensions, moment).key


def test_a_price_is_in_force_from_its_first_moment_until_just_before_its_end() -> None:
    book = PriceBook([egress("0.02", effective_from=at("2026-09-10"), effective_until=at("2026-09-20"))])
    for moment in ("2026-09-10T00:00:00", "2026-09-19T23:59:59.999999"):
        assert book.for_usage("egress_gb", {}, at(moment)).key == "egress"
    for moment in ("2026-09-09T23:59:59.999999", "2026-09-20T00:00:00"):
        with pytest.raises(BillingError, match="unpriced_usage"):
            book.for_usage("egress_gb", {}, at(moment))


def test_a_later_version_supersedes_an_earlier_one() -> None:
    old, new = egress("0.02"), egress("0.03", effective_from=at("2026-09-10"))
    book = PriceBook([new, old])
    assert book.for_usage("egress_gb", {}, at("2026-09-09T23:59:59.999999")) == old
    assert book.for_usage("egress_gb", {}, at("2026-09-10")) == new


def test_the_earlier_price_is_in_force_again_after_an_offer() -> None:
    regular = egress("0.02")
    offer = egress("0.01", effective_from=at("2026-09-10"), effective_until=at("2026-09-20"))
    book = PriceBook([regular, offer])
    assert [book.for_usage("egress_gb", {}, at(f"2026-09-{day}")) for day in ("09", "10", "20")] == [
        regular,
        offer,
        regular,
    ]


def test_the_price_that_matches_most_dimensions_applies() -> None:
    prices = [
        egress("0.02", "anywhere"),
        egress("0.04", "asia", match={"region": ("nrt", "sin")}),
        egress("0.01", "asia-shop", match={"region": ("nrt", "sin"), "app": ("shop",)}),
    ]
    assert key_for(prices, region="iad") == "anywhere"
    assert key_for(prices, region="sin") == "asia"
    assert key_for(prices, region="sin", app="shop") == "asia-shop"
    assert key_for(prices, region="iad", app="shop") == "anywhere"
    assert key_for(prices) == "anywhere"


def test_a_price_by_preset_and_region_applies_before_one_by_region_and_the_general_one_is_the_fallback() -> None:
    """This is true for any dimension and any order of the prices; dimensions that no price names do not matter."""
    prices = [
        egress("3", "both", match={"preset": ("shared-cpu-1x", "shared-cpu-2x"), "region": ("ams",)}),
        egress("2", "region", match={"region": ("ams", "fra")}),
        egress("1", "all"),
    ]
    for order in (prices, prices[::-1]):
        assert key_for(order, preset="shared-cpu-2x", region="ams", app="web") == "both"
        assert key_for(order, preset="shared-cpu-4x", region="ams") == "region"
        assert key_for(order, preset="shared-cpu-1x", region="fra") == "region"
        assert key_for(order, preset="shared-cpu-1x", region="iad") == "all"


def test_usage_that_no_price_matches_has_no_price_without_a_fallback() -> None:
    with pytest.raises(BillingError, match="unpriced_usage"):
        key_for([egress("2", "region", match={"region": ("ams",)})], region="fra")


def test_the_general_price_applies_after_a_specific_price_ended() -> None:
    prices = [
        egress("0.02", "anywhere"),
        egress("0.04", "asia", match={"region": ("sin",)}, effective_until=at("2026-09-10")),
    ]
    assert key_for(prices, at("2026-09-10"), region="sin") == "anywhere"


def test_a_price_for_the_empty_value_applies_to_usage_without_that_dimension() -> None:
    prices = [egress("2", "nowhere", match={"region": ("",)}), egress("1", "ams", match={"region": ("ams",)})]
    assert key_for(prices, app="web") == "nowhere"
    assert key_for(prices, region="ams") == "ams"


def test_two_prices_that_fit_equally_well_are_an_error() -> None:
    prices = [egress("0.02", "one"), egress("0.03", "two")]
    with pytest.raises(BillingError) as raised:
        key_for(prices, region="sin")
    assert raised.value.code == "ambiguous_price"
    assert raised.value.operator_text == (
        "prices one, two all fit meter 'egress_gb' with region sin at 2026-09-01: make one of them more specific"
    )
    prices = [egress("0.02", "one", match={"region": ("sin",)}), egress("0.03", "two", match={"app": ("shop",)})]
    assert key_for(prices, region="sin", app="blog") == "one"
    with pytest.raises(BillingError, match="ambiguous_price"):
        key_for(prices, region="sin", app="shop")


def test_the_error_for_usage_without_a_price_names_it_and_the_fix() -> None:
    with pytest.raises(BillingError) as raised:
        key_for([egress("0.02", match={"region": ("sin",)})], region="iad")
    assert (raised.value.code, raised.value.retryable) == ("unpriced_usage", False)
    assert raised.value.operator_text == (
        "no price in force at 2026-09-01 00:00Z for meter 'egress_gb' with region iad:"
        " add it to the price book (a new effective-dated version), load it, and bill the month again"
    )
    assert raised.value.customer_text == (
        "We can't calculate this month's invoice yet and are looking into it. You won't be charged until it is correct."
    )
    with pytest.raises(BillingError, match="unpriced_usage"):
        PriceBook([]).for_usage("teapots", {}, SEPTEMBER)


def test_a_fee_is_found_by_its_key_and_never_by_usage() -> None:
    book = PriceBook([price("support", "29.00"), price("support", "39.00", effective_from=at("2026-10-01"))])
    assert book.for_key("support", SEPTEMBER).model == PerUnit(Decimal("29.00"))
    assert book.for_key("support", at("2026-10-01")).model == PerUnit(Decimal("39.00"))
    with pytest.raises(BillingError, match="unpriced_subscription"):
        book.for_key("support", at("2025-12-31"))
    with pytest.raises(BillingError, match="no price 'premium' in force at 2026-09-01: add it to the price book") as no:
        book.for_key("premium", SEPTEMBER)
    assert no.value.code == "unpriced_subscription"


def test_the_last_version_of_an_ended_fee_is_found_and_none_that_began_later() -> None:
    book = PriceBook(
        [
            price("support", "29.00"),
            price("support", "39.00", effective_from=at("2026-03-01"), effective_until=at("2026-09-01")),
            price("support", "49.00", effective_from=at("2026-11-01")),
        ]
    )
    assert book.last_for_key("support", at("2026-02-28")).model == PerUnit(Decimal("29.00"))
    assert book.last_for_key("support", at("2026-03-01")).model == PerUnit(Decimal("39.00"))
    assert book.last_for_key("support", at("2026-10-01")).model == PerUnit(Decimal("39.00"))
    with pytest.raises(BillingError, match="no price 'support' in force at 2025-12-31") as raised:
        book.last_for_key("support", at("2025-12-31"))
    assert raised.value.code == "unpriced_subscription"
    with pytest.raises(BillingError, match="no price 'premium' in force at 2026-10-01"):
        book.last_for_key("premium", at("2026-10-01"))


def test_a_change_of_price_inside_a_period_is_noticed() -> None:
    start, end = at("2026-09-01"), at("2026-10-01")
    offer = egress("0.01", effective_from=at("2026-09-10"), effective_until=at("2026-09-20"))
    elsewhere = egress("0.05", "asia", match={"region": ("sin",)}, effective_from=at("2026-09-15"))
    book = PriceBook([egress("0.02"), elsewhere])
    assert not book.changes_inside("egress_gb", {"region": "iad"}, start, end)
    assert book.changes_inside("egress_gb", {"region": "sin"}, start, end)
    assert not book.changes_inside("egress_gb", {"region": "sin"}, start, at("2026-09-15"))
    assert not book.changes_inside("egress_gb", {"region": "sin"}, at("2026-09-15"), end)
    assert not PriceBook([]).changes_inside("egress_gb", {}, start, end)
    assert PriceBook([egress("0.02"), offer]).changes_inside("egress_gb", {}, start, end)
    assert PriceBook([egress("0.02", effective_from=at("2026-09-10"))]).changes_inside("egress_gb", {}, start, end)
    assert PriceBook([egress("0.02", effective_until=at("2026-09-10"))]).changes_inside("egress_gb", {}, start, end)


DATA = {
    "key": "egress",
    "meter": "egress_gb",
    "product": "Bandwidth",
    "description": "Data transfer out",
    "unit": "GB",
    "unit_amount": "0.02",
    "effective_from": "2026-01-01T00:00:00+00:00",
}


def test_a_price_is_read_from_plain_data() -> None:
    read = Price.from_data("fly", DATA | {"match": {"region": "sin", "app": ["shop", "blog"]}, "free_allowance": "100"})
    assert (read.model, read.currency, read.free_allowance) == (PerUnit(Decimal("0.02")), "USD", Decimal(100))
    assert read.match == {"region": ("sin",), "app": ("shop", "blog")}
    assert read.effective_from == datetime(2026, 1, 1, tzinfo=UTC)
    tiers = {"model": "graduated", "tiers": [{"up_to": "10", "unit_amount": "1"}, {"unit_amount": "0.5"}]}
    graduated = Price.from_data("fly", {name: value for name, value in DATA.items() if name != "unit_amount"} | tiers)
    assert graduated.model == Graduated((Tier(Decimal(10), Decimal(1)), Tier(None, Decimal("0.5"))))


def test_a_missing_field_of_a_price_has_its_default() -> None:
    read = Price.from_data("fly", DATA)
    assert (read.free_allowance, read.match, read.minimum, read.maximum) == (Decimal(0), {}, None, None)
    assert (read.at_zero, read.effective_until, read.currency) == ("nothing", None, "USD")
    assert read.to_data() == DATA | {"currency": "USD", "model": "per_unit"}


def test_a_price_with_every_field_is_written_back_unchanged() -> None:
    data = DATA | {
        "model": "package",
        "per": "1000",
        "round": "up",
        "currency": "EUR",
        "free_allowance": "2500.5",
        "minimum": "5.00",
        "maximum": "100",
        "at_zero": "item",
        "allowance_with": "team",
        "match": {"region": ["sin", "nrt"], "cpus": ["4"]},
        "effective_until": "2026-10-01T00:00:00+00:00",
    }
    read = Price.from_data("fly", data)
    assert (read.minimum, read.maximum, read.at_zero) == (Decimal(5), Decimal(100), "item")
    assert (read.free_allowance, read.allowance_with) == (Decimal("2500.5"), "team")
    assert read.effective_until == at("2026-10-01")
    assert read.to_data() == data


def test_dates_and_times_are_read_as_moments_in_utc() -> None:
    for text in (date(2026, 1, 1), "2026-01-01", "2026-01-01T01:00:00+01:00", "2026-01-01T00:00Z", at("2026-01-01")):
        assert Price.from_data("fly", DATA | {"effective_from": text}).effective_from == at("2026-01-01")


def test_a_dimension_may_be_matched_by_numbers_written_without_quotes() -> None:
    assert Price.from_data("fly", DATA | {"match": {"cpus": [4, 8], "gpus": 1}}).match == {
        "cpus": ("4", "8"),
        "gpus": ("1",),
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unit_amount": 0.02}, r"unit_amount 0\.02 is a float"),
        ({"unit_amount": "-1"}, "unit_amount '-1' must be a finite number of at least 0"),
        ({"unit_amount": "NaN"}, "unit_amount 'NaN' is not a number"),
        ({"unit_amount": "two"}, "unit_amount 'two' is not a number"),
        ({"unit_amount": ["1"]}, "unit_amount .* is not a number"),
        ({"unit_amount": True}, "unit_amount True is not a number"),
        ({"unit_amount": "0.0000000000001"}, r"unit_amount 0\.0000000000001 has more than 12 decimals"),
        ({"unit_amount": None}, "unit_amount is missing"),
        ({"per": "0"}, "per must be above 0"),
        ({"free_allowance": "-1"}, "free_allowance '-1' must be"),
        ({"minimum": "0.0000000000001"}, "minimum .* has more than 12 decimals"),
        ({"maximum": "-5"}, "maximum '-5' must be"),
        ({"maximum": "0.0000000000001"}, "maximum .* has more than 12 decimals"),
        ({"allowance_with": "team"}, "allowance_with 'team' without a free_allowance"),
        ({"allowance_with": 5, "free_allowance": "1"}, "allowance_with 5 is not text"),
        ({"minimum": "5", "maximum": "4.99"}, r"minimum 5 is above maximum 4\.99"),
        ({"at_zero": "always"}, "at_zero 'always'; known are nothing, item"),
        (
            {"model": "per_units"},
            r"model 'per_units' \(did you mean per_unit\?\); known are per_unit, package,",
        ),
        ({"model": ["flat"]}, r"model \['flat'\]; known are"),
        ({"prise": "1"}, r"unknown field 'prise' in a per_unit price; known are"),
        ({"round": "up"}, r"unknown field 'round' in a per_unit price"),
        ({"model": "flat"}, r"unknown field 'unit_amount' in a flat price"),
        ({"product": None}, "product is missing"),
        ({"description": 5}, "description 5 is not text"),
        ({"meter": 5}, "meter 5 is not text"),
        ({"currency": "usd"}, "currency 'usd' is not an ISO 4217 code"),
        ({"currency": "USDT"}, "currency 'USDT' is not an ISO 4217 code"),
        ({"effective_from": None}, "effective_from is missing"),
        ({"effective_from": "2026-01-01T00:00:00"}, "effective_from .* has no offset"),
        ({"effective_from": 2026}, "effective_from 2026 is not a date"),
        ({"effective_from": "soon"}, "effective_from 'soon' is not a date"),
        ({"effective_until": "2026-01-01"}, "effective_until .* is not after effective_from"),
        ({"match": ["sin"]}, "match .* does not name dimensions"),
        ({"match": {"country": [False]}}, r"match country \[False\] must be a text or a list of texts"),
        ({"match": {"region": []}}, r"match region \[\] must be a text"),
        ({"match": {"region": None}}, "match region has no value: write a text"),
    ],
)
def test_an_unreadable_price_is_named_with_its_invalid_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"price fly/egress: {message}"):
        Price.from_data("fly", DATA | changes)


def test_a_price_made_in_python_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"^free_allowance Decimal\('-1'\) must be a finite number of at least 0"):
        egress("0.02", free_allowance=Decimal(-1))


def test_a_price_without_a_key_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"price fly/\?: key is missing"):
        Price.from_data("fly", {name: value for name, value in DATA.items() if name != "key"})


def test_a_price_version_is_named_by_book_key_and_first_moment() -> None:
    first = egress("0.02")
    assert first.id == egress("0.99").id
    assert first.id != egress("0.02", effective_from=at("2026-01-02")).id
    assert first.id != egress("0.02", book="partner").id
    assert first.id != egress("0.02", "other").id


@pytest.mark.usefixtures("machine_in_honolulu")
def test_a_price_version_has_the_same_name_in_every_time_zone() -> None:
    """In Honolulu the first moment is also written in UTC; otherwise the version would be loaded a second time."""
    read = Price.from_data("fly", DATA | {"effective_from": "2026-01-01T01:00:00+01:00"})
    assert read.to_data()["effective_from"] == "2026-01-01T00:00:00+00:00"
    assert read.id == egress("0.02").id
