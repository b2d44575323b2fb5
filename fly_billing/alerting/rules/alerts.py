"""What a human is told when billing, syncing or a payment fails: what, for whom, how much money, and what to do.

Failures of one cause are one alert. Keeps out: where alerts go, and who was told already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from fly_billing.foreign_text import visible
from fly_billing.money import format_cents

MOST_NAMED = 10


@dataclass(frozen=True)
class FailedInvoice:
    """One invoice of an organization that can't be billed, synced or collected.

    `total_cents` is None where it isn't known yet, `invoice_id` where there is no invoice. `reason` parts failures of
    one code that need different things done, such as a decline code.
    """

    organization_id: str
    month: str
    code: str
    operator_text: str
    currency: str
    total_cents: int | None
    invoice_id: UUID | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Alert:
    """One message. `code` names the cause, `subject` is its first line; `invoices`: all whom it is about.

    Make one with `Alert.of`, from lines: then no text that an alert quotes begins a line of its own. However it is
    made, no control or invisible character is left in it.
    """

    code: str
    subject: str
    body: str
    invoices: tuple[FailedInvoice, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "subject", visible(self.subject))
        object.__setattr__(self, "body", visible(self.body, keep="\n"))

    @classmethod
    def of(cls, code: str, subject: str, lines: Iterable[str], invoices: Iterable[FailedInvoice] = ()) -> Alert:
        """Make an alert whose body is these lines, each of which stays one."""
        return cls(code, subject, "\n".join(visible(line) for line in lines), tuple(invoices))

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


def failure_alerts(
    stage: str, failures: Sequence[FailedInvoice], headings: Mapping[str, str] | None = None
) -> list[Alert]:
    """Make one alert per cause, naming the ten largest amounts. `stage`: what failed, such as `Stripe sync`.

    `headings` says in better words what failed, by code.
    """
    by_cause: dict[tuple[str, str], list[FailedInvoice]] = defaultdict(list)
    for failure in failures:
        by_cause[failure.code, failure.reason or ""].append(failure)
    return [
        _failure_alert((headings or {}).get(code) or f"{stage} failed ({code})", reason, by_cause[code, reason])
        for code, reason in sorted(by_cause)
    ]


def _failure_alert(heading: str, reason: str, failures: Sequence[FailedInvoice]) -> Alert:
    largest = sorted(failures, key=lambda one: (-(one.total_cents or 0), one.organization_id, one.month))
    named = [f"- {one.organization_id} {one.month}: {_amount(one)}" for one in largest[:MOST_NAMED]]
    more = [f"- and {len(failures) - MOST_NAMED:,} more"] if len(failures) > MOST_NAMED else []
    first = largest[0].operator_text
    what_to_do = [f"What to do: {first}"] + [
        f"What to do for {one.organization_id} {one.month}: {one.operator_text}"
        for one in largest[1:MOST_NAMED]
        if one.operator_text != first
    ]
    because = f" ({reason})" if reason else ""
    subject = f"{heading}{because}: {_count(len(failures))}, {_money(failures)}"
    return Alert.of(failures[0].code, subject, [*named, *more, *what_to_do], failures)


def recovery_alert(stage: str, recovered: Sequence[FailedInvoice]) -> Alert:
    """Make the message that what people were told of is over."""
    names = ", ".join(f"{one.organization_id} {one.month}" for one in recovered[:MOST_NAMED])
    more = f" and {len(recovered) - MOST_NAMED:,} more" if len(recovered) > MOST_NAMED else ""
    subject = f"{stage} recovered: {_count(len(recovered))}, {_money(recovered)}"
    return Alert.of("recovered", subject, [names + more], recovered)


def _count(number: int) -> str:
    return "1 invoice" if number == 1 else f"{number:,} invoices"


def _amount(failure: FailedInvoice) -> str:
    return "amount not known" if failure.total_cents is None else format_cents(failure.total_cents, failure.currency)


def _money(failures: Sequence[FailedInvoice]) -> str:
    totals: dict[str, int] = defaultdict(int)
    for one in failures:
        if one.total_cents is not None:
            totals[one.currency] += one.total_cents
    if not totals:
        return "amount not known"
    return " + ".join(format_cents(cents, currency) for currency, cents in sorted(totals.items()))
