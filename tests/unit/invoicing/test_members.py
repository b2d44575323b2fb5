"""On an invoice for several organizations each line names its organization and its charge, and keeps its
identity.

Acme pays for itself and for its labs.
"""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest

from fly_billing.errors import BillingError
from fly_billing.invoicing.rules.assembly import Invoice, assemble_charges, assemble_invoice, invoice_id
from fly_billing.invoicing.rules.inputs import Adjustment, InvoiceInputs, Member, OneOffItem, Subscription, UsageRollup
from fly_billing.invoicing.rules.invoice_numbers import invoice_number
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.monthly_ids import monthly_id
from fly_billing.pricing.rules.prices import PriceBook
from tests.support.builders import OCTOBER, SEPTEMBER, SUPPORT, at, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import credit, minimum, percent_off, tax

AMS_EGRESS = price("egress", "0.02", "egress_gb", unit="GB", match={"region": ("ams",)})
BOOK = PriceBook([AMS_EGRESS, SUPPORT])
INVOICE = invoice_id("acme", SEPTEMBER)


def rollup(name: str, gigabytes: str) -> UsageRollup:
    return UsageRollup(id_of(name), "egress_gb", {"region": "ams"}, SEPTEMBER.start, SEPTEMBER.end, Decimal(gigabytes))


def fee(name: str, **changes: Any) -> Subscription:
    return Subscription(id_of(name), "support", at("2026-01-01"), None, **changes)


def invoice_of(*members: Member, currency: str = "USD", **terms: Any) -> Invoice:
    return assemble_invoice(InvoiceInputs("acme", currency, SEPTEMBER, members, **terms))


def own_and_labs(**changes: Any) -> tuple[InvoiceItem, InvoiceItem]:
    """Return the two lines of an invoice on which both members have the same charge; the second is that of labs."""
    own, labs = invoice_of(Member("acme", BOOK, **changes), Member("labs", BOOK, **changes)).items
    return own, labs


def item_id(name: str) -> UUID:
    return monthly_id(SEPTEMBER, INVOICE, name)


def test_usage_of_a_member_is_a_separate_line() -> None:
    """100 x 0.02. The second item of a discount or a scope is found by its price, meter and match."""
    own, labs = own_and_labs(rollups=[rollup("traffic", "100")])
    assert labs == InvoiceItem(
        id=item_id(f"labs|price|{AMS_EGRESS.id}"),
        kind="usage",
        organization_id="labs",
        product="Egress",
        description="egress as used",
        quantity=Decimal(100),
        unit="GB",
        amount=Decimal(2),
        amount_cents=200,
        price_id=AMS_EGRESS.id,
        price_key="egress",
        meter="egress_gb",
        match={"region": ("ams",)},
        rollup_ids=(id_of("traffic"),),
        detail={
            "price": "egress",
            "price_effective_from": "2026-01-01T00:00:00+00:00",
            "steps": [{"label": "all", "quantity": "100", "unit_amount": "0.02", "per": "1", "amount": "2"}],
        },
    )
    assert (own.id, own.organization_id) == (item_id(f"price|{AMS_EGRESS.id}"), "acme")


def test_a_fee_of_a_member_is_a_separate_line() -> None:
    own, labs = own_and_labs(subscriptions=[fee("seat")])
    assert labs == InvoiceItem(
        id=item_id(f"labs|subscription|{id_of('seat')}"),
        kind="subscription",
        organization_id="labs",
        product="Support",
        description="support as used",
        quantity=Decimal(1),
        unit="month",
        amount=Decimal(29),
        amount_cents=2900,
        price_id=SUPPORT.id,
        price_key="support",
        subscription_id=id_of("seat"),
        period_start=SEPTEMBER.start,
        period_end=SEPTEMBER.end,
        interval_start=SEPTEMBER.start,
        interval_end=SEPTEMBER.end,
        detail={
            "price": "support",
            "price_effective_from": "2026-01-01T00:00:00+00:00",
            "steps": [
                {"label": "share of the month", "quantity": "1", "unit_amount": "29", "per": "1", "amount": "29"}
            ],
        },
    )
    assert (own.id, own.organization_id) == (item_id(f"subscription|{id_of('seat')}"), "acme")


def test_a_fee_in_advance_and_the_fee_of_the_month_are_separate_lines() -> None:
    now, ahead = invoice_of(Member("acme", BOOK, subscriptions=[fee("seat", billed="in_advance")])).items
    assert now.id == item_id(f"subscription|{id_of('seat')}")
    assert ahead.id == item_id(f"subscription|{id_of('seat')}|2026-10")
    assert (ahead.subscription_id, ahead.period_start) == (id_of("seat"), OCTOBER.start)


