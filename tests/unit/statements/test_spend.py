"""An invoice's spend by app, region, organization and day: every list adds up to the total, to the cent."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.money import share_out_cents, to_cents
from fly_billing.statements.rules.spend import (
    DaySpend,
    SpendItem,
    SpendShare,
    UsagePart,
    break_down,
    compare_products,
    fold_shares,
    split_by_day,
    split_by_dimension,
    split_in_proportion,
    total_by_organization,
    total_by_product,
)
from tests.support.builders import SEPTEMBER, at

END = at("2026-10-04")


def item(amount: str, kind: str = "usage", product: str = "Machines", **changes: Any) -> SpendItem:
    cents = to_cents(Decimal(amount), "USD")
    return SpendItem(kind, product, changes.pop("whose", "acme"), Decimal(amount), cents, **changes)


def used(quantity: str, app: str | None = None, region: str | None = None) -> UsagePart:
    return UsagePart({"app": app, "region": region}, Decimal(quantity))


def day(number: int) -> date:
    return date(2026, 9, number)


def on(items: list[SpendItem], as_of: datetime = END) -> dict[int, int]:
    """Return the cents of the days of September with spend."""
    return {
        day_spend.day.day: day_spend.amount_cents
        for day_spend in split_by_day(items, SEPTEMBER, "USD", as_of).days
        if day_spend.amount_cents
    }


def rows(shares: tuple[SpendShare, ...]) -> list[tuple[str | None, int]]:
    return [(share.label, share.amount_cents) for share in shares]


def test_an_item_is_split_over_apps_in_proportion_to_their_usage() -> None:
    """$9.00 for 3 units: web used 2 of them in two regions, worker 1."""
    parts = [used("10", "web", "ams"), used("10", "web", "fra"), used("10", "worker", "ams")]
    machines = item("9.00", usage=parts)
    assert rows(split_by_dimension([machines], "app", "USD")) == [("web", 600), ("worker", 300)]
    assert rows(split_by_dimension([machines], "region", "USD")) == [("ams", 600), ("fra", 300)]


def test_ten_cents_split_over_three_apps_add_up_to_ten_cents() -> None:
    """3.33 cents each: the odd cent goes to the first of the equal ones."""
    shares = split_by_dimension([item("0.10", usage=[used("1", name) for name in ("a", "b", "c")])], "app", "USD")
    assert rows(shares) == [("a", 4), ("b", 3), ("c", 3)]


def test_items_without_an_app_and_items_for_the_whole_invoice_are_the_last_rows() -> None:
    items = [
        item("2.00", usage=[used("1", "web")]),
        item("29.00", "subscription", "Support"),
        item("-3.10", "discount", "Discounts"),
        item("5.30", "tax", "VAT"),
    ]
    assert split_by_dimension(items, "app", "USD") == (
        SpendShare("web", 200),
        SpendShare(None, 2900),
        SpendShare(None, 220, is_of_the_whole_invoice=True),
    )


def test_a_flat_fee_of_a_price_without_usage_belongs_to_no_app() -> None:
    assert rows(split_by_dimension([item("5.00", usage=[used("0", "web")])], "app", "USD")) == [(None, 500)]


def test_the_row_for_the_whole_invoice_has_the_cents_of_its_items_in_every_list() -> None:
    """A cent over two apps, shown as 2 on the invoice; half a cent off, shown as 1."""
    parts = [used("1", "a"), used("1", "b")]
    items = [
        SpendItem("usage", "Machines", "acme", Decimal("0.010"), 2, parts),
        SpendItem("discount", "Discounts", "acme", Decimal("-0.005"), -1),
    ]
    assert rows(split_by_dimension(items, "app", "USD")) == [("a", 1), ("b", 1), (None, -1)]
    spend = split_by_day(items, SEPTEMBER, "USD", END)
    assert (sum(day_spend.amount_cents for day_spend in spend.days), spend.whole_invoice_cents) == (2, -1)


def test_a_long_list_is_folded_into_its_largest_and_one_row_for_the_rest() -> None:
    shares = (
        SpendShare("a", 5),
        SpendShare("b", 4),
        SpendShare("c", 3),
        SpendShare("d", 2),
        SpendShare(None, 7),
        SpendShare(None, -1, True),
    )
    assert fold_shares(shares, 2) == (
        SpendShare("a", 5),
        SpendShare("b", 4),
        SpendShare("2 more", 5),
        SpendShare(None, 7),
        SpendShare(None, -1, True),
    )
    assert fold_shares(shares, 3) == shares


def test_products_are_in_the_invoices_order_and_total_its_cents() -> None:
    items = [item("1.10", product="Volumes"), item("2.00", product="Machines"), item("0.20", product="Volumes")]
    assert rows(total_by_product(items)) == [("Volumes", 130), ("Machines", 200)]


def test_each_organization_of_a_payer_has_a_row_and_the_whole_invoice_has_one() -> None:
    items = [item("1.00"), item("3.00", whose="bolt"), item("-0.50", "credit", "Credits")]
    assert total_by_organization(items) == (
        SpendShare("bolt", 300),
        SpendShare("acme", 100),
        SpendShare(None, -50, True),
    )
    assert break_down(items, SEPTEMBER, "USD", END).by_organization == total_by_organization(items)
    assert break_down(items[:1], SEPTEMBER, "USD", END).by_organization == ()


def test_each_organization_is_one_row_and_equal_rows_are_sorted_by_name() -> None:
    """$1.00 + $0.50 of zeal, $1.50 of bolt; a tax larger than both still comes last."""
    items = [item("1.00", whose="zeal"), item("0.50", whose="zeal"), item("1.50", whose="bolt")]
    tax = item("5.00", "tax", "VAT")
    assert total_by_organization([tax, *items]) == (
        SpendShare("bolt", 150),
        SpendShare("zeal", 150),
        SpendShare(None, 500, True),
    )


def test_apps_with_equal_costs_are_sorted_by_name() -> None:
    machines = item("3.00", usage=[used("1", "worker"), used("1", "api"), used("1")])
    assert rows(split_by_dimension([machines], "app", "USD")) == [("api", 100), ("worker", 100), (None, 100)]


def test_a_product_with_the_name_of_a_discount_has_its_own_row() -> None:
    items = [item("3.00", product="Support"), item("-1.00", "discount", "Support")]
    assert total_by_product(items) == (SpendShare("Support", 300), SpendShare("Support", -100, True))


def test_usage_is_spread_over_the_days_of_use() -> None:
    """$4.00 for 40 requests: 30 on the 1st, 10 on the 3rd."""
    assert on([item("4.00", daily={day(1): Decimal(30), day(3): Decimal(10)})]) == {1: 300, 3: 100}


def test_a_day_on_which_a_latest_value_fell_has_negative_spend() -> None:
    """A latest value of 10 that was 15 on the 1st: 15, then 5 less."""
    assert on([item("1.00", daily={day(1): Decimal(15), day(2): Decimal(-5)})]) == {1: 150, 2: -50}


def test_a_fee_is_spread_evenly_over_the_time_that_it_covers() -> None:
    """$15.00 from noon of the 29th on, a day and a half: a third of it is the half day's."""
    fee = item("15.00", "subscription", "Support", period=(at("2026-09-29T12:00:00"), at("2026-10-01")))
    assert on([fee]) == {29: 500, 30: 1000}


