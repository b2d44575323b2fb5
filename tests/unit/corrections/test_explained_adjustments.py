"""An explained adjustment shows the billed amount, the owed amount and the difference, and can be recalculated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

from fly_billing.corrections.rules.adjustment_record import AdjustmentRecord, item_record, read_adjustment_record
from fly_billing.corrections.rules.causes import CAUSES
from fly_billing.corrections.rules.differences import Charge, charges_of, differences
from fly_billing.invoicing.rules.assembly import Invoice, assemble_invoice
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member, Subscription, UsageRollup
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.pricing.rules.prices import PriceBook
from fly_billing.statements.rules.explanation import Explanation, explain_item
from fly_billing.statements.rules.rounding import explain_rounding
from tests.support.builders import PRICES, SEPTEMBER, at, id_of, price
from tests.support.calculator import printed, redo
from tests.unit.invoicing.steps.invoices_in_progress import percent_off

FREE_FIRST = price("requests", "0.10", "requests", unit="request", free_allowance=Decimal(10))


def month_of(requests: str = "0", *, prices: Sequence[Any] = PRICES, fee_from: str = "", **terms: Any) -> Invoice:
    """Return acme's September: this many requests at 0.10, and a support plan of 29.00 from the named day."""
    usage = [
        UsageRollup(id_of(requests), "requests", {}, SEPTEMBER.start, SEPTEMBER.end, Decimal(requests))
        for _ in range(requests != "0")
    ]
    fees = [Subscription(id_of("support"), "support", at(fee_from), None) for _ in range(fee_from != "")]
    member = Member("acme", PriceBook(prices), usage, fees)
    return assemble_invoice(InvoiceInputs("acme", "USD", SEPTEMBER, [member], **terms))


def adjustments(
    billed: Invoice, owed: Invoice, before: Mapping[str, Decimal] | None = None
) -> dict[str, tuple[InvoiceItem, AdjustmentRecord]]:
    """Correct one month to the other; return each adjustment's item and record by kind, read back from JSON.

    `before` has the amounts of earlier adjustments by kind.
    """
    sides = [charges_of(invoice.items, SEPTEMBER) for invoice in (billed, owed)]
    named = {key: charge for side in sides for key, charge in side.items()}
    earlier = {
        key: Charge(
            key, charge.kind, "acme", charge.product, charge.description, before[charge.kind], Decimal(0), charge.unit
        )
        for key, charge in named.items()
        if before and charge.kind in before
    }
    found = {}
    for difference in differences(sides[0], earlier, sides[1], {}):
        detail = {
            "billed": str(difference.billed),
            "adjusted_before": str(difference.adjusted),
            "owed": str(difference.owed),
            "calculations": {
                "billed": [item_record(item) for item in difference.billed_items],
                "owed": [item_record(item) for item in difference.owed_items],
            },
        }
        record = read_adjustment_record(difference.causes, json.loads(json.dumps(detail)))
        assert record is not None
        name = id_of(difference.charge.key)
        item = InvoiceItem(
            name, "adjustment", "acme", difference.charge.product, "corrected", Decimal(1), "item", difference.amount,
            adjustment_id=name,
        )  # fmt: skip
        found[difference.charge.kind] = (item, record)
    return found


def explained(item: InvoiceItem, record: AdjustmentRecord) -> Explanation:
    """Explain the adjustment as the only item of an invoice."""
    invoice_items = [item.billed_at(int(item.amount * 100))]
    return explain_item(invoice_items[0], explain_rounding(invoice_items, "USD")[item.id], "USD", adjusted=record)


def sums(explanation: Explanation) -> list[Any]:
    return [
        (step_sum.title, [f"{line.label}: {line.working or line.amount}" for line in step_sum.lines], step_sum.total)
        for step_sum in explanation.sums
    ]


