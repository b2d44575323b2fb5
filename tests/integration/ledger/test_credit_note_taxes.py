"""A credit note at Stripe gives its tax back to the customer and takes it from the tax office, not from revenue.

Worked by hand against the sandbox, in cents. A debit is positive. acme's June is 100.00 and 20 % VAT: 120.00.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fly_billing.postgres.database import BillingDatabase
from fly_billing.stripe_sandbox import SandboxServer
from fly_billing.stripe_sync.credit_notes import send_unfinished
from fly_billing.stripe_sync.event_inbox import receive
from fly_billing.stripe_sync.rules.credit_requests import TO_BALANCE, TO_CARD
from tests.support.credit_builders import ask_for_credit, credit, notes
from tests.support.stripe_builders import JUNE, execute, query, utc_now
from tests.support.stripe_money import ACME, StripePlatform, agree


@pytest.fixture
def acme(billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path) -> StripePlatform:
    platform = StripePlatform(billing_database, sandbox, tmp_path)
    platform.tax("20")
    platform.bill(JUNE, "100.00")
    return platform


def taxes(acme: StripePlatform) -> list[tuple[int, int]]:
    """List Stripe's credit notes as (amount, tax), by amount."""
    found = acme.sandbox.control.objects("credit_note")
    return sorted((note["amount"], sum(tax["amount"] for tax in note["total_taxes"])) for note in found)


def test_a_credit_note_of_ours_on_an_open_invoice_takes_back_net_and_tax(acme: StripePlatform) -> None:
    """12.00 of 120.00: 10.00 of revenue and 2.00 of VAT."""
    assert credit(acme.tools, ACME, "12.00").state == "issued"
    agree(acme, 10800)
    assert taxes(acme) == [(1200, 200)]
    assert acme.balances() == {"receivable": 10800, "revenue": -9000, "tax_payable": -1800}
    assert acme.events()[1:] == [
        ("stripe_credit_note_issued", {"receivable": -1200, "revenue": 1000, "tax_payable": 200})
    ]


@pytest.mark.parametrize(
    ("to", "accounts"),
    [
        (TO_CARD, {"cash": 10800, "revenue": -9000, "tax_payable": -1800}),
        (TO_BALANCE, {"cash": 12000, "stripe_balance": -1200, "revenue": -9000, "tax_payable": -1800}),
    ],
)
def test_what_was_paid_goes_back_with_its_tax(acme: StripePlatform, to: str, accounts: dict[str, int]) -> None:
    acme.pay()
    acme.poll()
    assert credit(acme.tools, ACME, "12.00", to).state == "issued"
    agree(acme, -1200 if to == TO_BALANCE else 0)
    assert acme.balances() == accounts


def test_credit_notes_over_the_whole_invoice_take_back_exactly_its_tax(acme: StripePlatform) -> None:
    """33.33, 33.33 and 53.34 of 120.00: 5.56, 5.55 and 8.89 of VAT are 20.00."""
    for number, amount in enumerate(("33.33", "33.33", "53.34")):
        assert credit(acme.tools, ACME, amount, why=f"outage {number}").state == "issued"
    agree(acme, 0)
    assert taxes(acme) == [(3333, 555), (3333, 556), (5334, 889)]
    assert acme.balances() == {}


def test_a_credit_note_of_the_dashboard_is_split_as_stripe_says(acme: StripePlatform) -> None:
    """24.00 with 4.00 of VAT; and 6.00 that someone credited without tax, all of it revenue."""
    acme.act("credit-note", amount=2400)
    acme.act("credit-note", amount=600, without_tax=True)
    agree(acme, 9000)
    assert acme.balances() == {"receivable": 9000, "revenue": -7400, "tax_payable": -1600}
    acme.act("void-credit-note")  # the newer one
    agree(acme, 9600)
    assert acme.balances() == {"receivable": 9600, "revenue": -8000, "tax_payable": -1600}


def test_our_credit_note_takes_the_tax_that_notes_of_the_dashboard_left(acme: StripePlatform) -> None:
    """After 110.00 without tax, the last 10.00 are tax: 20.00 of VAT less 10.00 stay with the tax office."""
    acme.act("credit-note", amount=11000, without_tax=True)
    assert credit(acme.tools, ACME, "10.00").state == "issued"
    agree(acme, 0)
    assert acme.balances() == {"revenue": 1000, "tax_payable": -1000}


def test_a_credit_note_that_is_voided_and_an_invoice_that_is_voided_leave_no_tax(acme: StripePlatform) -> None:
    acme.act("credit-note", amount=2400)
    agree(acme, 9600)
    acme.act("void-credit-note")
    agree(acme, 12000)
    assert acme.balances() == {"receivable": 12000, "revenue": -10000, "tax_payable": -2000}
    acme.act("credit-note", amount=1200)
    agree(acme, 10800)
    acme.act("void")
    agree(acme, 0)
    assert acme.balances() == {}


def test_a_credit_note_that_is_read_only_after_its_invoice_became_void_leaves_no_tax(acme: StripePlatform) -> None:
    """The void invoice took back all tax already. Its event is read first."""
    acme.act("credit-note", amount=2400)
    acme.act("void")
    reader = acme.tools.reader()
    for event in acme.tools.client.v1.events.list({"limit": 100, "types": ["invoice.voided"]}).data:
        receive(acme.database, event.to_dict(), "webhook", utc_now(), reader)
    agree(acme, 0)
    assert acme.balances() == {}
    assert query(acme.database, "select tax_cents from stripe_money") == [{"tax_cents": 0}]


def test_contained_tax_is_split_as_well(
    billing_database: BillingDatabase, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """119.99 contain 20.00 of VAT (20 %). Of 12.00, 2.00 are VAT."""
    acme = StripePlatform(billing_database, sandbox, tmp_path)
    acme.tax("20", is_inclusive=True)
    acme.bill(JUNE, "119.99")
    assert credit(acme.tools, ACME, "12.00").state == "issued"
    agree(acme, 10799)
    assert taxes(acme) == [(1200, 200)]
    assert acme.balances() == {"receivable": 10799, "revenue": -8999, "tax_payable": -1800}


def test_a_credit_note_that_was_planned_before_taxes_were_is_sent_as_it_was(acme: StripePlatform) -> None:
    """It was recorded by the version before: a resend must have the same parameters."""
    ask_for_credit(acme.tools, ACME, "12.00")
    execute(acme.database, "update credit_requests set unpaid_cents = 1200")
    assert [each.state for each in send_unfinished(acme.tools)] == ["issued"]
    agree(acme, 10800)
    assert (taxes(acme), acme.balances()["tax_payable"]) == ([(1200, 0)], -2000)


@pytest.mark.parametrize("effect", ["drop_before_apply", "apply_then_drop", "applied_500", "stored_500"])
def test_faults_change_neither_the_tax_nor_the_number_of_credit_notes(
    acme: StripePlatform, sandbox: SandboxServer, effect: str
) -> None:
    sandbox.control.add_fault(effect, "credit_notes.create", first=2)
    credit(acme.tools, ACME, "12.00")
    for _ in range(3):
        send_unfinished(acme.tools)
    agree(acme, 10800)
    assert (notes(sandbox), taxes(acme)) == ([(1200, 1200, 0, 0, 0)], [(1200, 200)])
    assert acme.balances()["tax_payable"] == -1800
