"""A case passes if the platform does what it expects; otherwise each difference is named with its step.

acme has the support plan at $29.00 and requests at $0.10. 1,000 requests in September 2026 make $129.00.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fly_billing.embedded_postgres import PostgresServer
from fly_billing.testing import (
    CaseFailed,
    CaseResult,
    CaseWorker,
    read_case,
    read_cases,
    require,
    run_cases,
    throwaway_platform,
    throwaway_server,
)

BOOK = """\
meters:
  - {key: requests, name: Requests, unit: request}
prices:
  - {key: requests, meter: requests, product: Requests, description: Requests, unit: request, unit_amount: 0.10,
     effective_from: 2026-01-01}
  - {key: support, product: Support, description: Support, unit: month, unit_amount: 29.00, effective_from: 2026-01-01}
"""
SEPTEMBER = """\
steps:
  - book: book.yaml
  - row: {subscriptions: {organization_id: acme, price_key: support, started_at: 2026-01-01T00:00:00Z}}
  - usage: {organization: acme, meter: requests, time: 2026-09-15, quantity: 1000}
  - close: 2026-09
"""


def write(folder: Path, steps: str, head: str = "") -> Path:
    """Write a case in which September 2026 is closed, with these steps after it."""
    folder.mkdir(parents=True)
    (folder / "book.yaml").write_text(BOOK, encoding="utf-8")
    (folder / "case.yaml").write_text(head + SEPTEMBER + steps, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def worker(postgres: PostgresServer) -> Iterator[CaseWorker]:
    with CaseWorker(postgres) as worker:
        yield worker


def run(worker: CaseWorker, folder: Path, steps: str, head: str = "") -> CaseResult:
    return worker.run(read_case(write(folder / "september", steps, head)))


def found(result: CaseResult) -> list[tuple[str, str, str]]:
    return [(one.item, one.expected, one.actual) for one in result.mismatches]


def test_a_case_passes_if_everything_is_as_expected(worker: CaseWorker, tmp_path: Path) -> None:
    steps = """\
  - totals: {acme: {2026-09: 12900, 2026-08: 0}}
  - sum: {acme: 12900}
  - sum_of_all: 12900
  - quantities: {2026-09: {requests: 1000}}
  - rejected: 0
  - taxes: {acme: {2026-09: [0, 0]}}
  - items: {acme: {2026-09: [{description: Support, cents: 2900}, {price: requests, quantity: 1000, amount: 100}]}}
  - sync: 2026-09
  - stripe: {acme: [12900]}
  - owed: {organization: acme, cents: 12900}
  - headline_lacks: {organization: acme, words: "-"}
"""
    result = run(worker, tmp_path, steps)
    require(result)
    assert (result.name, result.passed) == ("september", True)


def test_a_wrong_total_is_named_with_both_amounts_and_the_step(worker: CaseWorker, tmp_path: Path) -> None:
    result = run(worker, tmp_path, "  - totals: {acme: {2026-09: 10000, 2026-07: 5}}\n")
    assert found(result) == [
        ("acme 2026-09", "$100.00 (10000)", "$129.00 (12900)"),
        ("acme 2026-07", "$0.05 (5)", "no invoice"),
    ]
    assert {one.place for one in result.mismatches} == {"case.yaml line 6: totals"}
    with pytest.raises(CaseFailed, match=r"acme 2026-09: expected \$100.00 \(10000\), got \$129.00 \(12900\)"):
        require(result)


def test_all_differences_are_shown_and_a_failed_check_does_not_stop_the_case(
    worker: CaseWorker, tmp_path: Path
) -> None:
    steps = """\
  - sum: {acme: 1}
  - sum_of_all: 2
  - quantities: {2026-09: {requests: 3}}
  - rejected: {duplicate: 4}
  - taxes: {acme: {2026-09: [5, 6]}}
  - headline_lacks: {organization: acme, words: owes}
