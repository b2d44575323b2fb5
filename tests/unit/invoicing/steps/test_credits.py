"""Credits pay the unpaid amount of an invoice, in their order, and never more."""

from decimal import Decimal
from typing import Any

import pytest

from fly_billing.invoicing.rules.inputs import CREDITABLE, CreditGrant
from fly_billing.invoicing.rules.invoice_in_progress import InvoiceInProgress
from fly_billing.invoicing.rules.items import InvoiceItem
from fly_billing.invoicing.rules.steps.credits import draw_credits
from fly_billing.pricing.rules.scope import Scope
from tests.support.builders import at, id_of
from tests.unit.invoicing.steps.invoices_in_progress import amounts, applied, credit, invoice_of, item, left, only


def credited(*items: InvoiceItem, by: list[CreditGrant]) -> InvoiceInProgress:
    invoice = invoice_of(*items, credits=by)
    draw_credits(invoice)
    return invoice


def test_a_credit_that_runs_out_in_the_middle_of_the_invoice_pays_a_part_of_one_item() -> None:
    """35 dollars pay for 20 and for 15 of the 30; 15 of that and all of the 10 are left."""
    invoice = credited(item("web", "20"), item("worker", "30"), item("zone", "10"), by=[credit("35", "prepaid in May")])
    assert invoice.items[-1] == InvoiceItem(
        id=invoice.item_id(f"credit|{id_of('prepaid in May')}"),
        kind="credit",
        organization_id="acme",
        product="Credits",
        description="prepaid in May",
        quantity=Decimal(1),
        unit="item",
        amount=Decimal(-35),
        credit_grant_id=id_of("prepaid in May"),
        detail={
            "available": "35",
            "drawn": "35",
            "left": "0",
            "applied_to": [
                {"item": str(id_of("web")), "product": "Machines", "description": "web", "amount": "20"},
                {"item": str(id_of("worker")), "product": "Machines", "description": "worker", "amount": "15"},
            ],
        },
    )
    assert left(invoice) == {"web": Decimal(0), "worker": Decimal(15), "zone": Decimal(10)}


def test_the_next_credit_pays_the_rest_of_the_one_before() -> None:
    invoice = credited(item("web", "20"), item("worker", "30"), by=[credit("35", "a"), credit("100", "b", priority=1)])
    assert [applied(line) for line in invoice.items[2:]] == [{"web": "20", "worker": "15"}, {"worker": "15"}]
    assert invoice.items[-1].detail["left"] == "85"


def test_a_credit_larger_than_the_invoice_keeps_the_rest_for_later() -> None:
    """Exact to the last digit: 12.345678 of 20 leave 7.654322."""
    invoice = credited(item("web", "12.345678"), by=[credit("20")])
    detail = only(invoice, "credit").detail
    assert (detail["available"], detail["drawn"], detail["left"]) == ("20", "12.345678", "7.654322")
    assert invoice.left_in_all() == 0


def test_a_refund_of_another_item_lowers_the_credit_drawn() -> None:
    """10 - 8 dollars are owed: 2 of the credit are drawn, and the invoice's total is 0, not below."""
    invoice = credited(item("web", "10"), item("sorry", "-8", "one_off"), by=[credit("50")])
    assert only(invoice, "credit").amount == -2
    assert invoice.left_in_all() == 0


def test_an_invoice_in_the_customers_favour_draws_no_credit() -> None:
    assert len(credited(item("web", "10"), item("sorry", "-12", "one_off"), by=[credit("50")]).items) == 2


def test_an_unused_credit_is_not_on_the_invoice() -> None:
    empty = [credit("0", "used up"), credit("5", "for GPUs", scope=Scope(products=("GPUs",)))]
    assert len(credited(item("web", "10"), by=empty).items) == 1
    assert credited(by=[credit("5")]).items == []


# --- The order of credits ------------------------------------------------------------------------------------------

