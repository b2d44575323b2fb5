"""A month that deposits paid after tax is corrected to nothing: invoice, tax and credit net to zero."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import recalculate
from fly_billing.corrections.rules.returned_credits import CreditsUsed, credit_differences
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import Adjustment, CreditGrant, InvoiceInputs, Member
from fly_billing.money import exact_sum
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import SEPTEMBER
from tests.unit.invoicing.steps.drafts import credit
from tests.unit.invoicing.test_taxes_returned import BOOK, RATES, by_rate, correct, member, members, october, terms

SCOPES = st.sampled_from([Scope(), Scope(), Scope(products=("Requests",)), Scope(kinds=("subscription",))])
DEPOSITS = st.lists(
    st.tuples(st.decimals("0.01", 400, places=2), st.integers(0, 1), SCOPES), min_size=1, max_size=3
).map(
    lambda found: [
        credit(amount, f"d{n}", priority=rank, scope=scope, pays="gross")
        for n, (amount, rank, scope) in enumerate(found)
    ]
)


def drawn(invoice: Invoice) -> dict[str, Decimal]:
    return {str(one.credit_grant_id): -one.amount for one in invoice.items if one.kind == "credit"}


def returned(charged: Invoice, now: InvoiceInputs, grants: list[CreditGrant]) -> list[Adjustment]:
    """What a correction of the invoice to `now` books: charges, taxed as they were, and what goes back to deposits."""
    stored = [replace(one, match={}) for one in charged.items]
    back = credit_differences(stored, recalculate(now, stored), SEPTEMBER, CreditsUsed(grants))
    of_charges, _ = correct(charged, {}, now)
    return [
        *of_charges,
        *(
            Adjustment(
                one.charge.credit_grant_id, SEPTEMBER, one.charge.product, "back", one.amount, "USD",
                is_after_tax=True,
            )
            for one in back
            if one.charge.credit_grant_id
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("taxes", RATES.values(), ids=RATES)
@settings(max_examples=60)
@given(whole=members, agreed=terms, deposits=DEPOSITS)
def test_what_deposits_paid_goes_back_to_them_with_its_tax_and_no_money_is_made_of_it(
    taxes: list[TaxRate], whole: Member, agreed: dict[str, Any], deposits: list[CreditGrant]
) -> None:
    account = InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=taxes, credits=deposits, **agreed)
    charged = assemble_invoice(account)
    nothing = replace(account, members=[Member("acme", BOOK)], discounts=(), commitments=())
    adjustments = returned(charged, nothing, deposits)
    in_october = october(adjustments, taxes)
    back: dict[str, Decimal] = {}
    for one in adjustments:
        if one.is_after_tax:
            back[str(one.id)] = exact_sum([back.get(str(one.id), Decimal(0)), one.amount])
    assert {name: amount for name, amount in back.items() if amount} == drawn(charged)
    assert charged.total_cents + in_october.total_cents == 0
    assert by_rate(charged, in_october) == {}


@pytest.mark.parametrize(
    ("deposit", "total", "paid"),
    [
        # Requests 100.00 at 7 %, egress 50.00 at 20 %, support 29.00 exempt: 179.00 + 7.00 + 10.00 = 196.00.
        ("5", 19100, "5"),
        ("107", 8900, "107"),  # the requests and their tax
        ("107.01", 8899, "107.01"),
        ("196", 0, "196"),
        ("500", 0, "196"),
    ],
)
def test_a_deposit_pays_each_item_with_the_tax_at_its_own_rate(deposit: str, total: int, paid: str) -> None:
    whole = member(Decimal(1000), Decimal(2600), 1)
    grant = credit(deposit, "deposit", pays="gross")
    charged = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=RATES["reduced"], credits=[grant])
    )
    assert (charged.total_cents, [*drawn(charged).values()]) == (total, [Decimal(paid)])
    assert {one.name: (one.taxable_cents, one.tax_cents) for one in charged.taxes} == {
        "VAT": (5000, 1000), "Low": (10000, 700), "None": (2900, 0),
    }  # fmt: skip


def test_a_deposit_for_requests_pays_them_and_their_reduced_tax_and_no_other() -> None:
    """107.00 of 196.00."""
    whole = member(Decimal(1000), Decimal(2600), 1)
    grant = credit("500", "deposit", pays="gross", scope=Scope(products=("Requests",)))
    charged = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=RATES["reduced"], credits=[grant])
    )
    assert ([*drawn(charged).values()], charged.total_cents) == ([Decimal(107)], 8900)
