"""The forecast of a sync counts its requests, and the spending guard blocks totals far from last month's."""

import re

import pytest

from fly_billing.stripe_sync.rules.spending_guard import (
    GuardResult,
    InvoiceToSend,
    OrganizationTotals,
    SendPlan,
    describe_totals,
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


def test_the_requests_of_several_invoices_are_summed() -> None:
    """100 items are one call, 101 are two."""
    plan = plan_sending(
        [
            to_send("acme", items=100, cents=100),
            to_send("bolt", items=101, cents=200),
            to_send("crux", items=3, cents=300, state="filled"),
            to_send("dune", items=4, cents=400, state="failed"),
            to_send("echo", items=5, cents=0),
        ]
    )
    assert plan == SendPlan(
        invoices=4,
        nothing_to_pay=1,
        to_settle=1,
        customers=("acme", "bolt", "crux", "dune"),
        lines=201,
        calls={"create_customer": 4, "create": 2, "add_lines": 3, "finalize": 3, "retrieve": 1},
        totals={"USD": 1000},
    )


def test_an_existing_customer_at_stripe_is_not_created_again() -> None:
    plan = plan_sending([InvoiceToSend("acme", "USD", 500, 1, None, has_draft=False, has_customer=True)])
    assert (plan.customers, plan.calls["create_customer"], plan.calls["create"]) == ((), 0, 1)


@pytest.mark.parametrize("state", ["failed", "unknown", "needs_attention"])
def test_an_invoice_that_failed_before_its_draft_is_counted_from_the_beginning(state: str) -> None:
    plan = plan_sending([InvoiceToSend("acme", "USD", 500, 1, state, has_draft=False, has_customer=True)])
    assert (plan.to_settle, plan.calls["create"], plan.calls["add_lines"], plan.calls["finalize"]) == (0, 1, 1, 1)


@pytest.mark.parametrize("state", ["failed", "unknown", "needs_attention"])
def test_an_invoice_that_failed_with_a_draft_is_counted_separately(state: str) -> None:
    plan = plan_sending([to_send("acme", state=state)])
    assert (plan.to_settle, plan.lines, plan.calls["create"], plan.calls["finalize"]) == (1, 0, 0, 0)


def test_two_invoices_of_one_organization_create_one_customer() -> None:
    plan = plan_sending([to_send("acme", cents=100), to_send("acme", cents=-30), to_send("bolt", currency="EUR")])
    assert (plan.customers, plan.totals) == (("acme", "bolt"), {"EUR": 500, "USD": 70})


def test_an_invoice_of_zero_is_not_sent_and_creates_no_customer() -> None:
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
def test_a_started_invoice_counts_its_remaining_requests(state: str, calls: dict[str, int]) -> None:
    plan = plan_sending([to_send("acme", state=state)])
    assert {name: count for name, count in plan.calls.items() if count} == calls


def test_an_invoice_with_an_unknown_outcome_is_counted_separately() -> None:
    plan = plan_sending([to_send("acme", state="unknown")])
    assert (plan.invoices, plan.to_settle, plan.lines, plan.calls["finalize"]) == (1, 1, 0, 0)


def test_the_shortest_duration_is_that_of_the_slowest_limit() -> None:
    plan = plan_sending([to_send(f"org-{n}") for n in range(1000)])
    assert plan.floor_seconds(100, 25) == 40  # 1,000 / 25; the account: 4,000 / 100
    assert plan.floor_seconds(25, 20) == 160  # 4,000 / 25
    assert plan_sending([]).floor_seconds(100, 25) == 0
    assert plan_sending([to_send("acme")]).floor_seconds(100, 25) == 1  # a part of a second counts as a second


def judged(cents: int, last: int | None, percent: int = 50, approved: int | None = None) -> GuardResult:
    (verdict,) = judge_totals(
        [OrganizationTotals("acme", "USD", cents, last)], percent, {} if approved is None else {"USD": approved}
    )
    return verdict


@pytest.mark.parametrize(("cents", "passes"), [(15000, True), (15001, False), (5000, True), (4999, False), (0, False)])
def test_the_guard_allows_half_more_or_half_less_than_last_month(cents: int, passes: bool) -> None:
    assert judged(cents, 10000).passes is passes


def test_a_blocked_total_names_both_amounts() -> None:
    assert judged(15001, 10000).reason == "$150.01 this month, $100.00 last month: 51 % more, 50 % is allowed"
    assert judged(2500, 10000).reason == "$25.00 this month, $100.00 last month: 75 % less, 50 % is allowed"
    assert judged(20000, 10000, approved=15000).reason == (
        "$200.00 this month, $100.00 last month: 100 % more, 50 % is allowed; only $150.00 is approved"
    )


@pytest.mark.parametrize(
    ("cents", "last", "percent", "approved", "reason"),
    [
        (10**9, 1, 0, None, "the guard is turned off"),
        (10**9, None, 50, None, "last month has no final invoices: nothing to compare with"),
        (500, 0, 50, None, "last month's total was zero or less: nothing to compare with"),
        (500, -1, 50, None, "last month's total was zero or less: nothing to compare with"),
        (14000, 10000, 50, None, "within 50 % of last month"),
        (101, 100, 1, None, "within 1 % of last month"),
        (1, 1, 50, None, "within 50 % of last month"),
        (20000, 10000, 50, 30000, "approved up to $300.00"),
    ],
)
def test_a_passing_total_has_a_reason(
    cents: int, last: int | None, percent: int, approved: int | None, reason: str
) -> None:
    assert judged(cents, last, percent, approved) == GuardResult("USD", cents, last, True, reason)


def test_a_last_month_of_one_cent_is_compared() -> None:
    assert not judged(500, 1).passes


@pytest.mark.parametrize(("approved", "passes"), [(20000, True), (20001, True), (19999, False)])
def test_an_approval_applies_while_the_total_does_not_exceed_it(approved: int, passes: bool) -> None:
    assert judged(20000, 10000, approved=approved).passes is passes


def test_each_currency_is_compared_separately() -> None:
    totals = [OrganizationTotals("acme", "USD", 100, 100), OrganizationTotals("bolt", "JPY", 900, 300)]
    assert [(total.currency, total.passes) for total in judge_totals(totals, 50, {"USD": 10**6})] == [
        ("JPY", False),
        ("USD", True),
    ]


def test_months_are_compared_by_total_and_not_by_organization() -> None:
    """$10.00 and $20.00 last month, $15.00 and $16.00 now; dune is new, and echo had nothing."""
    totals = [
        OrganizationTotals("acme", "USD", 1500, 1000),
        OrganizationTotals("bolt", "USD", 1600, 2000),
        OrganizationTotals("dune", "USD", 900, None),
    ]
    (verdict,) = judge_totals(totals, 50, {})
    assert verdict == GuardResult("USD", 4000, 3000, True, "within 50 % of last month")


def test_a_total_out_of_line_names_five_organizations_and_both_totals() -> None:
    totals = [OrganizationTotals(name, "USD", 500, 100) for name in "gfedcba"]
    assert judge_totals(totals, 50, {}) == [
        GuardResult(
            "USD",
            3500,
            700,
            False,
            "$35.00 this month, $7.00 last month: 400 % more, 50 % is allowed",
            tuple(OrganizationTotals(name, "USD", 500, 100) for name in "abcde"),
        )
    ]


def test_a_new_organization_has_changed_by_its_full_total() -> None:
    """One dollar more each: sorted by name."""
    totals = [OrganizationTotals("crux", "USD", 300, 200), OrganizationTotals("bolt", "USD", 100, None)]
    (verdict,) = judge_totals(totals, 50, {})
    assert [contributor.organization_id for contributor in verdict.contributors] == ["bolt", "crux"]


@pytest.mark.parametrize(
    ("total", "text"),
    [
        (OrganizationTotals("acme", "USD", 12000, 1000), "acme $120.00 (last month $10.00)"),
        (OrganizationTotals("acme", "JPY", 1200, None), "acme JPY 1,200 (last month nothing)"),
        (OrganizationTotals("acme", "USD", 1, 0), "acme $0.01 (last month $0.00)"),
    ],
)
def test_a_contributor_is_described_with_both_months(total: OrganizationTotals, text: str) -> None:
    assert describe_totals(total) == text


def test_the_largest_changes_are_named_first_including_organizations_that_left() -> None:
    totals = [
        OrganizationTotals("acme", "USD", 1100, 1000),
        OrganizationTotals("bolt", "USD", 9000, None),
        OrganizationTotals("crux", "USD", 0, 2000),
    ]
    (verdict,) = judge_totals(totals, 50, {})
    assert [contributor.organization_id for contributor in verdict.contributors] == ["bolt", "crux", "acme"]


def test_an_approved_total_names_its_currency_or_has_the_default_one() -> None:
    assert read_approved_total("5850.00") == {"USD": 585000}
    assert read_approved_total("585000", "JPY") == {"JPY": 585000}
    assert read_approved_total("eur= 12.00 ,0.07") == {"EUR": 1200, "USD": 7}
    assert read_approved_total(" usd=5850.00, JPY = 585000, KWD=0.000") == {"USD": 585000, "JPY": 585000, "KWD": 0}


@pytest.mark.parametrize("text", ["", "=5.00", "DOLLARS=1.00", "US1=5.00", "USD=EUR=5.00", "USD=5.00,", "ÄÖÜ=5.00"])
def test_a_text_that_names_no_total_is_refused(text: str) -> None:
    expected = f"{text!r} is not a total: write 5850.00, or USD=5850.00, JPY=585000"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        read_approved_total(text)


@pytest.mark.parametrize("text", ["USD=5.00, USD=6.00", "5.00, USD=6.00"])
def test_a_total_named_twice_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names two amounts in USD"):
        read_approved_total(text)


def test_a_total_in_cents_is_refused_and_never_read_as_100_times_as_much() -> None:
    with pytest.raises(ValueError, match=r"^585000 has no cents: write 585000\.00 if you mean \$585,000\.00$"):
        read_approved_total("USD=585000")
