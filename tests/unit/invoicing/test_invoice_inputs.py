"""Invalid terms are refused where they are created, with the reason."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import assemble_invoice, invoice_id
from fly_billing.invoicing.rules.inputs import (
    Commitment,
    CreditGrant,
    Discount,
    InvoiceInputs,
    Member,
    OneOffItem,
    Subscription,
    UsageRollup,
)
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import OCTOBER, REQUESTS, SEPTEMBER, at, fee_charged, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import item

DAYS = (SEPTEMBER.start, SEPTEMBER.end)


def discount(**fields: Any) -> Discount:
    return Discount(id_of("WELCOME"), "WELCOME", "Welcome", **fields)


def commitment(kind: str, amount: str, **fields: Any) -> Commitment:
    return Commitment(id_of("yearly"), kind, "yearly", Decimal(amount), **fields)


def credit(available: str, **fields: Any) -> CreditGrant:
    return CreditGrant(id_of("prepaid"), "prepaid", Decimal(available), **{"granted_at": at("2026-09-01")} | fields)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: discount(), "discount 'WELCOME': percent None, amount None; give it exactly one of the two"),
        (
            lambda: discount(percent=Decimal(10), amount=Decimal(5)),
            "discount 'WELCOME': percent 10, amount 5; give it exactly one of the two",
        ),
        (lambda: discount(percent=Decimal("100.01")), "discount 'WELCOME': percent 100.01 is above 100"),
        (lambda: discount(percent=Decimal(-1)), "'WELCOME': percent .* must be a finite number of at least 0"),
        (lambda: discount(percent=Decimal("NaN")), "'WELCOME': percent .* must be a finite number of at least 0"),
        (lambda: discount(percent=10.0), "'WELCOME': percent 10.0 is a float"),
        (lambda: discount(percent=Decimal("0.1234567890123")), "'WELCOME': percent .* more than 12 decimals"),
        (lambda: discount(amount=Decimal("-0.01")), "'WELCOME': amount .* must be a finite number of at least 0"),
        (
            lambda: discount(percent=Decimal(10), scope=Scope(kinds=("usage", "adjustment"))),
            r"'WELCOME': the kinds of its scope are usage, adjustment; known are usage, subscription, one_off$",
        ),
        (lambda: discount(percent=Decimal(10), scope=Scope(kinds=())), r"the kinds of its scope are none"),
        (lambda: commitment("floor", "1"), "commitment 'yearly': kind 'floor'; known are minimum, maximum"),
        (lambda: commitment("minimum", "-1"), "commitment 'yearly': amount .* must be a finite number of at least 0"),
        (lambda: commitment("maximum", "1", is_due=False), "'yearly': a maximum covers one month"),
        (lambda: commitment("maximum", "1", counted_before=Decimal(1)), "'yearly': a maximum covers one month"),
        (
            lambda: commitment("minimum", "1", scope=Scope(kinds=("credit",))),
            r"commitment 'yearly': the kinds of its scope are credit;"
            " known are usage, subscription, one_off, minimum$",
        ),
        (lambda: credit("-1"), "credit 'prepaid': available .* must be a finite number of at least 0"),
        (lambda: credit("1", expires_at=at("2026-09-01")), "credit 'prepaid': expires_at .* is not after granted_at"),
        (
            lambda: credit("1", scope=Scope(kinds=("tax",))),
            r"credit 'prepaid': the kinds of its scope are tax;"
            " known are usage, subscription, one_off, adjustment, minimum$",
        ),
        (lambda: TaxRate(id_of("VAT"), "VAT", Decimal(101)), "tax rate 'VAT': percent 101 is above 100"),
        (lambda: TaxRate(id_of("VAT"), "VAT", Decimal(-19)), "tax rate 'VAT': percent .* of at least 0"),
    ],
)
def test_invalid_terms_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_terms_at_their_bounds_are_accepted() -> None:
    assert discount(percent=Decimal(100)).percent == 100
    assert discount(percent=Decimal(0)).percent == 0
    assert discount(amount=Decimal(0)).amount == 0
    assert commitment("maximum", "0").amount == 0
    assert commitment("minimum", "0", is_due=False, counted_before=Decimal(-5)).counted_before == -5
    assert credit("0", expires_at=at("2026-09-01T00:00:01")).available == 0
    assert TaxRate(id_of("VAT"), "VAT", Decimal(100)).percent == 100


def test_a_credits_balance_may_have_more_decimals_than_its_grant() -> None:
    """Draws are exact: the cost of a Machine's second has many decimals."""
    assert credit("7.65432100000000000001").available == Decimal("7.65432100000000000001")


