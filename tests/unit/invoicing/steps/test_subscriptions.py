"""Recurring fees are charged for the part of the month that they run, in arrears or in advance, and never
twice.

September 2026 has 30 days, October 31, November 30. The fee is $30.00 a month unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    CreditPaid,
    Discount,
    DiscountTaken,
    FeeCharged,
    InvoiceInputs,
    Member,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.proration import NOTHING, IntervalShare, share_of_month
from fly_billing.invoicing.rules.steps.credits import given_back as fees_given_back
from fly_billing.invoicing.rules.steps.subscriptions import charge_subscriptions
from fly_billing.invoicing.rules.steps.usage import charge_usage
from fly_billing.money import exact_sum
from fly_billing.periods import BillingMonth, months_between
from fly_billing.pricing.rules.models import Graduated, PerUnit, Tier
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.tax_rates import TaxRate
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.support.builders import OCTOBER, SEPTEMBER, at, fee_charged, id_of, price
from tests.unit.invoicing.steps import invoices_in_progress

AUGUST = SEPTEMBER.plus(-1)
NOVEMBER = OCTOBER.next()
SEATS = Graduated((Tier(Decimal(5), Decimal("10")), Tier(None, Decimal("8"))))
PLAN = price("plan", "30", unit="month")
PRICES = (
    PLAN,
    price("pro", "90", unit="month"),
    price("seats", "0", unit="seat", model=SEATS),
    price("free", "0", unit="month"),
    price("retired", "30", unit="month", effective_until=OCTOBER.start),
    price("requests", "0.10", "requests", free_allowance=Decimal(300), allowance_with="plan"),
)


def subscription(started: str, ended: str | None = None, key: str = "plan", **terms: Any) -> Subscription:
    return Subscription(id_of(f"{key} {started}"), key, at(started), at(ended) if ended else None, **terms)


def in_advance(started: str, ended: str | None = None, key: str = "plan", **terms: Any) -> Subscription:
    return subscription(started, ended, key, billed="in_advance", **terms)


def item_of(name: str, amount: str, kind: str = "subscription") -> InvoiceItem:
    return invoices_in_progress.item(name, amount, kind)


def charged(
    *subscriptions: Subscription, month: BillingMonth = SEPTEMBER, currency: str = "USD", **inputs: Any
) -> list[InvoiceItem]:
    """Return the items that the step makes of these subscriptions."""
    member = Member("acme", PriceBook(PRICES), subscriptions=subscriptions)
    invoice = InvoiceInProgress(InvoiceInputs("acme", currency, month, [member], **inputs), id_of(f"invoice {month}"))
    charge_subscriptions(invoice)
    assert exact_sum(list(invoice.left.values())) == exact_sum([item.amount for item in invoice.items])
    return invoice.items


def amounts(*subscriptions: Subscription, month: BillingMonth = SEPTEMBER) -> list[Decimal]:
    return [item.amount for item in charged(*subscriptions, month=month)]


# --- In arrears ----------------------------------------------------------------------------------------------------


def test_a_full_month_costs_the_published_fee() -> None:
    (item,) = charged(subscription("2026-01-01"))
    assert (item.quantity, item.unit, item.description) == (Decimal(1), "month", "plan as used")
    assert item.amount == 30
    assert (item.period_start, item.period_end) == (SEPTEMBER.start, SEPTEMBER.end)
    assert item.detail["steps"] == [
        {"label": "share of the month", "quantity": "1", "unit_amount": "30", "per": "1", "amount": "30"}
    ]


@pytest.mark.parametrize(
    ("proration", "quantity", "unit", "amount"),
    [
        ("second", 1_252_800, "second", "14.5"),  # 14.5 of 30 days
        ("day", 15, "day", "15"),  # the 16th counts, as it begins on it
        ("none", 1, "month", "30"),
    ],
)
def test_a_part_of_a_month_is_charged_by_its_proration(proration: str, quantity: int, unit: str, amount: str) -> None:
    (item,) = charged(subscription("2026-09-16T12:00:00", proration=proration))
    assert (item.quantity, item.unit, item.amount) == (Decimal(quantity), unit, Decimal(amount))
    assert (item.period_start, item.period_end) == (at("2026-09-16T12:00:00"), SEPTEMBER.end)


def test_each_seat_is_charged() -> None:
    """4 x 30."""
    (item,) = charged(subscription("2026-01-01", quantity=Decimal(4)))
    assert (item.amount, item.detail["subscribed"]) == (Decimal(120), "4")


def test_seats_of_a_graduated_price_cost_by_their_tier_and_are_prorated_together() -> None:
    """5 x 10 + 3 x 8 = 74 a month; half of it for 15 of 30 days."""
    assert amounts(subscription("2026-01-01", key="seats", quantity=Decimal(8))) == [74]
    assert amounts(subscription("2026-09-16", key="seats", quantity=Decimal(8))) == [37]


def test_a_subscription_that_does_not_run_in_the_month_makes_no_item() -> None:
    assert amounts(subscription("2026-10-01"), subscription("2026-01-01", "2026-09-01")) == []


def test_a_free_subscription_is_on_the_invoice() -> None:
    assert amounts(subscription("2026-01-01", key="free")) == [0]


def test_a_subscription_without_a_price_fails_and_names_the_fix() -> None:
    with pytest.raises(BillingError, match="no price 'gold' in force at 2026-09-01: add it to the price book"):
        charged(subscription("2026-01-01", key="gold"))


def test_a_subscription_in_another_currency_is_refused() -> None:
    with pytest.raises(BillingError, match="price 'plan' is in USD, but the organization is billed in EUR"):
        charged(subscription("2026-01-01"), currency="EUR")


# --- Changes inside a month ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["2026-09-16", "2026-09-16T12:00:00", "2026-09-16T12:00:00.500000"])
@pytest.mark.parametrize("proration", ["second", "day"])
def test_an_upgrade_charges_every_moment_exactly_once(change: str, proration: str) -> None:
    """The same fee before and after the change: the two parts make the month."""
    before, after = charged(
        subscription("2026-01-01", change, proration=proration), subscription(change, proration=proration)
    )
    assert before.amount + after.amount == 30
    assert before.period_end == after.period_start == at(change)


def test_an_upgrade_and_a_downgrade_are_charged_for_the_days_of_each() -> None:
    """9 days of 30.00 = 9.00, 10 days of 90.00 = 30.00, 11 days of 30.00 = 11.00."""
    assert amounts(
        subscription("2026-01-01", "2026-09-10"),
        subscription("2026-09-10", "2026-09-20", "pro"),
        subscription("2026-09-20"),
    ) == [9, 30, 11]


def test_a_subscription_of_a_few_hours_is_charged_by_its_proration() -> None:
    """6 hours are a 120th of the month; a day that ends is not charged by the day; without proration it is a month."""
    for proration, expected in (("second", ["0.25"]), ("day", []), ("none", ["30"])):
        plan = subscription("2026-09-16T06:00:00", "2026-09-16T12:00:00", proration=proration)
        assert amounts(plan) == [Decimal(amount) for amount in expected]


@pytest.mark.parametrize(
    ("proration", "expected"),
    [
        # 15 days of 30.00; an hour of 90.00 is 90 / 720
        ("second", ["15", "0.125"]),
        # the 16th belonged to the upgrade, which ended on it
        ("day", ["15"]),
    ],
)
def test_an_upgrade_and_a_cancellation_on_one_day_are_each_charged_for_their_time(
    proration: str, expected: list[str]
) -> None:
    found = amounts(
        subscription("2026-01-01", "2026-09-16", proration=proration),
        subscription("2026-09-16", "2026-09-16T01:00:00", "pro", proration=proration),
    )
    assert found == [Decimal(amount) for amount in expected]


# --- In advance ----------------------------------------------------------------------------------------------------


def test_the_first_invoice_charges_the_rest_of_the_month_and_the_next_month_in_advance() -> None:
    """15 of 30 days = 15.00, and October."""
    now, ahead = charged(in_advance("2026-09-16"))
    assert (now.amount, now.period_start, now.period_end) == (Decimal(15), at("2026-09-16"), SEPTEMBER.end)
    assert (ahead.amount, ahead.period_start, ahead.period_end) == (Decimal(30), OCTOBER.start, OCTOBER.end)
    assert ahead.description == "plan as used, 2026-10 in advance"
    assert now.id != ahead.id


def test_a_month_charged_in_advance_is_not_charged_again() -> None:
    assert amounts(in_advance("2026-01-01", charged=(fee_charged("30", OCTOBER),)), month=OCTOBER) == [30]
    (ahead,) = charged(in_advance("2026-01-01", charged=(fee_charged("30", OCTOBER),)), month=OCTOBER)
    assert ahead.period_start == NOVEMBER.start


def test_a_month_that_a_later_invoice_charged_is_not_charged_in_advance() -> None:
    assert amounts(in_advance("2026-01-01", charged=(fee_charged("30", OCTOBER),))) == [30]


def test_a_cancellation_inside_a_month_refunds_the_rest_on_its_invoice() -> None:
    """Charged 30.00; it ran for 10 of 30 days = 10.00: 20.00 are refunded, and nothing is charged in advance."""
    (item,) = charged(in_advance("2026-01-01", "2026-09-11", charged=(fee_charged("30"),)))
    assert (item.amount, item.detail["billed_before"]) == (Decimal(-20), "30")
    assert [step["amount"] for step in item.detail["steps"]] == ["10", "-30"]


def test_a_cancellation_before_the_month_refunds_all_of_it() -> None:
    (item,) = charged(in_advance("2026-01-01", "2026-08-20", charged=(fee_charged("30"),)))
    assert [item.amount, item.quantity] == [-30, 0]
    assert (item.period_start, item.period_end) == (SEPTEMBER.start, SEPTEMBER.end)


def test_a_cancellation_at_the_start_of_the_month_refunds_all_of_it() -> None:
    (item,) = charged(in_advance("2026-09-16", "2026-09-16", charged=(fee_charged("15"),)))
    assert (item.amount, item.period_start, item.period_end) == (Decimal(-15), SEPTEMBER.start, SEPTEMBER.end)


@pytest.mark.parametrize("started", ["2026-01-01", "2026-10-16"])
def test_the_fee_in_advance_of_a_plan_whose_price_ended_is_refunded_in_full(started: str) -> None:
    """September charged 30.00 for October, in which the plan has ended: nothing was delivered."""
    ended = max(started, "2026-09-20")
    (item,) = charged(in_advance(started, ended, "retired", charged=(fee_charged("30", OCTOBER),)), month=OCTOBER)
    assert (item.amount, item.quantity, item.price_key) == (Decimal(-30), Decimal(0), "retired")
    assert [step["amount"] for step in item.detail["steps"]] == ["-30"]


def test_a_plan_that_continues_after_its_price_ended_has_no_price() -> None:
    with pytest.raises(BillingError, match="no price 'retired' in force at 2026-10-01") as error:
        charged(in_advance("2026-01-01", key="retired", charged=(fee_charged("30", OCTOBER),)), month=OCTOBER)
    assert error.value.code == "unpriced_subscription"


def test_an_upgrade_refunds_the_old_plans_fee_in_advance() -> None:
    """Old: 10.00 of the 30.00 charged. New: 20 of 30 days of 90.00 = 60.00, and October's 90.00."""
    old = in_advance("2026-01-01", "2026-09-11", charged=(fee_charged("30"),))
    new = in_advance("2026-09-11", key="pro")
    assert amounts(old, new) == [-20, 60, 90]


