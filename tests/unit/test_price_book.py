"""The shipped price book says what Fly.io publishes, and finds exactly one price for every usage it can price."""

import csv
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product as combinations

import pytest

from fly_billing.domain.errors import BillingError
from fly_billing.domain.money import to_cents
from fly_billing.domain.price_models import PerUnit
from fly_billing.domain.prices import Price, PriceBook
from fly_billing.resources.price_books import SHIPPED, PriceBookFiles, read_price_book_files

SECONDS_OF_30_DAYS = Decimal(2592000)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBookFiles:
    return read_price_book_files(SHIPPED / "fly")


@pytest.fixture(scope="module")
def published() -> dict[str, Decimal]:
    """The published price of a month in USD, by the key that the price has in the book."""
    with (SHIPPED / "fly" / "machines.csv").open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {
            f"machine/{row['preset']}/{row['ram']}/{row['region']}": Decimal(row["usd_per_30d_month"]) for row in rows
        }


def machine_prices(book: PriceBookFiles) -> dict[str, Price]:
    return {price.key: price for price in book.prices if price.meter == "machine_seconds"}


def in_force(book: PriceBookFiles, meter: str, moment: datetime = NOVEMBER, **dimensions: str) -> Price:
    return PriceBook(book.prices).for_usage(meter, dimensions, moment)


def test_every_published_machine_price_is_in_the_book_as_a_month_per_2592000_seconds(
    book: PriceBookFiles, published: dict[str, Decimal]
) -> None:
    prices = machine_prices(book)
    assert len(prices) == 1085
    assert {key: price.model for key, price in prices.items()} == {
        key: PerUnit(month, SECONDS_OF_30_DAYS) for key, month in published.items()
    }
    assert prices["machine/shared-cpu-1x/256MB/iad"].model == PerUnit(Decimal("1.94"), Decimal(2592000))


def test_a_machine_that_runs_30_days_is_charged_the_published_month_to_the_cent(
    book: PriceBookFiles, published: dict[str, Decimal]
) -> None:
    charged = {
        key: to_cents(sum((step.amount for step in price.model.steps(SECONDS_OF_30_DAYS)), Decimal(0)), "USD")
        for key, price in machine_prices(book).items()
    }
    assert charged == {key: int(month * 100) for key, month in published.items()}


def test_a_machine_line_reads_as_preset_memory_and_region(book: PriceBookFiles) -> None:
    price = in_force(book, "machine_seconds", preset="shared-cpu-1x", memory="256MB", region="ams", app="shop")
    assert (price.product, price.description) == ("Machines", "shared-cpu-1x 256MB in ams")


def test_every_price_is_for_a_meter_of_the_book_and_matches_only_its_dimensions(book: PriceBookFiles) -> None:
    dimensions = {meter.key: set(meter.dimensions) for meter in book.meters}
    assert len(dimensions) == len(book.meters)
    for price in book.prices:
        assert price.meter is None or set(price.match) <= dimensions[price.meter], price.key


def test_no_usage_finds_two_prices(book: PriceBookFiles) -> None:
    """At every moment at which a price of the meter begins or ends, and just before it."""
    prices = PriceBook(book.prices)
    moments: dict[str, set[datetime]] = {}
    for price in book.prices:
        edges = [edge for edge in (price.effective_from, price.effective_until) if edge and price.meter]
        moments.setdefault(price.meter or "", set()).update(edges, (edge - timedelta(microseconds=1) for edge in edges))
    for price in (one for one in book.prices if one.meter):
        for values in combinations(*price.match.values()):
            for moment in filter(price.is_in_force, moments[price.meter or ""]):
                found = prices.for_usage(price.meter or "", dict(zip(price.match, values, strict=True)), moment)
                assert found.key == price.key


def test_every_price_version_has_its_own_first_day(book: PriceBookFiles) -> None:
    assert len({price.id for price in book.prices}) == len(book.prices) == 1137


def test_all_35_regions_have_a_price_for_their_traffic(book: PriceBookFiles) -> None:
    regions = {price.match["region"][0] for price in machine_prices(book).values()}
    assert len(regions) == 35
    for meter in ("egress_gb", "private_egress_gb"):
        for region in regions:
            assert in_force(book, meter, region=region).product == "Bandwidth"
    assert in_force(book, "egress_gb", region="jnb").model == PerUnit(Decimal("0.12"))
    assert in_force(book, "private_egress_gb", region="syd").model == PerUnit(Decimal("0.015"))


def test_snapshots_are_free_until_2026_and_have_10_gb_free_since(book: PriceBookFiles) -> None:
    last = in_force(book, "volume_snapshot_gb_hours", datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC))
    first = in_force(book, "volume_snapshot_gb_hours", datetime(2026, 1, 1, tzinfo=UTC))
    assert last.model == PerUnit(Decimal(0))
    assert first.model == PerUnit(Decimal("0.08"), Decimal(720))
    assert first.free_allowance == Decimal(7200)


def test_an_l40s_costs_half_from_15_august_2024_and_no_gpu_can_be_billed_from_august_2026(book: PriceBookFiles) -> None:
    before = in_force(book, "gpu_seconds", datetime(2024, 8, 14, 23, 59, 59, tzinfo=UTC), gpu="l40s")
    after = in_force(book, "gpu_seconds", datetime(2024, 8, 15, tzinfo=UTC), gpu="l40s")
    assert before.model == PerUnit(Decimal("2.50"), Decimal(3600))
    assert after.model == PerUnit(Decimal("1.25"), Decimal(3600))
    assert in_force(book, "gpu_seconds", datetime(2026, 7, 31, 23, 59, 59, tzinfo=UTC), gpu="a10").key == "gpu/a10"
    for gpu in ("a10", "l40s", "a100-40gb", "a100-80gb"):
        with pytest.raises(BillingError, match="unpriced_usage"):
            in_force(book, "gpu_seconds", datetime(2026, 8, 1, tzinfo=UTC), gpu=gpu)


def test_plans_are_recurring_fees(book: PriceBookFiles) -> None:
    prices = PriceBook(book.prices)
    fees = {
        "support/standard": "29.00",
        "support/premium": "199.00",
        "managed-postgres/basic": "38.00",
        "managed-postgres/performance": "1922.00",
        "kubernetes/cluster": "75.00",
        "upstash-redis/fixed-5gb": "100.00",
        "upstash-redis/fixed-5gb-read-region": "50.00",
    }
    for key, fee in fees.items():
        price = prices.for_key(key, NOVEMBER)
        assert (price.meter, price.model) == (None, PerUnit(Decimal(fee)))