def test_late_usage_shows_the_billed_amount_the_owed_amount_and_the_difference() -> None:
    """30 x 0.10 = 3.00 were billed; 42.5 x 0.10 = 4.25 are owed: 1.25 more."""
    explanation = explained(*adjustments(month_of("30"), month_of("42.5"))["usage"])
    assert sums(explanation) == [
        ("As billed: requests as used, amount", ["all: 30 x 0.1"], 3),
        ("As calculated now: requests as used, amount", ["all: 42.5 x 0.1"], Decimal("4.25")),
        ("Correction", ["owed now: 4.250", "billed on the invoice: -3.00"], Decimal("1.25")),
    ]
    assert explanation.problems == ()


def test_a_second_correction_shows_the_amount_of_the_first() -> None:
    """5.00 are owed, 3.00 were billed and 1.25 adjusted: 0.75 are left."""
    explanation = explained(*adjustments(month_of("30"), month_of("50"), {"usage": Decimal("1.25")})["usage"])
    assert sums(explanation)[-1] == (
        "Correction",
        ["owed now: 5.00", "billed on the invoice: -3.00", "adjusted earlier: -1.25"],
        Decimal("0.75"),
    )
    assert explanation.problems == ()


def test_usage_that_was_never_billed_is_corrected_from_nothing() -> None:
    explanation = explained(*adjustments(month_of(), month_of("30"))["usage"])
    assert sums(explanation) == [
        ("As billed", [], 0),
        ("As calculated now: requests as used, amount", ["all: 30 x 0.1"], 3),
        ("Correction", ["owed now: 3.00", "billed on the invoice: 0"], 3),
    ]


def test_usage_that_was_withdrawn_is_corrected_to_nothing() -> None:
    explanation = explained(*adjustments(month_of("30"), month_of())["usage"])
    assert sums(explanation)[1:] == [
        ("As calculated now", [], 0),
        ("Correction", ["owed now: 0", "billed on the invoice: -3.00"], -3),
    ]


def test_a_free_allowance_is_part_of_both_calculations() -> None:
    """30 - 10 = 20, 2.00; 8 - 8 = 0."""
    prices = (FREE_FIRST,)
    explanation = explained(*adjustments(month_of("30", prices=prices), month_of("8", prices=prices))["usage"])
    assert sums(explanation)[:3] == [
        ("As billed: requests as used, billable quantity", ["used: 30", "free allowance: -10"], 20),
        ("As billed: requests as used, amount", ["all: 20 x 0.1"], 2),
        ("As calculated now: requests as used, billable quantity", ["used: 8", "free allowance: -8"], 0),
    ]
    assert explanation.sums[-1].total == -2
    assert explanation.problems == ()


def test_a_fee_that_began_earlier_than_billed_shows_both_shares_of_the_month() -> None:
    """A day has 86,400 of the 2,592,000 seconds of September: 15 of 30 days are 14.50, 20 are 19.33..."""
    explanation = explained(
        *adjustments(month_of(fee_from="2026-09-16"), month_of(fee_from="2026-09-11"))["subscription"]
    )
    assert [lines for _, lines, _ in sums(explanation)[:2]] == [
        ["share of the month: 1,296,000 x 29 / 2,592,000"],
        ["share of the month: 1,728,000 x 29 / 2,592,000"],
    ]
    assert explanation.problems == ()
    assert ("Reason", CAUSES["subscription"]) in explanation.facts


def test_a_discount_shows_its_amount_before_and_after_the_correction() -> None:
    """10 % of 3.00 were 0.30 off, 10 % of 5.00 are 0.50 off: 0.20 less to pay."""
    coupon: dict[str, Any] = {"discounts": [percent_off("10")]}
    explanation = explained(*adjustments(month_of("30", **coupon), month_of("50", **coupon))["discount"])
    assert [(title, lines) for title, lines, _ in sums(explanation) if title.endswith("amount")] == [
        ("As billed: coupon PERCENT, amount", ["-10 % off the remaining amount of these items: 3 x -10 / 100"]),
        ("As calculated now: coupon PERCENT, amount", ["-10 % off the remaining amount of these items: 5 x -10 / 100"]),
    ]
    assert (explanation.sums[-1].total, explanation.problems) == (Decimal("-0.20"), ())
    assert ("Reason", CAUSES["follows from other items"]) in explanation.facts


