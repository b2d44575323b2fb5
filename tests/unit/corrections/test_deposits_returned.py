"""A correction to zero of a month that deposits paid nets invoice, tax and credits to zero."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import charge_key, recalculate
from fly_billing.corrections.rules.returned_credits import (
    CreditsUsed,
    credit_differences,
    credit_key,
    thing_of_credit_key,
)
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    Adjustment,
    CreditGrant,
    CreditPaid,
    InvoiceInputs,
    Member,
    Subscription,
    UsageRollup,
)
from fly_billing.money import exact_sum
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import REQUESTS, SEPTEMBER, at, fee_charged, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import credit, tax
from tests.unit.invoicing.test_taxes_returned import BOOK, RATES, by_rate, correct, member, members, october, terms

AUGUST = SEPTEMBER.plus(-1)
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
    return {str(item.credit_grant_id): -item.amount for item in invoice.items if item.kind == "credit"}


def returned(charged: Invoice, now: InvoiceInputs, grants: list[CreditGrant]) -> list[Adjustment]:
    """Return the adjustments of a correction to `now`: charges, taxed as before, and returns to deposits."""
    stored = [replace(item, match={}) for item in charged.items]
    back = credit_differences(stored, recalculate(now, stored), SEPTEMBER, CreditsUsed(grants))
    of_charges, _ = correct(charged, {}, now)
    return [
        *of_charges,
        *(
            Adjustment(
                difference.charge.credit_grant_id, SEPTEMBER, difference.charge.product, "back", difference.amount,
                "USD", is_after_tax=True,
            )
            for difference in back
            if difference.charge.credit_grant_id
        ),
    ]  # fmt: skip


@pytest.mark.parametrize("taxes", RATES.values(), ids=RATES)
@settings(max_examples=60)
@given(whole=members, agreed=terms, deposits=DEPOSITS)
def test_amounts_that_deposits_paid_return_to_them_with_their_tax_and_not_in_money(
    taxes: list[TaxRate], whole: Member, agreed: dict[str, Any], deposits: list[CreditGrant]
) -> None:
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=taxes, credits=deposits, **agreed)
    charged = assemble_invoice(inputs)
    nothing = replace(inputs, members=[Member("acme", BOOK)], discounts=(), commitments=())
    adjustments = returned(charged, nothing, deposits)
    in_october = october(adjustments, taxes)
    back: dict[str, Decimal] = {}
    for adjustment in adjustments:
        if adjustment.is_after_tax:
            back[str(adjustment.id)] = exact_sum([back.get(str(adjustment.id), Decimal(0)), adjustment.amount])
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
    assert {invoice_tax.name: (invoice_tax.taxable_cents, invoice_tax.tax_cents) for invoice_tax in charged.taxes} == {
        "VAT": (5000, 1000), "Low": (10000, 700), "None": (2900, 0),
    }  # fmt: skip


def test_a_deposit_for_requests_pays_only_requests_and_their_reduced_tax() -> None:
    """107.00 of 196.00."""
    whole = member(Decimal(1000), Decimal(2600), 1)
    grant = credit("500", "deposit", pays="gross", scope=Scope(products=("Requests",)))
    charged = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [whole], taxes=RATES["reduced"], credits=[grant])
    )
    assert ([*drawn(charged).values()], charged.total_cents) == ([Decimal(107)], 8900)


def month_of(
    requests: str, by: Sequence[CreditGrant], taxes: Sequence[TaxRate] = (), plans: Sequence[Subscription] = ()
) -> InvoiceInputs:
    """Return acme's September: requests at 0.10, and plans."""
    used = [UsageRollup(id_of(requests), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(requests))]
    prices = PriceBook([REQUESTS, price("gone", "30"), price("kept", "50")])
    return InvoiceInputs(
        "acme", "USD", SEPTEMBER, [Member("acme", prices, used, plans)], credits=by, taxes=taxes,
        earlier_taxes={AUGUST: taxes},
    )  # fmt: skip


def returned_by_credit(charged: InvoiceInputs, now: InvoiceInputs) -> dict[str, Decimal]:
    """Return by credit the amount returned to it (above zero) or drawn from it in addition (below zero)."""
    stored = list(assemble_invoice(charged).items)
    names = {grant.id: grant.description for grant in charged.credits}
    found: dict[str, Decimal] = {}
    for difference in credit_differences(stored, recalculate(now, stored), SEPTEMBER, CreditsUsed(charged.credits)):
        assert difference.charge.credit_grant_id
        name = names[difference.charge.credit_grant_id]
        found[name] = exact_sum([found.get(name, Decimal(0)), difference.amount])
    return found


VAT, IN_PRICE = tax("VAT", "10"), tax("VAT", "10", is_inclusive=True)


