"""Every item is explained by calculations that a calculator confirms, or by the problem that it finds."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import Adjustment, InvoiceInputs, Member, OneOffItem, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.money import from_cents, to_cents
from fly_billing.periods import moment_text, span_text
from fly_billing.pricing.rules.models import Graduated, PerUnit, Tier
from fly_billing.pricing.rules.negotiated_prices import Negotiated, NegotiatedPrice, holdings_of
from fly_billing.pricing.rules.prices import Price, PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from fly_billing.pricing.rules.transformed_quantity import TransformedQuantity
from fly_billing.statements.rules.explanation import Explanation, explain_item
from fly_billing.statements.rules.item_facts import charged_by
from fly_billing.statements.rules.rounding import explain_rounding
from fly_billing.statements.rules.sums import Line
from tests.support.builders import EGRESS, MACHINES, PRICES, REQUESTS, SEPTEMBER, SUPPORT, at, fee_charged, id_of, price
from tests.support.calculator import printed, redo
from tests.unit.invoicing.steps.invoices_in_progress import amount_off, credit, maximum, minimum, percent_off, tax
from tests.unit.price_strategies import QUANTITIES
from tests.unit.price_strategies import prices as any_prices

TIERED = price(
    "requests",
    "0",
    "requests",
    unit="request",
    model=Graduated((Tier(Decimal(1000), Decimal("0.50"), Decimal(2)), Tier(None, Decimal("0.30"))), Decimal(100)),
    free_allowance=Decimal(500),
    minimum=Decimal("10.00"),
)


def rollup(meter: str, quantity: str | Decimal, **dimensions: str) -> UsageRollup:
    identity = id_of(f"{meter} {dimensions} {quantity}")
    return UsageRollup(identity, meter, dimensions, SEPTEMBER.start, SEPTEMBER.end, Decimal(quantity))


def subscription(started: str = "2026-09-01", **changes: Any) -> Subscription:
    return Subscription(id_of(f"support {started}"), "support", at(started), None, **changes)


def one_off(amount: str | Decimal, name: str = "setup", currency: str = "USD") -> OneOffItem:
    return OneOffItem(id_of(name), name, Decimal(amount), currency)


def invoice_of(
    *rollups: UsageRollup, prices: tuple[Price, ...] = PRICES, currency: str = "USD", **parts: Any
) -> Invoice:
    """Bill acme's September: usage, and other inputs by the names of the fields of Member and InvoiceInputs."""
    own = {name: parts.pop(name) for name in ("subscriptions", "one_offs", "adjustments") if name in parts}
    return assemble_invoice(
        InvoiceInputs("acme", currency, SEPTEMBER, [Member("acme", PriceBook(prices), rollups, **own)], **parts)
    )


def explained(
    invoice: Invoice, kind: str = "usage", rollups: tuple[UsageRollup, ...] = (), prices: tuple[Price, ...] = PRICES
) -> Explanation:
    """Explain the only item of this kind."""
    (item,) = (line for line in invoice.items if line.kind == kind)
    return explain(item, invoice, rollups, prices)


def explain(
    item: InvoiceItem, invoice: Invoice, rollups: tuple[UsageRollup, ...] = (), prices: tuple[Price, ...] = PRICES
) -> Explanation:
    used = [used_rollup for used_rollup in rollups if used_rollup.id in item.rollup_ids]
    rounding = explain_rounding(invoice.items, invoice.currency)
    held = next((version for version in prices if version.id == item.price_id), None)
    return explain_item(item, rounding[item.id], invoice.currency, used, held)


def sums(explanation: Explanation) -> list[Any]:
    return [
        (sum_.title, [(line.label, line.working, line.amount) for line in sum_.lines], sum_.total)
        for sum_ in explanation.sums
    ]


# --- Each kind of item ---------------------------------------------------------------------------------------------


