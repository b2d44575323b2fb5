"""The texts of alerts about billing, syncs and payments.

An alert says what failed, for which organizations, how much money it concerns and what to do. All failures
of one cause share one alert. Not here: where alerts go, and which were sent already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fly_billing.alerting.rules.run_links import run_links
from fly_billing.foreign_text import visible
from fly_billing.money import counted, format_cents

# The number of organizations an alert names.
MOST_NAMED = 10


@dataclass(frozen=True)
class FailedInvoice:
    """An invoice that can't be billed, synced or collected.

    Attributes:
        month: Such as `2026-09`.
        code: Names the cause; failures with the same code and reason share an alert.
        operator_text: Says what went wrong and what to do.
        total_cents: None if it is not known yet.
        invoice_id: None if there is no invoice yet.
        reason: Separates failures of one code that need different actions, such as a decline code.
        run_id: The Dagster run in which it failed last; None if it did not fail in a run.
    """

    organization_id: str
    month: str
    code: str
    operator_text: str
    currency: str
    total_cents: int | None
    invoice_id: UUID | None = None
    reason: str | None = None
    run_id: str | None = None


@dataclass(frozen=True)
class Alert:
    """One message: to the on-call engineer, or to a customer.

    Make one with `Alert.of`, from lines, so that no quoted text can start a line of its own. Control and invisible
    characters become visible in every alert.

    Attributes:
        code: Names the cause.
        subject: The first line.
        invoices: All invoices that it is about.
        organization_id: The customer whom a message is for or about; None for an operator's alert.
    """

    code: str
    subject: str
    body: str
    invoices: tuple[FailedInvoice, ...] = field(default=(), repr=False, compare=False)
    organization_id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", visible(self.subject))
        object.__setattr__(self, "body", visible(self.body, keep="\n"))

    @classmethod
    def of(cls, code: str, subject: str, lines: Iterable[str], invoices: Iterable[FailedInvoice] = ()) -> Alert:
        """Make an alert from the lines of its body. A line break inside a line becomes visible text."""
        return cls(code, subject, "\n".join(visible(line) for line in lines), tuple(invoices))

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


def failure_alerts(
    stage: str,
    failures: Sequence[FailedInvoice],
    headings: Mapping[str, str] | None = None,
    dagster_url: str | None = None,
) -> list[Alert]:
    """Make one alert per cause. It names the ten largest amounts and links to the runs of the largest.

    Args:
        stage: The step that failed, such as `Stripe sync`.
        headings: For a code, a subject that replaces `<stage> failed (<code>)`.
        dagster_url: The address of Dagster's pages, if it is known.
    """
    by_cause: dict[tuple[str, str], list[FailedInvoice]] = defaultdict(list)
    for failure in failures:
        by_cause[failure.code, failure.reason or ""].append(failure)
    return [
        _failure_alert(
            (headings or {}).get(code) or f"{stage} failed ({code})", reason, by_cause[code, reason], dagster_url
        )
        for code, reason in sorted(by_cause)
    ]


def _failure_alert(heading: str, reason: str, failures: Sequence[FailedInvoice], dagster_url: str | None) -> Alert:
    largest = sorted(
        failures, key=lambda failure: (-(failure.total_cents or 0), failure.organization_id, failure.month)
    )
    named = [f"- {failure.organization_id} {failure.month}: {_amount(failure)}" for failure in largest[:MOST_NAMED]]
    more = [f"- and {len(failures) - MOST_NAMED:,} more"] if len(failures) > MOST_NAMED else []
    first = largest[0].operator_text
    what_to_do = [f"What to do: {first}"] + [
        f"What to do for {failure.organization_id} {failure.month}: {failure.operator_text}"
        for failure in largest[1:MOST_NAMED]
        if failure.operator_text != first
    ]
    links = run_links((failure.run_id for failure in largest), dagster_url)
    because = f" ({reason})" if reason else ""
    subject = f"{heading}{because}: {_count(len(failures))}, {_money(failures)}"
    return Alert.of(failures[0].code, subject, [*named, *more, *what_to_do, *links], failures)


def recovery_alert(stage: str, recovered: Sequence[FailedInvoice]) -> Alert:
    """Make the alert that reported failures are over."""
    names = ", ".join(f"{invoice.organization_id} {invoice.month}" for invoice in recovered[:MOST_NAMED])
    more = f" and {len(recovered) - MOST_NAMED:,} more" if len(recovered) > MOST_NAMED else ""
    subject = f"{stage} recovered: {_count(len(recovered))}, {_money(recovered)}"
    return Alert.of("recovered", subject, [names + more], recovered)


def _count(number: int) -> str:
    return counted(number, "invoice")


def _amount(failure: FailedInvoice) -> str:
    return "amount unknown" if failure.total_cents is None else format_cents(failure.total_cents, failure.currency)


def _money(failures: Sequence[FailedInvoice]) -> str:
    totals: dict[str, int] = defaultdict(int)
    for failure in failures:
        if failure.total_cents is not None:
            totals[failure.currency] += failure.total_cents
    if not totals:
        return "amount unknown"
    return " + ".join(format_cents(cents, currency) for currency, cents in sorted(totals.items()))
