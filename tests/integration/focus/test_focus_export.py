"""A month's invoices as a FOCUS 1.2 file: it conforms, it equals the invoices' totals, and our import reads it back."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from fly_billing.cli.main import app
from fly_billing.focus.exports import FocusExport, FocusExportError, export_focus
from fly_billing.focus.imports import FocusImportError, import_focus
from fly_billing.invoicing.reservation_sales import find_block, reserve
from fly_billing.money import from_cents
from fly_billing.output_files import OutputExists
from fly_billing.pricing.price_books import SHIPPED, read_price_book_files
from fly_billing.pricing.rules.reservations import Reservation
from tests.support.builders import CLOSED, MACHINES, OCTOBER, SEPTEMBER, Platform, at, event
from tests.support.focus_rules import violations
from tests.support.full_month import bill_full_month
from tests.support.unguarded import damage

FIRST = SEPTEMBER.first_day


@pytest.fixture
def month(platform: Platform) -> Platform:
    """The full month of September 2026, closed: acme pays $58.43 for itself and beta, gamma 1,200 yen."""
    return bill_full_month(platform)


def export(platform: Platform, folder: Path, name: str = "september.csv") -> FocusExport:
    return export_focus(platform.database, SEPTEMBER, folder / name, file_format=name.rpartition(".")[2])


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def import_and_bill(platform: Platform, file: Path, cost: str) -> dict[str, Decimal]:
    """Import the file, bill it as September, and return the amount that each sub-account owes, by name."""
    import_focus(
        platform.database, platform.landing_dir, file, max_org_partitions=200, shared_groups=8, now=CLOSED, cost=cost
    )
    assert platform.close().failures == []
    found = platform.query(
        "select o.name, i.total_cents, i.currency"
        " from invoices as i join organizations as o on o.id = i.organization_id"
        " where o.price_book = 'focus' and i.month = :month",
        month=FIRST,
    )
    return {row["name"]: from_cents(row["total_cents"], row["currency"]) for row in found}


def test_a_full_month_conforms_to_the_specification(month: Platform, tmp_path: Path) -> None:
    file = export(month, tmp_path).file
    with file.open(newline="", encoding="utf-8") as text:
        header = next(csv.reader(text))
    assert violations(header, rows_of(file)) == []


def test_all_rows_of_an_invoice_add_up_to_it_to_the_cent(month: Platform, tmp_path: Path) -> None:
    done = export(month, tmp_path)
    billed: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows_of(done.file):
        billed[row["InvoiceId"]] += Decimal(row["BilledCost"])
    assert billed == {"ACME-0001": Decimal("58.43"), "GAMMA-0001": Decimal(1200)}
    assert (done.invoices, done.open, done.void) == (2, 0, 0)
    assert done.billed() == {"JPY": Decimal(1200), "USD": Decimal("58.43")}
    assert done.charges["USD", "Credit"] == (2, Decimal("-8.00"))
    assert done.charges["USD", "Tax"] == (1, Decimal("9.33"))


def test_each_row_names_its_service_organization_and_period(month: Platform, tmp_path: Path) -> None:
    rows = {
        row["ChargeDescription"]: row for row in rows_of(export(month, tmp_path).file) if row["SubAccountId"] != "beta"
    }
    tier, machines, fee = rows["requests as used: 0 to 10000"], rows["machines as used"], rows["support as used"]
    assert (tier["ListUnitPrice"], tier["PricingQuantity"], tier["ListCost"]) == ("0.002", "10000", "20")
    assert (tier["EffectiveCost"], tier["x_Discounts"], tier["PricingUnit"]) == ("18", "TENOFF", "Requests")
    assert (machines["PricingUnit"], machines["RegionId"]) == ("2592000 Seconds", "ams")
    assert json.loads(machines["Tags"]) == {"fly_billing/preset": "shared-cpu-1x"}
    assert machines["ListCost"] == "0.74845679012345678986"
    assert (fee["ChargeCategory"], fee["ChargeFrequency"], fee["BilledCost"]) == ("Purchase", "Recurring", "26.1")
    assert rows["egress as used: free allowance"]["ConsumedQuantity"] == "100"
    once = rows["Onboarding"]
    assert (once["ChargePeriodStart"], once["ChargePeriodEnd"]) == ("2026-09-03T00:00:00Z", "2026-09-04T00:00:00Z")
    assert (once["BillingPeriodStart"], once["BillingPeriodEnd"]) == ("2026-09-01T00:00:00Z", "2026-10-01T00:00:00Z")


def test_a_linked_organization_is_a_sub_account_on_its_payers_invoice(month: Platform, tmp_path: Path) -> None:
    (row,) = (row for row in rows_of(export(month, tmp_path).file) if row["SubAccountId"] == "beta")
    assert (row["SubAccountName"], row["BillingAccountId"], row["InvoiceId"]) == ("Beta", "acme", "ACME-0001")


def test_parquet_has_the_same_values_as_exact_decimals_and_times_in_utc(month: Platform, tmp_path: Path) -> None:
    in_csv = rows_of(export(month, tmp_path).file)
    table = pq.read_table(export(month, tmp_path, "september.parquet").file)
    assert table.schema.field("ListCost").type == pa.decimal128(38, 24)
    assert table.schema.field("PricingQuantity").type == pa.decimal128(38, 18)
    assert table.schema.field("ChargePeriodStart").type == pa.timestamp("us", "UTC")
    assert table.schema.metadata[b"focus_version"] == b"1.2"
    for name in ("BilledCost", "EffectiveCost", "ListCost", "ListUnitPrice", "PricingQuantity", "ConsumedQuantity"):
        assert table[name].to_pylist() == [Decimal(row[name]) if row[name] else None for row in in_csv]
    for name in ("ChargeDescription", "Tags", "RegionId", "ChargeClass"):
        assert table[name].to_pylist() == [row[name] or None for row in in_csv]
    assert table["ChargePeriodStart"].to_pylist() == [at(row["ChargePeriodStart"][:-1]) for row in in_csv]


def test_focus_1_3_has_the_same_rows_under_its_own_names_and_is_read_back(month: Platform, tmp_path: Path) -> None:
    before = rows_of(export(month, tmp_path).file)
    file = tmp_path / "september-1.3.csv"
    done = export_focus(month.database, SEPTEMBER, file, version="1.3")
    assert done.version == "1.3"
    renamed = {"ProviderName": "ServiceProviderName", "PublisherName": "HostProviderName"}
    now = rows_of(file)
    assert now == [{renamed.get(name, name): value for name, value in row.items()} for row in before]
    names = [name for name in now[0] if not name.startswith("x_")]
    assert names == sorted(names)
    assert {row["ServiceProviderName"] for row in now} == {"Fly.io"}
    table = pq.read_table(
        export_focus(month.database, SEPTEMBER, tmp_path / "s.parquet", file_format="parquet", version="1.3").file
    )
    assert table.column_names == list(now[0])
    assert table.schema.metadata[b"focus_version"] == b"1.3"
    read_back = import_and_bill(month, file, "billed")
    assert read_back == {"Acme": Decimal("58.25"), "Beta": Decimal("0.18"), "Gamma": Decimal(1200)}
    with pytest.raises(FocusExportError, match=r"no such version of FOCUS: 1\.4; choose one of 1\.2, 1\.3"):
        export_focus(month.database, SEPTEMBER, file, version="1.4")


def test_the_rounding_of_a_total_of_three_decimals_is_a_separate_row(platform: Platform, tmp_path: Path) -> None:
    platform.add_organization("kuwait", "KWD")
    platform.add_one_off("kuwait", "Onboarding", "10.234", at("2026-09-03"), "KWD")
    platform.close()
    file = export(platform, tmp_path).file
    with file.open(newline="", encoding="utf-8") as text:
        assert violations(next(csv.reader(text)), rows_of(file)) == []
    found = [(row["ChargeCategory"], row["BilledCost"], row["x_InvoiceItemKind"]) for row in rows_of(file)]
    assert found == [("Purchase", "10.234", "one_off"), ("Adjustment", "-0.004", "rounding")]


def test_a_reservation_is_a_purchase_with_an_effective_cost_of_zero(platform: Platform, tmp_path: Path) -> None:
    """144.00 for a year; an ordinary one-off item with the name of a granted credit costs its billed amount."""
    block = find_block(read_price_book_files(SHIPPED / "fly").reservations, "reservation/performance/20")
    machine = replace(MACHINES, match={"preset": ("performance-1x",), "region": ("ams",)})
    platform.load(replace(machine, key="machine/performance-1x/ams", effective_from=at("2024-01-01")))
    reserve(platform.database, Reservation(block, "acme", "ams", SEPTEMBER))
    platform.add_one_off("acme", "Onboarding", "10", at("2026-09-03"))
    platform.close()
    header_and_rows = export(platform, tmp_path).file
    with header_and_rows.open(newline="", encoding="utf-8") as text:
        assert violations(next(csv.reader(text)), rows_of(header_and_rows)) == []
    rows = rows_of(header_and_rows)
    costs = {row["ChargeDescription"]: (row["ChargeCategory"], row["BilledCost"], row["EffectiveCost"]) for row in rows}
    assert costs == {
        "20 USD a month of performance Machines in one region, for a year: ams": ("Purchase", "144", "0"),
        "Onboarding": ("Purchase", "10", "10"),
    }


def test_our_import_reads_the_export_back_and_bills_each_organization_the_same(month: Platform, tmp_path: Path) -> None:
    """At billed cost: discounts, credits, the tax and the rounding to the cent are included."""
    file = export(month, tmp_path).file
    read_back = import_and_bill(month, file, "billed")
    # The coupon is a line of acme's; it also reduces beta's 0.20. Together they are acme's invoice of 58.43.
    assert read_back == {"Acme": Decimal("58.25"), "Beta": Decimal("0.18"), "Gamma": Decimal(1200)}


def test_an_export_at_list_prices_is_imported_as_usage_with_the_same_total_without_discounts(
    platform: Platform, tmp_path: Path
) -> None:
    """12,500 requests 1,250.00, 150 GB 1.00, 1,296,000 Machine seconds 0.97: half a month of them divides."""
    platform.add_subscription("acme", "support", at("2026-09-16"))
    platform.use(
        event("e1", "12500"),
        event("e3", "1296000", type="machine_seconds", preset="shared-cpu-1x", region="ams"),
        event("e4", "150", type="egress_gb", region="ams"),
    )
    (invoice,) = platform.close().invoices
    assert invoice.amount == Decimal("1266.47")
    file = export(platform, tmp_path).file
    assert sum(Fraction(row["ListCost"]) for row in rows_of(file)) == Fraction("1266.47")
    assert import_and_bill(platform, file, "list") == {"Acme": Decimal("1266.47")}
    metered = platform.query("select count(*) as n from usage_rollups where meter like 'focus:%'")
    assert metered == [{"n": 4}]  # requests, Machines, egress: the free and the charged part


def test_a_row_of_another_month_is_billed_in_the_month_of_its_invoice(platform: Platform, tmp_path: Path) -> None:
    """A correction of August on September's invoice is read back into September."""
    platform.add_one_off("acme", "Onboarding", "10.00", at("2026-09-03"))
    platform.close()
    file = export(platform, tmp_path).file
    text = file.read_text(encoding="utf-8").replace("2026-09-03T00:00:00Z", "2026-08-03T00:00:00Z")
    file.write_text(text, encoding="utf-8")
    assert import_and_bill(platform, file, "billed") == {"Acme": Decimal(10)}