def test_a_fee_that_starts_next_month_is_only_charged_in_advance() -> None:
    (item,) = charged(in_advance("2026-10-16"))
    assert (item.amount, item.period_start) == (Decimal("15.48387096774193548387"), at("2026-10-16"))  # 16 of 31 days


def test_a_subscription_that_ends_next_month_is_charged_in_advance_up_to_its_end() -> None:
    """3 of October's 31 days, by the day."""
    now, ahead = amounts(in_advance("2026-01-01", "2026-10-04", proration="day"))
    assert [now, ahead] == [30, Decimal("2.90322580645161290323")]


def test_a_fee_that_changes_from_advance_to_arrears_is_not_charged_twice() -> None:
    assert amounts(subscription("2026-01-01", charged=(fee_charged("30"),))) == []


def test_a_recalculated_invoice_keeps_its_fees_in_advance() -> None:
    """The plan was cancelled since: October refunds the excess, September does not change."""
    _, ahead = charged(in_advance("2026-01-01"))
    again = charged(
        in_advance("2026-01-01", "2026-10-10", charged=(fee_charged("-20", OCTOBER),)), charged_ahead=[ahead]
    )
    assert [item.amount for item in again] == [30, 30]
    assert again[1] == ahead


# --- Any events in any order ---------------------------------------------------------------------------------------


