"""Minimums and maximums bound the amount to pay, after discounts."""

from decimal import Decimal

import pytest

from fly_billing.invoicing.rules.inputs import Commitment
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.commitments import apply_commitments
from fly_billing.invoicing.rules.steps.discounts import take_discounts
from fly_billing.pricing.rules.scope import CHARGES, Scope
from tests.support.builders import id_of
from tests.unit.invoicing.steps.invoices_in_progress import (
    amounts,
    applied,
    invoice_of,
    item,
    left,
    maximum,
    minimum,
    only,
    percent_off,
)

ONLY_MACHINES = Scope(products=("Machines",))
WITH_MINIMUMS = Scope(kinds=(*CHARGES, "minimum"))


def committed(*items: InvoiceItem, to: list[Commitment]) -> InvoiceInProgress:
    invoice = invoice_of(*items, commitments=to)
    apply_commitments(invoice)
    return invoice


# --- Minimums ------------------------------------------------------------------------------------------------------


def test_the_shortfall_to_a_minimum_is_charged() -> None:
    invoice = committed(item("web", "45"), item("data", "15", product="Volumes"), to=[minimum("100", "100 a month")])
    assert invoice.items[-1] == InvoiceItem(
        id=invoice.item_id(f"minimum|{id_of('100 a month')}"),
        kind="minimum",
        organization_id="acme",
        product="Commitments",
        description="100 a month",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal(40),
        commitment_id=id_of("100 a month"),
        detail={
            "minimum": "100",
            "counted_before": "0",
            "base": "60",
            "counted": [
                {"item": str(id_of("web")), "product": "Machines", "description": "web", "amount": "45"},
                {"item": str(id_of("data")), "product": "Volumes", "description": "data", "amount": "15"},
            ],
        },
    )
    assert invoice.left_in_all() == 100


@pytest.mark.parametrize("used", ["100", "100.01"])
def test_a_minimum_that_is_reached_charges_nothing(used: str) -> None:
    assert len(committed(item("web", used), to=[minimum("100")]).items) == 1


def test_one_off_items_count_towards_a_minimum_even_free_ones() -> None:
    """A cable for 0.50 and a free one count, goodwill of 1.00 does not: 9.50 up to the 10.00."""
    invoice = committed(
        item("cable", "0.50", "one_off"), item("free cable", "0", "one_off"), item("sorry", "-1", "one_off"),
        to=[minimum("10")],
    )  # fmt: skip
    charged = only(invoice, "minimum")
    assert charged.amount == Decimal("9.50")
    assert [(part["description"], part["amount"]) for part in charged.detail["counted"]] == [
        ("cable", "0.5"),
        ("free cable", "0"),
    ]


def test_a_shortfall_of_one_cent_is_charged() -> None:
    assert only(committed(item("web", "99.99"), to=[minimum("100")]), "minimum").amount == Decimal("0.01")


def test_an_organization_without_usage_owes_its_minimum() -> None:
    invoice = committed(to=[minimum("100")])
    assert only(invoice, "minimum").amount == 100
    assert only(invoice, "minimum").detail["counted"] == []


def test_a_minimum_counts_amounts_after_discounts() -> None:
    """60 dollars at 10 % off are 54: 46 are missing to 100."""
    invoice = invoice_of(item("web", "60"), discounts=[percent_off("10")], commitments=[minimum("100")])
    take_discounts(invoice)
    apply_commitments(invoice)
    assert only(invoice, "minimum").amount == 46


def test_goodwill_lowers_the_total_below_a_minimum() -> None:
    """60 and 40 up to the 100, less the 10 of goodwill."""
    invoice = committed(item("web", "60"), item("sorry", "-10", "one_off"), to=[minimum("100")])
    assert only(invoice, "minimum").amount == 40
    assert invoice.counted == {id_of("at least"): Decimal(60)}
    assert invoice.left_in_all() == 90


def test_a_refunded_fee_counts_as_negative_towards_the_minimum_that_its_charge_counted_towards() -> None:
    """70 - 29 are 41: 59 are missing. In the month that charged the 29, they were 29 of its minimum."""
    invoice = committed(item("web", "70"), item("plan", "-29", "subscription"), to=[minimum("100")])
    assert only(invoice, "minimum").amount == 59
    assert invoice.left_in_all() == 100


