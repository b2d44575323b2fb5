"""Credits that pay after tax: a prepaid deposit lowers the amount to pay, and no tax."""

from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import CreditGrant, CreditPaid, InvoiceInputs, Member, Subscription
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.after_tax import settle_after_tax, taxes_by_item, with_tax
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.money import to_cents
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import SEPTEMBER, at, fee_charged, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import amounts, applied, credit, invoice_of, item, only, tax

SALES_TAX = tax("sales tax", "8.25")


def deposit(available: str, name: str = "deposit", **changes: Any) -> CreditGrant:
    return credit(available, name, pays="gross", **changes)


def settled(
    *items: InvoiceItem, by: list[CreditGrant], taxes: list[TaxRate] | None = None, **terms: Any
) -> InvoiceInProgress:
    invoice = invoice_of(*items, credits=by, taxes=[SALES_TAX] if taxes is None else taxes, **terms)
    for step in (draw_credits, add_taxes, settle_after_tax):
        step(invoice)
    return invoice


def test_a_deposit_is_taken_off_after_the_tax() -> None:
    """70.00 + 5.78 - 5.00 = 70.78. A promotion of 5.00 lowers the tax: 65.00 + 5.36 = 70.36."""
    invoice = settled(item("web", "70"), by=[deposit("5")])
    assert (amounts(invoice, "tax"), invoice.left_in_all()) == ([Decimal("5.78")], Decimal("70.78"))
    assert [invoice_tax.taxable_cents for invoice_tax in invoice.taxes] == [7000]
    assert settled(item("web", "70"), by=[credit("5")]).left_in_all() == Decimal("70.36")


def test_a_deposit_pays_the_tax_too() -> None:
    """70.00 + 5.78 of 100.00 leave 24.22; the parts record the item that it paid, and the tax on it."""
    invoice = settled(item("web", "70"), by=[deposit("100")])
    detail = only(invoice, "credit").detail
    assert (detail["drawn"], detail["left"], detail["pays"]) == ("75.78", "24.22", "after tax")
    assert applied(only(invoice, "credit")) == {"web": "70", "sales tax 8.25 %": "5.78"}
    assert [(part["description"], part["amount"]) for part in detail["taxes_of"]] == [("web", "5.78")]
    assert invoice.left_in_all() == 0
    assert amounts(settled(item("web", "0.70"), by=[deposit("0.50")]), "credit") == [Decimal("-0.50")]