@dataclass
class Ledger:
    """Invoices as they are finalized: each one's charges by month."""

    charged: list[tuple[BillingMonth, InvoiceItem]] = field(default_factory=list)

    def finalize(self, month: BillingMonth, plan: Subscription) -> None:
        """Add the month's invoice, which knows the charges of the others."""
        found = charged(replace(plan, charged=self.known_to(month)), month=month)
        self.charged += [(month, item) for item in found]

    def known_to(self, month: BillingMonth) -> tuple[FeeCharged, ...]:
        """Return the other invoices' charges, by interval, for intervals that are not over when the month begins."""
        amounts: dict[tuple[datetime, datetime], Decimal] = {}
        for on, item in self.charged:
            assert item.interval_start is not None and item.interval_end is not None
            if on != month and item.interval_end > month.start and item.interval_start < month.next().end:
                at_ = item.interval_start, item.interval_end
                amounts[at_] = amounts.get(at_, Decimal(0)) + item.amount
        return tuple(FeeCharged(*interval, amount, month) for interval, amount in amounts.items())

    def for_month(self, month: BillingMonth) -> Decimal:
        return exact_sum([item.amount for _, item in self.charged if item.interval_start == month.start])

    def total(self) -> Decimal:
        return exact_sum([item.amount for _, item in self.charged])


