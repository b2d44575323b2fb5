"""A real bill of 1,000 charges, imported, landed, rolled up and billed, equals the total of its rows exactly.

The expected amounts are calculated here from the CSV alone: ListUnitPrice x PricingQuantity, in fractions.
"""

import csv
import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import text

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.focus.imports import FocusImport, FocusImportError, import_focus
from fly_billing.invoicing.bill_run import Billed, bill
from fly_billing.invoicing.month_closing import Terms
from fly_billing.periods import BillingMonth
from fly_billing.postgres.database import BillingDatabase
from fly_billing.usage.landing import land_days
from fly_billing.usage.landing_rows import LandedFile
from fly_billing.usage.rollups import roll_up
from fly_billing.usage.usage_table import UsageTable
from tests.support.builders import items_of

SAMPLE = Path(__file__).parents[2] / "data" / "focus_1.0_sample.csv"
SEPTEMBER = BillingMonth(2024, 9)
NOW = datetime(2024, 10, 5, tzinfo=UTC)
TERMS = Terms(grace=timedelta(hours=72), due_days=14)


def focus(
    database: BillingDatabase, landing_dir: Path, *files: Path, own_groups: int = 200, cost: str = "list"
) -> FocusImport:
    return import_focus(
        database, landing_dir, *(files or (SAMPLE,)), max_org_partitions=own_groups, shared_groups=8, now=NOW, cost=cost
    )


def land(database: BillingDatabase, landing_dir: Path) -> list[LandedFile]:
    """Land all days on which usage of September may land: the 1st of September to the 3rd of October."""
    usage_table = UsageTable(landing_dir.parent / "usage_events")
    days = [SEPTEMBER.first_day + timedelta(days=n) for n in range(33)]
    return land_days(database, usage_table, landing_dir, days, SEPTEMBER, NOW)


def bill_september(database: BillingDatabase, landing_dir: Path) -> Billed:
    groups = [str(group) for (group,) in query(database, "select distinct billing_group from organizations")]
    roll_up(database, UsageTable(landing_dir.parent / "usage_events"), SEPTEMBER, groups, NOW)
    return bill(database, SEPTEMBER, groups, TERMS, NOW)


def bill_september_early(database: BillingDatabase, landing_dir: Path) -> Billed:
    """Bill September before it is over: its invoice stays open."""
    groups = [str(group) for (group,) in query(database, "select distinct billing_group from organizations")]
    roll_up(database, UsageTable(landing_dir.parent / "usage_events"), SEPTEMBER, groups, NOW)
    return bill(database, SEPTEMBER, groups, TERMS, datetime(2024, 9, 30, tzinfo=UTC))


def query(database: BillingDatabase, statement: str) -> list[tuple[object, ...]]:
    with database.transaction() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def sample_rows() -> list[dict[str, str]]:
    with SAMPLE.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def list_amount(row: dict[str, str]) -> Fraction:
    if row["ListUnitPrice"] == "NULL":
        return Fraction(row["ListCost"])
    return Fraction(row["ListUnitPrice"]) * Fraction(row["PricingQuantity"])


def is_metered(row: dict[str, str]) -> bool:
    return row["ChargeCategory"] == "Usage" and row["ListUnitPrice"] != "NULL" and Fraction(row["PricingQuantity"]) >= 0


def sums_by_sub_account(rows: list[dict[str, str]]) -> dict[str, Fraction]:
    """Return the sum of the rows' list amounts, by the end of the organization's id."""
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for row in rows:
        sums[sha256(row["SubAccountId"].encode()).hexdigest()[:12]] += list_amount(row)
    return dict(sums)


def write_focus(path: Path, *changes: dict[str, str]) -> Path:
    """Write a FOCUS file of the sample's first row, once for each of the changes to it."""
    first = sample_rows()[0] | {
        "SubAccountId": "1",
        "SubAccountName": "Acme",
        "ListUnitPrice": "0.5",
        "PricingQuantity": "4",
    }
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(first))
        writer.writeheader()
        writer.writerows(first | change for change in changes)
    return path