def test_a_one_off_item_is_on_its_own_day() -> None:
    assert on([item("7.00", "one_off", "One-off", occurred_at=at("2026-09-12T23:59:59"))]) == {12: 700}


def test_an_item_without_a_day_is_on_the_last_day_or_in_an_open_month_on_the_current_day() -> None:
    """An item of August that arrived too late, October's fee in advance, an adjustment."""
    items = [
        item("1.00", "one_off", "One-off", occurred_at=at("2026-08-31T23:59:59")),
        item("2.00", "subscription", "Support", period=(at("2026-10-01"), at("2026-11-01"))),
        item("4.00", "adjustment", "Machines"),
    ]
    assert on(items) == {30: 700}
    assert on(items, at("2026-09-20T12:00:00")) == {20: 700}
    assert on(items, at("2026-08-31T12:00:00")) == {1: 700}


@pytest.mark.usefixtures("machine_in_honolulu")
def test_a_day_is_a_day_in_utc_in_every_time_zone() -> None:
    """05:00 in UTC is still the day before in Honolulu."""
    bought = item("7.00", "one_off", "One-off", occurred_at=at("2026-09-12T05:00:00"))
    first = item("1.00", "one_off", "One-off", occurred_at=at("2026-09-01T05:00:00"))
    assert on([bought, first, item("4.00", "adjustment")], at("2026-09-20T05:00:00")) == {1: 100, 12: 700, 20: 400}