MONTHS = months_between(BillingMonth(2026, 8), BillingMonth(2027, 3))
MOMENTS = st.integers(0, 150 * 86_400).map(lambda seconds: at("2026-09-01") + timedelta(seconds=seconds))
PRORATIONS = st.sampled_from(["second", "day", "none"])


def in_arrears(plan: Subscription, months: Sequence[BillingMonth] = MONTHS) -> Decimal:
    return exact_sum(
        [amount for month in months for amount in amounts(replace(plan, billed="in_arrears"), month=month)]
    )


def running(start: datetime, end: datetime, proration: str) -> Subscription:
    return Subscription(id_of("plan"), "plan", start, end, Decimal(3), "in_advance", proration)


@given(MOMENTS, MOMENTS, PRORATIONS)
def test_a_fee_in_advance_cancelled_on_any_day_totals_the_same_as_in_arrears(
    plan: datetime, other: datetime, proration: str
) -> None:
    """An invoice knows of a cancellation that happened by 72 hours after the month's end."""
    whole = running(min(plan, other), max(plan, other), proration)
    ledger = Ledger()
    for month in MONTHS:
        is_known = whole.ended_at is not None and whole.ended_at < month.end + timedelta(hours=72)
        is_there = whole.started_at < month.end + timedelta(hours=72)
        if is_there:
            ledger.finalize(month, whole if is_known else replace(whole, ended_at=None))
    assert ledger.total() == in_arrears(whole)
    for month in MONTHS:
        assert ledger.for_month(month) == in_arrears(whole, [month])


@given(MOMENTS, MOMENTS, PRORATIONS, st.permutations(MONTHS))
def test_months_finalized_in_any_order_charge_nothing_twice(
    plan: datetime, other: datetime, proration: str, order: list[BillingMonth]
) -> None:
    whole = running(min(plan, other), max(plan, other), proration)
    ledger = Ledger()
    for month in order:
        ledger.finalize(month, whole)
    assert ledger.total() == in_arrears(whole)


@given(st.lists(MOMENTS, min_size=1, max_size=6, unique=True), st.sampled_from(["second", "day"]))
def test_the_parts_of_a_plan_that_changes_often_add_up_to_full_months(changes: list[datetime], proration: str) -> None:
    """The fee stays the same, and ends and begins at each change: 30.00 for each month, to a 10^18th."""
    edges = [at("2026-08-01"), *sorted(changes), None]
    parts = [
        Subscription(id_of(str(start)), "plan", start, end, proration=proration)
        for start, end in pairwise(edges)
        if start is not None
    ]
    for month in MONTHS:
        assert abs(exact_sum(amounts(*parts, month=month)) - 30) < Decimal("1e-18")


