"""A shadow run compares a billed month with its calculation under another book, and splits usage at price changes."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.corrections.rules.shadow_report import BilledTotal, PriceChanges, compare
from fly_billing.errors import BillingError, not_computable
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, OneOffItem, UsageRollup
from fly_billing.pricing.rules.prices import PriceBook
from tests.support.builders import SEPTEMBER, at, id_of, price


def invoice(organization: str, amount: str, currency: str = "USD") -> Invoice:
    item = OneOffItem(id_of(organization), "Charge", Decimal(amount), currency)
    return assemble_invoice(
        InvoiceInputs(organization, currency, SEPTEMBER, [Member(organization, PriceBook([]), one_offs=[item])])
    )


def billed(organization: str, cents: int, currency: str = "USD") -> BilledTotal:
    return BilledTotal(organization, organization.capitalize(), currency, cents, {"One-off": cents})


def test_the_largest_difference_comes_first_in_either_direction() -> None:
    amounts = {"acme": "10.00", "beta": "0.50", "delta": "4.00", "gamma": "3.00"}
    again: dict[str, Invoice | BillingError] = {"acme": invoice("acme", "9"), "beta": invoice("beta", "5")}
    again |= {"delta": invoice("delta", "4"), "gamma": invoice("gamma", "1")}
    real = [billed("acme", 900), billed("beta", 500), billed("delta", 400), billed("gamma", 100)]
    report = compare(SEPTEMBER, "2027", real, again, {name: invoice(name, amount) for name, amount in amounts.items()})
    assert [(difference.organization_id, difference.cents) for difference in report.differences] == [
        ("beta", -450), ("gamma", 200), ("acme", 100), ("delta", 0),
    ]  # fmt: skip
    (totals,) = report.totals
    assert (totals.pay_more, totals.pay_less, totals.pay_the_same) == (2, 1, 1)
    assert (totals.billed_cents, totals.shadow_cents, totals.cents) == (1900, 1750, -150)
    (product,) = report.products
    assert (product.product, product.billed_cents, product.shadow_cents) == ("One-off", 1900, 1750)


def test_amounts_in_different_currencies_are_never_added() -> None:
    both: dict[str, Invoice | BillingError] = {"acme": invoice("acme", "2"), "gamma": invoice("gamma", "700", "JPY")}
    report = compare(SEPTEMBER, "2027", [billed("acme", 100), billed("gamma", 600, "JPY")], both, both)
    assert [(total.currency, total.cents) for total in report.totals] == [("JPY", 100), ("USD", 100)]
    assert [(product.product, product.currency, product.cents) for product in report.products] == [
        ("One-off", "JPY", 100), ("One-off", "USD", 100),
    ]  # fmt: skip


def test_an_organization_that_can_not_be_priced_is_named_with_the_reason_and_in_no_total() -> None:
    fails = not_computable("unpriced_usage", "no price for meter 'requests'")
    again: dict[str, Invoice | BillingError] = {
        "acme": invoice("acme", "1"),
        "beta": fails,
        "delta": invoice("delta", "2"),
    }
    shadow: dict[str, Invoice | BillingError] = {
        "acme": fails,
        "beta": invoice("beta", "1"),
        "delta": invoice("delta", "2"),
    }
    report = compare(SEPTEMBER, "2027", [billed("acme", 100), billed("beta", 300), billed("delta", 200)], again, shadow)
    assert [
        (organization.organization_id, organization.code, organization.reason) for organization in report.unpriced
    ] == [
        ("beta", "unpriced_usage", "under its own prices: no price for meter 'requests'"),
        ("acme", "unpriced_usage", "no price for meter 'requests'"),
    ]
    assert [difference.organization_id for difference in report.differences] == ["delta"]
    assert report.totals[0].billed_cents == 200


def test_a_difference_that_the_book_alone_does_not_cause_is_marked() -> None:
    same: dict[str, Invoice | BillingError] = {"acme": invoice("acme", "2")}
    (difference,) = compare(SEPTEMBER, "2027", [billed("acme", 100)], same, same).differences
    assert (difference.is_by_prices_alone, difference.recalculated_cents, difference.cents) == (False, 200, 100)


def test_the_report_is_plain_data() -> None:
    """acme was billed $1.00 and would pay $2.00; the other book has no price for beta's usage."""
    again: dict[str, Invoice | BillingError] = {"acme": invoice("acme", "2"), "beta": invoice("beta", "3")}
    shadow = again | {"beta": not_computable("unpriced_usage", "no price for meter 'requests'")}
    data = compare(SEPTEMBER, "2027", [billed("acme", 100), billed("beta", 300)], again, shadow).as_data()
    assert json.loads(json.dumps(data)) == data
    acme = {"organization_id": "acme", "organization_name": "Acme", "currency": "USD"}
    amounts = {"currency": "USD", "billed_cents": 100, "shadow_cents": 200, "difference_cents": 100}
    assert data == {
        "month": "2026-09",
        "price_book": "2027",
        "totals": [{"pay_more": 1, "pay_less": 0, "pay_the_same": 0} | amounts],
        "organizations": [acme | amounts | {"recalculated_cents": 200, "is_by_prices_alone": False}],
        "products": [{"product": "One-off"} | amounts],
        "unpriced": [
            {"organization_id": "beta", "organization_name": "Beta", "currency": "USD", "billed_cents": 300}
            | {"code": "unpriced_usage", "reason": "no price for meter 'requests'"}
        ],
    }


