"""A correction compares a final invoice with its recalculation, charge by charge, and gives the causes of a difference.

The invoice is acme's for September 2026. A and B are two versions of a price, in this order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from fly_billing.corrections.rules import causes as rules
from fly_billing.corrections.rules.causes import CAUSES
from fly_billing.corrections.rules.differences import (
    Charge,
    Difference,
    adjustment_text,
    charge_key,
    charges_of,
    differences,
    differences_by_usage,
    recalculate,
)
from fly_billing.invoicing.rules.inputs import InvoiceInputs, Member
from fly_billing.invoicing.rules.items import InvoiceItem, is_ahead
from fly_billing.pricing.rules.prices import PriceBook
from tests.support.builders import OCTOBER, SEPTEMBER, at, id_of
from tests.unit.invoicing.steps.invoices_in_progress import item

A, B = id_of("A"), id_of("B")
TRAFFIC = "acme|usage|egress"


def traffic(gigabytes: str, amount: str, **changes: Any) -> InvoiceItem:
    plain: dict[str, Any] = {
        "product": "Egress",
        "quantity": Decimal(gigabytes),
        "unit": "GB",
        "price_id": A,
        "price_key": "egress",
        "meter": "egress_gb",
    }
    return item("Outbound traffic", amount, **plain | changes)


def fee(months: str, amount: str, **changes: Any) -> InvoiceItem:
    plain: dict[str, Any] = {
        "quantity": Decimal(months),
        "unit": "month",
        "price_id": A,
        "subscription_id": id_of("plan"),
    }
    return item("Plan", amount, "subscription", **plain | changes)


def coupon(amount: str) -> InvoiceItem:
    return item("Coupon", amount, "discount", discount_id=id_of("coupon"))


def compare(
    billed: Iterable[InvoiceItem],
    now: Iterable[InvoiceItem],
    adjusted: Mapping[str, Charge] | None = None,
    changed: Mapping[tuple[str, str], tuple[str, ...]] | None = None,
) -> list[Difference]:
    return differences(charges_of(billed, SEPTEMBER), adjusted or {}, charges_of(now, SEPTEMBER), changed or {})


def adjustment(key: str, amount: str, quantity: str = "0", unit: str = "GB", meter: str | None = None) -> Charge:
    """Return the total of all adjustments of a charge, with the last one's text."""
    organization, kind, _ = key.split("|")
    return Charge(
        key, kind, organization, "Egress", "Outbound traffic", Decimal(amount), Decimal(quantity), unit, meter
    )


def causes(
    billed: Iterable[InvoiceItem],
    now: Iterable[InvoiceItem],
    changed: Mapping[tuple[str, str], tuple[str, ...]] | None = None,
) -> list[tuple[str, ...]]:
    return [difference.causes for difference in compare(billed, now, changed=changed)]


# --- The charges that are compared -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (traffic("1", "1"), "acme|usage|egress"),
        (fee("1", "30"), f"acme|subscription|{id_of('plan')}"),
        (coupon("-1"), f"acme|discount|{id_of('coupon')}"),
        (item("least", "1", "minimum", commitment_id=id_of("year")), f"acme|minimum|{id_of('year')}"),
        (item("most", "-1", "maximum", commitment_id=id_of("year")), f"acme|maximum|{id_of('year')}"),
        (traffic("1", "1", organization_id="labs"), "labs|usage|egress"),
    ],
)
def test_a_charge_keeps_its_key_when_its_amount_changes(line: InvoiceItem, key: str) -> None:
    """Adjustments are booked under this key. Under another key a correction would ignore them and book them again."""
    assert charge_key(line) == key
    assert list(charges_of([line], SEPTEMBER)) == [key]


def test_one_off_items_adjustments_credits_and_taxes_are_not_compared() -> None:
    kinds = ("one_off", "adjustment", "credit", "tax")
    assert charges_of([item(kind, "5", kind) for kind in kinds], SEPTEMBER) == {}


