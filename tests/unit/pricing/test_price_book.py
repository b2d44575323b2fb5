"""The shipped price book has the prices that Fly.io publishes, and exactly one for any usage that it can price."""

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from itertools import product as combinations

import pytest

from fly_billing.errors import BillingError
from fly_billing.pricing.price_books import SHIPPED, PriceBookFiles, read_price_book_files
from fly_billing.pricing.rules.models import PerUnit
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.rating import rate, rate_month

SECONDS_OF_30_DAYS = Decimal(2592000)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def book() -> PriceBookFiles:
    return read_price_book_files(SHIPPED / "fly")


@pytest.fixture(scope="module")
def published() -> dict[str, Decimal]:
    """Return the published price of a month in USD, by the price's key in the book."""
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


def test_a_machine_that_runs_30_days_costs_exactly_the_published_month(
    book: PriceBookFiles, published: dict[str, Decimal]
) -> None:
    charged = {key: rate(price, SECONDS_OF_30_DAYS).amount for key, price in machine_prices(book).items()}
    assert len(charged) == 1085
    assert charged == published


def test_a_machine_line_names_preset_memory_and_region(book: PriceBookFiles) -> None:
    price = in_force(book, "machine_seconds", preset="shared-cpu-1x", memory="256MB", region="ams", app="shop")
    assert (price.product, price.description) == ("Machines", "shared-cpu-1x 256MB in ams")


def test_every_price_is_for_a_meter_of_the_book_and_matches_only_its_dimensions(book: PriceBookFiles) -> None:
    dimensions = {meter.key: set(meter.dimensions) for meter in book.meters}
    assert len(dimensions) == len(book.meters)
    for price in book.prices:
        assert price.meter is None or set(price.match) <= dimensions[price.meter], price.key


def test_usage_never_matches_two_prices(book: PriceBookFiles) -> None:
    """Checked at and just before every moment at which a price of the meter begins or ends."""
    prices = PriceBook(book.prices)
    moments: dict[str, set[datetime]] = {}
    for price in book.prices:
        edges = [edge for edge in (price.effective_from, price.effective_until) if edge and price.meter]
        moments.setdefault(price.meter or "", set()).update(edges, (edge - timedelta(microseconds=1) for edge in edges))
    for price in (metered_price for metered_price in book.prices if metered_price.meter):
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


def test_every_price_of_the_catalog_can_be_rated(book: PriceBookFiles) -> None:
    """A million units past the allowance have a cost, unless the price was free in its time."""
    free = {price.key for price in book.prices if rate(price, price.free_allowance + 1_000_000).amount == 0}
    assert free == {"stopped-rootfs", "volume-snapshot"}
    for price in book.prices:
        assert rate(price, 0).amount == 0
        assert rate(price, price.free_allowance).amount == 0


def test_every_price_of_the_catalog_survives_json(book: PriceBookFiles) -> None:
    assert [Price.from_data("fly", json.loads(json.dumps(price.to_data()))) for price in book.prices] == book.prices


def charged(book: PriceBookFiles, meter: str, quantity: str, moment: datetime = NOVEMBER, **dimensions: str) -> Decimal:
    return rate(in_force(book, meter, moment, **dimensions), quantity).amount


def test_usage_costs_match_the_examples_of_flys_pricing_page(book: PriceBookFiles) -> None:
    """The examples of superfly/docs, about/pricing.mdx ("What does a typical app cost?"), except for Machines."""
    assert charged(book, "egress_gb", "50", region="iad") + charged(book, "egress_gb", "50", region="fra") == 2
    assert charged(book, "egress_gb", "50", region="sin") == Decimal("2.00")
    private = [charged(book, "private_egress_gb", "10", region=region) for region in ("iad", "fra", "sin")]
    assert private == [Decimal("0.06"), Decimal("0.06"), Decimal("0.15")]
    assert charged(book, "volume_gb_hours", "7200", region="iad") == Decimal("1.50")  # 10 GB for 720 hours
    assert charged(book, "managed_postgres_storage_gb_hours", "720") == Decimal("0.28")


