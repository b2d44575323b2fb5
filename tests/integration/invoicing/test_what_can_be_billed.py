"""The database refuses values that can't be billed, in every column of every table."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from fly_billing.postgres.database import BillingDatabase
from tests.support.builders import Platform, at, id_of

# Exceptions: times before the first request of an endpoint. They are not used in billing.
LEFT_OUT = {"stripe_pace", "alembic_version"}
SENSELESS = {
    "numeric": ["'NaN'", "'Infinity'", "'-Infinity'", "1e30", "-1e30"],
    "timestamp with time zone": ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'1969-12-31'", "'9999-12-31'"],
    "date": ["'infinity'", "'-infinity'", "'0044-03-01 BC'", "'1969-12-01'", "'9999-12-01'"],
}


def columns_of(database: BillingDatabase, kinds: list[str]) -> list[tuple[str, str, str]]:
    with database.transaction() as connection:
        found = connection.execute(
            text(
                "select table_name, column_name, data_type from information_schema.columns"
                " join information_schema.tables using (table_schema, table_name)"
                " where table_schema = current_schema() and table_type = 'BASE TABLE' and data_type = any (:kinds)"
                " order by 1, 2"
            ),
            {"kinds": kinds},
        )
        return [(table, name, kind) for table, name, kind in found if table not in LEFT_OUT]


def is_refused(database: BillingDatabase, table: str, column: str, value: str) -> bool:
    """Return True if the column's rules refuse the value, tried in an empty copy of the table with only those rules."""
    with database.engine.connect() as connection:
        connection.execute(text(f"create temp table tried (like {table} including constraints)"))
        others = connection.execute(
            text(
                "select conname, contype from pg_constraint where conrelid = 'tried'::regclass"
                " and (cardinality(conkey) <> 1 or contype = 'n')"
            )
        ).all()
        for name, _ in others:
            connection.execute(text(f'alter table tried drop constraint "{name}"'))
        try:
            connection.execute(text(f"insert into tried ({column}) values ({value})"))  # noqa: S608
        except IntegrityError:
            return True
        finally:
            connection.rollback()
        return False


def test_every_column_refuses_numbers_and_times_that_can_not_be_calculated_with(
    billing_database: BillingDatabase,
) -> None:
    """A new column fails this until its table's migration restricts its values."""
    columns = columns_of(billing_database, list(SENSELESS))
    assert len(columns) > 80
    taken = [
        (table, name, value)
        for table, name, kind in columns
        for value in SENSELESS[kind]
        if not is_refused(billing_database, table, name, value)
    ]
    assert taken == []


@pytest.mark.parametrize("cents", ["1000000000000000", "-1000000000000000", "9223372036854775807"])
def test_every_total_has_an_upper_bound(billing_database: BillingDatabase, cents: str) -> None:
    columns = [column for column in columns_of(billing_database, ["bigint"]) if column[1].endswith("_cents")]
    assert len(columns) >= 9
    taken = [column[:2] for column in columns if not is_refused(billing_database, column[0], column[1], cents)]
    assert taken == []


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("organizations", "id", "''"),
        ("organizations", "name", "'  '"),
        ("organizations", "name", "repeat('x', 5001)"),
        ("organizations", "currency", "'usd'"),
        ("organizations", "currency", "'$$$'"),
        ("organizations", "billing_group", "''"),
        ("organizations", "billing_group", "'acme|2026-09-01'"),
        ("organizations", "price_book", "' fly'"),
        ("subscriptions", "price_key", "E'support\\n'"),
        ("subscriptions", "price_key", "''"),
        ("subscriptions", "quantity", "-1"),
        ("subscriptions", "quantity", "0"),
        ("coupons", "code", "E'ten\\t'"),
        ("coupons", "percent", "101"),
        ("coupons", "percent", "-1"),
        ("coupons", "months", "2000000000"),
        ("commitments", "months", "0"),
        ("commitments", "months", "2000000000"),
        ("tax_rates", "percent", "100.1"),
        ("tax_rates", "name", "' '"),
        ("prices", "key", "''"),
        ("prices", "tiers", "'{}'"),
        ("prices", "tiers", "'[]'"),
        ("prices", "tiers", "'[1, 2]'"),
        ("prices", "match", "'[]'"),
        ("prices", "settings", "'[]'"),
        ("prices", "unit_amount", "-1"),
        ("prices", "unit_amount", "1e12"),
        ("prices", "per", "0"),
        ("negotiated_prices", "key", "''"),
        ("negotiated_prices", "price_group", "E'early\\n'"),
        ("negotiated_prices", "match", "'[]'"),
        ("negotiated_prices", "charges", "'{}'"),
        ("negotiated_prices", "charges", "'[]'"),
        ("price_group_members", "price_group", "''"),
        ("meters", "time_unit", "0"),
        ("usage_rollups", "dimensions", "'[]'"),
        ("usage_rollups", "dimensions", """'{"region": 1}'"""),
        ("usage_rollups", "dimensions", """'{"region": ["ams"]}'"""),
        ("usage_rollups", "quantity", "-1"),
        ("usage_rollups", "daily", "array_fill('NaN'::numeric, array[30])"),
        ("invoice_items", "detail", "'[]'"),
        ("one_off_items", "description", "E'\\n'"),
        ("one_off_items", "amount", "1e17"),
    ],
)
def test_a_value_without_meaning_in_its_column_is_refused(
    billing_database: BillingDatabase, table: str, column: str, value: str
) -> None:
    assert is_refused(billing_database, table, column, value)


def test_ordinary_values_are_accepted(platform: Platform) -> None:
    platform.add_one_off("acme", "the largest\nin two lines", "999999999999.99", at("2026-09-10"))
    platform.add_subscription("acme", "support/gold", at("2026-09-10"), quantity=1_000_000)
    platform.execute("update organizations set name = :name", name="Łódź [/b] =1+1 \u202e")


def test_an_older_invalid_row_is_kept_and_no_new_one_is_accepted(platform: Platform) -> None:
    """A migration may add a constraint as not valid, so an existing row that breaks it stays, and new ones fail."""
    platform.execute("alter table one_off_items drop constraint amount_is_finite")
    platform.add_one_off("acme", "broken", "NaN", at("2026-09-10"))
    platform.execute("alter table one_off_items add constraint amount_is_finite check (abs(amount) < 1e12) not valid")
    with pytest.raises(DBAPIError, match="amount_is_finite"):
        platform.add_one_off("acme", "another", "NaN", at("2026-09-10"))
    assert platform.query("select amount::text from one_off_items where id = :id", id=id_of("acme broken")) == [
        {"amount": "NaN"}
    ]


def test_each_row_of_every_table_has_its_month_and_period(billing_database: BillingDatabase) -> None:
    """A row without its month would be missing from every query of a month, unnoticed."""
    with billing_database.transaction() as connection:
        found = connection.execute(
            text(
                "select table_name, column_name from information_schema.columns"
                " join information_schema.tables using (table_schema, table_name)"
                " where table_schema = current_schema() and table_type = 'BASE TABLE' and is_nullable = 'YES'"
                " and column_name in ('month', 'organization_id', 'dimensions', 'segment_start', 'segment_end')"
            )
        ).all()
    assert [
        tuple(row) for row in found if row[1] != "organization_id" or row[0] in ("invoices", "usage_snapshots")
    ] == []
