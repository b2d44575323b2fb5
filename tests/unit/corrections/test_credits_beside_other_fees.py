"""A correction of usage returns credits on invoices that also charge fees in advance or return fees.

The rule: a correction returns credits as if the invoice had been calculated with the right usage. September 2026.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fly_billing.corrections.rules.differences import recalculate
from fly_billing.corrections.rules.returned_credits import CreditsUsed, credit_differences
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import (
    Adjustment,
    Commitment,
    CreditGrant,
    CreditPaid,
    InvoiceInputs,
    Member,
    Subscription,
    UsageRollup,
)
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.money import exact_sum
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.pricing.rules.scope import Scope
from fly_billing.pricing.rules.tax_rates import TaxRate
from tests.support.builders import REQUESTS, SEPTEMBER, at, fee_charged, id_of, price
from tests.unit.invoicing.steps.invoices_in_progress import credit, minimum, tax

AUGUST = SEPTEMBER.plus(-1)
USAGE, FEES, REQUESTED = Scope(kinds=("usage",)), Scope(kinds=("subscription",)), Scope(products=("Requests",))
VAT, IN_PRICE = tax("VAT", "10"), tax("VAT", "10", is_inclusive=True)
LOW = TaxRate(id_of("low"), "Low", Decimal(5), is_inclusive=False, tax="VAT", scope=USAGE)
BY_KIND = [TaxRate(id_of("VAT"), "VAT", Decimal(10), is_inclusive=False, tax="VAT"), LOW]  # usage at 5 %, fees at 10 %


# Credits that were used up in August.
OLD = [credit("0", "old promotion"), credit("0", "old deposit", pays="gross")]


def month_of(
    requests: Decimal | str,
    by: Sequence[CreditGrant] = (),
    *,
    gone: Sequence[str] = (),
    kept: Sequence[str] = (),
    gone_credits: Sequence[CreditPaid] = (),
    rates: Sequence[TaxRate] = (),
    adjustments: Sequence[Adjustment] = (),
    commitments: Sequence[Commitment] = (),
) -> InvoiceInputs:
    """Return acme's September: requests for this amount of money, returned fees `gone`, and fees `kept` for October."""
    used = [UsageRollup(id_of("u"), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, 10 * Decimal(requests))]
    prices = [price(f"gone{n}", fee) for n, fee in enumerate(gone)]
    prices += [price(f"kept{n}", fee) for n, fee in enumerate(kept)]
    plans = [
        Subscription(
            id_of(f"gone{n}"), f"gone{n}", at("2026-01-01"), SEPTEMBER.start, billed="in_advance",
            charged=(fee_charged(fee, credits=tuple(gone_credits) if n == 0 else ()),),
        )
        for n, fee in enumerate(gone)
    ] + [
        Subscription(
            id_of(f"kept{n}"), f"kept{n}", at("2026-01-01"), None, billed="in_advance", charged=(fee_charged(fee),)
        )
        for n, fee in enumerate(kept)
    ]  # fmt: skip
    acme = Member("acme", PriceBook([REQUESTS, *prices]), used, plans, adjustments=adjustments)
    return InvoiceInputs(
        "acme", "USD", SEPTEMBER, [acme], commitments=commitments, credits=by, taxes=rates,
        earlier_taxes={AUGUST: rates},
    )  # fmt: skip


def as_stored(items: Iterable[InvoiceItem]) -> list[InvoiceItem]:
    """Return items as the database has them: an adjustment that returned credit names the credit."""
    names = {"back to old deposit": id_of("old deposit")}
    return [replace(item, credit_grant_id=names.get(item.description, item.credit_grant_id)) for item in items]


def returned_by_credit(charged: InvoiceInputs, now: InvoiceInputs) -> dict[str, Decimal]:
    """Return by credit the amount returned to it (above zero) or drawn from it in addition (below zero)."""
    stored = as_stored(assemble_invoice(charged).items)
    used = [*charged.credits, *OLD]
    names = {grant.id: grant.description for grant in used}
    amounts: dict[str, Decimal] = {}
    for difference in credit_differences(stored, recalculate(now, stored), SEPTEMBER, CreditsUsed(used)):
        assert difference.charge.credit_grant_id
        name = names[difference.charge.credit_grant_id]
        amounts[name] = exact_sum([amounts.get(name, Decimal(0)), difference.amount])
    return {name: amount for name, amount in amounts.items() if amount}


def drawn(invoice: Invoice) -> dict[str, Decimal]:
    """Return by credit the amount that it paid of an invoice."""
    return {item.description: -item.amount for item in invoice.items if item.kind == "credit" and item.amount < 0}