def test_a_fee_in_advance_is_corrected_by_the_month_that_it_covers() -> None:
    ahead = fee("1", "30", interval_start=OCTOBER.start, interval_end=OCTOBER.end)
    own = fee("1", "30", interval_start=SEPTEMBER.start, interval_end=SEPTEMBER.end)
    assert (is_ahead(ahead, SEPTEMBER), is_ahead(own, SEPTEMBER), is_ahead(traffic("1", "1"), SEPTEMBER)) == (
        True,
        False,
        False,
    )
    assert [charge.amount for charge in charges_of([ahead, traffic("1", "1"), own], SEPTEMBER).values()] == [
        Decimal(1),
        Decimal(30),
    ]


def test_all_versions_of_a_price_are_one_charge() -> None:
    """100 GB for 2.00, then 50 for 1.50: 150 GB and 3.50. The charge has the text of the last item."""
    versions = [
        traffic("100", "2.00"),
        traffic("50", "1.50", price_id=B, description="Outbound traffic, new price", product="Network"),
    ]
    assert charges_of(versions, SEPTEMBER) == {
        TRAFFIC: Charge(
            TRAFFIC,
            "usage",
            "acme",
            "Network",
            "Outbound traffic, new price",
            Decimal("3.50"),
            Decimal(150),
            "GB",
            "egress_gb",
            frozenset({A, B}),
            tuple(versions),
        )
    }


def test_a_discount_has_no_price() -> None:
    (charge,) = charges_of([coupon("-5")], SEPTEMBER).values()
    assert (charge.prices, charge.meter) == (frozenset(), None)


# --- The amount still to charge or to return --------------------------------------------------------------------


def test_an_invoice_that_would_be_the_same_now_is_not_corrected() -> None:
    assert compare([traffic("100", "2.00"), fee("1", "30")], [traffic("100", "2"), fee("1", "30")]) == []


def test_late_usage_is_charged_in_addition() -> None:
    """5.00 are owed and 3.00 were billed."""
    (found,) = compare([traffic("150", "3.00")], [traffic("250", "5.00")])
    assert (found.billed, found.adjusted, found.owed, found.amount) == (
        Decimal("3.00"),
        Decimal(0),
        Decimal("5.00"),
        Decimal("2.00"),
    )
    assert found.detail == {"billed_quantity": "150", "quantity": "250"}
    assert found.charge.amount == Decimal("5.00")


def test_an_adjusted_amount_is_not_charged_again() -> None:
    """3.00 billed and 1.50 adjusted: if 5.00 are owed, 0.50 are left; of 4.50 nothing; 4.00 is 0.50 too much."""
    adjusted = {TRAFFIC: adjustment(TRAFFIC, "1.50")}
    for owed, rest in (("5.00", ["0.50"]), ("4.50", []), ("4.00", ["-0.50"])):
        found = compare([traffic("150", "3.00")], [traffic("250", owed)], adjusted)
        assert [difference.amount for difference in found] == [Decimal(amount) for amount in rest]
        assert [difference.adjusted for difference in found] == [Decimal("1.50") for _ in rest]


def test_a_charge_that_only_an_adjustment_has_is_returned_when_it_is_not_owed() -> None:
    """150 GB arrived late, at a price that the invoice does not have, and were then withdrawn."""
    adjusted = {TRAFFIC: adjustment(TRAFFIC, "3.00", "150", meter="egress_gb")}
    (found,) = compare([], [], adjusted)
    assert (found.billed, found.adjusted, found.owed, found.amount) == (
        Decimal(0),
        Decimal("3.00"),
        Decimal(0),
        Decimal("-3.00"),
    )
    assert adjustment_text(found, SEPTEMBER) == ("Outbound traffic, 2026-09: 0 GB instead of 150 GB (corrected rows)")
    (known,) = compare([], [], adjusted, {("acme", "egress_gb"): ("corrected rows", "late rows")})
    assert known.causes == ("corrected rows", "late rows")
    assert compare([], [], {TRAFFIC: adjustment(TRAFFIC, "0.00", "0")}) == []