def test_usage_is_explained_line_by_line_with_allowance_tiers_and_minimum() -> None:
    """1,700 - 500 = 1,200: 1,000 x 0.50 / 100 = 5.00, 2.00 flat, 200 x 0.30 / 100 = 0.60; 2.40 missing to 10.00."""
    used = (rollup("requests", "1200", app="web"), rollup("requests", "500", app="api"))
    explanation = explained(invoice_of(*used, prices=(TIERED,)), rollups=used, prices=(TIERED,))
    span = "2026-09-01 to 2026-10-01"
    assert sums(explanation) == [
        ("Quantity", [(f"app web; {span}", "", 1200), (f"app api; {span}", "", 500)], 1700),
        ("Billable quantity", [("used", "", 1700), ("free allowance", "", -500)], 1200),
        (
            "Amount",
            [
                ("0 to 1000", "1,000 x 0.5 / 100", 5),
                ("flat fee of 0 to 1000", "", 2),
                ("above 1000", "200 x 0.3 / 100", Decimal("0.6")),
                ("up to the minimum of 10", "", Decimal("2.4")),
            ],
            10,
        ),
    ]
    assert explanation.problems == ()
    assert explanation.facts == (
        ("Price", "requests of price book 'fly', in effect from 2026-01-01"),
        (
            "Charged by",
            "graduated: tiers up_to 1000 unit_amount 0.50 flat_amount 2; unit_amount 0.30, per 100,"
            " free_allowance 500, minimum 10.00",
        ),
    )


def test_usage_within_the_allowance_is_explained_by_a_quantity_of_zero() -> None:
    used = (rollup("egress_gb", "80", region="iad"),)
    explanation = explained(invoice_of(*used), rollups=used)
    assert sums(explanation)[1:] == [
        ("Billable quantity", [("used", "", 80), ("free allowance", "", -80)], 0),
        ("Amount", [], 0),
    ]
    assert explanation.problems == ()


def test_an_amount_with_an_endless_division_names_the_rounded_place() -> None:
    """1.94 / 2,592,000 = 0.000000748456790123456790..."""
    used = (rollup("machine_seconds", "1", region="iad"),)
    explanation = explained(invoice_of(*used), rollups=used)
    (line,) = explanation.sums[-1].lines
    assert (line.working, line.amount, line.is_rounded) == (
        "1 x 1.94 / 2,592,000",
        Decimal("0.00000074845679012346"),
        True,
    )
    assert "A division without an exact decimal result is rounded at the 20th decimal place." in printed(explanation)


def test_five_seats_for_half_a_month_are_explained_by_the_full_fee_and_its_share() -> None:
    """5 x 29.00 = 145.00 a month; 15 of 30 days: 72.50."""
    explanation = explained(
        invoice_of(subscriptions=[subscription("2026-09-16", quantity=Decimal(5), proration="day")]), "subscription"
    )
    assert sums(explanation) == [
        ("Fee for a full month", [("all", "5 x 29", 145)], 145),
        ("Amount", [("share of the month", "15 x 145 / 30", Decimal("72.5"))], Decimal("72.5")),
    ]
    assert ("Period", "2026-09-16 to 2026-10-01") in explanation.facts
    assert explanation.problems == ()


def test_a_fee_charged_in_advance_shows_the_earlier_charge() -> None:
    explanation = explained(
        invoice_of(subscriptions=[subscription("2026-09-16", charged=(fee_charged("29"),))]), "subscription"
    )
    assert sums(explanation) == [
        (
            "Amount",
            [("share of the month", "1,296,000 x 29 / 2,592,000", Decimal("14.5")), ("already charged", "", -29)],
            Decimal("-14.5"),
        )
    ]


def test_a_one_off_item_is_explained_as_it_was_entered() -> None:
    explanation = explained(invoice_of(one_offs=[one_off("49.90")]), "one_off")
    assert sums(explanation) == [("Amount", [("amount as entered", "", Decimal("49.90"))], Decimal("49.90"))]


