"""An invoice as FOCUS rows: price x quantity is exact in each row, and the rows add up to the invoice, to the cent."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.focus.exports.columns import COLUMNS, MANDATORY
from fly_billing.focus.exports.exported_invoice import BilledItem, ExportedInvoice
from fly_billing.focus.exports.rows import Row, UnequalRows, focus_rows
from fly_billing.focus.exports.units import focus_unit
from fly_billing.money import exact_sum, share_out_cents, to_cents
from fly_billing.pricing.rules.models import PriceStep
from fly_billing.pricing.rules.rating import rate
from tests.support.builders import SEPTEMBER, at, id_of

AUGUST = SEPTEMBER.plus(-1)


def item(name: str, amount: str, kind: str = "usage", *steps: PriceStep, **changes: Any) -> BilledItem:
    """Return an item of acme in September. Its cents are rounded alone, until an invoice is made of it."""
    plain = BilledItem(
        id=id_of(name),
        kind=kind,
        organization_id="acme",
        organization_name="Acme",
        product=name.capitalize(),
        description=f"{name} as used",
        quantity=Decimal(1),
        unit="request",
        amount=Decimal(amount),
        amount_cents=0,
        period_start=SEPTEMBER.start,
        period_end=SEPTEMBER.end,
        price_key=name,
        detail={"steps": [step.as_data() for step in steps]},
    )
    return replace(plain, **changes)


def invoice(*items: BilledItem, currency: str = "USD") -> ExportedInvoice:
    """Round these items as an invoice does: once, with the cents shared out."""
    amounts = [line.amount for line in items]
    cents = share_out_cents(amounts, currency)
    rounded = [replace(line, amount_cents=share) for line, share in zip(items, cents, strict=True)]
    return ExportedInvoice(
        "ACME-0007", "acme", "Acme", SEPTEMBER, currency, to_cents(exact_sum(amounts), currency), rounded
    )


def rows_of(*items: BilledItem) -> list[Row]:
    return focus_rows(invoice(*items), "Fly.io")


def discount(code: str, amount: str, **off: str) -> BilledItem:
    """Return a coupon that takes these amounts off these items, by name."""
    applied = [{"item": str(id_of(name)), "amount": part} for name, part in off.items()]
    return item(code, amount, "discount", detail={"code": code, "applied_to": applied})


def picked(row: Row, *columns: str) -> list[Any]:
    return [row[column] for column in columns]


def test_rows_have_the_twenty_one_mandatory_columns_and_custom_columns_last() -> None:
    names = [column.name for column in COLUMNS]
    assert len(MANDATORY) == 21
    custom = [name.startswith("x_") for name in names]
    assert custom == sorted(custom)
    assert names[: custom.count(False)] == sorted(names[: custom.count(False)])


def test_a_tiered_item_has_a_row_per_tier_with_price_times_quantity() -> None:
    """12,500 requests: 10,000 at 0.002 are 20.00, 2,500 at 0.001 are 2.50, and a flat fee of 1.00."""
    first = PriceStep.of("0 to 10000", Decimal(10_000), Decimal("0.002"))
    second = PriceStep.of("above 10000", Decimal(2_500), Decimal("0.001"))
    fee = PriceStep.fee("flat fee of above 10000", Decimal("1.00"))
    rows = rows_of(item("api", "23.50", "usage", first, second, fee, quantity=Decimal(12_500)))
    columns = "ChargeCategory", "ListUnitPrice", "PricingQuantity", "PricingUnit", "ListCost", "BilledCost"
    assert [picked(row, *columns) for row in rows] == [
        ["Usage", Decimal("0.002"), 10_000, "Requests", 20, 20],
        ["Usage", Decimal("0.001"), 2_500, "Requests", Decimal("2.5"), Decimal("2.5")],
        ["Adjustment", 1, 1, "Units", 1, 1],
    ]
    assert [row["SkuPriceId"] for row in rows] == ["api|0 to 10000", "api|above 10000", "api|flat fee of above 10000"]
    assert {row["SkuId"] for row in rows} == {"api"}
    assert [row["ConsumedQuantity"] for row in rows] == [10_000, 2_500, None]
    assert rows[0]["ChargeDescription"] == "api as used: 0 to 10000"


def test_a_price_per_several_units_names_their_number_and_rounds_only_the_quantity() -> None:
    """1.94 for 2,592,000 seconds: 1,000,000 of them are 0.38580246913580246913... months; cut at the 18th decimal."""
    step = PriceStep.of("all", Decimal(1_000_000), Decimal("1.94"), Decimal(2_592_000))
    (row,) = rows_of(item("machine", str(step.amount), "usage", step, unit="second", quantity=Decimal(1_000_000)))
    assert picked(row, "ListUnitPrice", "PricingUnit") == [Decimal("1.94"), "2592000 Seconds"]
    assert row["PricingQuantity"] == Decimal("0.385802469135802469")
    assert row["ListCost"] == Decimal("0.74845679012345678986")
    assert row["EffectiveCost"] == Decimal("0.74845679012345679012")
    assert picked(row, "ConsumedQuantity", "ConsumedUnit", "SkuPriceId") == [1_000_000, "Seconds", "machine"]


def test_free_usage_is_a_row_at_a_price_of_zero() -> None:
    paid = PriceStep.of("all", Decimal(50), Decimal("0.02"))
    egress = item("egress", "1.00", "usage", paid, unit="GB", quantity=Decimal(150))
    egress = replace(egress, detail={**egress.detail, "free_allowance_used": "100"})
    free, charged = rows_of(egress)
    assert picked(free, "ListUnitPrice", "PricingQuantity", "ListCost", "BilledCost", "ConsumedQuantity") == [
        0,
        100,
        0,
        0,
        100,
    ]
    assert picked(charged, "PricingQuantity", "PricingUnit", "ListCost") == [50, "GB", 1]


def test_a_maximum_is_a_row_with_a_negative_quantity_and_a_positive_price() -> None:
    charged = PriceStep.of("all", Decimal(30), Decimal("1"))
    cut = PriceStep.fee("down to the maximum of 20", Decimal(-10))
    _, row = rows_of(item("api", "20", "usage", charged, cut))
    assert picked(row, "ChargeCategory", "ListUnitPrice", "PricingQuantity", "ListCost", "BilledCost") == [
        "Adjustment", 10, -1, -10, -10,
    ]  # fmt: skip


def test_a_recurring_fee_is_a_recurring_purchase_and_its_earlier_charge_a_correction() -> None:
    share = PriceStep.of("share of the month", Decimal(15), Decimal("29.00"), Decimal(30))
    before = PriceStep.fee("already charged", Decimal("-29.00"))
    paid, back = rows_of(item("support", "-14.50", "subscription", share, before, unit="day", quantity=Decimal(15)))
    columns = "ChargeCategory", "ChargeClass", "ChargeFrequency", "PricingQuantity", "PricingUnit", "ListCost"
    assert picked(paid, *columns) == ["Purchase", None, "Recurring", Decimal("0.5"), "30 Days", Decimal("14.5")]
    assert picked(back, *columns) == ["Purchase", "Correction", "Recurring", -1, "Units", -29]
    assert paid["ConsumedQuantity"] is None


def test_a_one_off_charge_is_a_purchase_and_a_negative_one_a_credit() -> None:
    charge = item("onboarding", "10", "one_off", unit="item", price_key=None)
    credit = item("goodwill", "-5.004", "one_off", unit="item", price_key=None)
    bought, given = rows_of(charge, credit)
    columns = "ChargeCategory", "ChargeFrequency", "ListUnitPrice", "ListCost", "EffectiveCost", "BilledCost"
    assert picked(bought, *columns) == ["Purchase", "One-Time", 10, 10, 10, 10]
    assert picked(given, *columns) == ["Credit", "One-Time", None, -5, -5, -5]


def test_a_one_off_charge_by_quantity_has_its_unit_price_and_its_quantity() -> None:
    hours = PriceStep.of("all", Decimal("2.5"), Decimal("180.00"))
    (row,) = rows_of(item("training", "450", "one_off", hours, unit="hour", price_key=None))
    columns = "ChargeCategory", "ChargeFrequency", "SkuPriceId", "ListUnitPrice", "PricingQuantity", "PricingUnit"
    assert picked(row, *columns) == ["Purchase", "One-Time", "one-off", 180, Decimal("2.5"), "Hours"]
    assert picked(row, "ListCost", "BilledCost") == [450, 450]


@pytest.mark.parametrize(
    ("quantity", "transformed", "consumed"),
    [
        ("100", {"used": "70", "divide_by": "1"}, "70"),  # started fifties
        ("2", {"used": "90", "divide_by": "60"}, "1.5"),  # minutes charged as started hours
        ("50", {"used": "99", "divide_by": "1"}, "99"),  # rounded down
    ],
)
def test_usage_charged_in_steps_has_the_used_quantity_as_consumed(
    quantity: str, transformed: dict[str, str], consumed: str
) -> None:
    step = PriceStep.of("all", Decimal(quantity), Decimal(1))
    billed = item("api", quantity, "usage", step, quantity=Decimal(quantity))
    (row,) = rows_of(replace(billed, detail={**billed.detail, "transformed": transformed}))
    assert picked(row, "PricingQuantity", "ConsumedQuantity", "ListCost") == [
        Decimal(quantity), Decimal(consumed), Decimal(quantity),
    ]  # fmt: skip


def test_usage_of_tiers_in_steps_is_consumed_in_proportion() -> None:
    """90 used, charged as 100: three fifths of it in the first tier."""
    tiers = [PriceStep.of("0 to 60", Decimal(60), Decimal(2)), PriceStep.of("above 60", Decimal(40), Decimal(1))]
    billed = item("api", "160", "usage", *tiers, quantity=Decimal(100))
    rows = rows_of(replace(billed, detail={**billed.detail, "transformed": {"used": "90", "divide_by": "1"}}))
    assert [row["ConsumedQuantity"] for row in rows] == [54, 36]


def test_usage_inside_a_step_charged_before_is_consumed_at_no_charge() -> None:
    billed = item("api", "0", "usage", quantity=Decimal(0))
    (row,) = rows_of(replace(billed, detail={**billed.detail, "transformed": {"used": "150", "divide_by": "1"}}))
    assert picked(row, "ConsumedQuantity", "BilledCost") == [150, 0]


def test_a_discount_has_no_row_and_lowers_the_billed_cost_of_its_rows() -> None:
    """10 % off 22.50 in two tiers: 2.00 off the first, 0.25 off the second. List prices stay."""
    first = PriceStep.of("0 to 10000", Decimal(10_000), Decimal("0.002"))
    second = PriceStep.of("above 10000", Decimal(2_500), Decimal("0.001"))
    api = item("api", "22.50", "usage", first, second)
    other = item("other", "7", "usage", PriceStep.of("all", Decimal(7), Decimal(1)))
    rows = rows_of(api, other, discount("TENOFF", "-2.25", api="2.25"))
    assert [picked(row, "ListCost", "EffectiveCost", "BilledCost", "x_Discounts") for row in rows] == [
        [20, 18, 18, "TENOFF"],
        [Decimal("2.5"), Decimal("2.25"), Decimal("2.25"), "TENOFF"],
        [7, 7, 7, None],
    ]


def test_a_row_names_both_coupons_of_an_item_and_a_free_item_bills_nothing() -> None:
    api = item("api", "10", "usage", PriceStep.of("all", Decimal(100), Decimal("0.1")))
    (row,) = rows_of(api, discount("HALF", "-5", api="5"), discount("REST", "-5", api="5"))
    assert picked(row, "ListCost", "EffectiveCost", "BilledCost", "x_Discounts") == [10, 0, 0, "HALF, REST"]


def test_a_credit_has_its_own_row_and_a_tax_is_also_calculated_on_list_prices() -> None:
    """100.00, 10 % off, 40.00 of credit; 19 % of the 50.00 left are 9.50, of the 60.00 at list prices 11.40."""
    api = item("api", "100", "usage", PriceStep.of("all", Decimal(100), Decimal(1)))
    credit = item("prepaid", "-40", "credit", price_key=None)
    tax = item("vat", "9.50", "tax", price_key=None, detail={"percent": "19", "base": "50"})
    rows = rows_of(api, discount("TENOFF", "-10", api="10"), credit, tax)
    assert [picked(row, "ChargeCategory", "ListCost", "BilledCost") for row in rows] == [
        ["Usage", 100, 90],
        ["Credit", -40, -40],
        ["Tax", Decimal("11.4"), Decimal("9.5")],
    ]
    assert picked(rows[2], "ListUnitPrice", "PricingQuantity", "SkuId", "PricingCategory") == [None] * 4


def test_the_list_cost_of_a_tax_is_that_of_the_items_it_is_on() -> None:
    """api 100.00 at 20 %, book 50.00 at 10 %, a true-up of 30.00 in parts; 36.00 of credit paid a fifth of each."""
    api, book = (
        item(name, amount, "usage", PriceStep.of("all", Decimal(amount), Decimal(1)))
        for name, amount in (("api", "100"), ("book", "50"))
    )
    minimum = item("at least", "30", "minimum", price_key=None)
    paid = {"api": "20", "book": "10", "at least": "6"}
    applied = [{"item": str(id_of(name)), "amount": amount} for name, amount in paid.items()]
    credit = item("prepaid", "-36", "credit", price_key=None, detail={"applied_to": applied})

    def tax(name: str, amount: str, percent: str, **taxed: str) -> BilledItem:
        parts = [{"item": str(id_of(key.replace("_", " "))), "amount": part} for key, part in taxed.items()]
        return item(name, amount, "tax", price_key=None, detail={"percent": percent, "base": "0", "taxed": parts})

    high = tax("high", "19.20", "20", api="80", at_least="16")
    low = tax("low", "4.80", "10", book="40", at_least="8")
    rows = rows_of(api, book, minimum, credit, high, low)
    # 100 - 20 + 16 at 20 %; 50 - 10 + 8 at 10 %.
    assert [picked(row, "ChargeCategory", "ListCost", "BilledCost") for row in rows[-2:]] == [
        ["Tax", Decimal("19.2"), Decimal("19.2")],
        ["Tax", Decimal("4.8"), Decimal("4.8")],
    ]


def test_an_adjustment_is_a_correction_of_the_month_that_it_corrects() -> None:
    late = item("late usage", "3", "adjustment", period_start=AUGUST.start, period_end=AUGUST.end)
    (row,) = rows_of(late)
    assert picked(row, "ChargeCategory", "ChargeClass", "ChargePeriodStart", "BillingPeriodStart") == [
        "Adjustment", "Correction", at("2026-08-01"), at("2026-09-01"),
    ]  # fmt: skip


def test_the_region_comes_from_the_usage_or_the_price_and_other_dimensions_are_tags() -> None:
    step = PriceStep.of("all", Decimal(1), Decimal(1))
    machine = item(
        "machine", "1", "usage", step,
        match={"preset": ("shared-cpu-1x",), "region": ("ams",)},
        dimensions={"app": "web", "preset": "shared-cpu-1x", "region": "ams"},
    )  # fmt: skip
    egress = item("egress", "1", "usage", step, match={"region": ("ams", "fra")}, dimensions={"app": "web"})
    machine_row, egress_row = rows_of(machine, egress)
    assert (machine_row["RegionId"], egress_row["RegionId"]) == ("ams", None)
    assert json.loads(str(machine_row["Tags"])) == json.loads(str(egress_row["Tags"])) == {"fly_billing/app": "web"}
    assert json.loads(str(machine_row["SkuPriceDetails"])) == {"Preset": "shared-cpu-1x", "Region": "ams"}
    assert egress_row["SkuPriceDetails"] is None


def test_rows_that_do_not_add_up_to_their_invoice_are_refused() -> None:
    right = invoice(item("api", "1", "usage", PriceStep.of("all", Decimal(1), Decimal(1))))
    with pytest.raises(UnequalRows, match=r"rows of invoice ACME-0007 add up to 1\.00 USD, but its total is 1\.01"):
        focus_rows(replace(right, total_cents=101), "Fly.io")


@pytest.mark.parametrize(
    ("unit", "per", "written"),
    [
        ("second", "2592000", "2592000 Seconds"),
        ("GB", "1", "GB"),
        ("GB-hour", "720", "720 GB-Hours"),
        ("hostname-month", "1", "Hostname-Months"),
        ("Requests", "1", "Requests"),
        ("request", "100000", "100000 Requests"),
        ("GB/hour", "1", "GB/Hour"),
        ("query/second", "10", "10 Queries/Second"),
        ("IP address", "1", "IP addresses"),
        ("day", "1", "Days"),
        ("batch", "1", "Batches"),
        ("box-month", "1", "Box-Months"),
    ],
)
def test_units_are_capitalized_and_in_the_plural(unit: str, per: str, written: str) -> None:
    assert focus_unit(unit, Decimal(per)) == written


QUANTITIES = st.decimals(min_value=0, max_value=10**9, places=9)
AMOUNTS = st.decimals(min_value=0, max_value=1000, places=12)


@given(
    st.lists(st.tuples(QUANTITIES, AMOUNTS, AMOUNTS, st.sampled_from(["1", "720", "2592000"])), min_size=1, max_size=4),
    st.decimals(min_value=0, max_value=100, places=2),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_rows_of_any_invoice_add_up_to_it_with_exact_price_times_quantity(
    used: list[tuple[Decimal, Decimal, Decimal, str]], percent: Decimal, currency: str
) -> None:
    items = []
    for number, (quantity, low, high, per) in enumerate(used):
        tiers = [{"up_to": "1000", "unit_amount": low, "flat_amount": "1"}, {"unit_amount": high}]
        rated = rate({"model": "graduated", "per": per, "free_allowance": "10", "tiers": tiers}, quantity)
        usage = item(f"p{number}", str(rated.amount), "usage", *rated.steps, quantity=quantity)
        free = {"free_allowance_used": str(rated.allowance_used)} if rated.allowance_used else {}
        items.append(replace(usage, detail={**usage.detail, **free}))
    off = {f"p{number}": line.amount * percent / 100 for number, line in enumerate(items)}
    coupon = discount("SOME", str(-exact_sum(list(off.values()))), **{name: str(part) for name, part in off.items()})
    billed = invoice(*items, coupon, currency=currency)
    rows = focus_rows(billed, "Fly.io")

    scale = {"USD": 100, "JPY": 1, "KWD": 1000}[currency]
    assert sum(Fraction(str(row["BilledCost"])) for row in rows) * scale == billed.total_cents
    for row in rows:
        factors = Fraction(str(row["ListUnitPrice"])), Fraction(str(row["PricingQuantity"]))
        assert factors[0] * factors[1] == Fraction(str(row["ListCost"]))
    consumed = sum(Fraction(str(row["ConsumedQuantity"])) for row in rows if row["ConsumedQuantity"] is not None)
    assert consumed == sum(Fraction(quantity) for quantity, *_ in used)
    at_list = sum((Fraction(str(row["ListCost"])) for row in rows), Fraction(0))
    assert abs(at_list - sum((Fraction(line.amount) for line in items), Fraction(0))) < Fraction(1, 10**8)


# --- Negotiated prices beside the price list --------------------------------------------------------

PRICES = "ListUnitPrice", "ContractedUnitPrice", "PricingQuantity", "ListCost", "ContractedCost"


def negotiated(billed: BilledItem, *at_list: PriceStep, free: str | None = None) -> BilledItem:
    listed = {
        "amount": str(exact_sum([step.amount for step in at_list])),
        "steps": [step.as_data() for step in at_list],
    }
    allowance = {"free_allowance_used": free} if free else {}
    agreed = {"of": "acme", "since": "2026-09-01T00:00:00+00:00", "list": {**listed, **allowance}}
    return replace(billed, detail={**billed.detail, "negotiated": agreed})


def test_the_contracted_price_is_the_list_price_without_a_negotiated_price() -> None:
    (row,) = rows_of(item("api", "3", "usage", PriceStep.of("all", Decimal(30), Decimal("0.10"))))
    assert picked(row, *PRICES) == [Decimal("0.10"), Decimal("0.10"), 30, 3, 3]


def test_a_negotiated_unit_price_is_shown_beside_the_list_price() -> None:
    step, at_list = (PriceStep.of("all", Decimal(30), Decimal(price)) for price in ("0.07", "0.10"))
    (row,) = rows_of(negotiated(item("api", "2.10", "usage", step), at_list))
    assert picked(row, *PRICES) == [Decimal("0.1"), Decimal("0.07"), 30, 3, Decimal("2.1")]
    assert picked(row, "EffectiveCost", "BilledCost") == [Decimal("2.1"), Decimal("2.1")]


def test_a_percentage_off_tiers_with_a_flat_fee_is_shown_beside_the_list_tier_by_tier() -> None:
    def tiers(*prices: str) -> list[PriceStep]:
        first, second, fee = map(Decimal, prices)
        return [
            PriceStep.of("0 to 100", Decimal(100), first),
            PriceStep.of("above 100", Decimal(50), second),
            PriceStep.fee("flat fee of above 100", fee),
        ]

    billed = item("api", "18", "usage", *tiers("0.09", "0.09", "4.5"), quantity=Decimal(150))
    rows = rows_of(negotiated(billed, *tiers("0.10", "0.10", "5")))
    assert [picked(row, "ListCost", "ContractedCost") for row in rows] == [
        [10, 9],
        [5, Decimal("4.5")],
        [5, Decimal("4.5")],
    ]
    assert rows[2]["ChargeCategory"] == "Adjustment"


def test_free_units_of_both_prices_cost_nothing_at_either() -> None:
    step, at_list = (PriceStep.of("all", Decimal(50), Decimal(price)) for price in ("0.01", "0.02"))
    billed = item("egress", "0.50", "usage", step, unit="GB", quantity=Decimal(150))
    billed = replace(billed, detail={**billed.detail, "free_allowance_used": "100"})
    free, charged = rows_of(negotiated(billed, at_list, free="100"))
    assert picked(free, *PRICES) == [0, 0, 100, 0, 0]
    assert picked(charged, *PRICES) == [Decimal("0.02"), Decimal("0.01"), 50, 1, Decimal("0.5")]


def test_free_units_of_the_negotiated_price_alone_have_the_average_list_price() -> None:
    """All 200 GB are free. At the list price they are 2.00: 0.01 a GB."""
    billed = item("egress", "0", "usage", unit="GB", quantity=Decimal(200))
    billed = replace(billed, detail={"steps": [], "free_allowance_used": "200"})
    (free,) = rows_of(negotiated(billed, PriceStep.of("all", Decimal(100), Decimal("0.02")), free="100"))
    assert picked(free, *PRICES) == [Decimal("0.01"), 0, 200, 2, 0]


def test_a_single_negotiated_price_beside_list_tiers_has_their_average_list_price() -> None:
    """150 requests at 0.05; at the list price 100 x 0.10 and 50 x 0.04 are 12.00: 0.08 each."""
    tiers = [
        PriceStep.of("0 to 100", Decimal(100), Decimal("0.10")),
        PriceStep.of("above 100", Decimal(50), Decimal("0.04")),
    ]
    billed = item("api", "7.50", "usage", PriceStep.of("all", Decimal(150), Decimal("0.05")), quantity=Decimal(150))
    (row,) = rows_of(negotiated(billed, *tiers))
    assert picked(row, *PRICES) == [Decimal("0.08"), Decimal("0.05"), 150, 12, Decimal("7.5")]


def test_an_item_without_usage_has_all_of_the_list_amount_in_its_first_row() -> None:
    billed = item("api", "4", "usage", PriceStep.fee("flat amount", Decimal(4)), quantity=Decimal(0))
    (row,) = rows_of(negotiated(billed, PriceStep.fee("up to the minimum of 8", Decimal(8))))
    assert picked(row, *PRICES) == [8, 4, 1, 8, 4]


def test_a_fee_for_half_a_month_and_its_earlier_charge_are_shown_beside_the_list_price() -> None:
    def fee(amount: str) -> list[PriceStep]:
        share = PriceStep.of("share of the month", Decimal(15), Decimal(amount), Decimal(30))
        return [share, PriceStep.fee("already charged", Decimal("-20"))]

    billed = item("support", "-10", "subscription", *fee("20"), unit="day", quantity=Decimal(15))
    paid, back = rows_of(negotiated(billed, *fee("29")))
    assert picked(paid, *PRICES) == [29, 20, Decimal("0.5"), Decimal("14.5"), 10]
    assert picked(back, *PRICES) == [20, 20, -1, -20, -20]


def test_a_tax_is_calculated_on_the_contracted_and_the_list_cost() -> None:
    step, at_list = (PriceStep.of("all", Decimal(100), Decimal(price)) for price in ("0.07", "0.10"))
    tax = item("vat", "1.40", "tax", detail={"percent": "20", "base": "7"})
    _, row = rows_of(negotiated(item("api", "7", "usage", step, quantity=Decimal(100)), at_list), tax)
    assert picked(row, "ListCost", "ContractedCost", "BilledCost") == [2, Decimal("1.4"), Decimal("1.4")]


@given(
    st.decimals(0, 10**9, places=15, allow_nan=False).filter(bool),
    st.decimals(0, 100, places=12, allow_nan=False),
    st.decimals(0, 100, places=12, allow_nan=False),
    st.sampled_from(["1", "7", "2592000"]),
)
def test_both_costs_are_unit_price_times_quantity_to_the_last_digit(
    used: Decimal, price: Decimal, listed: Decimal, per: str
) -> None:
    step, at_list = (PriceStep.of("all", used, version, Decimal(per)) for version in (price, listed))
    (row,) = rows_of(negotiated(item("api", str(step.amount), "usage", step, quantity=used), at_list))
    at, contracted, quantity, list_cost, contracted_cost = (Fraction(number) for number in picked(row, *PRICES))
    assert (at * quantity, contracted * quantity) == (list_cost, contracted_cost)
    assert (at, contracted) == (Fraction(listed), Fraction(price))
    assert all((cost * 10**24).denominator == 1 for cost in (list_cost, contracted_cost))