def test_two_versions_of_a_price_are_summed_on_their_side() -> None:
    """30 x 0.10 = 3.00; with 0.20 from the 16th on, 15 each: 1.50 + 3.00 = 4.50."""
    dearer = price("requests", "0.20", "requests", unit="request", effective_from=at("2026-09-16"))
    halves = [
        UsageRollup(id_of(str(start)), "requests", {}, start, end, Decimal(15))
        for start, end in ((SEPTEMBER.start, at("2026-09-16")), (at("2026-09-16"), SEPTEMBER.end))
    ]
    now = assemble_invoice(
        InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([*PRICES, dearer]), halves)])
    )
    explanation = explained(*adjustments(month_of("30"), now)["usage"])
    assert sums(explanation)[-2:] == [
        ("As calculated now", ["requests as used: 1.5", "requests as used: 3"], Decimal("4.5")),
        ("Correction", ["owed now: 4.50", "billed on the invoice: -3.00"], Decimal("1.5")),
    ]
    assert explanation.problems == ()


def test_an_adjustment_edited_in_the_database_differs_from_its_calculation() -> None:
    item, record = adjustments(month_of("30"), month_of("42.5"))["usage"]
    wrong = read_adjustment_record(
        record.causes,
        {"billed": "3.00", "adjusted_before": "0", "owed": "9.25", "calculations": {"billed": [], "owed": []}},
    )
    assert wrong is not None
    assert len(explained(item, wrong).problems) == 3  # either side's items, and the difference


def test_an_adjustment_without_a_stored_calculation_gives_the_reason() -> None:
    item, _ = adjustments(month_of("30"), month_of("42.5"))["usage"]
    old = read_adjustment_record(["late rows"], {"billed": "3.00", "adjusted_before": "0", "owed": "4.25"})
    assert old is not None
    explanation = explained(item, old)
    assert [sum_.title for sum_ in explanation.sums] == ["Correction"]
    assert dict(explanation.facts) == {
        "Reason": CAUSES["late rows"],
        "Calculations": "not recorded: the adjustment was booked before calculations were recorded",
    }
    assert read_adjustment_record(["late rows"], {"kind": "usage"}) is None


def test_an_explained_adjustment_can_be_printed() -> None:
    text = printed(explained(*adjustments(month_of("30"), month_of("42.5"))["usage"]))
    assert redo(text)["Correction"].total == Fraction("1.25")
    assert redo(text)["As calculated now: requests as used, amount"].total == Fraction("4.25")


def test_the_effect_of_changed_terms_is_left_out_and_named() -> None:
    """7.50 are owed and 3.00 were billed; 1.50 of that come from a price that is not approved: 3.00."""
    item, record = adjustments(month_of("30"), month_of("75"))["usage"]
    explanation = explained(replace(item, amount=Decimal(3)), replace(record, undecided=Decimal("1.5")))
    assert sums(explanation)[-1] == (
        "Correction",
        [
            "owed now: 7.50",
            "billed on the invoice: -3.00",
            "changed terms that nobody had approved yet: -1.5",
        ],
        3,
    )
    assert explanation.problems == ()


def test_an_adjustment_record_is_read_back_unchanged() -> None:
    """A record older than stored calculations has no items and no undecided amount; without totals it is none."""
    totals = {"billed": "3.00", "adjusted_before": "-1", "owed": "7.50"}
    assert read_adjustment_record(["late rows"], totals) == AdjustmentRecord(
        ("late rows",), Decimal("3.00"), Decimal(-1), Decimal("7.50"), None, None, Decimal(0)
    )
    read = read_adjustment_record((), totals | {"waits": "1.5", "calculations": {"billed": [], "owed": []}})
    assert read == AdjustmentRecord((), Decimal("3.00"), Decimal(-1), Decimal("7.50"), (), (), Decimal("1.5"))
    for missing in totals:
        assert read_adjustment_record((), {name: value for name, value in totals.items() if name != missing}) is None
