"""The totals of each month over ten years, of all organizations or of one."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from fly_billing.postgres.database import BillingDatabase
from fly_billing.postgres.statements import sql
from tests.support.builders import NOW, Platform

TEN_YEARS = {"first": date(2016, 10, 1), "last": date(2026, 9, 1)}


@pytest.fixture
def platform(platform: Platform) -> Platform:
    """Acme and globex with an imported invoice a month for ten years: 1.00 and 2.50; acme's last is open, and 0.75."""
    platform.add_organization("globex", "EUR")
    platform.execute(
        "insert into invoices (id, organization_id, month, status, origin, currency, amount, total_cents, computed_at)"
        " select gen_random_uuid(), o.id, m, 'open', 'imported', o.currency, o.cents / 100.0, o.cents, :now"
        " from (values ('acme', 'USD', 100), ('globex', 'EUR', 250)) as o (id, currency, cents),"
        " generate_series(date '2016-10-01', date '2026-08-01', interval '1 month') as m",
        now=NOW,
    )
    platform.execute(
        "insert into one_off_items (id, organization_id, description, amount, currency, occurred_at)"
        " select id, organization_id, 'Usage', amount, currency, month at time zone 'UTC' from invoices"
    )
    platform.execute(
        "insert into invoice_items (id, invoice_id, position, kind, organization_id, product, description, quantity,"
        " unit, amount, amount_cents, one_off_item_id)"
        " select id, id, 1, 'one_off', organization_id, 'Usage', 'Usage', 1, 'item', amount, total_cents, id"
        " from invoices"
    )
    platform.execute("update invoices set status = 'finalized', finalized_at = :now, due_on = :now", now=NOW)
    platform.execute(
        "update invoices set status = 'paid', paid_at = :now where organization_id = 'acme' and month < '2026-08-01'",
        now=NOW,
    )
    platform.add_one_off("acme", "Setup", "0.75", NOW)
    platform.roll_up()
    platform.bill()
    return platform


def totals(database: BillingDatabase, organization: str | None) -> list[tuple[Any, ...]]:
    found = database.rows("monthly_totals", organization_id=organization, **TEN_YEARS)
    return [(f"{row['month']:%Y-%m}", *list(row.values())[1:]) for row in found]


def test_each_month_of_ten_years_has_a_row_per_currency(platform: Platform) -> None:
    """119 months with an invoice of each, and September, which is open: globex owes nothing of it."""
    found = totals(platform.database, None)
    assert found[0] == ("2016-10", "EUR", 1, 250, 0, 0, 0)
    assert found[1] == ("2016-10", "USD", 1, 100, 100, 0, 0)
    assert found[-3] == ("2026-08", "USD", 1, 100, 0, 0, 0)
    assert found[-2:] == [("2026-09", "EUR", 1, 0, 0, 0, 0), ("2026-09", "USD", 1, 0, 0, 0, 75)]
    assert len(found) == 240


def test_the_totals_of_an_organization_leave_out_the_others(platform: Platform) -> None:
    found = totals(platform.database, "acme")
    assert len(found) == 120
    assert sum(row[3] for row in found) == 11_900
    assert found[-1] == ("2026-09", "USD", 1, 0, 0, 0, 75)


@pytest.mark.parametrize("organization", [None, "acme"])
def test_totals_are_read_by_an_index(organization: str | None, platform: Platform) -> None:
    with platform.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("vacuum analyze invoices"))
        for way in ("seqscan", "bitmapscan"):  # which Postgres would choose for a table as small as this one
            connection.execute(text(f"set enable_{way} = off"))
        plan = connection.execute(
            text("explain " + sql("monthly_totals")), {"organization_id": organization, **TEN_YEARS}
        ).scalars()
        shown = "\n".join(plan)
        connection.execute(text("reset all"))
    assert ("Index Only Scan using invoices_by_month" in shown) == (organization is None), shown
    assert "Index" in shown
    assert "Seq Scan" not in shown