# --- Allowances included in a plan ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "amount"),
    [
        ([], "40"),  # no plan, no allowance: 400 x 0.10
        ([subscription("2026-01-01")], "10"),  # 300 are free
        ([subscription("2026-09-16")], "25"),  # half of the month: 150 are free
        ([subscription("2026-09-16", "2026-09-19", proration="day")], "37"),  # a tenth: 30
        ([subscription("2026-09-30", proration="none")], "10"),  # charged whole, so the allowance is whole
        ([subscription("2026-01-01", "2026-09-11"), subscription("2026-09-11")], "10"),  # one after the other
        ([subscription("2026-01-01"), subscription("2026-09-16")], "0"),  # each brings its own: 300 + 150
        ([subscription("2026-09-16", quantity=Decimal(2))], "10"),  # two for half of the month: 2 x 150
        ([subscription("2026-01-01", key="pro")], "40"),  # another plan
        (
            [in_advance("2026-09-16", charged=(fee_charged("30"),))],
            "25",
        ),  # the time that the plan runs counts, not the charge
        ([in_advance("2026-10-01")], "40"),  # charged in advance, but it does not run yet
    ],
)
def test_an_allowance_is_granted_for_the_part_of_the_month_that_its_plan_ran(
    plan: list[Subscription], amount: str
) -> None:
    rollup = UsageRollup(id_of("rollup"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(400))
    member = Member("acme", PriceBook(PRICES), [rollup], plan)
    invoice = InvoiceInProgress(InvoiceInputs("acme", "USD", SEPTEMBER, [member]), id_of("invoice"))
    charge_usage(invoice)
    assert [item.amount for item in invoice.items] == [Decimal(amount)]


def test_a_fee_takes_the_price_at_the_beginning_of_its_part_of_the_month() -> None:
    """The price rises on the 10th: a running plan pays the old price until the month ends, a new one the new price."""
    dearer = replace(PLAN, effective_from=at("2026-09-10"), model=PerUnit(Decimal(60)))
    book = PriceBook([replace(PLAN, effective_until=at("2026-09-10")), dearer])
    member = Member("acme", book, subscriptions=[subscription("2026-01-01"), subscription("2026-09-16")])
    invoice = InvoiceInProgress(InvoiceInputs("acme", "USD", SEPTEMBER, [member]), id_of("invoice"))
    charge_subscriptions(invoice)
    assert [item.amount for item in invoice.items] == [30, 30]


# --- Taxes of refunds ----------------------------------------------------------------------------------------------


def test_a_refunded_fee_is_taxed_at_the_rate_of_its_charge() -> None:
    """29.00 was charged in August at 16 % for September, in which the rate is 19 %: 4.64 is returned, not 5.51."""
    august, september = (TaxRate(id_of(name), name, Decimal(percent)) for name, percent in (("a", "16"), ("s", "19")))
    gone = in_advance("2026-09-01", "2026-09-01", charged=(fee_charged("29"),))
    member = Member("acme", PriceBook(PRICES), subscriptions=[gone])
    inputs = InvoiceInputs(
        "acme", "USD", SEPTEMBER, [member], taxes=[september], earlier_taxes={SEPTEMBER.plus(-1): [august]}
    )
    invoice = assemble_invoice(inputs)
    assert [(tax.name, tax.taxable_cents, tax.tax_cents) for tax in invoice.taxes] == [("a", -2900, -464)]
    assert invoice.total_cents == -3364


def test_an_upgrade_is_taxed_at_the_rate_of_its_month() -> None:
    """The plan of 30.00 was charged in August at 16 %. A second one from 16 September, 15.00, is taxed at 19 %."""
    august, september = (TaxRate(id_of(name), name, Decimal(percent)) for name, percent in (("a", "16"), ("s", "19")))
    more = in_advance("2026-09-01", "2026-10-01", charged=(fee_charged("30"),), quantity=Decimal("1.5"))
    member = Member("acme", PriceBook(PRICES), subscriptions=[more])
    inputs = InvoiceInputs(
        "acme", "USD", SEPTEMBER, [member], taxes=[september], earlier_taxes={SEPTEMBER.plus(-1): [august]}
    )
    assert [(tax.name, tax.taxable_cents, tax.tax_cents) for tax in assemble_invoice(inputs).taxes] == [
        ("s", 1500, 285)
    ]


# --- Discounts of refunds ------------------------------------------------------------------------------------------


def refund_items(ended: str, *taken: tuple[str, str], discounts: Sequence[Discount] = ()) -> dict[str, Decimal]:
    """Return the refund items by description: a plan of 30.00, charged in August with these amounts off,
    ends in September.
    """
    off = tuple(DiscountTaken(id_of(code), code, code, Decimal(amount)) for code, amount in taken)
    gone = in_advance("2026-09-01", ended, charged=(fee_charged("30", discounts=off),))
    member = Member("acme", PriceBook(PRICES), subscriptions=[gone])
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member], discounts=discounts))
    for item in invoice.items:
        assert explain_item(item, explain_rounding(invoice.items, "USD")[item.id], "USD", price=PLAN).problems == ()
    return {item.description: item.amount for item in invoice.items}