@pytest.mark.parametrize(
    ("meter", "quantity", "dimensions", "amount"),
    [
        ("certificate_months", "10", {}, "0"),
        ("certificate_months", "12", {}, "0.20"),
        ("wildcard_certificate_months", "3", {}, "3.00"),
        ("dedicated_ipv4_months", "2", {}, "4.00"),
        ("static_egress_ip_hours", "720", {"region": "iad"}, "3.60"),
        ("egress_gb", "100", {"region": "jnb"}, "12.00"),
        ("egress_gb", "100", {"region": "bom"}, "12.00"),
        ("egress_gb", "1.5", {"region": "syd"}, "0.060"),
        ("private_egress_gb", "100", {"region": "bom"}, "5.00"),
        ("volume_snapshot_gb_hours", "7200", {"region": "iad"}, "0"),
        ("volume_snapshot_gb_hours", "8640", {"region": "iad"}, "0.16"),
        ("stopped_rootfs_gb_hours", "72", {"region": "iad"}, "0.015"),
        ("upstash_redis_requests", "242500", {}, "0.485"),
        ("machine_seconds", "86400", {"preset": "shared-cpu-1x", "memory": "256MB", "region": "iad"}, "0.0646666666"),
    ],
)
def test_usage_costs_match_worked_amounts(
    book: PriceBookFiles, meter: str, quantity: str, dimensions: dict[str, str], amount: str
) -> None:
    """12 certificates: 2 x 0.10. 8,640 GB-hours of snapshots: 12 GB, 2 of them at 0.08. A day: 1.94 / 30."""
    amount_charged = rate(PriceBook(book.prices).for_usage(meter, dimensions, NOVEMBER), quantity).amount
    assert amount_charged.quantize(Decimal("1e-10"), ROUND_FLOOR) == Decimal(amount)


def test_an_hour_of_gpu_costs_its_published_price_until_gpus_ended(book: PriceBookFiles) -> None:
    july = datetime(2026, 7, 31, 23, tzinfo=UTC)
    hours = {
        gpu: charged(book, "gpu_seconds", "3600", july, gpu=gpu) for gpu in ("a10", "l40s", "a100-40gb", "a100-80gb")
    }
    assert hours == {
        "a10": Decimal("1.50"),
        "l40s": Decimal("1.25"),
        "a100-40gb": Decimal("2.50"),
        "a100-80gb": Decimal("3.50"),
    }


def test_an_l40s_that_runs_across_the_price_cut_pays_both_prices(book: PriceBookFiles) -> None:
    """10 hours at 2.50 before 15 August 2024, 10 hours at 1.25 since."""
    days = datetime(2024, 8, 14, tzinfo=UTC), datetime(2024, 8, 15, tzinfo=UTC)
    versions = [in_force(book, "gpu_seconds", day, gpu="l40s") for day in days]
    assert [segment.amount for segment in rate_month([(version, 36_000) for version in versions])] == [
        25,
        Decimal("12.5"),
    ]


def test_every_reservation_is_40_percent_off_and_covers_one_class_of_presets(book: PriceBookFiles) -> None:
    assert {block.discount for block in book.reservations} == {Fraction(2, 5)}
    assert {int(block.upfront_amount): int(block.monthly_credit) for block in book.reservations} == {
        144: 20,
        1440: 200,
        14400: 2000,
        36: 5,
        360: 50,
        3600: 500,
    }
    classes = {block.match["preset"] for block in book.reservations}
    presets = [preset for preset_class in classes for preset in preset_class]
    assert sorted(presets) == sorted({price.match["preset"][0] for price in machine_prices(book).values()})
    for preset_class in classes:
        assert len({preset.partition("-")[0] for preset in preset_class}) == 1
    assert {(block.meter, block.bound_to, block.months) for block in book.reservations} == {
        ("machine_seconds", "region", 12)
    }