@pytest.mark.parametrize(
    ("granted", "rate", "requests", "back"),
    [
        # The deposit paid 60.00 of 110.00. It pays all of 44.00: 16.00 return to it, 50.00 in money.
        ({"deposit": "60"}, VAT, ("1000", "400"), {"deposit": "16"}),
        ({"deposit": "60"}, VAT, ("1000", "600"), {}),  # 66.00 are owed: it still pays 60.00
        ({"deposit": "60"}, VAT, ("1000", "0"), {"deposit": "60"}),
        ({"deposit": "60"}, IN_PRICE, ("1000", "400"), {"deposit": "20"}),  # 40.00 with the tax in it
        # A promotion of 20.00 pays first and stays: 20.00 + 2.00 of tax are the deposit's, of 60.00.
        ({"promotion": "20", "deposit": "60"}, VAT, ("1000", "400"), {"deposit": "38"}),
        # Nothing but the promotion is needed: 15.00 of its 20.00.
        ({"promotion": "20", "deposit": "60"}, VAT, ("1000", "150"), {"promotion": "5", "deposit": "60"}),
        # 10.003 were 10.00, 5.006 are 5.01: whole cents are returned, as in money.
        ({"deposit": "60"}, None, ("100.03", "50.06"), {"deposit": "4.99"}),
        # The second is drawn first: it paid 7.00 of 16.50, the first 9.50. Now 5.50 are owed: the second pays all.
        ({"first": "11", "second": "7"}, VAT, ("150", "50"), {"first": "9.5", "second": "1.5"}),
    ],
)
def test_amounts_that_deposits_and_promotions_overpaid_return_to_each(
    granted: dict[str, str], rate: TaxRate | None, requests: tuple[str, str], back: dict[str, str]
) -> None:
    """The month charged the first number of requests at 0.10, and is corrected to the second."""
    by = [
        credit(amount, name, pays="net" if name == "promotion" else "gross", priority=-1 if name == "second" else 0)
        for name, amount in granted.items()
    ]
    charged, now = (month_of(requested, by, [rate] if rate else []) for requested in requests)
    assert returned_by_credit(charged, now) == {name: Decimal(amount) for name, amount in back.items()}


LEAVER = Subscription(
    id_of("gone"), "gone", at("2026-01-01"), None, billed="in_advance",
    charged=(fee_charged("30", credits=(CreditPaid(id_of("promotion"), "promotion", Decimal(20)),)),),
)  # fmt: skip


@pytest.mark.parametrize(
    ("ended", "before", "back"),
    [
        # 15.00 of 30.00 are kept, of which the promotion paid 20.00: it gets 5.00, and 10.00 are money.
        ("2026-09-16", "0", "5"),
        ("2026-09-16", "4.5", "0.5"),
        ("2026-09-16", "2", "3"),  # 2.00 were returned to it before
        ("2026-09-16", "5", None),
        ("2026-09-16", "7", None),  # more than that: the returned amount is not drawn again
        ("2026-09-01", "0", "20"),
        ("2026-09-25", "0", None),  # 24.00 are kept
        (None, "0", None),
    ],
)
def test_a_late_cancellation_returns_a_fee_in_advance_to_the_credit_that_paid_it(
    ended: str | None, before: str, back: str | None
) -> None:
    """August charged 30.00 for September. Final September charged nothing for the plan when the end arrives."""
    promotion = credit("0", "promotion")
    charged = month_of("100", [], plans=[LEAVER])
    now = replace(
        charged, members=month_of("100", [], plans=[replace(LEAVER, ended_at=at(ended) if ended else None)]).members
    )
    stored = list(assemble_invoice(charged).items)
    invoice = recalculate(now, stored)
    fee = [item for item in invoice.items if item.kind == "subscription" and item.amount < 0]
    thing = charge_key(fee[0]) if fee else ""
    used = CreditsUsed([promotion], fees_returned={(promotion.id, thing): Decimal(before)})
    found = credit_differences(stored, invoice, SEPTEMBER, used)
    assert [difference.amount for difference in found] == ([Decimal(back)] if back else [])
    for difference in found:
        assert difference.charge.key == credit_key("acme", promotion.id, thing, fee=True)
        assert thing_of_credit_key(difference.charge.key) == (thing, True)
        assert (difference.charge.kind, difference.charge.organization_id, difference.charge.product) == (
            "credit",
            "acme",
            fee[0].product,
        )
        assert difference.charge.description == "promotion, which had paid gone as used"
        assert difference.detail == {"billed_quantity": "1", "quantity": "1", "thing": thing, "pays": "net"}
        assert difference.charge.credit_grant_id == promotion.id
        (was,), (is_,) = difference.billed_items, difference.owed_items
        assert was.detail == {
            "applied_to": [{"product": fee[0].product, "description": "gone as used", "amount": back}]
        }
        assert (was.kind, was.amount, is_.kind, is_.amount) == ("credit", -difference.amount, "credit", Decimal(0))