@pytest.mark.parametrize(("first", "second"), [("list", "billed"), ("billed", "list")])
def test_a_file_is_imported_at_one_kind_of_cost_only(month: Platform, tmp_path: Path, first: str, second: str) -> None:
    file = export(month, tmp_path).file
    import_and_bill(month, file, first)
    before = month.query("select id, amount from one_off_items order by id")
    with pytest.raises(FocusImportError, match=f"already imported with --cost {first}"):
        import_and_bill(month, file, second)
    assert month.query("select id, amount from one_off_items order by id") == before


def test_an_unknown_kind_of_cost_is_refused(month: Platform, tmp_path: Path) -> None:
    with pytest.raises(FocusImportError, match="no such cost: effective; choose list or billed"):
        import_and_bill(month, export(month, tmp_path).file, "effective")


def test_void_and_open_invoices_are_left_out_and_counted(month: Platform, tmp_path: Path) -> None:
    month.execute("update invoices set status = 'void' where organization_id = 'gamma'")
    month.add_organization("delta")
    month.add_one_off("delta", "Training", "7.00", at("2026-09-05"))
    month.roll_up()
    assert month.bill(now=at("2026-10-02")).finalized is False
    done = export(month, tmp_path)
    assert (done.invoices, done.open, done.void) == (1, 1, 1)
    assert {row["InvoiceId"] for row in rows_of(done.file)} == {"ACME-0001"}