def test_an_adjustment_names_its_month_and_its_cause() -> None:
    found = Adjustment(
        id_of("late"), SEPTEMBER.plus(-1), "Requests", "late usage", Decimal("1.50"), "USD", ("late rows",)
    )
    explanation = explained(invoice_of(adjustments=[found]), "adjustment")
    assert explanation.facts == (("Month", "2026-08"), ("Causes", "late rows"))
    assert sums(explanation) == [("Amount", [("amount as entered", "", Decimal("1.50"))], Decimal("1.50"))]


HUNDRED = (rollup("requests", "1000"),)  # 1,000 x 0.10 = 100.00


def test_a_percentage_off_is_calculated_from_the_items_that_it_covers() -> None:
    explanation = explained(invoice_of(*HUNDRED, discounts=[percent_off("12.5")]), "discount")
    assert sums(explanation) == [
        (
            "Amount",
            [("-12.5 % off the remaining amount of these items", "100 x -12.5 / 100", Decimal("-12.5"))],
            Decimal("-12.5"),
        ),
        ("Deducted from these items", [("Requests: requests as used", "", Decimal("-12.5"))], Decimal("-12.5")),
    ]
    assert explanation.facts == (("Code", "PERCENT"),)


def test_an_amount_off_shows_the_deduction_from_each_item() -> None:
    used = (rollup("requests", "30"), rollup("egress_gb", "200", region="iad"))  # 3.00 and 2.00
    explanation = explained(invoice_of(*used, discounts=[amount_off("4.00")]), "discount")
    assert sums(explanation) == [
        ("Amount", [("Egress: egress as used", "", -2), ("Requests: requests as used", "", -2)], -4),
    ]
    assert explanation.facts == (("Code", "AMOUNT"), ("Agreed amount", "4"))


def test_the_part_above_a_maximum_is_deducted() -> None:
    explanation = explained(invoice_of(*HUNDRED, commitments=[maximum("80.00")]), "maximum")
    assert sums(explanation) == [
        ("Amount", [("total of these items", "", -100), ("agreed maximum", "", 80)], -20),
        ("Deducted from these items", [("Requests: requests as used", "", -20)], -20),
    ]


def test_the_charge_for_a_minimum_is_the_agreed_amount_minus_the_counted_one() -> None:
    explanation = explained(
        invoice_of(*HUNDRED, commitments=[minimum("500.00", counted_before=Decimal(150))]), "minimum"
    )
    assert sums(explanation) == [
        ("Counted this month", [("Requests: requests as used", "", 100)], 100),
        (
            "Amount",
            [
                ("agreed minimum", "", 500),
                ("counted in earlier months", "", -150),
                ("counted this month", "", -100),
            ],
            250,
        ),
    ]


def test_a_credit_shows_the_amount_that_it_paid_and_its_remainder() -> None:
    explanation = explained(invoice_of(*HUNDRED, credits=[credit("130.00")]), "credit")
    assert sums(explanation) == [
        ("Amount", [("Requests: requests as used", "", -100)], -100),
        ("Remaining credit", [("available", "", 130), ("used on this invoice", "", -100)], 30),
    ]


def test_a_tax_is_calculated_from_the_rounded_invoice_and_rounded_separately() -> None:
    """7 % of 100.10 = 7.007: 7.01."""
    explanation = explained(invoice_of(rollup("requests", "1001"), taxes=[tax("VAT", "7")]), "tax")
    assert sums(explanation) == [
        (
            "Tax before rounding",
            [("7 % of the taxable amount", "100.1 x 7 / 100", Decimal("7.007"))],
            Decimal("7.007"),
        )
    ]
    assert (explanation.item.amount, explanation.rounding.cents, explanation.problems) == (Decimal("7.01"), 701, ())


