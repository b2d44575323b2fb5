"""The spending guard: compares a month's total with last month's. Also counts the requests of a sync. Pure.

Not here: reading the database and stopping the run (`stripe_sync.approvals`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fly_billing.money import format_cents, parse_typed_amount, typed_amount
from fly_billing.stripe_sync.rules.requests import LINES_PER_CALL, MOST_LINES

# The number of organizations that a result names.
NAMED = 5
EXAMPLES = "5850.00, or USD=5850.00, JPY=585000"


@dataclass(frozen=True)
class InvoiceToSend:
    """A finalized invoice that Stripe does not have yet. `state` and `has_draft` are from our journal."""

    organization_id: str
    currency: str
    total_cents: int
    items: int
    state: str | None
    has_draft: bool
    has_customer: bool


@dataclass(frozen=True)
class SendPlan:
    """The requests that a sync of a month would make.

    Attributes:
        calls: Endpoint -> number of requests.
        totals: Currency -> cents.
        to_settle: Invoices that failed or got no answer after Stripe had their draft. Their requests depend on a read,
            so they are not in `calls`.
        unreadable: The organizations whose invoices can't be read, and the reasons. They count nowhere else.
    """

    invoices: int
    nothing_to_pay: int
    to_settle: int
    customers: tuple[str, ...]
    lines: int
    calls: Mapping[str, int]
    totals: Mapping[str, int]
    unreadable: tuple[str, ...] = ()

    def floor_seconds(self, per_second: int, per_endpoint: int) -> int:
        """Return the minimum seconds under the rate limits, with the endpoints in parallel."""
        each = [_rounded_up(count, per_endpoint) for count in self.calls.values()]
        return max([*each, _rounded_up(sum(self.calls.values()), per_second)])


def plan_sending(invoices: Iterable[InvoiceToSend]) -> SendPlan:
    """Count the requests of a sync of these invoices, if none fails."""
    found = list(invoices)
    sent = [invoice for invoice in found if invoice.total_cents]
    calls: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for invoice in sent:
        calls.update(_calls(invoice))
        totals[invoice.currency] += invoice.total_cents
    customers = sorted({invoice.organization_id for invoice in sent if not invoice.has_customer})
    calls["create_customer"] = len(customers)
    return SendPlan(
        invoices=len(sent),
        nothing_to_pay=len(found) - len(sent),
        to_settle=sum(1 for invoice in sent if _is_unsettled(invoice)),
        customers=tuple(customers),
        lines=sum(_lines(invoice) for invoice in sent if _calls(invoice).get("add_lines")),
        calls={name: calls[name] for name in ("create_customer", "create", "add_lines", "finalize", "retrieve")},
        totals=dict(sorted(totals.items())),
    )


def _calls(invoice: InvoiceToSend) -> Mapping[str, int]:
    """Count an invoice's remaining requests, by its journal. A filled draft is read before it is finalized."""
    if _is_unsettled(invoice):
        return {}
    if invoice.state in ("filled", "verified"):
        return {"retrieve": 1, "finalize": 1}
    batches = {"add_lines": _rounded_up(_lines(invoice), LINES_PER_CALL), "finalize": 1}
    return batches if invoice.state == "drafted" else {"create": 1, **batches}


def _is_unsettled(invoice: InvoiceToSend) -> bool:
    return invoice.has_draft and invoice.state in ("failed", "unknown", "needs_attention")


def _lines(invoice: InvoiceToSend) -> int:
    return min(invoice.items, MOST_LINES)