def test_an_earlier_adjustment_is_compared_with_an_invoice_without_the_charge() -> None:
    """3.00 were adjusted for 150 GB, and it is 200 GB now: 1.00 more."""
    (found,) = compare([], [traffic("200", "4")], {TRAFFIC: adjustment(TRAFFIC, "3.00", "150")})
    assert found.amount == Decimal("1.00")
    assert found.detail == {"billed_quantity": "0", "adjusted_quantity": "150", "quantity": "200"}


def test_a_forgotten_fee_is_charged_in_full() -> None:
    (found,) = compare([], [fee("1", "30")])
    assert (found.billed, found.owed, found.amount) == (Decimal(0), Decimal(30), Decimal(30))
    assert (found.charge.description, found.detail) == ("Plan", {"billed_quantity": "0", "quantity": "1"})


def test_a_fee_charged_by_mistake_is_returned_in_full() -> None:
    (found,) = compare([fee("1", "30")], [])
    assert (found.billed, found.owed, found.amount) == (Decimal(30), Decimal(0), Decimal(-30))
    assert (found.charge.description, found.detail) == ("Plan", {"billed_quantity": "1", "quantity": "0"})


def test_each_charge_is_corrected_separately() -> None:
    found = compare([traffic("150", "3"), fee("1", "30")], [traffic("200", "4"), fee("0.5", "15")])
    assert [(difference.charge.kind, difference.amount) for difference in found] == [
        ("subscription", Decimal(-15)),
        ("usage", Decimal(1)),
    ]


# --- Causes ----------------------------------------------------------------------------------------------------------


def test_changed_usage_gives_the_recorded_cause() -> None:
    how = {
        ("acme", "egress_gb"): ("late rows", "corrected rows"),
        ("acme", ""): ("wrong",),
        ("labs", "egress_gb"): ("late rows",),
    }
    before, now = [traffic("150", "3.00")], [traffic("250", "5.00")]
    assert causes(before, now, how) == [("late rows", "corrected rows")]
    assert causes(before, now, {("labs", "egress_gb"): ("late rows",)}) == [("usage changed",)]


def test_usage_that_changed_without_a_recorded_cause_is_not_called_corrected() -> None:
    assert causes([traffic("150", "3")], [traffic("250", "5")]) == [("usage changed",)]
    assert causes([], [traffic("250", "5")]) == [("usage changed",)]
    assert causes([traffic("150", "3")], []) == [("usage changed",)]


def test_a_level_from_an_earlier_month_explains_only_a_quantity_that_changed() -> None:
    held = {("acme", "egress_gb"): ("level from an earlier month",)}
    assert causes([traffic("150", "3")], [traffic("250", "5")], held) == [("level from an earlier month",)]
    assert causes([traffic("150", "3")], [traffic("150", "4", price_id=B)], held) == [("price version",)]
    assert causes([traffic("150", "3")], [traffic("150", "4")], held) == [("rule",)]


def test_every_cause_has_a_text() -> None:
    named = {name for name, value in vars(rules).items() if name.isupper() and isinstance(value, str)}
    assert {getattr(rules, name) for name in named} == CAUSES.keys()


def test_the_same_usage_at_another_version_of_the_price_is_repriced() -> None:
    assert causes([traffic("150", "3")], [traffic("150", "4", price_id=B)]) == [("price version",)]


def test_a_new_version_beside_the_old_one_reprices_the_same_usage() -> None:
    now = [traffic("100", "2"), traffic("50", "2", price_id=B)]
    assert causes([traffic("150", "3")], now) == [("price version",)]


def test_late_usage_at_a_version_without_billed_usage_is_not_repriced() -> None:
    """The 50 GB arrived late, and the month ended at another price: the price of the billed usage did not change."""
    now = [traffic("150", "3"), traffic("50", "2", price_id=B)]
    late = {("acme", "egress_gb"): ("late rows",)}
    assert causes([traffic("150", "3")], now, late) == [("late rows",)]