def test_a_correction_whose_parts_cancel_out_at_a_rate_bears_none_of_its_tax() -> None:
    """At VAT, half a cent less half a cent. Rounded with the two parts of 0.4 cents, one cent of it is taxed: 0.00."""
    city, low, high = tax("City", "2"), tax("low", "10"), tax("high", "20")
    invoice = invoice_of(taxes=[])
    invoice.charge(item("late", "0.008", "adjustment"), [SALES_TAX])
    invoice.tax_parts[id_of("late")] = (
        ((SALES_TAX, city), Decimal("0.005")),
        ((SALES_TAX,), Decimal("-0.005")),
        ((low,), Decimal("0.004")),
        ((high,), Decimal("0.004")),
    )
    add_taxes(invoice)
    assert ("sales tax", 1, 0) in [
        (invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes
    ]
    vat = next(line for line in invoice.items if line.tax_rate_id == SALES_TAX.id)
    assert vat.id not in taxes_by_item(invoice)[id_of("late")]


def test_promotions_pay_before_deposits_at_any_priority() -> None:
    """50.00 of the 70.00 are left and 4.13 of tax: the deposit pays 54.13."""
    invoice = settled(item("web", "70"), by=[deposit("100", priority=-9), credit("20", "promotion", priority=9)])
    assert amounts(invoice, "credit") == [Decimal(-20), Decimal("-54.13")]


def test_a_deposit_does_not_change_an_inclusive_tax() -> None:
    """119.00 include 19.00 of tax; less 19.00: 100.00, and still 19.00 of tax."""
    invoice = settled(item("web", "119"), by=[deposit("19")], taxes=[tax("VAT", "19", is_inclusive=True)])
    assert invoice.left_in_all() == 100
    assert [(invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [(10000, 1900)]


def test_a_scoped_deposit_pays_its_items_and_the_tax_on_them() -> None:
    """50.00 + 4.13 of the tax of 8.25 on 100.00, in whole cents."""
    scope = Scope(products=("Volumes",))
    invoice = settled(item("disk", "50", product="Volumes"), item("web", "50"), by=[deposit("100", scope=scope)])
    assert amounts(invoice, "credit") == [Decimal("-54.13")]
    assert invoice.left_in_all() == Decimal("54.12")


@pytest.mark.parametrize(
    ("charged", "drawn"), [("10.004", "10"), ("10.006", "10.01"), ("10.005", "10.005"), ("0.004", "0")]
)
def test_a_deposit_pays_whole_cents(charged: str, drawn: str) -> None:
    """It pays nothing of exactly half a cent: a whole one would be a cent too much."""
    invoice = settled(item("web", charged), by=[deposit("100")], taxes=[])
    assert sum(amounts(invoice, "credit")) == -Decimal(drawn)
    assert to_cents(invoice.left_in_all(), "USD") == 0


def test_the_next_deposit_pays_the_rest_of_the_first() -> None:
    invoice = settled(item("web", "70"), by=[deposit("72", "first"), deposit("9", "second", priority=1)])
    assert amounts(invoice, "credit") == [Decimal(-72), Decimal("-3.78")]


def test_a_refund_of_another_item_lowers_the_deposit_drawn() -> None:
    """70.00 less 10.00, + 4.95."""
    invoice = settled(item("web", "70"), item("sorry", "-10", "one_off"), by=[deposit("100")])
    assert amounts(invoice, "credit") == [Decimal("-64.95")]
    assert invoice.left_in_all() == 0
    assert amounts(settled(item("web", "7"), item("sorry", "-10", "one_off"), by=[deposit("9")]), "credit") == []


def test_an_expired_deposit_pays_nothing() -> None:
    assert amounts(settled(item("web", "70"), by=[deposit("5", expires_at=at("2026-09-01"))]), "credit") == []


def test_a_deposit_pays_each_item_with_its_own_tax_rate() -> None:
    """30.00 + 10 %, of 40.00: 33.00, and 7.00 of the second item. 63.00 are left of 103.00."""
    low, high = tax("low", "10"), tax("high", "20")
    invoice = invoice_of(item("a", "30"), item("b", "50"), credits=[deposit("40")], taxes=[low])
    invoice.other_rates = {invoice.items[1].id: (high,)}
    for step in (draw_credits, add_taxes, settle_after_tax):
        step(invoice)
    assert applied(only(invoice, "credit")) == {"a": "30", "low 10 %": "3", "b": "7"}
    assert invoice.left_in_all() == 53


def test_a_credit_pays_either_net_or_gross() -> None:
    with pytest.raises(ValueError, match="pays 'some'; known are net, gross"):
        credit("5", pays="some")


@pytest.mark.parametrize(
    ("amount", "rates", "gross"),
    [
        ("100", [], "100"),
        ("100", [tax("VAT", "19")], "119"),
        ("80", [tax("state", "8.25"), tax("city", "1.75")], "88"),
        ("119", [tax("VAT", "19", is_inclusive=True)], "119"),
        ("-50", [tax("VAT", "10")], "-55"),
        ("0.01", [tax("VAT", "0.000001")], "0.0100000001"),
        # 28 digits are not enough for it.
        ("123456789012.123456789012", [tax("VAT", "7.654321")], "132906567939.40411508793927120852"),
    ],
)
def test_exclusive_taxes_are_added_exactly(amount: str, rates: list[TaxRate], gross: str) -> None:
    assert with_tax(Decimal(amount), tuple(rates)) == Decimal(gross)


AUGUST = SEPTEMBER.plus(-1)


@pytest.mark.parametrize(
    ("rate", "paid", "to_deposit", "total"),
    [
        # 110.00 were paid, 60.00 by the deposit. The deposit pays the 55.00 kept: 5.00 to it, 50.00 in money.
        (tax("VAT", "10"), {"gross": "60"}, "5", "-50"),
        # With an inclusive tax 100.00 were paid; 50.00 are kept: 10.00 to the deposit and 40.00 in money.
        (tax("VAT", "10", is_inclusive=True), {"gross": "60"}, "10", "-40"),
        # A promotion paid 20.00 and stays used: 33.00 of 88.00 are kept, 27.00 return to the deposit, 28.00 in money.
        (tax("VAT", "10"), {"net": "20", "gross": "60"}, "27", "-28"),
        # Of 110.00 it paid 54.99: a cent less than is kept.
        (tax("VAT", "10"), {"gross": "54.99"}, None, "-55"),
        (tax("VAT", "10"), {"gross": "110"}, "55", "0"),
    ],
)
def test_half_of_a_fee_that_a_deposit_paid_returns_to_it_with_its_tax(
    rate: TaxRate, paid: dict[str, str], to_deposit: str | None, total: str
) -> None:
    """August charged 100.00 for September at 10 %. Half of the month is refunded: -50.00, with the tax of the case."""
    credits = tuple(CreditPaid(id_of(pays), pays, Decimal(amount), pays) for pays, amount in paid.items())
    plan = Subscription(
        id_of("plan"), "plan", at("2026-01-01"), at("2026-09-16"), billed="in_advance",
        charged=(fee_charged("100", credits=credits),),
    )  # fmt: skip
    member = Member("acme", PriceBook([price("plan", "100")]), subscriptions=[plan])
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member], earlier_taxes={AUGUST: (rate,)}))
    back = [line.amount for line in invoice.items if line.kind == "credit"]
    assert back == ([Decimal(to_deposit)] if to_deposit else [])
    assert invoice.amount == Decimal(total)


