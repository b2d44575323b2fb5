"""The SQL month that the bench compares ours with charges a month as worked by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from fly_billing.postgres.database import BillingDatabase, copy_rows, driver_connection
from fly_billing.pricing.price_books import PriceBookFiles, load_price_book
from fly_billing.pricing.rules.meters import Meter
from fly_billing.pricing.rules.prices import Price
from tests.bench.month_stages import Order
from tests.bench.sample_of_size import CREATED, MONTH
from tests.bench.sql_month_stages import charges, run_postgres, sql_check, sql_invoice, sql_land, sql_rollup
from tests.support.builders import id_of

METERS = [
    Meter("machine_seconds", "Machines", "second", dimensions=("app", "region", "preset")),
    Meter("egress_gb", "Traffic", "GB", dimensions=("app", "region")),
    Meter("volume_gb_hours", "Volumes", "GB-hour", dimensions=("app",)),
    Meter("snapshot_gb_hours", "Snapshots", "GB-hour", dimensions=("app",)),
]
MACHINE = {"key": "machine", "meter": "machine_seconds", "match": {"region": ["ams"], "preset": ["small"]}}
PRICES: list[dict[str, Any]] = [
    {**MACHINE, "unit_amount": "0.01"},
    {**MACHINE, "unit_amount": "0.02", "effective_from": "2026-09-16"},
    {"key": "traffic", "meter": "egress_gb", "model": "graduated", "tiers": [
        {"up_to": "100", "unit_amount": "0.02"}, {"up_to": None, "unit_amount": "0.01"},
    ]},
    {"key": "volume", "meter": "volume_gb_hours", "model": "package", "unit_amount": "0.10", "per": "720"},
    {"key": "snapshot", "meter": "snapshot_gb_hours", "unit_amount": "0.50", "free_allowance": "10"},
    {"key": "plan", "unit_amount": "30.00"},
]  # fmt: skip
EVENTS = [
    ("early", "machine_seconds", "2026-09-15T23:59:59Z", "100"),
    ("dear", "machine_seconds", "2026-09-16T00:00:00Z", "50"),
    ("dear", "machine_seconds", "2026-09-16T00:00:00Z", "50"),
    ("traffic", "egress_gb", "2026-09-10T12:00:00Z", "150"),
    ("volume", "volume_gb_hours", "2026-09-10T12:00:00Z", "1000"),
    ("snapshot", "snapshot_gb_hours", "2026-09-10T12:00:00Z", "12"),
    ("wrong", "egress_gb", "2026-09-10T12:00:00Z", "a lot"),
]


@dataclass(frozen=True)
class SmallOrder(Order):
    """An order with files of its own."""

    @property
    def files(self) -> list[Path]:
        return sorted(Path(self.cache).glob("*.jsonl"))


@pytest.fixture
def order(billing_database: BillingDatabase, tmp_path: Path) -> SmallOrder:
    """Provide a platform with one organization, its terms and its usage."""
    with billing_database.transaction() as connection:
        load_price_book(connection, PriceBookFiles("fly", METERS, [_price(data) for data in PRICES]))
        copy_rows(
            connection, "organizations", ("id", "name", "currency", "price_book", "billing_group", "created_at"),
            [("acme", "Acme", "USD", "fly", "acme", CREATED)],
        )  # fmt: skip
        copy_rows(
            connection, "subscriptions", ("id", "organization_id", "price_key", "started_at"),
            [(id_of("plan"), "acme", "plan", "2026-09-11T00:00Z")],
        )  # fmt: skip
        copy_rows(connection, "coupons", ("code", "description", "percent"), [("TEN", "Ten percent off", 10)])
        copy_rows(
            connection, "discounts", ("id", "organization_id", "coupon_code", "first_month", "redeemed_at"),
            [(id_of("discount"), "acme", "TEN", MONTH.first_day, CREATED)],
        )  # fmt: skip
        copy_rows(
            connection, "commitments",
            ("id", "organization_id", "kind", "description", "amount", "currency", "first_month"),
            [(id_of("minimum"), "acme", "minimum", "At least 30", Decimal(30), "USD", MONTH.first_day)],
        )  # fmt: skip
        run_postgres(driver_connection(connection), "tables")
    lines = [_event(*event) for event in EVENTS]
    (tmp_path / "usage.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return SmallOrder(str(tmp_path), 1, str(tmp_path), billing_database.engine.url.render_as_string(False))


def _price(data: Mapping[str, Any]) -> Price:
    named = {"product": data["key"], "description": data["key"], "unit": "unit", "effective_from": "2026-01-01"}
    return Price.from_data("fly", {**named, **data})


def _event(name: str, meter: str, time: str, quantity: str) -> str:
    data = {"app": "web", "region": "ams", "preset": "small", "quantity": quantity}
    return json.dumps({"id": name, "source": "test", "type": meter, "subject": "acme", "time": time, "data": data})


def _bill(order: Order) -> None:
    for stage in (sql_rollup, sql_invoice, sql_check):
        stage(order)


def _rows(order: Order, statement: str) -> list[tuple[Any, ...]]:
    with order.billing.transaction() as connection:
        return driver_connection(connection).execute(statement.encode()).fetchall()


def test_a_repeated_event_counts_once_and_a_wrong_row_is_kept_with_its_reason(order: SmallOrder) -> None:
    landed = sql_land(order)

    assert landed == {"events": 5, "refused": 1, "repeated": 1}
    assert _rows(order, "select id, quantity, reason from sql_month.refused_usage") == [
        ("wrong", "a lot", "bad_quantity")
    ]


def test_a_month_with_versions_tiers_packages_an_allowance_and_terms_is_charged_as_worked_by_hand(
    order: SmallOrder,
) -> None:
    sql_land(order)
    _bill(order)

    items = _rows(order, "select kind, description, trim_scale(amount)::text from sql_month.invoice_items order by id")
    assert sorted(items) == [
        ("discount", "Ten percent off", "-2.57"),  # of 25.70
        ("minimum", "At least 30", "6.87"),  # 30.00 less 23.13
        ("subscription", "plan", "20"),  # 20 of 30 days of 30.00
        ("usage", "machine", "1"),  # 100 x 0.01, before 16 September
        ("usage", "machine", "1"),  # 50 x 0.02
        ("usage", "snapshot", "1"),  # 2 above the allowance of 10, 0.50 each
        ("usage", "traffic", "2.5"),  # 100 x 0.02 + 50 x 0.01
        ("usage", "volume", "0.2"),  # 1,000 are two packages of 720
    ]
    assert _rows(order, "select total_cents from sql_month.invoices") == [(3000,)]


def test_the_hash_of_the_charges_changes_with_the_last_digit_of_an_amount(order: SmallOrder) -> None:
    sql_land(order)
    _bill(order)
    with order.billing.transaction() as connection:
        driver: Connection[Any] = driver_connection(connection)
        before = charges(driver, "sql")
        driver.execute("update sql_month.invoice_items set amount = amount + 1e-20 where price_key = 'volume'")
        after = charges(driver, "sql")

    assert before["items"] == after["items"] == 8
    assert before["hash"] != after["hash"]


def test_the_hash_of_the_charges_ignores_zeros_after_the_last_digit(order: SmallOrder) -> None:
    sql_land(order)
    _bill(order)
    with order.billing.transaction() as connection:
        driver: Connection[Any] = driver_connection(connection)
        before = charges(driver, "sql")
        driver.execute("update sql_month.invoice_items set amount = amount + 0.000 where price_key = 'volume'")

        assert charges(driver, "sql") == before