def test_goodwill_does_not_count_towards_a_minimum_of_several_months_either() -> None:
    invoice = committed(item("web", "60"), item("sorry", "-10", "one_off"), to=[minimum("300", is_due=False)])
    assert invoice.counted == {id_of("at least"): Decimal(60)}


def test_one_off_items_count_towards_a_minimum() -> None:
    invoice = committed(item("web", "60"), item("setup", "30", "one_off"), to=[minimum("100")])
    assert only(invoice, "minimum").amount == 10


def test_a_minimum_counts_only_items_of_its_scope() -> None:
    invoice = committed(
        item("web", "60"), item("data", "500", product="Volumes"), to=[minimum("100", scope=ONLY_MACHINES)]
    )
    assert only(invoice, "minimum").amount == 40


def test_a_minimum_over_three_months_charges_the_shortfall_in_the_last_month() -> None:
    """The earlier months add up to 250, this one has 30: 20 are missing to 300."""
    invoice = committed(item("web", "30"), to=[minimum("300", counted_before=Decimal(250))])
    assert only(invoice, "minimum").amount == 20
    assert only(invoice, "minimum").detail["counted_before"] == "250"
    assert invoice.counted == {id_of("at least"): Decimal(30)}


def test_a_minimum_that_is_not_due_yet_counts_and_charges_nothing() -> None:
    invoice = committed(item("web", "30"), to=[minimum("300", is_due=False)])
    assert amounts(invoice, "minimum") == []
    assert invoice.counted == {id_of("at least"): Decimal(30)}


def test_a_minimum_that_the_earlier_months_reached_charges_nothing() -> None:
    assert len(committed(item("web", "1"), to=[minimum("300", counted_before=Decimal(299))]).items) == 1


@pytest.mark.parametrize("is_reversed", [False, True])
def test_two_minimums_do_not_count_each_others_shortfall(is_reversed: bool) -> None:
    """60 dollars: 40 are missing to 100 for Machines, 140 to 200 in total."""
    both = [minimum("100", "machines", scope=ONLY_MACHINES), minimum("200", "all")]
    invoice = committed(item("web", "60"), to=both[::-1] if is_reversed else both)
    assert amounts(invoice, "minimum") == [Decimal(40), Decimal(140)]


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize(("machines", "in_all", "charged"), [("100", "200", [40, 100]), ("100", "80", [40])])
def test_a_minimum_that_counts_others_comes_after_them(
    machines: str, in_all: str, charged: list[int], is_reversed: bool
) -> None:
    """60 dollars: 40 are missing to 100 for Machines. So 100 count in total: 100 are missing to 200, and none to 80."""
    both = [minimum(machines, "machines", scope=ONLY_MACHINES), minimum(in_all, "all", scope=WITH_MINIMUMS)]
    invoice = committed(item("web", "60"), to=both[::-1] if is_reversed else both)
    assert amounts(invoice, "minimum") == charged


def test_the_same_of_two_equal_minimums_is_always_charged_first() -> None:
    """They count each other's charges, so one of them charges all that is missing."""
    both = [minimum("100", name, scope=WITH_MINIMUMS) for name in ("this", "that")]
    first, second = committed(item("web", "60"), to=both), committed(item("web", "60"), to=both[::-1])
    assert amounts(first, "minimum") == [Decimal(40)]
    assert first.items == second.items


# --- Maximums ------------------------------------------------------------------------------------------------------


def test_the_amount_above_a_maximum_is_taken_off() -> None:
    invoice = committed(item("web", "15"), item("worker", "105"), to=[maximum("100", "at most 100")])
    assert invoice.items[-1] == InvoiceItem(
        id=invoice.item_id(f"maximum|{id_of('at most 100')}"),
        kind="maximum",
        organization_id="acme",
        product="Commitments",
        description="at most 100",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal(-20),
        commitment_id=id_of("at most 100"),
        detail={
            "maximum": "100",
            "base": "120",
            "applied_to": [
                {"item": str(id_of("web")), "product": "Machines", "description": "web", "amount": "15"},
                {"item": str(id_of("worker")), "product": "Machines", "description": "worker", "amount": "5"},
            ],
        },
    )
    assert left(invoice) == {"web": Decimal(0), "worker": Decimal(100)}