def test_a_one_off_item_of_a_member_is_a_separate_line() -> None:
    own, labs = own_and_labs(one_offs=[OneOffItem(id_of("setup"), "Setup", Decimal("49.90"), "USD")])
    assert labs == InvoiceItem(
        id=item_id(f"labs|one_off|{id_of('setup')}"),
        kind="one_off",
        organization_id="labs",
        product="One-off",
        description="Setup",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal("49.90"),
        amount_cents=4990,
        one_off_item_id=id_of("setup"),
    )
    assert (own.id, own.organization_id) == (item_id(f"one_off|{id_of('setup')}"), "acme")


def late(currency: str = "USD") -> Adjustment:
    return Adjustment(
        id_of("late"), SEPTEMBER.plus(-1), "Egress", "late traffic", Decimal("1.50"), currency, ("late rows",)
    )


def test_an_adjustment_of_a_member_is_a_separate_line() -> None:
    own, labs = own_and_labs(adjustments=[late()])
    assert labs == InvoiceItem(
        id=item_id(f"labs|adjustment|{id_of('late')}"),
        kind="adjustment",
        organization_id="labs",
        product="Egress",
        description="late traffic",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal("1.50"),
        amount_cents=150,
        adjustment_id=id_of("late"),
        detail={"month": "2026-08", "causes": ["late rows"]},
    )
    assert (own.id, own.organization_id) == (item_id(f"adjustment|{id_of('late')}"), "acme")


@pytest.mark.parametrize(
    ("has", "what", "remedy"),
    [
        ({"adjustments": [late("EUR")]}, f"adjustment {id_of('late')}", "bill this month in EUR"),
        (
            {"one_offs": [OneOffItem(id_of("setup"), "Setup", Decimal(1), "EUR")]},
            f"one-off item {id_of('setup')}",
            "give it a price in USD",
        ),
    ],
)
def test_an_amount_in_another_currency_is_named(has: dict[str, Any], what: str, remedy: str) -> None:
    with pytest.raises(BillingError) as raised:
        invoice_of(Member("acme", BOOK, **has))
    assert raised.value.code == "currency_mismatch"
    assert raised.value.operator_text == (f"{what} is in EUR, but the organization is billed in USD: {remedy}")


def test_an_invoice_names_its_organization_and_its_month() -> None:
    """100 x 0.02 = 2.00, 10 % off, 20.00 at least, 5.00 of credit; 10 % tax on the 15.00 that are left."""
    terms: dict[str, Any] = {
        "discounts": [percent_off("10")],
        "commitments": [minimum("20")],
        "credits": [credit("5")],
        "taxes": [tax("VAT", "10")],
    }
    invoice = invoice_of(Member("acme", BOOK, [rollup("traffic", "100")]), revision=2, **terms)
    assert (invoice.id, invoice.organization_id, invoice.month, invoice.revision, invoice.currency) == (
        UUID("5f00e348-54fd-8875-9af8-735714c323f4"),  # permanent: with another id the month would be billed twice
        "acme",
        SEPTEMBER,
        2,
        "USD",
    )
    assert [(item.kind, item.amount_cents) for item in invoice.items] == [
        ("usage", 200),
        ("discount", -20),
        ("minimum", 1820),
        ("credit", -500),
        ("tax", 150),
    ]
    assert (invoice.amount, invoice.total_cents) == (Decimal("16.50"), 1650)
    assert [(invoice_tax.name, invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in invoice.taxes] == [
        ("VAT", 1500, 150)
    ]
    assert invoice.counted == ((id_of("at least"), Decimal("1.8")),)


def test_an_invoice_of_a_month_begun_before_ids_started_with_their_month_has_the_older_id() -> None:
    older = UUID("10f7e348-54fd-5875-9af8-735714c323f4")
    assert invoice_id("acme", SEPTEMBER, 2, has_random_ids=True) == older
    own = Member("acme", BOOK, [rollup("traffic", "100")])
    invoice = assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [own], revision=2, has_random_ids=True))
    assert [invoice.id, *(item.id for item in invoice.items)] == [older, uuid5(older, f"price|{AMS_EGRESS.id}")]


def test_the_charges_of_an_invoice_leave_out_adjustments_credits_and_taxes() -> None:
    """They have the identities of the invoice's revision, because a correction compares a final invoice with them."""
    member = Member("acme", BOOK, [rollup("traffic", "100")], adjustments=[late()])
    terms: dict[str, Any] = {"discounts": [percent_off("10")], "credits": [credit("5")], "taxes": [tax("VAT", "10")]}
    invoice = assemble_charges(InvoiceInputs("acme", "USD", SEPTEMBER, [member], revision=2, **terms))
    assert [(item.kind, item.amount) for item in invoice.items] == [
        ("usage", Decimal(2)),
        ("discount", Decimal("-0.2")),
    ]
    assert invoice.id == invoice_id("acme", SEPTEMBER, 2)


def test_an_invoice_number_counts_the_invoices_of_its_organization() -> None:
    assert invoice_number("acme", 7) == "ACME-0007"
    assert invoice_number("acme-labs", 12345) == "ACME-LABS-12345"
