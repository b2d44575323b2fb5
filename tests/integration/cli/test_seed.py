"""The sample platform: every promise that the demo makes about it is true, row by row."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from fly_billing.embedded_postgres import PostgresServer, create_database, drop_database
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.invoicing.rules.billing_groups import billing_group_of
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.sample_platform import Seeded, seed
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.rules.source_cadence import SourceDays, silent_sources
from fly_billing.usage.usage_table import UsageTable

TODAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
JUNE_2023, OCTOBER, NOVEMBER = BillingMonth(2023, 6), BillingMonth(2026, 10), BillingMonth(2026, 11)
TERMS = Terms(grace=timedelta(hours=72), due_days=14)
TABLES = (
    "organizations",
    "meters",
    "prices",
    "subscriptions",
    "one_off_items",
    "invoices",
    "invoice_items",
    "usage_snapshots",
)


def sow(
    database: BillingDatabase, landing_dir: Path, today: date = TODAY, months: int = 1, organizations: int = 8
) -> Seeded:
    return seed(
        database,
        landing_dir,
        usage_table=usage_table_in(landing_dir),
        today=today,
        months=months,
        organizations=organizations,
    )


def usage_table_in(landing_dir: Path) -> UsageTable:
    return UsageTable(landing_dir.parent / "usage_events")


def land(database: BillingDatabase, landing_dir: Path, *months: BillingMonth) -> list[LandedFile]:
    """Land all days on which usage of these months may land, up to today."""
    lengths = {month: (month.last_landing_day(TERMS.grace) - month.first_day).days + 1 for month in months}
    days = {month.first_day + timedelta(days=n) for month, length in lengths.items() for n in range(length)}
    until_today = sorted(day for day in days if day <= TODAY)
    return land_days(database, usage_table_in(landing_dir), landing_dir, until_today, JUNE_2023, NOW)


def bill_month(database: BillingDatabase, landing_dir: Path, month: BillingMonth) -> Billed:
    groups = [str(group) for (group,) in query(database, "select distinct billing_group from organizations")]
    roll_up(database, usage_table_in(landing_dir), month, groups, NOW)
    return bill(database, month, groups, TERMS, NOW)


def query(database: BillingDatabase, statement: str) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def everything(database: BillingDatabase) -> list[object]:
    return [query(database, f"select * from {table} order by 1") for table in TABLES]  # noqa: S608


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fly_has_a_paid_invoice_of_may_and_an_open_one_of_june_2023(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    sow(billing_database, landing_dir)
    invoices = (
        "select month, status, origin, due_on, total_cents from invoices where organization_id = 'fly' order by month"
    )
    assert query(billing_database, invoices) == [
        (date(2023, 5, 1), "paid", "imported", date(2023, 6, 1), 3310),
        (date(2023, 6, 1), "open", "billed", None, 3545),
    ]
    items = """
        select description, amount_cents, invoice_items.amount
        from invoice_items join invoices on invoices.id = invoice_items.invoice_id
        where status = 'open' order by amount_cents
    """
    assert query(billing_database, items) == [
        ("VM usage", 1200, Decimal("12.00")),
        ("VM Network usage", 2345, Decimal("23.45")),
    ]
    assert query(billing_database, "select stripe_customer_id from organizations where id = 'fly'") == [("cus_1234",)]


def test_billing_june_2023_finalizes_the_open_invoice(billing_database: BillingDatabase, landing_dir: Path) -> None:
    sow(billing_database, landing_dir)
    land(billing_database, landing_dir, JUNE_2023)
    billed = bill_month(billing_database, landing_dir, JUNE_2023)
    assert (billed.finalized, [invoice.total_cents for invoice in billed.invoices]) == (True, [3545])


def test_every_event_of_the_sample_lands_once_and_each_rejected_one_has_a_valid_copy(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    seeded = sow(billing_database, landing_dir, months=2, organizations=4)
    landed = land(billing_database, landing_dir, *seeded.months)
    assert sum(file.accepted for file in landed) == seeded.events
    assert sum(file.duplicate for file in landed) > 0
    reasons = "select distinct reason from rejected_usage order by reason"
    assert query(billing_database, reasons) == [("bad_json",), ("unknown_meter",)]
    torn = [str(raw) for (raw,) in query(billing_database, "select raw from rejected_usage where reason = 'bad_json'")]
    everything_sent = b"".join(bytes_below(landing_dir).values()).decode(errors="replace").splitlines()
    for line in torn:
        assert any(whole.startswith(line) and whole.endswith("}}") for whole in everything_sent)


def test_every_organization_of_the_sample_can_be_billed_for_every_month(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    seeded = sow(billing_database, landing_dir, organizations=40)
    land(billing_database, landing_dir, *seeded.months)
    assert (seeded.closed_months, seeded.open_months) == ((OCTOBER,), (NOVEMBER,))
    october, november = (bill_month(billing_database, landing_dir, month) for month in seeded.months)
    assert october.failures == november.failures == []
    assert (october.finalized, november.finalized) == (True, False)
    for billed in (october, november):
        totals = [invoice.total_cents for invoice in billed.invoices if invoice.organization_id != "fly"]
        assert min(totals) > 0
        assert max(totals) > 5 * sorted(totals)[len(totals) // 2]
    kinds = "select distinct kind from invoice_items order by kind"
    assert [kind for (kind,) in query(billing_database, kinds)] == [
        "credit", "discount", "minimum", "one_off", "subscription", "tax", "usage"
    ]  # fmt: skip
    shared = "select count(distinct organization_id) from invoice_items group by invoice_id order by 1 desc limit 1"
    assert query(billing_database, shared) == [(2,)]
    assert query(billing_database, "select count(*) > 0 from one_off_items where amount < 0") == [(True,)]
    # Three have details for their invoices: one with a VAT id, one that is mailed, two with an order number.
    details = "select country, tax_ids <> '{}', collection, net_days, purchase_order from billing_details order by 1, 5"
    assert query(billing_database, details) == [
        ("DE", True, "charge_automatically", None, None),
        ("US", False, "send_invoice", 30, "4500017733"),
        ("US", False, "charge_automatically", None, "PO-2041"),
    ]
    assert query(billing_database, "select count(*) from invoice_details where purchase_order = 'PO-2041'") == [(1,)]


def test_no_source_of_a_small_sample_counts_as_silent(billing_database: BillingDatabase, landing_dir: Path) -> None:
    """Three organizations use no service on some days: the collector of services delivers an empty file then."""
    seeded = sow(billing_database, landing_dir, organizations=3, months=2)
    regular = ("machines.jsonl", "volumes.parquet", "network.csv", "services.csv")
    days = {
        source: sorted({date.fromisoformat(file.parent.name) for file in seeded.files if file.name == source})
        for source in regular
    }
    assert (
        silent_sources([SourceDays(source, found) for source, found in days.items()], TODAY - timedelta(days=1)) == []
    )
    assert {found[-1] for found in days.values()} == {TODAY}


def test_seeding_twice_changes_nothing(billing_database: BillingDatabase, landing_dir: Path) -> None:
    first = sow(billing_database, landing_dir)
    before = (everything(billing_database), bytes_below(landing_dir))
    assert sow(billing_database, landing_dir) == first
    assert (everything(billing_database), bytes_below(landing_dir)) == before


def test_seeding_again_after_months_were_finalized_changes_nothing(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    seeded = sow(billing_database, landing_dir)
    land(billing_database, landing_dir, JUNE_2023, *seeded.months)
    for month in (JUNE_2023, *seeded.months):
        bill_month(billing_database, landing_dir, month)
    before = (everything(billing_database), bytes_below(landing_dir))
    sow(billing_database, landing_dir)
    assert (everything(billing_database), bytes_below(landing_dir)) == before


def test_the_same_seed_makes_the_same_platform_anywhere(
    billing_database: BillingDatabase, postgres: PostgresServer, tmp_path: Path
) -> None:
    create_database(postgres, "another_platform", template="billing_template")
    other = BillingDatabase(postgres.url("another_platform"))
    sow(billing_database, tmp_path / "one" / "landing")
    sow(other, tmp_path / "two" / "landing")
    assert bytes_below(tmp_path / "one" / "landing") == bytes_below(tmp_path / "two" / "landing")
    assert everything(billing_database) == everything(other)
    other.engine.dispose()
    drop_database(postgres, "another_platform")


@pytest.mark.parametrize("later", [date(2026, 11, 24), date(2026, 12, 9)])
def test_seeding_on_a_later_day_continues_and_keeps_landed_usage(
    billing_database: BillingDatabase, landing_dir: Path, later: date
) -> None:
    sow(billing_database, landing_dir)
    organizations = query(billing_database, "select * from organizations order by id")
    before = bytes_below(landing_dir)
    sow(billing_database, landing_dir, later)
    after = bytes_below(landing_dir)
    assert {name: after[name] for name in before} == before
    assert len(after) > len(before)
    assert query(billing_database, "select * from organizations order by id") == organizations


def test_a_month_in_its_grace_period_is_one_of_the_open_ones(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    in_grace = sow(billing_database, landing_dir, date(2026, 11, 3), organizations=2)
    assert (in_grace.closed_months, in_grace.open_months) == ((BillingMonth(2026, 9),), (OCTOBER, NOVEMBER))
    closed = sow(billing_database, landing_dir, date(2026, 11, 4), organizations=2)
    assert (closed.closed_months, closed.open_months) == ((OCTOBER,), (NOVEMBER,))


def test_the_first_organizations_have_their_own_group_and_later_ones_share() -> None:
    assert billing_group_of("acme", existing_count=199, max_own=200, shared=64) == "acme"
    assert billing_group_of("acme", existing_count=200, max_own=200, shared=64) == "tail-32"
    groups = {billing_group_of(f"org-{n}", 200, 200, 64) for n in range(2000)}
    assert groups == {f"tail-{n:02d}" for n in range(64)}
    assert len(billing_group_of("acme", 200, 200, 1000)) == len("tail-000")