def test_a_tax_of_some_items_names_them() -> None:
    """10 % of 100.10 is 10.01; the support is taxed at 20 %."""
    low = TaxRate(id_of("low"), "Low VAT", Decimal(10), tax="VAT", category="reduced", scope=Scope(kinds=("usage",)))
    every = TaxRate(id_of("vat"), "VAT", Decimal(20), tax="VAT")
    setup = OneOffItem(id_of("setup"), "setup", Decimal(50), "USD")
    invoice = invoice_of(rollup("requests", "1001"), one_offs=[setup], taxes=[low, every])
    explanation = next(explain(item, invoice) for item in invoice.items if item.description == "Low VAT 10 %")
    assert sums(explanation) == [
        ("Taxable amount before rounding", [("Requests: requests as used", "", Decimal("100.1"))], Decimal("100.1")),
        (
            "Tax before rounding",
            [("10 % of the taxable amount", "100.1 x 10 / 100", Decimal("10.01"))],
            Decimal("10.01"),
        ),
    ]
    assert ("Category", "reduced") in explanation.facts
    assert explanation.problems == ()
    wrong = replace(explanation.item, detail={**explanation.item.detail, "base": "100.11"})
    assert explain(wrong, invoice).problems[0] == "Base: 100.1 rounded to the USD's minor unit is not 100.11"


# --- Amounts that differ from the billed ones ------------------------------------------------------------------------


def changed_step(item: InvoiceItem, **changes: str) -> InvoiceItem:
    first, *others = item.detail["steps"]
    return replace(item, detail={**item.detail, "steps": [{**first, **changes}, *others]})


@pytest.mark.parametrize(
    ("damage", "events"),
    [
        (lambda item: changed_step(item, amount="0.3"), "Amount, all: 10 x 0.02 is not 0.3"),
        (lambda item: changed_step(item, unit_amount="0.03"), "Amount, all: 10 x 0.03 is not 0.2"),
        (lambda item: replace(item, amount=Decimal("0.3")), "Amount: the lines add up to 0.2 USD, not to 0.3"),
        (lambda item: replace(item, quantity=Decimal(111)), "Quantity: the lines add up to 110 GB, not to 111"),
        (
            lambda item: replace(item, detail={**item.detail, "free_allowance_used": "99"}),
            "Units: the steps charge for 10 and 99 are free, together not the 110 that were used",
        ),
        (
            lambda item: replace(item, amount_cents=21),
            "Rounding: $0.21 was billed, but rounding the invoice again gives $0.20",
        ),
        (
            lambda item: replace(item, price_id=id_of("gone")),
            "Price: the version that was charged is no longer in the price book",
        ),
    ],
)
def test_a_different_recalculated_amount_is_a_problem(
    damage: Callable[[InvoiceItem], InvoiceItem], events: str
) -> None:
    used = (rollup("egress_gb", "110", region="iad"),)
    invoice = invoice_of(*used)
    wrong = damage(invoice.items[0])
    assert events in explain(wrong, replace(invoice, items=(wrong,)), used).problems
    assert explain(invoice.items[0], invoice, used).problems == ()


def test_a_missing_rollup_is_noticed() -> None:
    used = (rollup("requests", "7", app="web"), rollup("requests", "5", app="api"))
    (problem,) = explained(invoice_of(*used), rollups=used[:1]).problems
    assert problem == "Quantity: the lines add up to 7 requests, not to 12"


def test_a_tax_that_was_rounded_wrongly_is_noticed() -> None:
    invoice = invoice_of(rollup("requests", "1001"), taxes=[tax("VAT", "7")])
    (item,) = (line for line in invoice.items if line.kind == "tax")
    wrong = replace(item, amount=Decimal("7.00"), amount_cents=700)
    (problem,) = explain(wrong, replace(invoice, items=(invoice.items[0], wrong))).problems
    assert problem == "Tax: 7.007 rounded to the USD's minor unit is not 7"


# --- The calculator ------------------------------------------------------------------------------------------------


def is_redone(explanation: Explanation) -> bool:
    """Return True if a person who calculates the printed sums again gets the item's amount."""
    redone = redo(printed(explanation))
    if explanation.item.kind == "tax":
        exact = redone["Tax before rounding"].total
        decimal = Decimal(exact.numerator) / Decimal(exact.denominator)
        return from_cents(to_cents(decimal, explanation.currency), explanation.currency) == explanation.item.amount
    if explanation.item.kind == "usage":
        assert redone["Quantity"].total == Fraction(explanation.item.quantity)
    return redone["Amount"].total == Fraction(explanation.item.amount)