def test_every_organization_is_billed_the_exact_sum_of_its_rows(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    imported = focus(billing_database, landing_dir)
    landed = land(billing_database, landing_dir)
    assert set(imported.landing_days) <= {file.day for file in landed}
    billed = bill_september(billing_database, landing_dir)

    metered = [row for row in sample_rows() if is_metered(row)]
    single = [row for row in sample_rows() if not is_metered(row)]
    assert (imported.rows, imported.usage, imported.one_off, imported.rejected) == (1000, len(metered), len(single), ())
    assert sum(file.accepted for file in landed) == len(metered)
    assert sum(file.duplicate + file.rejected for file in landed) == 0

    assert (billed.failures, billed.finalized, len(billed.invoices)) == ([], True, 73)
    found = {billed_invoice.organization_id[-12:]: billed_invoice for billed_invoice in billed.invoices}
    usage = {account: Fraction(0) for account in found} | sums_by_sub_account(metered)
    for account, amount in sums_by_sub_account(sample_rows()).items():
        invoice = found[account]
        items = items_of(billing_database, invoice)
        metered_amount = sum((Fraction(item["amount"]) for item in items if item["kind"] == "usage"), Fraction(0))
        assert metered_amount == usage[account]
        assert Fraction(invoice.amount) == amount
        in_cents = (invoice.amount * 100).quantize(Decimal(1), ROUND_HALF_UP)
        assert invoice.total_cents == int(in_cents) == sum(item["amount_cents"] for item in items)
    assert sum((billed_invoice.amount for billed_invoice in billed.invoices), Decimal(0)) == Decimal(
        "20.390651956668488"
    )


def test_the_credit_without_list_price_is_a_one_off_item_of_its_list_cost(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    focus(billing_database, landing_dir)
    items = query(
        billing_database, "select description, amount, currency from one_off_items where description ~ '^Credit'"
    )
    assert items == [
        (
            "Credit: AWS Open Source Promotional Credits, credit from account: 391835788720",
            Decimal("-2.61370000000"),
            "USD",
        )
    ]


def test_a_negative_quantity_is_returned_as_a_one_off_item(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    file = write_focus(
        landing_dir.parent / "bill.csv", {"Id": "1", "PricingQuantity": "-0.00138900000", "ListUnitPrice": "9.28"}
    )
    imported = focus(billing_database, landing_dir, file)
    assert (imported.usage, imported.one_off) == (0, 1)
    assert query(billing_database, "select amount, left(description, 21) from one_off_items") == [
        (Decimal("-0.01288992"), "Correction of usage: ")
    ]


def test_each_list_price_of_a_sku_and_unit_is_one_price_and_each_unit_one_meter(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    imported = focus(billing_database, landing_dir)
    prices, meters = Counter[tuple[str, str, Fraction]](), Counter[str]()
    for row in filter(is_metered, sample_rows()):
        sku = row["SkuId"] if row["SkuPriceId"] in ("NULL", "") else row["SkuPriceId"]
        prices[sku, row["PricingUnit"], Fraction(row["ListUnitPrice"])] += 1
        meters[row["PricingUnit"]] += 1
    assert query(billing_database, "select count(*) from prices") == [(len(prices),)]
    assert query(billing_database, 'select unit from meters order by unit collate "C"') == [
        (unit,) for unit in sorted(meters)
    ]
    assert imported.new_prices == len(prices)


def test_importing_and_billing_a_file_twice_changes_nothing(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    tables = ("organizations", "meters", "prices", "one_off_items", "invoices", "invoice_items")

    def everything() -> tuple[object, ...]:
        folder = {path: path.read_bytes() for path in landing_dir.rglob("*") if path.is_file()}
        return folder, [query(billing_database, f"select * from {table} order by 1") for table in tables]  # noqa: S608

    first = focus(billing_database, landing_dir)
    land(billing_database, landing_dir)
    bill_september(billing_database, landing_dir)
    before = everything()
    again = focus(billing_database, landing_dir)
    land(billing_database, landing_dir)
    assert bill_september(billing_database, landing_dir).invoices == []
    assert everything() == before
    assert (first.new_organizations, first.new_prices > 0) == (73, True)
    assert (again.new_organizations, again.new_prices) == (0, 0)


def test_sub_accounts_beyond_the_number_of_separate_groups_share_groups(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    focus(billing_database, landing_dir, own_groups=50)
    groups = query(billing_database, "select count(*) from organizations where billing_group = id")
    shared = query(billing_database, "select count(*) from organizations where billing_group ~ '^tail-0[0-7]$'")
    assert (groups, shared) == ([(50,)], [(23,)])


def hour(day: int, hour: int, **columns: str) -> dict[str, str]:
    """Return a charge of one hour of September 2024: 4 units at 0.50, unless `columns` say otherwise."""
    return {
        "ChargePeriodStart": f"2024-09-{day:02} {hour:02}:00:00",
        "ChargePeriodEnd": f"2024-09-{day:02} {hour + 1:02}:00:00",
    } | columns


def counts(imported: FocusImport) -> tuple[int, int, int, int]:
    return imported.new, imported.known, imported.changed, imported.vanished


def test_month_to_date_exports_with_any_file_names_bill_each_charge_once(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    rows = [hour(18, 1), hour(18, 2, PricingQuantity="6"), hour(19, 1), hour(19, 1)]
    folder = landing_dir.parent
    first = focus(billing_database, landing_dir, write_focus(folder / "0918.csv", *rows[:2]))
    second = focus(billing_database, landing_dir, write_focus(folder / "0919.csv", *rows))
    again = focus(billing_database, landing_dir, write_focus(folder / "copy.csv", *reversed(rows)))
    assert [counts(report) for report in (first, second, again)] == [(2, 0, 0, 0), (2, 2, 0, 0), (0, 4, 0, 0)]
    assert again.written == ()
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal(9)  # 2 + 3 + 2 + 2


def test_a_corrected_export_replaces_usage_and_one_off_items_that_changed_or_vanished(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    """4 hours at 2.00, purchases of 10.00 and 7.00. Corrected: an hour has 6 units, one -1 (a one-off), one is gone.

    The purchase is 11.00, the other one gone; and there is a new hour.
    """
    bought = {"ChargeCategory": "Purchase", "SkuPriceId": "bought", "ListUnitPrice": "1"}
    rows = [
        *(hour(18, n) for n in (1, 2, 3, 4)),
        hour(18, 0, **bought, PricingQuantity="10"),
        hour(19, 0, **bought, PricingQuantity="7"),
    ]
    corrected = [
        rows[0],
        rows[1] | {"PricingQuantity": "6"},
        rows[2] | {"PricingQuantity": "-1"},
        rows[4] | {"PricingQuantity": "11"},
        hour(19, 5),
    ]
    file = landing_dir.parent / "export.csv"
    focus(billing_database, landing_dir, write_focus(file, *rows))
    land(billing_database, landing_dir)
    (before,) = bill_september_early(billing_database, landing_dir).invoices
    assert before.amount == Decimal(25)
    second = focus(billing_database, landing_dir, write_focus(file, *corrected))
    assert counts(second) == (1, 1, 3, 2)
    assert counts(focus(billing_database, landing_dir, file)) == (0, 5, 0, 0)
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal("17.50")  # 2 + 3 - 0.50 + 11 + 2
    items = query(billing_database, "select amount from one_off_items where description ~ '^Reversed' order by 1")
    assert items == [(Decimal(-10),), (Decimal(-7),)]


def test_a_later_export_corrects_a_final_month(billing_database: BillingDatabase, landing_dir: Path) -> None:
    """Final: 2.00 + 2.00 of usage and 10.00 bought. The later export has 3.00 for the second hour, and 7.00 bought."""
    bought = {"ChargeCategory": "Purchase", "ListUnitPrice": "1"}
    file = landing_dir.parent / "export.csv"
    first = write_focus(file, hour(18, 1), hour(18, 2), hour(18, 3, **bought, PricingQuantity="10"))
    focus(billing_database, landing_dir, first)
    land(billing_database, landing_dir)
    (final,) = bill_september(billing_database, landing_dir).invoices
    assert final.amount == Decimal(14)
    later = write_focus(file, hour(18, 1), hour(18, 2, PricingQuantity="6"), hour(18, 3, **bought, PricingQuantity="7"))
    assert counts(focus(billing_database, landing_dir, later)) == (0, 1, 2, 0)
    land(billing_database, landing_dir)
    usage_table = UsageTable(landing_dir.parent / "usage_events")
    groups = [str(group) for (group,) in query(billing_database, "select distinct billing_group from organizations")]
    roll_up(billing_database, usage_table, SEPTEMBER, groups, NOW)
    names = [str(name) for (name,) in query(billing_database, "select id from organizations")]
    for _ in range(2):  # once, however often
        corrected = correct_month(billing_database, SEPTEMBER, names, usage_table, Actor("test", NOW, "run"), guard=OFF)
        assert corrected.failures == []
    assert query(billing_database, "select amount from adjustments") == [(Decimal(1),)]
    waiting = (
        "select sum(amount) from one_off_items as o"
        " where not exists (select from invoice_items as t where t.one_off_item_id = o.id)"
    )
    assert query(billing_database, waiting) == [(Decimal(-3),)]


def test_a_charge_that_vanished_and_came_back_is_billed_once(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    bought = {"ChargeCategory": "Purchase", "PricingQuantity": "3"}
    whole = write_focus(landing_dir.parent / "a.csv", hour(18, 1), hour(18, 2, **bought), hour(18, 3))
    without = write_focus(landing_dir.parent / "b.csv", hour(18, 1))
    for file in (whole, without, whole, without, whole):
        focus(billing_database, landing_dir, file)
        land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal("5.50")  # 2 + 1.50 + 2


def test_the_same_export_in_focus_1_3_is_known(billing_database: BillingDatabase, landing_dir: Path) -> None:
    """ProviderName and PublisherName became ServiceProviderName and HostProviderName."""
    before = write_focus(landing_dir.parent / "a.csv", hour(18, 1), hour(18, 2, PricingQuantity="4.0"))
    text = before.read_text(encoding="utf-8")
    text = text.replace("ProviderName", "ServiceProviderName", 1).replace("PublisherName", "HostProviderName", 1)
    now = landing_dir.parent / "b.csv"
    now.write_text(text.replace("2024-09-18 02:00:00", "2024-09-18T02:00:00Z"), encoding="utf-8")
    focus(billing_database, landing_dir, before)
    assert counts(focus(billing_database, landing_dir, now)) == (0, 2, 0, 0)
    assert query(billing_database, "select distinct product from prices") == [("Amazon Simple Queue Service",)]


def test_all_files_of_one_export_are_compared_together(billing_database: BillingDatabase, landing_dir: Path) -> None:
    parts = [write_focus(landing_dir.parent / f"part-{n}.csv", hour(18, n), hour(19, n)) for n in (1, 2)]
    first = focus(billing_database, landing_dir, *parts)
    again = focus(billing_database, landing_dir, *reversed(parts))
    assert (counts(first), counts(again)) == ((4, 0, 0, 0), (0, 4, 0, 0))


def test_charges_missing_from_a_damaged_export_stay_billed_until_its_rows_can_be_read(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    file = write_focus(landing_dir.parent / "bill.csv", hour(18, 1), hour(18, 2))
    focus(billing_database, landing_dir, file)
    write_focus(file, hour(18, 1), hour(18, 2, PricingQuantity="two"))
    imported = focus(billing_database, landing_dir, file)
    assert (counts(imported), imported.kept, len(imported.rejected)) == ((0, 1, 0, 1), 1, 1)
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal(4)


def test_charges_imported_at_one_kind_of_cost_are_not_imported_at_the_other(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    file = write_focus(landing_dir.parent / "bill.csv", hour(18, 1, BilledCost="1.5"), hour(18, 2))
    focus(billing_database, landing_dir, file)
    with pytest.raises(FocusImportError, match=r"already imported with --cost list"):
        focus(billing_database, landing_dir, file, cost="billed")
    other = write_focus(landing_dir.parent / "other.csv", hour(18, 1, SubAccountId="2", BilledCost="1.5"))
    focus(billing_database, landing_dir, other, cost="billed")
    with pytest.raises(FocusImportError, match=r"already imported with --cost billed"):
        focus(billing_database, landing_dir, other)


def test_one_off_items_of_an_import_before_items_named_their_charge_are_known(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    bought = {"ChargeCategory": "Purchase"}
    file = write_focus(landing_dir.parent / "bill.csv", hour(18, 1, **bought), hour(18, 1, **bought))
    focus(billing_database, landing_dir, file)
    with billing_database.transaction() as connection:
        connection.execute(text("update one_off_items set imported_as = null"))
    assert counts(focus(billing_database, landing_dir, file)) == (0, 2, 0, 0)
    assert query(billing_database, "select count(*) from one_off_items") == [(2,)]


def test_usage_files_of_an_older_import_are_refused_with_the_fix(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    folder = landing_dir / "2024-09-19"
    folder.mkdir(parents=True)
    (folder / "focus-bill-csv.csv").write_text("id,source,focus_line\n1,focus:bill.csv,2\n", encoding="utf-8")
    file = write_focus(landing_dir.parent / "bill.csv", hour(18, 1))
    with pytest.raises(FocusImportError, match=r"Move such files away and import their exports again"):
        focus(billing_database, landing_dir, file)
    assert query(billing_database, "select count(*) from organizations") == [(0,)]


def test_two_equal_charges_are_both_billed(billing_database: BillingDatabase, landing_dir: Path) -> None:
    """FOCUS has no identity of a row: two equal rows are two charges."""
    file = write_focus(landing_dir.parent / "bill.csv", {"Id": "NULL"}, {"Id": "NULL"}, {"Id": "7"}, {"Id": "7"})
    focus(billing_database, landing_dir, file)
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal(8)


def test_a_charge_whose_name_has_line_ends_is_one_row_of_usage(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    """Providers may type any name for a region or a service: 4 x 0.50 for each."""
    names = ["web\rapi", "web\r\napi", "web\napi", "\rweb", "web\r"]
    changes = [{"Id": str(n), "RegionId": name, "ServiceName": name} for n, name in enumerate(names)]
    file = write_focus(landing_dir.parent / "bill.csv", *changes)
    assert focus(billing_database, landing_dir, file).usage == len(names)
    assert sum(day.accepted for day in land(billing_database, landing_dir)) == len(names)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal(10)


def test_a_row_that_can_not_be_billed_is_rejected_with_line_and_reason(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    changes: list[dict[str, str]] = [
        {"Id": "1"},
        {"Id": "2", "SubAccountId": "NULL"},
        {"Id": "3", "PricingQuantity": "four"},
        {"Id": "4", "BillingCurrency": "EUR"},
        {"Id": "5", "ListUnitPrice": "NULL", "ListCost": "NULL"},
        {"Id": "6", "ChargePeriodStart": "2024-10-06 00:00:00"},
        {"Id": "7", "ChargePeriodStart": "yesterday"},
        {"Id": "8", "PricingQuantity": "Infinity"},
        {"Id": "9", "BillingCurrency": "dollars"},
    ]
    file = write_focus(landing_dir.parent / "bill.csv", *changes)
    with file.open("a", encoding="utf-8") as text_file:
        text_file.write("torn,row\n")
    imported = focus(billing_database, landing_dir, file)
    expected = [
        (3, "missing_sub_account"),
        (4, "bad_number"),
        (5, "mixed_currency"),
        (6, "no_amount"),
        (7, "in_future"),
        (8, "bad_time"),
        (9, "bad_number"),
        (10, "bad_currency"),
        (11, "torn_row"),
    ]
    assert (imported.rows, imported.usage, imported.one_off) == (10, 1, 0)
    assert [(row.line, row.reason) for row in imported.rejected] == expected
    kept = landing_dir.parent / "focus_rejected" / "bill.csv.jsonl"
    assert [
        (row["line"], row["reason"]) for row in map(json.loads, kept.read_text(encoding="utf-8").splitlines())
    ] == expected


def test_a_quantity_with_more_decimals_than_the_usage_table_holds_is_billed_exactly(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    file = write_focus(
        landing_dir.parent / "bill.csv",
        {"Id": "1", "PricingQuantity": "0.12345678901234567"},
        {"Id": "2", "PricingQuantity": "1e-7"},
    )
    imported = focus(billing_database, landing_dir, file)
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert (imported.usage, imported.one_off) == (1, 1)
    assert invoice.amount == Decimal("0.061728444506172835")


def test_a_list_price_with_more_decimals_than_a_price_may_have_is_billed_exactly(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    """2 x 0.0000000000001 and, metered, 2 x 0.000000000001."""
    file = write_focus(
        landing_dir.parent / "bill.csv",
        {"Id": "1", "PricingQuantity": "2", "ListUnitPrice": "0.0000000000001"},
        {"Id": "2", "PricingQuantity": "2", "ListUnitPrice": "0.0000000000010"},
    )
    imported = focus(billing_database, landing_dir, file)
    land(billing_database, landing_dir)
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert (imported.usage, imported.one_off) == (1, 1)
    assert invoice.amount == Decimal("0.0000000000022")


def test_an_earlier_file_of_a_sub_account_moves_its_first_month_back(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    september = write_focus(landing_dir.parent / "september.csv", {"Id": "1"})
    august = write_focus(
        landing_dir.parent / "august.csv",
        {"Id": "1", "ChargePeriodStart": "2024-08-31T23:00:00Z", "SubAccountName": "Acme Inc"},
    )
    focus(billing_database, landing_dir, september)
    imported = focus(billing_database, landing_dir, august)
    assert (imported.new_organizations, imported.landing_days) == (0, (date(2024, 9, 1),))
    assert query(billing_database, "select name, created_at from organizations") == [
        ("Acme", datetime(2024, 8, 1, tzinfo=UTC))
    ]


def test_a_file_without_the_columns_of_focus_is_refused_by_name(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    file = landing_dir.parent / "other.csv"
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(
        FocusImportError, match=r"other\.csv is not a FOCUS file: its header has no column BillingCurrency"
    ):
        focus(billing_database, landing_dir, file)


def test_a_file_without_usage_makes_an_empty_landing_folder(
    billing_database: BillingDatabase, landing_dir: Path
) -> None:
    """A month is closed only after its landing folders have landed, so the folder must exist, even if it is empty."""
    landing_dir.rmdir()
    file = write_focus(landing_dir.parent / "bill.csv", {"Id": "1", "ChargeCategory": "Purchase"})
    focus(billing_database, landing_dir, file)
    assert land(billing_database, landing_dir) == []
    (invoice,) = bill_september(billing_database, landing_dir).invoices
    assert invoice.amount == Decimal(2)