def test_a_difference_of_one_cent_counts_as_more_or_less() -> None:
    real = [billed("acme", 100), billed("beta", 100), billed("gamma", 100)]
    shadow: dict[str, Invoice | BillingError] = {
        "acme": invoice("acme", "1.01"), "beta": invoice("beta", "0.99"), "gamma": invoice("gamma", "1"),
    }  # fmt: skip
    (totals,) = compare(SEPTEMBER, "2027", real, shadow, shadow).totals
    assert (totals.pay_more, totals.pay_less, totals.pay_the_same) == (1, 1, 1)


def test_products_are_sorted_by_the_largest_difference_in_either_direction() -> None:
    """Billed were $2.00 for one-off charges, $5.00 for Machines and $1.00 for Volumes; the shadow has $3.00 one-off."""
    real = BilledTotal("acme", "Acme", "USD", 800, {"One-off": 200, "Machines": 500, "Volumes": 100})
    same: dict[str, Invoice | BillingError] = {"acme": invoice("acme", "3")}
    found = compare(SEPTEMBER, "2027", [real], same, same).products
    assert [(product.product, product.billed_cents, product.shadow_cents, product.cents) for product in found] == [
        ("Machines", 500, 0, -500), ("One-off", 200, 300, 100), ("Volumes", 100, 0, -100),
    ]  # fmt: skip


def test_equal_differences_are_sorted_by_name() -> None:
    both: dict[str, Invoice | BillingError] = {name: invoice(name, "2") for name in ("beta", "acme")}
    report = compare(SEPTEMBER, "2027", [billed("beta", 100), billed("acme", 100)], both, both)
    assert [difference.organization_id for difference in report.differences] == ["acme", "beta"]
    fails = dict.fromkeys(both, not_computable("unpriced_usage", "no price"))
    report = compare(SEPTEMBER, "2027", [billed("beta", 100), billed("acme", 100)], both, fails)
    assert [organization.organization_id for organization in report.unpriced] == ["acme", "beta"]


def rollup(quantity: str, start: str = "2026-09-01", end: str = "2026-10-01") -> UsageRollup:
    return UsageRollup(id_of(quantity), "requests", {"region": "ams"}, at(start), at(end), Decimal(quantity))


def changes(*moments: str) -> PriceChanges:
    """Return a book in which requests cost 1 at first, and 1 more from each of these moments on."""
    versions = [price("requests", "1", "requests")]
    versions += [
        price("requests", str(n), "requests", effective_from=at(moment)) for n, moment in enumerate(moments, 2)
    ]
    return PriceChanges(versions)


def by_day(**days: int) -> list[Decimal]:
    """Return the usage that each day of September added: `d15=100`."""
    return [Decimal(days.get(f"d{number}", 0)) for number in range(1, 31)]


