"""What a sync would send, counted by hand; and which totals are so far from last month's that a human has to look."""

import pytest

from fly_billing.domain.cutover import (
    InvoiceToSend,
    OrganizationTotals,
    Verdict,
    judge_totals,
    plan_sending,
    read_approved_total,
)


def to_send(
    organization: str, items: int = 1, cents: int = 500, state: str | None = None, currency: str = "USD"
) -> InvoiceToSend:
    return InvoiceToSend(organization, currency, cents, items, state, state not in (None, "pending"), False)


def test_a_new_invoice_of_250_items_is_folded_to_248_lines_in_three_calls() -> None:
    plan = plan_sending([to_send("acme", items=250, cents=25000)])
    assert (plan.invoices, plan.lines, plan.totals) == (1, 248, {"USD": 25000})
    assert plan.calls == {"create_customer": 1, "create": 1, "add_lines": 3, "finalize": 1, "retrieve": 0}


def test_two_invoices_of_one_organization_make_one_customer() -> None:
    plan = plan_sending([to_send("acme", cents=100), to_send("acme", cents=-30), to_send("bolt", currency="EUR")])
    assert (plan.customers, plan.totals) == (("acme", "bolt"), {"EUR": 500, "USD": 70})


def test_an_invoice_with_nothing_to_pay_is_not_sent_and_makes_no_customer() -> None:
    plan = plan_sending([to_send("acme", cents=0)])
    assert (plan.invoices, plan.nothing_to_pay, plan.customers, sum(plan.calls.values())) == (0, 1, (), 0)


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ("pending", {"create_customer": 1, "create": 1, "add_lines": 1, "finalize": 1}),
        ("drafted", {"create_customer": 1, "add_lines": 1, "finalize": 1}),
        ("filled", {"create_customer": 1, "finalize": 1, "retrieve": 1}),
        ("verified", {"create_customer": 1, "finalize": 1, "retrieve": 1}),
    ],
)
def test_an_invoice_on_its_way_costs_what_is_left_of_it(state: str, calls: dict[str, int]) -> None:
    plan = plan_sending([to_send("acme", state=state)])
    assert {name: count for name, count in plan.calls.items() if count} == calls


def test_an_invoice_that_has_to_be_looked_for_first_is_counted_by_itself() -> None:
    plan = plan_sending([to_send("acme", state="unknown")])
    assert (plan.invoices, plan.to_settle, plan.lines, plan.calls["finalize"]) == (1, 1, 0, 0)


def test_the_floor_is_the_slowest_endpoint_or_the_account_whichever_is_slower() -> None:
    plan = plan_sending([to_send(f"org-{n}") for n in range(1000)])
    assert plan.floor_seconds(100, 25) == 40  # 1,000 / 25; the account: 4,000 / 100
    assert plan.floor_seconds(25, 20) == 160  # 4,000 / 25
    assert plan_sending([]).floor_seconds(100, 25) == 0


def judged(cents: int, last: int | None, percent: int = 50, approved: int | None = None) -> Verdict:
    (verdict,) = judge_totals(
        [OrganizationTotals("acme", "USD", cents, last)], percent, {} if approved is None else {"USD": approved}
    )
    return verdict


@pytest.mark.parametrize(("cents", "passes"), [(15000, True), (15001, False), (5000, True), (4999, False), (0, False)])
def test_half_more_or_half_less_than_last_month_is_the_limit(cents: int, passes: bool) -> None:
    assert judged(cents, 10000).passes is passes


def test_a_total_out_of_line_is_told_with_both_amounts() -> None:
    assert judged(15001, 10000).reason == "$150.01 this month, $100.00 last month: 51 % more, 50 % are allowed"
    assert judged(2500, 10000).reason == "$25.00 this month, $100.00 last month: 75 % less, 50 % are allowed"


def test_a_first_month_passes_with_a_note() -> None:
    assert judged(10**9, None).passes
    assert judged(10**9, None).reason == "last month has no final invoices: nothing to compare with"


def test_after_a_month_that_came_to_nothing_there_is_nothing_to_compare_with() -> None:
    assert judged(500, 0).passes


def test_the_guard_can_be_turned_off() -> None:
    assert judged(10**9, 1, percent=0).passes


@pytest.mark.parametrize(("approved", "passes"), [(20000, True), (20001, True), (19999, False)])
def test_an_approval_holds_while_the_total_does_not_exceed_it(approved: int, passes: bool) -> None:
    assert judged(20000, 10000, approved=approved).passes is passes


def test_each_currency_is_compared_with_itself() -> None:
    totals = [OrganizationTotals("acme", "USD", 100, 100), OrganizationTotals("bolt", "JPY", 900, 300)]
    assert [(one.currency, one.passes) for one in judge_totals(totals, 50, {"USD": 10**6})] == [
        ("JPY", False),
        ("USD", True),
    ]


def test_the_largest_changes_are_named_first_also_of_those_who_left() -> None:
    totals = [
        OrganizationTotals("acme", "USD", 1100, 1000),
        OrganizationTotals("bolt", "USD", 9000, None),
        OrganizationTotals("crux", "USD", 0, 2000),
    ]
    (verdict,) = judge_totals(totals, 50, {})
    assert [one.organization_id for one in verdict.contributors] == ["bolt", "crux", "acme"]


def test_an_approved_total_is_read_from_a_tag() -> None:
    assert read_approved_total("585000") == {"USD": 585000}
    assert read_approved_total(" usd=585000, EUR = 0") == {"USD": 585000, "EUR": 0}


@pytest.mark.parametrize("text", ["", "$5850", "5850.00", "=5", "DOLLARS=1", "USD=5,"])
def test_a_tag_that_is_no_total_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no total"):
        read_approved_total(text)