def test_late_usage_under_a_price_that_was_superseded_has_both_causes() -> None:
    late = {("acme", "egress_gb"): ("late rows",)}
    now = [traffic("250", "6", price_id=B)]
    assert causes([traffic("150", "3")], now, late) == [("late rows", "price version")]


def test_usage_that_is_gone_or_new_is_not_repriced() -> None:
    late = {("acme", "egress_gb"): ("late rows",)}
    assert causes([traffic("0", "3")], [], late) == [("late rows",)]
    assert causes([], [traffic("0", "3")], late) == [("late rows",)]


def test_another_amount_for_the_same_usage_and_price_is_caused_by_a_changed_rule() -> None:
    assert causes([traffic("150", "3")], [traffic("150", "3.01")]) == [("rule",)]
    assert causes([traffic("0", "3")], []) == [("rule",)]


def test_another_amount_for_another_part_of_the_month_is_caused_by_the_subscription() -> None:
    assert causes([fee("1", "30")], [fee("0.5", "15", price_id=B)]) == [("subscription",)]
    assert causes([fee("1", "30")], []) == [("subscription",)]
    assert causes([], [fee("1", "30")]) == [("subscription",)]


def test_another_fee_for_the_same_time_is_caused_by_its_price_or_a_rule() -> None:
    assert causes([fee("1", "30")], [fee("1", "40", price_id=B)]) == [("price version",)]
    assert causes([fee("1", "30")], [fee("1", "40")]) == [("rule",)]
    assert causes([fee("0", "-30")], []) == [("rule",)]
    assert causes([], [fee("0", "-30")]) == [("rule",)]


@pytest.mark.parametrize("changed", [([traffic("150", "3")], [traffic("250", "5")]), ([fee("1", "30")], [])])
def test_a_discount_follows_the_items_it_reduces(changed: tuple[list[InvoiceItem], list[InvoiceItem]]) -> None:
    before, now = changed
    found = compare([coupon("-1"), *before], [coupon("-2"), *now])
    assert {difference.charge.kind: difference.causes for difference in found}["discount"] == (
        "follows from other items",
    )


def test_a_changed_discount_on_unchanged_items_is_caused_by_its_terms() -> None:
    """The fee is the same: the discount follows from nothing else."""
    assert causes([coupon("-1"), fee("1", "30")], [coupon("-2"), fee("1", "30")]) == [("terms",)]


# --- The customer's text --------------------------------------------------------------------------------------


def test_an_adjustment_shows_the_calculation_before_and_now() -> None:
    (found,) = compare([traffic("1200", "3")], [traffic("1250", "5")])
    assert adjustment_text(found, SEPTEMBER) == (
        "Outbound traffic, 2026-09: 1,250 GB instead of 1,200 GB (usage changed)"
    )


def test_a_second_adjustment_names_the_quantity_after_the_first_one() -> None:
    """1,200 GB were billed and 50 GB adjusted: the second adjustment charges only the next 30 GB."""
    first = {TRAFFIC: adjustment(TRAFFIC, "2", "1250", meter="egress_gb")}
    (found,) = compare([traffic("1200", "3")], [traffic("1280", "6.2")], adjusted=first)
    assert found.amount == Decimal("1.2")
    assert adjustment_text(found, SEPTEMBER) == (
        "Outbound traffic, 2026-09: 1,280 GB instead of 1,250 GB (usage changed)"
    )
    assert found.detail == {"billed_quantity": "1200", "adjusted_quantity": "1250", "quantity": "1280"}