def parts(found: list[UsageRollup]) -> list[tuple[datetime, datetime, Decimal]]:
    return [(part.segment_start, part.segment_end, part.quantity) for part in found]


def test_a_rollup_without_a_price_change_is_not_split_and_needs_no_days() -> None:
    whole = rollup("100")
    assert changes("2026-09-01", "2026-10-01").split(whole, None) == [whole]


def test_usage_is_split_at_the_midnight_of_a_price_change() -> None:
    """The 14th belongs to the price before, the 15th to the one after."""
    found = changes("2026-09-15").split(rollup("100"), by_day(d1=10, d14=20, d15=30, d30=40))
    assert parts(found) == [
        (at("2026-09-01"), at("2026-09-15"), Decimal(30)),
        (at("2026-09-15"), at("2026-10-01"), Decimal(70)),
    ]


def test_a_part_without_usage_is_left_out() -> None:
    found = changes("2026-09-10", "2026-09-20").split(rollup("5"), by_day(d9=2, d20=3))
    assert parts(found) == [
        (at("2026-09-01"), at("2026-09-10"), Decimal(2)),
        (at("2026-09-20"), at("2026-10-01"), Decimal(3)),
    ]


def test_a_segment_that_begins_inside_a_day_is_split_at_later_midnights() -> None:
    """The real price changed at noon on the 10th; the other book changes it on the 11th."""
    found = changes("2026-09-11").split(rollup("9", start="2026-09-10T12:00:00"), by_day(d10=4, d11=5))
    assert parts(found) == [
        (at("2026-09-10T12:00:00"), at("2026-09-11"), Decimal(4)),
        (at("2026-09-11"), at("2026-10-01"), Decimal(5)),
    ]


def test_a_price_change_for_other_dimensions_splits_nothing() -> None:
    whole = rollup("100")
    prices = [
        price("all", "1", "requests"),
        price("fra", "2", "requests", match={"region": ("fra",)}, effective_from=at("2026-09-15")),
    ]
    assert PriceChanges(prices).split(whole, None) == [whole]


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        ("2026-09-15T12:00:00", "2026-09-15 12:00:00"),
        ("2026-09-15T00:30:00", "2026-09-15 00:30:00"),
        ("2026-09-15T00:00:59", "2026-09-15 00:00:59"),
        ("2026-09-15T00:00:00.5", "2026-09-15 00:00:00"),
    ],
)
def test_a_price_that_changes_inside_a_day_is_named_with_the_moment(moment: str, written: str) -> None:
    with pytest.raises(BillingError) as raised:
        changes(moment).split(rollup("100"), by_day(d1=100))
    assert raised.value.code == "price_changes_inside_a_day"
    assert raised.value.operator_text == (
        f"the price 'requests' changes at {written}Z, but usage of 'requests' is known per day only:"
        " change the price at midnight UTC"
    )


@pytest.mark.parametrize("days", [None, by_day(d1=99), by_day(d1=101)])
def test_usage_without_known_days_is_not_split(days: list[Decimal] | None) -> None:
    with pytest.raises(BillingError) as raised:
        changes("2026-09-15").split(rollup("100"), days)
    assert raised.value.code == "days_not_known"
    assert raised.value.operator_text == (
        "the price 'requests' changes at 2026-09-15, but the daily quantities of 'requests' in that month were not"
        " stored. Choose a later month, or prices that do not change inside the month"
    )


@given(st.lists(st.integers(0, 1000), min_size=30, max_size=30), st.sets(st.integers(2, 30), max_size=5))
def test_a_split_at_any_moments_loses_no_unit(used: list[int], days: set[int]) -> None:
    moments = [f"2026-09-{day:02}" for day in sorted(days)]
    found = changes(*moments).split(rollup(str(sum(used))), [Decimal(quantity) for quantity in used])
    assert sum(part.quantity for part in found) == sum(used)
    for part in found:
        inside = range(part.segment_start.day, 31 if part.segment_end == SEPTEMBER.end else part.segment_end.day)
        assert part.quantity == sum(used[day - 1] for day in inside)
