"""An invalid row from before the database refused it fails its own organization and no other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.rules.guard import OFF
from fly_billing.corrections.shadow_billing import shadow_bill
from fly_billing.invoicing import control_sample
from fly_billing.pricing.price_books import PriceBookFiles
from fly_billing.pricing.rules.plain_prices import PlainPrice
from tests.support.builders import METERS, PRICES, SEPTEMBER, TERMS, Platform, at, event, id_of, write_jsonl
from tests.support.unguarded import damage

NAMES = [f"org-{n}" for n in range(10)]
BAD = ("org-3", "org-7")
# Three requests at 0.10, support at 29.00, 5.00 once, 10 % off: 34.30 - 3.43 = 30.87, 1.00 of credit, 20 % of tax:
# 29.87 + 5.974, rounded: 35.84.
TOTAL = 3584


@pytest.fixture
def ten(platform: Platform) -> Platform:
    """Ten organizations with the same usage and terms; the database accepts any row."""
    platform.execute("delete from organizations")
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    for name in NAMES:
        platform.add_organization(name)
        platform.insert("coupons", code=f"five-{name}", description="5 off", amount=5, currency="USD")
        platform.add_subscription(name, "support", at("2026-01-10"))
        platform.add_one_off(name, "setup", "5", at("2026-09-10"))
        platform.redeem(name, "ten")
        platform.commit(name, "minimum", "10")
        platform.grant(name, "prepaid", "1")
        platform.add_tax(name, "VAT", "20")
    write_jsonl(platform.landing_dir, [event(f"e {name}", "3", subject=name) for name in NAMES])
    drop_rules(platform)
    return platform


def drop_rules(platform: Platform) -> None:
    for row in platform.query(
        "select conrelid::regclass::text as on_table, conname from pg_constraint where contype = 'c'"
        " and connamespace = current_schema()::regnamespace"
    ):
        platform.execute(f'alter table {row["on_table"]} drop constraint "{row["conname"]}"')


def write(platform: Platform, table: str, change: str, of: str) -> None:
    column = "id" if table == "organizations" else "organization_id"
    damage(platform.database, f"update {table} set {change} where {column} = '{of}'")  # noqa: S608


# The table, the statement that damages it, and a part of the error.
ROWS = [
    ("subscriptions", "ended_at = 'infinity'", "ended_at infinity is not a valid time"),
    ("subscriptions", "started_at = '-infinity'", "started_at -infinity is not a valid time"),
    ("subscriptions", "quantity = 'NaN'", "quantity NaN is not a finite number"),
    ("subscriptions", "quantity = 'Infinity'", "quantity Infinity is not a finite number"),
    ("subscriptions", "quantity = 1e17", "amount_too_large"),
    ("subscriptions", "price_key = ''", "no price ''"),
    ("subscriptions", "billed = 'whenever'", ""),
    ("one_off_items", "amount = 'NaN'", "amount NaN is not a finite number"),
    ("one_off_items", "amount = 'Infinity'", "amount Infinity is not a finite number"),
    ("one_off_items", "amount = '-Infinity'", "amount -Infinity is not a finite number"),
    ("one_off_items", "amount = 1e17", "amount_too_large"),
    ("one_off_items", "amount = 1e100", "is too large"),
    ("one_off_items", "currency = 'EUR'", "EUR"),
    ("commitments", "amount = 'NaN'", "amount NaN is not a finite number"),
    ("commitments", "amount = 1e17", "amount_too_large"),
    ("commitments", "months = 0", ""),
    ("commitments", "scope = '[]'", "commitments"),
    ("commitments", "first_month = '-infinity'", "first_month -infinity is not a valid time"),
    ("commitments", "last_month = 'infinity'", "last_month infinity is not a valid time"),
    ("discounts", "first_month = 'infinity'", "first_month infinity is not a valid time"),
    ("tax_rates", "last_month = '-infinity'", "range lower bound must be less"),
    ("subscriptions", "started_at = 'infinity'", "started_at infinity is not a valid time"),
    ("one_off_items", "occurred_at = 'infinity'", "occurred_at infinity is not a valid time"),
    ("one_off_items", "occurred_at = '-infinity'", "occurred_at -infinity is not a valid time"),
    ("credit_grants", "granted_at = 'infinity'", "granted_at infinity is not a valid time"),
    ("credit_grants", "granted_at = '-infinity'", "granted_at -infinity is not a valid time"),
    ("credit_grants", "expires_at = 'infinity'", "expires_at infinity is not a valid time"),
    ("credit_grants", "scope = '7'", "credit_grants"),
    ("tax_rates", "percent = 'NaN'", "percent NaN is not a finite number"),
    ("tax_rates", "percent = 'Infinity'", "percent Infinity is not a finite number"),
    ("tax_rates", "percent = 101", "percent 101 is above 100"),
    ("discounts", "coupon_code = 'bad'", "percent NaN is not a finite number"),
    ("organizations", "created_at = 'infinity'", "created_at infinity is not a valid time"),
    ("organizations", "created_at = '-infinity'", "created_at -infinity is not a valid time"),
    ("organizations", "price_book = 'no such book'", "no price"),
    ("organizations", "currency = '???'", ""),
]


@pytest.mark.parametrize(
    ("table", "change", "named"), ROWS, ids=lambda value: value.replace(" ", "-") if value else "_"
)
def test_a_row_that_can_not_be_billed_fails_its_organization_and_the_others_are_final_to_the_cent(
    ten: Platform, table: str, change: str, named: str
) -> None:
    ten.insert("coupons", code="bad", description="bad", percent=Decimal("NaN"))
    for name in BAD:
        write(ten, table, change, name)
    billed = ten.close()
    assert [failure.organization_id for failure in billed.failures] == list(BAD)
    assert all(named in f"{failure.error.code} {failure.error.operator_text}" for failure in billed.failures)
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name not in BAD}
    recorded = ten.query("select organization_id from billing_failures order by 1")
    assert [row["organization_id"] for row in recorded] == list(BAD)


def final_totals(platform: Platform) -> dict[str, int]:
    found = platform.query("select organization_id, total_cents from invoices where status = 'finalized'")
    return {row["organization_id"]: row["total_cents"] for row in found}


def test_all_ten_are_final_without_a_bad_row(ten: Platform) -> None:
    assert ten.close().failures == []
    assert final_totals(ten) == dict.fromkeys(NAMES, TOTAL)


@pytest.mark.parametrize(
    "change",
    ["unit_amount = 'NaN'", "unit_amount = 'Infinity'", "effective_from = '-infinity'", "effective_until = 'infinity'",
     "match = '7'", "settings = '7'", "model = 'whim'", "per = 0"],
)  # fmt: skip
def test_an_unreadable_price_fails_only_the_organizations_that_use_it(ten: Platform, change: str) -> None:
    """Two of the ten have traffic, whose price is broken."""
    write_jsonl(
        ten.landing_dir,
        [event(f"x {name}", "1", subject=name, type="egress_gb", region="iad") for name in BAD],
        name="x",
    )
    damage(ten.database, f"update prices set {change} where key = 'egress'")  # noqa: S608
    billed = ten.close()
    assert [(failure.organization_id, failure.error.code) for failure in billed.failures] == [
        (name, "unreadable_price") for name in BAD
    ]
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name not in BAD}


DAMAGED_PRICES = {
    "unit_amount = 'NaN'": "unit_amount NaN is not a finite number",
    "unit_amount = -1": "must be a finite number of at least 0",
    "unit_amount = 1e30": "unit_amount 1.000000e+30 is too large",
    "unit_amount = null": "unit_amount is missing",
    "per = 0": "per must be above 0",
    "per = null": "per is missing",
    "free_allowance = 1e-40": "must be below 10^23 and have at most 30 decimals",
    "effective_from = '-infinity'": "effective_from -infinity is not a valid time",
    "effective_from = effective_from + interval '1 day'": "does not belong to its book, key and effective_from",
    "match = '[]'": "match [] is not a JSON object",
    "match = 'null'": "match is missing",
    "settings = '7'": "settings 7 is not a JSON object",
    """settings = '{"unit_amount": "5"}'""": "settings contains unit_amount, which has a column of its own",
    """settings = '{"transform_quantity": {"divide_by": "1e-99"}}'""": "divide_by 1e-99 must be below 10^23",
    "model = 'volume', unit_amount = null, tiers = '[7]'": "tiers [7] is not a list of tiers",
    "model = 'whim'": "model 'whim'",
    "product = ''": "product is empty",
    "unit = E'GB\\n'": "unit 'GB\\n' has control characters",
}


def test_a_damaged_price_is_named_with_its_column_and_row_and_stops_only_its_organizations(ten: Platform) -> None:
    """Two of the ten have traffic. The message contains no text of Postgres or Python."""
    used = [event(f"x {name}", "1", subject=name, type="egress_gb", region="iad") for name in BAD]
    write_jsonl(ten.landing_dir, used, name="x")
    (price,) = ten.query("select id, to_jsonb(prices) as whole from prices where key = 'egress'")
    ten.execute("create table kept as select * from prices where key = 'egress'")
    columns = [name for name in price["whole"] if name != "id"]
    repair = (
        f"update prices set ({', '.join(columns)}) = (select {', '.join(columns)} from kept)"  # noqa: S608
        " where key = 'egress'"
    )
    damage(ten.database, "update prices set unit_amount = null where key = 'egress'")
    assert [failure.organization_id for failure in ten.close().failures] == list(BAD)
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name not in BAD}
    now = SEPTEMBER.closes_at(TERMS.grace) + timedelta(hours=2)
    for change, named in DAMAGED_PRICES.items():
        damage(ten.database, repair, f"update prices set {change} where key = 'egress'")  # noqa: S608
        failures = ten.bill(now=now).failures
        assert [(failed.organization_id, failed.error.code) for failed in failures] == [
            (name, "unreadable_price") for name in BAD
        ], change
        for failure in failures:
            text = failure.error.operator_text
            assert text.startswith("price fly/egress"), text
            assert named in text, text
            assert text.endswith(f"correct its row in the table prices (id {price['id']}), then bill the month again")
    damage(ten.database, repair)
    assert ten.bill(now=now).failures == []


DAMAGED_AGREEMENTS = {
    """charges = '{"percent_off": "NaN"}'""": "percent_off 'NaN' is not a number",
    """charges = '{"percent_off": "101"}'""": "percent_off 101 must be above 0 and at most 100",
    "charges = '7'": "charges 7 is not a JSON object",
    """charges = '{"percent_off": "10", "effective_from": "2020-01-01"}'""": "charges contains effective_from",
    "match = '[]'": "match [] is not a JSON object",
    "effective_from = 'infinity'": "effective_from infinity is not a valid time",
    "effective_until = effective_from": "is not after effective_from",
}


def test_a_damaged_negotiated_price_is_named_and_stops_only_its_holders(ten: Platform) -> None:
    """One of the two has its own price, the other one its group's."""
    for column, holder in (("organization_id", "org-3"), ("price_group", "partners")):
        ten.insert(
            "negotiated_prices", id=id_of(holder), book="fly", key="requests", charges='{"percent_off": "10"}',
            effective_from=at("2026-01-01"), **{column: holder},
        )  # fmt: skip
    ten.insert("price_group_members", price_group="partners", organization_id="org-7", effective_from=at("2026-01-01"))
    damage(ten.database, "update negotiated_prices set charges = '7'")
    assert [failure.organization_id for failure in ten.close().failures] == list(BAD)
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name not in BAD}
    now = SEPTEMBER.closes_at(TERMS.grace) + timedelta(hours=2)
    whole = (
        """update negotiated_prices set charges = '{"percent_off": "10"}', match = '{}',"""
        " effective_from = '2026-01-01Z', effective_until = null"
    )
    for change, named in DAMAGED_AGREEMENTS.items():
        damage(ten.database, whole, f"update negotiated_prices set {change}")  # noqa: S608
        failures = ten.bill(now=now).failures
        assert [failed.organization_id for failed in failures] == list(BAD), change
        for failure, holder in zip(failures, ("org-3", "group partners"), strict=True):
            text = failure.error.operator_text
            assert text.startswith(f"negotiated price fly/requests of {holder}: "), text
            assert named in text, text
            assert "correct its row in the table negotiated_prices (id " in text
    damage(ten.database, whole, "update price_group_members set effective_until = effective_from")
    (failure,) = ten.bill(now=now).failures
    assert failure.organization_id == "org-7"
    assert failure.error.operator_text.startswith("membership of org-7 in group partners: effective_until")


