"""A month that Stripe billed is compared with ours: what differs, by how much, and why. Amounts in cents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from fly_billing.cutover.rules.comparison import (
    ComparedOrganization,
    Comparison,
    FailedPayer,
    OurInvoice,
    compare_month,
)
from fly_billing.cutover.rules.past_invoices import PastInvoice, PastLine
from fly_billing.periods import BillingMonth

OCTOBER = BillingMonth(2026, 10)


def past(
    organization: str = "acme",
    lines: Mapping[str, int] | Sequence[tuple[str, int]] | None = None,
    *,
    total: int | None = None,
    tax: int = 0,
    currency: str = "USD",
    status: str = "paid",
    **others: object,
) -> PastInvoice:
    given_lines = list(lines.items()) if isinstance(lines, Mapping) else lines
    made = [PastLine([name], name, cents) for name, cents in given_lines] if given_lines is not None else None
    return PastInvoice(
        stripe_id=f"in_{organization}",
        number=f"N-{organization}",
        customer=f"cus_{organization}",
        organization_id=organization,
        currency=currency,
        created=datetime(2026, 11, 1, tzinfo=UTC),
        status=status,
        total_cents=sum(line.cents for line in made or ()) + tax if total is None else total,
        tax_cents=tax,
        credit_note_cents=int(others.get("credit_notes", 0)),  # type: ignore[call-overload]
        lines=made,
        is_ours=bool(others.get("is_ours")),
    )


def ours(
    products: Mapping[str, int],
    organization: str = "acme",
    *,
    tax: int = 0,
    prepaid: int = 0,
    currency: str = "USD",
    status: str = "finalized",
) -> OurInvoice:
    total = sum(products.values()) + tax + prepaid
    return OurInvoice(organization, organization.title(), currency, status, total, prepaid, tax, products)


def compare(
    past_invoices: Sequence[PastInvoice],
    our_invoices: Sequence[OurInvoice],
    failed: Sequence[FailedPayer] = (),
    products: Mapping[str, str] | None = None,
) -> Comparison:
    return compare_month(
        OCTOBER,
        past_invoices,
        our_invoices,
        failed,
        payer_of=lambda invoice: invoice.organization_id,
        product_of=products or {},
    )


def only(comparison: Comparison) -> ComparedOrganization:
    (found,) = comparison.organizations
    return found


def causes(compared: ComparedOrganization) -> list[tuple[str, int]]:
    return [(cause.text, cause.cents) for cause in compared.causes]


def test_the_same_charges_and_tax_agree() -> None:
    compared = compare([past(lines={"Machines": 10_000, "Support": 2_900}, tax=2_451)],
                       [ours({"Machines": 10_000, "Support": 2_900}, tax=2_451)])  # fmt: skip
    assert compared.is_equal
    assert (only(compared).stripe_cents, only(compared).our_cents, only(compared).causes) == (15_351, 15_351, [])


def test_each_product_and_the_tax_explain_their_part_of_a_difference() -> None:
    """Stripe: 100.00 + 29.00 and 25.80 of tax. Here: 98.00 + 29.00 + 1.00 and 25.60."""
    found = only(
        compare(
            [past(lines={"Machines": 10_000, "Support": 2_900}, tax=2_580)],
            [ours({"Machines": 9_800, "Support": 2_900, "Egress": 100}, tax=2_560)],
        )
    )
    assert (found.stripe_cents, found.our_cents, found.difference_cents) == (15_480, 15_360, -120)
    assert causes(found) == [
        ("Machines: $100.00 in Stripe, $98.00 here", -200),
        ("Only here: Egress, $1.00", 100),
        ("Tax: $25.80 in Stripe, $25.60 here", -20),
    ]


def test_largest_differences_come_first_whatever_their_sign() -> None:
    compared = compare(
        [past("a", total=1_000), past("b", total=1_000), past("c", total=1_000), past("d", total=1_000)],
        [ours({"x": 1_000}, "a"), ours({"x": 1_001}, "b"), ours({"x": 400}, "c"), ours({"x": 1_500}, "d")],
    )
    assert [each.organization_id for each in compared.organizations] == ["c", "d", "b", "a"]
    assert [each.organization_id for each in compared.differing] == ["c", "d", "b"]


def test_names_of_stripe_are_mapped_to_our_products_by_the_users_file() -> None:
    theirs = [past(lines={"prod_MachineSeconds": 10_000})]
    assert causes(only(compare(theirs, [ours({"Machines": 9_900})]))) == [
        ("Only in Stripe: prod_MachineSeconds, $100.00", -10_000),
        ("Only here: Machines, $99.00", 9_900),
    ]
    mapped = compare(theirs, [ours({"Machines": 9_900})], products={"prod_MachineSeconds": "Machines"})
    assert causes(only(mapped)) == [("Machines: $100.00 in Stripe, $99.00 here", -100)]


def test_names_are_compared_without_case() -> None:
    assert only(compare([past(lines={"MACHINES": 100})], [ours({"Machines": 100})])).causes == []


def test_an_organization_that_only_one_side_bills_differs_by_its_whole_amount() -> None:
    compared = compare([past("gone", total=500)], [ours({"Machines": 700}, "new")])
    assert {each.organization_id: causes(each) for each in compared.organizations} == {
        "new": [("No invoice in Stripe", 700)],
        "gone": [("No invoice of this month here", -500)],
    }
    assert not compared.is_equal


def test_a_side_without_an_invoice_agrees_with_an_invoice_of_zero() -> None:
    assert compare([past("a", total=0)], []).is_equal
    assert compare([], [ours({}, "b")]).is_equal


def test_a_month_that_cannot_be_calculated_never_counts_as_equal() -> None:
    failed = [FailedPayer("acme", "Acme", "USD", "no price for machine_seconds")]
    for theirs in ([], [past(total=0)], [past(total=500)]):
        compared = compare(theirs, [], failed)
        assert not compared.is_equal
        assert only(compared).causes[0].text == "The invoice here can't be calculated: no price for machine_seconds"


def test_prepaid_credit_is_no_difference_but_is_noted() -> None:
    """Stripe charged 50.00 and took it from the customer's balance. Here, 50.00 less 20.00 of prepaid credit."""
    found = only(compare([past(lines={"Machines": 5_000})], [ours({"Machines": 5_000}, prepaid=-2_000)]))
    assert found.agrees
    assert found.notes == ["Here, prepaid credit pays $20.00 of it"]


