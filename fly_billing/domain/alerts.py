"""What a human is told when billing or syncing fails: what, for whom, how much money, and what to do.

Failures of one cause are one alert. Keeps out: where alerts go, and who was told already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fly_billing.domain.money import format_cents

MOST_NAMED = 10


@dataclass(frozen=True)
class FailedInvoice:
    """One invoice of an organization that can't be billed or synced. `total_cents` is None where it isn't known yet."""

    organization_id: str
    month: str
    code: str
    operator_text: str
    currency: str
    total_cents: int | None


@dataclass(frozen=True)
class Alert:
    """One message. `code` names the cause, `subject` is its first line."""

    code: str
    subject: str
    body: str

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.body}"


def failure_alerts(stage: str, failures: Sequence[FailedInvoice]) -> list[Alert]:
    """Make one alert per cause, naming the ten largest amounts. `stage`: what failed, such as `Stripe sync`."""
    by_code: dict[str, list[FailedInvoice]] = defaultdict(list)
    for failure in failures:
        by_code[failure.code].append(failure)
    return [_failure_alert(stage, code, by_code[code]) for code in sorted(by_code)]


def _failure_alert(stage: str, code: str, failures: Sequence[FailedInvoice]) -> Alert:
    largest = sorted(failures, key=lambda one: (-(one.total_cents or 0), one.organization_id, one.month))
    named = [f"- {one.organization_id} {one.month}: {_amount(one)}" for one in largest[:MOST_NAMED]]
    more = [f"- and {len(failures) - MOST_NAMED} more"] if len(failures) > MOST_NAMED else []
    subject = f"{stage} failed ({code}): {_count(len(failures))}, {_money(failures)}"
    return Alert(code, subject, "\n".join([*named, *more, f"What to do: {largest[0].operator_text}"]))


def recovery_alert(stage: str, recovered: Sequence[FailedInvoice]) -> Alert:
    """Make the message that what people were told of is over."""
    names = ", ".join(f"{one.organization_id} {one.month}" for one in recovered[:MOST_NAMED])
    more = f" and {len(recovered) - MOST_NAMED} more" if len(recovered) > MOST_NAMED else ""
    return Alert("recovered", f"{stage} recovered: {_count(len(recovered))}, {_money(recovered)}", names + more)


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