def test_a_second_adjustment_back_to_the_billed_quantity_names_both_quantities() -> None:
    first = {TRAFFIC: adjustment(TRAFFIC, "2", "1250", meter="egress_gb")}
    (found,) = compare([traffic("1200", "3")], [traffic("1200", "3")], adjusted=first)
    assert found.amount == Decimal("-2")
    assert adjustment_text(found, SEPTEMBER).startswith("Outbound traffic, 2026-09: 1,200 GB instead of 1,250 GB (")


def test_an_adjustment_after_one_of_an_old_version_names_the_billed_quantity() -> None:
    """The old version stored no quantity with its adjustment: only the billed one is known."""
    old = {TRAFFIC: replace(adjustment(TRAFFIC, "2"), has_quantity=False)}
    (found,) = compare([traffic("1200", "3")], [traffic("1280", "6.2")], adjusted=old)
    assert adjustment_text(found, SEPTEMBER).startswith("Outbound traffic, 2026-09: 1,280 GB instead of 1,200 GB (")


def test_an_adjustment_of_the_same_quantity_gives_the_cause() -> None:
    late = {("acme", "egress_gb"): ("late rows",)}
    (found,) = compare([traffic("1200", "3")], [traffic("1200", "5", price_id=B)], changed=late)
    assert adjustment_text(found, SEPTEMBER) == "Outbound traffic, 2026-09: corrected (late rows, price version)"


def top_up(amount: str, counted_before: str) -> InvoiceItem:
    return item(
        "At least 100", amount, "minimum", commitment_id=id_of("year"), detail={"counted_before": counted_before}
    )


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ([top_up("50", "20")], [top_up("40", "30")], ("earlier month",)),
        ([top_up("50", "20")], [], ("earlier month",)),
        ([], [top_up("10", "60")], ("earlier month",)),
        ([], [top_up("10", "0")], ("terms",)),
        (
            [top_up("50", "20"), traffic("1", "30")],
            [top_up("40", "20"), traffic("2", "40")],
            ("follows from other items",),
        ),
        ([top_up("50", "20"), traffic("1", "30")], [traffic("9", "90")], ("follows from other items",)),
        (
            [top_up("50", "20"), traffic("1", "30")],
            [top_up("30", "30"), traffic("2", "40")],
            ("follows from other items", "earlier month"),
        ),
    ],
)
def test_a_true_up_shows_that_an_earlier_months_total_changed(
    before: list[InvoiceItem], now: list[InvoiceItem], expected: tuple[str, ...]
) -> None:
    (found,) = (difference.causes for difference in compare(before, now) if difference.charge.kind == "minimum")
    assert found == expected


# --- Differences by usage and by terms -------------------------------------------------------------------------------


def by_usage_and_terms(
    billed: Iterable[InvoiceItem],
    then: Iterable[InvoiceItem],
    now: Iterable[InvoiceItem],
    adjusted: Mapping[str, Charge] | None = None,
) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Return the changes caused by usage and by terms, by kind; `then` is the billed usage at today's terms."""
    was, owed_then, owed_now = (charges_of(items, SEPTEMBER) for items in (billed, then, now))
    usage, terms = differences_by_usage(was, adjusted or {}, owed_then, owed_now, {})
    return {difference.charge.kind: difference.amount for difference in usage}, {
        difference.charge.kind: difference.amount for difference in terms
    }


def test_late_usage_is_charged_and_a_fee_recorded_later_waits() -> None:
    found = by_usage_and_terms(
        [traffic("150", "3")], [traffic("150", "3"), fee("1", "30")], [traffic("250", "5"), fee("1", "30")]
    )
    assert found == ({"usage": Decimal(2)}, {"subscription": Decimal(30)})


def test_late_usage_is_charged_at_the_superseding_price_and_billed_usage_waits() -> None:
    """0.03 instead of 0.02: 100 late GB are 3.00; the 150 billed GB would be 1.50 more."""
    found = by_usage_and_terms([traffic("150", "3")], [traffic("150", "4.50")], [traffic("250", "7.50")])
    assert found == ({"usage": Decimal("3.00")}, {"usage": Decimal("1.50")})


