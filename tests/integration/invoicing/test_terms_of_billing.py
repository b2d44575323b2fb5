"""An organization's agreed terms apply to its invoices: coupons, commitments, credits, taxes and payers.

Tests of the database's constraints, of kept records and of consecutive months; the calculation of amounts is in the
tests of each step.
"""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from fly_billing.corrections.correction import Actor
from fly_billing.corrections.correction_run import correct_month
from fly_billing.corrections.credit_notes import book_credit_note
from fly_billing.corrections.recalculation import find_corrections
from fly_billing.corrections.reissue import reissue
from fly_billing.corrections.rules.guard import OFF
from fly_billing.errors import ActionableError
from fly_billing.invoicing.bill_run import bill
from fly_billing.worklist.due import months_to_close
from tests.support.builders import (
    CLOSED,
    LANDING_DAYS,
    NOW,
    OCTOBER,
    SEPTEMBER,
    SUPPORT,
    TERMS,
    Platform,
    at,
    event,
    id_of,
    write_jsonl,
)

NOVEMBER = OCTOBER.next()
DECEMBER = NOVEMBER.next()
MONTHS = (SEPTEMBER, OCTOBER, NOVEMBER)


def refused(because: str) -> Any:
    return pytest.raises(IntegrityError, match=because)


def correct(platform: Platform, month: Any = SEPTEMBER) -> Decimal:
    """Book the current differences of the month's invoices; return their sum."""
    actor = Actor("ann", CLOSED + timedelta(days=100))
    done = correct_month(
        platform.database, month, platform.organizations(), platform.usage_table, actor, guard=OFF, with_terms=True
    )
    assert done.failures == []
    return sum((correction.amount for correction in done.found), Decimal(0))


def ledger(platform: Platform) -> list[tuple[Any, ...]]:
    return [
        (row["kind"], row["amount"]) for row in platform.query("select kind, amount from credit_entries order by id")
    ]


def spend(platform: Platform, amount: str, month: Any = SEPTEMBER, organization: str = "acme") -> None:
    platform.add_one_off(organization, f"setup {month}", amount, month.start + timedelta(days=9))


# --- Coupons -------------------------------------------------------------------------------------------------------


def test_a_coupon_is_redeemed_up_to_its_limit(platform: Platform) -> None:
    platform.insert("coupons", code="ten", description="10 % off", percent=10, most_redemptions=2)
    for name in ("globex", "initech"):
        platform.add_organization(name)
        platform.redeem(name, "ten")
    with refused("coupon ten was redeemed 2 times already"):
        platform.redeem("acme", "ten")


def test_a_coupon_is_redeemed_until_just_before_its_end(platform: Platform) -> None:
    platform.insert("coupons", code="ten", description="10 % off", percent=10, redeem_by=at("2026-09-21"))
    platform.redeem("acme", "ten", redeemed_at=at("2026-09-20T23:59:59"))
    with refused("coupon ten could be redeemed until 2026-09-21"):
        platform.redeem("acme", "ten", OCTOBER, redeemed_at=at("2026-09-21"))


def test_an_amount_off_applies_in_its_own_currency_only(platform: Platform) -> None:
    platform.insert("coupons", code="five", description="5 euros off", amount=5, currency="EUR")
    with refused("coupon five is in EUR, the organization acme is billed in another currency"):
        platform.redeem("acme", "five")


def test_a_coupon_that_does_not_exist_is_not_redeemed(platform: Platform) -> None:
    with refused("is not present in table"):
        platform.redeem("acme", "nothing")


def test_a_coupon_applies_to_its_number_of_months(platform: Platform) -> None:
    """10 % of 20.00 in September and October; no longer in November, with any requested end."""
    platform.insert("coupons", code="ten", description="10 % off", percent=10, months=2)
    platform.redeem("acme", "ten", last=DECEMBER)
    for month in MONTHS:
        spend(platform, "20.00", month)
        platform.compute(month)
    assert platform.totals() == [1800, 1800, 2000]
    assert platform.query("select last_month from discounts") == [{"last_month": date(2026, 10, 1)}]


def test_a_coupon_without_a_number_of_months_applies_until_its_redemption_ends(platform: Platform) -> None:
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.redeem("acme", "ten", OCTOBER, OCTOBER)
    for month in MONTHS:
        spend(platform, "20.00", month)
        platform.compute(month)
    assert platform.totals() == [2000, 1800, 2000]


def test_coupons_apply_by_rank_and_then_in_order_of_redemption(platform: Platform) -> None:
    """100 - 5 = 95, less 10 % = 85.50, less 20 % = 68.40."""
    platform.insert("coupons", code="ten", description="10 % off", percent=10, rank=1)
    platform.insert("coupons", code="twenty", description="20 % off", percent=20, rank=1)
    platform.insert("coupons", code="five", description="5 off", amount=5, currency="USD")
    platform.redeem("acme", "twenty", redeemed_at=at("2026-09-03"))
    platform.redeem("acme", "ten", redeemed_at=at("2026-09-02"))
    platform.redeem("acme", "five", redeemed_at=at("2026-09-04"))
    spend(platform, "100")
    platform.compute()
    taken = {description: amount for kind, description, amount in platform.items() if kind == "discount"}
    assert taken == {"5 off": Decimal(-5), "10 % off": Decimal("-9.5"), "20 % off": Decimal("-17.1")}
    assert platform.totals() == [6840]


