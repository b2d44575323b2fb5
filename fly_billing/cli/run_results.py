"""Words and JSON of what a run of `bill`, `sync` or `land` did. Failures are listed apart and never counted as done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fly_billing.cli.rejected import as_data as rejected_data
from fly_billing.cli.runs import RunRecord, show_failures
from fly_billing.cli.terminal import Terminal, styled
from fly_billing.money import counted, format_cents, to_cents, typed_amount
from fly_billing.operations.run_results import (
    BILLED_AS,
    SYNCED_AS,
    BillResult,
    BookedCorrection,
    InvoicesByOutcome,
    LandResult,
    LateUsage,
    SyncResult,
)
from fly_billing.periods import BillingMonth
from fly_billing.usage.landing_folder import LandingProblem

# The words of outcomes that need more than their name.
WORDS = {"upcoming": "upcoming, still open", "not_updated": "not updated, still open", "waiting": "not in Stripe yet"}
# The most corrections that are shown; JSON has all.
MOST_CORRECTIONS = 10
TROUBLE = ("not_updated", "failed")


def progress_terminal(console: Terminal, *, as_json: bool) -> Terminal:
    """Return the terminal for progress: with `--json` the standard output has the JSON only."""
    return Terminal(stderr=True) if as_json else console


def show_bill_result(
    console: Terminal, month: BillingMonth, result: BillResult, record: RunRecord, *, as_json: bool
) -> bool:
    """Print what the run did. Returns True if no run or check failed."""
    if as_json:
        return _print_json(bill_data(month, result), record)
    _print_outcomes(console, result.invoices)
    if result.not_billed:
        names = ", ".join(failed.organization_id for failed in result.not_billed)
        organizations = f"{counted(len(result.not_billed), 'organization')}: {names}"
        console.print(styled("not billed", "red"), organizations, soft_wrap=True)
    _print_corrections(console, result.corrections)
    if result.held_corrections:
        waiting = f"{counted(result.held_corrections, 'correction')}: `fly-billing corrections {month}` shows them"
        console.print(styled("waiting for approval", "yellow"), waiting, soft_wrap=True)
    for group in result.rejected:
        console.print(styled("not billed", "yellow"), f"rejected usage of {month}: {group.sentence}", soft_wrap=True)
    return show_outcome(console, record, f"bill_month {month} done")


def show_sync_result(
    console: Terminal, month: BillingMonth, result: SyncResult, record: RunRecord, *, as_json: bool
) -> bool:
    """Print what the sync did. Returns True if no run or check failed."""
    if as_json:
        invoices = _invoices(result.invoices, SYNCED_AS)
        return _print_json({"month": str(month), **invoices, "open_invoices": result.open_invoices}, record)
    if result.invoices or not result.open_invoices:
        _print_outcomes(console, result.invoices)
    if result.open_invoices:
        console.print(f"open until the month closes: {counted(result.open_invoices, 'invoice')}")
    return show_outcome(console, record, f"sync_month {month} done")


def show_land_result(
    console: Terminal, result: LandResult, unclear: Sequence[LandingProblem], record: RunRecord, *, as_json: bool
) -> bool:
    """Print what the run landed. Returns True if nothing failed, and nothing in the landing folder needs attention."""
    if as_json:
        return _print_json(land_data(result, unclear), record) and not unclear
    for file in unclear:
        console.print(styled("needs attention", "red"), f"{file.path}: {file.message}", soft_wrap=True)
    rows = f"rows: {result.accepted:,} accepted, {result.duplicate:,} duplicate, {result.rejected:,} rejected"
    console.print(rows)
    for found in result.reasons:
        number = counted(found["rows"], "row")
        console.print(f"  {found['reason']}: {number}, for example: {found['for_example']}", soft_wrap=True)
    if result.not_landed:
        console.print(styled("not landed", "red"), counted(len(result.not_landed), "landing day"))
    is_clean = show_outcome(console, record, landed_in_words(result))
    for late in result.late:
        console.print(styled("late", "yellow"), late_in_words(late), soft_wrap=True)
    return is_clean and not unclear


def landed_in_words(result: LandResult) -> str:
    """Say how many days landed: `3 days with files and 92 days without files landed`."""
    with_files, without = result.with_files, len(result.landed) - result.with_files
    parts = [f"{counted(number, 'day')} {what} files" for number, what in ((with_files, "with"), (without, "without"))]
    shown = [part for number, part in zip((with_files, without), parts, strict=True) if number]
    return f"{' and '.join(shown) or 'no day'} landed"


def late_in_words(late: LateUsage) -> str:
    """Say which usage is on no invoice yet, and the command that books it."""
    command = f"`fly-billing bill {late.month}`"
    if late.events > 0:
        belongs, it = ("belongs", "it") if late.events == 1 else ("belong", "them")
        subject = f"{counted(late.events, 'event')} {belongs} to {late.month}, which is final"
        return f"{subject}: {command} books {it} on the next invoice"
    return f"usage of {late.month}, which is final, landed since: {command} books the difference on the next invoice"


def show_outcome(console: Terminal, record: RunRecord, success: str) -> bool:
    """Print the failures, or `success` if there are none. Returns True if there are none."""
    show_failures(console, record)
    if record.is_clean:
        console.print(success)
    return record.is_clean


def bill_data(month: BillingMonth, result: BillResult) -> dict[str, Any]:
    """Return JSON-ready data: amounts as exact text and in minor units."""
    return {
        "month": str(month),
        **_invoices(result.invoices, BILLED_AS),
        "not_billed": [
            {"organization": failed.organization_id, "code": failed.code, "message": failed.message}
            for failed in result.not_billed
        ],
        "corrections": [
            {
                "organization": booked.organization_id,
                "description": booked.description,
                "amount": f"{booked.amount:f}",
                "currency": booked.currency,
            }
            for booked in result.corrections
        ],
        "held_corrections": result.held_corrections,
        "rejected_usage": rejected_data(month, result.rejected, None)["groups"],
    }


def land_data(result: LandResult, unclear: Sequence[LandingProblem]) -> dict[str, Any]:
    """Return JSON-ready data."""
    return {
        "landed_days": [day.isoformat() for day in result.landed],
        "not_landed_days": [day.isoformat() for day in result.not_landed],
        "files": result.files,
        "rows": {"accepted": result.accepted, "duplicate": result.duplicate, "rejected": result.rejected},
        "reasons_of_rejection": [dict(reason) for reason in result.reasons],
        "late_usage": [{"month": str(late.month), "new_events": late.events} for late in result.late],
        "needs_attention": [{"path": problem.path, "message": problem.message} for problem in unclear],
    }


def _invoices(found: Sequence[InvoicesByOutcome], outcomes: Sequence[str]) -> dict[str, Any]:
    """Return the number of invoices by outcome, also of outcomes without any, and the totals by currency."""
    return {
        "invoices": {outcome: sum(each.invoices for each in found if each.outcome == outcome) for outcome in outcomes},
        "totals": [
            {
                "outcome": each.outcome,
                "currency": each.currency,
                "invoices": each.invoices,
                "items": each.items,
                "amount": typed_amount(each.total_cents, each.currency),
                "minor_units": each.total_cents,
            }
            for each in _ordered(found)
        ],
    }


def _print_outcomes(console: Terminal, found: Sequence[InvoicesByOutcome]) -> None:
    for each in _ordered(found):
        words = WORDS.get(each.outcome, each.outcome.replace("_", " "))
        counts = f"{counted(each.invoices, 'invoice')} with {counted(each.items, 'item')}"
        total = format_cents(each.total_cents, each.currency)
        console.print(styled(words, "red" if each.outcome in TROUBLE else ""), f"{counts}, {total}", sep=": ")
    if not found:
        console.print("The month has no invoices.")


def _print_corrections(console: Terminal, booked: Sequence[BookedCorrection]) -> None:
    if not booked:
        return
    console.print(f"corrected: {counted(len(booked), 'item')}, on the next invoice of each organization")
    for each in booked[:MOST_CORRECTIONS]:
        amount = format_cents(to_cents(each.amount, each.currency), each.currency)
        console.print(f"  {each.organization_id}: {each.description}: {amount}", soft_wrap=True)
    if len(booked) > MOST_CORRECTIONS:
        console.print(f"  and {len(booked) - MOST_CORRECTIONS} more: `--json` lists all")


def _ordered(found: Sequence[InvoicesByOutcome]) -> list[InvoicesByOutcome]:
    return sorted(found, key=lambda each: ((*BILLED_AS, *SYNCED_AS).index(each.outcome), each.currency))


def _print_json(data: Mapping[str, Any], record: RunRecord) -> bool:
    problems = {
        "success": record.is_clean,
        "failed_runs": record.failed_runs,
        "failed_checks": record.failed_checks,
        "still_wrong_in_other_months": record.other_months,
    }
    print(json.dumps({**data, **problems}, indent=2))
    return record.is_clean