def test_the_calculator_finds_a_wrong_sum() -> None:
    used = (rollup("egress_gb", "110", region="iad"),)
    invoice = invoice_of(*used)
    text = printed(explained(invoice, rollups=used))
    assert redo(text)["Amount"].total == Fraction("0.2")
    for right, wrong in ((" = 0.2", " = 0.3"), ("10 x 0.02", "10 x 0.03"), ("-100", "-99")):
        assert right in text
        with pytest.raises(AssertionError):
            redo(text.replace(right, wrong))


@st.composite
def versions(draw: st.DrawFn) -> tuple[Price, ...]:
    """Draw one to three versions of a price of any kind, each in force in a part of September."""
    edges = sorted(draw(st.lists(st.integers(1, 29), max_size=2, unique=True)))
    starts = [at("2026-09-01"), *(at(f"2026-09-{day + 1:02d}") for day in edges)]
    currency = draw(st.sampled_from(["USD", "JPY", "KWD"]))
    names: dict[str, Any] = {
        "book": "b",
        "key": "k",
        "meter": "m",
        "product": "P",
        "description": "d",
        "unit": "unit",
        "match": {},
        "interval": "month",
    }
    return tuple(
        replace(draw(any_prices()), effective_from=start, effective_until=None, currency=currency, **names)
        for start in starts
    )


@given(versions(), st.data())
def test_every_charge_can_be_checked_on_a_calculator(held: tuple[Price, ...], data: st.DataObject) -> None:
    edges = [*(version.effective_from for version in held), SEPTEMBER.end]
    used = tuple(
        UsageRollup(id_of(f"{n} {app}"), "m", {"app": app}, edges[n], edges[n + 1], data.draw(QUANTITIES))
        for n in range(len(held))
        for app in ("web", "api")
    )
    currency = held[0].currency
    terms = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "discounts": st.sampled_from([[percent_off("12.345"), amount_off("3.3")]]),
                "commitments": st.sampled_from([[minimum("1000")], [maximum("7.77")]]),
                "credits": st.sampled_from([[credit("5.55"), credit("1", "second", scope=Scope(kinds=("usage",)))]]),
                "taxes": st.sampled_from([[tax("VAT", "7.7"), tax("GST", "5")], [tax("VAT", "19", is_inclusive=True)]]),
                "one_offs": st.just([one_off("-0.125", currency=currency)]),
            },
        )
    )
    try:
        invoice = invoice_of(*used, prices=held, currency=currency, **terms)
    except BillingError as error:
        assert error.code == "amount_too_large"  # prices and quantities may both be large
        return
    for item in invoice.items:
        explanation = explain(item, invoice, used, held)
        assert explanation.problems == ()
        assert is_redone(explanation)


@given(
    st.datetimes(datetime(2026, 8, 1), datetime(2026, 9, 30)),  # noqa: DTZ001 the offset follows
    st.sampled_from(["second", "day", "none"]),
    st.integers(1, 9).map(Decimal),
    st.sampled_from(["0", "12.34"]),
)
def test_a_charge_for_any_part_of_a_month_can_be_checked_on_a_calculator(
    started: datetime, proration: str, quantity: Decimal, billed_before: str
) -> None:
    invoice = invoice_of(
        subscriptions=[
            subscription(
                started.isoformat(), quantity=quantity, proration=proration, charged=(fee_charged(billed_before),)
            )
        ]
    )
    for item in invoice.items:
        explanation = explain(item, invoice)
        assert explanation.problems == ()
        assert is_redone(explanation)


# --- As data -------------------------------------------------------------------------------------------------------