def test_a_free_month_refunds_nothing() -> None:
    found = refund_items("2026-09-01", ("first month free", "30"))
    assert found == {"plan as used": -30, "first month free, on the fee given back": 30}


def test_half_of_a_month_at_half_price_refunds_half_of_the_paid_amount() -> None:
    """15.00 were paid: 7.50 are refunded."""
    found = refund_items("2026-09-16", ("half", "15"))
    assert found == {"plan as used": -15, "half, on the fee given back": Decimal("7.5")}


def test_two_discounts_are_each_taken_back_in_proportion() -> None:
    """30.00 less 3.00 less 6.00 were paid; a third of the month is left: 10.00 less 1.00 less 2.00."""
    found = refund_items("2026-09-21", ("ten", "3"), ("six", "6"))
    assert found == {"plan as used": -10, "ten, on the fee given back": 1, "six, on the fee given back": 2}


def test_a_returned_discount_is_an_item_that_names_the_coupon_and_the_fee() -> None:
    """15.00 of 30.00 were off, and half of the month is refunded: 7.50."""
    off = (DiscountTaken(id_of("half"), "half", "Half price", Decimal(15)),)
    plan = in_advance("2026-01-01", "2026-09-16", charged=(fee_charged("30", discounts=off),))
    invoice = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(PRICES), subscriptions=[plan])])
    )
    fee, returned = invoice.items
    assert (returned.kind, returned.organization_id, returned.product) == ("discount", "acme", "Discounts")
    assert (returned.description, returned.unit) == ("Half price, on the fee given back", "item")
    assert returned.quantity == 1
    assert (returned.amount, returned.discount_id) == (Decimal("7.5"), id_of("half"))
    assert returned.detail == {
        "code": "half",
        "steps": [
            {
                "label": "discount when charged", "quantity": "15", "unit_amount": "15", "per": "30",
                "amount": "7.5",
            }
        ],
        "applied_to": [
            {"item": str(fee.id), "product": "Plan", "description": "plan as used", "amount": "-7.5"}
        ],
    }  # fmt: skip


def test_discounts_of_the_refunding_month_do_not_matter() -> None:
    coupon = Discount(id_of("new"), "new", "new", percent=Decimal(50))
    assert refund_items("2026-09-16", discounts=[coupon]) == {"plan as used": -15}


def test_the_same_coupon_in_both_months_is_taken_back_once() -> None:
    coupon = Discount(id_of("half"), "half", "half", percent=Decimal(50))
    found = refund_items("2026-09-16", ("half", "15"), discounts=[coupon])
    assert sum(found.values()) == Decimal("-7.5")


def test_an_upgrade_keeps_the_discount_of_earlier_charges() -> None:
    """30.00 at 15.00 off; from the start of September it is two plans: 30.00 more, at this month's 10 %."""
    off = (DiscountTaken(id_of("half"), "half", "half", Decimal(15)),)
    two = in_advance("2026-09-01", "2026-10-01", quantity=Decimal(2), charged=(fee_charged("30", discounts=off),))
    coupon = Discount(id_of("ten"), "ten", "ten", percent=Decimal(10))
    member = Member("acme", PriceBook(PRICES), subscriptions=[two])
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member], discounts=[coupon]))
    assert {item.description: item.amount for item in invoice.items} == {"plan as used": 30, "ten": -3}


def test_a_fee_that_rises_by_less_than_a_dollar_takes_no_discount_back() -> None:
    """29.50 of the 30.00 were charged, at half price: another 0.50, and no refund of the discount."""
    off = (DiscountTaken(id_of("half"), "half", "half", Decimal("14.75")),)
    (item,) = charged(subscription("2026-01-01", charged=(fee_charged("29.50", discounts=off),)))
    assert (item.kind, item.amount) == ("subscription", Decimal("0.50"))