"""
    items = [item for item, _, _ in found(run(worker, tmp_path, steps))]
    assert items == [
        "acme, all months",
        "all invoices, cents",
        "2026-09 requests",
        "duplicate",
        "acme 2026-09, taxed amount",
        "acme 2026-09, tax",
        "acme, headline",
    ]


def test_missing_and_unexpected_items_are_named(worker: CaseWorker, tmp_path: Path) -> None:
    steps = "  - items: {acme: {2026-09: [{price: support, cents: 3900}, {price: egress, cents: 5}]}}\n"
    assert found(run(worker, tmp_path, steps)) == [
        ("acme 2026-09: Support: cents", "3900", "2900"),
        ("acme 2026-09: egress", "cents 5", "none"),
        ("acme 2026-09: Requests", "none", "quantity 1000, amount 100, cents 10000"),
    ]


def test_an_organization_that_does_not_exist_is_named_with_a_suggestion(worker: CaseWorker, tmp_path: Path) -> None:
    result = run(worker, tmp_path, "  - totals: {acmee: {2026-09: 0}}\n")
    assert found(result) == [("acmee", "an organization", "no such organization (did you mean acme?)")]


def test_a_refusal_that_is_expected_and_did_not_occur_is_a_difference(worker: CaseWorker, tmp_path: Path) -> None:
    steps = "  - book_is_refused: {book: book.yaml, says: [support]}\n"
    assert found(run(worker, tmp_path, steps)) == [("price book book.yaml", "refused", "accepted")]


def test_a_refusal_with_other_words_is_a_difference_that_quotes_the_message(worker: CaseWorker, tmp_path: Path) -> None:
    write(tmp_path / "september", "  - book_is_refused: {book: wrong.yaml, says: [twice]}\n")
    (tmp_path / "september" / "wrong.yaml").write_text(BOOK.replace("29.00", "dear"), encoding="utf-8")
    ((item, expected, actual),) = found(worker.run(read_case(tmp_path / "september")))
    assert (item, expected) == ("price book wrong.yaml", "refused, with 'twice'")
    assert "'dear' is not a number" in actual


def test_a_step_that_the_platform_refuses_ends_the_case_with_the_reason(worker: CaseWorker, tmp_path: Path) -> None:
    charge = "{organization_id: acme, description: x, amount: 5, currency: XXL, occurred_at: 2026-09-01T00:00:00Z}"
    result = run(worker, tmp_path, f"  - row: {{one_off_items: {charge}}}\n  - totals: {{acme: {{2026-09: 1}}}}\n")
    assert result.refusal is None  # a row of a wrong currency is refused when it is billed
    result = run(worker, tmp_path / "second", "  - row: {one_off_item: {a: 1}}\n  - totals: {acme: {2026-09: 1}}\n")
    assert result.refusal == 'case.yaml line 6: row: one_off_item: relation "one_off_item" does not exist'
    assert (result.mismatches, result.passed) == ((), False)


def test_a_refusal_passes_if_the_case_may_be_refused(worker: CaseWorker, tmp_path: Path) -> None:
    steps = "  - reissue: {organization: labs, month: 2026-09, now: 2026-11-01}\n  - totals: {acme: {2026-09: 1}}\n"
    assert run(worker, tmp_path, steps, "may_be_refused: true\n").passed
    assert not run(worker, tmp_path / "second", steps).passed


def test_an_organization_that_can_not_be_billed_is_expected_by_its_code(worker: CaseWorker, tmp_path: Path) -> None:
    """labs has usage, but its currency has no prices."""
    head = "organizations: [{id: acme}, {id: labs, currency: EUR}]\n"
    steps = """\
  - usage: {organization: labs, meter: requests, time: 2026-10-10, quantity: 5}
  - close_fails: {month: 2026-10, codes: {acme: no_price}}
  - totals: {acme: {2026-10: 2900}}
"""
    result = run(worker, tmp_path, steps, head)
    assert found(result)[0] == ("acme", "no_price", "none")
    code = found(result)[1][2]
    assert run(worker, tmp_path / "second", steps.replace("acme: no_price", f"labs: {code}"), head).passed


def test_a_wrong_amount_owed_is_named_on_the_statement_and_at_stripe(worker: CaseWorker, tmp_path: Path) -> None:
    result = run(worker, tmp_path, "  - sync: 2026-09\n  - owed: {organization: acme, cents: 100}\n")
    assert found(result) == [
        ("acme, on the statement", "$1.00 (100)", "$129.00 (12900)"),
        ("acme, at Stripe", "$1.00 (100)", "$129.00 (12900)"),
    ]


def test_a_lost_answer_of_stripe_makes_no_second_invoice(worker: CaseWorker, tmp_path: Path) -> None:
    steps = """\
  - fault: {effect: apply_then_drop, endpoint: invoices.create}
  - fault: {effect: error, status: 500, endpoint: invoices.finalize, times: 2}
  - sync: 2026-09
  - stripe: {acme: [12900]}
