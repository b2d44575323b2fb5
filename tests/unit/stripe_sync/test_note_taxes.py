"""A correction gives back its items' tax; another credit note its share, and all of them together exactly all tax."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.invoicing.rules.invoice_in_progress import InvoiceTax
from fly_billing.stripe_sync.rules.line_taxes import LineTax
from fly_billing.stripe_sync.rules.note_taxes import NoteTax, note_lines, taxes_of_correction, taxes_of_note

Json = dict[str, Any]


def tax(cents: int, taxable: int, rate: str = "txr_vat", behavior: str = "exclusive") -> Json:
    return {
        "amount": cents, "taxable_amount": taxable, "tax_behavior": behavior, "tax_rate_details": {"tax_rate": rate},
    }  # fmt: skip


def invoice(total: int, *taxes: Json, currency: str = "usd") -> Json:
    return {"currency": currency, "total": total, "total_taxes": list(taxes)}


def note(amount: int, *taxes: Json, status: str = "issued") -> Json:
    return {"status": status, "amount": amount, "total_taxes": list(taxes)}


def test_a_sixth_of_an_invoice_with_twenty_percent_takes_back_a_sixth_of_its_tax() -> None:
    """120.00 with 20.00 of VAT. Of 20.00, 16.67 are net and 3.33 are VAT: the cent goes to the larger fraction."""
    assert taxes_of_note(invoice(12000, tax(2000, 10000)), [], 2000) == (NoteTax("txr_vat", False, 333, 1665),)


def test_two_rates_keep_their_proportion() -> None:
    """29.00 at 7 % and 150.00 at 19 %: 209.53. Of the half, 104.77 (half up): 1.015 and 14.25 of tax, 89.50 net."""
    found = taxes_of_note(invoice(20953, tax(203, 2900, "txr_7"), tax(2850, 15000, "txr_19")), [], 10477)
    assert [(each.tax_rate, each.tax_cents) for each in found] == [("txr_7", 102), ("txr_19", 1425)]


def test_contained_tax_is_in_the_amount_of_the_line_and_added_tax_is_not() -> None:
    """12.00 of 120.00: 2.00 of 20.00 contained, or 2.00 of 20.00 added to 10.00."""
    (contained,) = taxes_of_note(invoice(12000, tax(2000, 10000, behavior="inclusive")), [], 1200)
    (added,) = taxes_of_note(invoice(12000, tax(2000, 10000)), [], 1200)
    assert note_lines([contained], 1200, "USD", "an outage")[0]["unit_amount"] == 1200
    assert note_lines([added], 1200, "USD", "an outage") == [
        {
            "type": "custom_line_item", "description": "an outage", "quantity": 1, "unit_amount": 1000,
            "tax_amounts": [{"tax_rate": "txr_vat", "amount": 200, "taxable_amount": 1000}],
        }
    ]  # fmt: skip


def test_a_note_made_without_tax_leaves_all_of_it_to_the_next_one() -> None:
    """120.00 with 20.00 of VAT. Someone credited 110.00 without tax: the last 10.00 can only be tax."""
    assert taxes_of_note(invoice(12000, tax(2000, 10000)), [note(11000)], 1000) == (
        NoteTax("txr_vat", False, 1000, 5000),
    )


def test_void_notes_took_nothing_back() -> None:
    bill = invoice(12000, tax(2000, 10000))
    assert taxes_of_note(bill, [note(12000, tax(2000, 10000), status="void")], 12000) == taxes_of_note(bill, [], 12000)


def test_invoices_without_tax_with_reverse_charge_or_with_too_many_rates_have_none() -> None:
    assert taxes_of_note(invoice(12000), [], 1200) == ()
    assert taxes_of_note(invoice(12000, tax(0, 12000)), [], 1200) == ()
    many = [tax(10, 100, f"txr_{number}") for number in range(11)]
    assert taxes_of_note(invoice(12000, *many), [], 1200) == ()


def test_shillings_are_shared_out_whole() -> None:
    """Stripe writes 1,186 Ugandan shillings with 181 of VAT as 118600 and 18100. Of 593: 90.5 of VAT, half down."""
    (found,) = taxes_of_note(invoice(118_600, tax(18_100, 100_500), currency="ugx"), [], 593)
    assert found.tax_cents == 90
    assert found.as_param("UGX")["amount"] == 9000


VAT = LineTax("VAT", Decimal(20), False, "standard", 10_000, 2_000)
CENTRAL = LineTax("CGST", Decimal(9), False, "standard", 10_000, 900)
STATE = LineTax("SGST", Decimal(9), False, "standard", 10_000, 900)


def back(rate: LineTax, cents: int, taxable: int) -> InvoiceTax:
    """Return the tax that a correction gives back."""
    return InvoiceTax(uuid4(), rate.name, rate.percent, rate.is_inclusive, -taxable, -cents, rate.category)


def test_rates_with_the_same_tax_are_corrected_together() -> None:
    """118.00 with 9.00 of each tax. 59.00 of it give back 4.50 of each; 4.50 of only one can't go back."""
    bill = invoice(11_800, tax(900, 10_000, "txr_a"), tax(900, 10_000, "txr_b"))
    assert taxes_of_correction(bill, [CENTRAL, STATE], [back(CENTRAL, 450, 5_000), back(STATE, 450, 5_000)], 5_900) == (
        NoteTax("txr_a", False, 450, 5_000), NoteTax("txr_b", False, 450, 5_000),
    )  # fmt: skip
    assert taxes_of_correction(bill, [CENTRAL, STATE], [back(STATE, 450, 5_000)], 5_450) is None


