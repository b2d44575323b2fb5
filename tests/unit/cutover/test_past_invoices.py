"""A Stripe invoice is read from the API's JSON in old and new versions, and from the dashboard's CSV."""

from __future__ import annotations

from typing import Any

import pytest

from fly_billing.cutover.rules.past_invoices import UnreadableInvoice, parse_invoice, parse_row, product_in

INVOICE: dict[str, Any] = {
    "id": "in_1",
    "number": "ACME-0001",
    "customer": "cus_acme",
    "currency": "usd",
    "created": 1_793_491_200,
    "status": "paid",
    "total": 11_900,
    "metadata": {"organization": "acme"},
    "lines": {
        "has_more": False,
        "data": [
            {
                "id": "il_1",
                "amount": 11_000,
                "description": "250 \u00d7 Machines (at $0.44 / month)",
                "discount_amounts": [{"amount": 1_000, "discount": "di_1"}],
                "pricing": {"price_details": {"product": "prod_m", "price": "price_m"}},
            }
        ],
    },
}
ROW = {
    "id": "in_1",
    "customer": "cus_acme",
    "currency": "usd",
    "status": "paid",
    "total": "119.00",
    "tax": "19.00",
    "date (utc)": "2026-11-01 00:00",
}


def test_an_invoice_of_the_api_has_its_amounts_without_the_discounts_of_its_lines() -> None:
    found = parse_invoice({**INVOICE, "total_taxes": [{"amount": 1_900, "tax_behavior": "exclusive"}]})
    assert (found.currency, found.total_cents, found.tax_cents, found.charge_cents) == ("USD", 11_900, 1_900, 10_000)
    (line,) = found.lines or ()
    assert (line.name, line.cents, line.names[0]) == ("Machines", 10_000, "prod_m")


@pytest.mark.parametrize(
    ("taxes", "added"),
    [
        ({"total_taxes": [{"amount": 1_900, "tax_behavior": "exclusive"}]}, 1_900),
        ({"total_taxes": [{"amount": 1_900, "tax_behavior": "inclusive"}]}, 0),
        ({"total_tax_amounts": [{"amount": 1_500, "inclusive": False}, {"amount": 400, "inclusive": True}]}, 1_500),
        ({"tax": 1_900}, 1_900),
        ({"tax": None}, 0),
        ({}, 0),
    ],
)
def test_added_tax_is_read_in_every_version_of_the_api(taxes: dict[str, Any], added: int) -> None:
    assert parse_invoice({**INVOICE, **taxes}).tax_cents == added


def test_lines_that_the_export_has_only_in_part_are_not_used() -> None:
    assert parse_invoice({**INVOICE, "lines": {**INVOICE["lines"], "has_more": True}}).lines is None
    assert parse_invoice({**INVOICE, "lines": None}).lines is None


def test_amounts_in_shillings_are_read_from_stripes_hundredths() -> None:
    found = parse_invoice({**INVOICE, "currency": "ugx", "total": 101_00, "lines": None})
    assert found.total_cents == 101
    with pytest.raises(UnreadableInvoice, match="10150 is not a whole amount of UGX"):
        parse_invoice({**INVOICE, "currency": "ugx", "total": 101_50, "lines": None})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"total": "119.00"}, "total is '119.00', but a whole number is needed"),
        ({"total": 119.5}, "total is 119.5"),
        ({"total": True}, "total is True"),
        ({"customer": None}, "customer is None, but an id is needed"),
        ({"currency": ""}, "currency is ''"),
        ({"created": 10**20}, "created is 1"),
        ({"id": None}, "id is None"),
        ({"tax": "19.00"}, "tax is '19.00', but a whole number is needed"),
        ({"total_taxes": [{"amount": 19.5}]}, "amount is 19.5, but a whole number is needed"),
        ({"post_payment_credit_notes_amount": "5"}, "post_payment_credit_notes_amount is '5'"),
    ],
)
def test_an_invoice_with_a_wrong_field_names_it(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UnreadableInvoice, match=message):
        parse_invoice({**INVOICE, **wrong})


def test_the_customer_may_be_expanded() -> None:
    assert parse_invoice({**INVOICE, "customer": {"id": "cus_acme", "object": "customer"}}).customer == "cus_acme"


@pytest.mark.parametrize(
    ("currency", "total", "cents"),
    [
        ("usd", "119.00", 11_900),
        ("usd", "119,00", 11_900),
        ("usd", "119", 11_900),
        ("usd", "119.5", 11_950),
        ("usd", "-3.10", -310),
        ("usd", "0.50000", 50),
        ("jpy", "1200", 1_200),
        ("jpy", "1200.00", 1_200),
        ("kwd", "1.234", 1_234),
    ],
)
def test_amounts_of_the_dashboard_are_in_the_major_unit(currency: str, total: str, cents: int) -> None:
    assert parse_row({**ROW, "currency": currency, "total": total, "tax": ""}).total_cents == cents


@pytest.mark.parametrize(
    "total", ["1,234.50", "1.234,50", "1,200", "1.000", "119.005", "$119.00", "", "1e3", "12 00", "١٢"]
)
def test_an_ambiguous_amount_is_refused(total: str) -> None:
    with pytest.raises(UnreadableInvoice, match="Total is "):
        parse_row({**ROW, "total": total})


def test_times_of_the_dashboard_are_in_utc() -> None:
    assert str(parse_row(ROW).created) == "2026-11-01 00:00:00+00:00"
    with pytest.raises(UnreadableInvoice, match=r"date \(utc\) is '1/11/26'"):
        parse_row({**ROW, "date (utc)": "1/11/26"})


@pytest.mark.parametrize(
    ("description", "product"),
    [
        ("250 \u00d7 Machines (at $0.44 / month)", "Machines"),
        ("1,000 \u00d7 Requests (Tier 2 at $0.10 / month)", "Requests"),
        ("Machines", "Machines"),
        ("Support (premium)", "Support (premium)"),
        ("2 \u00d7 Seats (annual)", "Seats (annual)"),
    ],
)
def test_the_product_is_found_in_a_description_that_stripe_made(description: str, product: str) -> None:
    assert product_in(description) == product