def amounts(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in texts.items()}


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ("8", {"deposit": "2"}),  # 8 - 30 + 50 = 28: the promotion pays 5 of the usage, the deposit 3
        ("5", {"deposit": "5"}),
        ("3", {"deposit": "5", "promotion": "2"}),  # there are only 3 of usage that the promotion can pay
        ("0", {"deposit": "5", "promotion": "5"}),
        ("10", {}),
        ("12", {}),  # the next invoice charges the additional amount
    ],
)
def test_a_correction_beside_a_returned_fee_and_one_in_advance_returns_the_last_drawn_credit_first(
    usage: str, expected: dict[str, str]
) -> None:
    """Usage 10, 30 returned, 50 in advance: 30. A promotion paid 5 of the usage; a deposit 5 of it, 20 of the fee."""
    by = [credit("5", "promotion"), credit("500", "deposit", pays="gross")]
    charged, now = (month_of(requests, by, gone=["30"], kept=["50"]) for requests in ("10", usage))
    assert drawn(assemble_invoice(charged)) == {"promotion": 5, "deposit": 25}
    assert returned_by_credit(charged, now) == amounts(expected)


@pytest.mark.parametrize("pays", ["net", "gross"])
@pytest.mark.parametrize(
    ("usage", "expected"),
    [("8", {"second": "2"}), ("5", {"second": "5"}), ("3", {"second": "5", "first": "2"}), ("11", {})],
)
def test_two_credits_of_one_kind_are_returned_in_reverse_order(pays: str, usage: str, expected: dict[str, str]) -> None:
    """Usage 10, two fees of 20 and 10 returned, two of 30 and 20 in advance: 30. 5 by the first, 25 by the second."""
    by = [credit("5", "first", pays=pays), credit("500", "second", pays=pays, priority=1)]
    charged, now = (month_of(requests, by, gone=["20", "10"], kept=["30", "20"]) for requests in ("10", usage))
    assert drawn(assemble_invoice(charged)) == {"first": 5, "second": 25}
    assert returned_by_credit(charged, now) == amounts(expected)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ("90", {}),  # 110 are owed, and 60 were paid in money: 10 of that are returned
        ("60", {}),
        ("30", {"usage only": "30"}),  # the fees stay paid in money
        ("0", {"usage only": "60"}),
    ],
)
def test_a_credit_for_usage_pays_the_same_usage_for_any_fees_in_advance(usage: str, expected: dict[str, str]) -> None:
    """Usage 100 and 20 in advance: 120. The credit paid 60 of the usage."""
    by = [credit("60", "usage only", scope=USAGE)]
    charged, now = (month_of(requests, by, kept=["20"]) for requests in ("100", usage))
    assert returned_by_credit(charged, now) == amounts(expected)


def test_a_credit_for_fees_does_not_return_a_credit_for_usage() -> None:
    """Usage 10 and 50 in advance, less 30 returned: 30. The credit for fees paid 20, the other credit 10."""
    by = [credit("500", "fees", scope=FEES), credit("500", "usage", scope=USAGE, priority=1)]
    charged, now = (month_of(requests, by, gone=["30"], kept=["50"]) for requests in ("10", "7"))
    assert drawn(assemble_invoice(charged)) == {"fees": 20, "usage": 10}
    assert returned_by_credit(charged, now) == {"usage": 3}


def test_a_deposit_is_returned_with_the_tax_on_usage_beside_a_fee_in_advance() -> None:
    """The deposit paid (10 - 30 + 50 - 5) x 1.10 = 27.50. At 8 it pays 25.30: 2.20 return to it."""
    by = [credit("5", "promotion"), credit("500", "deposit", pays="gross")]
    charged, now = (month_of(requests, by, gone=["30"], kept=["50"], rates=[VAT]) for requests in ("10", "8"))
    assert drawn(assemble_invoice(charged)) == {"promotion": 5, "deposit": Decimal("27.5")}
    assert returned_by_credit(charged, now) == {"deposit": Decimal("2.2")}


def test_a_deposit_is_returned_at_the_tax_rate_of_usage_beside_a_fee_at_another_rate() -> None:
    """The deposit paid all of 10 x 1.05 + (50 - 30) x 1.10 = 32.50. At 8: 30.40, so 2.10 return to it."""
    by = [credit("500", "deposit", pays="gross")]
    charged, now = (month_of(requests, by, gone=["30"], kept=["50"], rates=BY_KIND) for requests in ("10", "8"))
    assert drawn(assemble_invoice(charged)) == {"deposit": Decimal("32.5")}
    assert returned_by_credit(charged, now) == {"deposit": Decimal("2.1")}