def test_a_month_without_final_invoices_is_refused_and_no_file_is_made(month: Platform, tmp_path: Path) -> None:
    with pytest.raises(FocusExportError, match=r"2026-10 has no final invoices \(0 open, 0 void\)"):
        export_focus(month.database, OCTOBER, tmp_path / "october.csv")
    assert not (tmp_path / "october.csv").exists()


def test_a_file_that_exists_is_replaced_only_if_asked(month: Platform, tmp_path: Path) -> None:
    file = tmp_path / "september.csv"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputExists, match="replace it with --overwrite"):
        export(month, tmp_path)
    assert file.read_text(encoding="utf-8") == "mine"
    export_focus(month.database, SEPTEMBER, file, overwrite=True)
    assert len(rows_of(file)) == 12


ALL_BUT_GAMMA = {"USD": Decimal("58.43")}


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("invoices", "total_cents = total_cents + 1", "GAMMA-0001 add up to 1200 JPY, but its total is 1201"),
        ("invoice_items", "amount = 'NaN'", "invoice GAMMA-0001: amount NaN is not a finite number"),
        ("invoice_items", "quantity = 'Infinity'", "invoice GAMMA-0001: quantity Infinity is not a finite number"),
        ("invoice_items", "quantity = 1e100", "invoice GAMMA-0001: quantity 1.000000e+100 is too large"),
        ("invoice_items", "period_end = 'infinity'", "invoice GAMMA-0001: period_end infinity is not a valid time"),
        (
            "invoice_items",
            "period_start = '-infinity'",
            "invoice GAMMA-0001: period_start -infinity is not a valid time",
        ),
    ],
)
def test_an_invoice_that_can_not_be_exported_is_left_out_and_named_and_the_others_are_in_the_file(
    month: Platform, tmp_path: Path, table: str, change: str, reason: str
) -> None:
    """The database refuses such an invoice; here its guards are off."""
    drop_checks(month, table)
    damage_gamma(month, table, change)
    done = export(month, tmp_path)
    assert [(invoice.organization_id, invoice.number) for invoice in done.left_out] == [("gamma", "GAMMA-0001")]
    assert reason in done.left_out[0].reason
    assert (done.invoices, done.billed()) == (1, ALL_BUT_GAMMA)
    assert {row["InvoiceId"] for row in rows_of(done.file)} == {"ACME-0001"}


