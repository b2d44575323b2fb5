"""Chooses the service periods from which a credit note or a void invoice takes revenue back. Pure.

The rules:
  - A credit note that names lines of the invoice takes back their periods. Any other amount of it is shared over what
    earlier credit notes left of each period, in proportion: whole cents first, then one each to the largest remainders.
  - So credit notes over the whole invoice take back every period exactly, in whatever parts they come.
  - A void invoice takes back what its credit notes left. A void credit note gives back what it took.
  - More than the invoice has left, such as its tax, is taken back in the month of the credit note.
Not here: how a period's amount is spread over months (`accounting.rules.recognition`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from fly_billing.accounting.rules.recognition import deferrals, in_proportion
from fly_billing.invoicing.rules.service_periods import ServicePeriod
from fly_billing.periods import BillingMonth

Revenue = dict[ServicePeriod, int]
Time = TypeVar("Time")


@dataclass(frozen=True)
class RevenueChange:
    """A change of an invoice's revenue: it became final or void, or a credit note at Stripe has a new state.

    Attributes:
        posted: Its accounting month.
        is_void: The invoice became void.
        note_id: The credit note; None: it is a change of the invoice.
        noted_cents: What the credit note takes back before tax; 0 if it is void.
        lines: The part of it that names lines of the invoice: each line's service period, and its cents before tax.
    """

    posted: BillingMonth
    is_void: bool = False
    note_id: str | None = None
    noted_cents: int = 0
    lines: Sequence[tuple[ServicePeriod, int]] = ()


def deferrals_of_changes(
    invoice: Mapping[ServicePeriod, int], changes: Sequence[RevenueChange]
) -> list[dict[BillingMonth, int]]:
    """Return what each change moves from its accounting month to later ones, in cents. The months of each sum to zero.

    After every change, later months have what `recognition.deferrals` says for the revenue that is left: nothing, once
    credit notes took back all of it.

    Args:
        invoice: The invoice's revenue by service period.
        changes: All of its changes, in the order in which they were posted.
    """
    revenue = [{}, *revenue_after_changes(invoice, changes)]
    return [
        _minus(deferrals(after, change.posted), deferrals(before, change.posted))
        for before, after, change in zip(revenue, revenue[1:], changes, strict=False)
    ]


def revenue_after_changes(invoice: Mapping[ServicePeriod, int], changes: Iterable[RevenueChange]) -> list[Revenue]:
    """Return the revenue of each service period that is left after each change; arguments as above."""
    books = _Invoice(dict(invoice))
    return [books.after(change) for change in changes]


@dataclass
class _Invoice:
    """The rest of an invoice's revenue, and the part that each credit note took."""

    revenue: Revenue
    left: Revenue = field(default_factory=dict)
    noted: dict[str, Revenue] = field(default_factory=dict)
    is_void: bool = False

    def after(self, change: RevenueChange) -> Revenue:
        if change.note_id is not None:
            self._note(change.note_id, change)
        else:
            self.is_void = change.is_void
            self.left = {} if change.is_void else dict(self.revenue)
        return self.left

    def _note(self, note_id: str, change: RevenueChange) -> None:
        month = ServicePeriod.of_month(change.posted)
        before = self.noted.get(note_id, {})
        if change.noted_cents == sum(before.values()):
            return
        if self.is_void:
            more = {month: change.noted_cents - sum(before.values())}
            self.noted[note_id] = _plus(before, more)
            self.left = _minus(self.left, more)
            return
        left = _plus(self.left, before)
        self.noted[note_id] = _taken(left, change, month)
        self.left = _minus(left, self.noted[note_id])


def _taken(left: Revenue, change: RevenueChange, month: ServicePeriod) -> Revenue:
    """Return what a credit note takes of each period."""
    whole, cents = sum(left.values()), change.noted_cents
    if not cents:
        return {}
    if cents >= max(whole, 0):
        rest = {month: cents - max(whole, 0)}
        return _plus(left, rest) if whole > 0 else rest
    named = _named(left, change.lines)
    if sum(named.values()) > cents:
        named = {}
    return _plus(named, _shared(cents - sum(named.values()), _minus(left, named)))


def _named(left: Revenue, lines: Iterable[tuple[ServicePeriod, int]]) -> Revenue:
    """Return the lines' amounts by the periods of the invoice. Stripe knows periods by day."""
    by_days = {period.days: period for period in left}
    named: Revenue = {}
    for period, cents in lines:
        if found := by_days.get(period.days):
            named[found] = named.get(found, 0) + cents
    return named


def _shared(cents: int, left: Revenue) -> Revenue:
    order = sorted(left)
    return dict(zip(order, in_proportion(cents, [left[period] for period in order]), strict=True))


def _plus(one: Mapping[ServicePeriod, int], other: Mapping[ServicePeriod, int]) -> Revenue:
    return _minus(one, {period: -cents for period, cents in other.items()})


def _minus(one: Mapping[Time, int], other: Mapping[Time, int]) -> dict[Time, int]:
    """Subtract period by period, or month by month; those without an amount are left out."""
    times = dict.fromkeys([*one, *other])
    found = {each: one.get(each, 0) - other.get(each, 0) for each in times}
    return {each: cents for each, cents in found.items() if cents}