def test_a_minimum_that_counts_a_fee_in_advance_is_taxed_like_the_fee_when_a_deposit_is_returned() -> None:
    """Usage 10 at 5 %, 50 in advance at 10 %, at least 70: 10 more, 1/6 of it at 5 %: 70 + 0.58 + 5.83 = 76.41.

    At 4 of usage 16 more, 4/54 of it at 5 %: 70 + 0.26 + 6.48 = 76.74. The deposit paid 11.6666... of usage and true-up
    with 0.58 of tax, and 8.3333... with 0.83; all of it is still needed.
    """
    by = [credit("500", "deposit", pays="gross")]
    charged, now = (
        month_of(requests, by, kept=["50"], rates=BY_KIND, commitments=[minimum("70")]) for requests in ("10", "4")
    )
    assert drawn(assemble_invoice(charged)) == {"deposit": Decimal("76.41")}
    assert returned_by_credit(charged, now) == {}


def test_a_refund_for_an_earlier_month_lowers_the_amount_that_credits_could_pay() -> None:
    """Usage 10 less 4 for August: the first paid 2 and the second 4 of the usage. At 7 it is 3: 3 return to it."""
    by = [credit("2", "first"), credit("500", "second", priority=1)]
    less = Adjustment(id_of("less"), AUGUST, "Requests", "August", Decimal(-4), "USD")
    charged, now = (month_of(requests, by, adjustments=[less]) for requests in ("10", "7"))
    assert drawn(assemble_invoice(charged)) == {"first": 2, "second": 4}
    assert returned_by_credit(charged, now) == {"second": 3}


def test_a_promotion_does_not_pay_an_amount_returned_to_a_deposit_for_august() -> None:
    """Usage 10 less 8 returned: 2, by the promotion; 5 for August, which went to a deposit, in money. 7 in total.

    At 9 of usage the promotion would have paid 1: 1 returns to it.
    """
    of_august = Adjustment(
        id_of("more"), AUGUST, "Requests", "back to old deposit", Decimal(5), "USD", is_after_tax=True
    )
    charged, now = (
        month_of(requests, [credit("100", "promotion")], gone=["8"], adjustments=[of_august])
        for requests in ("10", "9")
    )
    assert drawn(assemble_invoice(charged)) == {"promotion": 2}
    assert returned_by_credit(charged, now) == {"promotion": 1}


def test_an_adjustment_is_taxed_at_its_months_rates_when_a_deposit_for_usage_is_returned() -> None:
    """Usage 10 with 1.00 of tax, less 4 for August with 0.20, when VAT was 5 %: 6.80, by a deposit for usage.

    At 7 of usage 7.70 - 4.20 = 3.50 are owed: 3.30 return to it.
    """
    then = [tax("VAT then", "5")]
    less = Adjustment(id_of("less"), AUGUST, "Requests", "August", Decimal(-4), "USD", taxes=tuple(then))
    by = [credit("500", "deposit", pays="gross", scope=USAGE)]
    charged, now = (
        replace(month_of(requests, by, rates=[VAT], adjustments=[less]), earlier_taxes={AUGUST: then})
        for requests in ("10", "7")
    )
    assert drawn(assemble_invoice(charged)) == {"deposit": Decimal("6.8")}
    assert returned_by_credit(charged, now) == {"deposit": Decimal("3.3")}


def test_a_fee_returned_to_a_deposit_counts_as_another_amount_to_pay() -> None:
    """Usage 10, 30 returned, 12 of it to the deposit, 15 in advance: 10 - 30 + 12 + 15 = 7.

    The deposit is for usage, and paid 7 of it. At 6 of usage it pays 3: 4 return to it.
    """
    by = [credit("500", "deposit", pays="gross", scope=USAGE)]
    paid = [CreditPaid(id_of("deposit"), "deposit", Decimal(12), "gross")]
    charged, now = (month_of(requests, by, gone=["30"], kept=["15"], gone_credits=paid) for requests in ("10", "6"))
    assert drawn(assemble_invoice(charged)) == {"deposit": 7}
    assert returned_by_credit(charged, now) == {"deposit": 4}


@pytest.mark.parametrize(("right", "returned"), [("0.03", {}), ("0.02", {"deposit": Decimal("0.02")})])
def test_half_a_cent_that_the_invoice_rounded_up_into_a_payment_is_not_returned(
    right: str, returned: dict[str, Decimal]
) -> None:
    """Usage 0.03 and 0.03 of August, with VAT 10 %: 0.006 of tax, 0.01 on the invoice, half of it for each.

    The deposit is for usage and pays 0.035, in whole cents 0.04. Nothing changed, so nothing returns. At 0.02 of usage
    the tax is 0.01 again, 0.004 of it for the usage: the deposit pays 0.02 of 0.024, and 0.02 return to it.
    """
    august = Adjustment(id_of("August"), AUGUST, "Requests", "August", Decimal("0.03"), "USD", taxes=(VAT,))
    by = [credit("0.04", "deposit", pays="gross", scope=USAGE)]
    charged, now = (month_of(usage, by, rates=[VAT], adjustments=[august]) for usage in ("0.03", right))
    assert drawn(assemble_invoice(charged)) == {"deposit": Decimal("0.04")}
    assert returned_by_credit(charged, now) == returned