def test_an_amount_owed_without_usage_is_spread_over_the_whole_month() -> None:
    """A minimum of $3.00: 10 cents on each of 30 days."""
    assert on([item("3.00")]) == dict.fromkeys(range(1, 31), 10)


def test_usage_without_days_is_shown_separately() -> None:
    spend = split_by_day([item("4.00", daily={day(1): Decimal(30), None: Decimal(10)})], SEPTEMBER, "USD", END)
    assert spend.days[0] == DaySpend(day(1), 300)
    assert (spend.day_not_known_cents, spend.whole_invoice_cents) == (100, None)
    fee = split_by_day([item("29.00", "subscription", "Support")], SEPTEMBER, "USD", END)
    assert fee.day_not_known_cents == 2900


def test_discounts_credits_and_taxes_have_no_day() -> None:
    items = [item("3.00"), item("-1.00", "discount", "Discounts"), item("0.38", "tax", "VAT")]
    spend = split_by_day(items, SEPTEMBER, "USD", END)
    assert spend.whole_invoice_cents == -62
    assert sum(day_spend.amount_cents for day_spend in spend.days) == 300


def test_a_month_is_compared_with_the_last_by_product_with_the_largest_change_first() -> None:
    now = total_by_product([item("12.00"), item("3.00", product="Volumes"), item("1.00", product="Egress")])
    before = total_by_product([item("10.00"), item("29.00", product="Support"), item("1.00", product="Egress")])
    compared = compare_products(now, before, SEPTEMBER.plus(-1))
    changes = [
        (difference.label, difference.before_cents, difference.now_cents, difference.difference_cents)
        for difference in compared.by_product
    ]
    assert compared.month == "2026-08"
    assert changes == [
        ("Support", 2900, 0, -2900),
        ("Volumes", 0, 300, 300),
        ("Machines", 1000, 1200, 200),
        ("Egress", 100, 100, 0),
    ]
    assert (compared.total.before_cents, compared.total.now_cents, compared.total.difference_cents) == (
        4000,
        1600,
        -2400,
    )


def test_a_list_adds_up_to_a_total_that_was_rounded_on_another_invoice() -> None:
    """Three lines of 0.4 cents, each one cent on another organization's invoice: 3 cents, not 1."""
    amounts = [Decimal("0.004")] * 3
    assert share_out_cents(amounts, "USD") == [1, 0, 0]
    assert share_out_cents(amounts, "USD", 3) == [1, 1, 1]
    assert share_out_cents([], "USD", 0) == []


quantities = st.decimals(min_value=0, max_value=10**9, places=6)
names = st.sampled_from(["web", "worker", "db", None])
parts = st.lists(st.builds(lambda app, quantity: UsagePart({"app": app}, quantity), names, quantities), max_size=6)
days = st.dictionaries(
    st.one_of(st.none(), st.integers(1, 30).map(day)), quantities.filter(lambda quantity: quantity > 0), max_size=31
)
kinds = st.sampled_from(["usage", "one_off", "adjustment", "subscription", "discount", "credit"])
amounts_exact = st.decimals(min_value=-(10**6), max_value=10**6, places=20)


@st.composite
def invoices(draw: st.DrawFn) -> list[SpendItem]:
    """Draw items with the cents that an invoice would give them."""
    amounts = draw(st.lists(amounts_exact, min_size=1, max_size=8))
    cents = share_out_cents(amounts, "USD")
    return [
        SpendItem(draw(kinds), "Product", "acme", amount, share, draw(parts), draw(days))
        for amount, share in zip(amounts, cents, strict=True)
    ]


@given(invoices())
def test_every_list_adds_up_to_the_total(items: list[SpendItem]) -> None:
    total = sum(line.amount_cents for line in items)
    spend = break_down(items, SEPTEMBER, "USD", END)
    assert sum(share.amount_cents for share in spend.by_product) == total
    assert sum(share.amount_cents for share in spend.by_app) == total
    assert sum(share.amount_cents for share in spend.by_region) == total
    beside = (spend.by_day.day_not_known_cents or 0) + (spend.by_day.whole_invoice_cents or 0)
    assert sum(day_spend.amount_cents for day_spend in spend.by_day.days) + beside == total
    assert [share.day for share in spend.by_day.days] == [day(1) + timedelta(days=n) for n in range(30)]