"""
    require(run(worker, tmp_path, steps))


def test_a_fault_at_stripe_that_lasts_is_expected_by_its_code_and_over_with_its_calls(
    worker: CaseWorker, tmp_path: Path
) -> None:
    fault = "  - fault: {effect: error, status: 400, type: invalid_request_error, code: amount_too_large}\n"
    steps = f"{fault}  - sync_fails: {{month: 2026-09, codes: {{acme: amount_too_large}}}}\n"
    require(run(worker, tmp_path, f"{steps}  - sync: 2026-09\n  - stripe: {{acme: [12900]}}\n"))
    result = run(worker, tmp_path / "second", f"{fault}  - sync: 2026-09\n  - stripe: {{acme: [12900]}}\n")
    assert result.refusal == "case.yaml line 7: sync: acme: amount_too_large"
    missed = run(worker, tmp_path / "third", "  - sync_fails: {month: 2026-09, codes: {acme: amount_too_large}}\n")
    assert found(missed) == [("acme", "amount_too_large", "none")]


def test_a_total_in_stripe_that_differs_is_named(worker: CaseWorker, tmp_path: Path) -> None:
    result = run(worker, tmp_path, "  - sync: 2026-09\n  - stripe: {acme: [12900, 5]}\n")
    assert found(result) == [("acme in Stripe", "12900, 5", "12900")]


def test_the_upcoming_invoice_has_the_usage_so_far(worker: CaseWorker, tmp_path: Path) -> None:
    """10 requests by 10 October are $1.00, with the plan $30.00; 20 more later make $32.00."""
    steps = """\
  - usage: {organization: acme, meter: requests, time: 2026-10-05, quantity: 10}
  - usage: {organization: acme, meter: requests, time: 2026-10-20, quantity: 20}
  - bill: {month: 2026-10, now: 2026-10-10}
  - totals: {acme: {2026-10: 3000}}
  - close: 2026-10
  - totals: {acme: {2026-10: 3200}}
"""
    require(run(worker, tmp_path, steps))


def test_a_case_leaves_nothing_to_the_next_one(worker: CaseWorker, tmp_path: Path) -> None:
    """Each has the same ids of organizations, events and Stripe customers."""
    for number in range(3):
        require(run(worker, tmp_path / str(number), "  - sync: 2026-09\n  - stripe: {acme: [12900]}\n"))


def test_cases_in_parallel_do_not_see_each_other_and_keep_their_order(tmp_path: Path) -> None:
    """Each of six cases syncs its own quantity; the fourth expects a wrong total, and the fifth breaks."""
    for number in range(6):
        total = 2900 + 10 * (number + 1)
        expected = 1 if number == 3 else total
        folder = write(
            tmp_path / f"case-{number}", f"  - totals: {{acme: {{2026-09: {expected}}}}}\n  - sync: 2026-09\n"
        )
        text = (folder / "case.yaml").read_text(encoding="utf-8").replace("quantity: 1000", f"quantity: {number + 1}")
        broken = "  - sql: drop table invoice_taxes cascade\n" if number == 4 else ""
        stripe = f"  - stripe: {{acme: [{total}]}}\n"
        (folder / "case.yaml").write_text(f"{text}{stripe}{broken}  - taxes: {{acme: {{2026-09: [0, 0]}}}}\n", "utf-8")
    results = list(run_cases(read_cases([tmp_path]), jobs=2))
    assert [(result.name, result.passed) for result in results] == [
        (f"case-{number}", number not in (3, 4)) for number in range(6)
    ]
    assert found(results[3]) == [("acme 2026-09", "$0.01 (1)", "$29.40 (2940)")]
    assert 'relation "invoice_taxes" does not exist' in str(results[4].refusal)


def test_the_environment_of_the_user_does_not_reach_a_throwaway_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """A PGSERVICE that no file defines, for example, would make every connection fail."""
    names = {
        "PGSERVICE": "undefined", "PGHOST": "nowhere.invalid", "DATABASE_URL": "postgresql://nowhere.invalid/billing",
        "FLY_BILLING_STATEMENT_SECONDS": "soon", "STRIPE_API_KEY": "sk_live_real", "DAGSTER_HOME": "/nowhere",
    }  # fmt: skip
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with throwaway_server() as server, throwaway_platform(server) as platform:
        assert not names.keys() & os.environ.keys()
        platform.add_organization("acme")
        assert platform.currencies() == {"acme": "USD"}
    assert names.items() <= os.environ.items()