# --- Any combination of items ------------------------------------------------------------------------------

MONEY = st.decimals("0.01", 60, places=2)
ADJUSTED = st.lists(
    st.builds(
        lambda amount, is_after_tax: Adjustment(
            id_of(f"{amount}"), AUGUST, "Requests", "back to old deposit" if is_after_tax else "August", amount, "USD",
            is_after_tax=is_after_tax,
        ),
        st.decimals(-40, 40, places=2).filter(bool), st.booleans(),
    ),
    max_size=1,
)  # fmt: skip
# The amount that old credits paid of the first returned fee.
PAID_BEFORE = st.lists(
    st.builds(
        lambda amount, old: CreditPaid(old.id, old.description, amount, old.pays),
        st.decimals("0.01", 1, places=2), st.sampled_from(OLD),
    ),
    max_size=1,
)  # fmt: skip
FEE_LISTS = st.lists(st.integers(1, 60).map(str), max_size=2)
GRANTS = st.lists(
    st.tuples(
        st.decimals("0.01", 90, places=2), st.integers(0, 1),
        st.sampled_from([Scope(), Scope(), USAGE, REQUESTED, FEES]),
        st.sampled_from(["net", "gross"]),
    ),
    min_size=1, max_size=3,
).map(
    lambda found: [
        credit(amount, f"c{n}", priority=rank, scope=scope, pays=pays)
        for n, (amount, rank, scope, pays) in enumerate(found)
    ]
)  # fmt: skip
RATES: dict[str, list[TaxRate]] = {"no": [], "one": [VAT], "in the price": [IN_PRICE], "two": BY_KIND}


def paid_of_others(invoice: Invoice) -> dict[UUID, Decimal]:
    """Return by credit the amount that it paid of fees for October and of adjustments, with the tax on them."""
    ahead = {str(item.id) for item in invoice.items if is_ahead(item, SEPTEMBER) or item.kind == "adjustment"}
    paid: dict[UUID, Decimal] = {}
    for item in invoice.items:
        if item.kind == "credit" and item.amount < 0 and item.credit_grant_id:
            parts = [*item.detail["applied_to"], *item.detail.get("taxes_of", ())]
            paid[item.credit_grant_id] = exact_sum([Decimal(part["amount"]) for part in parts if part["item"] in ahead])
    return {grant: amount for grant, amount in paid.items() if amount}


def less(grants: Sequence[CreditGrant], invoice: Invoice) -> list[CreditGrant]:
    """Return the credits with the amounts that they paid of the invoice: a correction draws no more from any."""
    paid = drawn(invoice)
    return [replace(grant, available=paid.get(grant.description, Decimal(0))) for grant in grants]


@pytest.mark.parametrize("rates", RATES.values(), ids=RATES)
@given(was=MONEY, right=MONEY, gone=FEE_LISTS, kept=FEE_LISTS, by=GRANTS, adjusted=ADJUSTED, paid_before=PAID_BEFORE)
def test_credits_are_returned_the_difference_between_the_invoice_and_the_right_invoice(
    rates: list[TaxRate],
    was: Decimal,
    right: Decimal,
    gone: list[str],
    kept: list[str],
    by: list[CreditGrant],
    adjusted: list[Adjustment],
    paid_before: list[CreditPaid],
) -> None:
    """The right invoice lets the same credits pay fees for October and adjustments, which stay as they were."""
    fees: dict[str, Any] = {"gone": gone, "kept": kept, "gone_credits": paid_before}
    others = fees | {
        "rates": rates,
        "adjustments": [replace(adjustment, taxes=tuple(rates)) for adjustment in adjusted],
    }
    charged = month_of(was, by, **others)
    invoice = assemble_invoice(charged)
    now = month_of(right, less(by, invoice), **others)
    recalculated = assemble_invoice(now)
    assume(paid_of_others(invoice) == paid_of_others(recalculated))
    paid, owed = drawn(invoice), drawn(recalculated)
    expected = {name: amount - owed.get(name, Decimal(0)) for name, amount in paid.items()}
    assert returned_by_credit(charged, now) == {name: amount for name, amount in expected.items() if amount}