def test_an_explanation_as_json_has_every_digit_and_no_float() -> None:
    used = (rollup("machine_seconds", "100000.000000000000001", region="iad"), rollup("requests", "3"))
    invoice = invoice_of(*used)
    explanation = explain(invoice.items[0], invoice, used)
    data = json.loads(json.dumps(explanation.as_data()), parse_float=_refuse)
    assert data["sums"][1] == {
        "title": "Amount",
        "unit": "USD",
        "lines": [
            {
                "label": "all",
                "quantity": "100000.000000000000001",
                "unit_amount": "1.94",
                "per": "2592000",
                "amount": "0.07484567901234567901",
                "is_rounded_at_20_decimals": True,
            }
        ],
        "total": "0.07484567901234567901",
    }
    assert data["price"]["key"] == "machines"
    assert data["problems"] == []


def _refuse(number: str) -> None:
    raise AssertionError(f"{number} is a number in JSON: it would be read as a float somewhere")


def test_a_repeated_explanation_is_the_same() -> None:
    used = (rollup("requests", "3"),)
    invoice = invoice_of(*used, subscriptions=[subscription("2026-09-16")])
    assert [explain(item, invoice, used) for item in invoice.items] == [
        explain(item, invoice, used) for item in invoice.items
    ]


def test_the_terms_of_a_price_fit_on_a_line() -> None:
    shown = {
        known_price.key: dict(explained_price(known_price).facts)["Charged by"]
        for known_price in (REQUESTS, EGRESS, MACHINES, SUPPORT)
    }
    assert shown == {
        "requests": "per_unit: unit_amount 0.10",
        "egress": "per_unit: unit_amount 0.02, free_allowance 100",
        "machines": "per_unit: unit_amount 1.94, per 2592000",
        "support": "per_unit: unit_amount 29.00",
    }


def explained_price(held: Price) -> Explanation:
    if held.meter is None:
        return explained(invoice_of(subscriptions=[subscription()]), "subscription")
    used = (rollup(held.meter, "1"),)
    return explained(invoice_of(*used), rollups=used)


def test_a_price_that_starts_within_a_day_shows_the_hour() -> None:
    """Half-open: the later version is in force from noon, the earlier one until noon."""
    noon = at("2026-09-15T12:00:00")
    held = (
        replace(REQUESTS, effective_until=noon),
        price("requests", "0.20", "requests", effective_from=noon, model=PerUnit(Decimal("0.20"))),
    )
    used = (
        UsageRollup(id_of("before"), "requests", {}, SEPTEMBER.start, noon, Decimal(3)),
        UsageRollup(id_of("after"), "requests", {}, noon, SEPTEMBER.end, Decimal(4)),
    )
    invoice = invoice_of(*used, prices=held)
    shown = [dict(explain(item, invoice, used, held).facts)["Price"] for item in invoice.items]
    assert sorted(shown) == [
        "requests of price book 'fly', in effect from 2026-01-01 until 2026-09-15 12:00:00",
        "requests of price book 'fly', in effect from 2026-09-15 12:00:00",
    ]