def _rounded_up(count: int, by: int) -> int:
    return -(-count // by)


@dataclass(frozen=True)
class OrganizationTotals:
    """An organization's total of a month and of the month before (None: no final invoice)."""

    organization_id: str
    currency: str
    cents: int
    last_cents: int | None


@dataclass(frozen=True)
class GuardResult:
    """The guard's decision about a month's total in one currency. `reason` explains it."""

    currency: str
    total_cents: int
    last_cents: int | None
    passes: bool
    reason: str
    contributors: tuple[OrganizationTotals, ...] = ()


def approve_command(month: str, result: GuardResult) -> str:
    """Return the command that approves the month's total, with the name of the person left open."""
    currency = "" if result.currency == "USD" else f" --currency {result.currency}"
    total = typed_amount(max(0, result.total_cents), result.currency)
    return f"fly-billing approve {month} --by NAME --total {total}{currency}"


def judge_totals(totals: Sequence[OrganizationTotals], percent: int, approved: Mapping[str, int]) -> list[GuardResult]:
    """Compare whole months, per currency.

    Args:
        percent: The allowed difference; 0 turns the guard off.
        approved: Currency -> cents. A total up to this amount passes, however much it differs from last month's.
    """
    currencies = sorted({organization.currency for organization in totals})
    return [
        _judge(
            [organization for organization in totals if organization.currency == currency],
            percent,
            approved.get(currency),
        )
        for currency in currencies
    ]


def _judge(totals: Sequence[OrganizationTotals], percent: int, approved: int | None) -> GuardResult:
    currency = totals[0].currency
    total = sum(organization.cents for organization in totals)
    before = [organization.last_cents for organization in totals if organization.last_cents is not None]
    last = sum(before) if before else None
    if percent == 0:
        return GuardResult(currency, total, last, True, "the guard is turned off")
    if last is None:
        return GuardResult(currency, total, None, True, "last month has no final invoices: nothing to compare with")
    if last <= 0:
        return GuardResult(currency, total, last, True, "last month's total was zero or less: nothing to compare with")
    if abs(total - last) * 100 <= percent * last:
        return GuardResult(currency, total, last, True, f"within {percent} % of last month")
    if approved is not None and total <= approved:
        return GuardResult(currency, total, last, True, f"approved up to {format_cents(approved, currency)}")
    ranked = sorted(
        totals,
        key=lambda organization: (
            -abs(organization.cents - (organization.last_cents or 0)),
            organization.organization_id,
        ),
    )
    return GuardResult(
        currency, total, last, False, _describe_excess(currency, total, last, percent, approved), tuple(ranked[:NAMED])
    )


def _describe_excess(currency: str, total: int, last: int, percent: int, approved: int | None) -> str:
    change = _rounded_up(abs(total - last) * 100, last)
    only = f"; only {format_cents(approved, currency)} is approved" if approved is not None else ""
    return (
        f"{format_cents(total, currency)} this month, {format_cents(last, currency)} last month:"
        f" {change} % {'more' if total > last else 'less'}, {percent} % is allowed{only}"
    )


def describe_totals(organization: OrganizationTotals) -> str:
    """Write a contributor for people: `acme $120.00 (last month $10.00)`."""
    last = (
        "nothing" if organization.last_cents is None else format_cents(organization.last_cents, organization.currency)
    )
    return (
        f"{organization.organization_id} {format_cents(organization.cents, organization.currency)} (last month {last})"
    )


def read_approved_total(text: str, currency: str = "USD") -> dict[str, int]:
    """Read the total that a person approves: `5850.00`, or one per currency: `USD=5850.00, JPY=585000`.

    Args:
        text: Amounts with exactly as many decimals as their currencies have.
        currency: The currency of an amount that names none.

    Returns:
        Cents by currency.

    Raises:
        ValueError: Says how to write the total.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, equals, amount = part.rpartition("=")
        code = name.strip().upper() if equals else currency
        if not amount.strip() or len(code) != 3 or not (code.isascii() and code.isalpha()):
            raise ValueError(f"{text!r} is not a total: write {EXAMPLES}")
        if code in found:
            raise ValueError(f"{text!r} names two amounts in {code}: write {EXAMPLES}")
        found[code] = parse_typed_amount(amount, code)
    return found