@given(invoices())
def test_a_days_cents_are_those_of_the_sum_of_its_exact_fractions(items: list[SpendItem]) -> None:
    """Fractions, as a second calculation; each day's sum is rounded half-up to 20 decimals, and then to cents."""
    used_items = [line for line in items if line.kind == "usage" and line.daily]
    exact = dict.fromkeys([*(day(1) + timedelta(days=n) for n in range(30)), None], Fraction(0))
    for line in used_items:
        total = sum(map(Fraction, line.daily.values()))
        for at_day, quantity in line.daily.items():
            exact[at_day] += Fraction(line.amount) * Fraction(quantity) / total
    if not any(None in line.daily for line in used_items):
        del exact[None]
    rounded = [Decimal(round_half_up(10**20 * amount)).scaleb(-20) for amount in exact.values()]
    expected = share_out_cents(rounded, "USD", sum(line.amount_cents for line in used_items))
    found = split_by_day(used_items, SEPTEMBER, "USD", END)
    beside = [] if found.day_not_known_cents is None else [found.day_not_known_cents]
    assert [spent.amount_cents for spent in found.days] + beside == expected


def round_half_up(number: Fraction) -> int:
    """Round to a whole number, halves away from zero."""
    whole = (2 * abs(number.numerator) + number.denominator) // (2 * number.denominator)
    return whole if number >= 0 else -whole


@given(amounts_exact, st.lists(quantities, min_size=1, max_size=20).filter(any))
def test_parts_add_up_to_the_amount_exactly_and_each_is_in_proportion(amount: Decimal, weights: list[Decimal]) -> None:
    shared = split_in_proportion(amount, weights)
    assert sum(map(to_exact, shared)) == to_exact(amount)
    total = sum(map(to_exact, weights))
    for part, weight in zip(shared, weights, strict=True):
        assert abs(to_exact(part) * total - to_exact(amount) * to_exact(weight)) <= total * len(weights) * 10**20


@given(amounts_exact, st.lists(quantities, min_size=2, max_size=20).filter(any), st.booleans())
def test_every_part_but_the_largest_is_rounded_half_up_at_the_20th_decimal(
    amount: Decimal, weights: list[Decimal], is_credit: bool
) -> None:
    """The quotient of integers, as a second calculation: of a credit, halves are rounded away from zero, too."""
    shared = split_in_proportion(amount.copy_negate() if is_credit else amount, weights)
    units, shares = to_exact(amount.copy_abs()), [to_exact(weight) for weight in weights]
    largest = shares.index(max(shares))
    for n, (part, share) in enumerate(zip(shared, shares, strict=True)):
        if n != largest:
            doubled = 2 * sum(shares) * 10**20
            assert to_exact(part.copy_abs()) == (2 * units * share + doubled // 2) // doubled * 10**20


def to_exact(number: Decimal) -> int:
    """Return the number in units of 10^-40: sums of integers are exact at any precision."""
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    whole = int("".join(map(str, digits)) + "0" * (40 + exponent))
    return -whole if sign else whole


def test_amounts_are_split_in_the_currencys_minor_unit() -> None:
    """JPY 10 over three apps."""
    usage = [used("1", name) for name in ("a", "b", "c")]
    items = [SpendItem("usage", "Machines", "acme", Decimal("10.2"), 10, usage)]
    assert rows(split_by_dimension(items, "app", "JPY")) == [("a", 4), ("b", 3), ("c", 3)]


def test_every_list_of_an_invoice_in_yen_is_in_yen() -> None:
    """JPY 10: web in Tokyo used 7 units and worker in Osaka 3, on two days."""
    usage = [used("7", "web", "nrt"), used("3", "worker", "kix")]
    daily: dict[date | None, Decimal] = {day(1): Decimal(7), day(3): Decimal(3)}
    items = [SpendItem("usage", "Machines", "acme", Decimal(10), 10, usage, daily)]
    spend = break_down(items, SEPTEMBER, "JPY", END)
    assert rows(spend.by_app) == [("web", 7), ("worker", 3)]
    assert rows(spend.by_region) == [("nrt", 7), ("kix", 3)]
    assert [day_spend.amount_cents for day_spend in spend.by_day.days[:4]] == [7, 0, 3, 0]