@pytest.mark.parametrize(
    "scope",
    [
        '{"kind": ["usage"]}',
        '{"kinds": ["tax"]}',
        '{"kinds": []}',
        '{"kinds": "usage"}',
        '{"products": "Machines"}',
        '{"price_keys": 1}',
        '{"meter": ["requests"]}',
        '{"match": ["region"]}',
        '{"match": {"region": true}}',
        '{"match": {"region": []}}',
        '{"match": {"region": ["ams", false]}}',
        '{"match": {"region": {"is": "ams"}}}',
        "[]",
    ],
)
def test_an_unreadable_scope_is_refused(platform: Platform, scope: str) -> None:
    with refused("violates check constraint"):
        platform.insert("coupons", code="ten", description="10 % off", percent=10, scope=scope)
    with refused("violates check constraint"):
        platform.commit("acme", "minimum", "10", scope=scope)
    with refused("violates check constraint"):
        platform.grant("acme", "prepaid", "10", scope=scope)


@pytest.mark.parametrize(
    "scope",
    [
        "{}",
        '{"kinds": ["usage", "one_off"], "products": ["Machines"], "price_keys": ["machines"], "meter": null}',
        '{"meter": "machine_seconds", "match": {"region": ["ams", "fra"], "preset": "shared-cpu-1x"}}',
    ],
)
def test_every_accepted_scope_can_be_billed(platform: Platform, scope: str) -> None:
    platform.insert("coupons", code="ten", description="10 % off", percent=10, scope=scope)
    platform.redeem("acme", "ten")
    platform.commit("acme", "minimum", "10", scope=scope)
    platform.grant("acme", "prepaid", "10", scope=scope)
    platform.compute()


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-1", "0.0000000000001"])
def test_an_invalid_amount_is_refused(platform: Platform, amount: str) -> None:
    with refused("violates check constraint"):
        platform.commit("acme", "minimum", amount)
    with refused("violates check constraint"):
        platform.grant("acme", "prepaid", amount)
    with refused("violates check constraint"):
        platform.add_tax("acme", "VAT", amount)
    with refused("violates check constraint"):
        platform.insert("coupons", code="off", description="off", amount=Decimal(amount), currency="USD")


# --- Commitments ---------------------------------------------------------------------------------------------------


def test_the_shortfall_of_a_minimum_over_three_months_is_charged_in_the_last_of_them(platform: Platform) -> None:
    """100 for three months: 20 + 30 + 10 were spent, 40 are missing in November. Then it starts again."""
    platform.commit("acme", "minimum", "100", months=3)
    for month, amount in zip((*MONTHS, DECEMBER), ("20", "30", "10", "15"), strict=True):
        spend(platform, amount, month)
        platform.close(month)
    assert platform.totals() == [2000, 3000, 5000, 1500]
    counted = platform.query(
        "select counted from invoice_commitments as c join invoices as i on i.id = c.invoice_id order by i.month"
    )
    assert [row["counted"] for row in counted] == [20, 30, 10, 15]


def test_a_minimum_that_ends_early_is_due_in_its_last_month(platform: Platform) -> None:
    platform.commit("acme", "minimum", "100", months=3, last_month=OCTOBER.first_day)
    for month in MONTHS:
        spend(platform, "20", month)
        platform.compute(month)
    assert platform.totals() == [2000, 8000, 2000]


def test_the_months_of_a_minimum_are_counted_from_its_first_and_across_the_turn_of_a_year(platform: Platform) -> None:
    """Two months each from November on: due in December and February."""
    platform.commit("acme", "minimum", "50", months=2, first_month=NOVEMBER.first_day)
    for month in (NOVEMBER, DECEMBER, DECEMBER.plus(1), DECEMBER.plus(2)):
        spend(platform, "20", month)
        platform.compute(month)
    assert platform.totals() == [2000, 3000, 2000, 3000]


def test_a_void_invoice_counts_towards_no_minimum(platform: Platform) -> None:
    platform.commit("acme", "minimum", "100", months=2)
    spend(platform, "20")
    platform.close()
    platform.execute("update invoices set status = 'void'")
    spend(platform, "30", OCTOBER)
    platform.compute(OCTOBER)
    assert platform.amounts("minimum", OCTOBER) == [70]


def test_a_maximum_applies_to_each_month(platform: Platform) -> None:
    platform.commit("acme", "maximum", "25")
    for month, amount in zip(MONTHS, ("20", "30", "40"), strict=True):
        spend(platform, amount, month)
        platform.compute(month)
    assert platform.totals() == [2000, 2500, 2500]


def test_a_commitment_in_another_currency_is_refused(platform: Platform) -> None:
    with refused("is in EUR, acme is billed in another currency"):
        platform.commit("acme", "minimum", "100", currency="EUR")


def test_late_usage_of_a_committed_month_is_paid_once_by_the_minimum_or_as_usage(platform: Platform) -> None:
    """100 for two months; 20 + 30 were billed, and 50 topped up. 10.00 of September landed later: the total stays 100.

    Correcting September charges the 10.00 and returns 10.00 of October's top-up.
    """
    platform.commit("acme", "minimum", "100", months=2)
    for month, amount in ((SEPTEMBER, "20"), (OCTOBER, "30")):
        spend(platform, amount, month)
        platform.close(month)
    assert platform.totals() == [2000, 8000]
    write_jsonl(platform.landing_dir, [event("late", "100")], date(2026, 11, 6))
    platform.land(date(2026, 11, 6), now=at("2026-11-07"))
    platform.roll_up(SEPTEMBER, at("2026-11-07"))
    for month in (SEPTEMBER, SEPTEMBER, OCTOBER):
        assert correct(platform, month) == 0
    assert platform.query("select month, amount, causes from adjustments order by month") == [
        {"month": date(2026, 9, 1), "amount": 10, "causes": ["late rows"]},
        {"month": date(2026, 10, 1), "amount": -10, "causes": ["earlier month"]},
    ]