def refunded_fee(charged: str, currency: str, *paid: tuple[str, str]) -> Invoice:
    """Refund half of a fee for September that August charged at 10 %; `paid` are the deposits' payments of it."""
    credits = tuple(CreditPaid(id_of(name), name, Decimal(amount), "gross") for name, amount in paid)
    plan = Subscription(
        id_of("plan"), "plan", at("2026-01-01"), at("2026-09-16"), billed="in_advance",
        charged=(fee_charged(charged, credits=credits),),
    )  # fmt: skip
    member = Member("acme", PriceBook([price("plan", charged, currency=currency)]), subscriptions=[plan])
    return assemble_invoice(
        InvoiceInputs("acme", currency, SEPTEMBER, [member], earlier_taxes={AUGUST: (tax("VAT", "10"),)})
    )


@pytest.mark.parametrize(
    ("charged", "currency", "paid", "back"),
    [
        # 55.00 of 110.00 are kept: 40.00 of the first deposit, 15.00 of the second.
        ("100", "USD", [("first", "40"), ("second", "40")], {"second": "25"}),
        ("100", "USD", [("first", "30"), ("second", "20"), ("third", "10")], {"third": "5"}),
        ("100", "USD", [("first", "55.50")], {"first": "0.50"}),
        # 116 yen were paid, 58 are returned, so 58 are kept: 2 of 60.
        ("105", "JPY", [("first", "60")], {"first": "2"}),
    ],
)
def test_the_deposit_drawn_last_gets_a_refunded_fee_back_first(
    charged: str, currency: str, paid: list[tuple[str, str]], back: dict[str, str]
) -> None:
    items = [line for line in refunded_fee(charged, currency, *paid).items if line.kind == "credit"]
    assert {line.description.partition(",")[0]: line.amount for line in items} == {
        name: Decimal(amount) for name, amount in back.items()
    }


def test_a_return_to_a_credit_is_an_item_that_names_the_fee() -> None:
    invoice = refunded_fee("100", "USD", ("prepaid", "60"))
    (fee,) = (line for line in invoice.items if line.kind == "subscription")
    (item,) = (line for line in invoice.items if line.kind == "credit")
    assert (item.product, item.description) == ("Credits", "prepaid, on the fee given back")
    assert (item.credit_grant_id, item.organization_id, item.amount) == (id_of("prepaid"), "acme", Decimal(5))
    assert item.detail == {
        "paid": "60", "returned": "5",
        "applied_to": [
            {"item": str(fee.id), "product": fee.product, "description": fee.description, "amount": "-5"}
        ],
    }  # fmt: skip
    assert item in refunded_fee("100", "USD", ("prepaid", "60")).items
    assert len({line.id for line in invoice.items}) == len(invoice.items)
