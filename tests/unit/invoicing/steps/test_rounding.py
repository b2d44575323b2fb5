"""A rounding item rounds totals of three decimals that Stripe can't charge."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.chargeable_amounts import charging_problem
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.line_text import term_working
from fly_billing.invoicing.rules.steps.rounding import round_to_chargeable
from fly_billing.invoicing.rules.steps.taxes import add_taxes
from fly_billing.money import exact_sum, share_out_cents, to_cents
from fly_billing.statements.rules.explanation import explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.unit.invoicing.steps.invoices_in_progress import invoice_of, item, tax

THREE_DECIMALS = ["BHD", "JOD", "KWD", "OMR", "TND"]


def rounded(currency: str, *amounts: str) -> list[Decimal]:
    invoice = invoice_of(*(item(f"n{n}", amount) for n, amount in enumerate(amounts)), currency=currency)
    round_to_chargeable(invoice)
    return [line.amount for line in invoice.items[len(amounts) :]]


@pytest.mark.parametrize(
    ("amounts", "expected"),
    [
        (["10.234"], ["-0.004"]),
        (["10.235"], ["0.005"]),
        (["-10.235"], ["-0.005"]),
        (["10.225"], ["0.005"]),  # away from zero, not to the even hundredth
        (["-10.225"], ["-0.005"]),
        (["10.230"], []),
        (["1.2345"], ["-0.0045"]),  # the exact sum is rounded, not 1.235
        (["1.23045"], []),  # 1.230 when rounded to the third decimal
        (["0.002", "0.002"], ["-0.004"]),
        (["0"], []),
    ],
)
@pytest.mark.parametrize("currency", THREE_DECIMALS)
def test_the_exact_sum_is_rounded_to_a_hundredth_halves_away_from_zero(
    currency: str, amounts: list[str], expected: list[str]
) -> None:
    assert rounded(currency, *amounts) == [Decimal(amount) for amount in expected]


@pytest.mark.parametrize("currency", ["USD", "JPY", "ISK", "UGX", "HUF"])
def test_other_currencies_have_no_rounding_item(currency: str) -> None:
    assert rounded(currency, "1.234") == []


AMOUNTS = st.lists(st.decimals("-99", "99", places=5, allow_nan=False), min_size=1, max_size=5)


@given(AMOUNTS, st.sampled_from(THREE_DECIMALS), st.sampled_from(["0", "5", "15", "8.875"]))
def test_every_total_can_be_charged_and_refunds_net_to_zero(
    amounts: list[Decimal], currency: str, percent: str
) -> None:
    totals = []
    for sign in (1, -1):
        items = [item(f"n{n}", str(sign * amount)) for n, amount in enumerate(amounts)]
        invoice = invoice_of(*items, currency=currency, taxes=[tax("VAT", percent)])
        add_taxes(invoice)
        before = exact_sum([line.amount for line in invoice.items])
        round_to_chargeable(invoice)
        exact = [line.amount for line in invoice.items]
        totals.append(to_cents(exact_sum(exact), currency))
        assert charging_problem(totals[-1], currency) is None
        assert abs(exact_sum(exact) - before) <= Decimal("0.005")
        shared = dict(zip((line.kind for line in invoice.items), share_out_cents(exact, currency), strict=True))
        if invoice.taxes:
            assert shared["tax"] == invoice.taxes[0].tax_cents
    assert sum(totals) == 0


def test_the_rounding_item_belongs_to_the_payer() -> None:
    invoice = invoice_of(item("web", "10.234"), currency="KWD")
    round_to_chargeable(invoice)
    assert invoice.items[1] == InvoiceItem(
        id=invoice.item_id("rounding"), kind="rounding", organization_id="acme", product="Rounding",
        description="Rounding to a chargeable total, in steps of 0.01 KWD", quantity=Decimal(1), unit="item",
        amount=Decimal("-0.004"), detail={"base": "10.234", "step": "0.01"},
    )  # fmt: skip


def test_the_rounding_is_explained_as_a_sum() -> None:
    invoice = invoice_of(item("web", "10.234"), currency="KWD")
    round_to_chargeable(invoice)
    cents = share_out_cents([line.amount for line in invoice.items], "KWD")
    items = [line.billed_at(share) for line, share in zip(invoice.items, cents, strict=True)]
    explained = explain_item(items[1], explain_rounding(items, "KWD")[items[1].id], "KWD")
    assert explained.problems == ()
    assert [(line.label, line.amount) for line in explained.sums[0].lines] == [
        ("the nearest multiple of 0.01", Decimal("10.23")),
        ("all other items", Decimal("-10.234")),
    ]
    assert term_working("rounding", items[1].detail) == "10.234 rounded to a multiple of 0.01"
