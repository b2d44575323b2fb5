"""The migration to whole krónur and shillings: what is open is converted, what is final stops it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg.errors import RaiseException

from tests.support.builders import NOW, SEPTEMBER, Platform, at

MIGRATION = (
    Path(__file__).parents[3] / "fly_billing/postgres/migrations/versions/0024_chargeable_totals.sql"
).read_text(encoding="utf-8")


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """ice owes 1,000.4 krónur, and 24 % of tax."""
    platform.add_organization("ice", "ISK")
    platform.add_tax("ice", "VSK", "24")
    platform.add_one_off("ice", "setup", "1000.4", at("2026-09-10"), "ISK")
    return platform


def migrate_again(platform: Platform) -> None:
    with platform.database.transaction() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute(MIGRATION)


def test_an_open_invoice_in_hundredths_comes_to_whole_kronur(platform: Platform) -> None:
    platform.roll_up()
    platform.bill(now=NOW)
    ours = "select i.total_cents, t.amount_cents, x.taxable_cents, x.tax_cents from invoices as i"
    ours += " join invoice_items as t on t.invoice_id = i.id join invoice_taxes as x on x.invoice_id = i.id"
    ours += " where i.organization_id = 'ice' order by t.position"
    before = platform.query(ours)
    assert [tuple(row.values()) for row in before] == [(1240, 1000, 1000, 240), (1240, 240, 1000, 240)]
    platform.execute("update invoices set total_cents = 124050 where organization_id = 'ice'")
    platform.execute("update invoice_items set amount_cents = amount_cents * 100")
    platform.execute("update invoice_taxes set taxable_cents = 100040, tax_cents = 24010")
    migrate_again(platform)
    assert platform.query(ours) == before


def test_a_final_invoice_in_hundredths_stops_the_migration_by_name(platform: Platform) -> None:
    platform.close()
    with pytest.raises(RaiseException, match=rf"totals in hundredths, which do not exist: ice {SEPTEMBER}"):
        migrate_again(platform)