def test_an_explanation_as_data_has_every_text_that_people_read() -> None:
    """110 GB less 100 free ones at 0.02."""
    used = (rollup("egress_gb", "110", region="iad"),)
    invoice = invoice_of(*used)
    (item,) = invoice.items
    explanation = explain_item(
        item, explain_rounding([item], "USD")[item.id], "USD", used, EGRESS, facts=[("Customer", "Acme Inc.")]
    )
    assert explanation.as_data() == {
        "id": str(item.id),
        "kind": "usage",
        "organization_id": "acme",
        "product": "Egress",
        "description": "egress as used",
        "quantity": "110",
        "unit": "GB",
        "currency": "USD",
        "amount": "0.2",
        "amount_cents": 20,
        "price": {
            "id": str(EGRESS.id),
            "book": "fly",
            "key": "egress",
            "product": "Egress",
            "description": "egress as used",
            "unit": "GB",
            "currency": "USD",
            "model": "per_unit",
            "unit_amount": "0.02",
            "effective_from": "2026-01-01T00:00:00+00:00",
            "meter": "egress_gb",
            "free_allowance": "100",
        },
        "sums": [
            {
                "title": "Quantity",
                "unit": "GB",
                "lines": [{"label": "region iad; 2026-09-01 to 2026-10-01", "amount": "110"}],
                "total": "110",
            },
            {
                "title": "Billable quantity",
                "unit": "GB",
                "lines": [{"label": "used", "amount": "110"}, {"label": "free allowance", "amount": "-100"}],
                "total": "10",
            },
            {
                "title": "Amount",
                "unit": "USD",
                "lines": [{"label": "all", "quantity": "10", "unit_amount": "0.02", "per": "1", "amount": "0.2"}],
                "total": "0.2",
            },
        ],
        "rounding": {
            "exact_amount": "0.2",
            "amount_cents": 20,
            "own_rounding_cents": 20,
            "remainder": "0",
            "rank_of_remainder": 1,
            "cents_left_over": 0,
            "sentence": "The amount is exactly $0.20: nothing to round.",
        },
        "facts": {
            "Price": "egress of price book 'fly', in effect from 2026-01-01",
            "Charged by": "per_unit: unit_amount 0.02, free_allowance 100",
            "Customer": "Acme Inc.",
        },
        "detail": {
            "price": "egress",
            "price_effective_from": "2026-01-01T00:00:00+00:00",
            "free_allowance_used": "100",
            "steps": [{"label": "all", "quantity": "10", "unit_amount": "0.02", "per": "1", "amount": "0.2"}],
        },
        "problems": [],
    }


def test_the_data_of_an_item_without_a_price_has_no_price() -> None:
    explanation = explained(invoice_of(one_offs=[one_off("49.90")]), "one_off")
    assert (explanation.as_data()["price"], explanation.as_data()["problems"], explanation.facts) == (None, [], ())


# --- In words ------------------------------------------------------------------------------------------------------


def test_usage_is_named_by_its_meter_or_by_all_its_dimensions() -> None:
    used = (rollup("requests", "3"), rollup("requests", "4", region="ams", app="web"))
    explanation = explained(invoice_of(*used), rollups=used)
    assert [line.label for line in explanation.sums[0].lines] == [
        "requests; 2026-09-01 to 2026-10-01",
        "app web, region ams; 2026-09-01 to 2026-10-01",
    ]


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        ("2026-09-15", "2026-09-15"),
        ("2026-09-15T00:00:01", "2026-09-15 00:00:01"),
        ("2026-09-15T12:30:00", "2026-09-15 12:30:00"),
        ("2026-09-15T00:00:00.250000", "2026-09-15 00:00:00.250000"),
    ],
)
def test_a_moment_shows_the_time_of_day_unless_it_is_midnight(moment: str, text: str) -> None:
    assert moment_text(at(moment)) == text
    assert span_text(at("2026-09-01"), at(moment)) == f"2026-09-01 to {text}"


def test_a_product_is_written_as_a_person_types_it_into_a_calculator() -> None:
    """The division by one is left out."""
    assert Line("all", Decimal(1500), (Decimal(10_000), Decimal("0.15"), Decimal(1))).working == "10,000 x 0.15"
    assert Line("all", Decimal("0.3"), (Decimal(2), Decimal("0.15"), Decimal("0.5"))).working == "2 x 0.15 / 0.5"
    assert Line("flat fee", Decimal(2)).working == ""


def test_the_line_of_a_price_has_its_bounds_and_its_shared_allowance() -> None:
    bounded = price(
        "requests",
        "0.10",
        "requests",
        free_allowance=Decimal(500),
        allowance_with="plan",
        minimum=Decimal(1),
        maximum=Decimal(99),
        at_zero="item",
    )
    assert charged_by(bounded) == (
        "per_unit: unit_amount 0.10, free_allowance 500, allowance_with plan, minimum 1, maximum 99, at_zero item"
    )