# --- Credits -------------------------------------------------------------------------------------------------------


def test_a_credit_is_drawn_when_its_invoice_is_final_and_not_before(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50")
    spend(platform, "20")
    platform.compute()
    assert platform.items()[-1] == ("credit", "prepaid", Decimal(-20))
    assert ledger(platform) == [("granted", 50)]
    platform.close()
    assert ledger(platform) == [("granted", 50), ("drawn", -20)]
    assert platform.totals() == [0]


def test_an_open_month_leaves_the_credit_that_the_previous_open_month_will_draw(platform: Platform) -> None:
    """50 of credit: 30 for September, so 20 are left for October's 30."""
    platform.grant("acme", "prepaid", "50")
    for month in (SEPTEMBER, OCTOBER):
        spend(platform, "30", month)
        platform.compute(month)
    assert [*platform.amounts("credit"), *platform.amounts("credit", OCTOBER)] == [-30, -20]
    for month in (SEPTEMBER, OCTOBER):
        platform.close(month)
    assert platform.totals() == [0, 1000]
    assert ledger(platform) == [("granted", 50), ("drawn", -30), ("drawn", -20)]


def test_a_later_month_finalized_first_leaves_the_remaining_credit_to_the_earlier_one(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50")
    for month in (SEPTEMBER, OCTOBER):
        spend(platform, "30", month)
    platform.close(OCTOBER)
    platform.close()
    assert [*platform.amounts("credit"), *platform.amounts("credit", OCTOBER)] == [-20, -30]


def test_a_void_invoice_returns_its_credit(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50")
    spend(platform, "20")
    platform.close()
    platform.execute("update invoices set status = 'void'")
    assert ledger(platform) == [("granted", 50), ("drawn", -20), ("returned", 20)]
    spend(platform, "60", OCTOBER)
    platform.compute(OCTOBER)
    assert platform.amounts("credit", OCTOBER) == [-50]


def test_a_reissued_invoice_draws_its_credit_again(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50")
    spend(platform, "20")
    platform.close()
    platform.add_one_off("acme", "forgotten", "5", at("2026-09-11"))
    reissue(platform.database, "acme", SEPTEMBER, TERMS, CLOSED, "ann")
    assert [amount for _, amount in ledger(platform)] == [50, -20, 20, -25]


def test_no_user_can_overdraw_a_credit(platform: Platform) -> None:
    platform.grant("acme", "prepaid", "50")
    for month in (SEPTEMBER, OCTOBER):
        spend(platform, "30", month)
        platform.compute(month)
    # An update sets October's draw to its amount from before September's.
    platform.execute(
        "update invoice_items set amount = -30, amount_cents = -3000"
        " from invoices as i where i.id = invoice_id and i.month = '2026-10-01' and kind = 'credit'"
    )
    platform.execute("update invoices set amount = 0, total_cents = 0 where month = '2026-10-01'")
    finalize = (
        "update invoices set status = 'finalized', finalized_at = now(), due_on = '2026-12-01' where month = :month"
    )
    platform.execute(finalize, month=SEPTEMBER.first_day)
    with refused("would be overdrawn by invoice"):
        platform.execute(finalize, month=OCTOBER.first_day)
    assert ledger(platform) == [("granted", 50), ("drawn", -30)]


@pytest.mark.parametrize(
    ("statement", "because"),
    [
        ("update credit_entries set amount = 60", "credit_entries is kept as it was written"),
        ("delete from credit_entries", "credit_entries is kept as it was written"),
        ("truncate credit_entries", "never truncated"),
        ("update credit_grants set amount = 60", "what it is worth can not be changed"),
        ("update credit_grants set currency = 'EUR'", "what it is worth can not be changed"),
        ("delete from credit_grants", "violates foreign key constraint"),
    ],
)
def test_a_grant_and_a_draw_can_not_be_changed(platform: Platform, statement: str, because: str) -> None:
    platform.grant("acme", "prepaid", "50")
    with refused(because):
        platform.execute(statement)


def test_a_credit_in_another_currency_is_refused(platform: Platform) -> None:
    with refused("is in EUR, acme is billed in another currency"):
        platform.grant("acme", "prepaid", "50", currency="EUR")


def test_a_credit_that_expired_before_the_month_pays_nothing_and_one_that_begins_later_neither(
    platform: Platform,
) -> None:
    platform.grant("acme", "old", "50", expires_at=SEPTEMBER.start)
    platform.grant("acme", "new", "50", granted_at=SEPTEMBER.end)
    spend(platform, "20")
    platform.compute()
    assert platform.amounts("credit") == []


# --- Taxes ---------------------------------------------------------------------------------------------------------


def test_a_tax_is_shown_per_rate_with_its_base(platform: Platform) -> None:
    """Quebec: 5 % and 9.975 % of 100.00."""
    platform.add_tax("acme", "GST", "5")
    platform.add_tax("acme", "QST", "9.975")
    spend(platform, "100")
    platform.close()
    found = platform.query(
        "select name, percent, is_inclusive, taxable_cents, tax_cents from invoice_taxes order by name"
    )
    assert [tuple(row.values()) for row in found] == [
        ("GST", Decimal(5), False, 10_000, 500),
        ("QST", Decimal("9.975"), False, 10_000, 998),
    ]
    assert platform.totals() == [11_498]


def test_a_contained_tax_is_noted_and_charges_nothing(platform: Platform) -> None:
    """119.00 include 19.00."""
    platform.add_tax("acme", "USt", "19", is_inclusive=True)
    spend(platform, "119")
    platform.close()
    assert platform.query("select taxable_cents, tax_cents from invoice_taxes") == [
        {"taxable_cents": 10_000, "tax_cents": 1_900}
    ]
    assert (platform.totals(), platform.amounts("tax")) == ([11_900], [])


def test_a_tax_applies_to_its_months(platform: Platform) -> None:
    platform.add_tax("acme", "VAT", "20", last_month=SEPTEMBER.first_day)
    platform.add_tax("acme", "VAT from October", "10", first_month=OCTOBER.first_day)
    for month in (SEPTEMBER, OCTOBER):
        spend(platform, "10", month)
        platform.compute(month)
    assert platform.totals() == [1200, 1100]


def test_the_taxes_of_a_final_invoice_can_not_be_changed(platform: Platform) -> None:
    platform.add_tax("acme", "VAT", "20")
    spend(platform, "10")
    platform.close()
    for statement in ("update invoice_taxes set tax_cents = 1", "delete from invoice_taxes"):
        with refused("is finalized: its items can not be changed"):
            platform.execute(statement)


def test_rates_that_contradict_each_other_fail_that_organization_alone(platform: Platform) -> None:
    platform.add_organization("globex")
    platform.add_tax("acme", "VAT", "20")
    platform.add_tax("acme", "USt", "19", is_inclusive=True)
    platform.roll_up()
    billed = platform.bill()
    assert [(failure.organization_id, failure.error.code) for failure in billed.failures] == [("acme", "mixed_taxes")]
    assert [invoice.organization_id for invoice in billed.invoices] == ["globex"]


@pytest.mark.parametrize(
    ("currency", "amount", "percent", "cents"),
    [
        ("JPY", "1000.5", "10", [1001, 100, 1101]),  # 1,001 yen; 10 % are 100.1
        ("UGX", "100.5", "18", [101, 18, 119]),  # 101 shillings; 18 % are 18.18
        ("ISK", "1000.4", "24", [1000, 240, 1240]),
    ],
)
def test_currencies_without_decimals_are_rounded_to_their_own_minor_unit(
    platform: Platform, currency: str, amount: str, percent: str, cents: list[int]
) -> None:
    platform.add_organization("globex", currency)
    platform.add_tax("globex", "VAT", percent)
    platform.add_one_off("globex", "setup", amount, at("2026-09-10"), currency)
    platform.close()
    item, tax = platform.query(
        "select amount_cents, currency from invoice_items as t join invoices as i on i.id = t.invoice_id"
        " order by position"
    )
    assert (item["currency"], tax["currency"]) == (currency, currency)
    assert [item["amount_cents"], tax["amount_cents"], *platform.totals("globex")] == cents


@pytest.mark.parametrize(
    ("currency", "amount", "cents"),
    [
        ("KWD", "10.0005", [10_001, 500, -1, 10_500]),  # 10.001 dinars; 5 % are 0.50005; 10.5005 is charged as 10.50
        ("BHD", "10.004", [10_004, 500, -4, 10_500]),
        ("OMR", "-10.004", [-10_004, -500, 4, -10_500]),
        ("TND", "9.999", [9_999, 500, 1, 10_500]),
        ("JOD", "0.005", [5, 0, 5, 10]),
        ("KWD", "10.000", [10_000, 500, 10_500]),  # no rounding
    ],
)
def test_a_total_of_three_decimals_is_rounded_for_stripe_and_its_tax_is_not(
    platform: Platform, currency: str, amount: str, cents: list[int]
) -> None:
    platform.add_organization("globex", currency)
    platform.add_tax("globex", "VAT", "5")
    platform.add_one_off("globex", "setup", amount, at("2026-09-10"), currency)
    platform.close()
    items = platform.query("select kind, amount_cents from invoice_items order by position")
    assert [*(item["amount_cents"] for item in items if item["amount_cents"] or item["kind"] == "one_off")] == [
        amount_cents for amount_cents in cents[:-1] if amount_cents
    ]
    assert platform.totals("globex") == cents[-1:]


# --- Fees in advance, over several months --------------------------------------------------------------------------


def test_a_fee_in_advance_is_charged_once_for_each_month_and_returned_when_it_ends(platform: Platform) -> None:
    """29.00 for September and October, November in advance; cancelled on the 16th: half of November is returned."""
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close()
    assert platform.amounts("subscription") == [29, 29]
    platform.close(OCTOBER)
    assert platform.amounts("subscription", OCTOBER) == [29]
    platform.execute("update subscriptions set ended_at = '2026-11-16'")
    platform.close(NOVEMBER)
    assert platform.amounts("subscription", NOVEMBER) == [Decimal("-14.5")]
    platform.close(DECEMBER)
    assert platform.totals() == [5800, 2900, -1450, 0]


def test_a_fee_charged_in_advance_is_returned_when_its_plan_and_price_end_with_the_month(platform: Platform) -> None:
    """29.00 for September and October, charged in September. From October on there is no support any more."""
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close()
    platform.load(replace(SUPPORT, effective_until=at("2026-10-01")))
    platform.execute("update subscriptions set ended_at = '2026-10-01'")
    assert platform.close(OCTOBER).failures == []
    assert platform.amounts("subscription", OCTOBER) == [-29]
    platform.close(NOVEMBER)
    assert platform.totals() == [5800, -2900, 0]
    assert [correct(platform, month) for month in MONTHS] == [0, 0, 0]


def test_months_finalized_in_another_order_charge_a_fee_in_advance_once(platform: Platform) -> None:
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.compute()
    platform.close(NOVEMBER)
    platform.close(OCTOBER)
    platform.close()
    assert sum(platform.totals()) == 4 * 2900  # September to November, and December ahead
    for month in (SEPTEMBER, OCTOBER, NOVEMBER):
        assert correct(platform, month) == 0


def test_a_fee_that_is_billed_in_arrears_from_now_on_is_not_charged_twice(platform: Platform) -> None:
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close()
    platform.execute("update subscriptions set billed = 'in_arrears'")
    platform.close(OCTOBER)
    platform.close(NOVEMBER)
    assert platform.totals() == [5800, 0, 2900]


def test_a_reissued_invoice_charges_the_next_month_ahead_once(platform: Platform) -> None:
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close()
    reissue(platform.database, "acme", SEPTEMBER, TERMS, CLOSED, "ann")
    platform.close(OCTOBER)
    assert platform.totals() == [5800, 2900]


def test_a_late_cancellation_refunds_the_discounted_fee_once(platform: Platform) -> None:
    """29.00 in advance at 10 % off; ended on 17 October, recorded in November, when October is final.

    October: 16 of 31 days are owed, 29 x 15/31 = 14.03 less 10 % go back: 12.63. September stays right.
    """
    platform.insert("coupons", code="ten", description="10 % off", percent=10)
    platform.redeem("acme", "ten")
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance", proration="day")
    for month in (SEPTEMBER, OCTOBER):
        platform.close(month)
    assert platform.totals() == [5220, 2610]
    platform.execute("update subscriptions set ended_at = '2026-10-17'")
    assert correct(platform) == 0
    assert round(correct(platform, OCTOBER), 2) == Decimal("-12.63")
    assert correct(platform, OCTOBER) == 0
    platform.compute(NOVEMBER)
    # November, charged in advance and never provided, is returned at 10 % off as well: -26.10.
    assert platform.totals()[-1] == -3873


# --- Corrections of corrections ------------------------------------------------------------------------------------


def late_usage(platform: Platform) -> None:
    """3.00 of September are billed; 1.00 more landed since."""
    write_jsonl(platform.landing_dir, [event("e1", "30")])
    platform.close()
    day = date(2026, 10, 6)
    write_jsonl(platform.landing_dir, [event("late", "10")], day, "late")
    platform.land(day, now=at("2026-10-07"))
    platform.roll_up(now=at("2026-10-07"))


def test_an_adjustment_of_an_invoice_reissued_since_is_not_charged_too(platform: Platform) -> None:
    late_usage(platform)
    assert correct(platform) == 1
    platform.compute(OCTOBER)
    assert platform.amounts("adjustment", OCTOBER) == [1]
    reissue(platform.database, "acme", SEPTEMBER, TERMS, at("2026-10-07"), "ann")
    platform.close(OCTOBER)
    assert platform.totals() == [400, 0]


def test_an_invoice_whose_difference_is_on_a_final_one_is_not_reissued(platform: Platform) -> None:
    late_usage(platform)
    correct(platform)
    platform.close(OCTOBER)
    with pytest.raises(ActionableError, match="was already corrected"):
        reissue(platform.database, "acme", SEPTEMBER, TERMS, at("2026-11-05"), "ann")
    assert platform.totals() == [300, 100]


def test_an_invoice_with_a_credit_note_is_not_reissued(platform: Platform) -> None:
    write_jsonl(platform.landing_dir, [event("e1", "30")])
    platform.close()
    write_jsonl(platform.landing_dir, [event("e1", "20")])
    platform.land(now=CLOSED)
    platform.roll_up(now=CLOSED)
    with platform.database.transaction() as connection:
        (found,) = find_corrections(connection, SEPTEMBER, ["acme"], platform.usage_table).found
        assert book_credit_note(connection, found, Actor("ann", CLOSED)) == 100
    with pytest.raises(ActionableError, match="was already corrected, by a credit note"):
        reissue(platform.database, "acme", SEPTEMBER, TERMS, CLOSED, "ann")


# --- Linked organizations ------------------------------------------------------------------------------------------


@pytest.fixture
def group(platform: Platform) -> Platform:
    """acme pays for labs and shop. In September: acme 10 requests (1.00), labs 20 (2.00), shop 30 (3.00)."""
    for name in ("labs", "shop"):
        platform.add_organization(name)
        platform.link(name, "acme")
    usage = [event(name, quantity, subject=name) for name, quantity in (("acme", "10"), ("labs", "20"), ("shop", "30"))]
    write_jsonl(platform.landing_dir, usage)
    return platform


def found_by(platform: Platform, check: str) -> list[Any]:
    return list(platform.database.rows(check, month=SEPTEMBER.first_day, groups=platform.organizations()))


def test_linked_organizations_share_an_invoice_with_their_own_items(group: Platform) -> None:
    group.add_one_off("labs", "setup", "5.00", at("2026-09-10"))
    group.add_subscription("shop", "support", at("2026-09-01"))
    billed = group.close()
    assert [(invoice.organization_id, invoice.total_cents) for invoice in billed.invoices] == [("acme", 4000)]
    items = group.query("select organization_id, kind, amount from invoice_items order by organization_id, amount")
    assert [tuple(row.values()) for row in items] == [
        ("acme", "usage", 1),
        ("labs", "usage", 2),
        ("labs", "one_off", 5),
        ("shop", "usage", 3),
        ("shop", "subscription", 29),
    ]
    for check in ("check_items_sum", "check_rollups_priced", "check_late_usage"):
        assert found_by(group, check) == []


def test_an_allowance_is_each_organizations_own(platform: Platform) -> None:
    """100 GB are free for each: 90 + 90 GB cost nothing."""
    platform.add_organization("labs")
    platform.link("labs", "acme")
    gigabytes = {"type": "egress_gb", "region": "iad"}
    platform.use(event("e1", "90", **gigabytes), event("e2", "90", subject="labs", **gigabytes))
    platform.bill()
    assert platform.amounts("usage") == [0, 0]


def test_linked_organizations_share_their_payers_credit(group: Platform) -> None:
    group.grant("acme", "prepaid", "5")
    group.grant("labs", "their own, for when they pay themselves", "5")
    group.close()
    assert [*group.amounts("credit"), *group.totals()] == [-5, 100]


def test_an_organization_that_is_linked_has_no_invoice_and_no_month_waits_for_it(group: Platform) -> None:
    group.execute("update organizations set created_at = '2026-09-01'")
    assert months_to_close(group.database, at("2026-10-04")) == [SEPTEMBER]
    group.close()
    assert group.query("select organization_id from invoices") == [{"organization_id": "acme"}]
    assert months_to_close(group.database, at("2026-10-04")) == []


def test_the_open_invoice_of_an_organization_is_removed_when_it_is_linked(platform: Platform) -> None:
    platform.add_organization("labs")
    platform.use(event("e1", "20", subject="labs"))
    platform.bill()
    assert platform.totals("labs") == [200]
    platform.link("labs", "acme")
    platform.bill()
    assert (platform.totals("labs"), platform.totals("acme")) == ([], [200])


def test_a_linked_organizations_earlier_failure_ends_once_its_payer_is_billed(platform: Platform) -> None:
    platform.add_organization("labs", created_at="2026-09-01")
    platform.add_subscription("labs", "unknown", at("2026-09-01"))
    platform.roll_up()
    assert [failure.organization_id for failure in platform.bill().failures] == ["labs"]
    platform.execute("update subscriptions set price_key = 'support'")
    platform.link("labs", "acme")
    platform.close()
    assert platform.query("select organization_id from billing_failures") == []
    assert SEPTEMBER not in months_to_close(platform.database, at("2026-10-04"))


def test_an_organization_pays_for_itself_again_after_its_link_ends(group: Platform) -> None:
    group.execute("update organization_links set last_month = '2026-09-01' where organization_id = 'labs'")
    group.close()
    spend(group, "7", OCTOBER, "labs")
    group.compute(OCTOBER)
    assert (group.totals("acme"), group.totals("labs"), group.totals("shop")) == ([600, 0], [700], [])


def test_missing_usage_of_a_linked_organization_fails_the_payers_invoice_and_names_it(group: Platform) -> None:
    group.land(*LANDING_DAYS, now=CLOSED)
    group.roll_up(now=CLOSED)
    group.execute("update usage_snapshots set is_current = false where organization_id = 'labs'")
    (failure,) = group.bill(now=CLOSED).failures
    assert (failure.organization_id, failure.error.code) == ("acme", "usage_not_rolled_up")
    assert failure.error.operator_text.startswith("usage_rollups has no 2026-09 of labs")
    assert group.query("select status from invoices") == []


def test_a_missing_price_of_a_linked_organization_fails_the_payers_invoice(group: Platform) -> None:
    group.add_subscription("labs", "unknown", at("2026-09-01"))
    group.roll_up()
    (failure,) = group.bill().failures
    assert (failure.organization_id, failure.error.code) == ("acme", "unpriced_subscription")


def test_only_the_payers_billing_group_bills_linked_organizations(group: Platform) -> None:
    group.roll_up()
    assert bill(group.database, SEPTEMBER, ["labs", "shop"], TERMS, NOW).invoices == []
    assert len(bill(group.database, SEPTEMBER, ["acme"], TERMS, NOW).invoices) == 1


def test_late_usage_of_a_linked_organization_is_found_and_adjusted_on_the_payers_invoice(group: Platform) -> None:
    group.close()
    day = date(2026, 10, 6)
    write_jsonl(group.landing_dir, [event("late", "10", subject="labs")], day)
    group.land(day, now=at("2026-10-07"))
    group.roll_up(now=at("2026-10-07"))
    assert [row["organization_id"] for row in found_by(group, "check_late_usage")] == ["labs"]
    assert [correct(group), correct(group)] == [1, 0]
    assert found_by(group, "check_late_usage") == []
    group.compute(OCTOBER)
    (item,) = group.query("select organization_id, amount from invoice_items where kind = 'adjustment'")
    assert tuple(item.values()) == ("labs", 1)


def test_a_payer_has_at_most_a_hundred_organizations(platform: Platform) -> None:
    platform.execute(
        "insert into organizations (id, name, currency, billing_group, created_at)"
        " select 'labs-' || n, 'Labs', 'USD', 'labs', '2026-01-01' from generate_series(1, 101) as n"
    )
    link = (
        "insert into organization_links"
        " select 'labs-' || n, 'acme', '2026-09-01' from generate_series(cast(:first as int), cast(:last as int)) as n"
    )
    platform.execute(link, first=1, last=100)
    with refused("acme pays for 100 organizations already"):
        platform.execute(link, first=101, last=101)
    platform.execute("update organization_links set last_month = '2026-10-01' where organization_id = 'labs-1'")
    platform.link("labs-101", "acme", NOVEMBER)


@pytest.mark.parametrize(
    ("organization", "payer"), [("globex", "labs"), ("acme", "globex"), ("labs", "globex"), ("labs", "acme")]
)
def test_an_organization_has_one_payer_at_a_time_which_is_not_linked_itself(
    platform: Platform, organization: str, payer: str
) -> None:
    for name in ("labs", "globex"):
        platform.add_organization(name)
    platform.link("labs", "acme")
    with refused("one of them is linked otherwise at that time"):
        platform.link(organization, payer, OCTOBER)


def test_links_may_follow_one_another(platform: Platform) -> None:
    for name in ("labs", "globex"):
        platform.add_organization(name)
    platform.link("labs", "acme", SEPTEMBER, SEPTEMBER)
    platform.link("labs", "globex", OCTOBER)
    for month in (SEPTEMBER, OCTOBER):
        spend(platform, "5", month, "labs")
        platform.compute(month)
    assert (platform.totals("acme"), platform.totals("globex")) == ([500, 0], [0, 500])


def test_a_payer_is_another_organization_with_the_same_currency(platform: Platform) -> None:
    platform.add_organization("tokyo", "JPY")
    with refused("violates check constraint"):
        platform.link("acme", "acme")
    with refused("tokyo and acme are billed in different currencies"):
        platform.link("tokyo", "acme")


@pytest.mark.parametrize("linked", [("labs", "acme"), ("acme", "labs")])
def test_a_month_with_a_final_invoice_can_not_be_linked(platform: Platform, linked: tuple[str, str]) -> None:
    platform.close()
    platform.add_organization("labs")
    with refused("acme has a final invoice of 2026-09-01 already"):
        platform.link(*linked)
    platform.link(*linked, OCTOBER)


def test_a_link_starts_no_earlier_than_the_month_in_which_its_payer_was_created(platform: Platform) -> None:
    platform.add_organization("holding", created_at="2026-10-05")
    with refused("holding did not exist yet in 2026-09-01"):
        platform.link("acme", "holding")
    platform.link("acme", "holding", OCTOBER)


@pytest.mark.parametrize(
    "statement",
    [
        "delete from organization_links",
        "update organization_links set last_month = '2026-08-01', first_month = '2026-08-01'",
        "update organization_links set payer_id = 'shop' where organization_id = 'labs'",
    ],
)
def test_usage_billed_to_a_payer_is_not_billed_to_the_linked_organization(group: Platform, statement: str) -> None:
    group.close()
    with refused("is on the final invoice of acme for 2026-09-01|can only be ended"):
        group.execute(statement)


def test_a_link_ends_with_the_last_month_that_was_billed_or_later(group: Platform) -> None:
    for month in (SEPTEMBER, OCTOBER):
        group.close(month)
    with refused("labs is on the final invoice of acme for 2026-10-01"):
        group.execute("update organization_links set last_month = '2026-09-01' where organization_id = 'labs'")
    group.execute("update organization_links set last_month = '2026-10-01' where organization_id = 'labs'")
    group.close(NOVEMBER)
    with refused("has a final invoice of 2026-11-01 already"):
        group.execute("update organization_links set last_month = '2026-12-01' where organization_id = 'labs'")


# --- Numbers and audit records -------------------------------------------------------------------------------------


def numbers(platform: Platform, organization: str = "acme") -> list[tuple[Any, ...]]:
    found = platform.query(
        "select to_char(month, 'YYYY-MM') as month, status, number from invoices where organization_id = :organization"
        " order by month, revision",
        organization=organization,
    )
    return [tuple(row.values()) for row in found]


def test_invoices_are_numbered_without_gaps_as_they_become_final(platform: Platform) -> None:
    """November is final before October; a void one keeps its number; another organization has numbers of its own."""
    platform.add_organization("globex", created_at="2026-10-10")
    platform.close()
    platform.compute(OCTOBER)
    platform.close(NOVEMBER)
    platform.execute("update invoices set status = 'void' where month = '2026-09-01'")
    platform.close(OCTOBER)
    platform.compute(DECEMBER)
    assert numbers(platform) == [
        ("2026-09", "void", 1),
        ("2026-10", "finalized", 3),
        ("2026-11", "finalized", 2),
        ("2026-12", "open", None),
    ]
    assert numbers(platform, "globex") == [
        ("2026-10", "finalized", 2),
        ("2026-11", "finalized", 1),
        ("2026-12", "open", None),
    ]


def test_a_number_can_neither_be_assigned_early_nor_changed(platform: Platform) -> None:
    platform.compute()
    with refused("numbered_when_final"):
        platform.execute("update invoices set number = 1")
    platform.close()
    with refused("is finalized: it can not be changed"):
        platform.execute("update invoices set number = 7")


def test_each_change_of_an_invoice_is_recorded_with_its_actor_time_and_reason(platform: Platform) -> None:
    platform.roll_up()
    platform.bill()
    assert platform.query("select * from invoice_changes") == []
    platform.land(*LANDING_DAYS, now=CLOSED)
    platform.roll_up(now=CLOSED)
    platform.bill(now=CLOSED, run_id="run-7")
    platform.execute("update invoices set status = 'paid', paid_at = now()")
    found = platform.query("select from_status, to_status, changed_by, why from invoice_changes order by id")
    (user,) = platform.query("select session_user as name")
    assert [tuple(row.values()) for row in found] == [
        ("open", "finalized", "run-7", "2026-09 is closed"),
        ("finalized", "paid", user["name"], None),
    ]
    for statement in ("update invoice_changes set changed_by = 'nobody'", "delete from invoice_changes"):
        with refused("invoice_changes is kept as it was written"):
            platform.execute(statement)


def test_an_invoice_has_one_status(platform: Platform) -> None:
    def stage() -> str:
        (row,) = platform.query("select stage from invoice_life")
        return str(row["stage"])

    platform.compute()
    assert stage() == "open"
    platform.add_subscription("acme", "unknown", at("2026-09-01"))
    platform.bill()
    assert stage() == "held up"
    platform.execute("delete from subscriptions")
    platform.close()
    assert stage() == "finalized"
    platform.insert(
        "stripe_invoices",
        invoice_id=platform.query("select id from invoices")[0]["id"],
        state="finalized",
        stripe_invoice_id="in_1",
        updated_at=CLOSED,
        finalized_at=CLOSED,
    )
    assert stage() == "synced"
    platform.execute("update invoices set status = 'uncollectible'")
    assert stage() == "uncollectible"


def test_two_commitments_and_a_credit_have_different_item_ids(platform: Platform) -> None:
    platform.commit("acme", "minimum", "10")
    platform.commit("acme", "maximum", "50")
    platform.grant("acme", "prepaid", "4")
    spend(platform, "6")
    platform.close()
    found = platform.query("select kind, commitment_id, credit_grant_id from invoice_items order by position")
    assert [tuple(row.values()) for row in found] == [
        ("one_off", None, None),
        ("minimum", id_of("acme minimum 10"), None),
        ("credit", None, id_of("acme prepaid")),
    ]
    assert platform.totals() == [600]


# --- A refund equals the payment -----------------------------------------------------------------------------------

AUGUST = SEPTEMBER.plus(-1)


def support_in_advance(platform: Platform, *coupons: tuple[str, str, str]) -> None:
    """29.00 a month in advance from September on; coupons (code, column, value) hold in August only."""
    for rank, (code, column, value) in enumerate(coupons):
        terms: dict[str, Any] = {column: Decimal(value)} | ({"currency": "USD"} if column == "amount" else {})
        platform.insert("coupons", code=code, description=code, rank=rank, **terms, months=1)
        platform.redeem("acme", code, AUGUST, AUGUST, redeemed_at=at("2026-08-01"))
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close(AUGUST)


@pytest.mark.parametrize(
    ("coupons", "paid", "kept"),
    [
        ([], 2900, 1450),
        ([("free", "percent", "100")], 0, 0),
        ([("half", "percent", "50")], 1450, 725),
        ([("nine", "amount", "9")], 2000, 1000),
        ([("half", "percent", "50"), ("nine", "amount", "9")], 550, 275),
    ],
)
def test_half_an_unused_month_refunds_half_of_its_fee(
    platform: Platform, coupons: list[tuple[str, str, str]], paid: int, kept: int
) -> None:
    support_in_advance(platform, *coupons)
    assert platform.totals() == [paid]
    platform.execute("update subscriptions set ended_at = '2026-09-16'")
    platform.close()
    assert sum(platform.totals()) == kept
    assert [correct(platform, month) for month in (AUGUST, SEPTEMBER)] == [0, 0]


def test_a_coupon_that_begins_in_the_month_of_the_cancellation_does_not_reduce_the_refund(platform: Platform) -> None:
    """29.00 were paid; 50 % off from September on does not change the 14.50 that are returned."""
    support_in_advance(platform)
    platform.insert("coupons", code="half", description="half", percent=50)
    platform.redeem("acme", "half", SEPTEMBER)
    platform.execute("update subscriptions set ended_at = '2026-09-16'")
    platform.close()
    assert platform.totals() == [2900, -1450]


def test_a_discounted_fee_that_its_payer_paid_is_returned_to_the_payer(platform: Platform) -> None:
    """globex pays for acme, at half price in August: 14.50; cancelled before it began, 14.50 are returned."""
    platform.add_organization("globex")
    platform.link("acme", "globex", AUGUST)
    platform.insert("coupons", code="half", description="half", percent=50, months=1)
    platform.redeem("globex", "half", AUGUST, AUGUST, redeemed_at=at("2026-08-01"))
    platform.add_subscription("acme", "support", at("2026-09-01"), billed="in_advance")
    platform.close(AUGUST)
    platform.execute("update subscriptions set ended_at = started_at")
    platform.close()
    assert platform.totals("globex") == [1450, -1450]


def test_a_cancellation_recorded_after_the_close_refunds_the_paid_fee(platform: Platform) -> None:
    support_in_advance(platform, ("half", "percent", "50"))
    platform.close()
    platform.execute("update subscriptions set ended_at = '2026-09-16'")
    assert correct(platform, SEPTEMBER) == Decimal("-7.25")
    assert correct(platform, SEPTEMBER) == 0
