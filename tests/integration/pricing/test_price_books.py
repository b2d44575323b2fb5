"""A price book is stored completely and read back unchanged; loaded prices never change."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from fly_billing.pricing.price_books import SHIPPED, load_price_book, read_price_book_files, read_price_books
from fly_billing.pricing.rules.models import (
    Flat,
    Graduated,
    GraduatedPercentage,
    Package,
    Percentage,
    PercentTier,
    PerUnit,
    PriceModel,
    Tier,
    Volume,
)
from fly_billing.pricing.rules.prices import Price
from tests.support.builders import PRICES, REQUESTS, Platform, at, event, price

TIERS = (Tier(Decimal(10), Decimal("0.10"), Decimal("5.00")), Tier(None, Decimal("0.05")))
MODELS: tuple[PriceModel, ...] = (
    PerUnit(Decimal("1.94"), Decimal(2_592_000)),
    Package(Decimal("25"), Decimal("0.5"), "down"),
    Graduated(TIERS, Decimal(1000)),
    Volume(TIERS),
    GraduatedPercentage((PercentTier(Decimal(1000), Decimal("1.5"), Decimal(2)), PercentTier(None, Decimal(1)))),
    Percentage(Decimal("2.9"), Decimal("0.30")),
    Flat(Decimal("75.00")),
)


def stored(platform: Platform) -> dict[str, Price]:
    with platform.database.transaction() as connection:
        return {book_price.key: book_price for book_price in read_price_books(connection)["fly"]}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model.NAME))
def test_a_price_of_any_model_is_read_back_unchanged(platform: Platform, model: PriceModel) -> None:
    bare = price("bare", "0", "egress_gb", model=model)
    full = replace(
        bare,
        key="full",
        free_allowance=Decimal("2.5"),
        minimum=Decimal("5.00"),
        maximum=Decimal("99.999999999999"),
        at_zero="item",
        match={"region": ("ams", "fra")},
        effective_until=at("2027-01-01"),
    )
    platform.load(bare, full)
    found = stored(platform)
    assert (found["bare"], found["full"]) == (bare, full)


def test_loading_a_book_again_changes_nothing(platform: Platform) -> None:
    platform.load(*(price(model.NAME, "0", "requests", model=model, minimum=Decimal(1)) for model in MODELS))
    before = platform.query("select to_jsonb(prices) || jsonb_build_object('row', xmin::text) as it from prices")
    platform.load(*(price(model.NAME, "0", "requests", model=model, minimum=Decimal(1)) for model in MODELS))
    after = platform.query("select to_jsonb(prices) || jsonb_build_object('row', xmin::text) as it from prices")
    assert len(before) == len(PRICES) + len(MODELS)
    assert after == before


def test_no_field_of_a_used_price_can_be_changed(platform: Platform) -> None:
    platform.use(event("e1", "3"))
    platform.close()
    for changes in ({"minimum": Decimal(5)}, {"at_zero": "item"}, {"model": Flat(Decimal(1))}):
        changed: dict[str, Any] = changes
        with pytest.raises(DBAPIError, match="was used by a finalized invoice"):
            platform.load(replace(REQUESTS, **changed))


@pytest.mark.parametrize(
    "change",
    [
        "model = 'free'",
        "model = 'flat'",
        "model = 'volume'",
        "model = 'package', per = null",
        "settings = '[]'",
        "settings = null",
        "effective_until = effective_from",
    ],
)
def test_the_database_refuses_a_price_that_no_model_can_read(platform: Platform, change: str) -> None:
    with pytest.raises(DBAPIError, match=r"violates (check|not-null) constraint"):
        platform.execute(f"update prices set {change} where key = 'support'")  # noqa: S608


def test_the_shipped_book_is_read_back_unchanged(platform: Platform) -> None:
    book = read_price_book_files(SHIPPED / "fly")
    with platform.database.transaction() as connection:
        load_price_book(connection, book)
    with platform.database.transaction() as connection:
        found = {book_price.id: book_price for book_price in read_price_books(connection)["fly"]}
    assert [found[book_price.id] for book_price in book.prices] == list(book.prices)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price: []", r"unknown field 'price' in a price book's file"),
        ("prices: [{key: a, unit_amont: '1'}]", r"price mine/a: unknown field 'unit_amont'"),
        ("prices: [", "while parsing"),
        ("reservations: [{key: a}]", "reservation mine/a: description is missing"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "prices.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"(?s)prices\.yaml: .*{message}"):
        read_price_book_files(tmp_path / "mine")


def test_a_price_for_something_that_its_loaded_meter_does_not_count_is_not_loaded(platform: Platform) -> None:
    with pytest.raises(ValueError, match=r"^price book fly: price dear: match names regoin, .*did you mean region"):
        platform.load(price("dear", "9", "egress_gb", match={"regoin": ("ams",)}))
    assert "dear" not in stored(platform)
