"""A partition's amounts are numbers for plots and exact texts; amounts of different currencies are never added."""

from __future__ import annotations

from fly_billing.assets.partition_metadata import by_group, money, of_invoices, of_synced
from fly_billing.corrections.month_totals import InvoiceTotals
from fly_billing.stripe_sync.reconciliation import Reconciliation
from fly_billing.stripe_sync.rules.reconciliation import ExpectedInvoice, FoundInvoice


def test_an_amount_is_a_number_and_an_exact_text() -> None:
    assert money("total", {"USD": 1_234_56}, ["USD"]) == {"total": 1234.56, "total (exact)": "$1,234.56"}
    assert money("total", {"JPY": 1200}, ["JPY"]) == {"total": 1200.0, "total (exact)": "JPY 1,200"}


def test_two_currencies_are_two_numbers_even_in_a_month_without_amounts_in_one_currency() -> None:
    assert money("total", {"USD": 202}, ["EUR", "USD"]) == {
        "total EUR": 0.0, "total USD": 2.02, "total (exact)": "EUR 0.00, $2.02",
    }  # fmt: skip


def test_a_partition_without_organizations_has_the_same_names_as_every_other() -> None:
    totals = InvoiceTotals(["USD"], 1, 1, 2, {"USD": 303}, {"USD": 101}, 1, 0, 0, 0)
    assert list(of_invoices(InvoiceTotals())) == list(of_invoices(totals))


def test_each_group_has_its_own_part_of_a_comparison_with_stripe() -> None:
    acme, beta = (ExpectedInvoice(name, name, "USD", cents, ()) for name, cents in (("acme", 202), ("beta", 303)))
    stranger = FoundInvoice("in_1", "unknown", "somebody", "open", "USD", 999, ())
    parts = by_group(Reconciliation([acme, beta], [stranger], []), ["a", "b", "c"], {"acme": "a", "beta": "b"})
    assert {group: (part.totals_here, part.totals_in_stripe) for group, part in parts.items()} == {
        "a": ({"USD": 202}, {}), "b": ({"USD": 303}, {}), "c": ({}, {}),
    }  # fmt: skip


def test_numbers_of_stripe_are_missing_when_stripe_could_not_be_read() -> None:
    assert of_synced(None, 1, InvoiceTotals(["USD"])) == {"failures": 1, "comparison": "Stripe could not be read"}