def test_an_invoice_without_a_number_is_left_out_and_named(month: Platform, tmp_path: Path) -> None:
    """The database refuses such an invoice; here its guards are off."""
    drop_checks(month, "invoices")
    damage_gamma(month, "invoices", "number = null")
    done = export(month, tmp_path)
    assert [(left_out.organization_id, left_out.number, left_out.reason) for left_out in done.left_out] == [
        (
            "gamma",
            "without a number",
            "invoice without a number: number is missing: correct it, then bill the month again",
        )
    ]
    assert done.billed() == ALL_BUT_GAMMA


def drop_checks(platform: Platform, table: str) -> None:
    for row in platform.query(
        f"select conname from pg_constraint where contype = 'c' and conrelid = '{table}'::regclass"  # noqa: S608
    ):
        platform.execute(f'alter table {table} drop constraint "{row["conname"]}"')


def damage_gamma(platform: Platform, table: str, change: str) -> None:
    of_gamma = "select id from invoices where organization_id = 'gamma'"
    column = "id" if table == "invoices" else "invoice_id"
    damage(platform.database, f"update {table} set {change} where {column} in ({of_gamma})")  # noqa: S608


def test_a_month_without_an_invoice_that_can_be_exported_leaves_no_file_behind(month: Platform, tmp_path: Path) -> None:
    drop_checks(month, "invoices")
    damage(month.database, "update invoices set total_cents = total_cents + 1")
    with pytest.raises(FocusExportError, match=r"no invoice of 2026-09 can be exported, nothing was written"):
        export(month, tmp_path)
    assert list(tmp_path.glob("*.csv*")) + list(tmp_path.glob(".*")) == []


def test_an_export_can_not_change_the_database(month: Platform) -> None:
    with pytest.raises(DBAPIError, match="read-only transaction"), month.database.consistent_read() as connection:
        connection.exec_driver_sql("delete from prices")


def test_the_commands_export_summarize_and_import_the_file(
    month: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = month.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    file = tmp_path / "september.csv"

    exported = CliRunner().invoke(app, ["export-focus", "2026-09", "--out", str(file), "--provider", "Example"])
    assert exported.exit_code == 0, exported.output
    assert "2026-09: 2 final invoices as FOCUS 1.2" in exported.output
    assert "JPY 1,200" in exported.output
    assert "$58.43" in exported.output
    assert {row["InvoiceIssuerName"] for row in rows_of(file)} == {"Example"}

    imported = CliRunner().invoke(app, ["import-focus", str(file), "--cost", "billed"])
    assert imported.exit_code == 0, imported.output
    assert "12 rows of september.csv: 0 usage events" in imported.output
    refused = CliRunner().invoke(app, ["import-focus", str(file), "--cost", "effective"])
    assert isinstance(refused.exception, FocusImportError)


def test_the_command_names_left_out_invoices_and_fails(
    month: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = month.database.engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("FLY_BILLING_DATA_DIR", str(tmp_path / "data"))
    drop_checks(month, "invoice_items")
    damage_gamma(month, "invoice_items", "amount = 'NaN'")
    file = tmp_path / "september.csv"
    exported = CliRunner().invoke(app, ["export-focus", "2026-09", "--out", str(file)])
    assert exported.exit_code == 1, exported.output
    assert "2026-09: 1 final invoice as FOCUS 1.2" in exported.output
    assert "Left out, gamma: " in exported.output
    assert "amount NaN is not a finite number" in exported.output
    assert {row["InvoiceId"] for row in rows_of(file)} == {"ACME-0001"}