def test_a_later_coupon_reduces_late_usage_and_waits_for_billed_usage() -> None:
    then, now = [traffic("150", "3"), coupon("-1.50")], [traffic("250", "5"), coupon("-2.50")]
    assert by_usage_and_terms([traffic("150", "3")], then, now) == (
        {"usage": Decimal(2), "discount": Decimal("-1.00")},
        {"discount": Decimal("-1.50")},
    )


def test_unchanged_usage_leaves_differences_of_terms_and_unchanged_terms_those_of_usage() -> None:
    billed, dearer = [traffic("150", "3")], [traffic("150", "4")]
    assert by_usage_and_terms(billed, dearer, dearer) == ({}, {"usage": Decimal(1)})
    assert by_usage_and_terms(billed, billed, [traffic("250", "5")]) == ({"usage": Decimal(2)}, {})


def test_an_earlier_adjustment_for_usage_is_neither_charged_again_nor_proposed_again() -> None:
    now = [traffic("250", "5"), fee("1", "30")]
    adjusted = {TRAFFIC: adjustment(TRAFFIC, "2.00", "250")}
    assert by_usage_and_terms([traffic("150", "3")], now, now, adjusted) == ({}, {"subscription": Decimal(30)})


def test_a_difference_by_usage_names_the_part_that_waits() -> None:
    charges = [
        charges_of([traffic(*numbers)], SEPTEMBER) for numbers in (("150", "3"), ("150", "4.50"), ("250", "7.50"))
    ]
    ((difference,), _) = differences_by_usage(charges[0], {}, charges[1], charges[2], {})
    amounts = [difference.billed, difference.adjusted, difference.undecided, difference.owed, difference.amount]
    assert amounts == [Decimal(amount) for amount in ("3", "0", "1.5", "7.5", "3")]


# --- Fees and their intervals ---------------------------------------------------------------------------------------


def test_a_corrected_fee_names_its_interval_and_other_charges_name_none() -> None:
    """An invoice for another month may charge a part of the same interval."""
    interval = {"interval_start": SEPTEMBER.start, "interval_end": SEPTEMBER.end}
    found = compare([fee("1", "30", **interval), traffic("1", "1")], [fee("0.5", "15", **interval), traffic("2", "2")])
    assert [dict(difference.detail) for difference in found] == [
        {
            "billed_quantity": "1", "quantity": "0.5",
            "interval_start": "2026-09-01 00:00:00+00:00", "interval_end": "2026-10-01 00:00:00+00:00",
        },
        {"billed_quantity": "1", "quantity": "2"},
    ]  # fmt: skip


def test_fees_of_two_intervals_name_none() -> None:
    halves = [
        fee("1", "30", interval_start=SEPTEMBER.start, interval_end=at("2026-09-16")),
        fee("1", "30", interval_start=at("2026-09-16"), interval_end=SEPTEMBER.end),
    ]
    (found,) = compare(halves, [])
    assert found.detail == {"billed_quantity": "2", "quantity": "0"}


def test_a_fee_in_advance_and_the_discount_of_a_returned_fee_stay_as_billed() -> None:
    """30 for October, whose price is not known any more; and 0.50 of discount taken back with the returned 5."""
    interval = {"interval_start": OCTOBER.start, "interval_end": OCTOBER.end}
    ahead, returned = fee("1", "30", **interval), fee("1", "-5", **interval, id=id_of("returned"))
    part = {"item": str(returned.id), "amount": "-0.5"}
    discount = item("Coupon", "0.50", "discount", discount_id=id_of("coupon"), detail={"applied_to": [part]})
    inputs = InvoiceInputs("acme", "USD", SEPTEMBER, [Member("acme", PriceBook([]))])
    invoice = recalculate(inputs, [ahead, returned, discount, traffic("1", "1")])
    assert invoice.items == [ahead, returned, discount]
    assert invoice.left == {ahead.id: Decimal(30), returned.id: Decimal("-4.5")}
