"""`fly-billing status` lists what needs a person, each with the command that fixes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

from fly_billing.alerting.rules.alerts import FailedInvoice
from fly_billing.checks.rules.failures import FailedCheck
from fly_billing.corrections.rules.guard import HeldTotal
from fly_billing.operations.rules.attention import (
    Discrepancies,
    Facts,
    HeldMonth,
    Problem,
    RefusedAlerts,
    attention_rows,
)
from fly_billing.stripe_sync.rules.open_credits import OpenCredit
from fly_billing.stripe_sync.rules.spending_guard import GuardResult
from tests.support.builders import at, days_of


def failed(organization: str, month: str = "2026-10", code: str = "no_price") -> FailedInvoice:
    return FailedInvoice(organization, month, code, "no price for GPUs: load one", "USD", 1200)


def rows_of(facts: Facts) -> list[tuple[str, str, str, str]]:
    return [(row.kind, row.about, row.problem, row.fix) for row in attention_rows(facts)]


def test_nothing_needs_a_person_if_every_list_is_empty() -> None:
    assert rows_of(Facts()) == []


def test_organizations_that_fail_for_one_cause_share_a_row() -> None:
    facts = Facts(
        failed_invoices=[failed(name) for name in ("labs", "acme", "f", "e", "d", "c", "b")]
        + [failed("acme", "2026-11"), failed("acme", code="unreadable")]
    )
    text = "no price for GPUs: load one"
    assert rows_of(facts) == [
        ("failed invoice", "2026-10", f"acme, b, c, d, e, 2 more (no_price): {text}", "fly-billing bill 2026-10"),
        ("failed invoice", "2026-10", f"acme (unreadable): {text}", "fly-billing bill 2026-10"),
        ("failed invoice", "2026-11", f"acme (no_price): {text}", "fly-billing bill 2026-11"),
    ]


def test_a_held_month_names_the_days_that_it_waits_for_and_no_other_row_repeats_them() -> None:
    waiting = [date(2026, 10, 4), date(2026, 10, 5), date(2026, 11, 2)]
    facts = Facts(
        held_months=[HeldMonth("2026-10", waiting)],
        missing_days=[*waiting, date(2026, 11, 20), date(2026, 11, 21)],
    )
    assert rows_of(facts) == [
        (
            "month not closed", "2026-10",
            "waits for 3 landing days (2026-10-04 to 2026-10-05, 2026-11-02): not landed after the day ended, or"
            " changed since",
            "fly-billing land 2026-10 && fly-billing bill 2026-10",
        ),
        (
            "missing landing day", "2026-11", "2 landing days (2026-11-20 to 2026-11-21) did not land",
            "fly-billing land 2026-11",
        ),
    ]  # fmt: skip


def test_a_month_that_waits_for_rejected_usage_shows_how_many_rows() -> None:
    (row,) = attention_rows(Facts(held_months=[HeldMonth("2026-10", [], 3)]))
    assert row.problem == "waits for 3 rejected rows that nobody fixed or waived"
    assert row.fix == "fly-billing rejected 2026-10"


def test_the_longest_late_payments_are_listed_and_the_others_counted() -> None:
    late = [Problem(f"org-{n}", f"2026-09: $70.00 is {30 - n} days past due") for n in range(7)]
    found = rows_of(Facts(late_payments=late))
    assert found[0] == ("late payment", "org-0", "2026-09: $70.00 is 30 days past due", "fly-billing statement org-0")
    assert len(found) == 6
    assert found[5] == ("late payment", "others", "2 more invoices past due", "fly-billing finance receivables")


def test_many_gaps_are_counted_instead_of_listed() -> None:
    odd = [day for day in days_of(date(2026, 11, 1), date(2026, 11, 15)) if day.day % 2]
    (row,) = attention_rows(Facts(missing_days=odd))
    assert row.problem == (
        "8 landing days (2026-11-01, 2026-11-03, 2026-11-05, 2026-11-07, 2026-11-09, 3 more ranges) did not land"
    )


def test_files_and_rejected_usage_are_shown_with_the_texts_of_their_subject() -> None:
    facts = Facts(
        landing_problems=[Problem("2026-13-01", "not a landing day")],
        rejected=[Problem("proxy-#.jsonl", "proxy-#.jsonl, bad_time: 2 rows of acme; estimate $0.30")],
    )
    assert rows_of(facts) == [
        ("landing problem", "2026-13-01", "not a landing day", "fly-billing land"),
        (
            "rejected usage", "proxy-#.jsonl", "proxy-#.jsonl, bad_time: 2 rows of acme; estimate $0.30",
            "fly-billing rejected",
        ),
    ]  # fmt: skip


def test_a_held_correction_shows_its_amount_and_the_command_that_approves_exactly_it() -> None:
    """30.001 + 5.00 is rounded up to a cent: 35.01."""
    held = HeldTotal("2026-09", "EUR", {"acme": Decimal("30.001"), "labs": Decimal(5)}, ("too much",))
    assert rows_of(Facts(held_corrections=[held], changed_terms={"2026-08": 1})) == [
        (
            "held correction", "2026-09",
            "2 corrections would return EUR 35.01: too much. First check that no usage is missing",
            "fly-billing approve-corrections 2026-09 --total 35.01 --currency EUR --by NAME --why REASON",
        ),
        (
            "changed terms", "2026-08", "terms of 1 final invoice changed, and nobody decided if that is charged",
            "fly-billing corrections 2026-08",
        ),
    ]  # fmt: skip


def test_a_credit_note_that_stripe_does_not_have_shows_the_command_that_goes_on_with_it() -> None:
    asked = OpenCredit(
        UUID(int=7), "acme", date(2026, 9, 1), "JPY", 15_000, "an outage", "ann", "waiting", None, at("2026-11-05")
    )
    stuck = replace(asked, state="unknown", failure="no_answer: late")
    id = "00000000-0000-0000-0000-000000000007"
    assert rows_of(Facts(open_credits=[asked, stuck])) == [
        (
            "credit note", "acme 2026-09",
            "a credit note of JPY 15,000 (an outage) waits for an approval by somebody else than ann. Or withdraw it:"
            f" `fly-billing withdraw-credit {id} --by NAME --why REASON`",
            f"fly-billing approve-credit {id} --by NAME",
        ),
        (
            "credit note", "acme 2026-09",
            "a credit note of JPY 15,000 (an outage) has not reached Stripe since 2026-11-05 00:00Z: no_answer: late",
            f"fly-billing send-credit {id}",
        ),
    ]  # fmt: skip


def test_stripe_shows_failed_syncs_blocked_months_and_discrepancies() -> None:
    blocked = GuardResult("EUR", 58500, 10000, False, "EUR 585.00 this month, EUR 100.00 last month")
    facts = Facts(
        failed_syncs=[failed("acme", code="no_answer")],
        guarded={"2026-10": [blocked]},
        discrepancies=[Discrepancies("2026-09", {"missing": 2, "edited": 1}, at("2026-11-05T05:00:00"))],
    )
    assert rows_of(facts) == [
        ("failed sync", "2026-10", "acme (no_answer): no price for GPUs: load one", "fly-billing sync 2026-10"),
        (
            "month not synced", "2026-10",
            "the spending guard blocks it: EUR 585.00 this month, EUR 100.00 last month",
            "fly-billing approve 2026-10 --by NAME --total 585.00 --currency EUR",
        ),
        (
            "discrepancy", "2026-09", "Stripe and our invoices differ (2026-11-05 05:00Z): 1 edited, 2 missing",
            "fly-billing repair 2026-09",
        ),
    ]  # fmt: skip


def test_open_invoices_of_months_that_can_not_be_billed_are_counted_by_month() -> None:
    (row,) = attention_rows(Facts(invalid_invoices={"2027-05": 41}))
    assert (row.about, row.problem) == ("2027-05", "41 open invoices of a month that can't be billed")
    assert row.fix == "fly-billing invalid-invoices --yes"


def test_a_channel_that_refuses_alerts_is_named_with_its_reason() -> None:
    refused = RefusedAlerts("webhook", 3, "404 Not Found", at("2026-11-05T05:00:00"))
    assert rows_of(Facts(refused_alerts=[refused])) == [
        (
            "alerts not sent", "webhook",
            "3 alerts since 2026-11-05 05:00Z; it refused the last: 404 Not Found. Fix the channel's settings; they"
            " are sent as soon as it accepts them",
            "fly-billing alert-test",
        )
    ]  # fmt: skip


def failing(check: str, period: str, group: str) -> FailedCheck:
    return FailedCheck(
        id=1,
        asset="invoices",
        check_name=check,
        period=period,
        billing_group=group,
        is_warning=False,
        wrong=1,
        reason="its items add up to $2.02, its total is $2.03",
        is_reported=False,
        failed_since=at("2026-10-05"),
        run_id="run",
    )


def test_a_failed_check_is_shown_once_per_month_with_its_organizations_and_the_command_that_runs_it_again() -> None:
    facts = Facts(
        failed_checks=[
            failing("items_sum_to_the_total", "2026-08", "acme"),
            failing("items_sum_to_the_total", "2026-08", "beta"),
            failing("items_sum_to_the_total", "2026-09", "beta"),
        ]
    )
    reason = "its items add up to $2.02, its total is $2.03"
    assert rows_of(facts) == [
        (
            "failed check",
            "2026-08",
            f"items_sum_to_the_total, 2026-08 (acme, beta): {reason}",
            "fly-billing bill 2026-08",
        ),
        ("failed check", "2026-09", f"items_sum_to_the_total, 2026-09 (beta): {reason}", "fly-billing bill 2026-09"),
    ]
