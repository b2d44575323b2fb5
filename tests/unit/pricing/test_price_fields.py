"""Every field of a price changes the charge, or is refused: none is accepted and ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.pricing.rules.fields import read_whole, refuse_repeated
from fly_billing.pricing.rules.models import MODELS
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.support.builders import SEPTEMBER, SUPPORT, at, id_of, price

# A valid price of each model. Two tiers, so that the bound of a tier matters.
OF_MODEL: dict[str, dict[str, Any]] = {
    "per_unit": {"unit_amount": "2"},
    "package": {"unit_amount": "7", "per": "3"},
    "graduated": {"tiers": [{"up_to": "4", "unit_amount": "2", "flat_amount": "1"}, {"unit_amount": "1"}]},
    "volume": {"tiers": [{"up_to": "4", "unit_amount": "2", "flat_amount": "1"}, {"unit_amount": "1"}]},
    "percentage": {"percent": "10", "flat_amount": "1"},
    "graduated_percentage": {"tiers": [{"up_to": "4", "percent": "10", "flat_amount": "1"}, {"percent": "5"}]},
    "flat": {"flat_amount": "9"},
}
# Another value for every field.
CHANGES: dict[str, Any] = {
    "currency": "EUR",
    "free_allowance": "6",
    "minimum": "40",
    "maximum": "0.30",
    "at_zero": "item",
    "match": {"region": "ams"},
    "allowance_with": "plan",
    "transform_quantity": {"step": "7", "round": "down"},
    "interval": "quarter",
    "effective_from": "2026-09-16",
    "effective_until": "2026-09-16",
    "unit_amount": "3",
    "per": "4",
    "round": "down",
    "percent": "11",
    "flat_amount": "3",
    "tiers": [{"up_to": "2", "unit_amount": "3"}, {"unit_amount": "2"}],
}
NAMES = {"key", "meter", "product", "description", "unit", "model"}
QUANTITIES = ("0", "1", "5", "100")


def data_of(model: str, meter: str | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        "key": "it", "product": "It", "description": "It", "unit": "unit", "effective_from": "2026-01-01",
        "model": model, **OF_MODEL[model],
    }  # fmt: skip
    return {**plain, **({"meter": meter} if meter else {}), **changes}


def outcomes(price: Price) -> list[Any]:
    """Return the totals of a month under the price: with and without usage, with and without a plan beside it."""
    found: list[Any] = []
    for quantity in QUANTITIES:
        for plans in ((), ("1",), ("1", "2")):
            found.append(outcome(price, quantity, plans))
    return [*found, outcome(price, None, ()), outcome(price, "5", (), started="2026-09-20")]


def outcome(price: Price, quantity: str | None, plans: tuple[str, ...], started: str = "2026-01-01") -> Any:
    try:
        invoice = month_of(price, quantity, plans, started)
    except BillingError as error:
        return error.code
    return invoice.currency, [(item.description, item.amount) for item in invoice.items]


def month_of(fee_or_price: Price, quantity: str | None, plans: tuple[str, ...], started: str) -> Invoice:
    """Rate `quantity` of usage or, for a fee, of a subscription since `started`; `plans` are seats by plan."""
    rollups = []
    if fee_or_price.meter and quantity is not None:
        span = (SEPTEMBER.start, SEPTEMBER.end)
        rollups.append(UsageRollup(id_of("usage"), fee_or_price.meter, {"region": "fra"}, *span, Decimal(quantity)))
    subscriptions = [
        Subscription(id_of(f"plan {number}"), "plan", at("2026-01-01"), None, Decimal(seats))
        for number, seats in enumerate(plans)
    ]
    if fee_or_price.meter is None and quantity not in (None, "0"):
        subscriptions.append(Subscription(id_of("it"), "it", at(started), None, Decimal(quantity or 0)))
    member = Member("acme", PriceBook([fee_or_price, price("plan", "30")]), rollups, subscriptions)
    return assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member]))


def every_field(model: str) -> list[str]:
    return sorted({field.name for field in fields(Price)} - NAMES - {"book"} | set(MODELS[model].FIELDS))


CASES = [(model, meter, name) for model in MODELS for meter in ("requests", None) for name in every_field(model)]


@pytest.mark.parametrize(("model", "meter", "name"), CASES, ids=lambda value: str(value))
def test_a_field_of_a_price_changes_the_charge_or_is_refused(model: str, meter: str | None, name: str) -> None:
    needs = {"free_allowance": "6"} if name == "allowance_with" else {}
    if name == "at_zero":  # a fee has at least one unit: its allowance makes it zero
        needs = {"minimum": "8"} | ({} if meter else {"free_allowance": "1000"})
    if name == "tiers" and model == "graduated_percentage":
        changed: Any = [{"up_to": "2", "percent": "3"}, {"percent": "2"}]
    else:
        changed = CHANGES[name]
    before = Price.from_data("fly", data_of(model, meter, needs))
    try:
        after = Price.from_data("fly", data_of(model, meter, needs | {name: changed}))
    except ValueError as refused:
        assert name in str(refused)
        return
    assert outcomes(after) != outcomes(before)


def test_every_field_and_every_model_is_tested() -> None:
    tried = {name for _, _, name in CASES}
    assert tried == set(CHANGES) | {"tiers"}
    assert set(OF_MODEL) == set(MODELS)


# --- Fees: subscribed units are rated like usage, then prorated ----------------------------------------------------


def fee(quantity: str, started: str = "2026-01-01", **terms: Any) -> Decimal:
    seat = Price.from_data("fly", data_of("per_unit", None, {"unit_amount": "10"} | terms))
    subscription = Subscription(id_of("it"), "it", at(started), None, Decimal(quantity))
    invoice = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([seat]), subscriptions=[subscription])])
    )
    (item,) = invoice.items
    explained = explain_item(item, explain_rounding(invoice.items, "USD")[item.id], "USD", price=seat)
    assert explained.problems == ()
    return item.amount


def test_three_included_seats_of_five_leave_two_to_pay() -> None:
    assert fee("5", free_allowance="3") == 20


def test_two_seats_of_three_included_ones_cost_nothing() -> None:
    assert fee("2", free_allowance="3", minimum="5") == 0


def test_fifty_seats_cost_at_most_a_hundred() -> None:
    assert fee("50", maximum="100") == 100


def test_half_a_month_of_fifty_seats_costs_at_most_fifty() -> None:
    assert fee("50", "2026-09-16", maximum="100") == 50


def test_one_seat_costs_at_least_the_minimum() -> None:
    assert fee("1", minimum="25") == 25


@pytest.mark.parametrize("changes", [{"match": {"region": "ams"}}, {"allowance_with": "plan", "free_allowance": "1"}])
def test_a_fee_can_not_have_fields_of_usage_prices(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"price fly/it: (match|allowance_with) is for usage"):
        Price.from_data("fly", data_of("per_unit", None, changes))


# --- Allowances of a plan ------------------------------------------------------------------------------------------


def credits_bill(used: str, *plans: tuple[str, str, str | None]) -> Decimal:
    """Bill 80 credits at $1, 25 of them included in each seat; `plans`: seats, start, end."""
    rollup = UsageRollup(id_of("usage"), "credits", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(used))
    seats = [
        Subscription(id_of(f"seat {number}"), "seat", at(start), at(end) if end else None, Decimal(quantity))
        for number, (quantity, start, end) in enumerate(plans)
    ]
    prices = [
        price("credits", "1", "credits", free_allowance=Decimal(25), allowance_with="seat"),
        price("seat", "0"),
    ]
    invoice = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(prices), [rollup], seats)])
    )
    return invoice.amount


@pytest.mark.parametrize(
    ("plans", "owed"),
    [
        ([], 80),
        ([("1", "2026-01-01", None)], 55),
        ([("3", "2026-01-01", None)], 5),
        ([("4", "2026-01-01", None)], 0),
        ([("1", "2026-01-01", None), ("2", "2026-01-01", None)], 5),
        ([("2", "2026-09-16", None)], 55),  # two seats for half of the month
        ([("1", "2026-01-01", "2026-09-16"), ("3", "2026-09-16", None)], 30),  # 12.5 + 37.5 are included
        ([("3", "2026-10-01", None)], 80),
    ],
)
def test_each_seat_grants_its_allowance_for_the_time_that_it_ran(
    plans: list[tuple[str, str, str | None]], owed: int
) -> None:
    assert credits_bill("80", *plans) == owed


# --- Versions of a price inside a month ----------------------------------------------------------------------------

MID = at("2026-09-15")


def split_month(before: Price, after: Price, plans: tuple[str, ...] = ()) -> Decimal:
    """Bill 50 requests before the 15th and 10 from then on, at 0.10."""
    rollups = [
        UsageRollup(id_of("early"), "requests", {}, SEPTEMBER.start, MID, Decimal(50)),
        UsageRollup(id_of("late"), "requests", {}, MID, SEPTEMBER.end, Decimal(10)),
    ]
    subscriptions = [Subscription(id_of(plan), plan, at("2026-01-01"), None) for plan in plans]
    book = PriceBook([before, after, price("support", "0")])
    return assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", book, rollups, subscriptions)])
    ).amount


def version(start: str, **terms: Any) -> Price:
    return price("requests", "0.10", "requests", effective_from=at(start), **terms)


FOR_ALL: dict[str, Any] = {"free_allowance": Decimal(100)}
WITH_SUPPORT: dict[str, Any] = FOR_ALL | {"allowance_with": "support"}


@pytest.mark.parametrize(
    ("before", "after", "plans", "owed"),
    [
        (FOR_ALL, WITH_SUPPORT, (), "1.00"),
        (FOR_ALL, WITH_SUPPORT, ("support",), "0"),
        (WITH_SUPPORT, {}, (), "6.00"),
        (WITH_SUPPORT, {}, ("support",), "1.00"),
        (WITH_SUPPORT, FOR_ALL, (), "5.00"),
        ({}, FOR_ALL, (), "5.00"),
        (FOR_ALL, {"free_allowance": Decimal(55)}, (), "0.50"),  # 50 were free before: 5 are left of 55
    ],
)
def test_each_version_of_a_price_grants_its_own_allowance(
    before: dict[str, Any], after: dict[str, Any], plans: tuple[str, ...], owed: str
) -> None:
    assert split_month(version("2026-01-01", **before), version("2026-09-15", **after), plans) == Decimal(owed)


# --- Charges without usage -----------------------------------------------------------------------------------------


def without_usage(*prices: Price) -> list[Decimal]:
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(prices))]))
    return [item.amount for item in invoice.items]


def flat(amount: str, **terms: Any) -> Price:
    return Price.from_data("fly", data_of("flat", "requests", {"flat_amount": amount} | terms))


@pytest.mark.parametrize(
    ("prices", "charged"),
    [
        ([flat("7.50", at_zero="item")], ["7.50"]),
        ([flat("7.50")], []),
        ([flat("7.50", at_zero="item", effective_from="2026-10-01")], []),
        ([flat("7.50", at_zero="item", effective_until="2026-09-01")], []),
        ([flat("7.50", at_zero="item", effective_until="2026-09-02")], ["7.50"]),
        ([flat("7.50", at_zero="item"), flat("8.00", at_zero="item", effective_from="2026-09-16")], ["8.00"]),
        ([flat("7.50", at_zero="item"), flat("8.00", effective_from="2026-09-16")], []),
        ([flat("7.50", at_zero="item", key="a"), flat("2", at_zero="item", key="b", match={"region": "ams"})],
         ["7.50", "2"]),
    ],
)  # fmt: skip
def test_an_item_at_zero_is_charged_in_a_month_without_any_usage(prices: list[Price], charged: list[str]) -> None:
    assert without_usage(*prices) == [Decimal(amount) for amount in charged]


@pytest.mark.parametrize("written", ["٣", "1.0", "-1", " 1", "", "one"])
def test_a_number_of_months_is_written_in_digits(written: str) -> None:
    with pytest.raises(ValueError, match=r"^months "):
        read_whole({"months": written}, "months")


def test_all_fields_that_occur_twice_are_named() -> None:
    with pytest.raises(ValueError, match=r"^its header has 'a', 'b' more than once: keep one$"):
        refuse_repeated(["a", "b", "c", "b", "a"], "its header")


def test_an_unknown_interval_is_refused_with_the_known_intervals() -> None:
    with pytest.raises(ValueError) as refused:
        replace(SUPPORT, interval="week")
    assert str(refused.value) == "interval 'week'; known are month, quarter, half-year, year"


def test_usage_by_the_quarter_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError) as refused:
        replace(price("requests", "1", "requests"), interval="quarter")
    assert str(refused.value) == "interval is for fees, but usage is charged by the month: leave it out"