def test_contained_tax_is_given_back_in_the_amount() -> None:
    """120.00 contain 20.00. Of 12.00, 2.00 are tax on 10.00."""
    contained = replace(VAT, is_inclusive=True)
    bill = invoice(12_000, tax(2_000, 10_000, behavior="inclusive"))
    assert taxes_of_correction(bill, [contained], [back(contained, 200, 1_000)], 1_200) == (
        NoteTax("txr_vat", True, 200, 1_000),
    )


@pytest.mark.parametrize(
    ("corrected", "amount"),
    [
        ([back(replace(VAT, percent=Decimal(19)), 190, 1_000)], 1_190),  # a rate that the invoice does not have
        ([back(VAT, -200, -1_000)], 800),  # tax that goes up
        ([back(VAT, 200, 1_000)], 700),  # 10.00 at 20 % less and exempt 5.00 more: taxed more than it gives back
    ],
)
def test_taxes_that_a_credit_note_can_not_have(corrected: list[InvoiceTax], amount: int) -> None:
    assert taxes_of_correction(invoice(12_000, tax(2_000, 10_000)), [VAT], corrected, amount) is None


def test_an_invoice_with_its_taxes_as_plain_lines_takes_no_correction_with_tax() -> None:
    assert taxes_of_correction(invoice(12_000), [VAT], [back(VAT, 200, 1_000)], 1_200) is None
    assert taxes_of_correction(invoice(12_000), [VAT], [], 1_000) == ()


@given(
    net=st.integers(1, 10**6),
    rates=st.lists(st.integers(1, 10**5), min_size=1, max_size=4),
    parts=st.lists(st.integers(1, 10**5), min_size=1, max_size=6),
)
def test_credit_notes_over_the_whole_invoice_take_back_exactly_its_tax(
    net: int, rates: list[int], parts: list[int]
) -> None:
    """However an invoice is credited in parts, no cent of tax is lost or taken twice, and no part is below zero."""
    total = net + sum(rates)
    bill = invoice(total, *(tax(cents, cents * 5, f"txr_{number}") for number, cents in enumerate(rates)))
    notes: list[Json] = []
    for part in [*parts, total]:
        left = total - sum(each["amount"] for each in notes)
        amount = min(part, left)
        if not amount:
            break
        found = taxes_of_note(bill, notes, amount)
        assert all(each.tax_cents > 0 for each in found)
        assert sum(each.tax_cents for each in found) <= amount
        notes.append(note(amount, *(tax(each.tax_cents, each.taxable_cents, each.tax_rate) for each in found)))
    taken = {f"txr_{number}": 0 for number in range(len(rates))}
    for each in notes:
        for taken_tax in each["total_taxes"]:
            taken[taken_tax["tax_rate_details"]["tax_rate"]] += taken_tax["amount"]
    assert list(taken.values()) == rates