def test_recalculating_keeps_the_discount_that_was_taken_back_with_a_fee_charged_in_advance() -> None:
    """September refunded 10.00 of October's fee less 5.00 of its discount. Both stay as billed."""
    fee = replace(
        item_of("back", "-10"), subscription_id=id_of("plan"), interval_start=OCTOBER.start, interval_end=OCTOBER.end
    )
    taken_back = replace(
        item_of("half, on the fee given back", "5", "discount"),
        detail={"applied_to": [{"item": str(fee.id), "amount": "-5"}]},
    )
    invoice = InvoiceInProgress(
        InvoiceInputs("acme", "USD", SEPTEMBER, [], charged_ahead=[fee, taken_back]), id_of("invoice")
    )
    charge_subscriptions(invoice)
    assert invoice.items == [fee, taken_back]
    assert invoice.left == {fee.id: Decimal(-5)}


def test_only_a_refunded_fee_has_other_tax_rates_than_the_month() -> None:
    """19 % until August, 20 % in September. A free fee and one of 0.50 are charges of September."""
    old, new = (TaxRate(id_of(f"VAT {percent}"), "VAT", Decimal(percent)) for percent in ("19", "20"))
    fees = [item_of("cheap", "0.50"), item_of("free", "0"), item_of("back", "-0.50")]
    invoice = InvoiceInProgress(
        InvoiceInputs("acme", "USD", SEPTEMBER, [], taxes=[new], earlier_taxes={AUGUST: [old]}, charged_ahead=fees),
        id_of("invoice"),
    )
    charge_subscriptions(invoice)
    assert invoice.items == fees
    assert invoice.other_rates == {id_of("back"): (old,)}


@pytest.mark.parametrize(("amount", "is_given_back"), [("-0.50", True), ("0", False), ("0.50", False)])
def test_only_a_negative_fee_is_a_refunded_fee(amount: str, is_given_back: bool) -> None:
    """30.00 were charged for October. Other negative items are not fees."""
    paid = fee_charged("30", OCTOBER)
    plan = in_advance("2026-01-01", charged=(paid,))
    fee = replace(
        item_of("fee", amount), subscription_id=plan.id, interval_start=OCTOBER.start, interval_end=OCTOBER.end
    )
    invoice = InvoiceInProgress(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([]), subscriptions=[plan])]), id_of("invoice")
    )
    invoice.charge(fee)
    invoice.charge(item_of("sorry", "-2", "one_off"))
    assert fees_given_back(invoice) == ([(fee, paid)] if is_given_back else [])
    # Recalculating September leaves October's fee to October.
    invoice.inputs = replace(invoice.inputs, charged_ahead=[])
    assert fees_given_back(invoice) == []


def test_a_credit_that_paid_a_fee_is_returned_less_than_a_dollar_too() -> None:
    """20.50 of the 30.00 charged were paid by a credit. 20.00 are kept: 9.50 return in money, 0.50 as credit."""
    paid = CreditPaid(id_of("welcome"), "welcome", Decimal("20.50"))
    gone = in_advance("2026-01-01", "2026-09-21", charged=(fee_charged("30", credits=(paid,)),))
    invoice = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(PRICES), subscriptions=[gone])])
    )
    assert {item.description: item.amount for item in invoice.items} == {
        "plan as used": -10,
        "welcome, on the fee given back": Decimal("0.50"),
    }


def test_the_line_of_a_fee_that_rises_before_its_month_begins_names_the_month_in_advance() -> None:
    """Another invoice charged 20.00 for October: 10.00 more."""
    (_, rise) = charged(in_advance("2026-01-01", charged=(fee_charged("20", OCTOBER),)))
    assert (rise.amount, rise.description) == (Decimal(10), "plan as used, 2026-10 in advance")


def test_a_subscription_runs_one_month_in_a_full_month_and_none_before_its_start() -> None:
    assert share_of_month(subscription("2026-01-01"), SEPTEMBER) == IntervalShare(Decimal(1), "month", Decimal(1))
    assert share_of_month(subscription("2026-10-01"), SEPTEMBER) == NOTHING


@given(
    st.decimals(0, 30, places=2),
    st.integers(0, 30),
)
def test_a_refunded_fee_never_returns_more_than_was_paid_for_it(off: Decimal, days: int) -> None:
    ended = f"{SEPTEMBER.start + timedelta(days=days):%Y-%m-%d}"
    returned = -sum(refund_items(ended, *([("off", str(off))] if off else [])).values())
    assert abs(returned - (30 - off) * (30 - days) / 30) < Decimal("1e-18")
