"""Taxes become tax amounts of lines where Stripe has a place for them, and add up to ours."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fly_billing.periods import BillingMonth
from fly_billing.stripe_sync.rules.customer_details import (
    InvoiceDetails,
    changed_params,
    customer_params,
    same_tax_id,
)
from fly_billing.stripe_sync.rules.line_taxes import (
    BilledTax,
    LineTax,
    tax_amounts,
    tax_amounts_at_stripe,
    taxes_by_position,
)
from fly_billing.stripe_sync.rules.requests import (
    BilledLine,
    add_lines_requests,
    create_customer_request,
    create_request,
    folded_lines,
    number_at_stripe,
)
from tests.unit.stripe_sync.test_stripe_plan import INVOICE

VAT = LineTax("VAT", Decimal("19.0"), False, "standard", 3000, 570)
ACME = InvoiceDetails("Acme GmbH", legal_name="Acme GmbH", email="a@acme.test", country="DE", tax_ids=("eu_vat:DE1",))


def billed(*shares: tuple[int, int, int], **rate: Any) -> BilledTax:
    tax = replace(
        VAT, taxable_cents=sum(share[1] for share in shares), tax_cents=sum(share[2] for share in shares), **rate
    )
    return BilledTax(tax, shares)


def test_each_item_has_its_share() -> None:
    assert taxes_by_position([billed((1, 1000, 190), (2, 2000, 380))], 570) == {
        1: (replace(VAT, taxable_cents=1000, tax_cents=190),),
        2: (replace(VAT, taxable_cents=2000, tax_cents=380),),
    }


@pytest.mark.parametrize(
    ("taxes", "added"),
    [
        ([BilledTax(VAT, None)], 570),  # final before shares were kept
        ([billed((1, 3000, 570), percent=Decimal("19.00001"))], 570),
        ([billed((1, 3000, 570))], 569),  # the tax items have another sum
        ([billed((1, 100, 1), name=f"tax {n}") for n in range(21)], 21),
    ],
)
def test_what_stripe_has_no_place_for_stays_a_line(taxes: list[BilledTax], added: int) -> None:
    assert taxes_by_position(taxes, added) is None


def test_a_contained_tax_adds_no_item() -> None:
    assert taxes_by_position([billed((1, 3000, 570), is_inclusive=True)], 0) is not None


def test_equal_rates_are_one_at_stripe() -> None:
    """The rate of a book and that of an organization, both named VAT at 19 %."""
    assert taxes_by_position([billed((1, 1000, 190)), billed((1, 2000, 380))], 570) == {1: (VAT,)}


def test_the_amounts_of_each_rate_are_compared() -> None:
    theirs = {
        "total_taxes": [
            {"amount": 190, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_1"}},
            {"amount": 380, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_1"}},
            {"amount": 0, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_2"}},
        ]
    }
    assert tax_amounts_at_stripe(theirs) == tax_amounts([VAT], "EUR") == ((False, 570),)
    assert tax_amounts([replace(VAT, is_inclusive=True)], "EUR") == ((True, 570),)
    assert tax_amounts_at_stripe({"total_taxes": None}) == ()


@given(st.lists(st.tuples(st.integers(-(10**6), 10**6), st.integers(-(10**5), 10**5)), max_size=400))
def test_folding_never_changes_a_tax(amounts: list[tuple[int, int]]) -> None:
    lines = [
        BilledLine(f"item-{n}", f"charge {n}", cents, taxes=(replace(VAT, taxable_cents=cents, tax_cents=tax),))
        for n, (cents, tax) in enumerate(amounts)
    ]
    folded = [tax for line in folded_lines(lines) for tax in line.taxes]
    assert sum(tax.tax_cents for tax in folded) == sum(tax for _, tax in amounts)
    assert sum(tax.taxable_cents for tax in folded) == sum(cents for cents, _ in amounts)


def test_a_line_carries_its_tax_as_stripe_takes_it() -> None:
    line = BilledLine("one", "VM usage", 3000, taxes=(VAT,))
    (request,) = add_lines_requests(replace(INVOICE, lines=(line,)))
    assert request.params["lines"][0]["tax_amounts"] == [
        {
            "amount": 570,
            "taxable_amount": 3000,
            "taxability_reason": "standard_rated",
            "tax_rate_data": {"display_name": "VAT", "percentage": "19", "inclusive": False},
        }
    ]


# Details --------------------------------------------------------------------------------------------------------------


def test_an_invoice_with_details_inherits_nothing() -> None:
    params = create_request(replace(INVOICE, number="ACME-0007", details=ACME), "cus_1", 0).params
    assert (params["discounts"], params["automatic_tax"], params["number"]) == ("", {"enabled": False}, "ACME-0007")
    assert "days_until_due" not in params
    sent = replace(ACME, collection="send_invoice", net_days=30)
    assert create_request(replace(INVOICE, details=sent), "cus_1", 0).params["days_until_due"] == 30


@pytest.mark.parametrize(
    ("number", "generation", "sent"),
    [
        ("ACME-0007", 0, "ACME-0007"),
        ("ACME-0007", 2, "ACME-0007-R2"),
        ("A" * 21 + "-0007", 0, "A" * 21 + "-0007"),
        ("A" * 22 + "-0007", 0, None),
        ("A" * 19 + "-0007", 1, None),
        (None, 0, None),
    ],
)
def test_a_number_has_at_most_26_characters(number: str | None, generation: int, sent: str | None) -> None:
    assert number_at_stripe(number, generation) == sent


def test_a_long_name_is_cut_for_stripe_and_a_memo_stays_whole() -> None:
    """256 characters of name, a month and 1,000 of memo are within Stripe's 1,500."""
    long = InvoiceDetails("x" * 5000, memo="y" * 1000)
    text = create_request(replace(INVOICE, month=BillingMonth(2026, 9), details=long), "cus_1", 0).params["description"]
    assert text == "x" * 256 + ": September 2026\n" + "y" * 1000
    assert len(create_customer_request("acme", "x" * 5000, long).params["name"]) == 256


def test_only_fields_that_were_given_are_sent_and_those_that_are_gone_are_emptied() -> None:
    assert customer_params(InvoiceDetails("Acme"), {}) == {}
    sent = customer_params(ACME, {})
    assert sent["tax_ids"] == ["eu_vat:DE1"]
    gone = customer_params(InvoiceDetails("Acme"), sent)
    assert gone == {"name": "Acme", "email": "", "address": "", "tax_ids": []}
    assert changed_params(gone, sent) == {"name": "Acme", "email": "", "address": ""}
    assert changed_params(sent, sent) == {}


def test_stripe_may_write_a_tax_id_without_spaces() -> None:
    assert same_tax_id("eu_vat:de 123", "eu_vat", "DE123")
    assert not same_tax_id("eu_vat:DE123", "gb_vat", "DE123")