def plan(**fields: Any) -> Subscription:
    return Subscription(id_of("plan"), "plan", at("2026-09-10"), **{"ended_at": None} | fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"billed": "later"}, "billed 'later'; known are in_arrears, in_advance"),
        ({"proration": "hour"}, "proration 'hour'; known are second, day, none"),
        ({"anchor": "monday"}, "anchor 'monday'; known are calendar, start"),
        ({"quantity": Decimal(0)}, "quantity must be above 0"),
        ({"quantity": Decimal(-1)}, "quantity Decimal('-1') must be a finite number of at least 0"),
        (
            {"ended_at": at("2026-09-09")},
            "ended_at 2026-09-09 00:00:00+00:00 is before started_at 2026-09-10 00:00:00+00:00",
        ),
        (
            {"trial_ends_at": at("2026-09-09")},
            "trial_ends_at 2026-09-09 00:00:00+00:00 is before started_at 2026-09-10 00:00:00+00:00",
        ),
        (
            {"anchored_at": at("2026-09-09")},
            "anchored_at 2026-09-09 00:00:00+00:00 needs anchor start, and must not be after started_at"
            " 2026-09-10 00:00:00+00:00",
        ),
    ],
)
def test_an_invalid_subscription_is_refused_in_a_sentence(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        plan(**fields)
    assert str(refused.value) == f"subscription 'plan': {message}"


def test_a_subscription_at_its_bounds_is_accepted() -> None:
    assert plan(ended_at=at("2026-09-10")).paid_from == at("2026-09-10")
    assert plan(trial_ends_at=at("2026-09-10")).paid_from == at("2026-09-10")
    assert plan(anchor="start", anchored_at=at("2026-09-10")).anchored_at == at("2026-09-10")
    assert plan(quantity=Decimal("0.5")).quantity == Decimal("0.5")


def test_an_earlier_charge_is_found_by_its_interval_and_its_currency() -> None:
    euros, dollars = fee_charged("10", currency="EUR"), fee_charged("20", currency="USD")
    of_the_invoice = fee_charged("30", OCTOBER)
    plan_charged = plan(charged=(euros, dollars, of_the_invoice))
    assert plan_charged.charged_for(SEPTEMBER.start, SEPTEMBER.end, "USD") == dollars
    assert plan_charged.charged_for(SEPTEMBER.start, SEPTEMBER.end, "EUR") == euros
    assert plan_charged.charged_for(SEPTEMBER.start, SEPTEMBER.end, "GBP") is None
    assert plan_charged.charged_for(OCTOBER.start, OCTOBER.end, "GBP") == of_the_invoice
    assert plan_charged.charged_for(SEPTEMBER.start, OCTOBER.end, "USD") is None


def test_a_payers_invoice_has_all_its_inputs() -> None:
    """A month billed again after its invoice was void, with a tax of 19 % and a minimum of 5.00."""
    rate = TaxRate(id_of("VAT"), "VAT", Decimal(19))
    member = Member("labs", PriceBook([REQUESTS]), [UsageRollup(id_of("u"), "requests", {}, *DAYS, Decimal(100))])
    invoice = assemble_invoice(
        InvoiceInputs(
            "acme", "USD", SEPTEMBER, [member], revision=2, commitments=[commitment("minimum", "5")], taxes=[rate]
        )
    )
    assert (invoice.organization_id, invoice.month, invoice.revision) == ("acme", SEPTEMBER, 2)
    assert (invoice.id, invoice.tax_rates) == (invoice_id("acme", SEPTEMBER, 2), (rate.id,))
    assert invoice.counted == ((id_of("yearly"), Decimal(10)),)
    assert (invoice.amount, invoice.total_cents) == (Decimal("11.9"), 1190)
    assert invoice_id("acme", SEPTEMBER) == invoice_id("acme", SEPTEMBER, 0) != invoice_id("acme", SEPTEMBER, 1)


def test_an_amount_out_of_bounds_is_refused_for_an_item_and_for_the_total() -> None:
    """Ten times a tenth of the refused amount is refused as a total."""
    many = [UsageRollup(id_of(f"u{n}"), f"m{n}", {}, *DAYS, Decimal(10) ** 12) for n in range(10)]
    prices = [price(f"p{n}", "0.1", f"m{n}") for n in range(10)]
    with pytest.raises(BillingError) as refused:
        assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook(prices), many)]))
    assert str(refused.value) == (
        "amount_too_large: the total of acme 2026-09 is 1.000000e+12 USD, which is not below 1,000,000,000,000:"
        " check its quantity and price, then bill the month again"
    )
    alone = Member("acme", PriceBook([price("p", "1", "m0")]), many[:1])
    with pytest.raises(BillingError, match=r"^amount_too_large: item 'p as used' \(price 'p'\) of acme 2026-09 is 1"):
        assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [alone]))
    setup = OneOffItem(id_of("setup"), "setup", Decimal(10) ** 12, "USD")
    with pytest.raises(BillingError) as refused:
        assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([]), one_offs=[setup])]))
    assert str(refused.value) == (
        "amount_too_large: item 'setup' of acme 2026-09 is 1.000000e+12 USD, which is not below 1,000,000,000,000:"
        " check its quantity and price, then bill the month again"
    )


def test_a_refunded_fee_has_the_tax_rates_of_the_month_before_and_a_charge_its_own_months() -> None:
    """19 % in August, 20 % in September. A free fee is a charge."""
    old, new = (TaxRate(id_of(f"VAT {percent}"), "VAT", Decimal(percent)) for percent in ("19", "20"))
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [], taxes=[new], earlier_taxes={SEPTEMBER.plus(-1): [old]})
    assert [inputs.rates_of_fee(item("fee", amount, "subscription")) for amount in ("0.50", "0", "-0.50")] == [
        [new],
        [new],
        [old],
    ]