def test_several_invoices_of_a_customer_are_added_up() -> None:
    found = only(compare([past(lines={"Machines": 300}), past(lines={"Machines": 200})], [ours({"Machines": 500})]))
    assert found.agrees
    assert found.notes == ["Stripe billed it in 2 invoices"]


def test_each_currency_is_compared_by_itself() -> None:
    compared = compare([past(total=500, currency="EUR")], [ours({"Machines": 500})])
    assert [(total.currency, total.stripe_cents, total.our_cents) for total in compared.sums()] == [
        ("EUR", 500, 0),
        ("USD", 0, 500),
    ]
    assert len(compared.differing) == 2


def test_invoices_that_charged_nothing_are_left_out_with_their_reason() -> None:
    compared = compare(
        [past("a", total=100, status="void"), past("b", total=200, status="draft"), past("c", total=3, is_ours=True)],
        [],
    )
    assert [(left.invoice, left.amount, left.reason) for left in compared.left_out] == [
        ("N-a", "$1.00", "it is void in Stripe"),
        ("N-b", "$2.00", "it is draft in Stripe"),
        ("N-c", "$0.03", "fly_billing sent it"),
    ]
    assert compared.organizations == []


def test_a_customer_of_no_organization_is_in_no_sum_and_never_equal() -> None:
    stranger = compare_month(OCTOBER, [past(total=900)], [], [], payer_of=lambda invoice: None, product_of={})
    assert [(left.customer, left.amount) for left in stranger.unmatched] == [("cus_acme", "$9.00")]
    assert not stranger.is_equal
    assert stranger.sums() == []


def test_cents_of_rounding_by_line_are_one_cause() -> None:
    """Stripe rounds each of two lines up; here the total is rounded once."""
    found = only(compare([past(lines={"a": 101, "b": 201})], [ours({"a": 100, "b": 200})]))
    assert causes(found) == [("2 products differ by at most a cent per line: Stripe rounds each line", -2)]


def test_a_discount_of_the_whole_invoice_is_a_cause_of_its_own() -> None:
    found = only(compare([past(lines={"Machines": 1_000}, total=900)], [ours({"Machines": 1_000})]))
    assert causes(found) == [("Only in Stripe: Discounts and credits of whole invoices in Stripe, -$1.00", 100)]


def test_without_lines_the_charges_and_the_tax_are_compared() -> None:
    found = only(compare([past(total=1_190, tax=190)], [ours({"Machines": 900}, tax=171)]))
    assert causes(found) == [
        ("Charges before tax: $10.00 in Stripe, $9.00 here (the export has no lines)", -100),
        ("Tax: $1.90 in Stripe, $1.71 here", -19),
    ]


PRODUCTS = st.dictionaries(st.sampled_from("abcd"), st.integers(-500, 500))
OURS = st.builds(ours, PRODUCTS, tax=st.integers(0, 50), prepaid=st.integers(-100, 0))
LINES = st.lists(st.tuples(st.sampled_from("abcx"), st.integers(-500, 500)))


@given(
    st.lists(
        st.builds(past, lines=st.none() | LINES, total=st.integers(-900, 900), tax=st.integers(0, 50)), max_size=3
    ),
    st.none() | OURS,
)
def test_the_causes_of_an_organization_add_up_to_its_difference(
    theirs: list[PastInvoice], here: OurInvoice | None
) -> None:
    for found in compare(theirs, [here] if here else []).organizations:
        assert sum(cause.cents for cause in found.causes) == found.difference_cents