@pytest.mark.parametrize("used", ["99.99", "100"])
def test_a_maximum_above_the_total_takes_nothing_off(used: str) -> None:
    assert len(committed(item("web", used), to=[maximum("100")]).items) == 1


def test_a_maximum_of_zero_takes_everything_off() -> None:
    invoice = committed(item("web", "7"), item("free", "0"), to=[maximum("0")])
    assert only(invoice, "maximum").amount == -7


def test_a_maximum_applies_to_its_scope_despite_refunds_of_other_items() -> None:
    """Machines cost 50 at most, and 80 of other items are refunded: 30 are in the customer's favor."""
    invoice = committed(
        item("web", "100"), item("sorry", "-80", "one_off", product="One-off"), to=[maximum("50", scope=ONLY_MACHINES)]
    )
    assert only(invoice, "maximum").amount == -50
    assert invoice.left_in_all() == -30


def test_goodwill_is_taken_off_in_addition_to_a_maximum() -> None:
    """50 of the 100 are above 50; the goodwill of 10 comes off the rest."""
    invoice = committed(item("web", "100"), item("web, put right", "-10", "one_off"), to=[maximum("50")])
    assert only(invoice, "maximum").amount == -50
    assert applied(only(invoice, "maximum")) == {"web": "50"}
    assert invoice.left_in_all() == 40


def test_a_refunded_fee_is_taken_off_before_the_maximum() -> None:
    """100 - 29 are 71: 21 are above 50."""
    invoice = committed(item("web", "100"), item("plan", "-29", "subscription"), to=[maximum("50")])
    assert only(invoice, "maximum").amount == -21
    assert invoice.left_in_all() == 50


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_maximum_of_a_part_applies_before_the_maximum_of_the_whole(is_reversed: bool) -> None:
    """Machines 100 -> 50; with 40 for volumes that is 90 -> 80. The other way round the customer would pay less."""
    both = [maximum("50", "machines", scope=ONLY_MACHINES), maximum("80", "all")]
    items = item("data", "40", product="Volumes"), item("web", "100")
    invoice = committed(*items, to=both[::-1] if is_reversed else both)
    assert amounts(invoice, "maximum") == [Decimal(-50), Decimal(-10)]
    assert invoice.left_in_all() == 80


# --- Both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_part_with_a_maximum_counts_only_its_maximum_towards_the_minimum_of_the_whole(is_reversed: bool) -> None:
    """Machines 100 -> 50; with 30 for volumes that is 80: 40 are missing to the agreed 120."""
    both = [maximum("50", scope=ONLY_MACHINES), minimum("120")]
    items = item("web", "100"), item("data", "30", product="Volumes")
    invoice = committed(*items, to=both[::-1] if is_reversed else both)
    assert (only(invoice, "maximum").amount, only(invoice, "minimum").amount) == (Decimal(-50), Decimal(40))
    assert invoice.left_in_all() == 120


@pytest.mark.parametrize("in_all", ["80", "100"])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_minimum_does_not_charge_again_an_amount_that_a_maximum_took_off(is_reversed: bool, in_all: str) -> None:
    """100 of Machines are more than the agreed minimum of 80. The total is 150, and capped."""
    both = [minimum("80", scope=ONLY_MACHINES), maximum(in_all)]
    items = item("web", "100"), item("data", "50", product="Volumes")
    invoice = committed(*items, to=both[::-1] if is_reversed else both)
    assert amounts(invoice, "minimum") == []
    assert invoice.left_in_all() == Decimal(in_all)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_maximum_that_counts_minimums_caps_their_charges(is_reversed: bool) -> None:
    """Machines 10 -> 80 and 60 for volumes are 140: 60 are above 80, though 70 of usage alone would not be."""
    both = [minimum("80", scope=ONLY_MACHINES), maximum("80", scope=WITH_MINIMUMS)]
    items = item("web", "10"), item("data", "60", product="Volumes")
    invoice = committed(*items, to=both[::-1] if is_reversed else both)
    assert (only(invoice, "minimum").amount, only(invoice, "maximum").amount) == (Decimal(70), Decimal(-60))


def test_the_larger_of_a_contradicting_maximum_and_minimum_applies() -> None:
    assert committed(item("web", "100"), to=[maximum("50"), minimum("80")]).left_in_all() == 80
