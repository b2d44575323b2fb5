"""Lists what needs a person, each with the command that fixes it. Add a kind of problem here and to `Facts`.

Not here: reading the facts (`operations.facts_reader`) and printing (`cli.status`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from fly_billing.alerting.rules.alerts import FailedInvoice
from fly_billing.checks.rules.failures import FailedCheck, checked_again_by, named_places
from fly_billing.corrections.rules.guard import HeldTotal
from fly_billing.money import counted, format_cents, to_cents
from fly_billing.periods import stretches
from fly_billing.stripe_sync.rules.open_credits import OpenCredit
from fly_billing.stripe_sync.rules.spending_guard import GuardResult, approve_command
from fly_billing.usage.rules.source_cadence import SilentSource

# The number of organizations, or of ranges of days, that a row names.
MOST_NAMED = 5


@dataclass(frozen=True)
class HeldMonth:
    """A month whose grace period is over and that can't be closed yet.

    Attributes:
        month: Such as `2026-09`.
        days: The landing days that must land first: they never landed after they ended, or their files changed since.
        rejected_rows: The unresolved rejected rows that it waits for, if FLY_BILLING_UNRESOLVED_REJECTIONS says so.
    """

    month: str
    days: Sequence[date]
    rejected_rows: int = 0


@dataclass(frozen=True)
class Problem:
    """A problem that is described where it was found.

    Attributes:
        about: What it concerns: a file, a source, a month.
        text: The problem.
    """

    about: str
    text: str


@dataclass(frozen=True)
class Discrepancies:
    """The discrepancies that the last comparison of a month with Stripe found.

    Attributes:
        kinds: Kind -> number.
    """

    month: str
    kinds: Mapping[str, int]
    compared_at: datetime


@dataclass(frozen=True)
class RefusedAlerts:
    """Alerts that a channel refused and that wait for its acceptance.

    Attributes:
        reason: The channel's last refusal.
        since: When the oldest of them was made.
    """

    channel: str
    number: int
    reason: str
    since: datetime


@dataclass(frozen=True)
class Facts:
    """Everything that may need a person, as it was read.

    Attributes:
        failed_invoices: Organizations whose invoice of a month can't be calculated.
        held_months: Months that wait for landing days.
        missing_days: Landing days that did not land after they ended.
        landing_problems: Entries of the landing folder that do not land.
        silent_sources: Usage sources that stopped delivering files.
        rejected: Unresolved rejected usage, by source and reason.
        invalid_invoices: Month -> open invoices of a month that can't be billed, such as a future one.
        held_corrections: Corrections that wait for an approval, by month and currency.
        changed_terms: Month -> final invoices whose terms changed and on which nobody decided.
        failed_syncs: Invoices whose sync failed or ended without an answer.
        guarded: By month, the totals that the spending guard blocks.
        open_credits: Credit notes that wait for an approval, were refused, or don't reach Stripe.
        failed_checks: Asset checks that fail now and that nothing else here shows.
        late_payments: For each invoice that is past due, the organization, and since when; the longest first.
        daemon_problem: Why Dagster's daemon does no work now (`daemon_silence`), or why that can't be told.
    """

    failed_invoices: Sequence[FailedInvoice] = ()
    held_months: Sequence[HeldMonth] = ()
    missing_days: Sequence[date] = ()
    landing_problems: Sequence[Problem] = ()
    silent_sources: Sequence[SilentSource] = ()
    rejected: Sequence[Problem] = ()
    invalid_invoices: Mapping[str, int] | None = None
    held_corrections: Sequence[HeldTotal] = ()
    changed_terms: Mapping[str, int] | None = None
    failed_syncs: Sequence[FailedInvoice] = ()
    guarded: Mapping[str, Sequence[GuardResult]] | None = None
    discrepancies: Sequence[Discrepancies] = ()
    refused_alerts: Sequence[RefusedAlerts] = ()
    open_credits: Sequence[OpenCredit] = ()
    failed_checks: Sequence[FailedCheck] = ()
    late_payments: Sequence[Problem] = ()
    daemon_problem: str | None = None


@dataclass(frozen=True)
class AttentionRow:
    """One thing that needs a person.

    Attributes:
        kind: Such as `failed invoice`; rows of one kind are shown together.
        about: The month, organization, file, source or channel.
        problem: The fault and, if a command alone does not fix it, what to do.
        fix: The command to run, at the end.
    """

    kind: str
    about: str
    problem: str
    fix: str


def attention_rows(facts: Facts) -> list[AttentionRow]:
    """List what needs a person: usage first, then billing, Stripe and alerts."""
    return [
        *_daemon(facts.daemon_problem),
        *_landing(facts),
        *(
            AttentionRow("silent source", silent.source, f"{silent.sentence}. Ask who runs it", "fly-billing land")
            for silent in facts.silent_sources
        ),
        *(AttentionRow("rejected usage", group.about, group.text, "fly-billing rejected") for group in facts.rejected),
        *_failed(facts.failed_invoices, "failed invoice", "fly-billing bill"),
        *(
            AttentionRow(
                "invalid invoice", month,
                f"{counted(number, 'open invoice')} of a month that can't be billed",
                "fly-billing invalid-invoices --yes",
            )
            for month, number in sorted((facts.invalid_invoices or {}).items())
        ),
        *(_held_correction(total) for total in facts.held_corrections),
        *(
            AttentionRow(
                "changed terms", month,
                f"terms of {counted(number, 'final invoice')} changed, and nobody decided if that is charged",
                f"fly-billing corrections {month}",
            )
            for month, number in sorted((facts.changed_terms or {}).items())
        ),
        *_failed(facts.failed_syncs, "failed sync", "fly-billing sync"),
        *(
            AttentionRow("month not synced", month, f"the spending guard blocks it: {result.reason}",
                         approve_command(month, result))
            for month, results in sorted((facts.guarded or {}).items())
            for result in results
        ),
        *(
            AttentionRow(
                "discrepancy", found.month,
                f"Stripe and our invoices differ ({_moment(found.compared_at)}): "
                + ", ".join(f"{number:,} {kind}" for kind, number in sorted(found.kinds.items())),
                f"fly-billing repair {found.month}",
            )
            for found in facts.discrepancies
        ),
        *(AttentionRow("credit note", credit.name, credit.problem, credit.fix) for credit in facts.open_credits),
        *_late_payments(facts.late_payments),
        *_failed_checks(facts.failed_checks),
        *(
            AttentionRow(
                "alerts not sent", refused.channel,
                f"{counted(refused.number, 'alert')} since {_moment(refused.since)}; it refused the last:"
                f" {refused.reason}. Fix the channel's settings; they are sent as soon as it accepts them",
                "fly-billing alert-test",
            )
            for refused in facts.refused_alerts
        ),
    ]  # fmt: skip


def _late_payments(late: Sequence[Problem]) -> list[AttentionRow]:
    """List the invoices that are past due for the longest time, and the number of the others."""
    rows = [AttentionRow("late payment", each.about, each.text, f"fly-billing statement {each.about}")
            for each in late[:MOST_NAMED]]  # fmt: skip
    if (more := len(late) - MOST_NAMED) > 0:
        what = f"{counted(more, 'more invoice')} past due"
        rows.append(AttentionRow("late payment", "others", what, "fly-billing finance receivables"))
    return rows


def _failed_checks(failures: Sequence[FailedCheck]) -> list[AttentionRow]:
    """List each check and month once, with the billing groups and the first reason."""
    by_month: dict[str, list[FailedCheck]] = defaultdict(list)
    for failure in failures:
        by_month[failure.month_of_check].append(failure)
    return [
        AttentionRow(
            "failed check", first.period,
            f"{first.check_name}, {named_places(each.place for each in of_month)}: {first.reason}",
            checked_again_by(first.asset, first.period),
        )
        for first, *others in by_month.values()
        for of_month in [[first, *others]]
    ]  # fmt: skip


def daemon_silence(heartbeat: datetime | None, limit: timedelta, now: datetime) -> str | None:
    """Return that a daemon stopped, in words. None if its last heartbeat is recent, or if it never ran."""
    if heartbeat is None or now - heartbeat <= limit:
        return None
    return f"no heartbeat since {_moment(heartbeat)}: nothing is landed, closed, synced or alerted until it runs again"


def _daemon(problem: str | None) -> list[AttentionRow]:
    return [AttentionRow("daemon stopped", "Dagster's daemon", problem, "dagster-daemon run")] if problem else []


def _landing(facts: Facts) -> list[AttentionRow]:
    held = {day for month in facts.held_months for day in month.days}
    missing: dict[str, list[date]] = defaultdict(list)
    for day in sorted(set(facts.missing_days) - held):
        missing[f"{day:%Y-%m}"].append(day)
    return [
        *(
            AttentionRow(
                "month not closed", held_month.month,
                f"waits for {_days(held_month.days)}: not landed after the day ended, or changed since",
                f"fly-billing land {held_month.month} && fly-billing bill {held_month.month}",
            )
            for held_month in facts.held_months
            if held_month.days
        ),
        *(
            AttentionRow(
                "month not closed", held_month.month,
                f"waits for {counted(held_month.rejected_rows, 'rejected row')} that nobody fixed or waived",
                f"fly-billing rejected {held_month.month}",
            )
            for held_month in facts.held_months
            if held_month.rejected_rows
        ),
        *(
            AttentionRow("missing landing day", month, f"{_days(days)} did not land", f"fly-billing land {month}")
            for month, days in sorted(missing.items())
        ),
        *(
            AttentionRow("landing problem", problem.about, problem.text, "fly-billing land")
            for problem in facts.landing_problems
        ),
    ]  # fmt: skip


def _failed(failures: Sequence[FailedInvoice], kind: str, command: str) -> list[AttentionRow]:
    """Return a row per month and cause."""
    causes: dict[tuple[str, str, str], list[FailedInvoice]] = defaultdict(list)
    for failure in failures:
        causes[failure.month, failure.code, failure.operator_text].append(failure)
    return [
        AttentionRow(kind, month, f"{_organizations(found)} ({code}): {text}", f"{command} {month}")
        for (month, code, text), found in sorted(causes.items())
    ]


def _organizations(failures: Sequence[FailedInvoice]) -> str:
    names = sorted({failure.organization_id for failure in failures})
    more = [f"{len(names) - MOST_NAMED:,} more"] if len(names) > MOST_NAMED else []
    return ", ".join([*names[:MOST_NAMED], *more])


def _held_correction(total: HeldTotal) -> AttentionRow:
    amount = format_cents(to_cents(total.total, total.currency), total.currency)
    number = counted(len(total.gives_back), "correction")
    reasons = "; ".join(total.reasons[:MOST_NAMED])
    problem = f"{number} would return {amount}: {reasons}. First check that no usage is missing"
    return AttentionRow("held correction", total.month, problem, total.approve_command)


def _days(days: Sequence[date]) -> str:
    parts = [f"{first}" if first == last else f"{first} to {last}" for first, last in stretches(days)]
    more = [counted(len(parts) - MOST_NAMED, "more range")] if len(parts) > MOST_NAMED else []
    return f"{counted(len(days), 'landing day')} ({', '.join([*parts[:MOST_NAMED], *more])})"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