def test_an_invoice_that_the_database_refuses_fails_its_organization_only(ten: Platform) -> None:
    """Linked after it was computed, and overdrawn: both are found only when the invoice becomes final."""
    ten.execute("alter table invoices add constraint odd check (organization_id not in ('org-3', 'org-7'))")
    billed = ten.close()
    assert [(failure.organization_id, failure.error.code) for failure in billed.failures] == [
        (name, "invoice_refused") for name in BAD
    ]
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name not in BAD}


def test_a_payer_whose_prepared_amount_is_not_that_of_the_rules_is_not_billed_and_the_others_are(
    ten: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of our own: 7 requests cost a cent too much. Only org-3 made 4 more than the others."""
    right = PlainPrice.amount_of

    def wrong(price: PlainPrice, quantity: Decimal) -> Decimal | None:
        amount = right(price, quantity)
        return amount + Decimal("0.01") if amount and quantity == 7 else amount

    monkeypatch.setattr(PlainPrice, "amount_of", wrong)
    monkeypatch.setattr(control_sample, "ONE_IN", 1)
    write_jsonl(ten.landing_dir, [event("more", "4", subject="org-3")], name="more")
    (failure,) = ten.close().failures
    assert (failure.organization_id, failure.error.code) == ("org-3", "prepared_prices_differ")
    assert "'requests as used', 7 for 0.71, but by the rules it is" in failure.error.operator_text
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name != "org-3"}


def test_a_fixed_row_is_billed_and_its_failure_ends(ten: Platform) -> None:
    write(ten, "subscriptions", "ended_at = 'infinity'", "org-3")
    assert [failure.organization_id for failure in ten.close().failures] == ["org-3"]
    write(ten, "subscriptions", "ended_at = null", "org-3")
    assert ten.close().failures == []
    assert final_totals(ten) == dict.fromkeys(NAMES, TOTAL)
    assert ten.query("select from billing_failures") == []


def test_a_final_month_is_corrected_for_all_but_those_with_a_bad_row(ten: Platform) -> None:
    """Two more requests of org-1, at 0.10 less 10 %: 0.18."""
    ten.close()
    for name in BAD:
        write(ten, "subscriptions", "ended_at = 'infinity'", name)
    write_jsonl(ten.landing_dir, [event("late", "2", subject="org-1")], name="late")
    ten.land(now=at("2026-10-06"))
    ten.roll_up(now=at("2026-10-06"))
    found = correct_month(
        ten.database, SEPTEMBER, NAMES, ten.usage_table, Actor("ann", at("2026-10-06")), guard=OFF, with_terms=True
    )
    assert [name for name, _ in found.failures] == list(BAD)
    assert [(correction.payer.organization_id, correction.amount) for correction in found.needed] == [
        ("org-1", Decimal("0.18"))
    ]


def test_a_month_is_shadow_billed_for_all_but_those_with_a_bad_row(ten: Platform) -> None:
    ten.close()
    for name in BAD:
        write(ten, "subscriptions", "quantity = 'NaN'", name)
    report = shadow_bill(ten.database, SEPTEMBER, PriceBookFiles("fly", METERS, PRICES))
    assert sorted(unpriced.organization_id for unpriced in report.unpriced) == list(BAD)


# The damage to the rollup of org-3 (three requests), with the database's rules off.
OF_ORG_3 = "snapshot_id = (select id from usage_snapshots where organization_id = 'org-3')"
ONE_TOO_MANY = [
    "insert into usage_rollups (id, snapshot_id, meter, dimensions, segment_start, segment_end, quantity, events)"
    " select gen_random_uuid(), snapshot_id, 'egress_gb', dimensions, segment_start, segment_end, 500, 1"
    " from usage_rollups where OF_ORG_3"
]
DAMAGED_ROLLUPS = [
    ["update usage_rollups set quantity = 5 where OF_ORG_3"],
    ["update usage_rollups set quantity = 'NaN' where OF_ORG_3"],
    ["update usage_rollups set quantity = 'Infinity' where OF_ORG_3"],
    ["update usage_rollups set events = 2 where OF_ORG_3"],
    ["update usage_rollups set daily[15] = 1 where OF_ORG_3"],
    ["""update usage_rollups set dimensions = '{"region": "iad"}' where OF_ORG_3"""],
    ["update usage_rollups set dimensions = '[7]' where OF_ORG_3"],
    ["update usage_rollups set meter = 'egress_gb' where OF_ORG_3"],
    ["update usage_rollups set segment_start = '2026-09-02Z' where OF_ORG_3"],
    ["update usage_rollups set segment_end = 'infinity' where OF_ORG_3"],
    [
        "delete from invoice_item_rollups where rollup_id in (select id from usage_rollups where OF_ORG_3)",
        "delete from usage_rollups where OF_ORG_3",
    ],
    ONE_TOO_MANY,
    ["update usage_snapshots set organization_id = 'org-4', is_current = false where organization_id = 'org-3'"],
    ["update usage_snapshots set month = '2026-08-01' where organization_id = 'org-3'"],
]  # fmt: skip


def damage_rollups(platform: Platform, statements: Sequence[str]) -> None:
    damage(platform.database, *(statement.replace("OF_ORG_3", OF_ORG_3) for statement in statements))


@pytest.mark.parametrize("statements", DAMAGED_ROLLUPS, ids=lambda value: value[-1][:60])
def test_a_damaged_rollup_of_a_final_invoice_stops_its_organization_and_the_others_are_corrected(
    ten: Platform, statements: list[str]
) -> None:
    """Two more requests of org-1 and of org-3, at 0.10 less 10 %: 0.18 each; that of org-3 waits."""
    ten.close()
    for statement in (
        "alter table invoice_items disable trigger user",
        "alter table usage_rollups drop constraint if exists usage_rollups_snapshot_id_fkey",
        "alter table invoices drop constraint if exists invoices_usage_snapshot_id_organization_id_month_fkey",
    ):
        ten.execute(statement)
    damage_rollups(ten, statements)
    done = ten.roll_up(now=at("2026-10-05"))
    assert [failure.organization_id for failure in done.failures] == ["org-3"]
    assert "fly-billing bill 2026-09" in done.failures[0].reason
    write_jsonl(ten.landing_dir, [event("late", "2", subject="org-1")], name="late")
    ten.land(now=at("2026-10-06"))
    assert [failure.organization_id for failure in ten.roll_up(now=at("2026-10-06")).failures] == ["org-3"]
    found = correct_month(
        ten.database, SEPTEMBER, NAMES, ten.usage_table, Actor("ann", at("2026-10-06")), guard=OFF, with_terms=True
    )
    assert [(name, error.code) for name, error in found.failures] == [("org-3", "usage_rollups_damaged")]
    assert [(correction.payer.organization_id, correction.amount) for correction in found.needed] == [
        ("org-1", Decimal("0.18"))
    ]
    assert final_totals(ten) == dict.fromkeys(NAMES, TOTAL)


def test_an_open_invoice_with_a_damaged_rollup_is_not_billed_until_the_rollup_is_removed(ten: Platform) -> None:
    """An extra rollup on the open invoice: the others are closed to the cent, org-3 once it is removed."""
    ten.land()
    ten.compute()
    damage_rollups(ten, ONE_TOO_MANY)
    billed = ten.close()
    assert [(failure.organization_id, failure.error.code) for failure in billed.failures] == [
        ("org-3", "usage_rollups_damaged")
    ]
    assert "egress_gb is 0 from 0 events in the usage table, b" in billed.failures[0].error.operator_text
    assert final_totals(ten) == {name: TOTAL for name in NAMES if name != "org-3"}
    ten.execute("delete from usage_rollups where quantity = 500")
    assert ten.close().failures == []
    assert final_totals(ten) == dict.fromkeys(NAMES, TOTAL)
    assert ten.query("select from rollup_failures") == []


def test_changed_rollups_of_an_open_invoice_are_calculated_again_from_scratch(ten: Platform) -> None:
    """As the nightly run and the one that closes the month do."""
    ten.land()
    ten.compute()
    for statements in DAMAGED_ROLLUPS[:10]:
        damage_rollups(ten, statements)
        assert ten.roll_up(from_scratch=True).failures == []
    assert ten.close().failures == []
    assert final_totals(ten) == dict.fromkeys(NAMES, TOTAL)
