"""A corrected invoice records which items each credit still pays, and the adjustments for the change.

The invoice is acme's for September 2026. Amounts are paid in the order of the invoice: by product, then by description.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from fly_billing.corrections.rules.adjustment_record import NAMELESS
from fly_billing.corrections.rules.differences import Charge, Difference, adjustment_text, recalculate
from fly_billing.corrections.rules.returned_credits import CreditsUsed, credit_differences, credit_key, thing_key
from fly_billing.invoicing.rules.assembly import assemble_invoice
from fly_billing.invoicing.rules.inputs import Adjustment, CreditGrant, InvoiceInputs
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.after_tax import settle_after_tax
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import OCTOBER, SEPTEMBER, id_of
from tests.unit.corrections.test_credits_beside_other_fees import AUGUST, BY_KIND, VAT, as_stored, month_of
from tests.unit.corrections.test_returned_credits import corrected, invoice, usage
from tests.unit.invoicing.steps.invoices_in_progress import credit, invoice_of, item, tax
from tests.unit.invoicing.test_taxes_returned import RATES, member, taking

MACHINES = Scope(products=("Machines",))


def subscription(name: str, amount: str, product: str = "Machines", *, is_ahead: bool = False) -> InvoiceItem:
    month = OCTOBER if is_ahead else SEPTEMBER
    return item(
        name, amount, "subscription", product=product, subscription_id=id_of(name),
        interval_start=month.start, interval_end=month.end,
    )  # fmt: skip


def moved(found: Sequence[Difference]) -> dict[str, Decimal]:
    """Return the amounts returned to credits (above zero) or drawn in addition (below zero), by credit and charge."""
    return {
        f"{difference.charge.description.split(',')[0]} {difference.detail['thing'].rsplit('|', 1)[1]}":
        difference.amount
        for difference in found
    }  # fmt: skip


def amounts(texts: Mapping[str, str]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in texts.items()}


def credit_item(description: str, amount: str, named: str, grant: UUID, product: str = "Machines") -> InvoiceItem:
    """Return the amount that the credit paid of one charge, as an adjustment records it."""
    parts = [{"product": product, "description": named, "amount": amount}]
    return InvoiceItem(
        NAMELESS, "credit", "acme", product, description, Decimal(1), "item", -Decimal(amount),
        credit_grant_id=grant, detail={"applied_to": parts},
    )  # fmt: skip


# --- The adjustment -------------------------------------------------------------------------------------------------


def test_an_adjustment_records_the_amounts_a_credit_paid_before_and_now() -> None:
    """The credit paid 100, of an invoice that should have been 10."""
    by = [credit("100", "Welcome")]
    text, key = "Welcome, which had paid web", f"acme|credit|{by[0].id}|acme|usage|web"
    assert corrected(invoice(usage("web", "100"), by=by), usage("web", "10"), by=by) == [
        Difference(
            Charge(
                key, "credit", "acme", "Machines", text, Decimal(-10), Decimal(1), "item", credit_grant_id=by[0].id
            ),
            billed=Decimal(-100), adjusted=Decimal(0), owed=Decimal(-10),
            causes=("follows from other items",),
            detail={"billed_quantity": "1", "quantity": "1", "thing": "acme|usage|web", "pays": "net"},
            billed_items=(credit_item(text, "100", "web", by[0].id),),
            owed_items=(credit_item(text, "10", "web", by[0].id),),
        )
    ]  # fmt: skip


def test_an_adjustment_names_the_item_that_the_credit_pays_instead() -> None:
    by = [credit("60", "Welcome")]
    billed = invoice(usage("web", "60"), usage("worker", "40"), by=by)
    found = corrected(billed, usage("web", "0"), usage("worker", "40"), by=by)
    assert [adjustment_text(difference, SEPTEMBER) for difference in found] == [
        "Credit for 2026-09: Welcome, which had paid web",
        "Credit for 2026-09: Welcome, which pays worker",
    ]


def test_a_charge_that_is_on_neither_invoice_is_named_by_its_key() -> None:
    """The credit paid 5 of late usage in October; the usage was then withdrawn."""
    by = [credit("100", "Welcome")]
    billed = invoice(usage("web", "10"), by=by)
    (found,) = corrected(billed, usage("web", "10"), by=by, elsewhere={(by[0].id, "acme|usage|gone"): Decimal(5)})
    text = "Welcome, which had paid acme|usage|gone"
    assert (found.charge.product, found.charge.description, found.amount) == ("Credits", text, Decimal(5))
    assert found.billed_items == (credit_item(text, "5", "acme|usage|gone", by[0].id, "Credits"),)


def test_the_key_of_a_credit_has_the_payer_the_credit_and_the_charge() -> None:
    grant = id_of("c")
    assert credit_key("acme", grant, "labs|usage|web") == f"acme|credit|{grant}|labs|usage|web"
    assert credit_key("acme", grant, "labs|subscription|s", fee=True) == f"acme|credit|{grant}|fee|labs|subscription|s"


def test_every_one_off_item_has_its_own_key() -> None:
    setup = item("setup", "5", "one_off", one_off_item_id=id_of("setup"))
    assert thing_key(setup) == f"acme|one_off|{id_of('setup')}"
    assert thing_key(usage("web", "5")) == "acme|usage|web"


def test_a_share_that_does_not_divide_makes_no_difference() -> None:
    by = [credit("100")]
    billed = invoice(usage("web", "1"), by=by)
    assert corrected(billed, usage("web", "0.999999999999999999"), by=by) == []
    assert moved(corrected(billed, usage("web", "0.999999999999999998"), by=by)) == amounts({"prepaid web": "2e-18"})


# --- The items that a credit still pays --------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [Decimal(1), Decimal("0.01")])
def test_a_credit_keeps_its_items_and_pays_another_item_of_its_scope_with_the_rest(factor: Decimal) -> None:
    """A credit of 60 for Machines paid web with 50 and worker with 10. Web is 30 now, and 30 of assist arrived late.

    It still pays 30 of web and 10 of worker, and 20 of assist instead; never the archive.
    """
    by = [credit(60 * factor, scope=MACHINES)]
    archive, worker = usage("archive", 40 * factor, "Archive"), usage("worker", 50 * factor)
    billed = invoice(archive, usage("web", 50 * factor), worker, by=by)
    now = [archive, usage("assist", 30 * factor), usage("web", 30 * factor), worker]
    assert moved(corrected(billed, *now, by=by)) == {"prepaid assist": -20 * factor, "prepaid web": 20 * factor}


def test_a_credit_that_pays_less_keeps_the_first_items_of_the_invoice() -> None:
    """50 paid web with 20 and worker with 30. Web is 60 now, and a plan returns 80: of 30 it pays web and worker."""
    by = [credit("50")]
    billed = invoice(usage("web", "20"), usage("worker", "50"), by=by)
    now = [usage("web", "60"), usage("worker", "50"), subscription("plan", "-80")]
    assert moved(corrected(billed, *now, by=by)) == amounts({"prepaid worker": "20"})


def test_a_credit_pays_another_item_so_that_a_narrower_credit_keeps_its_item() -> None:
    """Web 20: 10 by any, 10 by a credit for Machines. Web is 10 now and the archive 10: any pays the archive."""
    by = [credit("10", "any"), credit("10", "bound", scope=MACHINES, priority=1)]
    billed = invoice(usage("web", "20"), by=by)
    found = corrected(billed, usage("web", "10"), usage("archive", "10", "Archive"), by=by)
    assert moved(found) == amounts({"any archive": "-10", "any web": "10"})


def test_a_promotion_pays_items_with_different_taxes_in_proportion_again() -> None:
    """60 paid 30 of web and 30 of requests. Web is 70: of 120 it pays 35 of web and 25 of requests."""
    by, taxes = [credit("60")], RATES["reduced"]
    requests = usage("requests", "50", "Requests")
    billed = invoice_of(usage("web", "50"), requests, credits=by, taxes=taxes)
    billed.take_off(paying("prepaid", web="30", requests="30"), of(web="30", requests="30"))
    now = invoice_of(usage("web", "70"), requests, taxes=taxes)
    found = credit_differences(billed.items, now, SEPTEMBER, CreditsUsed(by))
    assert moved(found) == amounts({"prepaid requests": "5", "prepaid web": "-5"})


def test_a_deposit_keeps_its_items_for_any_taxes_on_them() -> None:
    """Requests 100 + 7 %, then egress 50 + 20 %, by a deposit of 110. More egress moves nothing of it."""
    inputs = InvoiceInputs(
        "acme", "USD", SEPTEMBER, [member(Decimal(1000), Decimal(2600), 0)], taxes=RATES["reduced"],
        credits=[credit("110", "deposit", pays="gross")],
    )  # fmt: skip
    stored = as_stored(assemble_invoice(inputs).items)
    for requests, egress in ((1000, 3000), (1500, 2600), (1500, 3000)):
        now = recalculate(replace(inputs, members=[member(Decimal(requests), Decimal(egress), 0)]), stored)
        assert credit_differences(stored, now, SEPTEMBER, CreditsUsed(inputs.credits)) == []


def test_a_deposit_is_returned_whole_cents_and_its_first_item_bears_the_fraction() -> None:
    """1.00 + 10.003 were 11.00. 5.006 are 5.01: all of web is returned, and of worker 10.00 - 5.01."""
    by = [credit("100", "deposit", pays="gross")]
    billed = invoice_of(usage("web", "1"), usage("worker", "10.003"), credits=by)
    settle_after_tax(billed)
    now = invoice_of(usage("web", "0"), usage("worker", "5.006"))
    found = credit_differences(billed.items, now, SEPTEMBER, CreditsUsed(by))
    assert moved(found) == amounts({"deposit web": "1", "deposit worker": "4.99"})


# --- Other amounts on the invoice ------------------------------------------------------------------------------------


def paying(name: str, **parts: str) -> InvoiceItem:
    """Return the amount that the named credit paid of the named items."""
    return replace(taking(name, "credit", **parts), credit_grant_id=id_of(name), commitment_id=None)


def of(**parts: str) -> dict[UUID, Decimal]:
    return {id_of(name): Decimal(amount) for name, amount in parts.items()}


def returned_to_credits(charged: InvoiceInputs, now: InvoiceInputs, *others: CreditGrant) -> Decimal:
    """Return the total that the credits of the invoice are returned."""
    stored = as_stored(assemble_invoice(charged).items)
    found = credit_differences(stored, recalculate(now, stored), SEPTEMBER, CreditsUsed([*charged.credits, *others]))
    return sum((difference.amount for difference in found), Decimal(0))


@pytest.mark.parametrize(
    ("rates", "scale", "expected"),
    [
        ([], "1", "1"),  # the deposit paid 10 - 30 + 50 = 30, 20 of it for the fee in advance; now 29
        ([VAT], "1", "1.1"),  # 33, 22 of it for the fee in advance with its tax; now 31.90
        ([], "0.01", "0.01"),
    ],
)
def test_a_credits_payment_of_a_fee_in_advance_and_its_tax_stays_with_that_fee(
    rates: list[Any], scale: str, expected: str
) -> None:
    """Usage 10, 30 returned, 50 in advance. Another fee of 1 should have been returned: 1 with its tax is returned."""
    usage, gone, more, kept = (str(Decimal(scale) * amount) for amount in (10, 30, 1, 50))
    by = [credit("500", "deposit", pays="gross")]
    charged = month_of(usage, by, gone=[gone], kept=[kept], rates=rates)
    now = month_of(usage, by, gone=[gone, more], kept=[kept], rates=rates)
    assert returned_to_credits(charged, now) == Decimal(expected)


def test_a_returned_fee_is_taxed_at_its_original_rate_when_a_deposit_is_returned() -> None:
    """11.00 of usage, less 30 at 5 %: -31.50, and 55.00 in advance: 34.50. At 8 of usage 32.30: 2.20 are returned."""
    by = [credit("500", "deposit", pays="gross")]
    charged, now = (
        replace(
            month_of(usage, by, gone=["30"], kept=["50"], rates=[VAT]), earlier_taxes={AUGUST: [tax("VAT then", "5")]}
        )
        for usage in ("10", "8")
    )
    assert assemble_invoice(charged).total_cents == 0
    assert returned_to_credits(charged, now) == Decimal("2.2")


def test_fees_and_usage_keep_their_own_tax_rates_when_a_deposit_is_returned() -> None:
    """10 at 5 % and 50 in advance at 10 %: 65.50. At 8 of usage 63.40: 2.10 are returned."""
    by = [credit("500", "deposit", pays="gross")]
    charged, now = (month_of(usage, by, kept=["50"], rates=BY_KIND) for usage in ("10", "8"))
    assert returned_to_credits(charged, now) == Decimal("2.1")


@pytest.mark.parametrize("scale", ["1", "0.1"])
def test_an_amount_drawn_from_a_deposit_for_august_lowers_its_payment_of_september(scale: str) -> None:
    """Usage 10, less 4 that an old deposit paid instead for August: 6. At 7 of usage 3: 3 are returned."""
    taken = Adjustment(
        id_of("less"), AUGUST, "Requests", "back to old deposit", Decimal(scale) * -4, "USD", is_after_tax=True
    )
    by = [credit("500", "deposit", pays="gross")]
    charged, now = (month_of(Decimal(scale) * usage, by, adjustments=[taken]) for usage in (10, 7))
    old = credit("0", "old deposit", pays="gross")
    assert returned_to_credits(charged, now, old) == Decimal(scale) * 3


# --- A month below zero ---------------------------------------------------------------------------------------------


def below_zero(*items: InvoiceItem, taken: Sequence[InvoiceItem] = ()) -> InvoiceInProgress:
    invoice = invoice_of(*items)
    for item_taking in taken:
        parts = {UUID(part["item"]): Decimal(part["amount"]) for part in item_taking.detail["applied_to"]}
        invoice.take_off(item_taking, parts)
    return invoice


@pytest.mark.parametrize("kind", ["discount", "maximum"])
@pytest.mark.parametrize(("corrected_to", "back"), [("15", "0"), ("14", "1"), ("12", "3"), ("10", "4")])
def test_a_raise_of_a_month_below_zero_after_a_discount_or_maximum_stays_paid(
    kind: str, corrected_to: str, back: str
) -> None:
    """Usage 10 less 4 and less 10 of goodwill: -4, returned in money. Usage of 15 less 5 charges 4 more.

    The credit paid these 4 in October. It keeps the part that is still charged: 4 at 15, 3 at 14, 1 at 12.
    """
    sorry, by = item("sorry", "-10", "one_off", one_off_item_id=id_of("sorry")), [credit("100")]
    billed = below_zero(usage("web", "10"), sorry, taken=[taking("less", kind, web="4")])
    now = below_zero(usage("web", corrected_to), sorry, taken=[taking("less", kind, web="5")])
    used = CreditsUsed(by, {(by[0].id, "acme|usage|web"): Decimal(4)})
    found = credit_differences(billed.items, now, SEPTEMBER, used)
    assert moved(found) == ({"prepaid web": Decimal(back)} if Decimal(back) else {})


@pytest.mark.parametrize("scale", ["1", "0.01"])
@pytest.mark.parametrize(("corrected_to", "back"), [("14", "0"), ("12", "2"), ("10", "4")])
def test_a_raise_of_a_month_below_zero_that_returned_credit_stays_paid(
    corrected_to: str, back: str, scale: str
) -> None:
    """Usage 10 less 30 returned, 12 of it to an old credit: -8. At 14 a credit paid 4 more in October."""
    size, by = Decimal(scale), [credit("100")]
    fee = subscription("plan", str(-30 * size))
    refund = paying("old", plan=str(-12 * size))
    billed = below_zero(usage("web", 10 * size), fee, taken=[refund])
    now = below_zero(usage("web", Decimal(corrected_to) * size), fee, taken=[refund])
    used = CreditsUsed([*by, credit("0", "old")], {(by[0].id, "acme|usage|web"): 4 * size})
    found = credit_differences(billed.items, now, SEPTEMBER, used)
    assert moved(found) == ({"prepaid web": Decimal(back) * size} if Decimal(back) else {})


@pytest.mark.parametrize("pays", ["net", "gross"])
@pytest.mark.parametrize("scale", ["1", "0.01"])
@pytest.mark.parametrize(("corrected_to", "back"), [("15", "0"), ("13", "2"), ("10", "5")])
def test_a_raise_stays_paid_when_an_earlier_credit_left_nothing_to_pay_in_the_scope(
    pays: str, corrected_to: str, back: str, scale: str
) -> None:
    """Web 10, by a credit for usage; a plan of Machines returned 8; 20 in advance for volumes. Late usage adds 5.

    A second credit, for Machines, paid these 5 in October: they were charged all the same. At 15 it keeps them.
    """
    size = Decimal(scale)
    by = [
        credit(10 * size, "first", scope=Scope(kinds=("usage",))),
        credit("100", "second", scope=MACHINES, priority=1, pays=pays),
    ]
    rest = subscription("plan", str(-8 * size)), subscription("disk", str(20 * size), "Volumes", is_ahead=True)
    billed = invoice(usage("web", 10 * size), *rest, by=by[:1])
    found = corrected(
        billed, usage("web", Decimal(corrected_to) * size), *rest, by=by,
        elsewhere={(by[1].id, "acme|usage|web"): 5 * size},
    )  # fmt: skip
    assert moved(found) == ({"second web": Decimal(back) * size} if Decimal(back) else {})
