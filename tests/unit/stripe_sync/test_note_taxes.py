"""A credit note takes back its share of the invoice's taxes, and all of them together take back exactly all tax."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.stripe_sync.rules.note_taxes import NoteTax, note_lines, taxes_of_note

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