def test_other_details_of_an_item_are_facts() -> None:
    """Every detail that a billing step records of an item is shown."""
    found = Adjustment(id_of("late"), SEPTEMBER.plus(-1), "Requests", "late usage", Decimal(1), "USD", ("a", "b"))
    invoice = invoice_of(adjustments=[found])
    (item,) = invoice.items
    more = {"causes": [], "is_final": True, "is_void": False, "tiers": [{"up_to": "5", "flat": None}, {"flat": "2"}]}
    events = explain(replace(item, detail={**item.detail, **more}), invoice)
    assert explain(item, invoice).facts == (("Month", "2026-08"), ("Causes", "a; b"))
    assert events.facts == (
        ("Month", "2026-08"),
        ("Causes", "none"),
        ("Is final", "yes"),
        ("Is void", "no"),
        ("Tiers", "up_to 5; flat 2"),
    )


def test_a_fee_without_its_price_is_a_problem_and_a_one_off_item_needs_no_price() -> None:
    invoice = invoice_of(subscriptions=[subscription(quantity=Decimal(5))], one_offs=[one_off("5")])
    problems = {item.kind: explain(item, invoice, prices=()).problems for item in invoice.items}
    assert problems == {
        "subscription": ("Price: the version that was charged is no longer in the price book",),
        "one_off": (),
    }


def test_a_usage_item_without_steps_charges_nothing() -> None:
    used = (rollup("requests", "3"),)
    invoice = invoice_of(*used)
    bare = replace(invoice.items[0], detail={})
    explanation = explain(bare, replace(invoice, items=(bare,)), used)
    assert explanation.problems == ("Units: the steps charge for 0 and 0 are free, together not the 3 that were used",)
    assert sums(explanation)[1:] == [("Amount", [("amount as entered", "", Decimal("0.3"))], Decimal("0.3"))]


def test_a_negotiated_price_as_data_has_its_record_and_the_list_price() -> None:
    """110 GB less 100 free ones at a quarter off 0.02, until December."""
    own = NegotiatedPrice.from_data(
        "fly",
        {
            "key": "egress", "organization": "acme", "effective_from": "2026-01-01", "effective_until": "2026-12-01",
            "percent_off": "25",
        },
    )  # fmt: skip
    used = (rollup("egress_gb", "110", region="iad"),)
    book = PriceBook([EGRESS]).negotiated_by(Negotiated(holdings_of("acme", [own], [])))
    (item,) = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", book, used)])).items
    price = book.for_usage("egress_gb", {"region": "iad"}, SEPTEMBER.start)
    events = explain_item(item, explain_rounding([item], "USD")[item.id], "USD", used, price).as_data()["price"]
    assert (events["id"], events["unit_amount"]) == (str(EGRESS.id), "0.015")
    assert events["negotiated"] == {
        "id": str(own.id), "of": "acme", "effective_from": "2026-01-01T00:00:00+00:00",
        "effective_until": "2026-12-01T00:00:00+00:00", "percent_off": "25",
    }  # fmt: skip
    assert events["list_price"] == EGRESS.to_data()


@pytest.mark.parametrize(
    ("transform", "factors", "rounded"),
    [
        ({"divide_by": "100"}, (Decimal(250), Decimal(1), Decimal(100)), "0.5"),  # 2.5 hundreds are 3
        ({"step": "60"}, None, "50"),  # 250 are 300: there is no division and no line for it
    ],
)
def test_a_quantity_in_steps_shows_its_division_if_any(
    transform: dict[str, str], factors: tuple[Decimal, ...] | None, rounded: str
) -> None:
    own = replace(REQUESTS, transform_quantity=TransformedQuantity.from_data(transform))
    used = (rollup("requests", "250"),)
    (item,) = invoice_of(*used, prices=(own,)).items
    explanation = explain_item(item, explain_rounding([item], "USD")[item.id], "USD", used, own)
    (quantity,) = (step_sum for step_sum in explanation.sums if step_sum.title == "Quantity")
    first, second = quantity.lines
    assert (first.label, first.product, second.amount) == ("used", factors, Decimal(rounded))
    assert explanation.problems == ()