JUNE, OCTOBER, NOVEMBER = at("2026-06-01"), at("2026-10-15"), at("2026-11-15")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": 0}, {"priority": 1, "expires_at": OCTOBER}),
        ({"expires_at": OCTOBER}, {"expires_at": NOVEMBER, "granted_at": at("2025-01-01")}),
        ({"expires_at": NOVEMBER}, {"expires_at": None}),
        ({"granted_at": at("2026-05-31")}, {"granted_at": JUNE}),
    ],
    ids=["lower priority", "expires sooner", "expires at all", "granted earlier"],
)
@pytest.mark.parametrize("names", [("this", "that"), ("that", "this")])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_credit_is_drawn_before_another(
    first: dict[str, Any], second: dict[str, Any], is_reversed: bool, names: tuple[str, str]
) -> None:
    """6 of the 10 dollars come from the first, 4 from the second, for any names and any order of the input."""
    both = [credit("6", names[0], **first), credit("6", names[1], **second)]
    invoice = credited(item("web", "10"), by=both[::-1] if is_reversed else both)
    assert [line.description for line in invoice.items[1:]] == list(names)
    assert amounts(invoice, "credit") == [Decimal(-6), Decimal(-4)]


def test_the_same_of_two_equal_credits_is_always_drawn_first() -> None:
    both = [credit("6", "this"), credit("6", "that")]
    assert credited(item("web", "10"), by=both).items == credited(item("web", "10"), by=both[::-1]).items


# --- The months of a credit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "pays"),
    [
        ({"expires_at": at("2026-09-01T00:00:00")}, False),
        ({"expires_at": at("2026-09-01T00:00:01")}, True),
        ({"expires_at": at("2026-09-15T12:00:00")}, True),
        ({"granted_at": at("2026-09-15T12:00:00")}, True),
        ({"granted_at": at("2026-09-30T23:59:59")}, True),
        ({"granted_at": at("2026-10-01T00:00:00")}, False),
        ({"granted_at": at("2026-09-10"), "expires_at": at("2026-09-11")}, True),
    ],
)
def test_a_credit_pays_for_a_month_that_begins_before_it_expires_and_ends_after_it_was_granted(
    times: dict[str, Any], pays: bool
) -> None:
    invoice = credited(item("web", "10"), by=[credit("6", **times)])
    assert amounts(invoice, "credit") == ([Decimal(-6)] if pays else [])


# --- The scope of a credit -----------------------------------------------------------------------------------------


def test_a_reservation_of_one_cpu_class_in_one_region_leaves_other_regions_and_classes_alone() -> None:
    """20 dollars a month of performance Machines in Amsterdam: 8 + 12 of 15 there, nothing elsewhere."""
    ams = {"region": ("ams",)}
    reserved = Scope(
        kinds=("usage",), meter="machine_seconds", match=ams | {"preset": ("performance-1x", "performance-2x")}
    )
    invoice = credited(
        item("1x in iad", "40", meter="machine_seconds", match={"region": ("iad",), "preset": ("performance-1x",)}),
        item("shared in ams", "9", meter="machine_seconds", match=ams | {"preset": ("shared-cpu-1x",)}),
        item("1x in ams", "8", meter="machine_seconds", match=ams | {"preset": ("performance-1x",)}),
        item("2x in ams", "15", meter="machine_seconds", match=ams | {"preset": ("performance-2x",)}),
        item("egress of ams", "3", meter="egress_gb", match=ams),
        by=[credit("20", "reservation", scope=reserved)],
    )
    assert applied(only(invoice, "credit")) == {"1x in ams": "8", "2x in ams": "12"}
    assert invoice.left_in_all() == 55


def test_a_scoped_credit_pays_before_an_unscoped_one_by_priority() -> None:
    """The scoped credit pays ams, and the unscoped one iad: 5 are left, not 15."""
    items = item("ams", "10", match={"region": ("ams",)}), item("iad", "15", match={"region": ("iad",)})
    bound = credit("10", "bound", priority=-1, scope=Scope(match={"region": ("ams",)}))
    assert credited(*items, by=[credit("10", "free"), bound]).left_in_all() == 5


def test_a_credit_pays_for_minimums_and_adjustments_too() -> None:
    items = item("web", "1"), item("August", "2", "adjustment"), item("at least", "3", "minimum")
    assert credited(*items, by=[credit("10")]).left_in_all() == 0
    assert credited(*items, by=[credit("10", scope=Scope(kinds=("usage",)))]).left_in_all() == 5


def test_a_credit_never_pays_a_tax() -> None:
    assert credited(item("VAT", "19", "tax"), by=[credit("100")]).left_in_all() == 19
    assert "tax" not in CREDITABLE


def test_linked_organizations_share_the_payers_credit() -> None:
    """The line belongs to the payer, and names the organizations of the paid items."""
    invoice = credited(item("web", "4"), item("lab", "8", organization_id="acme-labs"), by=[credit("10")])
    assert applied(only(invoice, "credit")) == {"lab": "8", "web": "2"}
    assert only(invoice, "credit").organization_id == "acme"
